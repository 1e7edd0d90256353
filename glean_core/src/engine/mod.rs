//! Folding: the journals of all processes become what is stored, and pings become files.
//!
//! Whoever holds the lock of the directory folds, one [`Engine::step`] at a time: each reads a limited number of calls, makes a
//! limited number of pings, saves, and gives the lock back, however much there is to do. A step reads the base if another
//! process replaced it, applies what journals hold behind the point the base says, and, if that made pings or used up a
//! segment, saves a new base: what is stored, how far each segment is folded, and what is left to do in other folders. That
//! the new base counts is the moment in which values leave a journal and a ping comes to be, so no death of a process can
//! take or double either.

mod reading;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::disk;
use crate::error::{Error, Result};
use crate::journal::file::SegmentFile;
use crate::journal::folded::{Note, Position};
use crate::journal::segment::Segment;
use crate::logging::log_at;
use crate::machine::context::Context;
use crate::machine::{Machine, client_id};
use crate::ping::files::{self, Attempt};
use crate::sort;
use crate::store::base::{BaseFile, Effect, Header, mark};
use crate::store::directory::{Directory, Listing, LogFile};
use crate::store::lock::FileLock;
use crate::store::{CLIENT_INFO_STORE, State, Value};
use reading::Outcome;

/// How long a step folds before it saves and lets others have the directory.
const STEP_TIME: Duration = Duration::from_millis(20);
/// How long others have the directory to themselves between two steps: longer than they wait to try again.
const TURN: Duration = Duration::from_millis(3);
/// How many pings a step makes.
const STEP_PINGS: usize = 64;
/// How large they are together; the last one may be larger.
const STEP_PING_BYTES: usize = 1 << 20;
/// How much may be folded without a save. Of a backlog, so much is read again if its reader dies.
const MAX_UNSAVED_BYTES: u64 = 4 << 20;
/// How many segments whose files are gone the base remembers. To forget them costs a wait for the disk.
const MAX_GONE: usize = 16;

/// The context of one process, valid at one point of one of its segments.
#[derive(Debug)]
struct Reader {
    segment: String,
    position: Position,
    context: Context,
}

/// What memory is, compared with the file of the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    /// Nothing was read yet.
    Unread,
    /// Memory is what the base has, and what was folded since.
    Current,
    /// The same, and effects of the base are still to be carried out.
    Unfinished(Attempt),
}

/// Whether a base is to be saved although nothing else asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    None,
    Base,
    /// In the smallest file that holds it.
    TightBase,
}

/// Folds one data directory.
#[derive(Debug)]
pub struct Engine {
    data_dir: PathBuf,
    directory: Directory,
    process: String,
    base: BaseFile,
    stored: Stored,
    state: State,
    /// As of the base, with how far each segment is folded now.
    header: Header,
    /// How far each segment is folded in the base.
    saved: BTreeMap<String, Position>,
    /// How far each segment says itself that it is, as far as this process knows.
    noted: BTreeMap<String, Position>,
    /// The size of the base that was saved last.
    base_bytes: usize,
    /// How much was folded since.
    unsaved_bytes: u64,
    wish: Wish,
    readers: BTreeMap<String, Reader>,
    outgoing: Vec<Effect>,
    /// What is still to be read of the segments that were there when it was begun.
    pass: VecDeque<LogFile>,
    damage: Option<String>,
    /// Segments that another version wrote, once this is reported.
    left_alone: BTreeSet<String>,
    /// When this process gave the directory back, if others may wait for it.
    given_back: Option<Instant>,
    has_others: bool,
    /// How many pings were published since somebody asked, and how many bytes.
    published: (u64, u64),
}

/// What a step did.
#[derive(Debug, Default)]
pub struct Step {
    /// Whether everything was folded that was there at the first step.
    pub is_done: bool,
    /// The names of the segments of this process that are still there.
    pub own_segments: Vec<String>,
    /// A segment of this process that must not be written any more: its file is gone or damaged.
    pub lost_segment: Option<String>,
}

/// How much a step may still do.
struct Budget {
    end: Instant,
    frames: u32,
}

impl Budget {
    /// Tells whether there is time for another frame.
    fn takes(&mut self, outgoing: &[Effect]) -> bool {
        self.frames += 1;
        if self.frames % 64 == 0 && Instant::now() >= self.end {
            return false;
        }
        if outgoing.is_empty() {
            return true;
        }
        let bytes = |effect: &Effect| if let Effect::Publish { content, .. } = effect { content.len() } else { 0 };
        outgoing.len() < STEP_PINGS && outgoing.iter().map(bytes).sum::<usize>() < STEP_PING_BYTES
    }
}

impl Engine {
    /// Makes an engine; nothing is read before the first [`Engine::step`].
    pub fn new(data_dir: &Path, process: &str) -> Engine {
        let directory = Directory::new(data_dir);
        Engine {
            data_dir: data_dir.to_path_buf(),
            base: BaseFile::new(directory.base()),
            directory,
            process: process.to_owned(),
            stored: Stored::Unread,
            state: State::default(),
            header: Header::default(),
            saved: BTreeMap::new(),
            noted: BTreeMap::new(),
            base_bytes: 0,
            unsaved_bytes: 0,
            wish: Wish::None,
            readers: BTreeMap::new(),
            outgoing: Vec::new(),
            pass: VecDeque::new(),
            damage: None,
            left_alone: BTreeSet::new(),
            given_back: None,
            has_others: false,
            published: (0, 0),
        }
    }

    /// Returns how many pings were published since the last call, and how many bytes they have.
    pub fn take_published(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.published)
    }

    /// Returns what is stored, as of the last step.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns the context of this process, as of the last step.
    pub fn context(&self) -> Option<&Context> {
        self.readers.get(&self.process).map(|reader| &reader.context)
    }

    /// Tells whether everything up to `offset` of a segment is in the base. A count that may still grow is not.
    pub fn is_saved(&self, segment: &str, offset: u64) -> bool {
        self.saved.get(segment).is_some_and(|position| position.counted == 0 && position.offset >= offset)
    }

    /// Returns the size of the base that this process saved last.
    pub fn base_bytes(&self) -> usize {
        self.base_bytes
    }

    /// Returns how often this process made a ping of this name.
    pub fn submissions(&self, ping: &str) -> u64 {
        self.context().and_then(|context| context.submissions.get(ping)).copied().unwrap_or(0)
    }

    /// Returns how many further events make an `events` ping.
    pub fn events_to_full(&self) -> usize {
        self.context().map_or(0, |context| crate::machine::events::to_full(&self.state, context))
    }

    /// Saves a base with the next step, so that the journals can go.
    pub fn ask_for_base(&mut self) {
        self.wish = self.wish.max(Wish::Base);
    }

    /// Saves a base with the next step, in the smallest file that holds it.
    pub fn ask_for_tight_base(&mut self) {
        self.wish = Wish::TightBase;
    }

    /// Tells whether the file of the base is much larger than it has to be.
    pub fn is_roomy(&self) -> bool {
        self.base.is_roomy(self.base_bytes)
    }

    /// Folds a part of what there is. `own` is the segment that this process writes; `deadline` is for the lock.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] or [`Error::Io`]; nothing is lost, the next step tries again.
    pub fn step(&mut self, own: Option<&Arc<Segment>>, deadline: Instant) -> Result<Step> {
        if let Some(pause) = self.given_back.and_then(|since| TURN.checked_sub(since.elapsed())) {
            std::thread::sleep(pause);
        }
        let path = self.directory.lock();
        let lock = disk::in_folder(&path, |path| FileLock::acquire(path, deadline))?;
        let done = self.step_with(own, &lock);
        if done.is_err() {
            // The next one begins with a new list.
            self.pass.clear();
        }
        drop(lock);
        self.given_back = self.has_others.then(Instant::now);
        // When nobody waits for a ping any more.
        self.state.drop_cleared();
        done
    }

    fn step_with(&mut self, own: Option<&Arc<Segment>>, lock: &FileLock) -> Result<Step> {
        self.load(lock)?;
        if let Stored::Unfinished(attempt) = self.stored {
            self.carry_out(attempt, own)?;
        }
        let listing = self.directory.list()?;
        let mut step = Step::default();
        self.has_others = listing.processes().any(|process| process != self.process);
        let mut left = listing.logs();
        if self.pass.is_empty() {
            let mut logs = left.clone();
            if let Some(log) = own.filter(|own| !listing.has(own.name())).and_then(|own| LogFile::named(own.name())) {
                logs.push(log);
                sort::by(&mut logs, LogFile::cmp);
            }
            self.pass = logs.into();
        }
        let mut budget = Budget { end: Instant::now() + STEP_TIME, frames: 0 };
        let mut finished = Vec::new();
        while let Some(log) = self.pass.front().cloned() {
            match self.fold_log(&log, own, &listing, &mut budget, &mut step)? {
                Outcome::More => break,
                Outcome::Finished => finished.push(log),
                Outcome::Open => (),
            }
            self.pass.pop_front();
        }
        step.is_done = self.pass.is_empty();
        if self.damage.is_some() {
            // Found after the start of this process, which would have told it.
            let process = self.process.clone();
            self.with_machine(&process, |machine| machine.tell_damage());
        }
        let is_saved = |log: &LogFile| self.saved.get(&log.name) == self.header.folded.get(&log.name);
        let is_needed = !self.outgoing.is_empty() || self.unsaved_bytes > MAX_UNSAVED_BYTES;
        if is_needed || self.wish != Wish::None || !finished.iter().all(is_saved) {
            // Without the lock somebody else may be saving as well.
            if !lock.is_held(&self.directory.lock()) {
                return Err(Error::Locked { path: self.directory.lock() });
            }
            self.commit(&listing, own, lock)?;
        }
        if !finished.is_empty() {
            self.base.settle();
            let removed = self.remove(&finished);
            left.retain(|log| !removed.contains(&log.name));
        }
        if step.is_done {
            self.remove_locks(&listing, &left);
            let there: BTreeSet<&str> =
                sort::collect(left.iter().map(|log| log.process.as_str()).chain(listing.processes()));
            self.readers.retain(|process, _| *process == self.process || there.contains(process.as_str()));
        }
        let own_segments = left.into_iter().filter(|log| log.process == self.process).map(|log| log.name);
        step.own_segments = own_segments.collect();
        Ok(step)
    }

    /// Folds everything there is, step by step.
    ///
    /// # Errors
    ///
    /// That of the first step that fails.
    pub fn fold(&mut self, own: Option<&Arc<Segment>>, deadline: Instant) -> Result<Step> {
        loop {
            let step = self.step(own, deadline)?;
            if step.is_done {
                return Ok(step);
            }
        }
    }

    /// Reads the base if it isn't the one in memory.
    fn load(&mut self, lock: &FileLock) -> Result<()> {
        let is_first = self.stored == Stored::Unread;
        // What another process saved, and pings it made of it, is not in the memory of this one. The lock tells, whatever
        // became of the base.
        let is_newest = || !is_first && lock.number() == self.header.generation;
        if !is_first {
            match self.base.generation()? {
                Some(generation) if generation == self.header.generation => return Ok(()),
                None if is_newest() => {
                    // It was removed. Memory has it all.
                    self.ask_for_base();
                    return Ok(());
                }
                _ => (),
            }
        }
        let loaded = self.base.load()?;
        let is_same = loaded.header.generation != 0 && loaded.header.generation == self.header.generation;
        if !is_first && is_same || loaded.is_header_lost && is_newest() {
            // It was damaged after it was saved. Memory has it all.
            self.ask_for_base();
            return Ok(());
        }
        if let Some(damage) = loaded.damage {
            log_at!(Warn, "{}: {damage}", self.base.path().display());
            self.damage = Some(damage);
            self.ask_for_base();
        }
        let is_damaged = self.damage.is_some();
        self.state = loaded.state;
        self.header = loaded.header;
        self.saved.clone_from(&self.header.folded);
        // Who saved it may have died before it told the segments; and this process knows best of its own.
        self.noted = if loaded.is_done { self.saved.clone() } else { BTreeMap::new() };
        self.noted.retain(|name, _| LogFile::named(name).is_none_or(|log| log.process != self.process));
        self.unsaved_bytes = 0;
        if is_damaged {
            self.restore_client_id();
        }
        self.outgoing.clear();
        if loaded.is_header_lost {
            self.give_up_what_may_be_folded(!is_first)?;
        }
        self.stored = Stored::Unfinished(if loaded.is_published { Attempt::Published } else { Attempt::Again });
        if is_first {
            files::remove_unfinished(&self.data_dir);
        }
        Ok(())
    }

    /// Takes the client id from its file if the base lost it, or from the effect that was still to write that file: calls of
    /// former processes that are still to be folded need it.
    fn restore_client_id(&mut self) {
        let address = client_id::ADDRESS;
        if self.state.get(CLIENT_INFO_STORE, address).is_some() {
            return;
        }
        let in_effects = self.header.effects.iter().rev().find_map(|effect| match effect {
            Effect::WriteClientId(client_id) => Some(*client_id),
            _ => None,
        });
        if let Some(client_id) = in_effects.or_else(|| client_id::read_file(&self.data_dir).ok()) {
            self.state.set(CLIENT_INFO_STORE, address, Value::Uuid(client_id));
        }
    }

    fn with_machine(&mut self, process: &str, work: impl FnOnce(&mut Machine<'_>)) {
        let Some(reader) = self.readers.get_mut(process) else { return };
        let mut machine = Machine {
            state: &mut self.state,
            context: &mut reader.context,
            outgoing: &mut self.outgoing,
            data_dir: &self.data_dir,
            damage: &mut self.damage,
        };
        work(&mut machine);
    }

    fn note_damage(&mut self, log: &LogFile, damage: String) {
        log_at!(Warn, "{}: {damage}", self.directory.file(&log.name).display());
        self.damage = Some(damage);
        self.ask_for_base();
    }

    /// Saves a base with what is outgoing, and carries that out.
    fn commit(&mut self, listing: &Listing, own: Option<&Arc<Segment>>, lock: &FileLock) -> Result<()> {
        let mut header = self.header.clone();
        let is_gone = |name: &str| !listing.has(name) && own.is_none_or(|own| own.name() != name);
        let gone = header.folded.keys().filter(|name| is_gone(name)).count();
        let is_tight = self.wish == Wish::TightBase && self.outgoing.is_empty();
        // A power cut must not bring a file back whose calls the base has and nobody remembers.
        if (gone > MAX_GONE || gone > 0 && is_tight) && disk::sync_parent(&self.directory.base()) {
            header.folded.retain(|name, _| !is_gone(name));
        }
        header.effects = std::mem::take(&mut self.outgoing);
        let saved = if is_tight {
            self.base.save_tight(&mut header, &self.state)
        } else {
            self.base.save(&mut header, &self.state)
        };
        match saved {
            Ok(bytes) => self.base_bytes = bytes,
            Err(error) => {
                self.outgoing = header.effects;
                self.ask_for_base();
                return Err(error);
            }
        }
        if let Err(error) = lock.keep_number(header.generation) {
            log_at!(Debug, "{}: {error}", self.directory.lock().display());
        }
        self.saved.clone_from(&header.folded);
        self.unsaved_bytes = 0;
        self.header = header;
        self.wish = Wish::None;
        self.stored = Stored::Unfinished(Attempt::Again);
        self.carry_out(Attempt::First, own)
    }

    /// Writes into each segment how far the base has it now, if that is news: once everything is done that was folded. What
    /// keeps it from being written costs nothing as long as nobody removes the base; the next save tries again.
    fn note_folded(&mut self, own: Option<&Arc<Segment>>) {
        let lineage = self.header.lineage;
        let noted = std::mem::replace(&mut self.noted, self.saved.clone());
        for (name, &position) in self.saved.iter().filter(|(name, position)| noted.get(*name) != Some(*position)) {
            let note = Note { lineage, position };
            if let Some(own) = own.filter(|own| own.name() == name) {
                own.note(note);
                continue;
            }
            let path = self.directory.file(name);
            let written =
                SegmentFile::open(&path).and_then(|mut file| file.note(note).map_err(Error::io("write", &path)));
            match written {
                Err(error) if !error.is_not_found() => {
                    log_at!(Debug, "{error}");
                    self.noted.remove(name);
                }
                _ => (),
            }
        }
    }

    /// Carries out the effects of the base. Pings are visible before the disk has their files: the base has them, too.
    fn carry_out(&mut self, attempt: Attempt, own: Option<&Arc<Segment>>) -> Result<()> {
        if !self.header.effects.is_empty() {
            // A ping that was sent must not be made once more from the base before, with another document id.
            self.base.settle();
        }
        let published = files::carry_out(&self.data_dir, &self.header.effects, attempt)?;
        for (path, _) in &published {
            self.published.0 += 1;
            self.published.1 += fs::metadata(path).map_or(0, |data| data.len());
        }
        if !published.is_empty() {
            self.base.note(mark::PUBLISHED);
            self.stored = Stored::Unfinished(Attempt::Published);
            files::sync(&published)?;
        }
        self.note_folded(own);
        self.base.note(mark::DONE);
        self.header.effects.clear();
        self.stored = Stored::Current;
        Ok(())
    }

    /// Removes segments that the base has; returns the names of those that are gone.
    fn remove(&mut self, finished: &[LogFile]) -> BTreeSet<String> {
        let mut removed = BTreeSet::new();
        for log in finished {
            // Windows removes no file that is mapped or open. The next pass finds it again.
            if fs::remove_file(self.directory.file(&log.name)).is_ok() {
                removed.insert(log.name.clone());
            }
            let is_read = self.readers.get(&log.process).is_some_and(|reader| reader.segment == log.name);
            if is_read && log.process != self.process {
                self.readers.remove(&log.process);
            }
        }
        removed
    }

    /// Removes the locks of processes that are gone and left nothing, and segments that they had begun to make.
    fn remove_locks(&self, listing: &Listing, left: &[LogFile]) {
        for process in listing.processes().filter(|process| *process != self.process) {
            let path = self.directory.process_lock(process);
            if !left.iter().any(|log| log.process == process) {
                FileLock::remove_if_free(&path);
            }
        }
        for (name, process) in listing.unfinished().filter(|(_, process)| *process != self.process) {
            if FileLock::is_free(&self.directory.process_lock(process)).unwrap_or(false) {
                let _ = fs::remove_file(self.directory.file(name));
            }
        }
    }
}
