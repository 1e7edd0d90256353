//! C form of [`crate::ping`].

use std::sync::Arc;

use super::handles::HandleTable;
use super::strings::{self, GleanString};
use super::{Failure, guard, input, out};
use crate::global;
use crate::ping::{PingDefinition, PingType};

static PINGS: HandleTable<Arc<PingType>> = HandleTable::new(255);

/// What a ping is; borrowed for the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GleanPingDefinition {
    /// Name of the ping.
    pub name: GleanString,
    /// Names of pings that are submitted right after this one.
    pub schedules_pings: *const GleanString,
    /// Number of names in `schedules_pings`.
    pub schedules_pings_len: u64,
    /// The reasons this ping may be submitted for.
    pub reason_codes: *const GleanString,
    /// Number of texts in `reason_codes`.
    pub reason_codes_len: u64,
    /// What an uploader has to be able to do to send this ping.
    pub uploader_capabilities: *const GleanString,
    /// Number of texts in `uploader_capabilities`.
    pub uploader_capabilities_len: u64,
    /// 1 if `client_info` has the client id.
    pub include_client_id: u8,
    /// 1 if the ping is sent without any metric.
    pub send_if_empty: u8,
    /// 1 if times have milliseconds, 0 if they end with the minute.
    pub precise_timestamps: u8,
    /// 1 if the ping has `ping_info` and `client_info`.
    pub include_info_sections: u8,
    /// 1 if the ping is enabled from the start.
    pub enabled: u8,
    /// 1 if the ping is off while collection is off.
    pub follows_collection_enabled: u8,
}

impl GleanPingDefinition {
    /// Copies what the pointer points to.
    ///
    /// # Safety
    ///
    /// `pointer` is NULL or valid for reads, and so are the texts and arrays in it.
    unsafe fn read(pointer: *const GleanPingDefinition) -> Result<PingDefinition, Failure> {
        // SAFETY: promised by the caller, here and below.
        unsafe {
            let ping = input(pointer, "definition")?;
            Ok(PingDefinition {
                name: ping.name.read("name")?,
                include_client_id: ping.include_client_id != 0,
                send_if_empty: ping.send_if_empty != 0,
                precise_timestamps: ping.precise_timestamps != 0,
                include_info_sections: ping.include_info_sections != 0,
                schedules_pings: strings::read_list(ping.schedules_pings, ping.schedules_pings_len, "schedules_pings")?,
                reason_codes: strings::read_list(ping.reason_codes, ping.reason_codes_len, "reason_codes")?,
                uploader_capabilities: strings::read_list(
                    ping.uploader_capabilities,
                    ping.uploader_capabilities_len,
                    "uploader_capabilities",
                )?,
                enabled: ping.enabled != 0,
                follows_collection_enabled: ping.follows_collection_enabled != 0,
            })
        }
    }
}

/// Makes a ping, registers it and writes its handle, to be released with `glean_ping_destroy`.
///
/// A ping that was registered under the same name is replaced.
///
/// # Safety
///
/// `definition` is NULL or valid for reads, and so is what it points to; `out_handle` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_ping_new(definition: *const GleanPingDefinition, out_handle: *mut u64) -> i32 {
    guard("glean_ping_new", || {
        // SAFETY: promised by the caller, here and below.
        let out_handle = unsafe { out(out_handle, "out_handle") }?;
        // SAFETY: as above.
        let ping = Arc::new(PingType::new(unsafe { GleanPingDefinition::read(definition) }?));
        *out_handle = PINGS.insert(Arc::clone(&ping))?;
        global::register_ping(ping);
        Ok(())
    })
}

/// Submits a ping: what is stored for it is written to a file that waits for upload.
///
/// `reason` is NULL or one of its reason codes; another one is logged and left out.
///
/// # Safety
///
/// `reason` is NULL or valid for reads of `reason_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_ping_submit(handle: u64, reason: *const u8, reason_len: u64) -> i32 {
    guard("glean_ping_submit", || {
        // SAFETY: promised by the caller.
        let reason = unsafe { strings::read_optional(reason, reason_len, "reason") }?.map(str::to_owned);
        let ping = PINGS.get(handle)?;
        Ok(global::launch(move |glean| {
            glean.submit_ping(&ping.definition().name, reason.as_deref());
        })?)
    })
}

/// Switches a ping on (1) or off (0); off removes its values and its files that wait for upload.
#[unsafe(no_mangle)]
pub extern "C" fn glean_ping_set_enabled(handle: u64, enabled: u8) -> i32 {
    guard("glean_ping_set_enabled", || {
        let ping = PINGS.get(handle)?;
        Ok(global::set_ping_enabled(&ping.definition().name, enabled != 0)?)
    })
}

/// Submits the ping registered under a name, for pings without a handle such as `metrics`.
///
/// # Safety
///
/// `name` and `reason` are NULL or valid for reads of as many bytes as their lengths say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_submit_ping_by_name(
    name: *const u8,
    name_len: u64,
    reason: *const u8,
    reason_len: u64,
) -> i32 {
    guard("glean_submit_ping_by_name", || {
        // SAFETY: promised by the caller, here and below.
        let name = unsafe { strings::read(name, name_len, "name") }?.to_owned();
        // SAFETY: as above.
        let reason = unsafe { strings::read_optional(reason, reason_len, "reason") }?.map(str::to_owned);
        Ok(global::launch(move |glean| {
            glean.submit_ping(&name, reason.as_deref());
        })?)
    })
}

/// Releases the handle; the ping stays registered.
#[unsafe(no_mangle)]
pub extern "C" fn glean_ping_destroy(handle: u64) -> i32 {
    guard("glean_ping_destroy", || PINGS.remove(handle))
}
