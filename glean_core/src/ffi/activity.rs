//! The C form of activity and sessions.

use super::{guard, strings};
use crate::machine::op::{Moment, Op};
use crate::process;

/// The user began to use the application.
#[unsafe(no_mangle)]
pub extern "C" fn glean_handle_client_active() -> i32 {
    guard("glean_handle_client_active", || Ok(process::client_active()?))
}

/// The user stopped using the application.
#[unsafe(no_mangle)]
pub extern "C" fn glean_handle_client_inactive() -> i32 {
    guard("glean_handle_client_inactive", || Ok(process::client_inactive()?))
}

/// Starts a session, if the application is in charge of them.
#[unsafe(no_mangle)]
pub extern "C" fn glean_session_start() -> i32 {
    guard("glean_session_start", || Ok(process::append(&Op::SessionStart(Moment::now()))?))
}

/// Ends the session, if the application is in charge of them. `reason` is NULL for none.
///
/// # Safety
///
/// `reason` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_session_end(reason: *const u8, len: u64) -> i32 {
    guard("glean_session_end", || {
        // SAFETY: promised by the caller.
        let reason = unsafe { strings::read_optional(reason, len, "reason") }?;
        Ok(process::append(&Op::SessionEnd(reason, Moment::now()))?)
    })
}
