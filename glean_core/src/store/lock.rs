//! Locks that the operating system drops when their process ends.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::disk::OwnFile;
use crate::error::{Error, Result};

/// How often a lock is tried while somebody else holds it.
const RETRY_INTERVAL: Duration = Duration::from_millis(2);

/// A held lock, given up when dropped. The file stays.
#[derive(Debug)]
pub struct FileLock {
    file: OwnFile,
    #[cfg(unix)]
    slot: Option<usize>,
}

impl FileLock {
    /// Takes the lock at `path`, which is created if missing; `None` if somebody holds it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be made or locked.
    pub fn try_acquire(path: &Path) -> Result<Option<FileLock>> {
        open_exclusively(path, OpenOptions::new().create(true))
    }

    /// Takes the lock at `path`, and waits for it until `deadline`.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] after that; [`Error::Io`] as for [`FileLock::try_acquire`].
    pub fn acquire(path: &Path, deadline: Instant) -> Result<FileLock> {
        loop {
            if let Some(lock) = FileLock::try_acquire(path)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(Error::Locked { path: PathBuf::from(path) });
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
    }

    /// Tells whether the lock of a file that exists is free; a file that is gone has none.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be opened or locked.
    pub fn is_free(path: &Path) -> Result<bool> {
        match open_exclusively(path, &mut OpenOptions::new()) {
            Err(error) if error.is_not_found() => Ok(true),
            outcome => Ok(outcome?.is_some()),
        }
    }

    /// Removes the file of a lock that nobody holds. Who takes it at that moment finds out, and makes the file anew.
    pub fn remove_if_free(path: &Path) {
        if let Ok(Some(lock)) = open_exclusively(path, &mut OpenOptions::new()) {
            // Windows removes no open file, and none that somebody else opened meanwhile.
            #[cfg(unix)]
            let _ = std::fs::remove_file(path);
            drop(lock);
            #[cfg(not(unix))]
            let _ = std::fs::remove_file(path);
        }
    }

    /// Tells whether it is held: the program may have closed the descriptor, and somebody may have removed the file.
    pub fn is_held(&self, path: &Path) -> bool {
        self.file.is_at(path)
    }
}

/// Opens the file and locks it, as `flock` does: the lock belongs to this open file, whoever else opens it.
#[cfg(unix)]
fn open_exclusively(path: &Path, options: &mut OpenOptions) -> Result<Option<FileLock>> {
    use std::os::fd::AsRawFd;

    loop {
        let file = OwnFile::open_shared(options.truncate(false), path)?;
        // Before it is locked: a child that is forked in between gives up what its parent locks.
        let lock = FileLock { slot: forked::remember(&file), file };
        let flock = || -> std::io::Result<()> {
            // SAFETY: the descriptor is open for the whole call.
            match unsafe { libc::flock(lock.file.get()?.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        match flock() {
            Err(error) if error.raw_os_error() == Some(libc::EWOULDBLOCK) => return Ok(None),
            Err(error) => return Err(Error::io("lock", path)(error)),
            Ok(()) if lock.file.is_at(path) => return Ok(Some(lock)),
            // Who held it removed the file between the two calls. A lock on what nobody else can open is none.
            Ok(()) => (),
        }
    }
}

#[cfg(unix)]
impl Drop for FileLock {
    fn drop(&mut self) {
        use std::os::fd::AsRawFd;

        // Said in words, as a child that was forked a moment ago may have a copy of the descriptor.
        if let Ok(file) = self.file.get() {
            // SAFETY: the descriptor is open for the whole call.
            unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) };
        }
        forked::forget(self.slot);
    }
}

/// Opens the file so that nobody else can open it.
#[cfg(windows)]
fn open_exclusively(path: &Path, options: &mut OpenOptions) -> Result<Option<FileLock>> {
    use std::os::windows::fs::OpenOptionsExt;

    /// `ERROR_SHARING_VIOLATION` of winerror.h.
    const SHARING_VIOLATION: i32 = 32;

    match OwnFile::open(options.read(true).write(true).truncate(false).share_mode(0), "open", path) {
        Ok(file) => Ok(Some(FileLock { file })),
        Err(Error::Io { source, .. }) if source.raw_os_error() == Some(SHARING_VIOLATION) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A forked child has copies of the descriptors, and with them the locks of its parent, who may die first. So it closes
/// them; the parent's stay.
#[cfg(unix)]
pub mod forked {
    use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

    use crate::disk::{OwnFile, is_open_as};

    struct Slot {
        descriptor: AtomicI32,
        device: AtomicU64,
        inode: AtomicU64,
    }

    /// More than are ever held at once: one for the process, one for the directory, one that is looked at.
    const SLOTS: usize = 16;
    const FREE: i32 = -1;
    /// Taken, and not filled in yet.
    const TAKEN: i32 = -2;
    static HELD: [Slot; SLOTS] =
        [const { Slot { descriptor: AtomicI32::new(FREE), device: AtomicU64::new(0), inode: AtomicU64::new(0) } };
            SLOTS];

    pub(super) fn remember(file: &OwnFile) -> Option<usize> {
        let (descriptor, (device, inode)) = file.descriptor();
        let is_taken =
            |slot: &Slot| slot.descriptor.compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let index = HELD.iter().position(is_taken)?;
        HELD[index].device.store(device, Ordering::Relaxed);
        HELD[index].inode.store(inode, Ordering::Relaxed);
        HELD[index].descriptor.store(descriptor, Ordering::Release);
        Some(index)
    }

    pub(super) fn forget(slot: Option<usize>) {
        if let Some(slot) = slot {
            HELD[slot].descriptor.store(FREE, Ordering::Release);
        }
    }

    /// Closes the copies. Only in a child, which will never touch the locks of its parent again.
    pub fn close_copies() {
        for slot in &HELD {
            let descriptor = slot.descriptor.swap(FREE, Ordering::AcqRel);
            let identity = (slot.device.load(Ordering::Relaxed), slot.inode.load(Ordering::Relaxed));
            if descriptor >= 0 && is_open_as(descriptor, identity) {
                // SAFETY: the descriptor is a copy of the parent's, and its owner in this process was given up.
                unsafe { libc::close(descriptor) };
            }
        }
    }
}
