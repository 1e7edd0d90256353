//! Timespans: one duration; the first one stays until the ping is sent.

use std::cell::Cell;

use super::scope::Scope;
use crate::error_recording::ErrorType;
use crate::store::Value;
use crate::time::TimeUnit;

/// Stores a duration in the pings that have none yet. That one has is [`ErrorType::InvalidState`].
pub(super) fn set(scope: &mut Scope<'_>, nanos: u64, unit: TimeUnit) {
    let is_kept = Cell::new(false);
    scope.update(|old| match old {
        Some(Value::Timespan(..)) => {
            is_kept.set(true);
            None
        }
        _ => Some(Value::Timespan(nanos, unit)),
    });
    if is_kept.get() {
        scope.record_error(ErrorType::InvalidState, 1, "a duration is stored already and stays");
    }
}

/// Stores a duration in nanoseconds that the application measured; a negative one is 0.
pub(super) fn set_raw(scope: &mut Scope<'_>, nanos: i64, unit: TimeUnit) {
    set(scope, u64::try_from(nanos).unwrap_or(0), unit);
}
