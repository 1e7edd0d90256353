//! The C form of labeled metrics.

use std::sync::Arc;

use super::{guard, invalid_handle, metric, out, strings};
use crate::handles::{Metric, Object};
use crate::metrics::Kind;
use crate::process;

/// Writes the handle of the metric with this label. It is to be destroyed like any other.
///
/// # Safety
///
/// `label` is NULL or valid for reads of `len` bytes, `out_handle` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_labeled_get(handle: u64, label: *const u8, len: u64, out_handle: *mut u64) -> i32 {
    guard("glean_labeled_get", || {
        // SAFETY: promised by the caller, here and below.
        let out_handle = unsafe { out(out_handle, "out_handle") }?;
        // SAFETY: as above.
        let label = unsafe { strings::read(label, len, "label") }?;
        let labeled = match process::shared().handles.get(handle) {
            Some(Object::Labeled(labeled)) if !matches!(labeled.definition.kind, Kind::DualLabeledCounter { .. }) => {
                labeled.clone()
            }
            _ => return Err(invalid_handle()),
        };
        *out_handle = metric::insert(Object::Metric(Metric::new(Arc::new(labeled.part(label)))))?;
        Ok(())
    })
}
