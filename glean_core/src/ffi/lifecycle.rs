//! Start, stop, and the switches of the whole.

use super::{guard, parse, strings};
use crate::error::Error;
use crate::logging::log_at;
use crate::machine::context::Settings;
use crate::machine::op::{Op, ServerKnobs};
use crate::process;
use crate::upload::UploadSettings;

/// Starts Glean with a JSON description and runs the calls that waited for it. What is slow happens after it returned.
///
/// After `GLEAN_IO` or `GLEAN_INVALID_ARGUMENT` Glean is off until [`glean_reset`]: recording does nothing and returns
/// `GLEAN_NOT_INITIALIZED`. `GLEAN_ALREADY_INITIALIZED` changes nothing.
///
/// # Safety
///
/// `settings` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_initialize(settings: *const u8, len: u64) -> i32 {
    guard("glean_initialize", || {
        // SAFETY: promised by the caller.
        let text = unsafe { strings::read(settings, len, "settings") }?;
        let settings: Settings = parse(text, "settings")?;
        let uploads: UploadSettings = parse(text, "settings")?;
        Ok(process::initialize(settings, uploads)?)
    })
}

/// Ends Glean: what was asked for is done, later calls do nothing and return `GLEAN_NOT_INITIALIZED`.
///
/// `GLEAN_NOT_INITIALIZED` if it doesn't run; calls that waited for it are dropped.
#[unsafe(no_mangle)]
pub extern "C" fn glean_shutdown() -> i32 {
    guard("glean_shutdown", || Ok(process::shutdown()?))
}

/// Folds the last calls, because the process ends. Later calls are still taken; the next start in the directory finds them.
///
/// `GLEAN_NOT_INITIALIZED` if Glean doesn't run.
#[unsafe(no_mangle)]
pub extern "C" fn glean_finish() -> i32 {
    guard("glean_finish", || Ok(process::finish()?))
}

/// Ends Glean as the end of its process does, and makes [`glean_initialize`] possible again. Handles stay valid.
#[unsafe(no_mangle)]
pub extern "C" fn glean_reset() -> i32 {
    guard("glean_reset", || {
        process::reset();
        Ok(())
    })
}

/// Sets whether every call is carried out before it returns, for tests.
#[unsafe(no_mangle)]
pub extern "C" fn glean_set_test_mode(enabled: u8) -> i32 {
    guard("glean_set_test_mode", || {
        process::set_test_mode(enabled != 0);
        Ok(())
    })
}

/// Carries out everything that was called so far, before it returns.
#[unsafe(no_mangle)]
pub extern "C" fn glean_fold() -> i32 {
    guard("glean_fold", || Ok(process::fold()?))
}

/// Does nothing: what was recorded is kept already. It is there for programs that ask for it.
#[unsafe(no_mangle)]
pub extern "C" fn glean_persist_ping_lifetime_data() -> i32 {
    guard("glean_persist_ping_lifetime_data", || Ok(()))
}

/// Switches collection on (1) or off (0); off removes what was recorded and submits a `deletion-request`.
///
/// `GLEAN_NOT_INITIALIZED` if Glean doesn't run: nothing is remembered.
#[unsafe(no_mangle)]
pub extern "C" fn glean_set_collection_enabled(enabled: u8) -> i32 {
    guard("glean_set_collection_enabled", || {
        Ok(process::append_with(|shared| shared.log.set_collection_enabled(enabled != 0))?)
    })
}

/// Sets the flag that makes the next start send a ping about an unclean end.
#[unsafe(no_mangle)]
pub extern "C" fn glean_set_dirty_flag(dirty: u8) -> i32 {
    guard("glean_set_dirty_flag", || Ok(process::append_with(|shared| shared.log.append(&Op::SetDirty(dirty != 0)))?))
}

/// Sets `client_info.app_channel`.
///
/// # Safety
///
/// `channel` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_set_app_channel(channel: *const u8, len: u64) -> i32 {
    guard("glean_set_app_channel", || {
        // SAFETY: promised by the caller.
        let channel = unsafe { strings::read(channel, len, "channel") }?;
        Ok(process::append_with(|shared| {
            if let Some(context) = shared.log.context() {
                context.settings.channel = Some(channel.to_owned());
            }
            shared.log.append(&Op::SetChannel(channel))
        })?)
    })
}

/// Merges settings from a server, as JSON. An empty text changes nothing; what isn't valid is logged and changes nothing.
///
/// # Safety
///
/// `knobs` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_apply_server_knobs_config(knobs: *const u8, len: u64) -> i32 {
    guard("glean_apply_server_knobs_config", || {
        // SAFETY: promised by the caller.
        let text = unsafe { strings::read(knobs, len, "knobs") }?;
        if text.is_empty() {
            return Ok(());
        }
        match parse_knobs(text) {
            Ok(knobs) => match process::append_with(|shared| shared.log.apply_knobs(knobs)) {
                Err(Error::NotInitialized) | Ok(()) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Err(error) => {
                log_at!(Error, "the server knobs are not applied: {error}");
                Ok(())
            }
        }
    })
}

fn parse_knobs(text: &str) -> Result<ServerKnobs, serde_json::Error> {
    #[derive(serde::Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Knobs {
        metrics_enabled: std::collections::BTreeMap<String, bool>,
        pings_enabled: std::collections::BTreeMap<String, bool>,
        event_threshold: Option<u32>,
        session_sample_rate: Option<f64>,
        events_ping_acceleration_factor: Option<i64>,
    }
    // A struct may be read from an array as well, which these settings are not.
    let map: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
    drop(map);
    let knobs: Knobs = serde_json::from_str(text)?;
    Ok(ServerKnobs {
        metrics_enabled: knobs.metrics_enabled,
        pings_enabled: knobs.pings_enabled,
        event_threshold: knobs.event_threshold,
        session_sample_rate: knobs.session_sample_rate,
        events_ping_acceleration_factor: knobs.events_ping_acceleration_factor,
    })
}
