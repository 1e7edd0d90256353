//! The C form of texts.

use super::{guard, record, strings};
use crate::metrics::Recording;
use crate::metrics::text::MAX_BYTES;
use crate::text::truncate;

/// Sets the text. A longer one than the limit is cut and recorded as an overflow: 200 KiB.
///
/// # Safety
///
/// `text` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_text_set(handle: u64, text: *const u8, len: u64) -> i32 {
    guard("glean_text_set", || {
        // SAFETY: promised by the caller.
        let value = unsafe { strings::read(text, len, "text") }?;
        let (value, is_cut) = truncate(value, MAX_BYTES);
        record(handle, |_| Some(Recording::TextSet(value, is_cut)))
    })
}
