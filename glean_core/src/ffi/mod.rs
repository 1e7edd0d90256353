//! The C ABI: `include/glean.h` is generated from this module by cbindgen.
//!
//! Rules for every function:
//!
//! * It returns a status, `GLEAN_OK` or one of the other `GLEAN_*` numbers; results go through pointers, which are written
//!   only with `GLEAN_OK`. [`glean_last_error`] says why the last call of this thread failed.
//! * A panic is caught and becomes `GLEAN_PANIC`.
//! * Texts come in as address and length of UTF-8 bytes, borrowed for the call; NUL is a character like any other. They
//!   go out as a [`buffers::GleanBuffer`].
//! * Metrics and pings are handles. A handle that was destroyed or never given out is `GLEAN_INVALID_HANDLE`.
//! * In a process forked after [`glean_initialize`], every function but [`glean_abi_version`] and
//!   [`buffers::glean_buffer_free`] does nothing and returns `GLEAN_FORKED`.

pub mod boolean;
pub mod buffers;
pub mod counter;
pub mod handles;
pub mod ping;
pub mod string;
pub mod strings;
pub mod uuid;

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::common_metric_data::{CommonMetricData, Lifetime};
use crate::error::Error;
use crate::error_recording::ErrorType;
use crate::glean::Configuration;
use crate::global;
use crate::logging::{self, log_at};
use buffers::GleanBuffer;
use strings::GleanString;

/// Version of this interface. A binding made for another version must not be used.
pub const GLEAN_ABI_VERSION: u32 = 1;

/// The call did what it says.
pub const GLEAN_OK: i32 = 0;
/// A pointer that has to point somewhere is NULL.
pub const GLEAN_NULL_POINTER: i32 = 1;
/// A text isn't UTF-8.
pub const GLEAN_INVALID_UTF8: i32 = 2;
/// A number or a length is outside of what the parameter allows.
pub const GLEAN_OUT_OF_RANGE: i32 = 3;
/// The handle was destroyed, never given out, or belongs to another type.
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
/// Another process owns the data directory.
pub const GLEAN_LOCKED: i32 = 10;
/// The process was forked from one that runs Glean; nothing is recorded in it.
pub const GLEAN_FORKED: i32 = 11;
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
            Error::Io { .. } => GLEAN_IO,
            Error::Locked { .. } => GLEAN_LOCKED,
            Error::EmptyApplicationId => GLEAN_INVALID_ARGUMENT,
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

/// Runs the body of a C function: refuses it in a forked process, catches panics, keeps the message of a failure.
pub(crate) fn guard(function: &'static str, body: impl FnOnce() -> Outcome) -> i32 {
    if !global::enter() {
        return fail(
            function,
            GLEAN_FORKED,
            "this process was forked from one that runs Glean; nothing is recorded in it",
        );
    }
    catch_panic(function, body)
}

/// [`guard`] for functions that touch no state and so work in a forked process, too.
pub(crate) fn catch_panic(function: &'static str, body: impl FnOnce() -> Outcome) -> i32 {
    static HOOK: Once = Once::new();
    HOOK.call_once(keep_panics_silent);
    let was_guarded = IS_GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    IS_GUARDED.set(was_guarded);
    match result {
        Ok(Ok(())) => GLEAN_OK,
        Ok(Err(failure)) => fail(function, failure.status, failure.message),
        Err(_) => {
            let message = PANIC.take().unwrap_or_default();
            log_at!(Error, "{function}: error inside Glean, please report it: {message}");
            fail(function, GLEAN_PANIC, message)
        }
    }
}

fn fail(function: &str, status: i32, message: impl Display) -> i32 {
    LAST_ERROR.set(format!("{function}: {message}"));
    status
}

/// Keeps the message of a panic inside [`catch_panic`] instead of printing it; others are printed as before.
fn keep_panics_silent() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(
        move |info| {
            if IS_GUARDED.get() { PANIC.set(Some(info.to_string())) } else { previous(info) }
        },
    ));
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

/// Returns a struct to read.
///
/// # Safety
///
/// `pointer` is NULL or valid for reads during `'a`.
pub(crate) unsafe fn input<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Failure> {
    // SAFETY: promised by the caller.
    unsafe { pointer.as_ref() }.ok_or_else(|| Failure::new(GLEAN_NULL_POINTER, format!("{name} is NULL")))
}

/// Turns "nothing is stored" into its status.
pub(crate) fn found<T>(value: Option<T>) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::new(GLEAN_NO_VALUE, "nothing is stored"))
}

pub(crate) fn error_type(number: i32) -> Result<ErrorType, Failure> {
    ErrorType::from_number(number)
        .ok_or_else(|| Failure::new(GLEAN_OUT_OF_RANGE, format!("{number} is no error type: 0 to 3 are")))
}

/// What all metrics have in common; borrowed for the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GleanCommonMetricData {
    /// First part of the identifier; may be empty.
    pub category: GleanString,
    /// Last part of the identifier.
    pub name: GleanString,
    /// The label of one metric of a labeled one; NULL data for none.
    pub label: GleanString,
    /// Names of the pings the metric is sent in.
    pub send_in_pings: *const GleanString,
    /// Number of names in `send_in_pings`.
    pub send_in_pings_len: u64,
    /// 0 until the ping is collected, 1 until the next start, 2 until collection is switched off.
    pub lifetime: i32,
    /// 1 if nothing is recorded.
    pub disabled: u8,
    /// 1 if the metric belongs to a session.
    pub in_session: u8,
}

impl GleanCommonMetricData {
    /// Copies what the pointer points to.
    ///
    /// # Safety
    ///
    /// `pointer` is NULL or valid for reads, and so are the texts and the array in it.
    pub(crate) unsafe fn read(pointer: *const GleanCommonMetricData) -> Result<CommonMetricData, Failure> {
        // SAFETY: promised by the caller, here and below.
        unsafe {
            let meta = input(pointer, "meta")?;
            let lifetime = Lifetime::from_number(meta.lifetime).ok_or_else(|| {
                Failure::new(GLEAN_OUT_OF_RANGE, format!("{} is no lifetime: 0 to 2 are", meta.lifetime))
            })?;
            Ok(CommonMetricData {
                category: meta.category.read("category")?,
                name: meta.name.read("name")?,
                send_in_pings: strings::read_list(meta.send_in_pings, meta.send_in_pings_len, "send_in_pings")?,
                lifetime,
                disabled: meta.disabled != 0,
                label: meta.label.read_optional("label")?,
                in_session: meta.in_session != 0,
            })
        }
    }
}

/// What [`glean_initialize`] is told; borrowed for the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GleanConfiguration {
    /// The directory for everything Glean keeps; created with its parents.
    pub data_dir: GleanString,
    /// Id of the application; must not be empty.
    pub application_id: GleanString,
    /// `client_info.app_display_version`.
    pub app_display_version: GleanString,
    /// `client_info.app_build`.
    pub app_build: GleanString,
    /// `client_info.app_channel`; NULL data for none.
    pub channel: GleanString,
    /// `client_info.architecture`.
    pub architecture: GleanString,
    /// `client_info.os_version`.
    pub os_version: GleanString,
    /// Tag added to every ping that has a client id; NULL data for none.
    pub experimentation_id: GleanString,
    /// 1 if anything is recorded and sent.
    pub collection_enabled: u8,
    /// 1 if the pings `baseline`, `metrics`, `events` and `health` start enabled.
    pub enable_internal_pings: u8,
}

impl GleanConfiguration {
    /// Copies what the pointer points to.
    ///
    /// # Safety
    ///
    /// `pointer` is NULL or valid for reads, and so are the texts in it.
    unsafe fn read(pointer: *const GleanConfiguration) -> Result<Configuration, Failure> {
        // SAFETY: promised by the caller, here and below.
        unsafe {
            let configuration = input(pointer, "configuration")?;
            Ok(Configuration {
                data_dir: configuration.data_dir.read("data_dir")?.into(),
                application_id: configuration.application_id.read("application_id")?,
                app_display_version: configuration.app_display_version.read("app_display_version")?,
                app_build: configuration.app_build.read("app_build")?,
                channel: configuration.channel.read_optional("channel")?,
                architecture: configuration.architecture.read("architecture")?,
                os_version: configuration.os_version.read("os_version")?,
                experimentation_id: configuration.experimentation_id.read_optional("experimentation_id")?,
                collection_enabled: configuration.collection_enabled != 0,
                enable_internal_pings: configuration.enable_internal_pings != 0,
            })
        }
    }
}

/// Writes `GLEAN_ABI_VERSION` as the library was built with. Works in any process and before anything else.
///
/// # Safety
///
/// `out_version` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_abi_version(out_version: *mut u32) -> i32 {
    catch_panic("glean_abi_version", || {
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
        *unsafe { out(out_version, "out_version") }? = GleanBuffer::from(crate::VERSION.to_owned());
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
    catch_panic("glean_last_error", || {
        // SAFETY: promised by the caller.
        let out_message = unsafe { out(out_message, "out_message") }?;
        *out_message = GleanBuffer::from(LAST_ERROR.with_borrow(String::clone));
        Ok(())
    })
}

/// Starts Glean and runs the calls that waited for it.
///
/// After `GLEAN_LOCKED`, `GLEAN_IO` or `GLEAN_INVALID_ARGUMENT` Glean is off until [`glean_reset`]: recording does
/// nothing and returns `GLEAN_NOT_INITIALIZED`. `GLEAN_ALREADY_INITIALIZED` changes nothing.
///
/// # Safety
///
/// `configuration` is NULL or valid for reads, and so are the texts in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_initialize(configuration: *const GleanConfiguration) -> i32 {
    guard("glean_initialize", || {
        // SAFETY: promised by the caller.
        let configuration = unsafe { GleanConfiguration::read(configuration) }?;
        global::initialize(configuration).map_err(|error| {
            log_at!(Error, "Glean is off: {error}");
            error.into()
        })
    })
}

/// Ends Glean: everything is on the disk, later calls do nothing and return `GLEAN_NOT_INITIALIZED`.
///
/// `GLEAN_NOT_INITIALIZED` if it doesn't run; calls that waited for it are dropped.
#[unsafe(no_mangle)]
pub extern "C" fn glean_shutdown() -> i32 {
    guard("glean_shutdown", || Ok(global::shutdown()?))
}

/// Ends Glean like [`glean_shutdown`] and makes [`glean_initialize`] possible again. Handles stay valid.
#[unsafe(no_mangle)]
pub extern "C" fn glean_reset() -> i32 {
    guard("glean_reset", || {
        global::reset();
        Ok(())
    })
}

/// Switches collection on (1) or off (0); off removes what was recorded and submits a `deletion-request`.
///
/// `GLEAN_NOT_INITIALIZED` if Glean doesn't run: nothing is remembered.
#[unsafe(no_mangle)]
pub extern "C" fn glean_set_collection_enabled(enabled: u8) -> i32 {
    guard("glean_set_collection_enabled", || Ok(global::ask(|glean| glean.set_collection_enabled(enabled != 0))?))
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
        assert_eq!(status, GLEAN_PANIC);
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
            GLEAN_FORKED,
            GLEAN_PANIC,
            GLEAN_TOO_MANY_HANDLES,
        ];
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }
}
