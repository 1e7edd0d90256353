//! C form of [`crate::metrics::string`].

use super::buffers::GleanBuffer;
use super::handles::HandleTable;
use super::{GleanCommonMetricData, error_type, found, guard, out, strings};
use crate::global;
use crate::metrics::{Metric, StringMetric};

static METRICS: HandleTable<StringMetric> = HandleTable::new(3);

/// Makes a string metric and writes its handle, to be released with `glean_string_destroy`.
///
/// # Safety
///
/// `meta` is NULL or valid for reads, and so is what it points to; `out_handle` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_string_new(meta: *const GleanCommonMetricData, out_handle: *mut u64) -> i32 {
    guard("glean_string_new", || {
        // SAFETY: promised by the caller, here and below.
        let out_handle = unsafe { out(out_handle, "out_handle") }?;
        // SAFETY: as above.
        let common = unsafe { GleanCommonMetricData::read(meta) }?;
        *out_handle = METRICS.insert(StringMetric::new(common))?;
        Ok(())
    })
}

/// Stores a text; more than 255 bytes are cut off and recorded as an error.
///
/// # Safety
///
/// `value` is NULL or valid for reads of `value_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_string_set(handle: u64, value: *const u8, value_len: u64) -> i32 {
    guard("glean_string_set", || {
        // SAFETY: promised by the caller.
        let value = unsafe { strings::read(value, value_len, "value") }?.to_owned();
        let metric = METRICS.get(handle)?;
        Ok(global::launch(move |glean| metric.set(glean, value))?)
    })
}

/// Writes the value stored for a ping, or for the first ping of the metric if `ping_name` is NULL; `GLEAN_NO_VALUE` if
/// nothing is stored.
///
/// # Safety
///
/// `ping_name` is NULL or valid for reads of `ping_name_len` bytes; `out_value` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_string_test_get_value(
    handle: u64,
    ping_name: *const u8,
    ping_name_len: u64,
    out_value: *mut GleanBuffer,
) -> i32 {
    guard("glean_string_test_get_value", || {
        // SAFETY: promised by the caller, here and below.
        let out_value = unsafe { out(out_value, "out_value") }?;
        // SAFETY: as above.
        let ping_name = unsafe { strings::read_optional(ping_name, ping_name_len, "ping_name") }?;
        let metric = METRICS.get(handle)?;
        let value = found(global::ask(|glean| metric.test_get_value(glean, ping_name))?)?;
        *out_value = GleanBuffer::from(value);
        Ok(())
    })
}

/// Writes the number of errors of one kind, as counted in the `metrics` ping.
///
/// # Safety
///
/// `out_count` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_string_test_get_num_recorded_errors(
    handle: u64,
    error: i32,
    out_count: *mut i32,
) -> i32 {
    guard("glean_string_test_get_num_recorded_errors", || {
        // SAFETY: promised by the caller.
        let out_count = unsafe { out(out_count, "out_count") }?;
        let (metric, error) = (METRICS.get(handle)?, error_type(error)?);
        *out_count = global::ask(|glean| metric.count_errors(glean, error))?;
        Ok(())
    })
}

/// Releases the handle; what was recorded stays.
#[unsafe(no_mangle)]
pub extern "C" fn glean_string_destroy(handle: u64) -> i32 {
    guard("glean_string_destroy", || METRICS.remove(handle))
}
