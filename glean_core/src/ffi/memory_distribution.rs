//! The C form of memory distributions.

use super::{guard, record, strings};
use crate::error_recording::ErrorType;
use crate::metrics::Recording;

/// Adds a size in the unit of the metric; if it isn't accepted, that is counted as an error.
#[unsafe(no_mangle)]
pub extern "C" fn glean_memory_distribution_accumulate(handle: u64, sample: i64) -> i32 {
    guard("glean_memory_distribution_accumulate", || {
        record(handle, |_| {
            // Of a list, the others would count, and the histogram is made even for none; of one size nothing is left.
            Some(if sample < 0 {
                Recording::Error(ErrorType::InvalidValue, 1, "a negative size")
            } else {
                Recording::MemoryAccumulate(vec![sample])
            })
        })
    })
}

/// Adds sizes in the unit of the metric; those that aren't accepted are counted as errors.
///
/// # Safety
///
/// `samples` is NULL or valid for reads of `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_memory_distribution_accumulate_samples(
    handle: u64,
    samples: *const i64,
    count: u64,
) -> i32 {
    guard("glean_memory_distribution_accumulate_samples", || {
        // SAFETY: promised by the caller.
        let samples = unsafe { strings::slice(samples, count, "samples") }?.to_vec();
        record(handle, |_| Some(Recording::MemoryAccumulate(samples)))
    })
}
