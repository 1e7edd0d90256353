//! The C form of timespans.

use super::{guard, record};
use crate::error_recording::ErrorType;
use crate::metrics::Recording;
use crate::time::awake_nanos;

/// Starts to measure. If it does so already, that is recorded as an invalid state.
#[unsafe(no_mangle)]
pub extern "C" fn glean_timespan_start(handle: u64) -> i32 {
    guard("glean_timespan_start", || {
        record(handle, |metric| {
            if metric.timer.started.is_some() {
                return Some(Recording::Error(ErrorType::InvalidState, 1, "started already"));
            }
            metric.timer.started = Some(awake_nanos());
            None
        })
    })
}

/// Stops to measure and stores how long it was. If nothing is measured, that is recorded as an invalid state.
#[unsafe(no_mangle)]
pub extern "C" fn glean_timespan_stop(handle: u64) -> i32 {
    guard("glean_timespan_stop", || {
        record(handle, |metric| {
            Some(match metric.timer.started.take() {
                None => Recording::Error(ErrorType::InvalidState, 1, "not started"),
                Some(started) => match awake_nanos().checked_sub(started) {
                    None => Recording::Error(ErrorType::InvalidValue, 1, "the clock went back"),
                    Some(nanos) => Recording::TimespanSet(nanos),
                },
            })
        })
    })
}

/// Stops to measure and stores nothing.
#[unsafe(no_mangle)]
pub extern "C" fn glean_timespan_cancel(handle: u64) -> i32 {
    guard("glean_timespan_cancel", || {
        record(handle, |metric| {
            metric.timer.started = None;
            None
        })
    })
}

/// Stores a duration in nanoseconds; a negative one is 0. While one is measured, that is recorded as an invalid state.
#[unsafe(no_mangle)]
pub extern "C" fn glean_timespan_set_raw_nanos(handle: u64, nanos: i64) -> i32 {
    guard("glean_timespan_set_raw_nanos", || {
        record(handle, |metric| {
            Some(if metric.timer.started.is_some() {
                Recording::Error(ErrorType::InvalidState, 1, "a duration is set while one is measured")
            } else {
                Recording::TimespanSet(u64::try_from(nanos).unwrap_or(0))
            })
        })
    })
}
