//! The files of this process: its first segment, the next ones, and the lock that says that it lives.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::worker::{Next, Work};
use super::{Calls, FOLDS, MOVED, Shared, lifecycle, shared};
use crate::disk;
use crate::error::{Error, Result};
use crate::journal::frame;
use crate::journal::log::{Left, Wanted};
use crate::journal::segment::{self, Segment, Tail};
use crate::logging::log_at;
use crate::machine::op::Op;
use crate::store::directory::Directory;
use crate::store::lock::FileLock;

/// How long after a failure it is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How long somebody else may look at the lock of this process.
const LIFE_PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn work() -> Work {
    let mut has_failed = false;
    Box::new(move |_| match make_all() {
        Ok(()) => {
            has_failed = false;
            Next::Woken
        }
        Err(error) => {
            if !has_failed {
                log_at!(
                    Error,
                    "calls wait in memory until the disk takes them, and if they are too many, are dropped: {error}"
                );
            }
            has_failed = true;
            shared().is_stalled = true;
            MOVED.notify_all();
            Next::After(RETRY_INTERVAL)
        }
    })
}

/// Does everything that the log asks for.
fn make_all() -> Result<()> {
    loop {
        let mut shared_now = shared();
        let left = shared_now.log.take_left();
        let data_dir = shared_now.data_dir.clone();
        let is_starting = shared_now.log.is_starting();
        drop(shared_now);
        if give_back(left) {
            FOLDS.wake();
        }
        let Some(data_dir) = data_dir else { return Ok(()) };
        if is_starting {
            if let Err(error) = lifecycle::open(&data_dir) {
                if error.is_transient() {
                    return Err(error);
                }
                lifecycle::fail(error);
                return Ok(());
            }
            continue;
        }
        let directory = Directory::new(&data_dir);
        if shared().log.is_unmapped() {
            return write_delayed(&directory);
        }
        let Some(wanted) = wanted(&mut shared())? else { return Ok(()) };
        ensure_life(&directory, &wanted.process)?;
        let (segment, tail) = make(&directory, &wanted)?;
        take(&mut shared(), &wanted, segment, tail);
        MOVED.notify_all();
        if wanted.is_urgent {
            FOLDS.wake();
        }
    }
}

fn wanted(shared: &mut Shared) -> Result<Option<Wanted>> {
    match (shared.log.wanted(), shared.log.backlog()) {
        (Some(_), Some(bytes)) => Err(Error::Backlog { bytes }),
        (wanted, _) => Ok(wanted),
    }
}

fn make(directory: &Directory, wanted: &Wanted) -> Result<(Segment, Tail)> {
    let path = directory.file(&Directory::log_name(&wanted.process, wanted.serial));
    disk::in_folder(&path, |path| Segment::create(path, wanted.size_bytes))
}

fn take(shared: &mut Shared, wanted: &Wanted, segment: Segment, tail: Tail) {
    install(&mut shared.log, wanted, segment, tail);
    if !shared.log.has_delayed() {
        shared.is_stalled = false;
    }
}

fn install(log: &mut Calls, wanted: &Wanted, segment: Segment, tail: Tail) {
    let dropped = log.take_dropped();
    log.install(wanted, segment, tail);
    if dropped > 0 {
        log_at!(Error, "{dropped} calls were dropped while the disk took none");
        log.append(&Op::Dropped(dropped));
    }
}

/// Where files cannot be mapped: writes what waits in memory to a file of its own.
fn write_delayed(directory: &Directory) -> Result<()> {
    let Some(process) = shared().log.process().map(str::to_owned) else { return Ok(()) };
    ensure_life(directory, &process)?;
    let taken = shared().log.take_delayed();
    if let Some((serial, frames)) = taken {
        if let Err(error) = write_whole(directory, &process, serial, &frames) {
            shared().log.put_back(frames);
            return Err(error);
        }
        let mut shared = shared();
        shared.log.add_to_backlog(Directory::log_name(&process, serial), frames.len() as u64);
        shared.is_stalled = false;
        drop(shared);
        MOVED.notify_all();
        FOLDS.wake();
    }
    Ok(())
}

/// Writes a segment at once.
fn write_whole(directory: &Directory, process: &str, serial: u32, frames: &[u8]) -> Result<()> {
    let path = directory.file(&Directory::log_name(process, serial));
    let temporary = path.with_extension(segment::UNFINISHED);
    let written = disk::in_folder(&temporary, |path| disk::write(path, &segment::sealed_bytes(frames)).map(drop))
        .and_then(|()| fs::rename(&temporary, &path).map_err(Error::io("rename", &path)));
    written.inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Leaves the journal of a process that is gone.
///
/// # Errors
///
/// [`Error::Io`]; nothing is left then.
pub fn write_journal<'a>(directory: &Directory, process: &str, ops: impl Iterator<Item = Op<'a>>) -> Result<()> {
    let mut frames = Vec::new();
    for op in ops {
        frame::push(&mut frames, &postcard::to_stdvec(&op).expect("memory is the only limit of a Vec"));
    }
    write_whole(directory, process, 0, &frames)
}

/// Takes the lock of this process, if it isn't held: the program may close descriptors, and somebody may remove files.
///
/// Without it, another process takes this one for dead. That costs a new segment, and no call.
fn ensure_life(directory: &Directory, process: &str) -> Result<()> {
    let life = shared().life.take();
    let path = directory.process_lock(process);
    let life = match life.filter(|life| life.is_held(&path)) {
        Some(life) => life,
        None => live(directory, process)?,
    };
    let mut shared = shared();
    if shared.log.process() == Some(process) {
        shared.life = Some(life);
    }
    Ok(())
}

/// Takes the lock that tells that a process lives.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be made, [`Error::Locked`] if somebody looks at it for too long.
pub(super) fn live(directory: &Directory, process: &str) -> Result<FileLock> {
    let path = directory.process_lock(process);
    disk::in_folder(&path, |path| FileLock::acquire(path, Instant::now() + LIFE_PATIENCE))
}

/// Gives memory back, and removes files that took no call; tells whether there are segments to be folded.
pub(super) fn give_back(left: Left) -> bool {
    for segment in left.unused {
        let path = segment.path().to_path_buf();
        // Windows removes no file that is mapped.
        drop(segment);
        remove(&path);
    }
    !left.sealed.is_empty()
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        log_at!(Debug, "{}", Error::io("remove", path)(error));
    }
}

/// Makes what a log asks for at once, for one that has no thread.
///
/// # Errors
///
/// [`Error::Io`] or [`Error::Backlog`] if the file cannot be made.
pub fn serve(log: &mut Calls, directory: &Directory) -> Result<()> {
    loop {
        give_back(log.take_left());
        let Some(wanted) = log.wanted() else { return Ok(()) };
        if let Some(bytes) = log.backlog() {
            return Err(Error::Backlog { bytes });
        }
        let (segment, tail) = make(directory, &wanted)?;
        install(log, &wanted, segment, tail);
    }
}
