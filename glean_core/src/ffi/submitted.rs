//! The C form of the list of submitted pings.

use serde_json::Value as Json;

use super::buffers::GleanBuffer;
use super::{Outcome, guard, out, strings};
use crate::common_metric_data::Lifetime;
use crate::machine::op::Op;
use crate::machine::submission::SUBMITTED;
use crate::process;
use crate::sort;
use crate::store::{Entry, INTERNAL_STORE};

/// Sets whether each submitted ping is listed.
#[unsafe(no_mangle)]
pub extern "C" fn glean_set_store_submitted_pings_enabled(enabled: u8) -> i32 {
    guard("glean_set_store_submitted_pings_enabled", || {
        Ok(process::append_with(|shared| {
            if let Some(context) = shared.log.context() {
                context.stores_submitted_pings = enabled != 0;
            }
            shared.log.append(&Op::StoreSubmittedPings(enabled != 0))
        })?)
    })
}

/// Writes the list as a JSON array.
///
/// # Safety
///
/// `out_pings` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_get_all_stored_submitted_pings(out_pings: *mut GleanBuffer) -> i32 {
    guard("glean_get_all_stored_submitted_pings", || {
        // SAFETY: promised by the caller.
        list(unsafe { out(out_pings, "out_pings") }?, |_| true)
    })
}

/// Writes those of one name as a JSON array.
///
/// # Safety
///
/// `name` is NULL or valid for reads of `len` bytes, `out_pings` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_get_stored_submitted_pings_by_name(
    name: *const u8,
    len: u64,
    out_pings: *mut GleanBuffer,
) -> i32 {
    guard("glean_get_stored_submitted_pings_by_name", || {
        // SAFETY: promised by the caller, here and below.
        let out_pings = unsafe { out(out_pings, "out_pings") }?;
        // SAFETY: as above.
        let name = unsafe { strings::read(name, len, "name") }?;
        list(out_pings, |ping| ping["ping"] == name)
    })
}

/// Empties the list.
#[unsafe(no_mangle)]
pub extern "C" fn glean_clear_stored_submitted_pings() -> i32 {
    guard("glean_clear_stored_submitted_pings", || Ok(process::append(&Op::ClearSubmittedPings)?))
}

fn list(out_pings: &mut GleanBuffer, is_wanted: impl Fn(&Json) -> bool) -> Outcome {
    let pings = process::ask(|state, _| {
        let mut pings: Vec<Json> = state
            .entries(INTERNAL_STORE, Lifetime::Application)
            .filter(|(identifier, _)| identifier.ends_with(SUBMITTED))
            .filter_map(|(_, entry)| match entry {
                Entry::Plain(value) => Some(value.to_json()),
                Entry::Labeled(_) => None,
            })
            .filter(|ping| is_wanted(ping))
            .collect();
        sort::by(&mut pings, |a, b| a["submitted_date"].as_str().cmp(&b["submitted_date"].as_str()));
        pings
    })?;
    *out_pings = GleanBuffer::from(Json::Array(pings).to_string());
    Ok(())
}
