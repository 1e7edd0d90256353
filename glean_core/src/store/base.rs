//! The base: everything stored up to a point of each journal, in one file.
//!
//! The file has two halves, of which one counts. A new base is written over the other half, synced, and counts from then
//! on: one wait for the disk, and neither a new file nor a rename. A base that doesn't fit goes to a new file with larger
//! halves, which replaces the old one. In the smallest file there is no second half until it is needed.
//!
//! A half begins with 8 magic bytes and 8 bytes that say how far the save came, which is the only place that is changed
//! later. Frames of [`crate::journal::frame`] follow: a head of fixed size, a [`Header`], values, events, and the header
//! again, so that no single damaged place takes both copies. Values are sorted, and what an identifier shares with the one
//! before is left out.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::{Address, State};
use super::value::Value;
use super::{StoredEvent, is_pseudo_store};
use crate::common_metric_data::Lifetime;
use crate::disk::{self, OwnFile};
use crate::error::{Error, Result};
use crate::journal::folded::Position;
use crate::journal::frame;

const MAGIC: &[u8; 8] = b"GLEANB04";
/// Where the head begins, behind the magic bytes and the mark.
const HEAD: usize = 16;
/// Generation, sequence, capacity, length and checksum, 8 bytes each.
const HEAD_BYTES: usize = 40;
/// Where the frames behind the head begin.
const FRAMES: usize = HEAD + frame::size(HEAD_BYTES);
/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 30;
/// Halves are multiples of what file systems give out.
const BLOCK_BYTES: usize = 4096;
/// How many values lie in one frame: what one damaged place takes at most.
const VALUES_PER_FRAME: usize = 32;
/// The same for the values that all pings need.
const PSEUDO_VALUES_PER_FRAME: usize = 8;

/// How far the save of a half came; behind the magic bytes of each half.
pub mod mark {
    /// It was written, and counts if it is whole.
    pub const BEGUN: [u8; 8] = [0; 8];
    /// Its pings are where uploaders find them, too: one that isn't there was sent.
    pub const PUBLISHED: [u8; 8] = *b"in place";
    /// All effects are carried out and on the disk.
    pub const DONE: [u8; 8] = *b"all done";
    /// The other one is saved.
    pub const OUTDATED: [u8; 8] = *b"outdated";
}

/// What a base knows besides values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Another number for each base: tells whether it was replaced.
    pub generation: u64,
    /// Grows with each base: tells which half is the newer one.
    pub sequence: u64,
    /// The same for all bases that were made from each other; 0 before the first one is saved.
    pub lineage: u64,
    /// How far each segment is folded in, by file name.
    pub folded: BTreeMap<String, Position>,
    /// What is to be done in other folders once this base is in place; doing it again is harmless.
    pub effects: Vec<Effect>,
}

/// A change outside of the base that belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Makes a ping file.
    Publish {
        /// The name of the file.
        document_id: String,
        /// The folder it goes to.
        folder: String,
        /// What is in it. It lies in a frame of its own, which may be damaged: then there is nothing to publish.
        #[serde(skip)]
        content: String,
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

#[derive(Deserialize)]
enum Item<'a> {
    Header(Header),
    Values(&'a str, Lifetime, #[serde(borrow)] Vec<Coded<'a, Value>>),
    Event(&'a str, StoredEvent),
    Content(&'a str, String),
}

/// Is written like [`Item`], from what is borrowed.
#[derive(Serialize)]
enum BorrowedItem<'a> {
    Header(&'a Header),
    Values(&'a str, Lifetime, &'a [Coded<'a, &'a Value>]),
    Event(&'a str, &'a StoredEvent),
    Content(&'a str, &'a str),
}

/// A value, with its identifier as seen from the one before it in the same frame.
#[derive(Serialize, Deserialize)]
struct Coded<'a, V> {
    shared_bytes: usize,
    rest: &'a str,
    label: Option<&'a str>,
    value: V,
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
    /// Whether the pings among the effects have been where uploaders find them.
    pub is_published: bool,
    /// Whether everything is done that belongs to it.
    pub is_done: bool,
    place: Option<Place>,
}

/// Where the base is that counts.
#[derive(Clone, Copy, Debug)]
struct Place {
    half: usize,
    /// The size of a half.
    capacity: usize,
    /// How much of each half was ever written.
    used: [usize; 2],
    /// How far its save came.
    mark: [u8; 8],
}

/// What every half begins with.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Head {
    mark: [u8; 8],
    generation: u64,
    sequence: u64,
    capacity: usize,
    length: usize,
    checksum: u64,
}

impl Head {
    /// Reads it from the first bytes of a half; `None` if it is damaged.
    fn read(bytes: &[u8]) -> Option<Head> {
        let payload = frame::payload_at(bytes, HEAD)?;
        if payload.len() != HEAD_BYTES {
            return None;
        }
        let number = |index: usize| frame::word_at(payload, index * 8);
        Some(Head {
            mark: bytes[8..HEAD].try_into().expect("eight bytes: sliced so"),
            generation: number(0),
            sequence: number(1),
            capacity: usize::try_from(number(2)).ok()?,
            length: usize::try_from(number(3)).ok()?,
            checksum: number(4),
        })
    }
}

/// The file of the base. Only who holds the lock of the directory uses it.
#[derive(Debug)]
pub struct BaseFile {
    path: PathBuf,
    place: Option<Place>,
    /// Whether the file was replaced, and that may still be undone by a power cut.
    is_unsettled: bool,
}

impl BaseFile {
    /// Names the file; nothing is read or made.
    pub fn new(path: PathBuf) -> BaseFile {
        BaseFile { path, place: None, is_unsettled: false }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the base. A missing file is an empty base; damage is told, never an error.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file exists and cannot be read.
    pub fn load(&mut self) -> Result<Loaded> {
        let loaded = load(&self.path)?;
        self.place = loaded.place;
        Ok(loaded)
    }

    /// Returns the generation of the base, by the heads of its halves alone; `None` without a base, 0 if it is unreadable.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file exists and cannot be read.
    pub fn generation(&self) -> Result<Option<u64>> {
        let file = match OwnFile::open_read(&self.path) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.get().and_then(fs::File::metadata).map(|data| data.len());
        let read = |offset: usize| -> io::Result<Option<Head>> {
            let mut bytes = [0; FRAMES];
            let length = file.read_at(offset as u64, &mut bytes)?;
            Ok(Head::read(&bytes[..length]))
        };
        let both = length.and_then(|length| {
            let first = read(0)?;
            let second =
                first.filter(|head| (head.capacity as u64) < length).map_or(Ok(None), |head| read(head.capacity));
            Ok((first, second?))
        });
        let newest = match both.map_err(Error::io("read", &self.path))? {
            (Some(first), Some(second)) if second.sequence > first.sequence => second.generation,
            (Some(first), _) => first.generation,
            (None, _) => 0,
        };
        Ok(Some(newest))
    }

    /// Saves a base, and returns its size. `header` gets the numbers of the new base.
    ///
    /// When this returns, the base is on the disk; if the file had to be replaced, [`BaseFile::settle`] makes sure that it
    /// is the one that is found there.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; the old base still counts then.
    pub fn save(&mut self, header: &mut Header, state: &State) -> Result<usize> {
        let half = self.encode(header, state);
        let fitting = self.place.filter(|place| half.len() <= place.capacity);
        let opened = fitting.and_then(|place| Some((place, self.open_to_write().ok()?)));
        match opened {
            Some((place, file)) => self.overwrite(file, place, half),
            // With room to grow. Windows replaces no file that is open.
            None => {
                let capacity = (half.len() * 3 / 2).next_multiple_of(BLOCK_BYTES);
                self.replace(half, capacity, 2)
            }
        }
    }

    /// Saves a base in the smallest file that holds it; otherwise as [`BaseFile::save`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; the old base still counts then.
    pub fn save_tight(&mut self, header: &mut Header, state: &State) -> Result<usize> {
        let half = self.encode(header, state);
        let capacity = half.len().next_multiple_of(BLOCK_BYTES);
        self.replace(half, capacity, 1)
    }

    /// Waits until a power cut brings no former file back. Needed before a ping is visible that the base has, and before
    /// anything is removed that the base replaces.
    pub fn settle(&mut self) {
        if std::mem::take(&mut self.is_unsettled) {
            disk::sync_parent(&self.path);
        }
    }

    /// Tells whether the file is much larger than a base of `bytes`.
    pub fn is_roomy(&self, bytes: usize) -> bool {
        self.place.is_some_and(|place| place.capacity > 4 * bytes.max(BLOCK_BYTES))
    }

    fn open_to_write(&self) -> Result<OwnFile> {
        OwnFile::open(OpenOptions::new().write(true), "open", &self.path)
    }

    fn encode(&mut self, header: &mut Header, state: &State) -> Vec<u8> {
        if header.sequence == u64::MAX {
            // Nobody saves that often, but a file may say so. In a new one the other half is gone.
            header.sequence = 0;
            self.place = None;
        }
        header.sequence += 1;
        header.generation = uuid::Uuid::new_v4().as_u64_pair().0 | 1;
        if header.lineage == 0 {
            header.lineage = header.generation;
        }
        encode(header, state)
    }

    /// Writes the half that doesn't count.
    fn overwrite(&mut self, file: OwnFile, mut place: Place, mut half: Vec<u8>) -> Result<usize> {
        let length = half.len();
        let other = 1 - place.half;
        let is_new = place.used[other] == 0;
        // Nothing of an older base stays behind it.
        half.resize(place.used[other].max(length), 0);
        seal(&mut half, length, place.capacity, mark::BEGUN);
        // Until it is done, anything may be there.
        place.used[other] = place.capacity;
        self.place = Some(place);
        let saved = (|| {
            if is_new {
                file.get()?.set_len(2 * place.capacity as u64)?;
            }
            file.write_at((other * place.capacity) as u64, &half)?;
            file.get()?.sync_data()
        })();
        saved.map_err(Error::io("write", &self.path))?;
        // From here on it counts, as it is whole; the marks tell it from one that is damaged later.
        place.used[other] = length;
        self.place = Some(Place { half: other, mark: mark::BEGUN, ..place });
        Ok(length)
    }

    /// Replaces the file: temporary file, fsync, rename.
    fn replace(&mut self, mut half: Vec<u8>, capacity: usize, halves: usize) -> Result<usize> {
        let length = half.len();
        half.resize(capacity * halves, 0);
        seal(&mut half, length, capacity, mark::BEGUN);
        disk::replace(&self.path, &half)?;
        self.place = Some(Place { half: 0, capacity, used: [length, 0], mark: mark::BEGUN });
        self.is_unsettled = true;
        Ok(length)
    }

    /// Notes how far the save came. What keeps that from being written costs only that effects are carried out again.
    pub fn note(&mut self, mark: [u8; 8]) {
        let Some(place) = self.place.as_mut().filter(|place| place.mark != mark) else { return };
        if let Ok(file) = OwnFile::open(OpenOptions::new().write(true), "open", &self.path) {
            let other = 1 - place.half;
            let noted = put_mark(&file, place.half * place.capacity, mark);
            if place.used[other] > 0 {
                let _ = put_mark(&file, other * place.capacity, mark::OUTDATED);
            }
            if noted.is_ok() {
                place.mark = mark;
            }
            if mark == mark::DONE {
                start_writing(&file);
            }
        }
    }
}

/// Lets the system begin to write what was changed: the next save has less to wait for then.
#[cfg(target_os = "linux")]
fn start_writing(file: &OwnFile) {
    use std::os::fd::AsRawFd;

    if let Ok(file) = file.get() {
        // SAFETY: the descriptor is open. The call waits for nothing, and what it doesn't do the next sync does.
        unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn start_writing(_file: &OwnFile) {}

fn put_mark(file: &OwnFile, half: usize, mark: [u8; 8]) -> io::Result<()> {
    file.write_at((half + MAGIC.len()) as u64, &mark)
}

/// Reads a base. A missing file is an empty base; damage is told, never an error.
///
/// # Errors
///
/// [`Error::Io`] if the file exists and cannot be read.
pub fn load(path: &Path) -> Result<Loaded> {
    let file = match OwnFile::open_read(path) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(Loaded::default()),
        Err(error) => return Err(error),
    };
    let read = || -> io::Result<Vec<u8>> {
        let length = file.get()?.metadata()?.len();
        // What is in the file of a base has been in memory once. Beyond that there is nothing to be saved.
        let mut bytes = vec![0; usize::try_from(length.min(MAX_BYTES)).unwrap_or(0)];
        let length = file.read_at(0, &mut bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    };
    Ok(parse(&read().map_err(Error::io("read", path))?))
}

/// Reads the base from the bytes of its file.
pub fn parse(bytes: &[u8]) -> Loaded {
    let (first, second) = split(bytes);
    let halves = [first, second];
    let heads = halves.map(Head::read);
    let sequence = |index: usize| heads[index].map_or(0, |head| head.sequence);
    let (newer, older) = if sequence(1) > sequence(0) { (1, 0) } else { (0, 1) };
    // Who goes on with the older half says so in this one.
    let is_begun = |head: Head| [mark::BEGUN, mark::OUTDATED].contains(&head.mark) && !is_whole(halves[newer], head);
    let is_outdated = |head: Head| head.mark == mark::OUTDATED;
    let used = match (heads[newer], heads[older]) {
        // A save that was interrupted.
        (Some(head), Some(_)) if is_begun(head) => older,
        // The newer one is saved, or this one wouldn't be outdated: its head is what is damaged.
        (Some(head), None) if is_outdated(head) => older,
        _ => newer,
    };
    let mut loaded = read_half(halves[used], heads[used]);
    if let (Some(head), false) = (heads[used], loaded.is_header_lost) {
        let length = |index: usize| if halves[index].is_empty() { 0 } else { head.capacity };
        let place = Place { half: used, capacity: head.capacity, used: [length(0), length(1)], mark: head.mark };
        // One that was cut or damaged is made anew.
        let is_sound = loaded.damage.is_none() && (FRAMES..=bytes.len()).contains(&head.capacity);
        loaded.place = is_sound.then_some(place);
    }
    loaded
}

/// Returns the two halves; the second one may be empty.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let middle = bytes.len() / 2;
    let told = Head::read(bytes).map(|head| head.capacity);
    let is_half = |offset: usize| {
        bytes.get(offset..).and_then(Head::read).is_some_and(|head| head.capacity == offset) && offset > 0
    };
    // Of the first half the head may be damaged; the second one begins in the middle then.
    match told {
        Some(capacity) if capacity < bytes.len() && capacity > 0 => bytes.split_at(capacity),
        None if is_half(middle) => bytes.split_at(middle),
        _ => (bytes, &[]),
    }
}

fn is_whole(half: &[u8], head: Head) -> bool {
    half.get(FRAMES..head.length).is_some_and(|body| checksum(body) == head.checksum)
}

fn checksum(body: &[u8]) -> u64 {
    u64::from(crc32fast::hash(body))
}

/// Reads one half. Frames are independent of each other, so what is intact behind a damaged place counts.
fn read_half(bytes: &[u8], head: Option<Head>) -> Loaded {
    let mut loaded = Loaded::default();
    let mut header = None;
    let mut contents = BTreeMap::new();
    let mut lost = 0;
    let mut offset = FRAMES;
    let is_intact = head.is_some_and(|head| is_whole(bytes, head)) && bytes.starts_with(MAGIC);
    // Behind its end there may be what is left of a save that failed.
    let end = head.filter(|_| is_intact).map_or(bytes.len(), |head| head.length);
    while offset < end {
        match frame::payload_at(bytes, offset) {
            Some(payload) => {
                match postcard::from_bytes::<Item<'_>>(payload) {
                    Ok(Item::Values(store, lifetime, values)) => set_values(&mut loaded.state, store, lifetime, values),
                    Ok(Item::Event(ping, event)) => {
                        loaded.state.events.entry(ping.to_owned()).or_default().push(event);
                    }
                    Ok(Item::Header(found)) => header = Some(found),
                    Ok(Item::Content(document_id, content)) => {
                        contents.insert(document_id, content);
                    }
                    Err(_) => lost += payload.len(),
                }
                offset += frame::size(payload.len());
            }
            None => {
                lost += if frame::word_at(bytes, offset) == 0 { 0 } else { frame::HEADER_BYTES };
                offset += frame::HEADER_BYTES;
            }
        }
    }
    match header {
        Some(header) => {
            loaded.header = header;
            for effect in &mut loaded.header.effects {
                if let Effect::Publish { document_id, content, .. } = effect {
                    *content = contents.remove(document_id.as_str()).unwrap_or_default();
                }
            }
            match head.map(|head| head.mark) {
                Some(mark::DONE) => {
                    loaded.header.effects.clear();
                    loaded.is_done = true;
                }
                Some(mark::PUBLISHED) => loaded.is_published = true,
                _ => (),
            }
            if !is_intact {
                loaded.damage = Some(format!("the database file was damaged: {lost} bytes of values are lost"));
            }
        }
        None => {
            loaded.is_header_lost = true;
            loaded.damage = Some("the database file has no readable header".to_owned());
        }
    }
    loaded
}

fn set_values(state: &mut State, store: &str, lifetime: Lifetime, values: Vec<Coded<'_, Value>>) {
    let mut identifier = String::new();
    for Coded { shared_bytes, rest, label, value } in values {
        if !identifier.is_char_boundary(shared_bytes) {
            // No program writes this.
            return;
        }
        identifier.truncate(shared_bytes);
        identifier.push_str(rest);
        state.set(store, Address { lifetime, identifier: &identifier, label }, value);
    }
}

/// Returns the bytes of a base in a file of its own, for the numbers its header has.
pub fn to_bytes(header: &Header, state: &State) -> Vec<u8> {
    let mut half = encode(header, state);
    let length = half.len();
    let capacity = length.next_multiple_of(BLOCK_BYTES);
    half.resize(capacity, 0);
    seal(&mut half, length, capacity, mark::BEGUN);
    half
}

/// Returns a half whose beginning is still to be filled in by [`seal`].
fn encode(header: &Header, state: &State) -> Vec<u8> {
    let contents = header.effects.iter().map(|effect| match effect {
        Effect::Publish { content, .. } => content.len(),
        _ => 0,
    });
    let mut bytes = Vec::with_capacity(BLOCK_BYTES + contents.sum::<usize>());
    bytes.resize(FRAMES, 0);
    let [generation, sequence] = [header.generation, header.sequence].map(u64::to_le_bytes);
    bytes[HEAD + frame::HEADER_BYTES..][..16].copy_from_slice(&[generation, sequence].concat());
    push(&mut bytes, &BorrowedItem::Header(header));
    let mut values = Vec::with_capacity(VALUES_PER_FRAME);
    let mut place = None;
    let mut most = 0;
    let mut last = "";
    for (store, Address { lifetime, identifier, label }, value) in state.all() {
        if values.len() == most || place != Some((store, lifetime)) {
            push_values(&mut bytes, place, &mut values);
            place = Some((store, lifetime));
            most = if is_pseudo_store(store) { PSEUDO_VALUES_PER_FRAME } else { VALUES_PER_FRAME };
            last = "";
        }
        let shared_bytes = shared_bytes(last, identifier);
        values.push(Coded { shared_bytes, rest: &identifier[shared_bytes..], label, value });
        last = identifier;
    }
    push_values(&mut bytes, place, &mut values);
    for (ping, events) in &state.events {
        for event in events {
            push(&mut bytes, &BorrowedItem::Event(ping, event));
        }
    }
    for effect in &header.effects {
        if let Effect::Publish { document_id, content, .. } = effect {
            push(&mut bytes, &BorrowedItem::Content(document_id, content));
        }
    }
    push(&mut bytes, &BorrowedItem::Header(header));
    bytes
}

fn push_values<'a>(bytes: &mut Vec<u8>, place: Option<(&'a str, Lifetime)>, values: &mut Vec<Coded<'a, &'a Value>>) {
    if let (Some((store, lifetime)), false) = (place, values.is_empty()) {
        push(bytes, &BorrowedItem::Values(store, lifetime, values));
        values.clear();
    }
}

fn push(bytes: &mut Vec<u8>, item: &BorrowedItem<'_>) {
    frame::push_with(bytes, |bytes| {
        *bytes = postcard::to_extend(item, std::mem::take(bytes)).expect("memory is the only limit of a Vec");
    });
}

/// Returns how many bytes two texts have in common at their beginnings, in whole characters.
fn shared_bytes(one: &str, other: &str) -> usize {
    let mut bytes = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    while !other.is_char_boundary(bytes) {
        bytes -= 1;
    }
    bytes
}

/// Fills in what a half begins with.
fn seal(half: &mut [u8], length: usize, capacity: usize, mark: [u8; 8]) {
    let numbers = [capacity as u64, length as u64, checksum(&half[FRAMES..length])];
    let payload = HEAD + frame::HEADER_BYTES;
    for (index, number) in numbers.into_iter().enumerate() {
        half[payload + 16 + index * 8..][..8].copy_from_slice(&number.to_le_bytes());
    }
    let header = frame::header(&half[payload..FRAMES], HEAD, 0);
    half[HEAD..payload].copy_from_slice(&header.to_le_bytes());
    half[..8].copy_from_slice(MAGIC);
    half[8..HEAD].copy_from_slice(&mark);
}
