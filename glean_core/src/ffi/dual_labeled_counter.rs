//! The C form of dual labeled counters. `glean_counter_add` records their parts.

use std::sync::Arc;

use super::{guard, invalid_handle, metric, out, strings};
use crate::handles::{Metric, Object};
use crate::process;

/// Writes the handle of the counter with this key and category. It is to be destroyed like any other.
///
/// # Safety
///
/// `key` is NULL or valid for reads of `key_len` bytes, `category` likewise, `out_handle` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_dual_labeled_counter_get(
    handle: u64,
    key: *const u8,
    key_len: u64,
    category: *const u8,
    category_len: u64,
    out_handle: *mut u64,
) -> i32 {
    guard("glean_dual_labeled_counter_get", || {
        // SAFETY: promised by the caller, here and below.
        let out_handle = unsafe { out(out_handle, "out_handle") }?;
        // SAFETY: as above.
        let key = unsafe { strings::read(key, key_len, "key") }?;
        // SAFETY: as above.
        let category = unsafe { strings::read(category, category_len, "category") }?;
        let labeled = match process::shared().handles.get(handle) {
            Some(Object::Labeled(labeled)) => labeled.clone(),
            _ => return Err(invalid_handle()),
        };
        let part = labeled.dual_part(key, category).ok_or_else(invalid_handle)?;
        *out_handle = metric::insert(Object::Metric(Metric::new(Arc::new(part))))?;
        Ok(())
    })
}
