//! Uploads: the core says what is to be sent, the caller sends it and reports.

use super::buffers::GleanBuffer;
use super::{Failure, GLEAN_NO_VALUE, GLEAN_OUT_OF_RANGE, found, guard, out, parse, strings};
use crate::do_not_track;
use crate::process::inspect;
use crate::process::uploads;
use crate::upload::{Outcome, Task};

/// There is nothing to send now.
pub const GLEAN_UPLOAD_DONE: i32 = 0;
/// A ping is to be sent.
pub const GLEAN_UPLOAD_SEND: i32 = 1;
/// The next call has to wait.
pub const GLEAN_UPLOAD_WAIT: i32 = 2;

/// The server answered.
pub const GLEAN_UPLOAD_HTTP_STATUS: i32 = 0;
/// There was no answer, but there may be one later.
pub const GLEAN_UPLOAD_RECOVERABLE_FAILURE: i32 = 1;
/// There never will be one.
pub const GLEAN_UPLOAD_UNRECOVERABLE_FAILURE: i32 = 2;
/// The uploader can't do what the ping needs.
pub const GLEAN_UPLOAD_INCAPABLE: i32 = 3;
/// The uploader stopped before it knew: the ping stays.
pub const GLEAN_UPLOAD_STOPPED: i32 = 4;

/// What is to be done next, to be freed with `glean_upload_task_free`.
#[repr(C)]
#[derive(Debug)]
pub struct GleanUploadTask {
    /// `GLEAN_UPLOAD_DONE`, `GLEAN_UPLOAD_SEND` or `GLEAN_UPLOAD_WAIT`.
    pub kind: i32,
    /// Milliseconds until the next call makes sense; `UINT64_MAX` if nothing changes by itself.
    pub ms: u64,
    /// The id of the ping; this and what follows is empty unless it is to be sent.
    pub document_id: GleanBuffer,
    /// Where to.
    pub url: GleanBuffer,
    /// The compressed body.
    pub body: GleanBuffer,
    /// The headers, as a JSON object.
    pub headers: GleanBuffer,
    /// What the uploader has to be able to do, as a JSON array.
    pub capabilities: GleanBuffer,
}

impl From<Task> for GleanUploadTask {
    fn from(task: Task) -> GleanUploadTask {
        let nothing = || GleanBuffer::from(Vec::new());
        let (kind, ms) = match &task {
            Task::Send(_) => (GLEAN_UPLOAD_SEND, 0),
            Task::Wait(ms) => (GLEAN_UPLOAD_WAIT, *ms),
            Task::Done(ms) => (GLEAN_UPLOAD_DONE, ms.unwrap_or(u64::MAX)),
        };
        let mut made = GleanUploadTask {
            kind,
            ms,
            document_id: nothing(),
            url: nothing(),
            body: nothing(),
            headers: nothing(),
            capabilities: nothing(),
        };
        if let Task::Send(request) = task {
            made.document_id = GleanBuffer::from(request.document_id);
            made.url = GleanBuffer::from(request.url);
            made.body = GleanBuffer::from(request.body);
            made.headers = GleanBuffer::from(serde_json::json!(request.headers).to_string());
            made.capabilities = GleanBuffer::from(serde_json::json!(request.capabilities).to_string());
        }
        made
    }
}

/// Writes what is to be done next. `endpoint` is the URL that the submission path is appended to; nothing is sent without.
///
/// Carries out what was called so far, may read and compress a file, and may remove a bounded number of files.
///
/// # Safety
///
/// `endpoint` is NULL or valid for reads of `len` bytes, `out_task` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_upload_next(endpoint: *const u8, len: u64, out_task: *mut GleanUploadTask) -> i32 {
    guard("glean_upload_next", || {
        // SAFETY: promised by the caller, here and below.
        let out_task = unsafe { out(out_task, "out_task") }?;
        // SAFETY: as above.
        let endpoint = unsafe { strings::read(endpoint, len, "endpoint") }?;
        let task = GleanUploadTask::from(uploads::next(endpoint));
        // SAFETY: as above. What is there before may be anything.
        unsafe { std::ptr::write(out_task, task) };
        Ok(())
    })
}

/// Frees what is in a task and empties it, so that a second call does nothing. NULL is allowed.
///
/// # Safety
///
/// `task` is NULL or points to a task that this library filled, or that is all zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_upload_task_free(task: *mut GleanUploadTask) -> i32 {
    guard("glean_upload_task_free", || {
        // SAFETY: promised by the caller, here and below.
        if let Some(task) = unsafe { task.as_mut() } {
            let buffers =
                [&mut task.document_id, &mut task.url, &mut task.body, &mut task.headers, &mut task.capabilities];
            for buffer in buffers {
                // SAFETY: as above.
                unsafe { super::buffers::glean_buffer_free(buffer) };
            }
        }
        Ok(())
    })
}

/// Takes over what became of a request.
///
/// `result` is one of `GLEAN_UPLOAD_HTTP_STATUS` and those that follow, `http_status` counts with the first one only.
/// `retry_after_ms` is what the server asked for, `UINT64_MAX` if it did not. Writes 1 if the caller should stop for now.
///
/// # Safety
///
/// `document_id` is NULL or valid for reads of `len` bytes, `out_is_over` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_upload_report(
    document_id: *const u8,
    len: u64,
    result: i32,
    http_status: u32,
    retry_after_ms: u64,
    out_is_over: *mut u8,
) -> i32 {
    guard("glean_upload_report", || {
        // SAFETY: promised by the caller, here and below.
        let out_is_over = unsafe { out(out_is_over, "out_is_over") }?;
        // SAFETY: as above.
        let document_id = unsafe { strings::read(document_id, len, "document_id") }?;
        let outcome = match result {
            GLEAN_UPLOAD_HTTP_STATUS => Outcome::HttpStatus(http_status),
            GLEAN_UPLOAD_RECOVERABLE_FAILURE => Outcome::Recoverable,
            GLEAN_UPLOAD_UNRECOVERABLE_FAILURE => Outcome::Unrecoverable,
            GLEAN_UPLOAD_INCAPABLE => Outcome::Incapable,
            GLEAN_UPLOAD_STOPPED => Outcome::Stopped,
            other => {
                let why = format!("{other} is no result of an upload: 0 to 4 are");
                return Err(Failure::new(GLEAN_OUT_OF_RANGE, why));
            }
        };
        let asked_ms = (retry_after_ms != u64::MAX).then_some(retry_after_ms);
        *out_is_over = u8::from(uploads::report(document_id, outcome, asked_ms));
        Ok(())
    })
}

/// Sleeps until a ping is published or `glean_upload_wake` is called, at most so long; writes 0 if neither happened.
///
/// # Safety
///
/// `out_is_woken` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_upload_wait(timeout_ms: u64, out_is_woken: *mut u8) -> i32 {
    guard("glean_upload_wait", || {
        // SAFETY: promised by the caller.
        let out_is_woken = unsafe { out(out_is_woken, "out_is_woken") }?;
        *out_is_woken = u8::from(uploads::wait(timeout_ms));
        Ok(())
    })
}

/// Ends `glean_upload_wait`, also one that begins later.
#[unsafe(no_mangle)]
pub extern "C" fn glean_upload_wake() -> i32 {
    guard("glean_upload_wake", || {
        uploads::wake();
        Ok(())
    })
}

/// Prepares uploads from a directory in a process in which Glean doesn't run, with a JSON description.
///
/// `GLEAN_NO_VALUE` if there is no such directory, or the environment says `DO_NOT_TRACK`; `GLEAN_LOCKED` if another process
/// has it; `GLEAN_ALREADY_INITIALIZED` if Glean runs.
///
/// # Safety
///
/// `settings` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_upload_open(settings: *const u8, len: u64) -> i32 {
    guard("glean_upload_open", || {
        // SAFETY: promised by the caller.
        let text = unsafe { strings::read(settings, len, "settings") }?;
        if uploads::open(&parse(text, "settings")?, parse(text, "settings")?)? {
            return Ok(());
        }
        Err(Failure::new(GLEAN_NO_VALUE, "there is no such directory, or DO_NOT_TRACK is set"))
    })
}

/// Ends uploads: what is being sent is given back, and the directory is left. Until then they go on when Glean ends.
#[unsafe(no_mangle)]
pub extern "C" fn glean_upload_close() -> i32 {
    guard("glean_upload_close", || {
        uploads::close();
        Ok(())
    })
}

/// Writes whether there is something to send, as a JSON object: `waiting`, `retry_ms`, `is_exclusive_taken`, `is_frozen`.
///
/// # Safety
///
/// `out_json` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_upload_peek(out_json: *mut GleanBuffer) -> i32 {
    guard("glean_upload_peek", || {
        // SAFETY: promised by the caller.
        *unsafe { out(out_json, "out_json") }? = GleanBuffer::from(uploads::peek().to_string());
        Ok(())
    })
}

/// Writes what is in a data directory, as a JSON object; with the bodies of pings if `with_bodies` isn't 0.
///
/// Changes nothing, also beside a running program. `GLEAN_NO_VALUE` if it is no data directory.
///
/// # Safety
///
/// `data_dir` is NULL or valid for reads of `len` bytes, `out_json` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_inspect(
    data_dir: *const u8,
    len: u64,
    with_bodies: u8,
    out_json: *mut GleanBuffer,
) -> i32 {
    guard("glean_inspect", || {
        // SAFETY: promised by the caller, here and below.
        let out_json = unsafe { out(out_json, "out_json") }?;
        // SAFETY: as above.
        let data_dir = unsafe { strings::read(data_dir, len, "data_dir") }?;
        *out_json = GleanBuffer::from(found(inspect::inspect(data_dir.as_ref(), with_bodies != 0))?.to_string());
        Ok(())
    })
}

/// Removes the pings that wait, except requests for deletion; writes how many.
///
/// # Safety
///
/// `data_dir` is NULL or valid for reads of `len` bytes, `out_removed` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_purge(data_dir: *const u8, len: u64, out_removed: *mut u64) -> i32 {
    guard("glean_purge", || {
        // SAFETY: promised by the caller, here and below.
        let out_removed = unsafe { out(out_removed, "out_removed") }?;
        // SAFETY: as above.
        let data_dir = unsafe { strings::read(data_dir, len, "data_dir") }?;
        *out_removed = found(inspect::purge(data_dir.as_ref())?)?;
        Ok(())
    })
}

/// Writes whether the environment says `DO_NOT_TRACK`: Glean does nothing then.
///
/// # Safety
///
/// `out_frozen` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_is_frozen(out_frozen: *mut u8) -> i32 {
    guard("glean_is_frozen", || {
        // SAFETY: promised by the caller.
        *unsafe { out(out_frozen, "out_frozen") }? = u8::from(do_not_track::is_asked_for());
        Ok(())
    })
}
