//! Forks: the child leaves the threads, the engine and the files of its parent alone, and makes its own when it records.

use std::cell::RefCell;
use std::sync::{MutexGuard, Once};

use super::worker::{Held, Worker};
use super::{FILES, FOLDS, Shared, folding, new_name, shared};
use crate::engine::Engine;

thread_local! {
    static HELD_OVER_FORK: RefCell<Option<HeldOverFork>> = const { RefCell::new(None) };
}

/// What a fork holds, in this order, and gives back on both sides. Whoever else has it has it for a moment.
struct HeldOverFork {
    shared: MutexGuard<'static, Shared>,
    files: Held,
    folds: Held,
    messages: crate::logging::Held,
    /// `None` if somebody folds: a fork doesn't wait for that.
    engine: Option<MutexGuard<'static, Option<Engine>>>,
}

pub(super) fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the three functions are `extern "C"`, take nothing and don't unwind.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child)) };
    });
}

/// Holds the log over the fork, so that no thread is in the middle of an append.
extern "C" fn before_fork() {
    let held = HeldOverFork {
        shared: shared(),
        files: FILES.hold(),
        folds: FOLDS.hold(),
        messages: crate::logging::hold(),
        engine: folding::slot().try_lock().ok(),
    };
    let _ = HELD_OVER_FORK.try_with(|place| *place.borrow_mut() = Some(held));
    crate::disk::forked::begin();
}

extern "C" fn after_fork_in_parent() {
    crate::disk::forked::end();
    let _ = HELD_OVER_FORK.try_with(|held| held.borrow_mut().take());
}

extern "C" fn after_fork_in_child() {
    super::uploads::leave_to_parent();
    let held = HELD_OVER_FORK.try_with(|held| held.borrow_mut().take()).ok().flatten();
    crate::disk::forked::close_copies(held.as_ref().and_then(|held| held.shared.real_dir.as_deref()));
    let Some(mut held) = held else { return };
    Worker::forget_thread(&mut held.files);
    Worker::forget_thread(&mut held.folds);
    match held.engine {
        Some(mut engine) => *engine = None,
        // It may be half-way, and stays as it is, for ever.
        None => folding::abandon(),
    }
    // They are the parent's, too.
    held.messages.drop_waiting();
    let shared = &mut *held.shared;
    shared.schedule.leave_to_parent();
    // Its descriptor is closed already.
    shared.life = None;
    shared.end = None;
    shared.is_stalled = false;
    let process = new_name(crate::time::unix_ms_now(), shared.log.process());
    shared.log.leave_to_parent(&process, |context| process.clone_into(&mut context.process));
}
