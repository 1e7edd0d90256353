//! The one Glean of a process, and the calls made before it exists.
//!
//! Every call runs in its caller, one at a time, under one lock. Before [`initialize`] calls are kept in order and run by
//! it; after [`shutdown`], or when [`initialize`] failed, they do nothing.
//!
//! A process made by `fork` shares its parent's files. If its parent had called [`initialize`], everything in the child
//! answers [`enter`] with `false` and touches neither files nor locks. Otherwise the child starts afresh: what the
//! parent kept for its own `initialize` is forgotten in the child, so that it isn't recorded twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::glean::{Configuration, Glean, METRICS_PING};
use crate::logging::log_at;
use crate::ping::PingType;

/// Calls kept before `initialize`; further ones are counted and dropped.
pub(crate) const MAX_WAITING_CALLS: usize = 1_000_000;

type Call = Box<dyn FnOnce(&mut Glean) + Send>;

enum Phase {
    Waiting,
    Running(Box<Glean>),
    Stopped,
}

struct Global {
    phase: Phase,
    calls: Vec<Call>,
    dropped_calls: i32,
    pings: BTreeMap<String, Arc<PingType>>,
    enabled: Vec<(String, bool)>,
}

static GLOBAL: Mutex<Global> = Mutex::new(Global {
    phase: Phase::Waiting,
    calls: Vec::new(),
    dropped_calls: 0,
    pings: BTreeMap::new(),
    enabled: Vec::new(),
});

/// The process that uses this library; 0 before the first call.
static OWNER: AtomicU32 = AtomicU32::new(0);
/// Whether the owner called `initialize`, readable without the lock.
static IS_OWNER_STARTED: AtomicBool = AtomicBool::new(false);

fn lock() -> MutexGuard<'static, Global> {
    GLOBAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells whether this process may use the library; asked before any lock is taken.
///
/// `false` in a process forked after `initialize`: another thread of the parent may have held a lock at that moment.
pub fn enter() -> bool {
    let process = std::process::id();
    match OWNER.compare_exchange(0, process, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => true,
        Err(owner) if owner == process => true,
        Err(_) if IS_OWNER_STARTED.load(Ordering::Acquire) => false,
        Err(owner) => {
            if OWNER.compare_exchange(owner, process, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                forget_waiting(&mut lock());
            }
            true
        }
    }
}

/// Starts Glean and runs the calls that waited for it.
///
/// # Errors
///
/// [`Error::AlreadyInitialized`] changes nothing. Every other error of [`Glean::new`] stops Glean: the calls that waited
/// are dropped and later ones do nothing.
pub fn initialize(configuration: Configuration) -> Result<()> {
    let mut global = lock();
    if !matches!(global.phase, Phase::Waiting) {
        return Err(Error::AlreadyInitialized);
    }
    IS_OWNER_STARTED.store(true, Ordering::Release);
    let calls = std::mem::take(&mut global.calls);
    let dropped_calls = std::mem::take(&mut global.dropped_calls);
    let enabled = std::mem::take(&mut global.enabled);
    let pings: Vec<Arc<PingType>> = global.pings.values().map(Arc::clone).collect();
    global.phase = Phase::Stopped;
    let mut glean = Box::new(Glean::new(configuration, pings, enabled)?);
    for call in calls {
        call(&mut glean);
    }
    if dropped_calls > 0 {
        log_at!(Error, "{dropped_calls} calls before initialize were dropped: {MAX_WAITING_CALLS} is the limit");
        glean.count_many("glean.error.preinit_tasks_overflow", None, &[METRICS_PING, "health"], dropped_calls);
    }
    global.phase = Phase::Running(glean);
    Ok(())
}

/// Runs a call now, or when Glean starts.
///
/// # Errors
///
/// [`Error::NotInitialized`] if Glean was stopped or didn't start: nothing is done then.
pub fn launch(call: impl FnOnce(&mut Glean) + Send + 'static) -> Result<()> {
    let global = &mut *lock();
    match &mut global.phase {
        Phase::Running(glean) => call(glean),
        Phase::Stopped => return Err(Error::NotInitialized),
        Phase::Waiting if global.calls.len() < MAX_WAITING_CALLS => global.calls.push(Box::new(call)),
        Phase::Waiting => global.dropped_calls = global.dropped_calls.saturating_add(1),
    }
    Ok(())
}

/// Asks the running Glean something.
///
/// # Errors
///
/// [`Error::NotInitialized`] if it doesn't run.
pub fn ask<T>(question: impl FnOnce(&mut Glean) -> T) -> Result<T> {
    match &mut lock().phase {
        Phase::Running(glean) => Ok(question(glean)),
        _ => Err(Error::NotInitialized),
    }
}

/// Makes a ping known, now and to every Glean that starts later in this process.
pub fn register_ping(ping: Arc<PingType>) {
    let mut global = lock();
    global.pings.insert(ping.definition().name.clone(), Arc::clone(&ping));
    if let Phase::Running(glean) = &mut global.phase {
        glean.register_ping(ping);
    }
}

/// Switches a ping, now or when Glean starts.
///
/// # Errors
///
/// [`Error::NotInitialized`] if Glean was stopped or didn't start.
pub fn set_ping_enabled(name: &str, enabled: bool) -> Result<()> {
    let global = &mut *lock();
    match &mut global.phase {
        Phase::Running(glean) => glean.set_ping_enabled(name, enabled),
        Phase::Waiting => global.enabled.push((name.to_owned(), enabled)),
        Phase::Stopped => return Err(Error::NotInitialized),
    }
    Ok(())
}

/// Ends Glean: everything is written, later calls do nothing.
///
/// # Errors
///
/// [`Error::NotInitialized`] if it doesn't run; calls that waited for it are dropped.
pub fn shutdown() -> Result<()> {
    let mut global = lock();
    forget_waiting(&mut global);
    match std::mem::replace(&mut global.phase, Phase::Stopped) {
        Phase::Running(mut glean) => {
            glean.shutdown();
            Ok(())
        }
        _ => Err(Error::NotInitialized),
    }
}

/// Ends Glean and goes back to the state before `initialize`; registered pings stay known.
pub fn reset() {
    let mut global = lock();
    forget_waiting(&mut global);
    if let Phase::Running(mut glean) = std::mem::replace(&mut global.phase, Phase::Waiting) {
        glean.shutdown();
    }
    IS_OWNER_STARTED.store(false, Ordering::Release);
}

fn forget_waiting(global: &mut Global) {
    global.calls = Vec::new();
    global.dropped_calls = 0;
    global.enabled.clear();
}
