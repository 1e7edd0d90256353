//! The one Glean of a process: the log its calls go to, the engine that folds, and the threads that do what no call waits for.
//!
//! Three locks. That of [`Shared`] is held for the time of one append, by every call and by every fork; nothing touches a file
//! while it is held. That of the engine is held for a whole fold, by a thread or by a getter; the first may be taken while it is
//! held, never the other way round. That of a [`worker`] is held for a moment.
//!
//! | state of the log | begins with | its calls |
//! | --- | --- | --- |
//! | waiting | the process, [`reset`] | wait in memory |
//! | starting | [`initialize`] | wait in memory, until the thread of files made the first segment |
//! | running | the first segment | survive the process |
//! | ended | [`finish`] | survive the process; the next start folds them |
//! | off | [`shutdown`], an error of the start | are dropped |

mod calls;
mod folding;
#[cfg(unix)]
mod fork;
pub mod inspect;
mod lifecycle;
mod replaced;
pub mod schedule;
mod segments;
pub mod uploads;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use calls::{BeforeStart, Calls};
pub use folding::{ask, fold, submit_now};
pub(crate) use lifecycle::environment_log_pings;
pub use lifecycle::{begin, finish, initialize, new_start, prepare_process, reset, shutdown};
pub use segments::{serve, write_journal};

use crate::error::{Error, Result};
use crate::handles::{Handles, Object};
use crate::journal::log::Appended;
use crate::logging::log_at;
use crate::machine::op::{Moment, Op};
use crate::store::lock::FileLock;
use crate::time::awake_nanos;
use schedule::Schedule;
use uploads::Attached;
use worker::Worker;

/// How long a call waits until a file takes it. It happens once: after that, calls wait in memory until the disk is back.
const FILE_PATIENCE: Duration = Duration::from_millis(500);

/// The same in test mode, and for getters.
const TEST_PATIENCE: Duration = Duration::from_secs(10);

/// What every call needs.
pub struct Shared {
    /// The calls.
    pub log: Calls,
    /// The metrics and pings.
    pub handles: Handles,
    /// When the user began to use the application, on the clock of [`awake_nanos`].
    pub active_since: Option<u64>,
    /// Whether pings are shown in the log.
    pub log_pings: Option<bool>,
    /// What is submitted without a call.
    schedule: Schedule,
    /// Where pings are sent from.
    pub uploads: Option<Attached>,
    data_dir: Option<PathBuf>,
    /// The same without links, once the directory is there.
    real_dir: Option<PathBuf>,
    /// The lock that says that this process lives.
    life: Option<FileLock>,
    /// Another number for each start, so that a thread knows whether what it works for is still there.
    generation: u64,
    /// Why the last start failed.
    start_error: Option<Error>,
    /// Set while the disk takes no file, so that no call waits for it.
    is_stalled: bool,
    /// What the thread that folds has to do at the end.
    end: Option<lifecycle::End>,
}

static SHARED: Mutex<Shared> = Mutex::new(Shared {
    log: Calls::new(),
    handles: Handles::new(),
    active_since: None,
    log_pings: None,
    schedule: Schedule::new(),
    uploads: None,
    data_dir: None,
    real_dir: None,
    life: None,
    generation: 0,
    start_error: None,
    is_stalled: false,
    end: None,
});
/// Signals, together with [`SHARED`], that calls went from memory to a file, or that this has to wait.
static MOVED: Condvar = Condvar::new();
/// Makes and removes the files of this process.
static FILES: Worker = Worker::new("glean.files", segments::work);
/// Folds.
static FOLDS: Worker = Worker::new("glean.fold", folding::work);
static IS_TEST_MODE: AtomicBool = AtomicBool::new(false);
/// How many more events are recorded before the fold looks whether there are enough for a ping.
static EVENTS_TO_FOLD: AtomicI64 = AtomicI64::new(0);

/// Gives access to what every call needs, for a moment.
#[inline]
pub fn shared() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds to a counter, if that needs nothing but a few stores; `false` if it has to be recorded in the general way.
///
/// Nothing in here can panic, so it needs no guard.
#[inline]
pub fn count(handle: u64, amount: i32) -> bool {
    let mut guard = shared();
    let shared = &mut *guard;
    let counted = match (shared.handles.get(handle), u32::try_from(amount)) {
        (Some(Object::Metric(metric)), Ok(amount)) if metric.counts => shared.log.count(metric, amount),
        _ => None,
    };
    drop(guard);
    if counted == Some(Appended::AndWanted) {
        FILES.wake();
    }
    counted.is_some()
}

/// Turns on that every call is carried out before it returns.
pub fn set_test_mode(is_on: bool) {
    IS_TEST_MODE.store(is_on, Ordering::Relaxed);
}

fn is_test_mode() -> bool {
    IS_TEST_MODE.load(Ordering::Relaxed)
}

/// Appends an operation that has an effect outside, and sees to it that the fold comes to it.
///
/// # Errors
///
/// [`Error::NotInitialized`] if it was dropped.
pub fn append(op: &Op<'_>) -> Result<()> {
    append_with(|shared| shared.log.append(op))
}

/// [`append`] for what has to look at the state of the process first.
///
/// # Errors
///
/// [`Error::NotInitialized`] if it was dropped.
pub fn append_with(work: impl FnOnce(&mut Shared) -> Appended) -> Result<()> {
    let appended = work(&mut shared());
    settle(appended)?;
    if appended != Appended::Waits {
        wake();
    }
    Ok(())
}

/// Appends an operation that nobody waits for, if Glean runs; tells whether it was taken.
fn append_aside(op: &Op<'_>) -> bool {
    let mut shared = shared();
    // What waits for a start in memory would be lost with a process that never starts Glean.
    let appended = if shared.log.is_running() { shared.log.append(op) } else { Appended::No };
    drop(shared);
    if matches!(appended, Appended::AndWanted | Appended::Delayed) {
        FILES.wake();
    }
    appended != Appended::No
}

/// Finishes a recording: a full `events` ping is work for the fold.
///
/// # Errors
///
/// [`Error::NotInitialized`] if it was dropped.
pub fn finish_recording(appended: Appended, is_event: bool) -> Result<()> {
    settle(appended)?;
    if is_event && appended != Appended::Waits && EVENTS_TO_FOLD.fetch_sub(1, Ordering::Relaxed) <= 1 {
        wake();
    }
    Ok(())
}

/// Sees to it that a call gets to a file. Only if there is none that takes it, this waits, and not for long.
#[inline]
fn settle(appended: Appended) -> Result<()> {
    match appended {
        Appended::Yes | Appended::Waits => Ok(()),
        Appended::AndWanted => {
            FILES.wake();
            Ok(())
        }
        Appended::Delayed => {
            FILES.wake();
            if !wait_for_file(Instant::now() + if is_test_mode() { TEST_PATIENCE } else { FILE_PATIENCE }) {
                // Where the disk takes none, nobody waits any more.
                let mut shared = shared();
                shared.is_stalled = shared.log.is_behind();
            }
            Ok(())
        }
        Appended::No => Err(Error::NotInitialized),
    }
}

/// Waits until calls are where they belong, or nobody waits for that; `false` at the deadline.
#[cold]
fn wait_for_file(deadline: Instant) -> bool {
    let mut shared = shared();
    while shared.log.is_behind() && !shared.is_stalled {
        let Some(rest) = deadline.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) else {
            return false;
        };
        shared = MOVED.wait_timeout(shared, rest).unwrap_or_else(PoisonError::into_inner).0;
    }
    true
}

/// Sees to it that there is a fold soon; in test mode, before this returns.
pub fn wake() {
    uploads::look_after_fold();
    if is_test_mode() {
        folding::fold_and_log();
    } else {
        FOLDS.wake();
    }
}

/// Tells whether a call that has an effect outside is still to be folded.
pub fn is_fold_due() -> bool {
    FOLDS.is_due()
}

/// The user began to use the application.
///
/// # Errors
///
/// [`Error::NotInitialized`] if the call was dropped.
pub fn client_active() -> Result<()> {
    append_with(|shared| {
        let appended = shared.log.append(&Op::ClientActive(Moment::now()));
        shared.active_since.get_or_insert_with(awake_nanos);
        appended
    })
}

/// The user stopped using the application.
///
/// # Errors
///
/// [`Error::NotInitialized`] if the call was dropped.
pub fn client_inactive() -> Result<()> {
    append_with(|shared| {
        let nanos = shared.active_since.take().map(|since| awake_nanos().saturating_sub(since));
        shared.log.append(&Op::ClientInactive(Moment::now(), nanos))
    })
}

/// Sets fields of attribution or distribution to those texts.
pub type Fields = BTreeMap<String, String>;

/// Returns a name that no other process in this directory has, and that sorts by time, behind that of a former one.
pub(crate) fn new_name(unix_ms: i64, former: Option<&str>) -> String {
    let chance = uuid::Uuid::new_v4().as_u64_pair().0 as u32;
    let former_ms = former.and_then(|name| i64::from_str_radix(name.split('-').next()?, 16).ok());
    // A name that says a time no clock will reach is none of ours.
    let former_ms = former_ms.filter(|former_ms| *former_ms < 0xffff_ffff_ffff);
    let unix_ms = unix_ms.max(former_ms.map_or(0, |former_ms| former_ms + 1));
    format!("{unix_ms:012x}-{}-{chance:08x}", std::process::id())
}

fn log_trouble(was_logged: bool, error: &Error) {
    if !was_logged {
        log_at!(Error, "what was recorded stays in the journal until this works: {error}");
    }
}
