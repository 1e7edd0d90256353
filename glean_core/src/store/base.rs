//! The base: everything stored up to a point of each journal, in one file that is replaced as a whole.
//!
//! Frames of [`crate::journal::frame`] behind 8 magic bytes: a [`Header`], one [`Item`] per value or event, and the
//! header again, so that no single damaged place takes both copies.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::{Address, State};
use super::value::Value;
use crate::common_metric_data::Lifetime;
use crate::error::{Error, Result};
use crate::events::StoredEvent;
use crate::journal::frame;

const MAGIC: &[u8; 8] = b"GLEANB02";

/// What a base knows besides values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Another number for each base: tells whether the file was replaced.
    pub generation: u64,
    /// How far each segment is folded in, by file name.
    pub folded: BTreeMap<String, Position>,
    /// What is to be done in other folders once this base is in place; doing it again is harmless.
    pub effects: Vec<Effect>,
}

/// How far a segment is folded in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The offset of the first frame that isn't.
    pub offset: u64,
    /// If that one counts, how much of it is.
    pub counted: u64,
    /// If the one before counts, how far.
    pub previous: u64,
}

/// A change outside of the base that belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Moves a ping file from `tmp/` to this folder.
    Publish {
        /// The name of the file.
        document_id: String,
        /// The folder it goes to.
        folder: String,
    },
    /// Removes the waiting files of this ping.
    RemovePending(String),
    /// Removes the waiting files of all pings but these.
    RemovePendingExcept(Vec<String>),
    /// Writes `client_id.txt`.
    WriteClientId(uuid::Uuid),
    /// Removes `client_id.txt`.
    RemoveClientId,
}

#[derive(Serialize, Deserialize)]
enum Item<'a> {
    Value(&'a str, Lifetime, &'a str, #[serde(borrow)] Option<&'a str>, Value),
    Event(&'a str, StoredEvent),
    Header(Header),
}

/// What reading found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The header.
    pub header: Header,
    /// The values.
    pub state: State,
    /// Why something is missing.
    pub damage: Option<String>,
    /// Set if no header is intact: nobody knows then which calls of the journals are in the values.
    pub is_header_lost: bool,
}

/// Reads the base. A missing file is an empty base; damage is told, never an error.
///
/// # Errors
///
/// [`Error::Io`] if the file exists and cannot be read.
pub fn load(path: &Path) -> Result<Loaded> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::default()),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    Ok(parse(&bytes))
}

/// Reads the base from its bytes. Values are independent of each other, so what is intact behind a damaged place counts.
pub fn parse(bytes: &[u8]) -> Loaded {
    let mut loaded = Loaded::default();
    let mut header = None;
    let mut lost = usize::from(!bytes.starts_with(MAGIC));
    let mut headers = 0;
    let mut offset = MAGIC.len();
    while offset < bytes.len() {
        match frame::read(bytes, offset) {
            frame::Found::Payload(payload) => {
                match postcard::from_bytes::<Item<'_>>(payload) {
                    Ok(Item::Value(store, lifetime, identifier, label, value)) => {
                        loaded.state.set(store, Address { lifetime, identifier, label }, value);
                    }
                    Ok(Item::Event(ping, event)) => {
                        loaded.state.events.entry(ping.to_owned()).or_default().push(event);
                    }
                    Ok(Item::Header(found)) => {
                        headers += 1;
                        header = Some(found);
                    }
                    Err(_) => lost += payload.len(),
                }
                offset += frame::size(payload.len());
            }
            _ => {
                lost += frame::HEADER_BYTES;
                offset += frame::HEADER_BYTES;
            }
        }
    }
    match header {
        Some(header) => loaded.header = header,
        None => {
            loaded.is_header_lost = true;
            loaded.damage = Some("the database file has no readable header".to_owned());
        }
    }
    if loaded.damage.is_none() && (lost > 0 || headers < 2) {
        loaded.damage = Some(format!("the database file was damaged: {lost} bytes of values are lost"));
    }
    loaded
}

/// Returns the generation of the base, by its first frame alone; `None` without a base, 0 if it is unreadable.
///
/// # Errors
///
/// [`Error::Io`] if the file exists and cannot be read.
pub fn generation(path: &Path) -> Result<Option<u64>> {
    use std::io::Read;

    let mut start = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(64).read_to_end(&mut start).map_err(Error::io("read", path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path)(error)),
    };
    // The generation comes first, so the header doesn't have to be read whole.
    let generation = start
        .get(MAGIC.len() + frame::HEADER_BYTES..)
        .and_then(|payload| postcard::take_from_bytes::<(u32, u64)>(payload).ok())
        .map_or(0, |((_, generation), _)| generation);
    Ok(Some(generation))
}

/// Replaces the base: temporary file, fsync, rename. Returns its size. `unsynced` are files that it refers to.
///
/// The rename itself is made durable by [`sync_parent`], before anything that relies on it.
///
/// # Errors
///
/// [`Error::Io`]; the old base is then still in place.
pub fn save(path: &Path, header: &Header, state: &State, unsynced: Vec<Unsynced>) -> Result<usize> {
    let temporary = path.with_extension("new");
    let bytes = to_bytes(header, state);
    let written = write(&temporary, &bytes)?;
    // One after the other only when all are written: file systems do most of the work for the first one.
    for file in unsynced.into_iter().chain([written]) {
        file.sync()?;
    }
    fs::rename(&temporary, path).map_err(Error::io("replace", path))?;
    Ok(bytes.len())
}

/// Returns the bytes of a base.
pub fn to_bytes(header: &Header, state: &State) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    let push = |bytes: &mut Vec<u8>, item: &Item<'_>| {
        let payload = postcard::to_stdvec(item).expect("memory is the only limit of a Vec");
        frame::push(bytes, &payload);
    };
    let header = Item::Header(header.clone());
    push(&mut bytes, &header);
    for (store, address, value) in state.all() {
        let item = Item::Value(store, address.lifetime, address.identifier, address.label, value.clone());
        push(&mut bytes, &item);
    }
    for (ping, events) in &state.events {
        for event in events {
            push(&mut bytes, &Item::Event(ping, event.clone()));
        }
    }
    push(&mut bytes, &header);
    bytes
}

/// A file that was written and is not on the disk itself yet.
#[derive(Debug)]
#[must_use]
pub struct Unsynced {
    file: File,
    path: PathBuf,
}

impl Unsynced {
    /// Waits until it is.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; what is left of the file is removed.
    pub fn sync(self) -> Result<()> {
        let synced = self.file.sync_all().map_err(Error::io("sync", &self.path));
        if synced.is_err() {
            let _ = fs::remove_file(&self.path);
        }
        synced
    }
}

/// Writes a new file.
///
/// # Errors
///
/// [`Error::Io`]; what is left of the file is removed.
pub fn write(path: &Path, bytes: &[u8]) -> Result<Unsynced> {
    let mut file = File::create(path).map_err(Error::io("create", path))?;
    match file.write_all(bytes) {
        Ok(()) => Ok(Unsynced { file, path: path.to_path_buf() }),
        Err(error) => {
            let _ = fs::remove_file(path);
            Err(Error::io("write", path)(error))
        }
    }
}

/// Makes a rename durable. Only Unix has this, and some file systems refuse it: failure changes nothing for a reader.
pub fn sync_parent(path: &Path) {
    #[cfg(unix)]
    if let Some(directory) = path.parent().and_then(|parent| File::open(parent).ok()) {
        let _ = directory.sync_all();
    }
    #[cfg(not(unix))]
    let _ = path;
}
