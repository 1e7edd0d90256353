//! Rates: two sums that saturate at `i32::MAX`. The denominator may be recorded by a metric of its own.

use super::scope::Scope;
use crate::error_recording::ErrorType;
use crate::store::Value;

/// Adds to both parts; zeros make the rate. A negative amount is [`ErrorType::InvalidValue`].
pub(super) fn add(scope: &mut Scope<'_>, numerator: i32, denominator: i32) {
    if numerator < 0 || denominator < 0 {
        return scope.record_error(ErrorType::InvalidValue, 1, "a negative amount was added");
    }
    scope.change(
        || Value::Rate(0, 0),
        |value| match value {
            Value::Rate(above, below) => {
                *above = above.saturating_add(numerator);
                *below = below.saturating_add(denominator);
            }
            other => *other = Value::Rate(numerator, denominator),
        },
    );
}
