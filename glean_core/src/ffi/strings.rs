//! Texts that come in: address and length, borrowed for the call.

use super::{Failure, GLEAN_INVALID_UTF8, GLEAN_NULL_POINTER, GLEAN_OUT_OF_RANGE};

/// Returns the text at an address; NULL with length 0 is the empty text.
///
/// # Safety
///
/// `data` is NULL or valid for reads of `len` bytes during `'a`.
pub(crate) unsafe fn read<'a>(data: *const u8, len: u64, name: &str) -> Result<&'a str, Failure> {
    // SAFETY: promised by the caller.
    let bytes = unsafe { slice(data, len, name) }?;
    std::str::from_utf8(bytes).map_err(|error| Failure::new(GLEAN_INVALID_UTF8, format!("{name}: {error}")))
}

/// Returns the text at an address, or `None` for NULL.
///
/// # Safety
///
/// As for [`read`].
pub(crate) unsafe fn read_optional<'a>(data: *const u8, len: u64, name: &str) -> Result<Option<&'a str>, Failure> {
    if data.is_null() {
        return Ok(None);
    }
    // SAFETY: promised by the caller.
    unsafe { read(data, len, name) }.map(Some)
}

/// Returns the elements at an address; NULL with length 0 is the empty slice.
///
/// # Safety
///
/// `data` is NULL or valid for reads of `len` elements during `'a`.
pub(crate) unsafe fn slice<'a, T>(data: *const T, len: u64, name: &str) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Failure::new(GLEAN_NULL_POINTER, format!("{name} is NULL but its length is {len}")));
    }
    if !data.is_aligned() {
        return Err(Failure::new(GLEAN_OUT_OF_RANGE, format!("{name} isn't aligned")));
    }
    match usize::try_from(len) {
        Ok(length) if length.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= isize::MAX as usize) => {
            // SAFETY: not NULL, aligned, not larger than memory can be; validity is promised by the caller.
            Ok(unsafe { std::slice::from_raw_parts(data, length) })
        }
        _ => Err(Failure::new(GLEAN_OUT_OF_RANGE, format!("{name}: a length of {len} is larger than memory"))),
    }
}
