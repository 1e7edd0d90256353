//! One process per data directory: an exclusive lock that the operating system drops when its process ends.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// Lock files held by this process. POSIX record locks don't keep a process from locking a file twice.
static HELD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The ownership of a directory, given up when dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    path: PathBuf,
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock `glean.lock` of a directory that exists.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if somebody holds it; [`Error::Io`] if the lock file cannot be made.
    pub fn acquire(directory: &Path) -> Result<DirectoryLock> {
        let directory = directory.canonicalize().map_err(Error::io("find", directory))?;
        let path = directory.join("glean.lock");
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains(&path) {
            return Err(Error::Locked { path });
        }
        let file = open_exclusively(&path)?;
        held.insert(path.clone());
        Ok(DirectoryLock { path, _file: file })
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

/// Opens the file and locks it. A record lock, unlike `flock`, is not inherited by `fork`: a child that outlives its
/// parent doesn't keep the parent's successor out.
#[cfg(unix)]
fn open_exclusively(path: &Path) -> Result<File> {
    use std::os::fd::AsRawFd;

    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(Error::io("open", path))?;
    // SAFETY: all fields of `flock` are integers, for which zero is a value.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = libc::F_WRLCK as _;
    range.l_whence = libc::SEEK_SET as _;
    // SAFETY: the descriptor is open for the whole call and `range` is a valid `flock` that is only read.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &range) } == 0 {
        return Ok(file);
    }
    let source = std::io::Error::last_os_error();
    match source.raw_os_error() {
        Some(libc::EACCES | libc::EAGAIN) => Err(Error::Locked { path: path.to_path_buf() }),
        _ => Err(Error::io("lock", path)(source)),
    }
}

/// Opens the file so that nobody else can open it.
#[cfg(windows)]
fn open_exclusively(path: &Path) -> Result<File> {
    use std::os::windows::fs::OpenOptionsExt;

    /// `ERROR_SHARING_VIOLATION` of winerror.h.
    const SHARING_VIOLATION: i32 = 32;

    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).share_mode(0).open(path);
    opened.map_err(|source| match source.raw_os_error() {
        Some(SHARING_VIOLATION) => Error::Locked { path: path.to_path_buf() },
        _ => Error::io("open", path)(source),
    })
}
