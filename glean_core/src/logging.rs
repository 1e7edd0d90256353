//! Log messages of the core, kept until the binding fetches them: the core never prints and never calls back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much a message matters. The numbers are those of Python's `logging` module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// For developers of Glean.
    Debug = 10,
    /// Shows that Glean works.
    Info = 20,
    /// Data was refused or repaired.
    Warn = 30,
    /// The developer of the host program must act.
    Error = 40,
}

/// Messages kept while nobody fetches them; older ones make room for newer ones.
const CAPACITY: usize = 1000;

static THRESHOLD: AtomicI32 = AtomicI32::new(Level::Info as i32);
static PENDING: AtomicU32 = AtomicU32::new(0);
static QUEUE: Mutex<Queue> = Mutex::new(Queue { messages: VecDeque::new(), dropped: 0 });

struct Queue {
    messages: VecDeque<(Level, String)>,
    dropped: u64,
}

#[cfg(unix)]
/// Gives access to the waiting messages; held over a fork, so that a child can log.
pub(crate) fn hold() -> Held {
    Held(queue())
}

/// See [`hold`].
#[cfg(unix)]
pub(crate) struct Held(MutexGuard<'static, Queue>);

#[cfg(unix)]
impl Held {
    /// Drops what waits.
    pub(crate) fn drop_waiting(&mut self) {
        self.0.messages.clear();
        self.0.dropped = 0;
        PENDING.store(0, Ordering::Release);
    }
}

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the lowest level that is kept, as a number of Python's `logging` module.
pub fn set_threshold(level: i32) {
    THRESHOLD.store(level, Ordering::Relaxed);
}

/// Tells whether a message of this level would be kept; asked before it is formatted.
pub fn is_enabled(level: Level) -> bool {
    level as i32 >= THRESHOLD.load(Ordering::Relaxed)
}

/// Keeps one message.
pub fn push(level: Level, message: String) {
    let mut queue = queue();
    if queue.messages.len() >= CAPACITY {
        queue.messages.pop_front();
        queue.dropped += 1;
    }
    queue.messages.push_back((level, message));
    PENDING.store(queue.messages.len() as u32, Ordering::Release);
}

/// Takes the oldest message; a note about lost ones comes first.
pub fn pop() -> Option<(Level, String)> {
    let mut queue = queue();
    if queue.dropped > 0 {
        let dropped = std::mem::take(&mut queue.dropped);
        return Some((Level::Warn, format!("{dropped} older log messages were lost: nobody fetched them")));
    }
    let message = queue.messages.pop_front();
    PENDING.store(queue.messages.len() as u32, Ordering::Release);
    message
}

/// Tells whether messages wait.
#[inline]
pub fn has_pending() -> bool {
    PENDING.load(Ordering::Relaxed) != 0
}

/// Returns the number of waiting messages, at an address that stays valid and that C may read.
pub fn pending() -> &'static AtomicU32 {
    &PENDING
}

/// Logs a formatted message at a level; formats only if the level is enabled.
macro_rules! log_at {
    ($level:ident, $($argument:tt)+) => {
        if $crate::logging::is_enabled($crate::logging::Level::$level) {
            $crate::logging::push($crate::logging::Level::$level, format!($($argument)+));
        }
    };
}
pub(crate) use log_at;
