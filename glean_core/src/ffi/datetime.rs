//! The C form of datetimes.

use super::{guard, record};
use crate::metrics::Recording;
use crate::time::LocalDatetime;

/// Sets a point in time by the calendar and the clock there. What no calendar has is recorded as an invalid value.
///
/// `offset_seconds` is what to add to UTC to get local time.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments)]
pub extern "C" fn glean_datetime_set(
    handle: u64,
    year: i32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    offset_seconds: i32,
) -> i32 {
    guard("glean_datetime_set", || {
        let time = LocalDatetime::new(year, month, day, hour, minute, second, nanos, offset_seconds);
        record(handle, |_| Some(Recording::DatetimeSet(time)))
    })
}

/// Sets the present local time.
#[unsafe(no_mangle)]
pub extern "C" fn glean_datetime_set_now(handle: u64) -> i32 {
    guard("glean_datetime_set_now", || {
        record(handle, |_| Some(Recording::DatetimeSet(Some(LocalDatetime::from_now()))))
    })
}
