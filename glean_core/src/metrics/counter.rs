//! Counters: sums of what was added; they saturate at `i32::MAX`.

use crate::error_recording::ErrorType;
use crate::machine::scope::{Scope, add_to_counter};
use crate::store::Value;

/// Adds a positive amount. Zero does nothing, a negative amount is [`ErrorType::InvalidValue`].
pub(super) fn add(scope: &mut Scope<'_, '_>, amount: i32) {
    match amount {
        1.. => scope.change(|| Value::Counter(0), |value| add_to_counter(value, amount)),
        0 => (),
        _ => scope.record_error(ErrorType::InvalidValue, 1, "a negative amount was added"),
    }
}
