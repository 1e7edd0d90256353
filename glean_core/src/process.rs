//! The one Glean of a process: the log its calls go to, the engine that folds, and the thread that runs it.
//!
//! Two locks. That of the log is held for the time of one append, by every call; that of the engine for a whole fold, by
//! the thread or by a getter. The first is never held while the second is taken.
//!
//! In the child of a fork the thread is gone and the engine may be half-way: the child leaves both alone, and makes its
//! own engine, its own segments and, when there is work, its own thread.

pub mod inspect;
pub mod schedule;
pub mod uploads;

#[cfg(unix)]
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use crate::do_not_track;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::handles::{Handles, Object};
use crate::journal::log::{self, Appended, Log};
use crate::journal::op::{DebugTags, Moment, Op, Start};
use crate::journal::segment::Segment;
use crate::logging::log_at;
use crate::machine::context::{Context, Settings};
use crate::store::State;
use crate::store::directory::Directory;
use crate::store::lock::FileLock;
use crate::text::{are_source_tags, is_debug_view_tag};
use crate::time::awake_nanos;
use crate::upload::UploadSettings;

use schedule::Schedule;
use uploads::{Attached, Consent};

/// How long the end of the process waits for the last fold.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);
/// How much of a journal `shutdown` leaves for the next start to fold: it may take the time to save a base.
const KEPT_AFTER_SHUTDOWN_BYTES: usize = 4 << 10;
/// The same for a process that just ends, which doesn't wait for a disk unless that saves the next start much work.
const KEPT_AFTER_EXIT_BYTES: usize = 256 << 10;
/// How often the thread looks whether nothing is recorded any more, while the journal or the base is large.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// How long after a failed fold the next one is tried, if no call asks for one.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What every call needs.
pub struct Shared {
    /// The calls.
    pub log: Log,
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
    process: String,
}

static SHARED: Mutex<Shared> = Mutex::new(Shared {
    log: Log::new(),
    handles: Handles::new(),
    active_since: None,
    log_pings: None,
    schedule: Schedule::new(),
    uploads: None,
    data_dir: None,
    process: String::new(),
});
static FOLDING: AtomicPtr<Folding> = AtomicPtr::new(std::ptr::null_mut());
static IS_TEST_MODE: AtomicBool = AtomicBool::new(false);
/// How many more events are recorded before the fold looks whether there are enough for a ping.
static EVENTS_TO_FOLD: AtomicI64 = AtomicI64::new(0);

#[derive(Default)]
struct Folding {
    engine: Mutex<Option<Engine>>,
    signal: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Default)]
struct Signal {
    has_work: bool,
    is_stopping: bool,
    has_thread: bool,
}

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
    let mut shared = shared();
    let shared = &mut *shared;
    match (shared.handles.get(handle), u32::try_from(amount)) {
        (Some(Object::Metric(metric)), Ok(amount)) if metric.counts => shared.log.count(&metric.numbered, amount),
        _ => false,
    }
}

fn folding() -> &'static Folding {
    let current = FOLDING.load(Ordering::Acquire);
    let current = if current.is_null() {
        let made = Box::into_raw(Box::<Folding>::default());
        match FOLDING.compare_exchange(std::ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(other) => {
                // SAFETY: made above, and nobody else saw it.
                drop(unsafe { Box::from_raw(made) });
                other
            }
        }
    } else {
        current
    };
    // SAFETY: never freed: a fork replaces it, and the child cannot know who still uses the old one.
    unsafe { &*current }
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
    match appended {
        Appended::No => Err(Error::NotInitialized),
        Appended::Waits => Ok(()),
        Appended::Yes | Appended::AndFull => {
            wake();
            Ok(())
        }
    }
}

/// Finishes a recording: a used up segment and a full `events` ping are work for the fold.
pub fn finish_recording(appended: Appended, is_event: bool) -> Result<()> {
    match appended {
        Appended::Yes if is_event && EVENTS_TO_FOLD.fetch_sub(1, Ordering::Relaxed) <= 1 => wake(),
        Appended::Yes | Appended::Waits => (),
        Appended::AndFull => wake(),
        Appended::No => return Err(Error::NotInitialized),
    }
    Ok(())
}

/// Sees to it that there is a fold soon; in test mode, before this returns.
pub fn wake() {
    if is_test_mode() {
        return fold_and_log();
    }
    let folding = folding();
    let mut signal = folding.signal.lock().unwrap_or_else(PoisonError::into_inner);
    signal.has_work = true;
    if signal.is_stopping {
        // The thread looks once more before it ends, and so does who waits for it.
        return;
    }
    if !signal.has_thread {
        signal.has_thread = true;
        let spawned = std::thread::Builder::new().name("glean.fold".to_owned()).spawn(move || work(folding));
        if let Err(error) = spawned {
            signal.has_thread = false;
            drop(signal);
            log_at!(Warn, "no thread for Glean, so this call waits for the disk: {error}");
            return fold_and_log();
        }
    }
    // Who is woken up wants the signal at once.
    drop(signal);
    folding.changed.notify_all();
}

/// Folds whenever there is work, until it is told to stop; then once more.
fn work(folding: &'static Folding) {
    let mut has_failed = false;
    let mut wants_rest = false;
    let mut is_resting = false;
    let mut last_used = 0;
    loop {
        let mut signal = folding.signal.lock().unwrap_or_else(PoisonError::into_inner);
        while !signal.has_work && !signal.is_stopping {
            let patience = match (has_failed, wants_rest) {
                (true, _) => Some(RETRY_INTERVAL),
                (false, true) => Some(IDLE_INTERVAL),
                (false, false) => None,
            };
            let scheduled = shared().schedule.rest();
            let is_scheduled = scheduled.is_some_and(|rest| patience.is_none_or(|patience| rest < patience));
            let Some(rest) = (if is_scheduled { scheduled } else { patience }) else {
                signal = folding.changed.wait(signal).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let (next, timeout) = folding.changed.wait_timeout(signal, rest).unwrap_or_else(PoisonError::into_inner);
            signal = next;
            if !timeout.timed_out() {
                continue;
            }
            if is_scheduled {
                signal.has_work |= submit_scheduled();
            } else if has_failed {
                break;
            } else {
                let used = shared().log.used_bytes();
                if used == last_used {
                    wants_rest = false;
                    is_resting = true;
                    signal.has_work = true;
                }
                last_used = used;
            }
        }
        let is_last = signal.is_stopping && !signal.has_work;
        signal.has_work = false;
        drop(signal);
        if is_last {
            break;
        }
        if std::mem::take(&mut is_resting) {
            shared().log.rest();
            with_engine(Engine::ask_for_tight_base);
        }
        // A panic would leave `shutdown` waiting for a thread that is gone.
        let outcome = std::panic::catch_unwind(fold);
        has_failed = match outcome {
            Ok(Ok(())) => false,
            Ok(Err(error)) => {
                log_once(has_failed, &error);
                true
            }
            Err(_) => {
                log_at!(Error, "error inside Glean, please report it: the fold panicked");
                false
            }
        };
        wants_rest = !has_failed && wants_to_rest();
        last_used = 0;
        if has_failed && folding.signal.lock().unwrap_or_else(PoisonError::into_inner).is_stopping {
            break;
        }
    }
    folding.signal.lock().unwrap_or_else(PoisonError::into_inner).has_thread = false;
    folding.changed.notify_all();
}

/// Appends what is due by now; tells whether that was anything.
fn submit_scheduled() -> bool {
    let mut shared = shared();
    let due = shared.schedule.take_due();
    due.iter().for_each(|op| {
        shared.log.append(op);
    });
    !due.is_empty()
}

fn log_once(was_logged: bool, error: &Error) {
    if !was_logged {
        log_at!(Error, "what was recorded stays in the journal until this works: {error}");
    }
}

fn fold_and_log() {
    if let Err(error) = fold() {
        log_once(false, &error);
    }
}

/// Folds now.
///
/// # Errors
///
/// What [`Engine::fold`] returns.
pub fn fold() -> Result<()> {
    let folded = with_engine(fold_with).unwrap_or(Ok(()));
    uploads::keep_bounds();
    folded
}

fn fold_with(engine: &mut Engine) -> Result<()> {
    #[cfg(unix)]
    if crate::journal::guard_pages::take_lost() {
        shared().log.leave_segment();
    }
    let own = shared().log.segments();
    let folded = engine.fold(&own);
    drop(own);
    let (pings, bytes) = engine.take_published();
    uploads::published(pings, bytes);
    EVENTS_TO_FOLD.store(i64::try_from(engine.events_to_full()).unwrap_or(i64::MAX), Ordering::Relaxed);
    let folded = folded?;
    let mut shared = shared();
    shared.log.forget(&folded.removed);
    shared.log.set_base_bytes(engine.base_bytes());
    let wanted = shared.log.wanted_spare();
    drop(shared);
    if let Some((path, size_bytes)) = wanted {
        make_spare(&path, size_bytes);
    }
    Ok(())
}

/// Makes the next segment in advance, so that no call has to wait for it.
fn make_spare(path: &Path, size_bytes: usize) {
    match Segment::create(path, size_bytes) {
        Ok(spare) => {
            spare.0.prepare();
            shared().log.keep_spare(spare);
        }
        // Whoever needs it makes it then, or says why that is impossible.
        Err(error) => log_at!(Debug, "{error}"),
    }
}

/// Tells whether the journal or the base takes more room than it has to.
fn wants_to_rest() -> bool {
    shared().log.is_large() || with_engine(|engine| engine.is_roomy()).unwrap_or(false)
}

/// Runs `work` with the engine of this process; `None` if Glean doesn't run.
fn with_engine<T>(work: impl FnOnce(&mut Engine) -> T) -> Option<T> {
    let mut engine = folding().engine.lock().unwrap_or_else(PoisonError::into_inner);
    if engine.is_none() {
        let shared = shared();
        if let (true, Some(data_dir)) = (shared.log.is_open(), &shared.data_dir) {
            *engine = Some(Engine::new(data_dir, &shared.process));
        }
    }
    engine.as_mut().map(work)
}

/// Hands out what is stored, after a fold.
///
/// # Errors
///
/// [`Error::NotInitialized`] if Glean doesn't run.
pub fn ask<T>(question: impl FnOnce(&State, Option<&Context>) -> T) -> Result<T> {
    with_engine(|engine| {
        if let Err(error) = fold_with(engine) {
            log_once(false, &error);
        }
        question(engine.state(), engine.context())
    })
    .ok_or(Error::NotInitialized)
}

/// Starts Glean. What is slow about it happens in the fold.
///
/// # Errors
///
/// [`Error::AlreadyInitialized`]; [`Error::EmptyApplicationId`]; [`Error::Io`] if the directory cannot be used. After the
/// last two Glean is off.
pub fn initialize(settings: Settings, uploads: UploadSettings) -> Result<()> {
    prepare_process();
    let mut shared = shared();
    if !shared.log.is_waiting() {
        return Err(Error::AlreadyInitialized);
    }
    if settings.test_mode {
        set_test_mode(true);
    }
    if do_not_track::is_asked_for() {
        log_at!(Info, "{} is set: nothing is recorded, changed or sent", do_not_track::VARIABLE);
        shared.uploads = None;
        shared.log.turn_off();
        return Ok(());
    }
    if let Err(error) = open(&mut shared, settings, uploads) {
        shared.log.close(None);
        shared.log.turn_off();
        return Err(error);
    }
    drop(shared);
    EVENTS_TO_FOLD.store(0, Ordering::Relaxed);
    wake();
    Ok(())
}

fn open(shared: &mut Shared, settings: Settings, uploads: UploadSettings) -> Result<()> {
    if crate::text::sanitize_application_id(&settings.application_id).is_empty() {
        return Err(Error::EmptyApplicationId);
    }
    if settings.data_dir.is_empty() {
        return Err(Error::NoDataDir);
    }
    let data_dir = PathBuf::from(&settings.data_dir);
    let directory = Directory::new(&data_dir);
    let has_internal_pings = settings.enable_internal_pings;
    let has_metrics_schedule = settings.schedule_metrics_ping;
    let is_telling = has_internal_pings && !is_test_mode();
    let directory_info = is_telling.then(|| crate::store::directory::info(&data_dir));
    let database_bytes = directory.size_bytes();
    for folder in [data_dir.join("db"), data_dir.join("events")] {
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    }
    let moment = Moment::now();
    // Behind whoever was here before, also within one millisecond, and when the clock was set back.
    let last = directory.logs().pop().map(|log| log.process);
    let process = new_name(moment.unix_ms, last.as_deref());
    let life = log::live(&directory, &process)?;
    let is_alone = is_alone(&directory, &process);
    let mut context = Context::new(process.clone(), settings, moment.clone());
    for ping in &shared.log.before_start.pings {
        context.register_ping(ping.clone());
    }
    context.tags = environment_tags();
    // What the program said counts more than what its environment says.
    let said = shared.log.before_start.tags.clone();
    context.tags.view_tag = said.view_tag.or(context.tags.view_tag.take());
    context.tags.source_tags = said.source_tags.or(context.tags.source_tags.take());
    shared.log.before_start.tags = context.tags.clone();
    shared.log_pings = shared.log_pings.or_else(environment_log_pings);
    let start = Start {
        moment: moment.clone(),
        is_alone,
        directory_info,
        database_bytes,
        switched_pings: std::mem::take(&mut shared.log.before_start.switched),
        attribution: std::mem::take(&mut shared.log.before_start.attribution),
        distribution: std::mem::take(&mut shared.log.before_start.distribution),
        dropped_calls: shared.log.dropped_while_waiting(),
    };
    shared.log.open(&directory, life, context, Op::Start(Box::new(start)))?;
    shared.schedule.start(&moment, is_telling, has_metrics_schedule);
    let consent = shared.log.context().map(|context| Consent::of(context));
    shared.uploads = consent.map(|consent| Attached::new(&data_dir, uploads, has_internal_pings, consent));
    shared.data_dir = Some(data_dir);
    shared.process = process;
    Ok(())
}

/// Returns whether the environment asks for pings in the log; `None` if it says nothing.
pub(crate) fn environment_log_pings() -> Option<bool> {
    match std::env::var("GLEAN_LOG_PINGS").as_deref() {
        Ok("true") => Some(true),
        Ok("false") => Some(false),
        _ => None,
    }
}

/// Returns the tags that the environment asks for; what is no tag is logged and left out.
fn environment_tags() -> DebugTags {
    let view_tag = std::env::var("GLEAN_DEBUG_VIEW_TAG").ok();
    let source_tags = std::env::var("GLEAN_SOURCE_TAGS").ok();
    let source_tags: Option<Vec<String>> =
        source_tags.map(|tags| tags.split(',').map(|tag| tag.trim().to_owned()).collect());
    if view_tag.as_deref().is_some_and(|tag| !is_debug_view_tag(tag)) {
        log_at!(Error, "GLEAN_DEBUG_VIEW_TAG is no debug view tag: it is 1 to 20 letters, digits or hyphens");
    }
    if source_tags.as_deref().is_some_and(|tags| !are_source_tags(tags)) {
        log_at!(Error, "GLEAN_SOURCE_TAGS are no source tags: 1 to 5 tags that don't begin with \"glean\"");
    }
    DebugTags {
        view_tag: view_tag.filter(|tag| is_debug_view_tag(tag)),
        source_tags: source_tags.filter(|tags| are_source_tags(tags)),
    }
}

/// Returns a name that no other process in this directory has, and that sorts by time, behind that of a former one.
pub(crate) fn new_name(unix_ms: i64, former: Option<&str>) -> String {
    let chance = uuid::Uuid::new_v4().as_u64_pair().0 as u32;
    let former_ms = former.and_then(|name| i64::from_str_radix(name.split('-').next()?, 16).ok());
    // A name that says a time no clock will reach is none of ours.
    let former_ms = former_ms.filter(|former_ms| *former_ms < 0xffff_ffff_ffff);
    let unix_ms = unix_ms.max(former_ms.map_or(0, |former_ms| former_ms + 1));
    format!("{unix_ms:012x}-{}-{chance:08x}", std::process::id())
}

/// Tells whether no other living process uses the directory.
fn is_alone(directory: &Directory, own: &str) -> bool {
    directory.processes().iter().filter(|process| *process != own).all(|process| {
        let path = directory.process_lock(process);
        matches!(FileLock::try_acquire_existing(&path), Ok(Some(_))) || !path.exists()
    })
}

/// Ends Glean: the last calls are folded as far as [`SHUTDOWN_PATIENCE`] allows, later ones do nothing.
///
/// `is_shutdown` tells that the application asked for it; otherwise its process just ends.
///
/// # Errors
///
/// [`Error::NotInitialized`] if it doesn't run; calls that waited for it are dropped then.
pub fn end(is_shutdown: bool) -> Result<()> {
    let mut shared_now = shared();
    if !shared_now.log.is_open() {
        shared_now.log.turn_off();
        return Err(Error::NotInitialized);
    }
    let health = std::mem::take(&mut shared_now.schedule).take_health();
    if let Some(health) = &health {
        shared_now.log.append(health);
    }
    let is_used = !shared_now.log.segments().is_empty();
    // What other threads call from here on is dropped: the last fold must not run after them.
    shared_now.log.seal();
    let consent = shared_now.log.context().map(|context| Consent::of(context));
    if let (Some(uploads), Some(consent)) = (&mut shared_now.uploads, consent) {
        uploads.consent = consent;
    }
    drop(shared_now);
    if health.is_some() {
        wake();
    }
    let mut is_idle = true;
    if is_used {
        let waited = is_shutdown.then(wait_for_folds);
        shared().log.append_last(&Op::End(is_shutdown, waited));
        is_idle = stop_thread();
    }
    if is_idle {
        save_rest(is_used, is_shutdown);
    } else {
        // It folds something very large. The journal has everything, so the next start can do that; a start in this process
        // gets an engine of its own.
        FOLDING.store(std::ptr::null_mut(), Ordering::Release);
        shared().log.close(None);
    }
    let mut shared_now = shared();
    shared_now.active_since = None;
    if let (true, Some(data_dir)) = (is_used, &shared_now.data_dir) {
        // The next start finds out by itself; this saves it from looking.
        let _ = std::fs::remove_file(Directory::new(data_dir).process_lock(&shared_now.process));
    }
    Ok(())
}

/// Saves a base if the journal is large, and closes both.
fn save_rest(is_used: bool, is_shutdown: bool) {
    let limit = if is_shutdown { KEPT_AFTER_SHUTDOWN_BYTES } else { KEPT_AFTER_EXIT_BYTES };
    if is_used && shared().log.used_bytes() > limit {
        let saved = with_engine(|engine| {
            engine.ask_for_base();
            fold_with(engine)
        });
        if let Some(Err(error)) = saved {
            log_once(false, &error);
        }
    }
    let mut engine = folding().engine.lock().unwrap_or_else(PoisonError::into_inner);
    let folded = engine.as_ref().map(Engine::folded_bytes);
    shared().log.close(folded);
    *engine = None;
}

/// Waits until what was asked for so far is folded; returns for how many nanoseconds.
fn wait_for_folds() -> u64 {
    let start = Instant::now();
    if is_test_mode() {
        fold_and_log();
    } else {
        let folding = folding();
        let mut signal = folding.signal.lock().unwrap_or_else(PoisonError::into_inner);
        while signal.has_work && signal.has_thread && start.elapsed() < SHUTDOWN_PATIENCE {
            let (next, _) =
                folding.changed.wait_timeout(signal, Duration::from_millis(20)).unwrap_or_else(PoisonError::into_inner);
            signal = next;
        }
    }
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Lets the thread finish what it was asked for, and waits for it; tells whether it did.
fn stop_thread() -> bool {
    let folding = folding();
    let deadline = Instant::now() + SHUTDOWN_PATIENCE;
    let mut signal = folding.signal.lock().unwrap_or_else(PoisonError::into_inner);
    signal.is_stopping = true;
    folding.changed.notify_all();
    while signal.has_thread {
        let Some(rest) = deadline.checked_duration_since(Instant::now()) else {
            log_at!(Error, "the end of the process did not wait for the disk any longer; the journal has everything");
            return false;
        };
        let (next, _) = folding.changed.wait_timeout(signal, rest).unwrap_or_else(PoisonError::into_inner);
        signal = next;
    }
    signal.is_stopping = false;
    true
}

/// Ends Glean and makes [`initialize`] possible again. Metrics and pings stay.
pub fn reset() {
    let _ = end(false);
    set_test_mode(false);
    shared().log.reset();
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

#[cfg(unix)]
thread_local! {
    static HELD_OVER_FORK: RefCell<Option<HeldOverFork>> = const { RefCell::new(None) };
}

#[cfg(unix)]
/// The locks that a fork takes, in this order, and gives back on both sides.
struct HeldOverFork {
    shared: MutexGuard<'static, Shared>,
    _locks: MutexGuard<'static, ()>,
    messages: crate::logging::Held,
}

/// Sees to it that a forked child leaves alone what belongs to its parent.
#[cfg(unix)]
pub fn prepare_process() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the three functions are `extern "C"`, take nothing and don't unwind.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child)) };
    });
}

/// Windows has no forks. But it unloads a library that nobody holds any more, under the feet of its threads, so this one is
/// pinned.
#[cfg(windows)]
pub fn prepare_process() {
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn GetModuleHandleExW(flags: u32, address: *const std::ffi::c_void, module: *mut isize) -> i32;
    }
    /// `GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS` of libloaderapi.h.
    const PIN_BY_ADDRESS: u32 = 1 | 4;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut module = 0;
        // SAFETY: the address is in this module, and `module` is valid for a write.
        unsafe { GetModuleHandleExW(PIN_BY_ADDRESS, (&raw const SHARED).cast(), &raw mut module) };
    });
}

/// Holds the log over the fork, so that no thread is in the middle of an append.
#[cfg(unix)]
extern "C" fn before_fork() {
    let shared = shared();
    let locks = crate::store::lock::forked::whole();
    let guards = HeldOverFork { shared, _locks: locks, messages: crate::logging::hold() };
    let _ = HELD_OVER_FORK.try_with(|held| *held.borrow_mut() = Some(guards));
}

#[cfg(unix)]
extern "C" fn after_fork_in_parent() {
    let _ = HELD_OVER_FORK.try_with(|held| held.borrow_mut().take());
}

#[cfg(unix)]
extern "C" fn after_fork_in_child() {
    // The thread is gone, and the engine may be half-way: both are left as they are, for ever.
    FOLDING.store(std::ptr::null_mut(), Ordering::Release);
    uploads::leave_to_parent();
    crate::store::lock::forked::close_copies();
    let _ = HELD_OVER_FORK.try_with(|held| {
        if let Some(HeldOverFork { mut shared, mut messages, .. }) = held.borrow_mut().take() {
            // They are the parent's, too.
            messages.drop_waiting();
            // What waited stays with the parent, so that nothing is counted twice.
            shared.log.drop_waiting();
            shared.schedule.leave_to_parent();
            if shared.log.is_open() {
                let process = new_name(crate::time::unix_ms_now(), Some(&shared.process));
                shared.log.leave_to_parent(process.clone());
                shared.process = process;
            }
        }
    });
}

/// Submits a ping before this returns; tells whether there was something to send.
///
/// # Errors
///
/// [`Error::NotInitialized`] if Glean doesn't run.
pub fn submit_now(name: &str, op: &Op<'_>) -> Result<bool> {
    if !shared().log.is_open() {
        return Err(Error::NotInitialized);
    }
    let before = with_engine(|engine| {
        let _ = fold_with(engine);
        engine.submissions(name)
    });
    if shared().log.append(op) == Appended::No {
        return Err(Error::NotInitialized);
    }
    let after = with_engine(|engine| {
        let outcome = fold_with(engine);
        outcome.map(|()| engine.submissions(name))
    });
    match (before, after) {
        (Some(before), Some(after)) => Ok(after? > before),
        _ => Err(Error::NotInitialized),
    }
}
