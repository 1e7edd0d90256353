//! The errors of the core; each one says what failed, where, and why.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Shorthand for results of the core.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call of the core failed.
#[derive(Debug)]
pub enum Error {
    /// A file or directory could not be used.
    Io {
        /// What was tried, as a verb: "create", "read", …
        action: &'static str,
        /// The file or directory it was tried on.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process has held the data directory for too long.
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Too many calls wait to be folded, because nothing can be written.
    Backlog {
        /// The size of what waits.
        bytes: u64,
    },
    /// No data directory was named.
    NoDataDir,
    /// The application id is empty.
    EmptyApplicationId,
    /// Glean isn't running: before `initialize`, after `shutdown`, or `initialize` failed.
    NotInitialized,
    /// Glean runs already or was shut down; only a reset makes it startable again.
    AlreadyInitialized,
}

impl Error {
    /// Returns a function for `map_err` that adds what was tried and on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }

    /// Tells whether a file or folder is missing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Tells whether the same may work in a moment: room on the disk comes back, and descriptors do.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Error::Io { source, .. } => {
                #[cfg(unix)]
                if matches!(source.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::EDQUOT)) {
                    return true;
                }
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory)
            }
            Error::Locked { .. } | Error::Backlog { .. } => true,
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { action, path, source } => write!(f, "cannot {action} {}: {source}", path.display()),
            Error::Locked { path } => {
                write!(f, "another process holds {} for too long; it is tried again", path.display())
            }
            Error::Backlog { bytes } => write!(f, "{bytes} bytes of calls wait for a disk that takes none"),
            Error::NoDataDir => f.write_str("no data directory was named"),
            Error::EmptyApplicationId => f.write_str("the application id is empty"),
            Error::NotInitialized => f.write_str("Glean isn't running: call initialize first (and not after shutdown)"),
            Error::AlreadyInitialized => f.write_str("Glean was initialized already; this call changes nothing"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
