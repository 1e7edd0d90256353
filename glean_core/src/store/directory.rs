//! The files of the database: `base`, `glean.lock`, and for each process its segments and a lock that says it lives.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Map, Value as Json};

use crate::disk;
use crate::error::{Error, Result};
use crate::journal::segment::UNFINISHED;
use crate::sort;

/// Ends the names of segments.
const LOG_SUFFIX: &str = ".log";
/// The lock that whoever folds holds.
const DIRECTORY_LOCK: &str = "glean.lock";
/// How many files of a folder are described; of a larger one, only their number.
const MAX_DESCRIBED_FILES: usize = 100;
/// Ends the names of the locks of processes.
const LOCK_SUFFIX: &str = ".lock";

/// The folder `db/` of a data directory.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

/// One segment of some process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogFile {
    /// Whose it is.
    pub process: String,
    /// Its number.
    pub serial: u32,
    /// The name of the file.
    pub name: String,
}

impl Directory {
    /// Names the folder; it is made by [`Directory::create`].
    pub fn new(data_dir: &Path) -> Directory {
        Directory { path: data_dir.join("db") }
    }

    /// Makes the folder and its parents.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if that is impossible.
    pub fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.path).map_err(Error::io("create", &self.path))
    }

    /// Returns the path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the path of the base.
    pub fn base(&self) -> PathBuf {
        self.path.join("base")
    }

    /// Returns the path of the lock that whoever folds holds.
    pub fn lock(&self) -> PathBuf {
        self.path.join(DIRECTORY_LOCK)
    }

    /// Returns the path of the lock that a process holds as long as it lives.
    pub fn process_lock(&self, process: &str) -> PathBuf {
        self.path.join(format!("{process}{LOCK_SUFFIX}"))
    }

    /// Returns the name of a segment.
    pub fn log_name(process: &str, serial: u32) -> String {
        format!("{process}.{serial:08x}{LOG_SUFFIX}")
    }

    /// Returns the names of all files in it. Part of them would be taken for all: so any trouble is an error.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be listed to its end.
    pub fn list(&self) -> Result<Listing> {
        let names = disk::read_dir(&self.path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>())
            .map_err(Error::io("list", &self.path))?;
        Ok(Listing(names.into_iter().filter_map(|name| name.into_string().ok()).collect()))
    }

    /// Returns the size of all files in it.
    pub fn size_bytes(&self) -> u64 {
        let entries = disk::read_dir(&self.path).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).filter(fs::Metadata::is_file).map(|data| data.len()).sum()
    }
}

/// The names of all files in a folder `db/`.
#[derive(Debug)]
pub struct Listing(BTreeSet<String>);

impl Listing {
    /// Tells whether there is a file of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// Returns the segments of all processes, the oldest process and segment first.
    pub fn logs(&self) -> Vec<LogFile> {
        let mut logs: Vec<LogFile> = self.0.iter().filter_map(|name| LogFile::named(name)).collect();
        sort::by(&mut logs, LogFile::cmp);
        logs
    }

    /// Returns the files that were to become segments, with the names of their processes.
    pub fn unfinished(&self) -> impl Iterator<Item = (&str, &str)> {
        let split = |name: &str| Some(name.strip_suffix(UNFINISHED)?.strip_suffix('.')?.rsplit_once('.')?.0.len());
        self.0.iter().filter_map(move |name| Some((name.as_str(), &name[..split(name)?])))
    }

    /// Returns the names of the processes that have a lock here, living or not.
    pub fn processes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|name| *name != DIRECTORY_LOCK).filter_map(|name| name.strip_suffix(LOCK_SUFFIX))
    }
}

impl LogFile {
    /// Returns the segment whose file has this name; `None` if it is no name of one.
    pub fn named(name: &str) -> Option<LogFile> {
        let (process, serial) = name.strip_suffix(LOG_SUFFIX)?.rsplit_once('.')?;
        let serial = u32::from_str_radix(serial, 16).ok()?;
        Some(LogFile { process: process.to_owned(), serial, name: name.to_owned() })
    }
}

/// Describes what is in a data directory, as JSON for `glean.health.data_directory_info`.
pub fn info(data_dir: &Path) -> String {
    let folders: Vec<Json> = ["db", "events", "pending_pings"].iter().map(|name| folder_info(data_dir, name)).collect();
    Json::Array(folders).to_string()
}

fn folder_info(data_dir: &Path, name: &str) -> Json {
    let mut info = Map::new();
    info.insert("dir_name".into(), name.into());
    let path = data_dir.join(name);
    match fs::metadata(&path) {
        Ok(metadata) => {
            info.insert("dir_exists".into(), metadata.is_dir().into());
            insert_times(&mut info, "dir", &metadata);
        }
        Err(error) => {
            info.insert("dir_exists".into(), false.into());
            if error.kind() != std::io::ErrorKind::NotFound {
                info.insert("error_message".into(), error.to_string().into());
            }
            return Json::Object(info);
        }
    }
    match disk::read_dir(&path) {
        Ok(entries) => {
            let mut entries = entries.flatten();
            let files: Vec<Json> = entries.by_ref().take(MAX_DESCRIBED_FILES).map(|entry| file_info(&entry)).collect();
            info.insert("file_count".into(), (files.len() + entries.count()).into());
            if !files.is_empty() {
                info.insert("files".into(), Json::Array(files));
            }
        }
        Err(error) => {
            info.insert("error_message".into(), error.to_string().into());
        }
    }
    Json::Object(info)
}

fn file_info(entry: &fs::DirEntry) -> Json {
    let mut info = Map::new();
    info.insert("file_name".into(), entry.file_name().to_string_lossy().into());
    match entry.metadata() {
        Ok(metadata) => {
            insert_times(&mut info, "file", &metadata);
            info.insert("file_size".into(), metadata.len().into());
        }
        Err(error) => {
            info.insert("error_message".into(), error.to_string().into());
        }
    }
    Json::Object(info)
}

fn insert_times(info: &mut Map<String, Json>, prefix: &str, metadata: &fs::Metadata) {
    for (name, time) in [("created", metadata.created()), ("modified", metadata.modified())] {
        let seconds = time.ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        if let Some(seconds) = seconds {
            info.insert(format!("{prefix}_{name}"), seconds.as_secs().into());
        }
    }
}
