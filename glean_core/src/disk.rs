//! Files that live in somebody else's process: the host may close every descriptor at any moment, and reuse the numbers.
//!
//! A file that is written here has no descriptor below 3, because those are the host's even while they are closed. Before each
//! use that matters, and before it is closed, its identity tells whether the descriptor still belongs to it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::path::Path;

use crate::error::{Error, Result};

/// An open file that survives what the host does to its descriptors.
#[derive(Debug)]
pub struct OwnFile {
    file: ManuallyDrop<File>,
    #[cfg(unix)]
    identity: Identity,
    #[cfg(unix)]
    slot: Option<usize>,
    /// Where there is no slot.
    #[cfg(unix)]
    _opening: Option<Opening>,
}

/// Device, inode, and the time at which the file was made, in nanoseconds: file systems give numbers of removed files out again.
#[cfg(unix)]
type Identity = (u64, u64, u64);

impl OwnFile {
    /// Opens a file. `action` is what is tried, for the error.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn open(options: &OpenOptions, action: &'static str, path: &Path) -> Result<OwnFile> {
        let opening = opening();
        #[cfg_attr(not(unix), expect(unused_mut, reason = "nothing is added there"))]
        let mut options = options.clone();
        // It changes nothing for a file, and tells in a forked child whose it is.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
        options.open(path).and_then(|file| OwnFile::new(file, opening)).map_err(Error::io(action, path))
    }

    /// Opens a file to read it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn open_read(path: &Path) -> Result<OwnFile> {
        OwnFile::open(OpenOptions::new().read(true), "open", path)
    }

    /// Opens a file to read and write it, or, if it is that of another user, to read it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn open_shared(options: &mut OpenOptions, path: &Path) -> Result<OwnFile> {
        match OwnFile::open(options.read(true).write(true), "open", path) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                OwnFile::open_read(path)
            }
            opened => opened,
        }
    }

    /// Makes a file, or empties it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn create(path: &Path) -> Result<OwnFile> {
        OwnFile::open(OpenOptions::new().write(true).create(true).truncate(true), "create", path)
    }

    #[cfg(unix)]
    fn new(file: File, opening: Opening) -> io::Result<OwnFile> {
        use std::os::fd::{AsRawFd, FromRawFd};

        let file = if file.as_raw_fd() > 2 {
            file
        } else {
            // SAFETY: the descriptor is open; the new one belongs to nobody else.
            match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) } {
                -1 => return Err(io::Error::last_os_error()),
                // SAFETY: as above.
                descriptor => unsafe { File::from_raw_fd(descriptor) },
            }
        };
        let identity = identity(&file.metadata()?);
        let slot = forked::remember(file.as_raw_fd(), identity);
        let _opening = slot.is_none().then_some(opening);
        Ok(OwnFile { file: ManuallyDrop::new(file), identity, slot, _opening })
    }

    #[cfg(not(unix))]
    fn new(file: File, _opening: Opening) -> io::Result<OwnFile> {
        Ok(OwnFile { file: ManuallyDrop::new(file) })
    }

    /// Returns the open file.
    ///
    /// # Errors
    ///
    /// If the host closed the descriptor, whatever it stands for now.
    pub fn get(&self) -> io::Result<&File> {
        if self.is_own() { Ok(&self.file) } else { Err(io::Error::other("the program closed the file")) }
    }

    #[cfg(unix)]
    pub(crate) fn is_own(&self) -> bool {
        self.file.metadata().is_ok_and(|found| identity(&found) == self.identity)
    }

    #[cfg(not(unix))]
    pub(crate) fn is_own(&self) -> bool {
        true
    }

    /// Tells whether the file is the one that others find at `path`.
    #[cfg(unix)]
    pub fn is_at(&self, path: &Path) -> bool {
        self.is_own() && fs::metadata(path).is_ok_and(|found| identity(&found) == self.identity)
    }

    /// Tells whether the file is the one that others find at `path`.
    #[cfg(not(unix))]
    pub fn is_at(&self, path: &Path) -> bool {
        path.exists()
    }

    /// Reads what is at `offset`, as much as there is.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = self.get()?;
        let mut filled = 0;
        while filled < buffer.len() {
            #[cfg(unix)]
            let read = std::os::unix::fs::FileExt::read_at(file, &mut buffer[filled..], offset + filled as u64);
            #[cfg(windows)]
            let read = std::os::windows::fs::FileExt::seek_read(file, &mut buffer[filled..], offset + filled as u64);
            match read {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                // The end of a file, as Windows says it.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Writes all bytes at `offset`.
    ///
    /// # Errors
    ///
    /// What the system says; a part may be written.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.get()?;
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::write_all_at(file, bytes, offset);
        #[cfg(windows)]
        {
            let mut written = 0;
            while written < bytes.len() {
                written += std::os::windows::fs::FileExt::seek_write(file, &bytes[written..], offset + written as u64)?;
            }
            Ok(())
        }
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if self.is_own() {
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
        #[cfg(unix)]
        forked::forget(self.slot);
    }
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;

    let made = metadata.created().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    (metadata.dev(), metadata.ino(), made.map_or(0, |made| made.as_nanos() as u64))
}

/// A forked child has copies of the descriptors, and with them the locks of its parent, who may die first; nobody in it knows
/// of those that a thread of its parent had open. So it closes them; the parent's stay.
///
/// A fork copies the descriptors first and the memory a moment later. What a thread closes in between is open in the child, so
/// it stays in the list until the fork is over.
#[cfg(unix)]
pub mod forked {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

    use super::{Identity, is_open_as};

    struct Slot {
        descriptor: AtomicI32,
        device: AtomicU64,
        inode: AtomicU64,
        made: AtomicU64,
        /// Closed here, and perhaps open in a child that is being made.
        is_closed: AtomicBool,
    }

    /// More than are ever open at once. One that finds no place counts as being opened.
    const SLOTS: usize = 64;
    const FREE: i32 = -1;
    /// Taken, and not filled in yet.
    const TAKEN: i32 = -2;
    static OPEN: [Slot; SLOTS] = [const {
        Slot {
            descriptor: AtomicI32::new(FREE),
            device: AtomicU64::new(0),
            inode: AtomicU64::new(0),
            made: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
        }
    }; SLOTS];
    /// How many threads fork.
    static FORKING: AtomicUsize = AtomicUsize::new(0);
    /// How many files are being opened, or are open without a slot.
    static OPENING: AtomicUsize = AtomicUsize::new(0);
    /// How many of these are not any more, and perhaps still in a child that is being made.
    static OPENED: AtomicUsize = AtomicUsize::new(0);

    pub(super) fn remember(descriptor: i32, (device, inode, made): Identity) -> Option<usize> {
        let is_taken =
            |slot: &Slot| slot.descriptor.compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let index = OPEN.iter().position(is_taken)?;
        OPEN[index].device.store(device, Ordering::Relaxed);
        OPEN[index].inode.store(inode, Ordering::Relaxed);
        OPEN[index].made.store(made, Ordering::Relaxed);
        OPEN[index].descriptor.store(descriptor, Ordering::Release);
        Some(index)
    }

    /// Frees the slot of a file that was closed.
    pub(super) fn forget(slot: Option<usize>) {
        let Some(slot) = slot.map(|index| &OPEN[index]) else { return };
        slot.is_closed.store(true, Ordering::SeqCst);
        if FORKING.load(Ordering::SeqCst) == 0 {
            free(slot);
        }
    }

    fn free(slot: &Slot) {
        if slot.is_closed.swap(false, Ordering::SeqCst) {
            slot.descriptor.store(FREE, Ordering::Release);
        }
    }

    pub(super) fn begin_opening() {
        OPENING.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end_opening() {
        OPENED.fetch_add(1, Ordering::SeqCst);
        if FORKING.load(Ordering::SeqCst) == 0 {
            settle();
        }
    }

    fn settle() {
        OPENING.fetch_sub(OPENED.swap(0, Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Says that this thread forks now.
    pub fn begin() {
        FORKING.fetch_add(1, Ordering::SeqCst);
    }

    /// Says that it has forked. Only in the parent.
    pub fn end() {
        if FORKING.fetch_sub(1, Ordering::SeqCst) == 1 {
            settle();
            OPEN.iter().for_each(free);
        }
    }

    /// Closes the copies. Only in a child, which will never use what its parent opened.
    ///
    /// `data_dir` is free of links, as the system itself names what is open.
    pub fn close_copies(data_dir: Option<&Path>) {
        FORKING.store(0, Ordering::SeqCst);
        OPENED.store(0, Ordering::SeqCst);
        for slot in &OPEN {
            slot.is_closed.store(false, Ordering::SeqCst);
            let descriptor = slot.descriptor.swap(FREE, Ordering::AcqRel);
            let [device, inode, made] =
                [&slot.device, &slot.inode, &slot.made].map(|part| part.load(Ordering::Relaxed));
            let identity = (device, inode, made);
            if descriptor >= 0 && is_open_as(descriptor, identity) {
                // SAFETY: the descriptor is a copy of the parent's, and its owner in this process was given up.
                unsafe { libc::close(descriptor) };
            }
        }
        let is_opening = OPENING.swap(0, Ordering::AcqRel) > 0;
        if let Some(data_dir) = data_dir.filter(|_| is_opening) {
            close_strays(data_dir);
        }
    }

    /// Closes what threads of the parent were opening at the moment of the fork: nothing else tells of it.
    #[cfg(target_os = "linux")]
    fn close_strays(data_dir: &Path) {
        use std::io::Write;
        use std::os::unix::ffi::OsStrExt;

        const FOLDERS: [&[u8]; 5] = [b"/db", b"/tmp", b"/pending_pings", b"/deletion_request", b"/events"];
        const MOST: i32 = 1024;
        // A child may not be able to allocate.
        let (mut link, mut target) = ([0; 32], [0; 4096]);
        for descriptor in 3..MOST {
            link.fill(0);
            if write!(&mut link[..31], "/proc/self/fd/{descriptor}").is_err() {
                return;
            }
            // SAFETY: the one text ends with a zero, the other buffer has the size that is said.
            let length = unsafe { libc::readlink(link.as_ptr().cast(), target.as_mut_ptr().cast(), target.len()) };
            let found = usize::try_from(length).ok().and_then(|length| target.get(..length)).unwrap_or_default();
            let rest = found.strip_prefix(data_dir.as_os_str().as_bytes()).unwrap_or_default();
            // SAFETY: a descriptor that is not open is an error.
            let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
            let is_marked = flags != -1 && flags & libc::O_NONBLOCK != 0;
            if is_marked && FOLDERS.iter().any(|folder| rest.starts_with(folder)) {
                // SAFETY: nobody in this process knows of it.
                unsafe { libc::close(descriptor) };
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn close_strays(_data_dir: &Path) {}
}

/// Held while something is opened or listed that is in no list: see [`forked::close_copies`].
#[derive(Debug)]
#[must_use]
struct Opening(());

/// Says that this thread is opening something.
fn opening() -> Opening {
    #[cfg(unix)]
    forked::begin_opening();
    Opening(())
}

impl Drop for Opening {
    fn drop(&mut self) {
        #[cfg(unix)]
        forked::end_opening();
    }
}

/// The entries of a folder.
#[derive(Debug)]
pub struct Entries {
    entries: fs::ReadDir,
    _opening: Opening,
}

impl Iterator for Entries {
    type Item = io::Result<fs::DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.entries.next()
    }
}

/// Lists a folder, as [`fs::read_dir`] does.
///
/// # Errors
///
/// What the system says.
pub fn read_dir(path: &Path) -> io::Result<Entries> {
    let opening = opening();
    Ok(Entries { entries: fs::read_dir(path)?, _opening: opening })
}

/// Tells whether an open descriptor is the file with this identity.
#[cfg(unix)]
fn is_open_as(descriptor: i32, expected: Identity) -> bool {
    use std::os::fd::FromRawFd;

    // SAFETY: it is not closed, and a descriptor that is not open is an error of the only call.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) });
    file.metadata().is_ok_and(|found| identity(&found) == expected)
}

/// A file that was written and is not on the disk itself yet.
#[derive(Debug)]
#[must_use]
pub struct Unsynced(OwnFile);

impl Unsynced {
    /// Sets the time of the file; one that can't be set stays as it is.
    pub fn set_modified(&self, time: std::time::SystemTime) {
        let _ = self.0.get().and_then(|file| file.set_modified(time));
    }

    /// Waits until it is.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn sync(&self) -> io::Result<()> {
        self.0.get()?.sync_all()
    }
}

/// Writes a file.
///
/// # Errors
///
/// [`Error::Io`]; what is left of the file is removed.
pub fn write(path: &Path, bytes: &[u8]) -> Result<Unsynced> {
    let file = OwnFile::create(path)?;
    match file.get().and_then(|mut file| file.write_all(bytes)) {
        Ok(()) => Ok(Unsynced(file)),
        Err(error) => {
            let _ = fs::remove_file(path);
            Err(Error::io("write", path)(error))
        }
    }
}

/// Waits until a file that was written before is on the disk.
///
/// # Errors
///
/// [`Error::Io`].
pub fn sync(path: &Path) -> Result<()> {
    // Windows syncs only what may be written.
    let file = OwnFile::open(OpenOptions::new().write(true), "open", path)?;
    Unsynced(file).sync().map_err(Error::io("sync", path))
}

/// Replaces a file: temporary file, fsync, rename. [`sync_parent`] makes sure that a power cut doesn't undo it.
///
/// # Errors
///
/// [`Error::Io`]; the old file is as it was.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("new");
    // Closed before it is renamed: Windows replaces no file that is open.
    let synced = write(&temporary, bytes)?.sync().map_err(Error::io("sync", &temporary));
    synced.and_then(|()| fs::rename(&temporary, path).map_err(Error::io("replace", path))).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Makes renames and removals in a folder durable. Only Unix has this, and some file systems refuse it: that changes nothing
/// for a reader. `false` if the folder could not even be opened.
pub fn sync_parent(path: &Path) -> bool {
    #[cfg(unix)]
    {
        let Some(directory) = path.parent().and_then(|parent| OwnFile::open_read(parent).ok()) else { return false };
        let _ = Unsynced(directory).sync();
    }
    #[cfg(not(unix))]
    let _ = path;
    true
}

/// Does something with a file whose folder may not exist yet.
///
/// # Errors
///
/// That of `work`, or [`Error::Io`] if the folder cannot be made.
pub fn in_folder<T>(path: &Path, work: impl Fn(&Path) -> Result<T>) -> Result<T> {
    match work(path) {
        Err(error) if error.is_not_found() => {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            }
            work(path)
        }
        outcome => outcome,
    }
}

/// Tells whether a mapped file keeps its promises in a folder: what is stored there is seen by everybody, survives the process,
/// and never fails for want of room.
///
/// Network file systems keep no common memory; those that share blocks between files reserve nothing by making a file of its full
/// size, so that a store on a full disk would end the program. So those are listed that are known to keep them, and one file is
/// cloned, which says what lies below an overlay.
#[cfg(target_os = "linux")]
pub fn is_mappable(folder: &Path) -> bool {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;

    /// ext2 to ext4, tmpfs, ramfs, F2FS, XFS, overlay.
    const MAPPABLE: [u32; 6] = [0xef53, 0x0102_1994, 0x8584_58f6, 0xf2f5_2010, 0x5846_5342, 0x794c_7630];
    /// `FICLONE` of linux/fs.h.
    const FICLONE: u32 = 0x4004_9409;

    let Ok(path) = std::ffi::CString::new(folder.as_os_str().as_bytes()) else { return false };
    // SAFETY: `statfs` is plain data for which zero is a value; both pointers are valid for the call.
    let kind = unsafe {
        let mut found: libc::statfs = std::mem::zeroed();
        if libc::statfs(path.as_ptr(), &raw mut found) == 0 { found.f_type as u32 } else { 0 }
    };
    if !MAPPABLE.contains(&kind) {
        return false;
    }
    if !MAPPABLE[4..].contains(&kind) {
        return true;
    }
    let names = ["original", "clone"].map(|name| folder.join(format!("{name}-{}.new", std::process::id())));
    let is_cloned = || -> Result<bool> {
        let [original, clone] = [OwnFile::create(&names[0])?, OwnFile::create(&names[1])?];
        let (Ok(original), Ok(clone)) = (original.get(), clone.get()) else { return Ok(true) };
        // SAFETY: both descriptors are open for the whole call.
        Ok(unsafe { libc::ioctl(clone.as_raw_fd(), FICLONE as _, original.as_raw_fd()) } == 0)
    };
    let is_cloned = is_cloned();
    for name in &names {
        let _ = fs::remove_file(name);
    }
    is_cloned.is_ok_and(|is_cloned| !is_cloned)
}

/// Elsewhere there is no simple way to tell.
#[cfg(not(target_os = "linux"))]
pub fn is_mappable(_folder: &Path) -> bool {
    true
}
