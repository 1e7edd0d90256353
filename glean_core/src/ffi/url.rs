//! The C form of URLs.

use super::{guard, record, strings};
use crate::metrics::Recording;
use crate::metrics::url::MAX_BYTES;
use crate::text::truncate;

/// Sets the url. A longer one than the limit is cut and recorded as an overflow: 8 KiB; one without a scheme, or with `data:`, is recorded as an invalid value.
///
/// # Safety
///
/// `text` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_url_set(handle: u64, text: *const u8, len: u64) -> i32 {
    guard("glean_url_set", || {
        // SAFETY: promised by the caller.
        let value = unsafe { strings::read(text, len, "text") }?;
        let (value, is_cut) = truncate(value, MAX_BYTES);
        record(handle, |_| Some(Recording::TextSet(value, is_cut)))
    })
}
