//! The C form of lists of strings.

use super::{guard, json, record, strings};
use crate::metrics::Recording;
use crate::metrics::string_list::{MAX_BYTES, MAX_STRINGS};
use crate::text::{cut, truncate};

/// Adds a string, cut to 100 bytes. A full list is recorded as an invalid value.
///
/// # Safety
///
/// `text` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_string_list_add(handle: u64, text: *const u8, len: u64) -> i32 {
    guard("glean_string_list_add", || {
        // SAFETY: promised by the caller.
        let value = unsafe { strings::read(text, len, "text") }?;
        let (value, is_cut) = truncate(value, MAX_BYTES);
        record(handle, |_| Some(Recording::StringListAdd(value, is_cut)))
    })
}

/// Sets the list from a JSON array of strings: the first 100, each cut to 100 bytes.
///
/// # Safety
///
/// `list` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_string_list_set(handle: u64, list: *const u8, len: u64) -> i32 {
    guard("glean_string_list_set", || {
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
