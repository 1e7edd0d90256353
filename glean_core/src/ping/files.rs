//! Ping files: written to `tmp/`, renamed into `pending_pings/` or `deletion_request/`, named by document id.
//!
//! A file has three lines: submission path, body, metadata; the last one has no newline.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::logging::log_at;
use crate::machine::client_id;
use crate::store::base::{self, Effect, Unsynced, sync_parent};
use crate::upload::lease;
use crate::upload::queue::{DELETION_REQUESTS, PENDING};

const TEMPORARY: &str = "tmp";

/// Writes a ping to `tmp/<document id>`.
///
/// # Errors
///
/// [`Error::Io`]; nothing is left then.
pub fn write(data_dir: &Path, document_id: &str, content: &[u8]) -> Result<Unsynced> {
    let written = in_folder(&data_dir.join(TEMPORARY).join(document_id), |path| base::write(path, content))?;
    // They are sent in this order, and file systems stamp all files of some milliseconds alike.
    written.set_modified(SystemTime::now());
    Ok(written)
}

/// What is known of pings that are to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Nobody tried before, so that no file can be there already.
    First,
    /// Somebody may have.
    Again,
    /// Somebody did: one that isn't there was sent.
    Published,
}

/// A ping file where uploaders find it, and the open file if it is still to be synced.
pub type Published = (PathBuf, Option<File>);

/// Does what belongs to a base that is in place. [`sync`] waits until all of it is on the disk.
///
/// # Errors
///
/// [`Error::Io`]; the other effects are tried nevertheless.
pub fn carry_out(data_dir: &Path, effects: &[Effect], attempt: Attempt) -> Result<Vec<Published>> {
    let mut result = Ok(());
    let mut published = Vec::new();
    for effect in effects {
        let outcome = match effect {
            Effect::Publish { document_id, folder, content } => {
                publish(data_dir, document_id, folder, content.as_deref(), attempt).map(|made| published.extend(made))
            }
            Effect::RemovePending(name) => {
                remove_pending(data_dir, |ping| ping == name);
                Ok(())
            }
            Effect::RemovePendingExcept(names) => {
                remove_pending(data_dir, |ping| !names.iter().any(|name| name == ping));
                Ok(())
            }
            Effect::WriteClientId(client_id) => write_client_id(data_dir, &client_id.hyphenated().to_string()),
            Effect::RemoveClientId => {
                let _ = fs::remove_file(data_dir.join(client_id::FILE));
                Ok(())
            }
        };
        if outcome.is_err() {
            result = outcome;
        }
    }
    result.map(|()| published)
}

/// Waits until pings are on the disk.
///
/// # Errors
///
/// [`Error::Io`].
pub fn sync(published: &[Published]) -> Result<()> {
    let mut folders = BTreeSet::new();
    for (path, file) in published {
        if let Some(file) = file {
            file.sync_all().map_err(Error::io("sync", path))?;
        }
        if folders.insert(path.parent()) {
            sync_parent(path);
        }
    }
    Ok(())
}

/// Makes a ping file.
fn publish(
    data_dir: &Path,
    document_id: &str,
    folder: &str,
    content: Option<&str>,
    attempt: Attempt,
) -> Result<Option<Published>> {
    // Only a base that somebody else wrote can say so, and it must not lead out of the directory, or nowhere for ever.
    if ![PENDING, DELETION_REQUESTS].contains(&folder) || uuid::Uuid::parse_str(document_id).is_err() {
        log_at!(Error, "a ping {document_id:?} for {folder:?} is not published");
        return Ok(None);
    }
    let temporary = data_dir.join(TEMPORARY).join(document_id);
    let target = data_dir.join(folder).join(document_id);
    // Somebody may be sending it, or have died while he did.
    let leased = if attempt == Attempt::First { None } else { lease::find(&data_dir.join(folder), document_id) };
    if let Some(leased) = &leased {
        if content.is_none_or(|content| holds(leased, content)) {
            return Ok(OpenOptions::new().write(true).open(leased).ok().map(|file| (leased.clone(), Some(file))));
        }
        // A power cut damaged it.
        remove(leased);
    }
    if attempt == Attempt::Published && leased.is_none() && !target.exists() {
        return Ok(None);
    }
    let file = match content {
        Some(content) if attempt == Attempt::First || !holds(&target, content) => {
            Some(write(data_dir, document_id, content.as_bytes())?.into_file())
        }
        // Windows syncs only what may be written.
        Some(_) => return Ok(OpenOptions::new().write(true).open(&target).ok().map(|file| (target, Some(file)))),
        None => None,
    };
    let moved =
        in_folder(&target, |target| fs::rename(&temporary, target).map_err(Error::io("move a ping to", target)));
    match moved {
        // Moved before.
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound && content.is_none() => Ok(None),
        Err(error) => Err(error),
        Ok(()) => Ok(Some((target, file))),
    }
}

/// Tells whether a file has this content.
fn holds(path: &Path, content: &str) -> bool {
    fs::read(path).is_ok_and(|found| found == content.as_bytes())
}

/// Does something with a file whose folder may not exist yet.
fn in_folder<T>(path: &Path, work: impl Fn(&Path) -> Result<T>) -> Result<T> {
    match work(path) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            }
            work(path)
        }
        outcome => outcome,
    }
}

fn write_client_id(data_dir: &Path, client_id: &str) -> Result<()> {
    let path = data_dir.join(client_id::FILE);
    let temporary = path.with_extension("new");
    base::write(&temporary, client_id.as_bytes())?.sync()?;
    fs::rename(&temporary, &path).map_err(Error::io("replace", &path))?;
    sync_parent(&path);
    Ok(())
}

/// Removes from `tmp/` what an interrupted process left, except what an effect is going to publish.
pub fn remove_unfinished(data_dir: &Path, effects: &[Effect]) {
    for file in list(&data_dir.join(TEMPORARY)) {
        let is_kept = effects.iter().any(|effect| match effect {
            Effect::Publish { document_id, .. } => file.file_name().is_some_and(|name| name == document_id.as_str()),
            _ => false,
        });
        if !is_kept {
            remove(&file);
        }
    }
}

fn remove_pending(data_dir: &Path, is_removed: impl Fn(&str) -> bool) {
    for file in list(&data_dir.join(PENDING)) {
        if ping_name(&file).is_some_and(|name| is_removed(&name)) {
            remove(&file);
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
