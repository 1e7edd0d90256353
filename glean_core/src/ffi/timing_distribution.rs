//! The C form of timing distributions.

use super::{guard, record, strings};
use crate::error_recording::ErrorType;
use crate::metrics::Recording;
use crate::time::awake_nanos;

/// Starts to measure a duration and returns the id of that, or 0 if the handle is none of a metric.
#[unsafe(no_mangle)]
pub extern "C" fn glean_timing_distribution_start(handle: u64) -> u64 {
    let mut id = 0;
    guard("glean_timing_distribution_start", || {
        record(handle, |metric| {
            metric.timer.last_id += 1;
            id = metric.timer.last_id;
            metric.timer.running.insert(id, awake_nanos());
            None
        })
    });
    id
}

/// Stops to measure and adds the duration. An unknown id is recorded as an invalid state.
#[unsafe(no_mangle)]
pub extern "C" fn glean_timing_distribution_stop_and_accumulate(handle: u64, id: u64) -> i32 {
    guard("glean_timing_distribution_stop_and_accumulate", || {
        record(handle, |metric| {
            Some(match metric.timer.running.remove(&id) {
                None => Recording::Error(ErrorType::InvalidState, 1, "no such timer"),
                Some(started) => match awake_nanos().checked_sub(started) {
                    None => Recording::Error(ErrorType::InvalidValue, 1, "the clock went back"),
                    Some(nanos) => Recording::TimingAccumulateNanos(nanos),
                },
            })
        })
    })
}

/// Stops to measure and adds nothing.
#[unsafe(no_mangle)]
pub extern "C" fn glean_timing_distribution_cancel(handle: u64, id: u64) -> i32 {
    guard("glean_timing_distribution_cancel", || {
        record(handle, |metric| {
            metric.timer.running.remove(&id);
            None
        })
    })
}

/// Adds durations in the unit of the metric; those that aren't accepted are counted as errors.
///
/// # Safety
///
/// `samples` is NULL or valid for reads of `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_timing_distribution_accumulate_samples(
    handle: u64,
    samples: *const i64,
    count: u64,
) -> i32 {
    guard("glean_timing_distribution_accumulate_samples", || {
        // SAFETY: promised by the caller.
        let samples = unsafe { strings::slice(samples, count, "samples") }?.to_vec();
        record(handle, |_| Some(Recording::TimingAccumulate(samples)))
    })
}

/// Adds a duration in the unit of the metric; if it isn't accepted, that is counted as an error.
#[unsafe(no_mangle)]
pub extern "C" fn glean_timing_distribution_accumulate_single_sample(handle: u64, sample: i64) -> i32 {
    guard("glean_timing_distribution_accumulate_single_sample", || {
        record(handle, |_| Some(Recording::TimingAccumulate(vec![sample])))
    })
}
