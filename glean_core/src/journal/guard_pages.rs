//! Keeps the host program alive when somebody cuts a mapped file: a store behind its end raises SIGBUS.
//!
//! The handler puts a page of memory where the page of the file is missing, so that the store succeeds. What is stored
//! there is still folded by this process, but would not survive its death; so the next fold starts a new segment. Faults
//! that aren't in a segment go to whoever handled SIGBUS before.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// More segments than are ever mapped at once: the backlog is limited. Those that find no place are not guarded.
const SLOTS: usize = 1024;

static RANGES: [(AtomicUsize, AtomicUsize); SLOTS] = [const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; SLOTS];
static HAS_LOST: AtomicBool = AtomicBool::new(false);
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(std::ptr::null_mut());

/// The guard of one mapping; given up when dropped.
#[derive(Debug)]
pub struct Guard(Option<usize>);

/// Guards a mapping.
pub fn guard(start: *const u8, size_bytes: usize) -> Guard {
    static ONCE: Once = Once::new();
    ONCE.call_once(install);
    let start = start as usize;
    let slot = RANGES.iter().position(|(first, size)| {
        let is_free = first.compare_exchange(0, start, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if is_free {
            size.store(size_bytes, Ordering::Release);
        }
        is_free
    });
    Guard(slot)
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            let (start, size) = &RANGES[slot];
            size.store(0, Ordering::Release);
            start.store(0, Ordering::Release);
        }
    }
}

/// Tells, once, whether pages were lost.
pub fn take_lost() -> bool {
    HAS_LOST.swap(false, Ordering::AcqRel)
}

fn install() {
    // SAFETY: `sigaction` is plain data for which zero is a value; both pointers are valid for the call; the handler does
    // only what a signal handler may do: atomics and system calls.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = handle;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        let mut previous: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGBUS, &raw const action, &raw mut previous) == 0 {
            // Never freed: the handler may run at any time.
            PREVIOUS.store(Box::into_raw(Box::new(previous)), Ordering::Release);
        }
    }
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes valid pointers.
    let address = unsafe { (*info).si_addr() } as usize;
    let is_ours = RANGES.iter().any(|(start, size)| {
        let start = start.load(Ordering::Acquire);
        start != 0 && (start..start + size.load(Ordering::Acquire)).contains(&address)
    });
    // SAFETY: replaces one page of a mapping of ours that has nothing behind it.
    if is_ours && unsafe { put_memory_at(address) } {
        HAS_LOST.store(true, Ordering::Release);
        return;
    }
    // SAFETY: as the kernel would call it; the pointer is NULL or was made by `install`.
    unsafe { pass_on(signal, info, context) };
}

unsafe fn put_memory_at(address: usize) -> bool {
    // SAFETY: has no preconditions.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let page = address & !(page_bytes - 1);
    // SAFETY: promised by the caller.
    let mapped = unsafe {
        libc::mmap(
            page as *mut libc::c_void,
            page_bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    mapped != libc::MAP_FAILED
}

unsafe fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: promised by the caller.
    let previous = unsafe { PREVIOUS.load(Ordering::Acquire).as_ref() };
    match previous.map(|previous| (previous.sa_sigaction, previous.sa_flags & libc::SA_SIGINFO != 0)) {
        Some((handler, true)) if handler != libc::SIG_DFL && handler != libc::SIG_IGN => {
            // SAFETY: a handler with this flag has this type.
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        Some((handler, false)) if handler != libc::SIG_DFL && handler != libc::SIG_IGN => {
            // SAFETY: a handler without that flag has this type.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
        // Back to what the system does: the store is tried again, and ends the program as it would have.
        // SAFETY: valid for any signal.
        _ => unsafe {
            libc::signal(signal, libc::SIG_DFL);
        },
    }
}
