//! One file of a journal, as it is read: by a process that doesn't write it, or doesn't write it any more.
//!
//! It is read piece by piece into a buffer of limited size, and never mapped for longer than a seal takes: whoever has the
//! right to may cut or remove the file of another process, and a mapping would turn that into a signal.

use std::fs::OpenOptions;
use std::path::Path;

use super::folded::Note;
use super::frame::{self, Source};
use super::segment::{self, MAGIC};
use crate::disk::OwnFile;
use crate::error::{Error, Result};

/// How much is read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is a segment of this format.
    Segment,
    /// It is one of another version.
    OtherVersion,
    /// Its process died while it made the file.
    Unfinished,
    /// It is none.
    Unknown,
}

/// An open segment.
#[derive(Debug)]
pub struct SegmentFile {
    file: OwnFile,
    length: u64,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    start: usize,
    error: Option<std::io::Error>,
    is_final: bool,
}

impl SegmentFile {
    /// Opens a segment.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be opened.
    pub fn open(path: &Path) -> Result<SegmentFile> {
        let file = OwnFile::open_shared(&mut OpenOptions::new(), path)?;
        let length = file.get().and_then(std::fs::File::metadata).map_err(Error::io("open", path))?.len();
        Ok(SegmentFile { file, length, buffer: Vec::new(), start: 0, error: None, is_final: false })
    }

    /// Returns the size of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns what it begins with.
    pub fn kind(&mut self) -> Kind {
        let mut first = [0; 8];
        if let Err(error) = self.file.read_at(0, &mut first) {
            self.error = Some(error);
        }
        if first == *MAGIC {
            Kind::Segment
        } else if first[..6] == MAGIC[..6] {
            Kind::OtherVersion
        } else if first == [0; 8] {
            Kind::Unfinished
        } else {
            Kind::Unknown
        }
    }

    /// Writes how far it is folded, if it is a segment of this format. Only who holds the lock of the directory does.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn note(&mut self, note: Note) -> std::io::Result<()> {
        if self.kind() != Kind::Segment || self.length < segment::FRAMES as u64 {
            return self.take_error().map_or(Ok(()), Err);
        }
        let bytes: Vec<u8> = note.to_words().into_iter().flat_map(u64::to_le_bytes).collect();
        self.file.write_at(MAGIC.len() as u64, &bytes)
    }

    /// Seals it behind its last frame, at `offset`, whose count is at `count`. `false` if there is another frame now.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn seal(&mut self, offset: usize, count: Option<usize>) -> std::io::Result<bool> {
        self.refresh();
        match segment::seal_file(&self.file, self.length, offset, count) {
            // It is that of another user. Without its lock it is taken for dead, and nothing can be done about it if it isn't.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(true),
            sealed => sealed,
        }
    }

    /// Tells whether it was cut in the middle of what was at `end`: less than a header is left of it.
    pub fn has_rest_behind(&self, end: usize) -> bool {
        let mut rest = [0; frame::HEADER_BYTES];
        let is_short = (end as u64..end as u64 + frame::HEADER_BYTES as u64).contains(&self.length);
        is_short && self.file.read_at(end as u64, &mut rest).is_ok() && rest != [0; frame::HEADER_BYTES]
    }

    /// Returns why something could not be read, once.
    pub fn take_error(&mut self) -> Option<std::io::Error> {
        self.error.take()
    }

    /// Tells that nobody writes it any more, so that what was read in advance is right.
    pub fn set_final(&mut self) {
        self.is_final = true;
    }

    fn fill(&mut self, offset: usize, length: usize) -> Option<&[u8]> {
        let is_there = offset >= self.start && offset + length <= self.start + self.buffer.len();
        if !is_there {
            let wanted = length.max(BUFFER_BYTES).min(usize::try_from(self.length).ok()?.checked_sub(offset)?);
            self.buffer.resize(wanted, 0);
            self.start = offset;
            match self.file.read_at(offset as u64, &mut self.buffer) {
                Ok(bytes) => self.buffer.truncate(bytes),
                Err(error) => {
                    self.buffer.clear();
                    self.error = Some(error);
                }
            }
            if self.buffer.capacity() > 4 * BUFFER_BYTES && wanted <= BUFFER_BYTES {
                self.buffer.shrink_to(BUFFER_BYTES);
            }
        }
        self.buffer.get(offset - self.start..)?.get(..length)
    }
}

impl Source for SegmentFile {
    fn word(&mut self, offset: usize) -> u64 {
        self.fill(offset, frame::HEADER_BYTES).map_or(0, |bytes| frame::word_at(bytes, 0))
    }

    fn payload(&mut self, start: usize, length: usize) -> Option<&[u8]> {
        self.fill(start, length)
    }

    fn fresh_word(&mut self, offset: usize) -> u64 {
        if self.is_final {
            return self.word(offset);
        }
        let mut bytes = [0; frame::HEADER_BYTES];
        match self.file.read_at(offset as u64, &mut bytes) {
            Ok(_) => u64::from_le_bytes(bytes),
            Err(error) => {
                self.error = Some(error);
                0
            }
        }
    }

    fn refresh(&mut self) {
        self.buffer.clear();
    }

    fn has_failed(&self) -> bool {
        self.error.is_some()
    }
}
