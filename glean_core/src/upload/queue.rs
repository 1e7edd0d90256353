//! The pings that wait in the folders of a data directory.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::lease;
use crate::disk;
use crate::error::Error;
use crate::logging::log_at;

/// Name of the folder of pings that wait for upload.
pub const PENDING: &str = "pending_pings";
/// Name of the folder of `deletion-request` pings that wait for upload.
pub const DELETION_REQUESTS: &str = "deletion_request";

/// A folder of pings. Those of the first one are sent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Folder {
    /// Requests for the deletion of what was sent.
    Deletion,
    /// All other pings.
    Pending,
}

impl Folder {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Folder::Deletion => DELETION_REQUESTS,
            Folder::Pending => PENDING,
        }
    }
}

/// A ping that waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its folder.
    pub folder: Folder,
    /// Its id.
    pub document_id: String,
    /// The name of its file: the id, and a lease if somebody took it.
    pub file_name: String,
    /// The size of its file.
    pub size_bytes: u64,
    /// When it was made.
    pub modified: SystemTime,
    /// When the lease ends, if there is one.
    pub until_ms: Option<i64>,
}

impl Waiting {
    /// Returns where its file is.
    pub fn path(&self, data_dir: &Path) -> PathBuf {
        data_dir.join(self.folder.name()).join(&self.file_name)
    }

    /// Returns when a lease ends that is in force.
    pub fn leased_until(&self, now_ms: i64) -> Option<i64> {
        self.until_ms.filter(|until_ms| lease::is_in_force(*until_ms, now_ms))
    }

    /// Returns what pings are sorted by.
    pub fn order(&self) -> (Folder, SystemTime, &str) {
        (self.folder, self.modified, &self.document_id)
    }
}

/// What is in a folder.
#[derive(Debug, Default)]
pub struct Listing {
    /// The pings, in no order.
    pub pings: Vec<Waiting>,
    /// What is none.
    pub foreign: Vec<PathBuf>,
}

/// Reads a folder; one that doesn't exist has nothing in it.
pub fn list(data_dir: &Path, folder: Folder) -> Listing {
    let path = data_dir.join(folder.name());
    let mut listing = Listing::default();
    let entries = match disk::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                log_at!(Error, "{}", Error::io("list", &path)(error));
            }
            return listing;
        }
    };
    for entry in entries.flatten() {
        let Ok(data) = entry.metadata() else { continue };
        let name = entry.file_name();
        match name.to_str().and_then(lease::parse).filter(|_| data.is_file()) {
            Some((document_id, until_ms)) => listing.pings.push(Waiting {
                folder,
                document_id: document_id.to_owned(),
                file_name: name.to_string_lossy().into_owned(),
                size_bytes: data.len(),
                modified: data.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                until_ms,
            }),
            None if data.is_dir() => (),
            None => listing.foreign.push(entry.path()),
        }
    }
    listing
}
