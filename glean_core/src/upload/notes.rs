//! `uploads.json`: failures and the last results, kept for other processes and for who asks.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use crate::disk::{self, OwnFile};
use crate::error::Error;
use crate::logging::log_at;

const FILE: &str = "uploads.json";
/// More than it ever has.
const MAX_BYTES: u64 = 64 << 10;
/// How many results are kept.
const KEPT_RESULTS: usize = 20;

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentResult {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Which ping.
    pub document_id: String,
    /// Its name.
    pub ping: String,
    /// The HTTP status, or why there was none.
    pub result: String,
}

/// The content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Content {
    /// What is known of failures.
    pub backoff: Backoff,
    /// The last results, the oldest first.
    pub results: Vec<SentResult>,
}

/// Reads the file; one that is missing or damaged says nothing.
pub fn read(data_dir: &Path) -> Content {
    let path = data_dir.join(FILE);
    let mut bytes = Vec::with_capacity(4 << 10);
    let file = OwnFile::open_read(&path);
    match file.map(|file| file.get().and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))) {
        Ok(Ok(_)) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            log_at!(Debug, "{} is damaged and is written anew: {error}", path.display());
            Content::default()
        }),
        _ => Content::default(),
    }
}

/// What an uploader knows and wants to be known.
#[derive(Debug)]
pub struct Notes {
    data_dir: PathBuf,
    /// What is known of failures.
    pub backoff: Backoff,
    /// Results that are not written yet.
    results: Vec<SentResult>,
    /// Whether the file doesn't have what is known here: the disk takes nothing.
    is_ahead: bool,
}

impl Notes {
    /// Makes empty notes; nothing is read.
    pub fn new(data_dir: &Path) -> Notes {
        Notes { data_dir: data_dir.to_path_buf(), backoff: Backoff::default(), results: Vec::new(), is_ahead: false }
    }

    /// Takes over what other processes wrote.
    pub fn read(&mut self) {
        if !self.is_ahead {
            self.backoff = read(&self.data_dir).backoff;
        }
    }

    /// Keeps a result until the next write.
    pub fn note(&mut self, result: SentResult) {
        self.results.push(result);
        let surplus = self.results.len().saturating_sub(KEPT_RESULTS);
        self.results.drain(..surplus);
    }

    /// Changes what is known of failures, and writes it if it changed.
    pub fn change(&mut self, change: impl FnOnce(&mut Backoff)) {
        let before = self.backoff;
        change(&mut self.backoff);
        if self.backoff != before {
            self.write();
        }
    }

    /// Writes results that are not written yet.
    pub fn write_results(&mut self) {
        if !self.results.is_empty() {
            self.write();
        }
    }

    fn write(&mut self) {
        let mut content = read(&self.data_dir);
        content.backoff = self.backoff;
        content.results.extend(self.results.iter().cloned());
        let surplus = content.results.len().saturating_sub(KEPT_RESULTS);
        content.results.drain(..surplus);
        let text = serde_json::to_vec(&content).expect("texts and numbers always have a form in JSON");
        let was_ahead = std::mem::replace(&mut self.is_ahead, false);
        match replace(&self.data_dir, &text) {
            Ok(()) => self.results.clear(),
            Err(error) => {
                self.is_ahead = true;
                if !was_ahead {
                    log_at!(Warn, "other processes don't learn how uploads went: {error}");
                }
            }
        }
    }
}

/// Replaces the file in one step. What it says may be lost with the power, so nothing waits for the disk.
fn replace(data_dir: &Path, text: &[u8]) -> Result<(), Error> {
    // Where a start removes what a killed process left.
    let folder = data_dir.join("tmp");
    let temporary = folder.join(format!("{FILE}.{}", uuid::Uuid::new_v4().simple()));
    let written = match disk::write(&temporary, text) {
        Err(error) if error.is_not_found() && data_dir.is_dir() => {
            let made = fs::create_dir(&folder).map_err(Error::io("create", &folder));
            made.and_then(|()| disk::write(&temporary, text))
        }
        written => written,
    };
    let replaced = written
        .map(drop)
        .and_then(|()| fs::rename(&temporary, data_dir.join(FILE)).map_err(Error::io("move to its place", &temporary)));
    if replaced.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    replaced
}
