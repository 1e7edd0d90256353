//! The C form of objects.

use super::{guard, record, strings};
use crate::error_recording::ErrorType;
use crate::metrics::Recording;

/// Sets the object from JSON text; what is none is recorded as an invalid value.
///
/// # Safety
///
/// `text` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_object_set(handle: u64, text: *const u8, len: u64) -> i32 {
    guard("glean_object_set", || {
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

/// Records as an invalid value that something else than the object was to be set.
#[unsafe(no_mangle)]
pub extern "C" fn glean_object_record_schema_error(handle: u64) -> i32 {
    guard("glean_object_record_schema_error", || {
        record(handle, |_| Some(Recording::Error(ErrorType::InvalidValue, 1, "an object of another type")))
    })
}
