//! Memory that is shared with other processes: a mapped file.
//!
//! Others may read and write it at any time, so there is never a slice over all of it. Headers and counts are atomics. Of
//! payloads there are slices, of those that were published: they don't change any more.

use std::fs::File;
use std::io;
use std::sync::atomic::AtomicU64;

use super::frame::HEADER_BYTES;

/// The smallest page of the systems this runs on.
#[cfg(not(miri))]
const PAGE_BYTES: usize = 4096;

/// A part of a file in memory.
#[derive(Debug)]
pub struct Map {
    memory: Memory,
}

#[cfg(not(miri))]
type Memory = memmap2::MmapRaw;

/// Miri knows no files in memory; what it checks of this module is the same.
#[cfg(miri)]
#[derive(Debug)]
struct Memory(Box<[std::cell::UnsafeCell<u64>]>);

// SAFETY: it is used as the mapped file is, which is `Sync`.
#[cfg(miri)]
unsafe impl Sync for Memory {}

#[cfg(miri)]
impl Memory {
    fn len(&self) -> usize {
        self.0.len() * HEADER_BYTES
    }

    fn as_mut_ptr(&self) -> *mut u8 {
        self.0.as_ptr().cast_mut().cast()
    }
}

impl Map {
    /// Maps `length` bytes from `start` on, which is a multiple of the size of a page. The file may be closed afterwards.
    ///
    /// # Errors
    ///
    /// What the system says.
    #[cfg(not(miri))]
    pub fn new(file: &File, start: u64, length: usize) -> io::Result<Map> {
        let memory = memmap2::MmapOptions::new().offset(start).len(length).map_raw(file)?;
        // The child of a fork has nothing to do with it, and nobody there knows of those that a thread had.
        // SAFETY: the range is the one that was mapped.
        #[cfg(target_os = "linux")]
        unsafe {
            libc::madvise(memory.as_mut_ptr().cast(), memory.len(), libc::MADV_DONTFORK)
        };
        Ok(Map { memory })
    }

    /// As above, without the file.
    #[cfg(miri)]
    pub fn new(_file: &File, _start: u64, length: usize) -> io::Result<Map> {
        Ok(Map::in_memory(length))
    }

    #[cfg(miri)]
    pub(super) fn in_memory(length: usize) -> Map {
        Map { memory: Memory((0..length / HEADER_BYTES).map(|_| std::cell::UnsafeCell::new(0)).collect()) }
    }

    /// Returns how many bytes it has.
    pub fn size_bytes(&self) -> usize {
        self.memory.len()
    }

    /// Returns the 8 bytes at `offset`, a multiple of 8; `None` behind the end.
    #[inline]
    pub fn word(&self, offset: usize) -> Option<&AtomicU64> {
        let end = offset.checked_add(HEADER_BYTES)?;
        // SAFETY: inside of the map, which starts on a page. Headers and counts are accessed as atomics only.
        (end <= self.size_bytes() && offset % HEADER_BYTES == 0)
            .then(|| unsafe { AtomicU64::from_ptr(self.memory.as_mut_ptr().add(offset).cast()) })
    }

    /// Returns the bytes from `offset` up to `end`, which the caller may change.
    ///
    /// # Safety
    ///
    /// They are inside of the map, and until the slice is gone nobody else looks at them.
    #[allow(clippy::mut_from_ref, reason = "the memory is not the map's own")]
    pub unsafe fn room(&self, offset: usize, end: usize) -> &mut [u8] {
        debug_assert!(offset <= end && end <= self.size_bytes());
        // SAFETY: promised by the caller.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().add(offset), end - offset) }
    }

    /// Returns bytes that don't change any more; `None` if they aren't all there.
    ///
    /// # Safety
    ///
    /// They were published: their header was loaded with `Acquire`.
    pub unsafe fn published(&self, start: usize, length: usize) -> Option<&[u8]> {
        let end = start.checked_add(length)?;
        // SAFETY: inside of the map; the rest is promised by the caller.
        (end <= self.size_bytes())
            .then(|| unsafe { std::slice::from_raw_parts(self.memory.as_mut_ptr().add(start).cast_const(), length) })
    }

    /// Makes sure that the first write to each page costs nothing more. Only while nobody else knows the map.
    pub fn prepare(&self) {
        #[cfg(not(miri))]
        for offset in (0..self.size_bytes()).step_by(PAGE_BYTES) {
            // SAFETY: inside of the map, and nobody else writes there yet; it is zero already.
            unsafe { self.memory.as_mut_ptr().add(offset).write_volatile(0) };
        }
    }
}
