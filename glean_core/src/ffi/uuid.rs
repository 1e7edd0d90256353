//! The C form of UUIDs.

use super::{guard, record, strings};
use crate::metrics::Recording;
use crate::text::truncate;

/// Sets the UUID from any of its spellings; anything else is recorded as an invalid value.
///
/// # Safety
///
/// `text` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_uuid_set(handle: u64, text: *const u8, len: u64) -> i32 {
    guard("glean_uuid_set", || {
        // SAFETY: promised by the caller.
        let value = unsafe { strings::read(text, len, "text") }?;
        // No spelling is longer, and what is none need not fill the journal.
        let (value, _) = truncate(value, 64);
        record(handle, |_| Some(Recording::UuidSet(value)))
    })
}
