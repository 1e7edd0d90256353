//! The C form of experiments.

use std::collections::BTreeMap;

use super::buffers::GleanBuffer;
use super::{found, guard, json, out, strings};
use crate::common_metric_data::Lifetime;
use crate::experiments;
use crate::machine::op::Op;
use crate::ping::EXPERIMENTATION_ID;
use crate::process;
use crate::store::value::experiment_json;
use crate::store::{ALL_PINGS_STORE, Address, INTERNAL_STORE, Value};

/// Starts or replaces an experiment. `extra` is a JSON object of strings; NULL for none.
///
/// # Safety
///
/// `id` is NULL or valid for reads of `id_len` bytes; `branch` and `extra` likewise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_set_experiment_active(
    id: *const u8,
    id_len: u64,
    branch: *const u8,
    branch_len: u64,
    extra: *const u8,
    extra_len: u64,
) -> i32 {
    guard("glean_set_experiment_active", || {
        // SAFETY: promised by the caller, here and below.
        let id = unsafe { strings::read(id, id_len, "id") }?;
        // SAFETY: as above.
        let branch = unsafe { strings::read(branch, branch_len, "branch") }?;
        let extra: BTreeMap<String, String> = if extra.is_null() {
            BTreeMap::new()
        } else {
            // SAFETY: as above.
            unsafe { json(extra, extra_len, "extra") }?
        };
        let op = Op::SetExperimentActive(id, branch, extra);
        Ok(process::append_with(|shared| shared.log.append(&op))?)
    })
}

/// Ends an experiment.
///
/// # Safety
///
/// `id` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_set_experiment_inactive(id: *const u8, len: u64) -> i32 {
    guard("glean_set_experiment_inactive", || {
        // SAFETY: promised by the caller.
        let id = unsafe { strings::read(id, len, "id") }?;
        Ok(process::append(&Op::SetExperimentInactive(id))?)
    })
}

/// Writes branch and extra of an experiment as JSON; `GLEAN_NO_VALUE` if it isn't active.
///
/// # Safety
///
/// `id` is NULL or valid for reads of `len` bytes, `out_data` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_test_get_experiment_data(id: *const u8, len: u64, out_data: *mut GleanBuffer) -> i32 {
    guard("glean_test_get_experiment_data", || {
        // SAFETY: promised by the caller, here and below.
        let out_data = unsafe { out(out_data, "out_data") }?;
        // SAFETY: as above.
        let id = unsafe { strings::read(id, len, "id") }?;
        let key = experiments::key(&experiments::sanitize(id, "", BTreeMap::new()).id);
        let data =
            process::ask(|state, _| match state.get(INTERNAL_STORE, Address::plain(Lifetime::Application, &key)) {
                Some(Value::Experiment(experiment)) => Some(experiment_json(experiment)),
                _ => None,
            })?;
        *out_data = GleanBuffer::from(found(data)?.to_string());
        Ok(())
    })
}

/// Sets the tag that every ping with a client id carries.
///
/// # Safety
///
/// `id` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_set_experimentation_id(id: *const u8, len: u64) -> i32 {
    guard("glean_set_experimentation_id", || {
        // SAFETY: promised by the caller.
        let id = unsafe { strings::read(id, len, "id") }?;
        Ok(process::append_with(|shared| {
            if let Some(context) = shared.log.context() {
                context.settings.experimentation_id = Some(id.to_owned());
            }
            shared.log.append(&Op::SetExperimentationId(id))
        })?)
    })
}

/// Writes that tag; `GLEAN_NO_VALUE` if there is none.
///
/// # Safety
///
/// `out_id` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_test_get_experimentation_id(out_id: *mut GleanBuffer) -> i32 {
    guard("glean_test_get_experimentation_id", || {
        // SAFETY: promised by the caller.
        let out_id = unsafe { out(out_id, "out_id") }?;
        let id = process::ask(|state, _| {
            match state.get(ALL_PINGS_STORE, Address::plain(Lifetime::Application, EXPERIMENTATION_ID)) {
                Some(Value::String(id)) => Some(id.clone()),
                _ => None,
            }
        })?;
        *out_id = GleanBuffer::from(found(id)?);
        Ok(())
    })
}
