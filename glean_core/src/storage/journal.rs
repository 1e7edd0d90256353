//! An append-only file of frames that survives a killed process.
//!
//! File: the 8 bytes `GLEANJ01`, then frames. Frame: the bytes `GL`, payload length and CRC-32 of the payload (both
//! little-endian u32), payload. A frame is one `write`, so it is in the page cache when [`Journal::append`] returns and
//! the death of the process cannot take it back; `fsync` is left to [`Journal::sync`] and [`Journal::rewrite`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const FILE_HEADER: &[u8; 8] = b"GLEANJ01";
const FRAME_MARK: &[u8; 2] = b"GL";
const FRAME_HEADER_BYTES: usize = 10;

/// What opening a journal found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Frames that were intact.
    pub frames: usize,
    /// Bytes after the last intact frame: a write that was cut short. They are removed.
    pub torn_bytes: usize,
    /// Bytes between intact frames that belong to none. The caller rewrites the file.
    pub damaged_bytes: usize,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Option<File>,
    size_bytes: u64,
    buffer: Vec<u8>,
}

impl Journal {
    /// Opens or creates the file and hands every intact payload to `apply`, oldest first.
    ///
    /// Damage never makes this fail: a torn tail is cut, damaged frames are skipped; `Findings` tells.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be created, read or cut.
    pub fn open(path: &Path, mut apply: impl FnMut(&[u8])) -> Result<(Journal, Findings)> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let mut journal = Journal { path: path.to_path_buf(), file: None, size_bytes: 0, buffer: Vec::new() };
        if bytes.is_empty() {
            journal.rewrite(std::iter::empty())?;
            return Ok((journal, Findings::default()));
        }
        let (end, findings) = scan(&bytes, &mut apply);
        journal.reopen(end as u64)?;
        Ok((journal, findings))
    }

    /// Returns the size of the file.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Appends one frame. After a failure the file is as before, or is repaired by the next [`Journal::open`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the frame could not be written completely.
    pub fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.buffer.clear();
        push_frame(&mut self.buffer, payload);
        let Some(file) = &mut self.file else {
            return Err(Error::io("write", &self.path)(io::Error::other("an earlier failure closed the file")));
        };
        if let Err(error) = file.write_all(&self.buffer) {
            // A part of the frame may be there. Cutting it can fail as well; opening skips what is left.
            let _ = file.set_len(self.size_bytes).and_then(|()| file.seek(SeekFrom::Start(self.size_bytes)));
            return Err(Error::io("write", &self.path)(error));
        }
        self.size_bytes += self.buffer.len() as u64;
        Ok(())
    }

    /// Waits until the frames are on the disk itself.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the operating system says that they are not.
    pub fn sync(&mut self) -> Result<()> {
        match &self.file {
            Some(file) => file.sync_data().map_err(Error::io("sync", &self.path)),
            None => Ok(()),
        }
    }

    /// Replaces the file by one that holds just these payloads: temporary file, fsync, rename.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; the old file is then still there and in use.
    pub fn rewrite(&mut self, payloads: impl Iterator<Item = Vec<u8>>) -> Result<()> {
        let mut bytes = FILE_HEADER.to_vec();
        for payload in payloads {
            push_frame(&mut bytes, &payload);
        }
        let temporary = self.path.with_extension("new");
        write_synced(&temporary, &bytes)?;
        // Windows doesn't rename over an open file.
        self.file = None;
        let renamed = fs::rename(&temporary, &self.path).map_err(Error::io("replace", &self.path));
        let size_bytes = if renamed.is_ok() { bytes.len() as u64 } else { self.size_bytes };
        self.reopen(size_bytes)?;
        renamed?;
        sync_parent(&self.path);
        Ok(())
    }

    /// Opens the file for appending at `size_bytes` and cuts what lies behind.
    fn reopen(&mut self, size_bytes: u64) -> Result<()> {
        let mut file = OpenOptions::new().write(true).open(&self.path).map_err(Error::io("open", &self.path))?;
        file.set_len(size_bytes)
            .and_then(|()| file.seek(SeekFrom::Start(size_bytes)))
            .map_err(Error::io("cut", &self.path))?;
        self.file = Some(file);
        self.size_bytes = size_bytes;
        Ok(())
    }
}

/// Writes a new file and waits until it is on the disk itself.
///
/// # Errors
///
/// [`Error::Io`]; a part of the file may be left.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(Error::io("create", path))?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.sync_all().map_err(Error::io("sync", path))
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

fn push_frame(buffer: &mut Vec<u8>, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("one change is far smaller than 4 GiB: strings are limited");
    buffer.extend_from_slice(FRAME_MARK);
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    buffer.extend_from_slice(payload);
}

/// Finds every intact frame; returns where the last one ends.
fn scan(bytes: &[u8], apply: &mut impl FnMut(&[u8])) -> (usize, Findings) {
    let mut findings = Findings::default();
    let mut position = if bytes.starts_with(FILE_HEADER) { FILE_HEADER.len() } else { 0 };
    let mut end = position;
    while position < bytes.len() {
        if let Some(payload) = frame_at(bytes, position) {
            findings.damaged_bytes += position - end;
            findings.frames += 1;
            apply(payload);
            position += FRAME_HEADER_BYTES + payload.len();
            end = position;
        } else {
            // Damaged: the next frame begins at one of the next marks. Its checksum tells which.
            position += 1;
            let rest = &bytes[position..];
            position += rest.windows(FRAME_MARK.len()).position(|pair| pair == FRAME_MARK).unwrap_or(rest.len());
        }
    }
    findings.torn_bytes = bytes.len() - end;
    if end < FILE_HEADER.len() {
        // Not even the header is intact: nothing to append to.
        findings.damaged_bytes += bytes.len();
        findings.torn_bytes = 0;
    }
    (end, findings)
}

fn frame_at(bytes: &[u8], position: usize) -> Option<&[u8]> {
    let header = bytes.get(position..position + FRAME_HEADER_BYTES)?;
    if &header[..2] != FRAME_MARK {
        return None;
    }
    let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes: sliced so"));
    let start = position + FRAME_HEADER_BYTES;
    let payload = bytes.get(start..start.checked_add(word(2) as usize)?)?;
    (!payload.is_empty() && crc32fast::hash(payload) == word(6)).then_some(payload)
}
