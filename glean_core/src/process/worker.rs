//! Threads that do what no call waits for: they come when there is work, take no signals, and go when there is none.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::logging::log_at;

/// When a worker has to work again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// When somebody wakes it.
    Woken,
    /// When somebody wakes it, or after this time.
    After(Duration),
}

/// What a thread does when it is woken. Told whether that was a timeout.
pub(super) type Work = Box<dyn FnMut(bool) -> Next + Send>;

/// A thread that exists while there is work.
#[derive(Debug)]
pub(super) struct Worker {
    name: &'static str,
    make_work: fn() -> Work,
    state: Mutex<State>,
    changed: Condvar,
}

/// What is known of the thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    has_work: bool,
    is_working: bool,
    has_thread: bool,
}

impl Worker {
    pub(super) const fn new(name: &'static str, make_work: fn() -> Work) -> Worker {
        let state = State { has_work: false, is_working: false, has_thread: false };
        Worker { name, make_work, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that the work is done soon.
    pub(super) fn wake(&'static self) {
        let mut state = self.state();
        state.has_work = true;
        if state.has_thread {
            // Who is woken up wants the state at once.
            drop(state);
            return self.changed.notify_all();
        }
        state.has_thread = true;
        drop(state);
        if let Err(error) = spawn(self.name, move || self.run()) {
            self.state().has_thread = false;
            log_at!(Warn, "no thread for Glean, so this call waits for the disk: {error}");
            self.work_once(&mut (self.make_work)(), false);
        }
    }

    fn run(&self) {
        let mut work = (self.make_work)();
        let mut next = Next::Woken;
        loop {
            let mut state = self.state();
            let deadline = match next {
                Next::Woken => None,
                Next::After(pause) => Some(Instant::now() + pause),
            };
            let is_timeout = loop {
                if state.has_work {
                    break false;
                }
                let Some(deadline) = deadline else {
                    // In the same moment in which it is seen that there is nothing to do: the next one who wakes it makes a
                    // thread.
                    state.has_thread = false;
                    drop(state);
                    return self.changed.notify_all();
                };
                let Some(rest) = deadline.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) else {
                    break true;
                };
                state = self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
            };
            drop(state);
            next = self.work_once(&mut work, is_timeout);
        }
    }

    fn work_once(&self, work: &mut Work, is_timeout: bool) -> Next {
        {
            let mut state = self.state();
            state.has_work = false;
            state.is_working = true;
        }
        let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(is_timeout)));
        self.state().is_working = false;
        self.changed.notify_all();
        next.unwrap_or_else(|_| {
            log_at!(Error, "error inside Glean, please report it: a thread of it panicked");
            Next::After(Duration::from_secs(1))
        })
    }

    /// Tells whether something that was asked for is not done yet.
    pub(super) fn is_due(&self) -> bool {
        let state = self.state();
        state.has_work || state.is_working
    }

    /// Waits until what was asked for so far is done; `false` if that is not before `deadline`.
    pub(super) fn wait(&self, deadline: Instant) -> bool {
        let mut state = self.state();
        while state.has_work || state.is_working {
            let Some(rest) = deadline.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) else {
                return false;
            };
            state = self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Holds the state over a fork. No file is touched while it is held.
    #[cfg(unix)]
    pub(super) fn hold(&'static self) -> Held {
        self.state()
    }

    /// In the child of a fork there is no thread.
    #[cfg(unix)]
    pub(super) fn forget_thread(held: &mut Held) {
        **held = State { has_work: false, is_working: false, has_thread: false };
    }
}

#[cfg(unix)]
pub(super) type Held = MutexGuard<'static, State>;

/// Starts a thread that takes no signals: those are for the threads of the program.
#[cfg(unix)]
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    // SAFETY: signal sets are plain data that the first call fills; all pointers are valid for the calls. A thread inherits
    // the mask of the one that starts it.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut former: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut former);
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const former, std::ptr::null_mut());
        spawned.map(drop)
    }
}

#[cfg(not(unix))]
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}
