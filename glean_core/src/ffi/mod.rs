//! The C ABI: `include/glean.h` is generated from this module by cbindgen.
//!
//! Rules for every function, unless it says otherwise:
//!
//! * It returns a status, `GLEAN_OK` or one of the other `GLEAN_*` numbers, to which `GLEAN_LOGGED` is added while log
//!   messages wait. Results go through pointers, which are written only with `GLEAN_OK`. [`glean_last_error`] says why the
//!   last call of this thread failed.
//! * A panic is caught and becomes `GLEAN_PANIC`.
//! * Texts come in as address and length of UTF-8 bytes, borrowed for the call; NUL is a character like any other. They
//!   go out as a [`buffers::GleanBuffer`]. What has a structure is JSON.
//! * Metrics and pings are handles. A handle that was destroyed or never given out is `GLEAN_INVALID_HANDLE`.
//! * When a recording call returns, the death of the process can't take it back. Before [`lifecycle::glean_initialize`]
//!   calls wait in memory.
//! * In a child made by `fork` everything works as in its parent; what each of them records is kept and counted once.

pub mod activity;
pub mod buffers;
pub mod debug;
pub mod dual_labeled_counter;
pub mod experiments;
pub mod facts;
pub mod labeled;
pub mod lifecycle;
pub mod metric;
pub mod ping;
pub mod recording;
pub mod strings;
pub mod submitted;
pub mod upload;

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::error_recording::ErrorType;
use crate::logging::{self, log_at};
use buffers::GleanBuffer;

/// Version of this interface. A binding made for another version must not be used.
pub const GLEAN_ABI_VERSION: u32 = 3;

/// Added to a status while log messages wait for `glean_log_next`.
pub const GLEAN_LOGGED: i32 = 256;
/// The call did what it says.
pub const GLEAN_OK: i32 = 0;
/// A pointer that has to point somewhere is NULL.
pub const GLEAN_NULL_POINTER: i32 = 1;
/// A text isn't UTF-8.
pub const GLEAN_INVALID_UTF8: i32 = 2;
/// A number or a length is outside of what the parameter allows.
pub const GLEAN_OUT_OF_RANGE: i32 = 3;
/// The handle was destroyed, never given out, or is none of a metric where one is needed, or of a ping.
/// A recording call for another type of metric is `GLEAN_OK` and counted as an invalid state of that metric.
pub const GLEAN_INVALID_HANDLE: i32 = 4;
/// An argument isn't acceptable.
pub const GLEAN_INVALID_ARGUMENT: i32 = 5;
/// Glean isn't running.
pub const GLEAN_NOT_INITIALIZED: i32 = 6;
/// Glean was initialized before; the call changed nothing.
pub const GLEAN_ALREADY_INITIALIZED: i32 = 7;
/// There is nothing to return.
pub const GLEAN_NO_VALUE: i32 = 8;
/// A file or directory could not be used.
pub const GLEAN_IO: i32 = 9;
/// Another process holds the data directory for too long.
pub const GLEAN_LOCKED: i32 = 10;
/// An error inside the library; nothing else is affected.
pub const GLEAN_PANIC: i32 = 12;
/// Too many metrics or pings exist at the same time.
pub const GLEAN_TOO_MANY_HANDLES: i32 = 13;

/// Why a call of the ABI failed.
#[derive(Debug)]
pub(crate) struct Failure {
    status: i32,
    message: String,
}

impl Failure {
    pub(crate) fn new(status: i32, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let status = match error {
            Error::Io { .. } | Error::Backlog { .. } => GLEAN_IO,
            Error::Locked { .. } => GLEAN_LOCKED,
            Error::EmptyApplicationId | Error::NoDataDir => GLEAN_INVALID_ARGUMENT,
            Error::NotInitialized => GLEAN_NOT_INITIALIZED,
            Error::AlreadyInitialized => GLEAN_ALREADY_INITIALIZED,
        };
        Failure::new(status, error.to_string())
    }
}

pub(crate) type Outcome = Result<(), Failure>;

thread_local! {
    static LAST_ERROR: RefCell<String> = const { RefCell::new(String::new()) };
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs the body of a C function: catches panics, keeps the message of a failure, tells of log messages.
pub(crate) fn guard(function: &'static str, body: impl FnOnce() -> Outcome) -> i32 {
    static HOOK: Once = Once::new();
    HOOK.call_once(keep_panics_silent);
    // Without thread-local memory, in a thread that ends, all of this still works but the messages.
    let was_guarded = IS_GUARDED.try_with(|guarded| guarded.replace(true)).unwrap_or(true);
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    let _ = IS_GUARDED.try_with(|guarded| guarded.set(was_guarded));
    let status = match result {
        Ok(Ok(())) => GLEAN_OK,
        Ok(Err(failure)) => fail(function, failure.status, failure.message),
        Err(_) => {
            let message = PANIC.try_with(RefCell::take).ok().flatten().unwrap_or_default();
            log_at!(Error, "{function}: error inside Glean, please report it: {message}");
            fail(function, GLEAN_PANIC, message)
        }
    };
    status | logged()
}

/// Returns what to add to a status: that log messages wait, or nothing.
#[inline]
pub(crate) fn logged() -> i32 {
    if logging::has_pending() { GLEAN_LOGGED } else { GLEAN_OK }
}

#[cold]
fn fail(function: &str, status: i32, message: impl Display) -> i32 {
    let _ = LAST_ERROR.try_with(|last| last.replace(format!("{function}: {message}")));
    status
}

/// Keeps the message of a panic inside [`guard`] instead of printing it; others are printed as before.
fn keep_panics_silent() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let is_ours = IS_GUARDED.try_with(Cell::get).unwrap_or(true);
        if is_ours {
            let _ = PANIC.try_with(|panic| panic.replace(Some(info.to_string())));
        } else {
            previous(info);
        }
    }));
}

/// Returns where to write a result.
///
/// # Safety
///
/// `out` is NULL or valid for a write.
pub(crate) unsafe fn out<'a, T>(out: *mut T, name: &str) -> Result<&'a mut T, Failure> {
    // SAFETY: promised by the caller.
    unsafe { out.as_mut() }.ok_or_else(|| Failure::new(GLEAN_NULL_POINTER, format!("{name} is NULL")))
}

/// Reads JSON text.
///
/// # Safety
///
/// As for [`strings::read`].
pub(crate) unsafe fn json<T: DeserializeOwned>(data: *const u8, len: u64, name: &str) -> Result<T, Failure> {
    // SAFETY: promised by the caller.
    parse(unsafe { strings::read(data, len, name) }?, name)
}

/// Reads JSON text that was read as text before.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, name: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::new(GLEAN_INVALID_ARGUMENT, format!("{name}: {error}")))
}

fn invalid_handle() -> Failure {
    Failure::new(GLEAN_INVALID_HANDLE, "the handle was destroyed, never given out, or belongs to another type")
}

/// Turns "nothing is stored" into its status.
pub(crate) fn found<T>(value: Option<T>) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::new(GLEAN_NO_VALUE, "nothing is stored"))
}

pub(crate) fn error_type(number: i32) -> Result<ErrorType, Failure> {
    ErrorType::from_number(number)
        .ok_or_else(|| Failure::new(GLEAN_OUT_OF_RANGE, format!("{number} is no error type: 0 to 3 are")))
}

/// Writes `GLEAN_ABI_VERSION` as the library was built with. Works in any process and before anything else.
///
/// # Safety
///
/// `out_version` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_abi_version(out_version: *mut u32) -> i32 {
    guard("glean_abi_version", || {
        // SAFETY: promised by the caller.
        *unsafe { out(out_version, "out_version") }? = GLEAN_ABI_VERSION;
        Ok(())
    })
}

/// Writes the version of the library as a text, for example `0.1.0`.
///
/// # Safety
///
/// `out_version` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_version(out_version: *mut GleanBuffer) -> i32 {
    guard("glean_version", || {
        // SAFETY: promised by the caller.
        let out_version = unsafe { out(out_version, "out_version") }?;
        *out_version = GleanBuffer::from(crate::VERSION.to_owned());
        Ok(())
    })
}

/// Writes why the last failed call of this thread failed; an empty text if none did.
///
/// # Safety
///
/// `out_message` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_last_error(out_message: *mut GleanBuffer) -> i32 {
    guard("glean_last_error", || {
        // SAFETY: promised by the caller.
        let out_message = unsafe { out(out_message, "out_message") }?;
        *out_message = GleanBuffer::from(LAST_ERROR.try_with(|last| last.borrow().clone()).unwrap_or_default());
        Ok(())
    })
}

/// Sets the lowest level of log messages that are kept: 10 debug, 20 info (at start), 30 warning, 40 error.
#[unsafe(no_mangle)]
pub extern "C" fn glean_log_set_level(level: i32) -> i32 {
    guard("glean_log_set_level", || {
        logging::set_threshold(level);
        Ok(())
    })
}

/// Writes the address of the number of waiting log messages. It may be read at any time, without a call.
///
/// # Safety
///
/// `out_address` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_log_pending(out_address: *mut *const u32) -> i32 {
    guard("glean_log_pending", || {
        // SAFETY: promised by the caller.
        *unsafe { out(out_address, "out_address") }? = logging::pending().as_ptr();
        Ok(())
    })
}

/// Takes the oldest waiting log message: its level (10, 20, 30, 40) and text. `GLEAN_NO_VALUE` if there is none.
///
/// At most 1000 messages wait; older ones are dropped for newer ones.
///
/// # Safety
///
/// `out_level` and `out_message` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_log_next(out_level: *mut i32, out_message: *mut GleanBuffer) -> i32 {
    guard("glean_log_next", || {
        // SAFETY: promised by the caller, here and below.
        let out_level = unsafe { out(out_level, "out_level") }?;
        // SAFETY: as above.
        let out_message = unsafe { out(out_message, "out_message") }?;
        let (level, message) = found(logging::pop())?;
        *out_level = level as i32;
        *out_message = GleanBuffer::from(message);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_a_message_and_is_logged() {
        let status = guard("glean_test", || panic!("on purpose"));
        assert_eq!(status & !GLEAN_LOGGED, GLEAN_PANIC);
        assert!(LAST_ERROR.with_borrow(|message| message.contains("on purpose")));
        let messages: Vec<String> = std::iter::from_fn(logging::pop).map(|(_, message)| message).collect();
        assert!(messages.iter().any(|message| message.contains("on purpose")), "{messages:?}");
    }

    #[test]
    fn status_numbers_differ() {
        let mut numbers = vec![
            GLEAN_OK,
            GLEAN_NULL_POINTER,
            GLEAN_INVALID_UTF8,
            GLEAN_OUT_OF_RANGE,
            GLEAN_INVALID_HANDLE,
            GLEAN_INVALID_ARGUMENT,
            GLEAN_NOT_INITIALIZED,
            GLEAN_ALREADY_INITIALIZED,
            GLEAN_NO_VALUE,
            GLEAN_IO,
            GLEAN_LOCKED,
            GLEAN_PANIC,
            GLEAN_TOO_MANY_HANDLES,
        ];
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }
}
