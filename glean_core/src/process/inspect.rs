//! What is in a data directory, for who asks from outside: nothing is changed, and no process is joined.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value as Json, json};

use crate::common_metric_data::Lifetime;
use crate::do_not_track;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::machine::client_id;
use crate::machine::submission::SUBMITTED;
use crate::process;
use crate::sort;
use crate::store::base;
use crate::store::directory::Directory;
use crate::store::lock::FileLock;
use crate::store::{Address, CLIENT_INFO_STORE, Entry, INTERNAL_STORE, State};
use crate::upload::queue::{self, Folder, Waiting};
use crate::upload::{notes, request};

/// How long another process may hold the directory.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Describes a data directory as JSON; `None` if it is none.
pub fn inspect(data_dir: &Path, with_bodies: bool) -> Option<Json> {
    let directory = Directory::new(data_dir);
    let has_pings = [Folder::Deletion, Folder::Pending].iter().any(|folder| data_dir.join(folder.name()).is_dir());
    if !data_dir.is_dir() || !(directory.base().parent().is_some_and(Path::is_dir) || has_pings) {
        return None;
    }
    // The half that counts is whole whenever it is read: a save writes the other one.
    let (state, damage) = match base::load(&directory.base()) {
        Ok(loaded) => (loaded.state, loaded.damage),
        Err(error) => (State::default(), Some(error.to_string())),
    };
    let text = |identifier| {
        let value = state.get(CLIENT_INFO_STORE, Address::plain(Lifetime::User, identifier));
        value.map_or(Json::Null, |value| value.to_json())
    };
    let (client_id, first_run_date) = (text(client_id::ADDRESS.identifier), text("first_run_date"));
    // Who collects has an id, and who stops removes it.
    let collection = (!first_run_date.is_null()).then(|| !client_id.is_null());
    let content = notes::read(data_dir);
    let pings: Vec<Json> = pings(data_dir).iter().map(|ping| describe(data_dir, ping, with_bodies)).collect();
    let not_before_ms = (content.backoff.not_before_ms != 0).then_some(content.backoff.not_before_ms);
    let mut description = json!({
        "collection_enabled": collection,
        "do_not_track": do_not_track::is_asked_for(),
        "client_id": client_id,
        "first_run_date": first_run_date,
        "waiting": pings,
        "backoff": { "failures": content.backoff.failures, "not_before_ms": not_before_ms },
        "results": content.results,
        "processes": directory.list().map_or(0, |listing| listing.processes().filter(|p| is_alive(&directory, p)).count()),
        "damage": damage,
    });
    if with_bodies {
        description["submitted"] = submitted(&state);
    }
    Some(description)
}

/// Removes the pings that wait, but no request for deletion; returns how many. `None` if there is no such directory.
///
/// # Errors
///
/// [`Error::Locked`] or [`Error::Io`].
pub fn purge(data_dir: &Path) -> Result<Option<u64>> {
    let directory = Directory::new(data_dir);
    if !data_dir.is_dir() {
        return Ok(None);
    }
    let mut removed = 0;
    if directory.base().parent().is_some_and(Path::is_dir) {
        // Or what a process that died was about to publish would appear later.
        Engine::new(data_dir, &process::new_name(crate::time::unix_ms_now(), None))
            .fold(None, Instant::now() + LOCK_PATIENCE)?;
    }
    let _lock = match directory.base().parent() {
        Some(folder) if folder.is_dir() => Some(FileLock::acquire(&directory.lock(), Instant::now() + LOCK_PATIENCE)?),
        _ => None,
    };
    for ping in queue::list(data_dir, Folder::Pending).pings {
        let path = ping.path(data_dir);
        match std::fs::remove_file(&path) {
            Ok(()) => removed += 1,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (),
            Err(error) => return Err(Error::io("remove", &path)(error)),
        }
    }
    Ok(Some(removed))
}

/// Returns the pings in the order in which they would be sent.
fn pings(data_dir: &Path) -> Vec<Waiting> {
    let mut pings: Vec<Waiting> = [Folder::Deletion, Folder::Pending]
        .into_iter()
        .flat_map(|folder| queue::list(data_dir, folder).pings)
        .collect();
    sort::by(&mut pings, |a, b| a.order().cmp(&b.order()));
    pings
}

fn describe(data_dir: &Path, ping: &Waiting, with_bodies: bool) -> Json {
    let file = request::read_file(&ping.path(data_dir));
    let modified = ping.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut description = json!({
        "document_id": ping.document_id,
        "ping": file.as_ref().ok().map(|file| &file.name),
        "folder": ping.folder.name(),
        "size_bytes": ping.size_bytes,
        "modified_ms": u64::try_from(modified.as_millis()).unwrap_or(u64::MAX),
        "sending_until_ms": ping.leased_until(crate::time::unix_ms_now()),
    });
    if with_bodies {
        description["path"] = file.as_ref().map_or(Json::Null, |file| file.path.as_str().into());
        description["headers"] = file.as_ref().map_or(Json::Null, |file| json!(file.headers));
        let body = file.ok().and_then(|file| serde_json::from_str(&file.payload).ok());
        description["body"] = body.unwrap_or(Json::Null);
    }
    description
}

fn submitted(state: &State) -> Json {
    let entries = state.entries(INTERNAL_STORE, Lifetime::Application);
    let pings = entries.filter_map(|(identifier, entry)| match entry {
        Entry::Plain(value) if identifier.ends_with(SUBMITTED) => Some(value.to_json()),
        _ => None,
    });
    Json::Array(pings.collect())
}

/// Tells whether a process holds its lock; asks without making or removing a file.
fn is_alive(directory: &Directory, process: &str) -> bool {
    FileLock::is_free(&directory.process_lock(process)).is_ok_and(|is_free| !is_free)
}
