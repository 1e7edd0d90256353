//! Reading the segments of all processes.

use std::sync::Arc;

use super::{Budget, Engine, Reader, Step};
use crate::error::{Error, Result};
use crate::journal::file::{Kind, SegmentFile};
use crate::journal::folded::{Note, Position};
use crate::journal::frame::{self, Found, SEAL, SEALED_COUNT, Source};
use crate::journal::segment::Segment;
use crate::logging::log_at;
use crate::machine::Machine;
use crate::machine::context::{Context, Settings};
use crate::machine::op::{Moment, Op};
use crate::store::directory::{Listing, LogFile};
use crate::store::lock::FileLock;

/// How far behind the last frame somebody looks for frames that lost their beginning.
const LOST_BYTES: usize = 1 << 20;

/// What is left of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The step has to end; it goes on from here.
    More,
    /// Something may still be appended.
    Open,
    /// Nothing: it can be removed once the base has it.
    Finished,
}

/// Why frames are not read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Budget,
    /// There is none at this offset; the count of the one before it, which may still grow, is there.
    End(usize, Option<usize>),
    Sealed,
    Damage,
}

impl Engine {
    /// Folds what a segment holds behind its position.
    pub(super) fn fold_log(
        &mut self,
        log: &LogFile,
        own: Option<&Arc<Segment>>,
        listing: &Listing,
        budget: &mut Budget,
        step: &mut Step,
    ) -> Result<Outcome> {
        match own.filter(|own| own.name() == log.name) {
            Some(own) => Ok(self.fold_own(log, own, listing.has(&log.name), budget, step)),
            None => self.fold_file(log, own, budget),
        }
    }

    /// Folds the segment that this process writes. Its memory is there whatever became of the file.
    fn fold_own(
        &mut self,
        log: &LogFile,
        own: &Segment,
        is_listed: bool,
        budget: &mut Budget,
        step: &mut Step,
    ) -> Outcome {
        if !is_listed && !self.header.folded.contains_key(&log.name) {
            // The file is gone, and a base forgets such files: nobody knows how much of it others folded before. Counting none
            // twice comes first.
            self.header.folded.insert(log.name.clone(), Position::GIVEN_UP);
        }
        let mut source = own;
        let stop = self.fold_frames(log, &mut source, budget);
        match stop {
            Stop::Budget => return Outcome::More,
            Stop::Damage => {
                if self.header.folded.get(&log.name) != Some(&Position::GIVEN_UP) {
                    self.give_up(log, own.size_bytes() as u64);
                }
                step.lost_segment = Some(log.name.clone());
            }
            Stop::End(..) | Stop::Sealed if !is_listed => step.lost_segment = Some(log.name.clone()),
            Stop::End(..) | Stop::Sealed => (),
        }
        Outcome::Open
    }

    /// Folds a segment that another process writes, or that nobody writes any more.
    fn fold_file(&mut self, log: &LogFile, own: Option<&Arc<Segment>>, budget: &mut Budget) -> Result<Outcome> {
        let newest = own.filter(|_| log.process == self.process).and_then(|own| LogFile::named(own.name()));
        if newest.as_ref().is_some_and(|newest| newest < log) && !self.header.folded.contains_key(&log.name) {
            // Made in advance.
            return Ok(Outcome::Open);
        }
        let path = self.directory.file(&log.name);
        let mut file = match SegmentFile::open(&path) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(Outcome::Open),
            Err(error) => return leave_alone(error),
        };
        // Its writer sealed it.
        if newest.is_some_and(|newest| newest > *log) {
            file.set_final();
        }
        let is_given_up = self.header.folded.get(&log.name) == Some(&Position::GIVEN_UP);
        let kind = file.kind();
        let is_empty = kind == Kind::Unfinished && is_empty(&mut file);
        if let Some(error) = file.take_error() {
            return leave_alone(Error::io("read", &path)(error));
        }
        match kind {
            Kind::Segment => (),
            Kind::OtherVersion => {
                if self.left_alone.insert(log.name.clone()) {
                    self.note_damage(log, "a journal of another version of Glean is left as it is".to_owned());
                }
                return Ok(Outcome::Open);
            }
            Kind::Unfinished if is_empty => {
                return Ok(if self.is_gone(log) { Outcome::Finished } else { Outcome::Open });
            }
            Kind::Unfinished | Kind::Unknown => {
                if !is_given_up {
                    self.give_up(log, file.length());
                }
                return Ok(if self.is_gone(log) { Outcome::Finished } else { Outcome::Open });
            }
        }
        // The one that is written is read from its start again by whoever went on to one that is made in advance.
        let is_begun = self.header.folded.get(&log.name).is_some_and(|position| *position != Position::START)
            || file.word(Position::START.offset as usize) != 0;
        if !is_begun && file.take_error().is_none() && !self.is_gone(log) {
            return Ok(Outcome::Open);
        }
        loop {
            let stop = self.fold_frames(log, &mut file, budget);
            if let Some(error) = file.take_error() {
                return leave_alone(Error::io("read", &path)(error));
            }
            let (end, count) = match stop {
                Stop::Budget => return Ok(Outcome::More),
                Stop::Sealed => return Ok(Outcome::Finished),
                Stop::Damage => {
                    if self.header.folded.get(&log.name) != Some(&Position::GIVEN_UP) {
                        let end = self.header.folded.get(&log.name).map_or(0, |position| position.offset);
                        self.give_up(log, file.length().saturating_sub(end));
                    }
                    return Ok(if self.is_gone(log) { Outcome::Finished } else { Outcome::Open });
                }
                Stop::End(end, count) => (end, count),
            };
            if !self.is_gone(log) {
                return Ok(Outcome::Open);
            }
            // Whoever wrote it, nothing is appended behind the seal. If it lives after all, it goes on in another file.
            match file.seal(end, count) {
                Ok(false) => (),
                Ok(true) => {
                    file.refresh();
                    let length = usize::try_from(file.length()).unwrap_or(usize::MAX);
                    // The count has its last value now.
                    let stop = if count.is_some() { self.fold_frames(log, &mut file, budget) } else { Stop::Sealed };
                    if stop == Stop::Budget {
                        return Ok(Outcome::More);
                    }
                    let lost_from = end + frame::HEADER_BYTES;
                    let limit = length.min(end.saturating_add(LOST_BYTES));
                    // What is cut off of the padding is no loss.
                    let is_cut = end > length.next_multiple_of(frame::HEADER_BYTES) || file.has_rest_behind(end);
                    let is_damaged = is_cut || lost_from < limit && frame::is_damaged_from(&mut file, end, 0, limit);
                    if let Some(error) = file.take_error() {
                        return leave_alone(Error::io("read", &path)(error));
                    }
                    if is_damaged {
                        self.give_up(log, (length.saturating_sub(end)) as u64);
                    }
                    return Ok(Outcome::Finished);
                }
                Err(error) => return leave_alone(Error::io("seal", &path)(error)),
            }
        }
    }

    /// Tells whether the process of a segment is gone, as far as somebody can tell. This one seals its own segments itself.
    fn is_gone(&self, log: &LogFile) -> bool {
        let path = self.directory.process_lock(&log.process);
        log.process != self.process && FileLock::is_free(&path).unwrap_or(false)
    }

    fn give_up(&mut self, log: &LogFile, bytes: u64) {
        self.note_damage(log, format!("a journal was damaged: {bytes} bytes of calls are lost"));
        self.header.folded.insert(log.name.clone(), Position::GIVEN_UP);
    }

    /// Applies the frames behind the position of a segment, and moves it behind them.
    fn fold_frames(&mut self, log: &LogFile, source: &mut impl Source, budget: &mut Budget) -> Stop {
        let Some(mut position) = self.position(log, source) else { return Stop::Damage };
        let start = position.offset;
        let mut stop = Stop::Budget;
        self.with_machine(&log.process, |machine| stop = apply_frames(machine, source, &mut position, budget));
        if let Some(reader) = self.readers.get_mut(&log.process) {
            reader.position = position;
        }
        self.unsaved_bytes += position.offset - start;
        self.header.folded.insert(log.name.clone(), position);
        stop
    }

    /// Returns where to go on in a segment, with the context of its process as of there; `None` if it was given up or cannot
    /// be read.
    fn position(&mut self, log: &LogFile, source: &mut impl Source) -> Option<Position> {
        let position = match self.header.folded.get(&log.name) {
            Some(position) => *position,
            None => {
                let position = Note::read(source).for_base(self.header.lineage);
                if source.has_failed() {
                    return None;
                }
                if position != Position::START {
                    // The start of its process, which would have read the file of the client id, is behind it.
                    self.restore_client_id();
                }
                position
            }
        };
        if position == Position::GIVEN_UP {
            return None;
        }
        match self.readers.get_mut(&log.process) {
            Some(reader) if reader.segment == log.name && reader.position == position => return Some(position),
            Some(reader) if position == Position::START => {
                // The context of the former segment goes on; the first frame of this one repeats it.
                log.name.clone_into(&mut reader.segment);
                reader.position = position;
                return Some(position);
            }
            _ => (),
        }
        // Somebody else folded on from where this process was, or it begins anew.
        let (mut context, mut offset, mut previous) = match self.readers.remove(&log.process) {
            Some(reader) if reader.segment == log.name && reader.position.offset <= position.offset => {
                (reader.context, reader.position.offset as usize, reader.position.previous)
            }
            former => {
                let mut context = Context::new(log.process.clone(), Settings::default(), Moment::now());
                if let Some(former) = former {
                    // What no journal tells.
                    context.submissions = former.context.submissions;
                    context.is_client_active = former.context.is_client_active;
                }
                (context, Position::START.offset as usize, 0)
            }
        };
        while offset < position.offset as usize {
            let found = find(source, offset, previous);
            if let Found::Payload(length) = found {
                let payload = source.payload(offset + frame::HEADER_BYTES, length);
                if let Some(Ok(op)) = payload.map(postcard::from_bytes::<Op<'_>>) {
                    context.observe(&op);
                }
            }
            if source.has_failed() {
                let position = Position { offset: offset as u64, counted: 0, previous };
                self.readers.insert(log.process.clone(), Reader { segment: log.name.clone(), position, context });
                return None;
            }
            if found.size() == 0 {
                // What the numbers in the rest stand for is lost with what was damaged.
                self.give_up(log, position.offset - offset as u64);
                return None;
            }
            (offset, previous) = (offset + found.size(), found.count());
        }
        self.readers.insert(log.process.clone(), Reader { segment: log.name.clone(), position, context });
        Some(position)
    }

    /// Passes over all calls so far, of this process only `with_own`: counting none twice comes first.
    pub(super) fn give_up_what_may_be_folded(&mut self, with_own: bool) -> Result<()> {
        let is_passed_over = |log: &LogFile| with_own || log.process != self.process;
        for log in self.directory.list()?.logs().into_iter().filter(is_passed_over) {
            let Ok(mut file) = SegmentFile::open(&self.directory.file(&log.name)) else { continue };
            let mut position = Position::START;
            loop {
                let found = find(&mut file, position.offset as usize, position.previous);
                let (size, count) = (found.size(), found.count());
                let end = position.offset + size as u64;
                if size == 0 {
                    break;
                }
                if count > 0 && file.word(end as usize) == 0 {
                    position.counted = count;
                    break;
                }
                position = Position { offset: end, counted: 0, previous: count };
            }
            if file.has_failed() {
                position = Position::GIVEN_UP;
            }
            self.header.folded.insert(log.name, position);
        }
        Ok(())
    }
}

/// What keeps a journal from being read keeps nobody from the others; but descriptors come back soon.
fn leave_alone(error: Error) -> Result<Outcome> {
    if error.is_transient() {
        return Err(error);
    }
    log_at!(Warn, "a journal is left alone: {error}");
    Ok(Outcome::Open)
}

/// Looks for a frame. What looks like damage is looked at twice: the file may have been written in between.
fn find(source: &mut impl Source, offset: usize, previous: u64) -> Found {
    let found = frame::find(source, offset, previous);
    if found != Found::Damage {
        return found;
    }
    source.refresh();
    frame::find(source, offset, previous)
}

/// Tells whether a file holds nothing but zeros, as far as somebody looks.
fn is_empty(file: &mut SegmentFile) -> bool {
    let end = usize::try_from(file.length()).unwrap_or(usize::MAX).min(LOST_BYTES);
    (0..end).step_by(frame::HEADER_BYTES).all(|offset| file.word(offset) == 0)
}

/// Applies the frames from `position` on, and moves it behind them.
fn apply_frames(
    machine: &mut Machine<'_>,
    source: &mut impl Source,
    position: &mut Position,
    budget: &mut Budget,
) -> Stop {
    loop {
        let offset = position.offset as usize;
        let found = find(source, offset, position.previous);
        let end = offset + found.size();
        match found {
            Found::Payload(length) => {
                let Some(payload) = source.payload(offset + frame::HEADER_BYTES, length) else { return Stop::Damage };
                apply(machine, payload);
                *position = Position { offset: end as u64, counted: 0, previous: 0 };
            }
            Found::Counted(length, count) => {
                let place = end - frame::HEADER_BYTES;
                // Once a frame follows, or it is sealed, the count has its last value: so that is looked at first.
                let is_final = match source.word(end) {
                    0 => false,
                    SEAL => source.fresh_word(place) & SEALED_COUNT != 0,
                    _ => true,
                };
                let count = if is_final { frame::read_count(source.fresh_word(place)) } else { Some(count) };
                let Some(count) = count.filter(|_| !source.has_failed()) else { return Stop::Damage };
                let Some(payload) = source.payload(offset + frame::HEADER_BYTES, length) else { return Stop::Damage };
                if let Ok(op) = postcard::from_bytes::<Op<'_>>(payload) {
                    machine.apply_count(&op, count.saturating_sub(position.counted));
                }
                if !is_final {
                    position.counted = count;
                    return Stop::End(end, Some(place));
                }
                *position = Position { offset: end as u64, counted: 0, previous: count };
            }
            Found::End => return Stop::End(offset, None),
            Found::Sealed => return Stop::Sealed,
            Found::Damage => return Stop::Damage,
        }
        if !budget.takes(machine.outgoing) {
            return Stop::Budget;
        }
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
