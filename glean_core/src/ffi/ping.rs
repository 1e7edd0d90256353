//! The C form of pings.

use std::sync::Arc;

use super::buffers::GleanBuffer;
use super::{Failure, guard, invalid_handle, json, metric, out, strings};
use crate::error::Error;
use crate::handles::Object;
use crate::machine::op::{Moment, Op};
use crate::ping::PingDefinition;
use crate::process;

/// Makes a ping from its JSON description, registers it, and writes its handle. One of the same name is replaced.
///
/// # Safety
///
/// `definition` is NULL or valid for reads of `len` bytes, `out_handle` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_ping_new(definition: *const u8, len: u64, out_handle: *mut u64) -> i32 {
    guard("glean_ping_new", || {
        // SAFETY: promised by the caller, here and below.
        let out_handle = unsafe { out(out_handle, "out_handle") }?;
        // SAFETY: as above.
        let definition: PingDefinition = unsafe { json(definition, len, "definition") }?;
        process::prepare_process();
        process::shared().log.register_ping(definition.clone());
        *out_handle = metric::insert(Object::Ping(Arc::new(definition)))?;
        Ok(())
    })
}

/// Gives the handle of a ping back. The ping stays registered.
#[unsafe(no_mangle)]
pub extern "C" fn glean_ping_destroy(handle: u64) -> i32 {
    guard("glean_ping_destroy", || {
        let mut shared = process::shared();
        match shared.handles.get(handle) {
            Some(Object::Ping(_)) => {
                shared.handles.remove(handle);
                Ok(())
            }
            _ => Err(invalid_handle()),
        }
    })
}

fn name_of(handle: u64) -> Result<Arc<PingDefinition>, Failure> {
    match process::shared().handles.get(handle) {
        Some(Object::Ping(ping)) => Ok(Arc::clone(ping)),
        _ => Err(invalid_handle()),
    }
}

/// Submits a ping. `reason` is NULL for none; one that the ping doesn't list is logged and left out.
///
/// What was recorded before is in it, what is recorded after isn't. The file is written later.
///
/// # Safety
///
/// `reason` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_ping_submit(handle: u64, reason: *const u8, len: u64) -> i32 {
    guard("glean_ping_submit", || {
        // SAFETY: promised by the caller.
        let reason = unsafe { strings::read_optional(reason, len, "reason") }?;
        let ping = name_of(handle)?;
        Ok(process::append(&Op::Submit { ping: &ping.name, reason, moment: Moment::now() })?)
    })
}

/// Switches a ping on or off. Off removes its values, and its files that wait for upload.
#[unsafe(no_mangle)]
pub extern "C" fn glean_ping_set_enabled(handle: u64, enabled: u8) -> i32 {
    guard("glean_ping_set_enabled", || {
        let ping = name_of(handle)?;
        Ok(process::append_with(|shared| shared.log.set_ping_enabled(&ping.name, enabled != 0))?)
    })
}

/// Submits the ping of this name. An unknown name is logged.
///
/// # Safety
///
/// `name` is NULL or valid for reads of `name_len` bytes, `reason` likewise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_submit_ping_by_name(
    name: *const u8,
    name_len: u64,
    reason: *const u8,
    reason_len: u64,
) -> i32 {
    guard("glean_submit_ping_by_name", || {
        // SAFETY: promised by the caller, here and below.
        let ping = unsafe { strings::read(name, name_len, "name") }?;
        // SAFETY: as above.
        let reason = unsafe { strings::read_optional(reason, reason_len, "reason") }?;
        Ok(process::append(&Op::Submit { ping, reason, moment: Moment::now() })?)
    })
}

/// Submits the ping of this name before it returns, and writes whether there was something to send.
///
/// # Safety
///
/// `name` is NULL or valid for reads of `name_len` bytes, `reason` likewise; `out_submitted` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_submit_ping_by_name_sync(
    name: *const u8,
    name_len: u64,
    reason: *const u8,
    reason_len: u64,
    out_submitted: *mut u8,
) -> i32 {
    guard("glean_submit_ping_by_name_sync", || {
        // SAFETY: promised by the caller, here and below.
        let out_submitted = unsafe { out(out_submitted, "out_submitted") }?;
        // SAFETY: as above.
        let ping = unsafe { strings::read(name, name_len, "name") }?;
        // SAFETY: as above.
        let reason = unsafe { strings::read_optional(reason, reason_len, "reason") }?;
        let op = Op::Submit { ping, reason, moment: Moment::now() };
        *out_submitted = match process::submit_now(ping, &op) {
            Ok(is_submitted) => u8::from(is_submitted),
            Err(Error::NotInitialized) => 0,
            Err(error) => return Err(error.into()),
        };
        Ok(())
    })
}

/// Writes the names of all registered pings as a JSON array.
///
/// # Safety
///
/// `out_names` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_get_registered_ping_names(out_names: *mut GleanBuffer) -> i32 {
    guard("glean_get_registered_ping_names", || {
        // SAFETY: promised by the caller.
        let out_names = unsafe { out(out_names, "out_names") }?;
        let mut shared = process::shared();
        let names: Vec<String> = match shared.log.context() {
            Some(context) => context.pings.keys().cloned().collect(),
            None => shared.log.before_start.pings.iter().map(|ping| ping.name.clone()).collect(),
        };
        *out_names = GleanBuffer::from(serde_json::Value::from(names).to_string());
        Ok(())
    })
}
