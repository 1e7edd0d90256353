//! Counters: sums of what was added; they saturate at `i32::MAX`.

use super::scope::Scope;
use crate::error_recording::ErrorType;
use crate::store::Value;

/// Adds a positive amount. Zero does nothing, a negative amount is [`ErrorType::InvalidValue`].
pub(super) fn add(scope: &mut Scope<'_>, amount: i32) {
    match amount {
        1.. => scope.change(|| Value::Counter(0), |value| value.add(amount)),
        0 => (),
        _ => scope.record_error(ErrorType::InvalidValue, 1, "a negative amount was added"),
    }
}
