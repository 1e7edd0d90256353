//! Recording calls. They are the same for all types: what one does depends on the type of the metric, and one that the type
//! doesn't have is recorded as an invalid state of the metric.

use std::collections::BTreeMap;

use super::{Outcome, guard, invalid_handle, json, logged, parse, strings};
use crate::error_recording::ErrorType;
use crate::handles::{Metric, Object};
use crate::metrics::event::MAX_EXTRA_BYTES;
use crate::metrics::string_list::{MAX_BYTES, MAX_STRINGS};
use crate::metrics::{EventRecording, Recording};
use crate::process;
use crate::text::{cut, truncate};
use crate::time::{LocalDatetime, unix_ms_now, uptime_ms};

/// Records one call of the metric with this handle. `make` sees the metric, and may find that there is nothing to record.
#[inline]
fn record<'a>(handle: u64, make: impl FnOnce(&mut Metric) -> Option<Recording<'a>>) -> Outcome {
    let (appended, is_event) = {
        let mut shared = process::shared();
        let shared = &mut *shared;
        let Some(Object::Metric(metric)) = shared.handles.get(handle) else { return Err(invalid_handle()) };
        let Some(recording) = make(metric) else { return Ok(()) };
        (shared.log.record(metric, &recording), matches!(recording, Recording::Event(_)))
    };
    Ok(process::finish_recording(appended, is_event)?)
}

/// Adds to a counter, or to the numerator of a rate, at most up to 2147483647.
///
/// A negative amount is recorded as an invalid value. Zero does nothing to a counter, makes the rate, and is an invalid
/// value of a denominator.
#[unsafe(no_mangle)]
pub extern "C" fn glean_counter_add(handle: u64, amount: i32) -> i32 {
    if process::count(handle, amount) {
        return logged();
    }
    guard("glean_counter_add", || record(handle, |_| Some(Recording::CounterAdd(amount))))
}

/// Adds 1: `glean_counter_add` with one argument less to convert.
#[unsafe(no_mangle)]
pub extern "C" fn glean_counter_increment(handle: u64) -> i32 {
    glean_counter_add(handle, 1)
}

/// Adds to the denominator of a rate, as `glean_counter_add` does to its numerator.
#[unsafe(no_mangle)]
pub extern "C" fn glean_metric_add_to_denominator(handle: u64, amount: i32) -> i32 {
    guard("glean_metric_add_to_denominator", || record(handle, |_| Some(Recording::DenominatorAdd(amount))))
}

/// Sets a boolean; any number but 0 is true.
#[unsafe(no_mangle)]
pub extern "C" fn glean_metric_set_bool(handle: u64, value: u8) -> i32 {
    guard("glean_metric_set_bool", || record(handle, |_| Some(Recording::BooleanSet(value != 0))))
}

/// Sets a number; a negative one is recorded as an invalid value.
///
/// A timespan takes it for nanoseconds: a negative number for 0, and while a duration is measured for an invalid state.
#[unsafe(no_mangle)]
pub extern "C" fn glean_metric_set_number(handle: u64, value: i64) -> i32 {
    guard("glean_metric_set_number", || record(handle, |metric| Some(metric.timer.set_number(value))))
}

/// Sets a string, text, URL or UUID. What is longer than the type allows is cut and recorded as an overflow: a string has
/// 255 bytes, a URL 8 KiB, a text 200 KiB.
///
/// A URL without a scheme, or with `data:`, and what is no UUID are recorded as invalid values.
///
/// # Safety
///
/// `text` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_metric_set_text(handle: u64, text: *const u8, len: u64) -> i32 {
    guard("glean_metric_set_text", || {
        // SAFETY: promised by the caller.
        let value = unsafe { strings::read(text, len, "text") }?;
        record(handle, |metric| {
            let (value, is_cut) = truncate(value, metric.definition.kind.max_text_bytes());
            Some(Recording::TextSet(value, is_cut))
        })
    })
}

/// Sets an object from JSON text; what is none is recorded as an invalid value.
///
/// # Safety
///
/// `text` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_metric_set_object(handle: u64, text: *const u8, len: u64) -> i32 {
    guard("glean_metric_set_object", || {
        // SAFETY: promised by the caller.
        let value = unsafe { strings::read(text, len, "text") }?;
        // Written again, so that what is stored is what any reader makes of it: the last of two equal keys, no blanks.
        match serde_json::from_str::<serde_json::Value>(value) {
            Ok(value) => {
                let value = value.to_string();
                record(handle, |_| Some(Recording::ObjectSet(&value)))
            }
            Err(_) => record(handle, |_| Some(Recording::Error(ErrorType::InvalidValue, 1, "no JSON"))),
        }
    })
}

/// Records that something was to be set that the metric cannot hold, as an invalid value.
#[unsafe(no_mangle)]
pub extern "C" fn glean_metric_refuse_value(handle: u64) -> i32 {
    guard("glean_metric_refuse_value", || {
        record(handle, |_| Some(Recording::Error(ErrorType::InvalidValue, 1, "a value of another type")))
    })
}

/// Adds a string to a list, cut to 100 bytes. A full list is recorded as an invalid value.
///
/// # Safety
///
/// `text` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_metric_add_to_list(handle: u64, text: *const u8, len: u64) -> i32 {
    guard("glean_metric_add_to_list", || {
        // SAFETY: promised by the caller.
        let value = unsafe { strings::read(text, len, "text") }?;
        let (value, is_cut) = truncate(value, MAX_BYTES);
        record(handle, |_| Some(Recording::StringListAdd(value, is_cut)))
    })
}

/// Sets a list from a JSON array of strings: the first 100, each cut to 100 bytes.
///
/// # Safety
///
/// `list` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_metric_set_list(handle: u64, list: *const u8, len: u64) -> i32 {
    guard("glean_metric_set_list", || {
        // SAFETY: promised by the caller.
        let mut list: Vec<String> = unsafe { json(list, len, "list") }?;
        let is_cut = list.len() > MAX_STRINGS;
        list.truncate(MAX_STRINGS);
        let mut count = 0;
        for text in &mut list {
            count += u32::from(cut(text, MAX_BYTES));
        }
        record(handle, |_| Some(Recording::StringListSet(list, count, is_cut)))
    })
}

/// Sets a point in time by the calendar and the clock there. What no calendar has is recorded as an invalid value.
///
/// `offset_seconds` is what to add to UTC to get local time.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments)]
pub extern "C" fn glean_metric_set_datetime(
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
    guard("glean_metric_set_datetime", || {
        let time = LocalDatetime::new(year, month, day, hour, minute, second, nanos, offset_seconds);
        record(handle, |_| Some(Recording::DatetimeSet(time)))
    })
}

/// Sets the present local time.
#[unsafe(no_mangle)]
pub extern "C" fn glean_metric_set_datetime_now(handle: u64) -> i32 {
    guard("glean_metric_set_datetime_now", || {
        record(handle, |_| Some(Recording::DatetimeSet(Some(LocalDatetime::from_now()))))
    })
}

/// Starts to measure a duration and returns the id of that. A timespan has one, with the id 0, and a second start of it is
/// recorded as an invalid state. The id is 0 as well if the handle is none of a metric that measures.
#[unsafe(no_mangle)]
pub extern "C" fn glean_metric_start(handle: u64) -> u64 {
    let mut id = 0;
    guard("glean_metric_start", || {
        record(handle, |metric| match metric.timer.start(&metric.definition.kind) {
            Ok(started) => {
                id = started;
                None
            }
            Err(error) => Some(error),
        })
    });
    id
}

/// Stops to measure and adds or sets the duration. An id that is not measured is recorded as an invalid state.
#[unsafe(no_mangle)]
pub extern "C" fn glean_metric_stop(handle: u64, id: u64) -> i32 {
    guard("glean_metric_stop", || record(handle, |metric| Some(metric.timer.stop(id))))
}

/// Stops to measure and records nothing.
#[unsafe(no_mangle)]
pub extern "C" fn glean_metric_cancel(handle: u64, id: u64) -> i32 {
    guard("glean_metric_cancel", || {
        record(handle, |metric| {
            metric.timer.cancel(id);
            None
        })
    })
}

/// Adds a sample to a distribution, in the unit of the metric; if it isn't accepted, that is recorded as an error.
#[unsafe(no_mangle)]
pub extern "C" fn glean_metric_accumulate(handle: u64, sample: i64) -> i32 {
    guard("glean_metric_accumulate", || record(handle, |_| Some(Recording::Sample(sample))))
}

/// Adds samples to a distribution, in the unit of the metric; those that aren't accepted are recorded as errors.
///
/// # Safety
///
/// `samples` is NULL or valid for reads of `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_metric_accumulate_samples(handle: u64, samples: *const i64, count: u64) -> i32 {
    guard("glean_metric_accumulate_samples", || {
        // SAFETY: promised by the caller.
        let samples = unsafe { strings::slice(samples, count, "samples") }?.to_vec();
        record(handle, |_| Some(Recording::Samples(samples)))
    })
}

/// Records an event. `extra` is a JSON object of strings; NULL for none.
///
/// An extra that the metric doesn't allow is recorded as an invalid value, and the event is dropped.
///
/// # Safety
///
/// `extra` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_metric_record_event(handle: u64, extra: *const u8, len: u64) -> i32 {
    guard("glean_metric_record_event", || {
        let timestamp = uptime_ms();
        // SAFETY: promised by the caller.
        let extra: BTreeMap<String, String> = match unsafe { strings::read_optional(extra, len, "extra") }? {
            None => BTreeMap::new(),
            Some(text) => parse(text, "extra")?,
        };
        let mut event = EventRecording { timestamp, unix_ms: unix_ms_now(), extra, cut: 0 };
        for value in event.extra.values_mut() {
            event.cut += u32::from(cut(value, MAX_EXTRA_BYTES));
        }
        record(handle, |_| Some(Recording::Event(event)))
    })
}
