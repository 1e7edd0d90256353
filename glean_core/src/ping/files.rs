//! Ping files: written to `tmp/`, renamed into `pending_pings/` or `deletion_request/`, named by document id.
//!
//! A file has three lines: submission path, body, metadata; the last one has no newline.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::PingDefinition;
use crate::error::{Error, Result};
use crate::logging::log_at;
use crate::storage::journal;

/// Name of the folder of pings that wait for upload.
pub const PENDING: &str = "pending_pings";
/// Name of the folder of `deletion-request` pings that wait for upload.
pub const DELETION_REQUESTS: &str = "deletion_request";
const TEMPORARY: &str = "tmp";

/// The folders of ping files in one data directory.
#[derive(Debug)]
pub struct PingFiles {
    data_dir: PathBuf,
}

impl PingFiles {
    /// Names the folders; they are created on first use.
    pub fn new(data_dir: &Path) -> PingFiles {
        PingFiles { data_dir: data_dir.to_path_buf() }
    }

    /// Writes a ping to `tmp/<document id>` and waits until it is on the disk itself.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; nothing usable is left then.
    pub fn write(&self, document_id: &str, path: &str, body: &Json, ping: &PingDefinition) -> Result<()> {
        let metadata = json!({
            "headers": {},
            "body_has_info_sections": ping.include_info_sections,
            "ping_name": ping.name,
            "uploader_capabilities": ping.uploader_capabilities,
        });
        let folder = self.data_dir.join(TEMPORARY);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let file = folder.join(document_id);
        let written = journal::write_synced(&file, format!("{path}\n{body}\n{metadata}").as_bytes());
        if written.is_err() {
            let _ = fs::remove_file(&file);
        }
        written
    }

    /// Moves a written ping into `folder`. Does nothing if there is no such file: it was moved before.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it exists and cannot be moved.
    pub fn publish(&self, document_id: &str, folder: &str) -> Result<()> {
        let folder = self.data_dir.join(folder);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let target = folder.join(document_id);
        match fs::rename(self.data_dir.join(TEMPORARY).join(document_id), &target) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("move a ping to", &target)(error)),
            _ => {
                journal::sync_parent(&target);
                Ok(())
            }
        }
    }

    /// Removes what an interrupted process left in `tmp/`, except the pings in `keep`. Failures are logged.
    pub fn remove_unfinished(&self, keep: &[String]) {
        for file in list(&self.data_dir.join(TEMPORARY)) {
            let is_kept = file.file_name().is_some_and(|name| keep.iter().any(|id| name == id.as_str()));
            if !is_kept {
                remove(&file);
            }
        }
    }

    /// Removes the waiting pings of these names. Failures are logged.
    pub fn remove_pending(&self, is_removed: impl Fn(&str) -> bool) {
        for file in list(&self.data_dir.join(PENDING)) {
            if ping_name(&file).is_some_and(|name| is_removed(&name)) {
                remove(&file);
            }
        }
    }
}

/// Reads the name of the ping from the first line: `/submit/<application>/<name>/1/<document id>`.
fn ping_name(file: &Path) -> Option<String> {
    let mut line = String::new();
    BufReader::new(File::open(file).ok()?).read_line(&mut line).ok()?;
    line.split('/').nth(3).map(str::to_owned)
}

/// Returns the files of a folder; none if it doesn't exist.
fn list(folder: &Path) -> Vec<PathBuf> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                log_at!(Error, "{}", Error::io("list", folder)(error));
            }
            Vec::new()
        }
    }
}

fn remove(file: &Path) {
    if let Err(error) = fs::remove_file(file) {
        log_at!(Error, "{}", Error::io("remove", file)(error));
    }
}
