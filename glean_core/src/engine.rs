//! Folding: the journals of all processes become what is stored, and pings become files.
//!
//! Whoever holds the lock of the directory folds. It reads the base if another process replaced it, applies what every
//! journal holds behind the point the base says, and, if that made pings or used up a segment, saves a new base: what is
//! stored, how far each segment is folded, and what is left to do in other folders. That the new base counts is the
//! moment in which values leave a journal and a ping comes to be, so no death of a process can take or double either.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::journal::frame::{self, Found};
use crate::journal::op::Op;
use crate::journal::segment::{self, Segment};
use crate::logging::log_at;
use crate::machine::context::{Context, Settings};
use crate::machine::{Machine, client_id};
use crate::ping::files::{self, Attempt};
use crate::store::base::{BaseFile, Effect, Header, Position, Unsynced, mark};
use crate::store::directory::{self, Directory, LogFile};
use crate::store::lock::FileLock;
use crate::store::{CLIENT_INFO_STORE, State, Value};

/// How long another process may hold the directory before this one tries again later.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// How large the pings of one save may be together to lie in the base until their files are synced. Larger ones are written
/// and synced before it.
const MAX_CARRIED_BYTES: usize = 256 << 10;
/// Marks a segment whose rest was given up.
const GIVEN_UP: Position = Position { offset: u64::MAX, counted: 0, previous: 0 };
/// Where a segment begins.
const START: Position = Position { offset: segment::MAGIC.len() as u64, counted: 0, previous: 0 };

/// The context of one process, valid at one point of one of its segments.
#[derive(Debug)]
struct Reader {
    segment: String,
    position: Position,
    context: Context,
}

/// What a segment is read from.
enum Source<'a> {
    /// One that is mapped here, because it may be growing.
    Mapped(&'a Segment),
    /// The file of a process that is gone.
    Bytes(&'a [u8]),
}

impl Source<'_> {
    fn read(&self, offset: usize, previous: u64) -> Found<'_> {
        match self {
            Source::Mapped(segment) => segment.read(offset, previous),
            Source::Bytes(bytes) => frame::read_after(bytes, offset, previous),
        }
    }

    fn has_magic(&self) -> bool {
        match self {
            Source::Mapped(segment) => segment.has_magic(),
            Source::Bytes(bytes) => bytes.starts_with(segment::MAGIC),
        }
    }

    /// Returns how many bytes behind `offset` are lost, if what is there is no clean end.
    fn lost_from(&self, position: Position) -> Option<usize> {
        let offset = position.offset as usize;
        match self {
            Source::Mapped(segment) => (segment.read(offset, position.previous) == Found::Damage)
                .then(|| segment.size_bytes().saturating_sub(offset)),
            // What is cut off of the padding is no loss.
            Source::Bytes(bytes) if position != START && bytes.len().next_multiple_of(8) < offset => {
                Some(offset - bytes.len())
            }
            Source::Bytes(bytes) => {
                // A process that died while it made the file leaves zeros.
                let is_unknown = !self.has_magic() && bytes.iter().any(|byte| *byte != 0);
                let is_damaged = is_unknown || frame::is_damaged_from(bytes, offset, position.previous);
                let end = bytes.iter().rposition(|byte| *byte != 0).map_or(offset, |last| last + 1);
                is_damaged.then(|| end.saturating_sub(offset))
            }
        }
    }
}

/// Folds one data directory.
#[derive(Debug)]
pub struct Engine {
    data_dir: PathBuf,
    directory: Directory,
    base: BaseFile,
    process: String,
    state: State,
    header: Header,
    is_loaded: bool,
    readers: BTreeMap<String, Reader>,
    /// The context of this process from before the base was replaced: it has what no journal tells.
    kept: Option<Context>,
    outgoing: Vec<Effect>,
    /// Whether a base has to be saved although there is nothing outgoing.
    needs_base: bool,
    /// Whether the next base goes to the smallest file that holds it.
    is_tight: bool,
    /// How far each segment is in the base that was saved last.
    saved: BTreeMap<String, Position>,
    /// The size of the base that was saved last.
    base_bytes: usize,
    /// Whether effects of the saved base are still to be carried out, and what is known of them.
    effects: Option<Attempt>,
    /// Folded segments of this process whose files could not be removed yet.
    leftover: Vec<LogFile>,
    damage: Option<String>,
    /// How many pings were published since somebody asked, and how many bytes.
    published: (u64, u64),
}

/// What a fold left behind.
#[derive(Debug, Default)]
pub struct Folded {
    /// Own segments whose files are gone.
    pub removed: Vec<String>,
}

impl Engine {
    /// Makes an engine; nothing is read before the first [`Engine::fold`].
    pub fn new(data_dir: &Path, process: &str) -> Engine {
        let directory = Directory::new(data_dir);
        Engine {
            data_dir: data_dir.to_path_buf(),
            base: BaseFile::new(directory.base()),
            directory,
            process: process.to_owned(),
            state: State::default(),
            header: Header::default(),
            is_loaded: false,
            readers: BTreeMap::new(),
            kept: None,
            outgoing: Vec::new(),
            needs_base: false,
            is_tight: false,
            saved: BTreeMap::new(),
            base_bytes: 0,
            effects: None,
            leftover: Vec::new(),
            damage: None,
            published: (0, 0),
        }
    }

    /// Returns how many pings were published since the last call, and how many bytes they have.
    pub fn take_published(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.published)
    }

    /// Returns what is stored, as of the last fold.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns the context of this process, as of the last fold.
    pub fn context(&self) -> Option<&Context> {
        self.readers.get(&self.process).map(|reader| &reader.context)
    }

    /// Folds everything there is. `own` are the segments of this process, the one that is written last.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Locked`] or [`crate::Error::Io`]; nothing is lost, the next fold tries again.
    pub fn fold(&mut self, own: &[Arc<Segment>]) -> Result<Folded> {
        let folded = self.fold_now(own);
        // When nobody waits for a ping any more.
        self.state.drop_cleared();
        folded
    }

    fn fold_now(&mut self, own: &[Arc<Segment>]) -> Result<Folded> {
        let _lock = match FileLock::acquire(&self.directory.lock(), LOCK_PATIENCE) {
            // Somebody removed the folder.
            Err(crate::Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                self.directory.create()?;
                FileLock::acquire(&self.directory.lock(), LOCK_PATIENCE)?
            }
            lock => lock?,
        };
        self.load()?;
        if let Some(attempt) = self.effects {
            self.carry_out(attempt)?;
        }
        let names = self.directory.names();
        let finished = self.fold_all(own, &names);
        if self.damage.is_some() {
            // Found after the start of this process, which would have told it.
            let process = self.process.clone();
            self.with_machine(&process, |machine| machine.tell_damage());
        }
        if self.outgoing.is_empty() && !self.needs_base && finished.is_empty() {
            return Ok(Folded::default());
        }
        self.commit(&names)?;
        if !finished.is_empty() {
            self.base.settle();
        }
        Ok(Folded { removed: self.remove(&finished) })
    }

    /// Returns the last segment of this process, and how much of it is in the saved base.
    ///
    /// A count that may still grow is behind that point, even if it was folded.
    pub fn folded_bytes(&self) -> (String, u64) {
        let last = self.saved.iter().rfind(|(name, _)| name.starts_with(&self.process));
        last.map_or_else(Default::default, |(name, position)| {
            (name.clone(), if position.counted == 0 { position.offset } else { 0 })
        })
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
        self.context().map_or(0, |context| crate::events::to_full(&self.state, context))
    }

    /// Saves a base with the next fold, so that the journals can go.
    pub fn ask_for_base(&mut self) {
        self.needs_base = true;
    }

    /// Saves a base with the next fold, in the smallest file that holds it.
    pub fn ask_for_tight_base(&mut self) {
        self.needs_base = true;
        self.is_tight = true;
    }

    /// Tells whether the file of the base is much larger than it has to be.
    pub fn is_roomy(&self) -> bool {
        self.base.is_roomy(self.base_bytes)
    }

    /// Reads the base if it isn't the one in memory.
    fn load(&mut self) -> Result<()> {
        if self.is_loaded {
            match self.base.generation()? {
                Some(generation) if generation == self.header.generation => return Ok(()),
                None if self.header.generation != 0 => {
                    // It was removed. Memory has it all.
                    self.needs_base = true;
                    return Ok(());
                }
                _ => (),
            }
        }
        let loaded = self.base.load()?;
        if self.is_loaded && (loaded.is_header_lost || loaded.header.generation == self.header.generation) {
            // It was damaged after it was saved. Memory has it all.
            self.needs_base = true;
            return Ok(());
        }
        if let Some(damage) = loaded.damage {
            log_at!(Warn, "{}: {damage}", self.base.path().display());
            self.damage = Some(damage);
            self.needs_base = true;
        }
        let is_damaged = self.damage.is_some();
        self.state = loaded.state;
        self.header = loaded.header;
        if is_damaged {
            self.restore_client_id();
        }
        self.kept = self.readers.remove(&self.process).map(|reader| reader.context).or(self.kept.take());
        self.readers.clear();
        self.outgoing.clear();
        if loaded.is_header_lost {
            self.give_up_what_may_be_folded();
        }
        self.effects = Some(if loaded.is_published { Attempt::Published } else { Attempt::Again });
        if !self.is_loaded {
            files::remove_unfinished(&self.data_dir, &self.header.effects);
        }
        self.is_loaded = true;
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

    /// Passes over all calls of other processes so far: counting none twice comes first.
    fn give_up_what_may_be_folded(&mut self) {
        for log in self.directory.logs() {
            if log.process == self.process {
                continue;
            }
            let mut position = START;
            if let Ok(segment) = Segment::open(&self.directory.file(&log.name)) {
                loop {
                    let found = segment.read(position.offset as usize, position.previous);
                    let end = position.offset as usize + found.size();
                    match found {
                        Found::Counted(_, count) if segment.read(end, count) == Found::End => {
                            position.counted = count;
                            break;
                        }
                        Found::Payload(_) | Found::Counted(..) => {
                            position = Position { offset: end as u64, counted: 0, previous: found.count() };
                        }
                        Found::End | Found::Damage => break,
                    }
                }
            }
            self.header.folded.insert(log.name, position);
        }
    }

    /// Folds the segments of all processes; returns those that are finished.
    ///
    /// The oldest process comes first, so that a forked child finds what the start of its parent made.
    fn fold_all(&mut self, own: &[Arc<Segment>], names: &[String]) -> Vec<LogFile> {
        let logs: Vec<LogFile> =
            directory::logs_of(names).into_iter().filter(|log| log.process != self.process).collect();
        let mut finished = Vec::new();
        let mut has_own = false;
        let mut locks: BTreeMap<String, Option<FileLock>> = BTreeMap::new();
        for (index, log) in logs.iter().enumerate() {
            if !has_own && log.process > self.process {
                finished.extend(self.fold_own(own));
                has_own = true;
            }
            let lock = locks
                .entry(log.process.clone())
                .or_insert_with(|| FileLock::try_acquire(&self.directory.process_lock(&log.process)).ok().flatten());
            let is_dead = lock.is_some();
            let path = self.directory.file(&log.name);
            let outcome = if is_dead {
                fs::read(&path)
                    .map(|bytes| self.fold_segment(log, &Source::Bytes(&bytes), true))
                    .map_err(|error| crate::Error::io("read", &path)(error))
            } else {
                let is_over = logs.get(index + 1).is_some_and(|next| next.process == log.process);
                Segment::open(&path).map(|segment| self.fold_segment(log, &Source::Mapped(&segment), is_over))
            };
            if let Err(error) = outcome {
                log_at!(Warn, "{error}");
                continue;
            }
            // One that lives removes its segments itself: until then it would take a missing entry for "not folded".
            if is_dead {
                finished.push(log.clone());
            }
        }
        if !has_own {
            finished.extend(self.fold_own(own));
        }
        for process in self.directory.processes_of(names) {
            // One that died before it made a segment.
            if process != self.process && !locks.contains_key(&process) {
                let lock = FileLock::try_acquire_existing(&self.directory.process_lock(&process)).ok().flatten();
                locks.insert(process, lock);
            }
        }
        for (process, lock) in locks {
            if let Some(lock) = lock {
                let _ = fs::remove_file(self.directory.spare(&process));
                lock.remove(&self.directory.process_lock(&process));
            }
        }
        finished
    }

    /// Folds the segments of this process; returns those that are finished.
    fn fold_own(&mut self, own: &[Arc<Segment>]) -> Vec<LogFile> {
        let mut finished = Vec::new();
        for (index, segment) in own.iter().enumerate().filter(|(_, segment)| !segment.is_nowhere()) {
            let name = segment.path().file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let log = LogFile { process: self.process.clone(), serial: 0, name };
            let is_over = index + 1 < own.len();
            self.fold_segment(&log, &Source::Mapped(segment), is_over);
            if is_over {
                finished.push(log);
            }
        }
        finished
    }

    /// Folds what a segment holds behind its position. `is_over` tells that nothing is appended to it any more.
    fn fold_segment(&mut self, log: &LogFile, source: &Source<'_>, is_over: bool) {
        let mut position = self.position(log, source);
        if position == GIVEN_UP {
            return;
        }
        if source.has_magic() {
            self.with_machine(&log.process, |machine| fold_frames(machine, source, &mut position, is_over));
        }
        if let Some(lost) = source.lost_from(position) {
            self.note_damage(log, lost);
            position = GIVEN_UP;
        }
        if let Some(reader) = self.readers.get_mut(&log.process) {
            reader.position = position;
        }
        self.header.folded.insert(log.name.clone(), position);
    }

    /// Returns where to go on in a segment, with the context of its process as of there.
    fn position(&mut self, log: &LogFile, source: &Source<'_>) -> Position {
        let position = self.header.folded.get(&log.name).copied().unwrap_or(START);
        if position == GIVEN_UP {
            return position;
        }
        match self.readers.get_mut(&log.process) {
            Some(reader) if reader.segment == log.name && reader.position == position => (),
            Some(reader) if position == START => {
                // The context of the former segment goes on; the first frame of this one repeats it.
                log.name.clone_into(&mut reader.segment);
                reader.position = position;
            }
            _ => {
                let context = Context::new(log.process.clone(), Settings::default(), crate::journal::op::Moment::now());
                self.readers.insert(log.process.clone(), Reader { segment: log.name.clone(), position, context });
                let kept = if log.process == self.process { self.kept.take() } else { None };
                let mut is_known = position == START;
                self.with_machine(&log.process, |machine| {
                    let mut offset = START.offset as usize;
                    let mut previous = 0;
                    while offset < position.offset as usize {
                        let found = source.read(offset, previous);
                        previous = found.count();
                        match found {
                            Found::Payload(payload) => {
                                if let Ok(op) = postcard::from_bytes::<Op<'_>>(payload) {
                                    machine.context.observe(&op);
                                }
                            }
                            Found::Counted(..) => (),
                            Found::End | Found::Damage => break,
                        }
                        offset += found.size();
                        is_known = offset >= position.offset as usize;
                    }
                    if let Some(kept) = kept {
                        machine.context.submissions = kept.submissions;
                        machine.context.is_client_active = kept.is_client_active;
                    }
                });
                if !is_known {
                    // What the numbers in the rest stand for is lost with what was damaged.
                    self.note_damage(log, source.lost_from(position).unwrap_or(0));
                    self.header.folded.insert(log.name.clone(), GIVEN_UP);
                    return GIVEN_UP;
                }
            }
        }
        position
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

    fn note_damage(&mut self, log: &LogFile, bytes: usize) {
        let damage = format!("a journal was damaged: {bytes} bytes of calls are lost");
        log_at!(Warn, "{}: {damage}", self.directory.file(&log.name).display());
        self.damage = Some(damage);
        self.needs_base = true;
    }

    /// Saves a base with what is outgoing, and carries that out. `names` are the files of the directory.
    fn commit(&mut self, names: &[String]) -> Result<()> {
        let mut header = self.header.clone();
        // Another process may have removed its segments. An empty list is that of a folder that could not be read, for want
        // of a descriptor perhaps.
        if !names.is_empty() {
            header.folded.retain(|name, _| names.contains(name) || name.starts_with(&self.process));
        }
        header.effects = std::mem::take(&mut self.outgoing);
        match self.save(&mut header) {
            Ok(bytes) => self.base_bytes = bytes,
            Err(error) => {
                self.outgoing = header.effects;
                self.needs_base = true;
                return Err(error);
            }
        }
        self.saved.clone_from(&header.folded);
        self.header = header;
        self.needs_base = false;
        self.is_tight = false;
        self.effects = Some(Attempt::Again);
        let outcome = self.carry_out(Attempt::First);
        if outcome.is_err() && self.effects == Some(Attempt::Again) {
            self.base.note(mark::SAVED);
        }
        outcome
    }

    fn save(&mut self, header: &mut Header) -> Result<usize> {
        if self.is_tight && header.effects.is_empty() {
            return self.base.save_tight(header, &self.state);
        }
        let bytes = |effect: &Effect| match effect {
            Effect::Publish { content: Some(content), .. } => content.len(),
            _ => 0,
        };
        let are_large = header.effects.iter().map(bytes).sum::<usize>() > MAX_CARRIED_BYTES;
        // All of them or none: the files of pings are as old as the pings.
        let mut large = Vec::new();
        for (index, effect) in header.effects.iter_mut().enumerate().filter(|_| are_large) {
            if let Effect::Publish { document_id, content, .. } = effect {
                large.extend(content.take().map(|text| (index, document_id.clone(), text)));
            }
        }
        let write = |(_, document_id, text): &(usize, String, String)| {
            files::write(&self.data_dir, document_id, text.as_bytes())
        };
        let files: Result<Vec<Unsynced>> = large.iter().map(write).collect();
        let saved = files.and_then(|files| self.base.save(header, &self.state, files));
        if saved.is_err() {
            // The next save writes them again.
            for (index, _, text) in large {
                if let Effect::Publish { content, .. } = &mut header.effects[index] {
                    *content = Some(text);
                }
            }
        }
        saved
    }

    /// Carries out the effects of the base. Pings are visible before the first wait for the disk: the base has them, too.
    fn carry_out(&mut self, attempt: Attempt) -> Result<()> {
        let published = files::carry_out(&self.data_dir, &self.header.effects, attempt)?;
        for (path, _) in &published {
            self.published.0 += 1;
            self.published.1 += fs::metadata(path).map_or(0, |data| data.len());
        }
        if !published.is_empty() {
            self.base.note(mark::PUBLISHED);
            self.effects = Some(Attempt::Published);
            files::sync(&published)?;
        }
        self.base.note(mark::DONE);
        self.header.effects.clear();
        self.effects = None;
        Ok(())
    }

    /// Removes segments that are folded for good; returns the names of the own ones.
    fn remove(&mut self, finished: &[LogFile]) -> Vec<String> {
        let own: Vec<String> =
            finished.iter().filter(|log| log.process == self.process).map(|log| log.name.clone()).collect();
        for log in std::mem::take(&mut self.leftover).into_iter().chain(finished.iter().cloned()) {
            match fs::remove_file(self.directory.file(&log.name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    // Windows removes no file that is mapped. It won't be any more once its process forgets it.
                    if log.process == self.process {
                        self.leftover.push(log);
                    }
                }
                _ => {
                    self.header.folded.remove(&log.name);
                    // That of this process goes on with its next segment.
                    let is_read = self.readers.get(&log.process).is_some_and(|reader| reader.segment == log.name);
                    if is_read && log.process != self.process {
                        self.readers.remove(&log.process);
                    }
                }
            }
        }
        own
    }
}

/// Applies the frames from `position` on, and moves it behind them.
fn fold_frames(machine: &mut Machine<'_>, source: &Source<'_>, position: &mut Position, is_over: bool) {
    loop {
        let offset = position.offset as usize;
        let mut found = source.read(offset, position.previous);
        let end = offset + found.size();
        match found {
            Found::Payload(payload) => apply(machine, payload),
            Found::Counted(payload, _) => {
                // Once a frame follows, the count has its last value: so that is looked at first.
                let is_final = is_over || source.read(end, 0) != Found::End;
                found = source.read(offset, position.previous);
                let Found::Counted(_, count) = found else { return };
                if let Ok(op) = postcard::from_bytes::<Op<'_>>(payload) {
                    machine.apply_count(&op, count.saturating_sub(position.counted));
                }
                if !is_final {
                    position.counted = count;
                    return;
                }
            }
            Found::End | Found::Damage => return,
        }
        *position = Position { offset: end as u64, counted: 0, previous: found.count() };
    }
}

fn apply(machine: &mut Machine<'_>, payload: &[u8]) {
    match postcard::from_bytes::<Op<'_>>(payload) {
        // A call that cannot be carried out must not keep all the others from it, now and at every later start.
        Ok(op) => {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| machine.apply(op)));
            if outcome.is_err() {
                log_at!(Error, "error inside Glean, please report it: a call could not be carried out");
            }
        }
        Err(error) => log_at!(Error, "an unreadable call was dropped: {error}"),
    }
}
