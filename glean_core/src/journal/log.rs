//! What the calls of a process are appended to.
//!
//! A log does nothing but store into memory: nothing in here opens, makes, renames or removes a file, so it can be used under
//! a lock that every call takes. Whoever owns the log makes the files it asks for ([`Log::wanted`]) and hands them over
//! ([`Log::install`]).
//!
//! | state | calls go to | next state |
//! | --- | --- | --- |
//! | `Waiting` | memory, until Glean starts | `start`: `Running` without a segment |
//! | `Running`, a segment | the segment; each survives the process | no room, or sealed: the next segment, if it was made in advance, or memory |
//! | `Running`, memory | memory, until a segment takes what is there | `install`: a segment |
//! | `Off` | nowhere | `reset`: `Waiting` |

use std::sync::Arc;

use serde::Serialize;

use super::frame;
use super::segment::{Pushed, Segment, Tail};

/// How many calls wait for the start; later ones are dropped and counted.
///
/// cbindgen:ignore
pub const MAX_WAITING: u64 = 1_000_000;
/// How large they may be together.
const MAX_WAITING_BYTES: usize = 256 << 20;
/// How large the calls may be together that wait for a file.
const MAX_DELAYED_BYTES: usize = 1 << 20;
/// The size of the first segment: most runs of most programs need no more.
const FIRST_SEGMENT_BYTES: usize = 16 << 10;
/// Segments double in size up to this one, or the size of the base if that is larger: some 30 000 recordings, so the cost
/// of a new file and of a new base is spread over many.
const MAX_SEGMENT_BYTES: usize = 512 << 10;
/// How much may wait to be folded. It comes to this when the disk takes no base; later calls are dropped and counted.
const MAX_BACKLOG_BYTES: u64 = 256 << 20;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It survives the process.
    Yes,
    /// It does, and a file is wanted.
    AndWanted,
    /// It waits in memory for a segment.
    Delayed,
    /// It waits in memory for the start.
    Waits,
    /// It was dropped: Glean is off, or too much waits.
    No,
}

/// The number of a metric in the segment that is written.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    serial: u32,
    number: u32,
}

impl Number {
    /// Makes one that stands for nothing yet.
    pub const fn new() -> Number {
        Number { serial: u32::MAX, number: 0 }
    }
}

impl Default for Number {
    fn default() -> Number {
        Number::new()
    }
}

/// A segment that should be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The name of the process.
    pub process: String,
    /// The number of the segment.
    pub serial: u32,
    /// How large it has to be.
    pub size_bytes: usize,
    /// Whether calls wait for it.
    pub is_urgent: bool,
}

/// Calls in memory, as frames.
#[derive(Debug, Default)]
struct Memory {
    frames: Vec<u8>,
    /// How much of them is the context, which is there whether calls come or not.
    context_bytes: usize,
    calls: u64,
    dropped: u64,
}

impl Memory {
    /// Begins with a context.
    fn with(context: &impl Serialize) -> Memory {
        let mut memory = Memory::default();
        memory.push(context);
        memory.context_bytes = memory.frames.len();
        memory
    }

    fn push(&mut self, value: &impl Serialize) {
        frame::push_with(&mut self.frames, |bytes| {
            *bytes = postcard::to_extend(value, std::mem::take(bytes)).expect("memory is the only limit of a Vec");
        });
    }
}

/// Where calls of a running process go.
#[derive(Debug)]
enum Place {
    Segment {
        segment: Arc<Segment>,
        tail: Tail,
        /// The number of the metric whose count is at the very end.
        counted: Option<u32>,
    },
    Memory(Memory),
}

/// A process that started.
#[derive(Debug)]
struct Running<C> {
    /// What every segment begins with.
    context: C,
    process: String,
    place: Place,
    /// Made in advance.
    next: Option<(Segment, Tail)>,
    /// Set when it was told that the next one is wanted.
    is_wanted: bool,
    left: Left,
    /// The number of the next segment that is made. None is given out twice: the file of one that was not used is removed
    /// while the next one is made.
    next_serial: u32,
    /// No segment with a lower number is written any more.
    serial: u32,
    next_segment_bytes: usize,
    /// Names and sizes of segments that are left and not folded yet.
    backlog: Vec<(String, u64)>,
    /// Set when nothing more is taken.
    is_closed: bool,
    /// Set while the first segment is not made: it begins with more than the context.
    is_starting: bool,
    /// Set where files cannot be mapped: calls go to memory, and from there to whole files.
    is_unmapped: bool,
}

/// What nobody uses any more, to be dropped where nobody waits for it.
#[derive(Debug, Default)]
pub struct Left {
    /// Sealed segments, whose memory can be given back.
    pub sealed: Vec<Arc<Segment>>,
    /// Segments that were made in advance and took no call. Their files can be removed.
    pub unused: Vec<Segment>,
}

#[derive(Debug)]
enum Phase<C> {
    Waiting(Memory),
    Running(Box<Running<C>>),
    Off,
}

/// The calls of this process. `C` is encoded at the beginning of each segment.
#[derive(Debug)]
pub struct Log<C> {
    phase: Phase<C>,
    /// Changes when numbers have to be defined again.
    numbering: u32,
    next_number: u32,
    base_bytes: usize,
}

impl<C: Serialize> Log<C> {
    /// Makes a log that waits.
    pub const fn new() -> Log<C> {
        Log {
            phase: Phase::Waiting(Memory { frames: Vec::new(), context_bytes: 0, calls: 0, dropped: 0 }),
            numbering: 0,
            next_number: 0,
            base_bytes: 0,
        }
    }

    /// Adds to the count at the very end, or begins one there, if that needs nothing but a few stores.
    ///
    /// `payload` encodes the operation of a number.
    #[inline]
    pub fn count<P: AsRef<[u8]>>(
        &mut self,
        number: &Number,
        amount: u32,
        payload: impl FnOnce(u32) -> P,
    ) -> Option<Appended> {
        let Phase::Running(running) = &mut self.phase else { return None };
        let Place::Segment { segment, tail, counted } = &mut running.place else { return None };
        if number.serial != self.numbering || amount == 0 {
            return None;
        }
        if *counted == Some(number.number) && segment.add_to_count(tail, amount) {
            return Some(Appended::Yes);
        }
        let is_done = segment.append_count(tail, payload(number.number).as_ref(), amount) == Pushed::Done;
        *counted = is_done.then_some(number.number);
        is_done.then(|| running.appended())
    }

    /// Appends what is about a metric; `define` says what its number stands for, `op` is the call.
    #[inline]
    pub fn record<D: Serialize, O: Serialize>(
        &mut self,
        number: &mut Number,
        define: impl Fn(u32) -> D,
        op: impl Fn(u32) -> O,
    ) -> Appended {
        let (mut is_wanted, mut is_begun) = (false, false);
        loop {
            if number.serial != self.numbering {
                let new = Number { serial: self.numbering, number: self.next_number };
                match self.push(&define(new.number), false) {
                    None => continue,
                    Some(Appended::No) => return Appended::No,
                    Some(appended) => is_wanted |= appended == Appended::AndWanted,
                }
                *number = new;
                self.next_number += 1;
                is_begun = true;
            }
            match self.push(&op(number.number), is_begun) {
                Some(Appended::Yes) if is_wanted => return Appended::AndWanted,
                Some(appended) => return appended,
                None => (),
            }
        }
    }

    /// Appends an operation.
    pub fn append(&mut self, op: &impl Serialize) -> Appended {
        loop {
            if let Some(appended) = self.push(op, false) {
                return appended;
            }
        }
    }

    /// Appends to what there is. `None` if that is another segment now, in which numbers mean nothing yet. `is_begun` says that
    /// a part of the same call was taken, so that the rest is taken as well.
    #[inline]
    fn push(&mut self, value: &impl Serialize, is_begun: bool) -> Option<Appended> {
        match &mut self.phase {
            Phase::Running(running) => {
                if running.is_closed {
                    return Some(Appended::No);
                }
                if let Place::Segment { segment, tail, counted } = &mut running.place {
                    *counted = None;
                    return match segment.append(tail, value) {
                        Pushed::Done => Some(running.appended()),
                        Pushed::Full | Pushed::Sealed => {
                            self.leave(serialized_size(value));
                            None
                        }
                    };
                }
                let is_starting = running.is_starting;
                let Place::Memory(memory) = &mut running.place else { return None };
                let limit = if is_starting { MAX_WAITING_BYTES } else { MAX_DELAYED_BYTES };
                // The first call is taken however large it is.
                let is_full = memory.frames.len() - memory.context_bytes > limit || memory.calls >= MAX_WAITING;
                if is_full && !is_begun {
                    memory.dropped += 1;
                    return Some(Appended::No);
                }
                memory.push(value);
                memory.calls += 1;
                Some(Appended::Delayed)
            }
            Phase::Waiting(memory) if memory.calls >= MAX_WAITING || memory.frames.len() > MAX_WAITING_BYTES => {
                memory.dropped += 1;
                Some(Appended::No)
            }
            Phase::Waiting(memory) => {
                memory.push(value);
                memory.calls += 1;
                Some(Appended::Waits)
            }
            Phase::Off => Some(Appended::No),
        }
    }

    /// Seals the segment that is written and goes on in the next one, or in memory until there is one.
    fn leave(&mut self, needed: usize) {
        let Phase::Running(running) = &mut self.phase else { return };
        let Place::Segment { segment, tail, .. } = &running.place else { return };
        segment.seal(tail);
        running.left.sealed.push(Arc::clone(segment));
        running.backlog.push((segment.name().to_owned(), segment.size_bytes() as u64));
        // A used up segment costs one base, so the larger that is, the larger segments are.
        running.next_segment_bytes = (running.next_segment_bytes * 2).min(MAX_SEGMENT_BYTES.max(self.base_bytes));
        self.numbering = self.numbering.wrapping_add(1);
        self.next_number = 0;
        let memory = Memory::with(&running.context);
        let needed = memory.frames.len() + frame::size(needed);
        running.place = Place::Memory(memory);
        running.is_wanted = false;
        if let Some((segment, tail)) = running.next.take() {
            if segment.has_room(&tail, needed) && running.backlog_bytes() <= MAX_BACKLOG_BYTES {
                running.go_on_in(segment, tail);
            } else {
                running.left.unused.push(segment);
            }
        }
    }

    /// Begins to run: what waited, and what comes, waits for the first segment. `false` if it runs already or is off.
    pub fn start(&mut self, context: C) -> bool {
        let Phase::Waiting(memory) = &mut self.phase else { return false };
        let memory = std::mem::take(memory);
        self.phase = Phase::Running(Box::new(Running { is_starting: true, ..Running::new(context, memory) }));
        true
    }

    /// Names the process, and says what its first segment begins with, as frames.
    pub fn begin(&mut self, process: &str, first: Vec<u8>, is_unmapped: bool) {
        let Phase::Running(running) = &mut self.phase else { return };
        running.process = process.to_owned();
        running.is_unmapped = is_unmapped;
        if let (true, Place::Memory(memory)) = (std::mem::take(&mut running.is_starting), &mut running.place) {
            let mut frames = first;
            frame::scan(&memory.frames, 0, |payload| frame::push(&mut frames, payload));
            memory.frames = frames;
            memory.calls += 1;
        }
    }

    /// In the child of a fork: leaves everything to the parent, and makes segments of its own when there is a first call.
    ///
    /// What is in memory stays with the parent as well, so that it isn't counted twice.
    pub fn leave_to_parent(&mut self, process: &str, mut change: impl FnMut(&mut C)) {
        match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Running(running) => {
                let Running { mut context, is_closed, is_unmapped, place, next, left, .. } = *running;
                // They are not mapped here, so there is nothing to give back.
                std::mem::forget((next, left));
                if let Place::Segment { segment, .. } = place {
                    std::mem::forget(segment);
                }
                change(&mut context);
                let memory = Memory::with(&context);
                let process = process.to_owned();
                let child = Running { process, is_closed, is_unmapped, ..Running::new(context, memory) };
                self.phase = Phase::Running(Box::new(child));
            }
            Phase::Waiting(_) => self.phase = Phase::Waiting(Memory::default()),
            Phase::Off => (),
        }
        self.numbering = self.numbering.wrapping_add(1);
        self.next_number = 0;
    }

    /// Tells which segment is wanted; `None` if there are enough.
    pub fn wanted(&mut self) -> Option<Wanted> {
        let Phase::Running(running) = &mut self.phase else { return None };
        let (size_bytes, is_urgent) = match &running.place {
            Place::Memory(memory) if memory.calls > 0 && !running.is_starting => {
                // With room for the checksums, and for some calls that follow.
                let needed = memory.frames.len() + memory.frames.len() / 4 + 4096;
                (running.next_segment_bytes.max(needed), true)
            }
            Place::Segment { .. } if running.wants_next() => {
                let needed = 2 * serialized_size(&running.context) + 4096;
                let next = (running.next_segment_bytes * 2).min(MAX_SEGMENT_BYTES.max(self.base_bytes));
                (next.max(needed), false)
            }
            _ => return None,
        };
        Some(Wanted {
            process: running.process.clone(),
            serial: running.take_serial(),
            size_bytes: size_bytes.next_multiple_of(4096),
            is_urgent,
        })
    }

    /// Tells how much waits to be folded, if that is too much for another segment.
    pub fn backlog(&self) -> Option<u64> {
        match &self.phase {
            Phase::Running(running) => Some(running.backlog_bytes()).filter(|bytes| *bytes > MAX_BACKLOG_BYTES),
            _ => None,
        }
    }

    /// Takes a segment that was [`Log::wanted`]: calls that wait are moved to it, or else it is kept for later.
    ///
    /// One that isn't needed any more, or is too small for what came meanwhile, goes to [`Log::take_left`].
    pub fn install(&mut self, wanted: &Wanted, segment: Segment, tail: Tail) {
        let Phase::Running(running) = &mut self.phase else { return };
        // Another thread may have made a later one meanwhile.
        let is_newest = running.process == wanted.process && running.serial <= wanted.serial;
        match &running.place {
            Place::Memory(memory) if is_newest && memory.calls > 0 => running.go_on_in(segment, tail),
            Place::Segment { .. } if is_newest && running.wants_next() => running.next = Some((segment, tail)),
            _ => return running.left.unused.push(segment),
        }
        running.serial = wanted.serial.wrapping_add(1);
    }

    /// Where files cannot be mapped: takes the frames that wait, for a file of their own, and its number.
    pub fn take_delayed(&mut self) -> Option<(u32, Vec<u8>)> {
        let Phase::Running(running) = &mut self.phase else { return None };
        let has_calls = matches!(&running.place, Place::Memory(memory) if memory.calls > 0);
        if !running.is_unmapped || !has_calls || running.is_starting {
            return None;
        }
        let serial = running.take_serial();
        self.numbering = self.numbering.wrapping_add(1);
        self.next_number = 0;
        let Place::Memory(memory) = &mut running.place else { return None };
        let dropped = memory.dropped;
        let frames = std::mem::replace(memory, Memory { dropped, ..Memory::with(&running.context) }).frames;
        Some((serial, frames))
    }

    /// Puts back what [`Log::take_delayed`] took, in front of what came meanwhile, and drops what is too much.
    ///
    /// Numbers that were given out meanwhile stand behind the context that follows, so both parts keep their meaning.
    pub fn put_back(&mut self, mut frames: Vec<u8>) {
        let Phase::Running(running) = &mut self.phase else { return };
        let Place::Memory(memory) = &mut running.place else { return };
        frame::scan(&memory.frames, 0, |payload| frame::push(&mut frames, payload));
        memory.frames = frames;
        memory.calls += 1;
    }

    /// Tells whether files cannot be mapped here.
    pub fn is_unmapped(&self) -> bool {
        matches!(&self.phase, Phase::Running(running) if running.is_unmapped)
    }

    /// Returns how many calls were dropped because nothing took them, and forgets it.
    pub fn take_dropped(&mut self) -> u64 {
        match &mut self.phase {
            Phase::Waiting(memory) => std::mem::take(&mut memory.dropped),
            Phase::Running(running) => match &mut running.place {
                Place::Memory(memory) => std::mem::take(&mut memory.dropped),
                Place::Segment { .. } => 0,
            },
            Phase::Off => 0,
        }
    }

    /// Returns what nobody uses any more. To drop it is not for somebody who holds a lock.
    pub fn take_left(&mut self) -> Left {
        match &mut self.phase {
            Phase::Running(running) => std::mem::take(&mut running.left),
            _ => Left::default(),
        }
    }

    /// Returns the segment that is written.
    pub fn current(&self) -> Option<Arc<Segment>> {
        match &self.phase {
            Phase::Running(running) => match &running.place {
                Place::Segment { segment, .. } => Some(Arc::clone(segment)),
                Place::Memory(_) => None,
            },
            _ => None,
        }
    }

    /// Leaves the segment of this name, because its file is gone or damaged. What comes next goes to another one.
    pub fn leave_segment(&mut self, name: &str) {
        if self.current().is_some_and(|segment| segment.name() == name) {
            self.leave(0);
        }
    }

    /// Seals the segment that is written, so that it can be folded and removed. The next call makes a small one.
    pub fn rest(&mut self) {
        if let Phase::Running(running) = &mut self.phase {
            running.left.unused.extend(running.next.take().map(|(segment, _)| segment));
        }
        self.leave(0);
        if let Phase::Running(running) = &mut self.phase {
            running.next_segment_bytes = FIRST_SEGMENT_BYTES;
        }
    }

    /// Tells whether the segment that is written is larger than a process needs that records little.
    pub fn is_large(&self) -> bool {
        self.current().is_some_and(|segment| segment.size_bytes() > FIRST_SEGMENT_BYTES)
    }

    /// Takes over the size of the base.
    pub fn set_base_bytes(&mut self, bytes: usize) {
        self.base_bytes = bytes;
    }

    /// Returns how many segments wait to be folded.
    pub fn backlog_count(&self) -> usize {
        if let Phase::Running(running) = &self.phase { running.backlog.len() } else { 0 }
    }

    /// Adds a segment that was written at once.
    pub fn add_to_backlog(&mut self, name: String, bytes: u64) {
        if let Phase::Running(running) = &mut self.phase {
            running.backlog.push((name, bytes));
        }
    }

    /// Takes over which of the first `count` segments are still there; others were folded, by whatever process, or removed.
    pub fn keep_backlog(&mut self, count: usize, names: &[String]) {
        if let Phase::Running(running) = &mut self.phase {
            let later = running.backlog.split_off(count.min(running.backlog.len()));
            running.backlog.retain(|(name, _)| names.contains(name));
            running.backlog.extend(later);
        }
    }

    /// Appends, although nothing more is taken.
    pub fn append_last(&mut self, op: &impl Serialize) -> Appended {
        self.set_closed(false);
        let appended = self.append(op);
        self.set_closed(true);
        appended
    }

    /// Switches whether something more is taken. What was taken is still there to be folded.
    pub fn set_closed(&mut self, is_closed: bool) {
        if let Phase::Running(running) = &mut self.phase {
            running.is_closed = is_closed;
            // No metric has a number now, so that the short ways end at the check, too.
            self.numbering = self.numbering.wrapping_add(1);
            self.next_number = 0;
        }
    }

    /// Returns how many bytes of its segments, and in memory, are in use.
    pub fn used_bytes(&self) -> u64 {
        match &self.phase {
            Phase::Running(running) => {
                let last = match &running.place {
                    Place::Segment { tail, .. } => tail.offset(),
                    Place::Memory(memory) if memory.calls > 0 => memory.frames.len(),
                    Place::Memory(_) => 0,
                };
                running.backlog_bytes() + last as u64
            }
            _ => 0,
        }
    }

    /// Returns the name of the segment that is written, and how much of it is used.
    pub fn tail(&self) -> Option<(String, u64)> {
        match &self.phase {
            Phase::Running(running) => match &running.place {
                Place::Segment { segment, tail, .. } => Some((segment.name().to_owned(), tail.offset() as u64)),
                Place::Memory(_) => None,
            },
            _ => None,
        }
    }

    /// Tells whether a call has to wait until a file takes it. Where files cannot be mapped, all go to memory first, and only what
    /// comes faster than the disk takes it waits.
    pub fn is_behind(&self) -> bool {
        match &self.phase {
            Phase::Running(running) if running.is_unmapped => match &running.place {
                Place::Memory(memory) => memory.frames.len() - memory.context_bytes > MAX_DELAYED_BYTES / 4,
                Place::Segment { .. } => false,
            },
            _ => self.has_delayed(),
        }
    }

    /// Tells whether calls wait in memory for a segment.
    pub fn has_delayed(&self) -> bool {
        match &self.phase {
            Phase::Running(running) => {
                matches!(&running.place, Place::Memory(memory) if memory.calls > 0) || running.is_starting
            }
            _ => false,
        }
    }

    /// Takes nothing more, and leaves what there is as it is.
    pub fn turn_off(&mut self) -> Left {
        self.numbering = self.numbering.wrapping_add(1);
        let Phase::Running(running) = std::mem::replace(&mut self.phase, Phase::Off) else { return Left::default() };
        let Running { place, next, mut left, .. } = *running;
        if let Place::Segment { segment, .. } = place {
            left.sealed.push(segment);
        }
        left.unused.extend(next.map(|(segment, _)| segment));
        left
    }

    /// Waits for the next start.
    pub fn reset(&mut self) {
        self.phase = Phase::Waiting(Memory::default());
        self.numbering = self.numbering.wrapping_add(1);
        self.next_number = 0;
    }

    /// Tells whether calls wait for the start.
    pub fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting(_))
    }

    /// Tells whether it was started and not turned off.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    /// Tells whether it is still to be named.
    pub fn is_starting(&self) -> bool {
        matches!(&self.phase, Phase::Running(running) if running.is_starting)
    }

    /// Returns what every new segment starts with.
    pub fn context(&mut self) -> Option<&mut C> {
        match &mut self.phase {
            Phase::Running(running) => Some(&mut running.context),
            _ => None,
        }
    }

    /// Returns the name of the process.
    pub fn process(&self) -> Option<&str> {
        match &self.phase {
            Phase::Running(running) => Some(&running.process),
            _ => None,
        }
    }
}

impl<C> Running<C> {
    fn new(context: C, memory: Memory) -> Running<C> {
        Running {
            context,
            process: String::new(),
            place: Place::Memory(memory),
            next: None,
            is_wanted: false,
            left: Left::default(),
            next_serial: 0,
            serial: 0,
            next_segment_bytes: FIRST_SEGMENT_BYTES,
            backlog: Vec::new(),
            is_closed: false,
            is_starting: false,
            is_unmapped: false,
        }
    }

    fn take_serial(&mut self) -> u32 {
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        serial
    }

    fn backlog_bytes(&self) -> u64 {
        self.backlog.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Tells what became of a call that is in the segment.
    fn appended(&mut self) -> Appended {
        if self.is_wanted || !self.wants_next() {
            return Appended::Yes;
        }
        self.is_wanted = true;
        Appended::AndWanted
    }

    /// Tells whether the next segment should be made: half of this one is used, and it isn't the first.
    fn wants_next(&self) -> bool {
        match &self.place {
            Place::Segment { segment, tail, .. } => {
                let size_bytes = segment.size_bytes();
                size_bytes > FIRST_SEGMENT_BYTES
                    && tail.offset() > size_bytes / 2
                    && self.next.is_none()
                    && !self.is_closed
            }
            Place::Memory(_) => false,
        }
    }

    /// Moves what waits in memory to a segment, and goes on there; a segment that is too small stays unused.
    fn go_on_in(&mut self, segment: Segment, mut tail: Tail) {
        let Place::Memory(memory) = &self.place else { return };
        if segment.fill(&mut tail, &memory.frames) == Pushed::Done {
            self.is_wanted = false;
            self.place = Place::Segment { segment: Arc::new(segment), tail, counted: None };
        } else {
            self.left.unused.push(segment);
        }
    }
}

impl<C: Serialize> Default for Log<C> {
    fn default() -> Log<C> {
        Log::new()
    }
}

fn serialized_size(value: &impl Serialize) -> usize {
    postcard::experimental::serialized_size(value).unwrap_or(0)
}
