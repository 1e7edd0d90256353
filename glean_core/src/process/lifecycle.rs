//! Start and end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::uploads::{Attached, Consent};
use super::{
    EVENTS_TO_FOLD, FILES, FOLDS, MOVED, Shared, TEST_PATIENCE, folding, is_test_mode, log_trouble, new_name, segments,
    set_test_mode, shared, wait_for_file, wake,
};
use crate::disk;
use crate::do_not_track;
use crate::error::{Error, Result};
use crate::journal::frame;
use crate::logging::log_at;
use crate::machine::context::{Context, Settings};
use crate::machine::op::{DebugTags, Moment, Op, Start};
use crate::store::directory::{self, Directory, Listing};
use crate::store::lock::FileLock;
use crate::text::{are_source_tags, is_debug_view_tag};
use crate::upload::UploadSettings;

/// How long `initialize` waits for the first file: much longer than it takes, and too short to be noticed.
const START_PATIENCE: Duration = Duration::from_millis(15);
/// How long the end may take, all of it.
const END_PATIENCE: Duration = Duration::from_secs(2);
/// How much of a journal `shutdown` leaves for the next start to fold: it may take the time to save a base.
const KEPT_AFTER_SHUTDOWN_BYTES: u64 = 4 << 10;
/// The same for a process that just ends, which doesn't wait for a disk unless that saves the next start much work.
const KEPT_AFTER_EXIT_BYTES: u64 = 256 << 10;

/// An end of Glean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The application asked for it: later calls are dropped.
    Shutdown,
    /// The process ends: what still comes is left for the next start.
    Exit,
}

/// Starts Glean. Calls go to memory until the first file is there, for which this waits a moment.
///
/// # Errors
///
/// [`Error::AlreadyInitialized`]; [`Error::EmptyApplicationId`]; [`Error::NoDataDir`]; [`Error::Io`] if the directory cannot be
/// used. After the last three Glean is off. If that takes long to find out, it is only logged.
pub fn initialize(settings: Settings, uploads: UploadSettings) -> Result<()> {
    prepare_process();
    let mut shared_now = shared();
    if !shared_now.log.is_waiting() {
        return Err(Error::AlreadyInitialized);
    }
    if settings.test_mode {
        set_test_mode(true);
    }
    if do_not_track::is_asked_for() {
        log_at!(Info, "{} is set: nothing is recorded, changed or sent", do_not_track::VARIABLE);
        shared_now.uploads = None;
        shared_now.log.turn_off();
        return Ok(());
    }
    if let Err(error) = start(&mut shared_now, settings, uploads) {
        shared_now.log.turn_off();
        drop(shared_now);
        log_at!(Error, "Glean is off: {error}");
        return Err(error);
    }
    drop(shared_now);
    EVENTS_TO_FOLD.store(0, Ordering::Relaxed);
    FILES.wake();
    // If that is too short, the first call waits, for longer: what returned has to survive a kill.
    wait_for_file(Instant::now() + if is_test_mode() { TEST_PATIENCE } else { START_PATIENCE });
    if let Some(error) = shared().start_error.take() {
        return Err(error);
    }
    wake();
    Ok(())
}

/// Begins the start; touches no file.
fn start(shared: &mut Shared, settings: Settings, uploads: UploadSettings) -> Result<()> {
    if crate::text::sanitize_application_id(&settings.application_id).is_empty() {
        return Err(Error::EmptyApplicationId);
    }
    if settings.data_dir.is_empty() {
        return Err(Error::NoDataDir);
    }
    let data_dir = PathBuf::from(&settings.data_dir);
    let has_internal_pings = settings.enable_internal_pings;
    let has_metrics_schedule = settings.schedule_metrics_ping;
    let mut context = Context::new(String::new(), settings, Moment::now());
    let before = &mut shared.log.before_start;
    before.pings.iter().for_each(|ping| context.register_ping(ping.clone()));
    context.tags = environment_tags();
    // What the program said counts more than what its environment says.
    context.tags.view_tag = before.tags.view_tag.take().or(context.tags.view_tag.take());
    context.tags.source_tags = before.tags.source_tags.take().or(context.tags.source_tags.take());
    before.tags = context.tags.clone();
    for op in before.take_operations() {
        if let Ok(op) = postcard::from_bytes::<Op<'_>>(&op) {
            context.observe(&op);
        }
    }
    shared.log_pings = shared.log_pings.or_else(environment_log_pings);
    shared.schedule.start(&context.start, has_internal_pings && !is_test_mode(), has_metrics_schedule);
    shared.uploads = Some(Attached::new(&data_dir, uploads, has_internal_pings, Consent::of(&context)));
    shared.data_dir = Some(data_dir);
    shared.log.start(context);
    shared.generation += 1;
    shared.is_stalled = false;
    shared.start_error = None;
    shared.end = None;
    Ok(())
}

/// Names this process and says what its first segment begins with: what the directory was like, then the start.
///
/// # Errors
///
/// [`Error::Io`] if the directory cannot be used.
pub(super) fn open(data_dir: &Path) -> Result<()> {
    let mut shared_now = shared();
    let generation = shared_now.generation;
    let Some(context) = shared_now.log.context() else { return Ok(()) };
    let is_telling = context.settings.enable_internal_pings && !is_test_mode();
    let moment = context.start.clone();
    drop(shared_now);
    let directory = Directory::new(data_dir);
    let directory_info = is_telling.then(|| directory::info(data_dir));
    let database_bytes = directory.size_bytes();
    directory.create()?;
    let events = data_dir.join("events");
    fs::create_dir_all(&events).map_err(Error::io("create", &events))?;
    let real_dir = fs::canonicalize(data_dir).ok();
    let listing = directory.list()?;
    // Behind whoever was here before, also within one millisecond, and when the clock was set back.
    let last = listing.logs().pop().map(|log| log.process);
    let process = new_name(moment.unix_ms, last.as_deref());
    let life = segments::live(&directory, &process)?;
    let is_alone = is_alone(&directory, &listing);
    let is_unmapped = !disk::is_mappable(&data_dir.join("db"));
    let mut shared = shared();
    if shared.generation != generation {
        // It was ended meanwhile.
        return Ok(());
    }
    let start = new_start(&mut shared.log, moment, is_alone);
    begin(&mut shared.log, &process, Start { directory_info, database_bytes, ..start }, is_unmapped);
    shared.life = Some(life);
    shared.real_dir = real_dir;
    Ok(())
}

/// Returns a start with what was said before it.
pub fn new_start(log: &mut super::Calls, moment: Moment, is_alone: bool) -> Start {
    Start {
        moment,
        is_alone,
        directory_info: None,
        database_bytes: 0,
        switched_pings: std::mem::take(&mut log.before_start.switched),
        attribution: std::mem::take(&mut log.before_start.attribution),
        distribution: std::mem::take(&mut log.before_start.distribution),
        dropped_calls: log.take_dropped(),
    }
}

/// Puts a start in front of what waited.
pub fn begin(log: &mut super::Calls, process: &str, start: Start, is_unmapped: bool) {
    let Some(mut at_start) = log.before_start.context.take() else { return };
    let Some(context) = log.context() else { return };
    process.clone_into(&mut context.process);
    process.clone_into(&mut at_start.process);
    let mut first = Vec::new();
    for op in [Op::Context(Box::new(at_start)), Op::Start(Box::new(start))] {
        frame::push(&mut first, &postcard::to_stdvec(&op).expect("memory is the only limit of a Vec"));
    }
    log.begin(process, first, is_unmapped);
}

/// Turns Glean off, because it could not start.
pub(super) fn fail(error: Error) {
    log_at!(Error, "Glean is off: {error}");
    let mut shared_now = shared();
    let left = shared_now.log.turn_off();
    shared_now.start_error = Some(error);
    drop(shared_now);
    segments::give_back(left);
    MOVED.notify_all();
}

/// Waits until what was called so far is in a file, for somebody who wants to see it.
pub(super) fn wait_for_calls() {
    let deadline = Instant::now() + TEST_PATIENCE;
    let mut shared = shared();
    while !shared.log.is_unmapped() {
        let is_waiting = shared.log.has_delayed();
        let rest = deadline.checked_duration_since(Instant::now()).filter(|rest| is_waiting && !rest.is_zero());
        let Some(rest) = rest else { return };
        shared = MOVED.wait_timeout(shared, rest).unwrap_or_else(PoisonError::into_inner).0;
    }
    drop(shared);
    // The thread may have taken calls that it still writes. If the disk takes no file, this is over after one try.
    FILES.wake();
    FILES.wait(deadline);
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

/// Tells whether no other living process uses the directory.
fn is_alone(directory: &Directory, listing: &Listing) -> bool {
    listing.processes().all(|process| FileLock::is_free(&directory.process_lock(process)).unwrap_or(false))
}

/// Ends Glean because the application asked for it: the last calls are folded, later ones do nothing.
///
/// # Errors
///
/// [`Error::NotInitialized`] if it doesn't run; calls that waited for it are dropped then.
pub fn shutdown() -> Result<()> {
    end(End::Shutdown, Instant::now() + END_PATIENCE)
}

/// Folds the last calls, because the process ends. Later calls are still taken, for the next start.
///
/// # Errors
///
/// [`Error::NotInitialized`] if it doesn't run.
pub fn finish() -> Result<()> {
    end(End::Exit, Instant::now() + END_PATIENCE)
}

/// Ends Glean and makes [`initialize`] possible again. Metrics and pings stay.
pub fn reset() {
    let _ = finish();
    set_test_mode(false);
    let mut shared_now = shared();
    let left = shared_now.log.turn_off();
    shared_now.log.reset();
    shared_now.generation += 1;
    shared_now.end = None;
    let life = shared_now.life.take();
    drop(shared_now);
    segments::give_back(left);
    drop(life);
    folding::leave_engine();
}

fn end(kind: End, deadline: Instant) -> Result<()> {
    let mut shared_now = shared();
    if !shared_now.log.is_running() {
        shared_now.log.turn_off();
        return Err(Error::NotInitialized);
    }
    if let Some(health) = std::mem::take(&mut shared_now.schedule).take_health() {
        shared_now.log.append(&health);
    }
    let consent = shared_now.log.context().map(|context| Consent::of(context));
    if let (Some(uploads), Some(consent)) = (&mut shared_now.uploads, consent) {
        uploads.consent = consent;
    }
    // A forked child that recorded nothing has nothing to end.
    let log = &shared_now.log;
    let is_used = shared_now.life.is_some() || log.current().is_some() || log.has_delayed();
    if kind == End::Shutdown {
        // What other threads call from here on is dropped: the last fold must not run after them.
        shared_now.log.set_closed(true);
    }
    drop(shared_now);
    let mut is_done = true;
    if is_used {
        FILES.wake();
        is_done = FILES.wait(deadline);
        let waited = (kind == End::Shutdown).then(|| wait_for_folds(deadline));
        let op = Op::End(kind == End::Shutdown, waited);
        match kind {
            End::Shutdown => shared().log.append_last(&op),
            End::Exit => shared().log.append(&op),
        };
        FILES.wake();
        is_done &= FILES.wait(deadline);
        shared().end = Some(kind);
        FOLDS.wake();
        is_done &= FOLDS.wait(deadline);
    }
    let mut shared_now = shared();
    shared_now.active_since = None;
    let left = if kind == End::Shutdown { shared_now.log.turn_off() } else { Default::default() };
    drop(shared_now);
    segments::give_back(left);
    if !is_done {
        log_at!(Error, "the end did not wait for the disk any longer; the journal has everything");
    }
    if kind == End::Shutdown || !is_done {
        folding::leave_engine();
    }
    Ok(())
}

/// Waits until what was asked for so far is folded; returns for how many nanoseconds.
fn wait_for_folds(deadline: Instant) -> u64 {
    let start = Instant::now();
    if is_test_mode() {
        folding::fold_and_log();
    } else {
        FOLDS.wait(deadline);
    }
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What the thread that folds does at the end: a large journal is saved and removed, a small one is left for the next start.
pub(super) fn end_if_asked() {
    let mut shared_now = shared();
    let Some(kind) = shared_now.end.take() else { return };
    let (used, tail, generation) = (shared_now.log.used_bytes(), shared_now.log.tail(), shared_now.generation);
    let process = shared_now.log.process().unwrap_or_default().to_owned();
    drop(shared_now);
    let limit = if kind == End::Shutdown { KEPT_AFTER_SHUTDOWN_BYTES } else { KEPT_AFTER_EXIT_BYTES };
    let is_saved = folding::with_engine(|engine| tail.is_some_and(|(name, end)| engine.is_saved(&name, end)));
    if used > limit || is_saved == Some(true) {
        shared().log.rest();
        // Windows removes no file that is mapped.
        let left = shared().log.take_left();
        segments::give_back(left);
        let saved = folding::with_engine(|engine| {
            if is_saved != Some(true) {
                engine.ask_for_base();
            }
            folding::fold_with(engine)
        });
        if let Some(Err(error)) = saved {
            log_trouble(false, &error);
        }
    }
    let mut shared_now = shared();
    if shared_now.generation != generation {
        return;
    }
    let left = shared_now.log.take_left();
    let life = shared_now.life.take();
    let data_dir = shared_now.data_dir.clone();
    drop(shared_now);
    segments::give_back(left);
    drop(life);
    if let Some(data_dir) = data_dir {
        // The next start finds out by itself; this saves it from looking.
        let _ = fs::remove_file(Directory::new(&data_dir).process_lock(&process));
    }
    *folding::slot().lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Sees to it that a forked child leaves alone what belongs to its parent.
#[cfg(unix)]
pub fn prepare_process() {
    super::fork::prepare();
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
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let mut module = 0;
        // SAFETY: the address is in this module, and `module` is valid for a write.
        unsafe { GetModuleHandleExW(PIN_BY_ADDRESS, (&raw const super::SHARED).cast(), &raw mut module) };
    });
}
