//! Quantities: the last number wins; none is negative.

use super::scope::Scope;
use crate::error_recording::ErrorType;
use crate::store::Value;

/// Sets the number. A negative one is [`ErrorType::InvalidValue`].
pub(super) fn set(scope: &mut Scope<'_>, value: i64) {
    if value < 0 {
        return scope.record_error(ErrorType::InvalidValue, 1, "a negative number was set");
    }
    scope.set(&Value::Quantity(value));
}
