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

    /// Returns the number that is kept in the file; 0 if there is none.
    pub fn number(&self) -> u64 {
        let mut bytes = [0; 8];
        match self.file.read_at(0, &mut bytes) {
            Ok(8) => u64::from_le_bytes(bytes),
            _ => 0,
        }
    }

    /// Keeps a number in the file.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keep_number(&self, number: u64) -> std::io::Result<()> {
        self.file.write_at(0, &number.to_le_bytes())
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
        let lock = FileLock { file: OwnFile::open_shared(options.truncate(false), path)? };
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
