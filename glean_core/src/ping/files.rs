//! Ping files: written to `tmp/`, renamed into `pending_pings/` or `deletion_request/`, named by document id.
//!
//! A file has three lines: submission path, body, metadata; the last one has no newline.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::logging::log_at;
use crate::machine::client_id;
use crate::machine::submission::{DELETION_REQUESTS, PENDING};
use crate::store::base::{self, Effect, Unsynced, sync_parent};

const TEMPORARY: &str = "tmp";

/// Writes a ping to `tmp/<document id>`.
///
/// # Errors
///
/// [`Error::Io`]; nothing is left then.
pub fn write(data_dir: &Path, document_id: &str, content: &[u8]) -> Result<Unsynced> {
    let folder = data_dir.join(TEMPORARY);
    fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    base::write(&folder.join(document_id), content)
}

/// Does what belongs to a base that is in place. What was done before is not done again.
///
/// # Errors
///
/// [`Error::Io`]; the other effects are tried nevertheless.
pub fn carry_out(data_dir: &Path, effects: &[Effect]) -> Result<()> {
    let mut result = Ok(());
    for effect in effects {
        let outcome = match effect {
            Effect::Publish { document_id, folder } => publish(data_dir, document_id, folder),
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
    result
}

fn publish(data_dir: &Path, document_id: &str, folder: &str) -> Result<()> {
    // Only a base that somebody else wrote can say so, and it must not lead out of the directory, or nowhere for ever.
    if ![PENDING, DELETION_REQUESTS].contains(&folder) || uuid::Uuid::parse_str(document_id).is_err() {
        log_at!(Error, "a ping {document_id:?} for {folder:?} is not published");
        return Ok(());
    }
    let folder = data_dir.join(folder);
    fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let target = folder.join(document_id);
    match fs::rename(data_dir.join(TEMPORARY).join(document_id), &target) {
        // Moved before.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("move a ping to", &target)(error)),
        Ok(()) => {
            sync_parent(&target);
            Ok(())
        }
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
