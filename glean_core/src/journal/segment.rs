//! One file of a journal, mapped into memory.
//!
//! The file is made with its full size, whose blocks the file system has to provide at once: a write into a mapped hole
//! on a full disk would end the host program with SIGBUS. Storing the header is the last step of an append, and one
//! instruction, so a process that dies leaves a whole frame or none.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use serde::Serialize;

use super::frame::{self, Found};
#[cfg(unix)]
use super::guard_pages;
use crate::error::{Error, Result};

/// The first bytes of a segment.
pub const MAGIC: &[u8; 8] = b"GLEANL02";
/// The smallest page of the systems this runs on.
const PAGE_BYTES: usize = 4096;

/// A mapped file.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    // Dropped before the map, whose addresses somebody else may get then.
    #[cfg(unix)]
    guard: guard_pages::Guard,
    map: MmapRaw,
    /// `None` for a segment that takes nothing.
    file: Option<File>,
}

/// Where the next frame goes. Only its holder appends.
#[derive(Debug)]
pub struct Tail {
    offset: usize,
    /// Where the count of the last frame is, if it counts.
    count: Option<usize>,
}

// SAFETY: the map is memory that lives as long as the segment. One thread appends, by `&mut Tail`; others read only
// frames whose header they loaded with `Acquire`, which `append` stored with `Release` after the payload.
unsafe impl Sync for Segment {}

impl Segment {
    /// Makes a new file of `size_bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be made, or the disk has no room for all of it.
    pub fn create(path: &Path, size_bytes: usize) -> Result<(Segment, Tail)> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(Error::io("create", path))?;
        let made = reserve(&file, size_bytes as u64)
            .map_err(Error::io("reserve room for", path))
            .and_then(|()| MmapOptions::new().len(size_bytes).map_raw(&file).map_err(Error::io("map", path)));
        let map = match made {
            Ok(map) => map,
            Err(error) => {
                drop(file);
                let _ = std::fs::remove_file(path);
                return Err(error);
            }
        };
        let segment = Segment::new(path, map, Some(file));
        // SAFETY: nobody else knows the segment; it is larger than its magic bytes.
        unsafe { segment.map.as_mut_ptr().copy_from_nonoverlapping(MAGIC.as_ptr(), MAGIC.len()) };
        Ok((segment, Tail { offset: MAGIC.len(), count: None }))
    }

    /// Makes one that takes nothing and has no file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system gives no memory.
    pub fn nowhere() -> Result<(Segment, Tail)> {
        let path = Path::new("");
        let map = MmapOptions::new().len(0).map_anon().map_err(Error::io("map", path))?;
        Ok((Segment::new(path, MmapRaw::from(map), None), Tail { offset: 0, count: None }))
    }

    /// Tells whether it takes nothing and has no file.
    pub fn is_nowhere(&self) -> bool {
        self.file.is_none()
    }

    /// Makes sure that the first write to each page costs nothing more. Only while nobody appends.
    pub fn prepare(&self) {
        for offset in (0..self.map.len()).step_by(PAGE_BYTES).skip(1) {
            // SAFETY: inside of the map, and nobody else writes there yet; it is zero already.
            unsafe { self.map.as_mut_ptr().add(offset).write_volatile(0) };
        }
    }

    /// Gives the file another name.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; the name stays then.
    pub fn rename(&mut self, path: &Path) -> Result<()> {
        std::fs::rename(&self.path, path).map_err(Error::io("rename", &self.path))?;
        self.path = path.to_path_buf();
        Ok(())
    }

    fn new(path: &Path, map: MmapRaw, file: Option<File>) -> Segment {
        Segment {
            path: path.to_path_buf(),
            #[cfg(unix)]
            guard: guard_pages::guard(map.as_ptr(), map.len()),
            map,
            file,
        }
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the size of the file.
    pub fn size_bytes(&self) -> usize {
        self.map.len()
    }

    #[inline]
    fn word(&self, offset: usize) -> Option<&AtomicU64> {
        let end = offset.checked_add(frame::HEADER_BYTES)?;
        // SAFETY: inside of the map, which starts on a page, and `offset` is a multiple of 8. Headers and counts are only
        // accessed as atomics.
        (end <= self.map.len() && offset % frame::HEADER_BYTES == 0)
            .then(|| unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(offset).cast()) })
    }

    /// Appends what `value` is encoded to. `false` if it doesn't fit; nothing is changed then.
    pub fn append(&self, tail: &mut Tail, value: &impl Serialize) -> bool {
        let offset = tail.offset;
        let start = offset + frame::HEADER_BYTES;
        if start >= self.map.len() {
            return false;
        }
        // SAFETY: behind the tail nobody reads or writes but the holder of the tail.
        let room = unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(start), self.map.len() - start) };
        match postcard::to_slice(value, room) {
            Ok(payload) => {
                let length = payload.len();
                let header = frame::header(payload, offset, self.last_count(tail));
                self.publish(tail, header, length)
            }
            Err(_) => {
                room.fill(0);
                false
            }
        }
    }

    /// Appends a payload that is encoded already. `false` if it doesn't fit.
    pub fn append_payload(&self, tail: &mut Tail, payload: &[u8]) -> bool {
        let offset = tail.offset;
        let start = offset + frame::HEADER_BYTES;
        if start + payload.len() > self.map.len() {
            return false;
        }
        // SAFETY: as in `append`.
        unsafe { self.map.as_mut_ptr().add(start).copy_from_nonoverlapping(payload.as_ptr(), payload.len()) };
        self.publish(tail, frame::header(payload, offset, self.last_count(tail)), payload.len())
    }

    fn publish(&self, tail: &mut Tail, header: u64, payload_len: usize) -> bool {
        let Some(place) = self.word(tail.offset) else { return false };
        place.store(header.to_le(), Ordering::Release);
        *tail = Tail { offset: tail.offset + frame::size(payload_len), count: None };
        true
    }

    fn last_count(&self, tail: &Tail) -> u64 {
        let word = tail.count.and_then(|place| self.word(place));
        word.map_or(0, |word| u64::from_le(word.load(Ordering::Relaxed)) / frame::COUNT_CODE)
    }

    /// Appends a frame that counts. Returns where its count is; `None` if it doesn't fit.
    pub fn append_count(&self, tail: &mut Tail, payload: &[u8], count: u64) -> Option<usize> {
        let offset = tail.offset;
        let place = offset + frame::size(payload.len());
        if place + frame::HEADER_BYTES > self.map.len() {
            return None;
        }
        // SAFETY: as in `append`.
        unsafe {
            self.map
                .as_mut_ptr()
                .add(offset + frame::HEADER_BYTES)
                .copy_from_nonoverlapping(payload.as_ptr(), payload.len());
        };
        let header = frame::counting_header(payload, offset, self.last_count(tail));
        self.word(place)?.store((count * frame::COUNT_CODE).to_le(), Ordering::Relaxed);
        self.word(offset)?.store(header.to_le(), Ordering::Release);
        *tail = Tail { offset: place + frame::HEADER_BYTES, count: Some(place) };
        Some(place)
    }

    /// Adds to the count of the last frame, whose place [`Segment::append_count`] returned. `false` if it gets too large.
    #[inline]
    pub fn add_to_count(&self, place: usize, amount: u32) -> bool {
        let Some(word) = self.word(place) else { return false };
        let count = u64::from_le(word.load(Ordering::Relaxed));
        match count.checked_add(u64::from(amount) * frame::COUNT_CODE) {
            Some(count) => {
                word.store(count.to_le(), Ordering::Release);
                true
            }
            None => false,
        }
    }

    /// Opens the file of another process, to read it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be opened or mapped, for example because it is empty.
    pub fn open(path: &Path) -> Result<Segment> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(Error::io("open", path))?;
        // Nothing is written, but 32-bit processors may read 8 bytes in one step only where they could.
        let map = MmapOptions::new().map_raw(&file).map_err(Error::io("map", path))?;
        Ok(Segment::new(path, map, Some(file)))
    }

    /// Tells whether it begins as a segment does.
    pub fn has_magic(&self) -> bool {
        self.word(0).is_some_and(|word| word.load(Ordering::Relaxed).to_ne_bytes() == *MAGIC)
    }

    /// Returns what is at `offset`; `previous` is the count of the frame before.
    pub fn read(&self, offset: usize, previous: u64) -> Found<'_> {
        // SAFETY: the map lives as long as the segment. Of what `append` may still write, only headers and counts are
        // read, and those as atomics; a payload is read when its header is there.
        let bytes = unsafe { std::slice::from_raw_parts(self.map.as_ptr(), self.map.len()) };
        frame::read_with(bytes, offset, previous, |offset| {
            self.word(offset).map_or(0, |word| u64::from_le(word.load(Ordering::Acquire)))
        })
    }

    /// Gives the room behind `offset` back to the disk. Only when nothing is appended any more.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; Windows refuses while the file is mapped.
    pub fn into_cut(self, tail: &Tail) -> Result<()> {
        #[cfg(unix)]
        drop(self.guard);
        let (path, map, file) = (self.path, self.map, self.file);
        drop(map);
        file.map_or(Ok(()), |file| file.set_len(tail.offset as u64).map_err(Error::io("cut", &path)))
    }

    /// Returns the offset of the tail.
    pub fn used(tail: &Tail) -> usize {
        tail.offset
    }
}

#[cfg(target_os = "linux")]
fn reserve(file: &File, size_bytes: u64) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;

    let size = libc::off64_t::try_from(size_bytes).map_err(std::io::Error::other)?;
    // SAFETY: the descriptor is open.
    match unsafe { libc::posix_fallocate64(file.as_raw_fd(), 0, size) } {
        0 => Ok(()),
        code => Err(std::io::Error::from_raw_os_error(code)),
    }
}

/// Where the system has no call for it, the zeros are written.
#[cfg(not(target_os = "linux"))]
fn reserve(file: &File, size_bytes: u64) -> std::io::Result<()> {
    use std::io::Write;

    let mut file = file;
    let zeros = vec![0; size_bytes as usize];
    file.write_all(&zeros)
}
