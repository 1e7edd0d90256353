//! Ping files: written to `tmp/`, renamed into `pending_pings/` or `deletion_request/`, named by document id.
//!
//! A file has three lines: submission path, body, metadata; the last one has no newline.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{DELETION_REQUESTS, PENDING};
use crate::disk::{self, OwnFile, Unsynced, in_folder};
use crate::error::{Error, Result};
use crate::logging::log_at;
use crate::store::CLIENT_ID_FILE;
use crate::store::base::Effect;
use crate::upload::lease;

const TEMPORARY: &str = "tmp";
/// How many pings are kept open until they are synced; others are opened again for it.
const MAX_OPEN: usize = 8;

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
pub type Published = (PathBuf, Option<Unsynced>);

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
                publish(data_dir, document_id, folder, content, attempt).map(|made| {
                    let is_kept_open = published.len() < MAX_OPEN;
                    published.extend(made.map(|(path, file)| (path, file.filter(|_| is_kept_open))));
                })
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
                let _ = fs::remove_file(data_dir.join(CLIENT_ID_FILE));
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
        match file {
            Some(file) => file.sync().map_err(Error::io("sync", path))?,
            None => disk::sync(path).or_else(|error| match sending(path) {
                _ if !error.is_not_found() => Err(error),
                Some(leased) => disk::sync(&leased).or(Ok(())),
                // An uploader has sent it.
                None => Ok(()),
            })?,
        }
        if folders.insert(path.parent()) {
            disk::sync_parent(path);
        }
    }
    Ok(())
}

/// Makes a ping file.
fn publish(
    data_dir: &Path,
    document_id: &str,
    folder: &str,
    content: &str,
    attempt: Attempt,
) -> Result<Option<Published>> {
    // Only a base that somebody else wrote can say so, and it must not lead out of the directory, or nowhere for ever.
    if ![PENDING, DELETION_REQUESTS].contains(&folder) || uuid::Uuid::parse_str(document_id).is_err() {
        log_at!(Error, "a ping {document_id:?} for {folder:?} is not published");
        return Ok(None);
    }
    let temporary = data_dir.join(TEMPORARY).join(document_id);
    let target = data_dir.join(folder).join(document_id);
    if content.is_empty() {
        return Ok(None);
    }
    // Somebody may be sending it, or have died while he did.
    let leased = if attempt == Attempt::First { None } else { sending(&target) };
    if let Some(leased) = &leased {
        if holds(leased, content) {
            return Ok(Some((leased.clone(), None)));
        }
        // A power cut damaged it.
        remove(leased);
    }
    let is_there = attempt != Attempt::First && holds(&target, content);
    if attempt == Attempt::Published && leased.is_none() && !target.exists() {
        return Ok(None);
    }
    if is_there {
        return Ok(Some((target, None)));
    }
    let file = in_folder(&temporary, |temporary| disk::write(temporary, content.as_bytes()))?;
    // They are sent in this order, and file systems stamp all files of some milliseconds alike.
    file.set_modified(SystemTime::now());
    in_folder(&target, |target| fs::rename(&temporary, target).map_err(Error::io("move a ping to", target)))?;
    Ok(Some((target, Some(file))))
}

/// Returns where a ping is while it is being sent.
fn sending(target: &Path) -> Option<PathBuf> {
    lease::find(target.parent()?, target.file_name()?.to_str()?)
}

/// Tells whether a file has this content.
fn holds(path: &Path, content: &str) -> bool {
    let mut found = vec![0; content.len() + 1];
    let length = OwnFile::open_read(path).ok().and_then(|file| file.read_at(0, &mut found).ok());
    length == Some(content.len()) && found.starts_with(content.as_bytes())
}

fn write_client_id(data_dir: &Path, client_id: &str) -> Result<()> {
    let path = data_dir.join(CLIENT_ID_FILE);
    disk::replace(&path, client_id.as_bytes())?;
    disk::sync_parent(&path);
    Ok(())
}

/// Removes from `tmp/` what an interrupted process left. The base has it, if it is still to be published.
pub fn remove_unfinished(data_dir: &Path) {
    list(&data_dir.join(TEMPORARY)).iter().for_each(|file| remove(file));
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
    let file = OwnFile::open_read(file).ok()?;
    BufReader::new(file.get().ok()?).read_line(&mut line).ok()?;
    line.split('/').nth(3).map(str::to_owned)
}

/// Returns the files of a folder; none if it doesn't exist.
fn list(folder: &Path) -> Vec<PathBuf> {
    match disk::read_dir(folder) {
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
