//! Datetimes: the last one wins.

use super::scope::Scope;
use crate::error_recording::ErrorType;
use crate::store::Value;
use crate::time::{LocalDatetime, TimeUnit};

/// Sets a point in time. One that no calendar has is [`ErrorType::InvalidValue`].
pub(super) fn set(scope: &mut Scope<'_>, time: Option<&LocalDatetime>, unit: TimeUnit) {
    match time {
        Some(time) => scope.set(&Value::Datetime(time.clone(), unit)),
        None => scope.record_error(ErrorType::InvalidValue, 1, "no calendar has this date"),
    }
}
