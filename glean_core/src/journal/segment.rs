//! One file of a journal, as its process writes it: mapped into memory.
//!
//! The file is made with its full size, whose blocks the file system has to provide at once: a write into a mapped hole
//! on a full disk would end the host program with SIGBUS. Its descriptor is closed before the first call. Storing the header
//! is the last step of an append, and one instruction, so a process that dies leaves a whole frame or none.
//!
//! A segment is open or sealed. The process that writes it seals it when it goes on in another one; another process seals
//! it when it takes the writer for dead. Both do it by putting [`frame::SEAL`] where the next header would go, if nothing is
//! there yet, and by marking the last count. A writer that is taken for dead finds that out with its next call, and so
//! nothing depends on whether the other one was right.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::folded::{NOTE_WORDS, Note};
use super::frame::{self, Source};
use super::map::Map;
use crate::disk::OwnFile;
use crate::error::{Error, Result};

/// The first bytes of a segment; the last two are the version of the format.
pub const MAGIC: &[u8; 8] = b"GLEANL04";

/// Where the frames begin, behind the magic bytes and a [`Note`].
pub const FRAMES: usize = MAGIC.len() + NOTE_WORDS * frame::HEADER_BYTES;

/// The extension of a file that is no segment yet.
pub const UNFINISHED: &str = "new";

/// A mapped file.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    map: Map,
}

/// Where the next frame goes. Only its holder appends.
#[derive(Debug)]
pub struct Tail {
    offset: usize,
    /// Where the count of the last frame is, if it counts.
    count: Option<usize>,
}

impl Tail {
    /// Returns the offset of the next frame.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is there.
    Done,
    /// It isn't, and nothing was changed: there is no room.
    Full,
    /// It isn't: somebody sealed the segment.
    Sealed,
}

impl Segment {
    /// Makes a new file of `size_bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be made, or the disk has no room for all of it.
    pub fn create(path: &Path, size_bytes: usize) -> Result<(Segment, Tail)> {
        // Somebody who takes this process for dead can only seal what begins as a segment does.
        let temporary = path.with_extension(UNFINISHED);
        let file = OwnFile::open(OpenOptions::new().read(true).write(true).create_new(true), "create", &temporary)?;
        let made = file.get().map_err(Error::io("create", &temporary)).and_then(|file| {
            reserve(file, size_bytes as u64).map_err(Error::io("reserve room for", path))?;
            let map = Map::new(file, 0, size_bytes).map_err(Error::io("map", path))?;
            let made = Segment::begin(path, map);
            fs::rename(&temporary, path).map_err(Error::io("name", path))?;
            Ok(made)
        });
        drop(file);
        made.inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
    }

    /// Begins to write to a map that nobody else knows.
    fn begin(path: &Path, map: Map) -> (Segment, Tail) {
        map.prepare();
        let segment = Segment { path: path.to_path_buf(), map };
        if let Some(first) = segment.map.word(0) {
            first.store(u64::from_ne_bytes(*MAGIC), Ordering::Release);
        }
        (segment, Tail { offset: FRAMES, count: None })
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the name of the file.
    pub fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Returns the size of the file.
    pub fn size_bytes(&self) -> usize {
        self.map.size_bytes()
    }

    /// Writes how far it is folded. Only who holds the lock of the directory does.
    pub fn note(&self, note: Note) {
        for (index, value) in note.to_words().into_iter().enumerate() {
            if let Some(word) = self.map.word(MAGIC.len() + index * frame::HEADER_BYTES) {
                word.store(value.to_le(), Ordering::Relaxed);
            }
        }
    }

    /// Where frames end: behind them there is always room for a seal.
    fn end(&self) -> usize {
        self.map.size_bytes() - frame::HEADER_BYTES
    }

    /// Tells whether a frame with a payload of so many bytes fits behind the tail.
    pub fn has_room(&self, tail: &Tail, payload_bytes: usize) -> bool {
        tail.offset + frame::size(payload_bytes) <= self.end()
    }

    /// Appends what `value` is encoded to.
    #[inline]
    pub fn append(&self, tail: &mut Tail, value: &impl Serialize) -> Pushed {
        let start = tail.offset + frame::HEADER_BYTES;
        if start >= self.end() {
            return Pushed::Full;
        }
        // SAFETY: behind the tail nobody reads or writes but the holder of the tail.
        let room = unsafe { self.map.room(start, self.end()) };
        match postcard::to_slice(value, room) {
            Ok(payload) => {
                let length = payload.len();
                let header = frame::header(payload, tail.offset, self.last_count(tail));
                self.publish(tail, header, frame::size(length), None)
            }
            Err(_) => {
                room.fill(0);
                Pushed::Full
            }
        }
    }

    /// Appends a payload that is encoded already.
    #[cfg(test)]
    pub fn append_payload(&self, tail: &mut Tail, payload: &[u8]) -> Pushed {
        if !self.has_room(tail, payload.len()) {
            return Pushed::Full;
        }
        self.copy_payload(tail, payload);
        let header = frame::header(payload, tail.offset, self.last_count(tail));
        self.publish(tail, header, frame::size(payload.len()), None)
    }

    /// Appends frames to a segment that has none: all of them, or none that anybody sees.
    ///
    /// The first one makes the others visible, so it comes last: whoever folds or seals the segment meanwhile must not take a
    /// part of what is appended to another one as a whole later.
    pub fn fill(&self, tail: &mut Tail, frames: &[u8]) -> Pushed {
        let begin = tail.offset;
        let mut end = Tail { offset: begin, count: None };
        let mut first = None;
        let mut pushed = Pushed::Done;
        frame::scan(frames, 0, |payload| {
            let size = frame::size(payload.len());
            if pushed != Pushed::Done {
                return;
            }
            if !self.has_room(&end, payload.len()) {
                pushed = Pushed::Full;
                return;
            }
            self.copy_payload(&end, payload);
            let header = frame::header(payload, end.offset, 0);
            if first.is_none() {
                first = Some((header, size));
                end.offset += size;
            } else {
                pushed = self.publish(&mut end, header, size, None);
            }
        });
        if let (Pushed::Done, Some((header, size))) = (pushed, first) {
            pushed = self.publish(tail, header, size, None);
        }
        if pushed == Pushed::Done {
            *tail = end;
        } else if end.offset > begin {
            // Or somebody who looks for lost frames finds them.
            // SAFETY: nobody else knows of what is behind the first header.
            unsafe { self.map.room(begin + frame::HEADER_BYTES, end.offset) }.fill(0);
        }
        pushed
    }

    /// Appends a frame that counts.
    pub fn append_count(&self, tail: &mut Tail, payload: &[u8], count: u32) -> Pushed {
        let place = tail.offset + frame::size(payload.len());
        if place + frame::HEADER_BYTES > self.end() {
            return Pushed::Full;
        }
        let header = frame::counting_header(payload, tail.offset, self.last_count(tail));
        self.copy_payload(tail, payload);
        if let Some(word) = self.map.word(place) {
            word.store((u64::from(count) * frame::COUNT_CODE).to_le(), Ordering::Relaxed);
        }
        self.publish(tail, header, frame::size(payload.len()) + frame::HEADER_BYTES, Some(place))
    }

    fn copy_payload(&self, tail: &Tail, payload: &[u8]) {
        let start = tail.offset + frame::HEADER_BYTES;
        // SAFETY: both callers made sure of the room, and behind the tail nobody else reads or writes.
        unsafe { self.map.room(start, start + payload.len()) }.copy_from_slice(payload);
    }

    #[inline]
    fn publish(&self, tail: &mut Tail, header: u64, size: usize, count: Option<usize>) -> Pushed {
        let Some(place) = self.map.word(tail.offset) else { return Pushed::Full };
        if place.compare_exchange(0, header.to_le(), Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return Pushed::Sealed;
        }
        *tail = Tail { offset: tail.offset + size, count };
        Pushed::Done
    }

    fn count_word(&self, tail: &Tail) -> Option<&AtomicU64> {
        tail.count.and_then(|place| self.map.word(place))
    }

    fn last_count(&self, tail: &Tail) -> u64 {
        let count = self.count_word(tail).map_or(0, |word| u64::from_le(word.load(Ordering::Relaxed)));
        (count & !frame::SEALED_COUNT) / frame::COUNT_CODE
    }

    /// Adds to the count of the last frame. `false` if there is none, it gets too large, or somebody sealed it.
    #[inline]
    pub fn add_to_count(&self, tail: &Tail, amount: u32) -> bool {
        let Some(word) = self.count_word(tail) else { return false };
        let old = u64::from_le(word.load(Ordering::Relaxed));
        let new = old + u64::from(amount) * frame::COUNT_CODE;
        old & frame::SEALED_COUNT == 0
            && new < frame::SEALED_COUNT
            // It fails only where somebody else wrote, which is the seal.
            && word.compare_exchange(old.to_le(), new.to_le(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Seals it, for its writer. Nothing is appended any more, by nobody.
    pub fn seal(&self, tail: &Tail) {
        if let Some(word) = self.map.word(tail.offset) {
            let _ = word.compare_exchange(0, frame::SEAL.to_le(), Ordering::AcqRel, Ordering::Relaxed);
        }
        if let Some(word) = self.count_word(tail) {
            word.fetch_or(frame::SEALED_COUNT.to_le(), Ordering::AcqRel);
        }
    }
}

/// Reads what was appended, while it goes on.
impl Source for &Segment {
    fn word(&mut self, offset: usize) -> u64 {
        self.map.word(offset).map_or(0, |word| u64::from_le(word.load(Ordering::Acquire)))
    }

    fn payload(&mut self, start: usize, length: usize) -> Option<&[u8]> {
        // SAFETY: the header was read by `word`.
        unsafe { self.map.published(start, length) }
    }
}

/// Seals a file behind its last frame, at `offset`, whose count is at `count`. `false` if there is a frame at `offset` now.
///
/// Whoever writes the file finds the seal with its next call.
///
/// # Errors
///
/// What the system says.
pub fn seal_file(file: &OwnFile, length: u64, offset: usize, count: Option<usize>) -> std::io::Result<bool> {
    if offset as u64 + frame::HEADER_BYTES as u64 > length {
        // It was cut, so that nothing can be appended.
        return Ok(true);
    }
    // Whole pages of the largest size that is in use; the words that count are at most two frames apart.
    const GRAIN: usize = 64 << 10;
    let first = count.unwrap_or(offset) / GRAIN * GRAIN;
    let map = Map::new(file.get()?, first as u64, offset + frame::HEADER_BYTES - first)?;
    if let Some(word) = map.word(offset - first) {
        let seal = word.compare_exchange(0, frame::SEAL.to_le(), Ordering::AcqRel, Ordering::Acquire);
        if seal.is_err_and(|found| u64::from_le(found) != frame::SEAL) {
            return Ok(false);
        }
    }
    if let Some(word) = count.and_then(|count| map.word(count - first)) {
        word.fetch_or(frame::SEALED_COUNT.to_le(), Ordering::AcqRel);
    }
    Ok(true)
}

/// Returns the bytes of a whole segment with these frames, sealed: for a file that is written at once.
pub fn sealed_bytes(frames: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.resize(FRAMES, 0);
    frame::scan(frames, 0, |payload| frame::push(&mut bytes, payload));
    bytes.extend_from_slice(&frame::SEAL.to_le_bytes());
    bytes
}

#[cfg(target_os = "linux")]
fn reserve(file: &fs::File, size_bytes: u64) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;

    let size = libc::off64_t::try_from(size_bytes).map_err(std::io::Error::other)?;
    // The call of the kernel itself: posix_fallocate of some C libraries writes holes where a file system has no such call,
    // and says that it reserved something.
    // SAFETY: the descriptor is open.
    match unsafe { libc::fallocate64(file.as_raw_fd(), 0, 0, size) } {
        0 => Ok(()),
        _ => match std::io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EOPNOTSUPP) => write_zeros(file, size_bytes),
            error => Err(error),
        },
    }
}

/// Where the system has no call for it, the zeros are written.
#[cfg(not(target_os = "linux"))]
fn reserve(file: &fs::File, size_bytes: u64) -> std::io::Result<()> {
    write_zeros(file, size_bytes)
}

fn write_zeros(mut file: &fs::File, size_bytes: u64) -> std::io::Result<()> {
    use std::io::Write;

    const BLOCK_BYTES: u64 = 64 << 10;
    let zeros = [0; BLOCK_BYTES as usize];
    let mut left = size_bytes;
    while left > 0 {
        let length = left.min(BLOCK_BYTES);
        file.write_all(&zeros[..length as usize])?;
        left -= length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::journal::frame::Found;

    #[cfg(not(miri))]
    fn create(size_bytes: usize) -> (Segment, Tail) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("glean-segment-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let made = Segment::create(&path, size_bytes).unwrap();
        let _ = fs::remove_file(path);
        made
    }

    #[cfg(miri)]
    fn create(size_bytes: usize) -> (Segment, Tail) {
        Segment::begin(Path::new("segment"), Map::in_memory(size_bytes))
    }

    /// Reads all frames: the sum of their counts, and how many others there are.
    fn read_all(segment: &Segment) -> (u64, u64, bool) {
        let mut source = segment;
        let (mut offset, mut previous, mut counted, mut others) = (FRAMES, 0, 0, 0);
        loop {
            let found = frame::find(&mut source, offset, previous);
            match found {
                Found::Payload(length) => {
                    let payload = source.payload(offset + frame::HEADER_BYTES, length).unwrap();
                    assert!(payload.iter().all(|byte| *byte == payload[0]));
                    others += 1;
                }
                Found::Counted(_, count) => counted += count,
                Found::End => return (counted, others, false),
                Found::Sealed => return (counted, others, true),
                // A count that grew, or that got its last value, between two looks at it.
                Found::Damage => return (counted, others, false),
            }
            (offset, previous) = (offset + found.size(), found.count());
        }
    }

    #[test]
    fn a_reader_sees_whole_frames_while_they_are_written() {
        const FRAMES: u8 = if cfg!(miri) { 12 } else { 200 };
        let (segment, mut tail) = create(16 << 10);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut last = 0;
                while !is_over.load(Ordering::Acquire) {
                    let (_, others, _) = read_all(&segment);
                    assert!(others >= last, "frames don't go away");
                    last = others;
                }
            });
            for byte in 1..=FRAMES {
                assert_eq!(segment.append_payload(&mut tail, &[byte; 13]), Pushed::Done);
                assert_eq!(segment.append_count(&mut tail, b"count", 1), Pushed::Done);
                assert!(segment.add_to_count(&tail, 2));
            }
            is_over.store(true, Ordering::Release);
        });
        assert_eq!(read_all(&segment), (3 * u64::from(FRAMES), u64::from(FRAMES), false));
    }

    #[test]
    fn what_fills_a_segment_is_there_as_a_whole_or_not_at_all() {
        const ROUNDS: u32 = if cfg!(miri) { 4 } else { 300 };
        let of = |count: u8| {
            let mut frames = Vec::new();
            (1..=count).for_each(|byte| frame::push(&mut frames, &[byte; 13]));
            frames
        };
        for round in 0..ROUNDS {
            let (segment, mut tail) = create(4096);
            let (pushed, seen) = std::thread::scope(|scope| {
                let taker = scope.spawn(|| {
                    (0..round * 10).for_each(|_| std::hint::spin_loop());
                    segment.seal(&Tail { offset: FRAMES, count: None });
                    read_all(&segment).1
                });
                (segment.fill(&mut tail, &of(40)), taker.join().unwrap())
            });
            let filled = if pushed == Pushed::Done { 40 } else { 0 };
            assert_eq!((seen, read_all(&segment).1), (filled, filled), "round {round}");
        }
        let (segment, mut tail) = create(4096);
        assert_eq!(segment.fill(&mut tail, &of(250)), Pushed::Full);
        assert_eq!(read_all(&segment), (0, 0, false));
    }

    #[test]
    fn what_was_acknowledged_before_a_seal_is_in_front_of_it() {
        const ROUNDS: u32 = if cfg!(miri) { 6 } else { 300 };
        for round in 0..ROUNDS {
            let (segment, mut tail) = create(4096);
            assert_eq!(segment.append_count(&mut tail, b"count", 1), Pushed::Done);
            let end = tail.offset;
            let acknowledged = std::thread::scope(|scope| {
                let writer = scope.spawn(|| (0..1000).take_while(|_| segment.add_to_count(&tail, 1)).count());
                let _ = scope.spawn(|| {
                    (0..round % 50).for_each(|_| std::hint::spin_loop());
                    // What a taker does.
                    segment.map.word(end).unwrap().store(frame::SEAL.to_le(), Ordering::Release);
                    let place = segment.map.word(end - frame::HEADER_BYTES).unwrap();
                    place.fetch_or(frame::SEALED_COUNT.to_le(), Ordering::AcqRel);
                });
                writer.join().unwrap()
            });
            assert_eq!(read_all(&segment), (1 + acknowledged as u64, 0, true));
            assert_eq!(segment.append_payload(&mut tail, b"later"), Pushed::Sealed);
        }
    }

    #[test]
    fn there_is_room_for_a_seal_behind_the_last_frame() {
        let (segment, mut tail) = create(256);
        let mut frames = 0;
        while segment.append_payload(&mut tail, b"xxxxxxxx") == Pushed::Done {
            frames += 1;
        }
        assert_eq!(frames, 12);
        assert_eq!(segment.append_count(&mut tail, b"", 1), Pushed::Full);
        segment.seal(&tail);
        assert_eq!(read_all(&segment), (0, 12, true));
    }
}
