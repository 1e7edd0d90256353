//! Folding, for this process: by the thread when there is work, by a getter when somebody asks.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::replaced::Replaced;
use super::worker::{Next, Work};
use super::{EVENTS_TO_FOLD, FILES, append_with, lifecycle, log_trouble, segments, shared, uploads};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::journal::log::Appended;
use crate::machine::context::Context;
use crate::machine::op::Op;
use crate::store::State;

/// How long another process may hold the directory before this one tries again later.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// How often the thread looks whether nothing is recorded any more, while the journal or the base is large.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// How long after a failed fold the next one is tried, if no call asks for one.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

type Slot = Mutex<Option<Engine>>;

static ENGINE: Replaced<Slot> = Replaced::new();

/// Returns the place of the engine.
pub(super) fn slot() -> &'static Slot {
    ENGINE.get()
}

/// Drops the engine, or leaves it to whoever uses it now: a start in this process gets one of its own.
pub(super) fn leave_engine() {
    if let Ok(mut engine) = slot().try_lock() {
        *engine = None;
    } else {
        abandon();
    }
}

/// Leaves the engine to whoever uses it now; the next one gets a new one.
pub(super) fn abandon() {
    ENGINE.leave();
}

/// Runs `work` with the engine of this process; `None` if Glean doesn't run.
pub(super) fn with_engine<T>(work: impl FnOnce(&mut Engine) -> T) -> Option<T> {
    let mut engine = slot().lock().unwrap_or_else(PoisonError::into_inner);
    if engine.is_none() {
        let shared = shared();
        let process = shared.log.process().filter(|process| !process.is_empty());
        if let (Some(process), Some(data_dir)) = (process, &shared.data_dir) {
            *engine = Some(Engine::new(data_dir, process));
        }
    }
    engine.as_mut().map(work)
}

/// What the thread does.
pub(super) fn work() -> Work {
    let mut has_failed = false;
    // When to look whether nothing is recorded any more, and how much was when somebody looked last.
    let mut idle: Option<(Instant, u64)> = None;
    Box::new(move |_| {
        submit_scheduled();
        let mut is_resting = false;
        if let Some((due, last_used)) = idle.filter(|(due, _)| *due <= Instant::now()) {
            let used = shared().log.used_bytes();
            is_resting = used == last_used;
            idle = Some((due + IDLE_INTERVAL, used));
            if is_resting {
                rest();
                idle = None;
            }
        }
        let folded = fold_now();
        if let Err(error) = &folded {
            log_trouble(has_failed, error);
        }
        has_failed = folded.is_err();
        lifecycle::end_if_asked();
        if !has_failed && !is_resting && wants_to_rest() {
            idle.get_or_insert_with(|| (Instant::now() + IDLE_INTERVAL, 0));
        }
        let failed = has_failed.then_some(RETRY_INTERVAL);
        let idle = idle.map(|(due, _)| due.saturating_duration_since(Instant::now()));
        let scheduled = shared().schedule.rest();
        failed.into_iter().chain(idle).chain(scheduled).min().map_or(Next::Woken, Next::After)
    })
}

/// Appends what is due by now.
fn submit_scheduled() {
    let mut shared = shared();
    let due = shared.schedule.take_due();
    if due.is_empty() {
        return;
    }
    let mut is_delayed = false;
    for op in &due {
        is_delayed |= shared.log.append(op) == Appended::Delayed;
    }
    drop(shared);
    uploads::look_after_fold();
    if is_delayed {
        // That thread comes to it by itself: this one folds once more when there is something to see.
        FILES.wake();
    }
}

/// Leaves no journal, and the smallest base.
fn rest() {
    let is_large = shared().log.is_large();
    if is_large {
        shared().log.rest();
        // Windows removes no file that is mapped.
        let left = shared().log.take_left();
        segments::give_back(left);
    }
    with_engine(Engine::ask_for_tight_base);
}

/// Tells whether the journal or the base takes more room than it has to.
fn wants_to_rest() -> bool {
    shared().log.is_large() || with_engine(|engine| engine.is_roomy()).unwrap_or(false)
}

pub(super) fn fold_and_log() {
    lifecycle::wait_for_calls();
    if let Err(error) = fold_now() {
        log_trouble(false, &error);
    }
}

/// Folds what was called so far, also what still waits for a file.
///
/// # Errors
///
/// What [`Engine::step`] returns.
pub fn fold() -> Result<()> {
    lifecycle::wait_for_calls();
    fold_now()
}

fn fold_now() -> Result<()> {
    let folded = with_engine(fold_with).unwrap_or(Ok(()));
    if folded.is_ok() {
        uploads::folded();
    }
    uploads::keep_bounds();
    folded
}

/// Folds everything that was there when this began, step by step.
pub(super) fn fold_with(engine: &mut Engine) -> Result<()> {
    loop {
        let (own, backlog) = {
            let shared = shared();
            (shared.log.current(), shared.log.backlog_count())
        };
        let step = engine.step(own.as_ref(), Instant::now() + LOCK_PATIENCE);
        drop(own);
        let (pings, bytes) = engine.take_published();
        uploads::published(pings, bytes);
        EVENTS_TO_FOLD.store(i64::try_from(engine.events_to_full()).unwrap_or(i64::MAX), Ordering::Relaxed);
        let step = step?;
        let mut shared = shared();
        shared.log.keep_backlog(backlog, &step.own_segments);
        shared.log.set_base_bytes(engine.base_bytes());
        if let Some(name) = &step.lost_segment {
            shared.log.leave_segment(name);
        }
        drop(shared);
        if step.is_done {
            return Ok(());
        }
    }
}

/// Hands out what is stored, after a fold.
///
/// # Errors
///
/// [`Error::NotInitialized`] if Glean doesn't run.
pub fn ask<T>(question: impl FnOnce(&State, Option<&Context>) -> T) -> Result<T> {
    lifecycle::wait_for_calls();
    with_engine(|engine| {
        if let Err(error) = fold_with(engine) {
            log_trouble(false, &error);
        }
        question(engine.state(), engine.context())
    })
    .ok_or(Error::NotInitialized)
}

/// Submits a ping before this returns; tells whether there was something to send.
///
/// # Errors
///
/// [`Error::NotInitialized`] if Glean doesn't run.
pub fn submit_now(name: &str, op: &Op<'_>) -> Result<bool> {
    if !shared().log.is_running() {
        return Err(Error::NotInitialized);
    }
    let before = ask_engine(|engine| engine.submissions(name))?;
    append_with(|shared| match shared.log.append(op) {
        Appended::Waits => Appended::No,
        appended => appended,
    })?;
    let after = ask_engine(|engine| engine.submissions(name))?;
    Ok(after > before)
}

fn ask_engine<T>(question: impl FnOnce(&Engine) -> T) -> Result<T> {
    lifecycle::wait_for_calls();
    with_engine(|engine| fold_with(engine).map(|()| question(engine))).unwrap_or(Err(Error::NotInitialized))
}
