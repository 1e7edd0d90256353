//! The one uploader of a process: of the directory of its Glean, or of one that it was given.
//!
//! It stays when Glean ends, so that the pings of the end can be sent, until it is closed. A forked child begins anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::replaced::Replaced;
use super::worker::spawn;
use crate::do_not_track;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::logging::log_at;
use crate::machine::client_id;
use crate::machine::context::{Context, Settings};
use crate::machine::op::{Moment, Op};
use crate::process;
use crate::sort;
use crate::store::directory::Directory;
use crate::store::lock::FileLock;
use crate::store::{CLIENT_INFO_STORE, Value};
use crate::upload::observation::Observation;
use crate::upload::queue::{self, Folder};
use crate::upload::quota::{self, Guard};
use crate::upload::{Now, Outcome, Step, Task, UploadSettings, Uploader, lease, notes};

/// Name of the lock of a process that was started to upload.
const LOCK: &str = "uploads.lock";
/// How long the end of a process waits for the disk before uploads leave what they have there.
const END_PATIENCE: Duration = Duration::from_millis(500);
/// How long another process may hold the directory.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// How many observations wait for a journal at most.
const MAX_UNRECORDED: usize = 1000;

/// What the user agreed to.
#[derive(Clone, Debug)]
pub struct Consent {
    is_collecting: bool,
    /// Pings that don't follow collection; `None` if what waits may be sent, whatever it is.
    independent: Option<BTreeSet<String>>,
}

impl Consent {
    /// Returns what a process knows.
    pub fn of(context: &Context) -> Consent {
        let is_independent = |name: &&String| !context.pings[*name].definition.follows_collection_enabled;
        Consent {
            is_collecting: context.collection_enabled,
            independent: Some(sort::collect(context.pings.keys().filter(is_independent).cloned())),
        }
    }

    fn allows(&self, ping: &str) -> bool {
        self.is_collecting || self.independent.as_ref().is_none_or(|names| names.contains(ping))
    }
}

/// The directory that pings are sent from.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Tells one from the next.
    number: u64,
    data_dir: PathBuf,
    settings: UploadSettings,
    has_internal_pings: bool,
    /// As of the end of Glean.
    pub consent: Consent,
}

impl Attached {
    /// Takes a directory, and asks for a look whether too much waits there.
    pub fn new(data_dir: &Path, settings: UploadSettings, has_internal_pings: bool, consent: Consent) -> Attached {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        lock(&running().signal).unguarded = Some((0, 0));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Attached { number, data_dir: data_dir.to_path_buf(), settings, has_internal_pings, consent }
    }
}

/// What [`open`] is told.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct OpenSettings {
    /// The data directory.
    pub data_dir: String,
    /// Whether only one process at a time may have it open like this.
    pub is_exclusive: bool,
    /// Whether uploads are counted for the pings `metrics` and `health`.
    pub enable_internal_pings: bool,
}

#[derive(Default)]
struct Running {
    /// With the number of what it is attached to.
    uploader: Mutex<Option<(u64, Uploader)>>,
    guard: Mutex<Option<(u64, Guard)>>,
    /// Observations that came when there was no journal.
    unrecorded: Mutex<Vec<Observation>>,
    lock: Mutex<Option<FileLock>>,
    signal: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Default)]
struct Signal {
    is_woken: bool,
    has_published: bool,
    /// A call of this process may become a ping. Whoever folds it, this is who looks for the ping.
    looks_after_fold: bool,
    /// Pings and bytes that the guard doesn't know of; `None` if it has nothing to look for.
    unguarded: Option<(u64, u64)>,
}

static RUNNING: Replaced<Running> = Replaced::new();

fn running() -> &'static Running {
    RUNNING.get()
}

/// In the child of a fork: leaves all of it to the parent, whose thread may be in the middle of it.
#[cfg(unix)]
pub fn leave_to_parent() {
    RUNNING.leave();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn attached() -> Option<Attached> {
    process::shared().uploads.clone()
}

/// Runs a step of the uploader of this process; `None` if it has none.
fn step<T>(work: impl FnOnce(&mut Uploader, &mut Step<'_>) -> T) -> Option<T> {
    let attached = attached()?;
    let mut observed = Vec::new();
    let result = {
        let mut uploader = lock(&running().uploader);
        if uploader.as_ref().is_none_or(|(number, _)| *number != attached.number) {
            *uploader = Some((attached.number, Uploader::new(&attached.data_dir, &attached.settings)));
        }
        let (_, uploader) = uploader.as_mut().expect("made above");
        let mut step = Step {
            now: Now::from_clocks(),
            chance: &mut chance,
            may_send: &|ping| consent(&attached).allows(ping),
            record: &mut |observation| observed.push(observation),
        };
        work(uploader, &mut step)
    };
    observed.into_iter().for_each(record);
    Some(result)
}

fn chance(limit: u64) -> u64 {
    let number = uuid::Uuid::new_v4().as_u128();
    // The fixed bits of a UUID are not among the upper ones of this product.
    let mixed = number ^ (number >> 64);
    u64::try_from(mixed % (u128::from(limit) + 1)).unwrap_or(limit)
}

/// Returns what the user agrees to now, before the calls that say so are folded.
fn consent(attached: &Attached) -> Consent {
    match process::shared().log.context() {
        Some(context) => Consent::of(context),
        None => attached.consent.clone(),
    }
}

fn record(observation: Observation) {
    if !process::append_aside(&Op::Upload(observation)) {
        let mut unrecorded = lock(&running().unrecorded);
        if unrecorded.len() < MAX_UNRECORDED {
            unrecorded.push(observation);
        }
    }
}

fn take_published() -> bool {
    std::mem::take(&mut lock(&running().signal).has_published)
}

/// Returns what is to be done next; an endpoint that is empty sends nothing.
pub fn next(endpoint: &str) -> Task {
    static IS_TOLD: AtomicBool = AtomicBool::new(false);
    // Whatever is done: else each `wait` would end at once from here on.
    let has_published = take_published();
    if do_not_track::is_asked_for() {
        return Task::Done(None);
    }
    // What was called before this is done first: a ping may have been submitted, or collection switched off. If that fails, the
    // thread of the folds says so.
    if process::is_fold_due() || endpoint.is_empty() {
        let _ = process::fold();
    }
    if take_published() || has_published {
        step(|uploader, _| uploader.refresh());
    }
    if endpoint.is_empty() {
        if attached().is_some() && !IS_TOLD.swap(true, Ordering::Relaxed) {
            log_at!(Info, "no server endpoint is set, so no ping leaves this machine");
        }
        return Task::Done(None);
    }
    let mut task = step(|uploader, step| uploader.next(endpoint, step));
    if !matches!(task, Some(Task::Send(_))) {
        // Other processes may have left something.
        let _ = process::fold();
        if take_published() {
            step(|uploader, _| uploader.refresh());
            task = step(|uploader, step| uploader.next(endpoint, step));
        }
    }
    if let Some(Task::Send(request)) = &task {
        if process::shared().log_pings == Some(true) {
            let body = serde_json::from_str::<Json>(&request.payload).ok();
            let body = body.and_then(|body| serde_json::to_string_pretty(&body).ok());
            let body = body.as_deref().unwrap_or("<invalid ping payload>");
            log_at!(Info, "ping {} {}:\n{body}", request.ping_name, request.document_id);
        }
    }
    task.unwrap_or(Task::Done(None))
}

/// Takes over what became of a request; tells whether the uploader should stop.
pub fn report(document_id: &str, outcome: Outcome, asked_ms: Option<u64>) -> bool {
    step(|uploader, step| uploader.report(document_id, outcome, asked_ms, step)).unwrap_or(true)
}

/// Waits until a ping is published or [`wake`] is called, at most for `timeout_ms`; `false` if neither happened.
pub fn wait(timeout_ms: u64) -> bool {
    let running = running();
    let mut signal = lock(&running.signal);
    // A year, which is more than any clock has to be asked for.
    let end = Instant::now() + Duration::from_millis(timeout_ms.min(365 * 24 * 3_600_000));
    while !signal.is_woken && !signal.has_published {
        let Some(rest) = end.checked_duration_since(Instant::now()) else { return false };
        (signal, _) = running.changed.wait_timeout(signal, rest).unwrap_or_else(PoisonError::into_inner);
    }
    // That something was published is for `next`, which looks into the folders then.
    let is_woken = signal.is_woken || signal.has_published;
    signal.is_woken = false;
    is_woken
}

/// Ends a [`wait`], also one that begins later.
pub fn wake() {
    let running = running();
    lock(&running.signal).is_woken = true;
    running.changed.notify_all();
}

/// Takes over that a call may become a ping, before the fold of it: another process may be the one that folds it, and be
/// busy for long.
pub(super) fn look_after_fold() {
    lock(&running().signal).looks_after_fold = true;
}

/// Looks for what was due, after a fold: it is a ping by now, whoever made it.
pub(super) fn folded() {
    let mut signal = lock(&running().signal);
    if std::mem::take(&mut signal.looks_after_fold) {
        announce(signal);
    }
}

/// Takes over that pings were published; touches no file.
pub fn published(pings: u64, bytes: u64) {
    if pings > 0 {
        let mut signal = lock(&running().signal);
        let (known_pings, known_bytes) = signal.unguarded.unwrap_or_default();
        signal.unguarded = Some((known_pings + pings, known_bytes + bytes));
        announce(signal);
    }
}

/// Ends a [`wait`]: there may be a ping to send.
fn announce(mut signal: MutexGuard<'_, Signal>) {
    signal.has_published = true;
    drop(signal);
    running().changed.notify_all();
}

/// Removes some of the pings that are too many, after a start and when some were published. It takes locks of this
/// process, and none is held while it reads the folder.
pub fn keep_bounds() {
    let unguarded = lock(&running().signal).unguarded.take();
    let (Some((pings, bytes)), Some(attached)) = (unguarded, attached()) else { return };
    let observation = {
        let mut guard = lock(&running().guard);
        if guard.as_ref().is_none_or(|(number, _)| *number != attached.number) {
            let settings = &attached.settings;
            let count = settings.max_pending_pings_count.unwrap_or(quota::DEFAULT_COUNT);
            let size = settings.max_pending_pings_directory_size.unwrap_or(quota::DEFAULT_BYTES);
            *guard = Some((attached.number, Guard::new(&attached.data_dir, count, size)));
        }
        let (_, guard) = guard.as_mut().expect("made above");
        guard.published(pings, bytes, crate::time::unix_ms_now())
    };
    if let Some(observation) = observation {
        record(observation);
    }
}

/// Takes a directory in a process in which Glean doesn't run, after folding what dead processes left there.
///
/// `false` if there is no such directory.
///
/// # Errors
///
/// [`Error::AlreadyInitialized`] if Glean runs; [`Error::Locked`] if another process has it; those of a fold.
pub fn open(settings: &OpenSettings, limits: UploadSettings) -> Result<bool> {
    process::prepare_process();
    {
        let mut shared = process::shared();
        if shared.log.is_running() {
            return Err(Error::AlreadyInitialized);
        }
        shared.log_pings = shared.log_pings.or_else(process::environment_log_pings);
    }
    let data_dir = Path::new(&settings.data_dir);
    let directory = Directory::new(data_dir);
    if do_not_track::is_asked_for() || !data_dir.is_dir() {
        return Ok(false);
    }
    let path = data_dir.join(LOCK);
    let held =
        if settings.is_exclusive { Some(FileLock::try_acquire(&path)?.ok_or(Error::Locked { path })?) } else { None };
    let mut is_collecting = false;
    if directory.base().parent().is_some_and(Path::is_dir) {
        let mut engine = Engine::new(data_dir, &process::new_name(crate::time::unix_ms_now(), None));
        engine.fold(None, Instant::now() + LOCK_PATIENCE)?;
        is_collecting = matches!(engine.state().get(CLIENT_INFO_STORE, client_id::ADDRESS), Some(Value::Uuid(_)));
    }
    *lock(&running().lock) = held;
    let consent = Consent { is_collecting, independent: None };
    let attached = Attached::new(data_dir, limits, settings.enable_internal_pings, consent);
    process::shared().uploads = Some(attached);
    Ok(true)
}

/// Gives back what is being sent, writes what is to be written, and leaves the directory. A disk that hangs is not waited for.
pub fn close() {
    let Some(attached) = process::shared().uploads.take() else { return };
    if within(END_PATIENCE, move || leave(&attached)).is_none() {
        log_at!(Debug, "the end of uploads did not wait for the disk; what was being sent is free again in a minute");
    }
}

/// Runs what touches files on a thread of its own, and waits for it only so long.
fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let done = Arc::new((Mutex::new(None), Condvar::new()));
    let shown = Arc::clone(&done);
    let work = move || {
        let result = work();
        *lock(&done.0) = Some(result);
        done.1.notify_all();
    };
    spawn("glean.uploads", work).ok()?;
    let waiting = shown.1.wait_timeout_while(lock(&shown.0), patience, |result| result.is_none());
    waiting.unwrap_or_else(PoisonError::into_inner).0.take()
}

fn leave(attached: &Attached) {
    let running = running();
    if let Some((_, mut uploader)) = lock(&running.uploader).take() {
        uploader.close();
    }
    *lock(&running.guard) = None;
    let unrecorded = std::mem::take(&mut *lock(&running.unrecorded));
    if attached.consent.is_collecting && !unrecorded.is_empty() {
        if let Err(error) = leave_journal(attached, &unrecorded) {
            log_at!(Debug, "how the last uploads went is not counted: {error}");
        }
    }
    *lock(&running.lock) = None;
}

/// Leaves a journal as a process does that did nothing else and died. Whoever folds next counts what is in it.
fn leave_journal(attached: &Attached, observed: &[Observation]) -> Result<()> {
    let directory = Directory::new(&attached.data_dir);
    let moment = Moment::now();
    let process = process::new_name(moment.unix_ms, None);
    let settings =
        Settings { upload_enabled: true, enable_internal_pings: attached.has_internal_pings, ..Settings::default() };
    let context = Op::Context(Box::new(Context::new(process.clone(), settings, moment)));
    let operations = std::iter::once(context).chain(observed.iter().map(|observation| Op::Upload(*observation)));
    process::write_journal(&directory, &process, operations)
}

/// Returns what somebody has to know who could start a process that uploads, as JSON. On a disk that hangs nothing waits.
pub fn peek() -> Json {
    let is_frozen = do_not_track::is_asked_for();
    let nothing = json!({ "waiting": 0, "retry_ms": null, "is_exclusive_taken": false, "is_frozen": is_frozen });
    let (false, Some(attached)) = (is_frozen, attached()) else { return nothing };
    let shown = nothing.clone();
    within(END_PATIENCE, move || look(&attached, shown)).unwrap_or(nothing)
}

fn look(attached: &Attached, mut peeked: Json) -> Json {
    let now_ms = crate::time::unix_ms_now();
    let pings: Vec<_> = [Folder::Deletion, Folder::Pending]
        .into_iter()
        .flat_map(|f| queue::list(&attached.data_dir, f).pings)
        .collect();
    let leases = || pings.iter().filter_map(|ping| ping.leased_until(now_ms));
    match notes::read(&attached.data_dir).backoff.pause_ms(now_ms) {
        Some(pause_ms) => peeked["retry_ms"] = pause_ms.into(),
        None => {
            peeked["waiting"] = (pings.len() - leases().count()).into();
            peeked["retry_ms"] = leases().min().map(|end| (end - now_ms).clamp(1, lease::LEASE_MS)).into();
        }
    }
    let path = attached.data_dir.join(LOCK);
    let is_free = FileLock::is_free(&path).unwrap_or(false);
    peeked["is_exclusive_taken"] = (!is_free).into();
    peeked
}
