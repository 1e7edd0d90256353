//! The C form of events.

use std::collections::BTreeMap;

use super::{guard, parse, record, strings};
use crate::metrics::event::MAX_EXTRA_BYTES;
use crate::metrics::{EventRecording, Recording};
use crate::text::cut;
use crate::time::{unix_ms_now, uptime_ms};

/// Records an event. `extra` is a JSON object of strings; NULL for none.
///
/// An extra that the metric doesn't allow is recorded as an invalid value, and the event is dropped.
///
/// # Safety
///
/// `extra` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_event_record(handle: u64, extra: *const u8, len: u64) -> i32 {
    guard("glean_event_record", || {
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
