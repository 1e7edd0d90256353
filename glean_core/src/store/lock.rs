//! Locks that the operating system drops when their process ends.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How often a lock is tried while somebody else holds it.
const RETRY_INTERVAL: Duration = Duration::from_millis(2);

/// A held lock, given up when dropped. The file stays.
#[derive(Debug)]
pub struct FileLock {
    file: Option<File>,
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
        FileLock::open(path, OpenOptions::new().create(true))
    }

    /// Takes the lock at `path`, if the file exists; `None` if it doesn't, or if somebody holds it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be opened or locked.
    pub fn try_acquire_existing(path: &Path) -> Result<Option<FileLock>> {
        match FileLock::open(path, &mut OpenOptions::new()) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            outcome => outcome,
        }
    }

    /// Gives the lock up and removes its file, which nobody takes for one in use: the name is never used again.
    pub fn remove(self, path: &Path) {
        // Unix removes it while it is held: who opened it before finds out that it is gone. Windows removes no open file, and
        // none that somebody else opened meanwhile.
        #[cfg(unix)]
        let _ = std::fs::remove_file(path);
        drop(self);
        #[cfg(not(unix))]
        let _ = std::fs::remove_file(path);
    }

    fn open(path: &Path, options: &mut OpenOptions) -> Result<Option<FileLock>> {
        #[cfg(unix)]
        let _whole = forked::whole();
        let file = open_exclusively(path, options.read(true).write(true).truncate(false))?;
        Ok(file.map(|file| FileLock {
            #[cfg(unix)]
            slot: forked::remember(&file),
            file: Some(file),
        }))
    }

    /// Takes the lock at `path`, and waits for it as long as `patience`.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] after that; [`Error::Io`] as for [`FileLock::try_acquire`].
    pub fn acquire(path: &Path, patience: Duration) -> Result<FileLock> {
        let deadline = Instant::now() + patience;
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
}

impl Drop for FileLock {
    fn drop(&mut self) {
        #[cfg(unix)]
        let _whole = forked::whole();
        #[cfg(unix)]
        forked::forget(self.slot);
        drop(self.file.take());
    }
}

/// Opens the file and locks it, as `flock` does: the lock belongs to this open file, whoever else opens it.
#[cfg(unix)]
fn open_exclusively(path: &Path, options: &OpenOptions) -> Result<Option<File>> {
    use std::os::fd::AsRawFd;

    loop {
        let file = options.open(path).map_err(Error::io("open", path))?;
        // SAFETY: the descriptor is open for the whole call.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            let source = std::io::Error::last_os_error();
            let is_held = source.raw_os_error() == Some(libc::EWOULDBLOCK);
            return if is_held { Ok(None) } else { Err(Error::io("lock", path)(source)) };
        }
        if is_at(&file, path) {
            return Ok(Some(file));
        }
        // Who held it removed the file between the two calls. A lock on what nobody else can open is none.
    }
}

/// Tells whether the open file is the one that others find at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(found)) => (open.dev(), open.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// Opens the file so that nobody else can open it.
#[cfg(windows)]
fn open_exclusively(path: &Path, options: &mut OpenOptions) -> Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;

    /// `ERROR_SHARING_VIOLATION` of winerror.h.
    const SHARING_VIOLATION: i32 = 32;

    match options.share_mode(0).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(source) if source.raw_os_error() == Some(SHARING_VIOLATION) => Ok(None),
        Err(source) => Err(Error::io("open", path)(source)),
    }
}

/// A forked child has copies of the descriptors, and with them the locks of its parent, who may die first. So it closes
/// them; the parent's stay.
#[cfg(unix)]
pub mod forked {
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::sync::atomic::{AtomicI32, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// More than are ever held at once: one for the process, one for the directory, one that is tried.
    const SLOTS: usize = 16;
    const FREE: i32 = -1;
    static HELD: [AtomicI32; SLOTS] = [const { AtomicI32::new(FREE) }; SLOTS];

    static WHOLE: Mutex<()> = Mutex::new(());

    /// Is held while a lock is taken or given up, and over a fork: each descriptor is in the list or not open.
    pub fn whole() -> MutexGuard<'static, ()> {
        WHOLE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember(file: &File) -> Option<usize> {
        let descriptor = file.as_raw_fd();
        (0..SLOTS)
            .find(|slot| HELD[*slot].compare_exchange(FREE, descriptor, Ordering::AcqRel, Ordering::Relaxed).is_ok())
    }

    pub(super) fn forget(slot: Option<usize>) {
        if let Some(slot) = slot {
            HELD[slot].store(FREE, Ordering::Release);
        }
    }

    /// Closes the copies. Only in a child that will never touch the locks of its parent again.
    pub fn close_copies() {
        for slot in &HELD {
            let descriptor = slot.swap(FREE, Ordering::AcqRel);
            if descriptor != FREE {
                // SAFETY: the descriptor is a copy of the parent's, and its owner in this process was given up.
                unsafe { libc::close(descriptor) };
            }
        }
    }
}
