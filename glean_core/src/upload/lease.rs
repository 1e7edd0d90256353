//! Leases: who sends a ping gives its file a name that says so, and until when.
//!
//! `<document id>` becomes `<document id>.sending-<milliseconds since 1970>`. A rename succeeds for one process only. A
//! killed uploader can't give its lease back, so it ends by itself; then any process may take it, by the same rename.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::queue::Waiting;
use crate::disk;

/// How long a lease lasts. A request takes less: the binding gives it half of that.
///
/// cbindgen:ignore
pub const LEASE_MS: i64 = 60_000;
const SENDING: &str = ".sending-";

/// Splits the name of a file into document id and end of the lease; `None` if it is not the name of a ping.
pub fn parse(name: &str) -> Option<(&str, Option<i64>)> {
    let (id, until_ms) = match name.split_once(SENDING) {
        Some((id, until_ms)) => (id, Some(until_ms.parse().ok()?)),
        None => (name, None),
    };
    uuid::Uuid::try_parse(id).ok().map(|_| (id, until_ms))
}

/// Tells whether a lease that ends then is in force. One that ends too late was made by a clock that was wrong; but the look at
/// the clock is older than the look at the file, so another process may have taken the ping in between.
pub fn is_in_force(until_ms: i64, now_ms: i64) -> bool {
    now_ms < until_ms && until_ms <= now_ms.saturating_add(2 * LEASE_MS)
}

/// Takes a ping to send it; returns its new name.
///
/// # Errors
///
/// Those of the rename: `NotFound` if somebody else was faster.
pub fn take(data_dir: &Path, ping: &Waiting, now_ms: i64) -> io::Result<String> {
    let name = format!("{}{SENDING}{}", ping.document_id, now_ms.saturating_add(LEASE_MS));
    let path = ping.path(data_dir);
    fs::rename(&path, path.with_file_name(&name))?;
    Ok(name)
}

/// Gives a ping that was taken its own name back; tells whether it is there still.
pub fn give_back(data_dir: &Path, ping: &Waiting) -> bool {
    let path = ping.path(data_dir);
    fs::rename(&path, path.with_file_name(&ping.document_id)).is_ok()
}

/// Returns the file of a ping that is being sent, if there is one.
pub fn find(folder: &Path, document_id: &str) -> Option<PathBuf> {
    let entries = disk::read_dir(folder).ok()?.flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let found = names.into_iter().find(|name| matches!(parse(name), Some((id, Some(_))) if id == document_id));
    found.map(|name| folder.join(name))
}
