//! What the calls of a process are appended to.
//!
//! Before `initialize` that is memory, up to [`MAX_WAITING`] calls; after it, segments in the data directory. Metrics are
//! known by handles, and defined in each segment when they are first used there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::{Serialize, SerializeTupleVariant, Serializer};

use super::frame;
use super::segment::{Segment, Tail};
use crate::error::{Error, Result};
use crate::logging::log_at;
use crate::machine::context::Context;
use crate::machine::op::{DebugTags, Facts, Moment, Op, ServerKnobs};
use crate::metrics::{MetricDefinition, Recording};
use crate::ping::PingDefinition;
use crate::store::directory::Directory;
use crate::store::lock::FileLock;

/// How many calls wait for `initialize`; later ones are dropped and counted.
pub(crate) const MAX_WAITING: u64 = 1_000_000;
/// How large they may be together.
const MAX_WAITING_BYTES: usize = 256 << 20;
/// The size of the first segment: most runs of most programs need no more.
const FIRST_SEGMENT_BYTES: usize = 16 << 10;
/// Segments double in size up to this one, or the size of the base if that is larger: some 30 000 recordings, so the cost
/// of a new file and of a new base is spread over many.
const MAX_SEGMENT_BYTES: usize = 512 << 10;
/// How much may wait to be folded. It comes to this when the disk takes no base; later calls are dropped and counted.
const MAX_BACKLOG_BYTES: usize = 256 << 20;

/// Where calls go.
#[derive(Debug)]
enum Sink {
    /// Glean isn't initialized.
    Waiting { frames: Vec<u8>, count: u64, dropped: u64 },
    /// It is.
    Open(Box<Open>),
    /// The child of a process in which it was; its own segment is made at its first call.
    Forked(Box<Context>, Directory),
    /// It could not start, or ended.
    Off,
}

/// The segments of a process that runs.
#[derive(Debug)]
struct Open {
    directory: Directory,
    segment: Arc<Segment>,
    tail: Tail,
    finished: Vec<Arc<Segment>>,
    /// The next segment, made in advance.
    spare: Option<(Segment, Tail)>,
    context: Context,
    dropped: u64,
    /// Set when nothing more is taken.
    is_sealed: bool,
    /// The count at the very end: the number of its metric, and its place.
    last_count: Option<(u32, usize)>,
    /// Tells other processes that this one lives.
    _life: FileLock,
}

impl Open {
    /// Leaves the segment that is written for the fold, and goes on in another one.
    fn go_on_in(&mut self, segment: Segment, tail: Tail) {
        let last = std::mem::replace(&mut self.segment, Arc::new(segment));
        if !last.is_nowhere() {
            self.finished.push(last);
        }
        self.tail = tail;
        self.last_count = None;
    }
}

/// What is remembered between the starts of a process.
#[derive(Debug, Default)]
pub struct BeforeStart {
    /// Pings that were made; they outlive a reset.
    pub pings: Vec<PingDefinition>,
    /// Pings that were switched.
    pub switched: Vec<(String, bool)>,
    /// Whether attribution was cleared, and what was set then.
    pub attribution: (bool, std::collections::BTreeMap<String, String>),
    /// Whether distribution was cleared, and what was set then.
    pub distribution: (bool, std::collections::BTreeMap<String, String>),
    /// Tags for headers.
    pub tags: DebugTags,
}

impl BeforeStart {
    fn facts(&mut self, facts: Facts) -> &mut (bool, std::collections::BTreeMap<String, String>) {
        match facts {
            Facts::Attribution => &mut self.attribution,
            Facts::Distribution => &mut self.distribution,
        }
    }
}

/// A metric with a handle: its number in the segment that is written.
#[derive(Debug)]
pub struct Numbered {
    definition: Arc<MetricDefinition>,
    serial: u32,
    number: u32,
}

impl Numbered {
    /// Gives it no number yet.
    pub fn new(definition: Arc<MetricDefinition>) -> Numbered {
        Numbered { definition, serial: u32::MAX, number: 0 }
    }

    /// Returns its description.
    pub fn definition(&self) -> &Arc<MetricDefinition> {
        &self.definition
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It will survive the process.
    Yes,
    /// It will, and there is work for the fold.
    AndFull,
    /// It waits in memory for `initialize`.
    Waits,
    /// It was dropped: Glean is off, or too much waits.
    No,
}

/// The calls of this process.
#[derive(Debug)]
pub struct Log {
    sink: Sink,
    /// Changes when numbers have to be defined again.
    serial: u32,
    next_number: u32,
    next_segment_bytes: usize,
    base_bytes: usize,
    /// What is remembered between starts.
    pub before_start: BeforeStart,
}

impl Log {
    /// Makes a log that waits.
    pub const fn new() -> Log {
        Log {
            sink: Sink::Waiting { frames: Vec::new(), count: 0, dropped: 0 },
            serial: 0,
            next_number: 0,
            next_segment_bytes: FIRST_SEGMENT_BYTES,
            base_bytes: 0,
            before_start: BeforeStart {
                pings: Vec::new(),
                switched: Vec::new(),
                attribution: (false, std::collections::BTreeMap::new()),
                distribution: (false, std::collections::BTreeMap::new()),
                tags: DebugTags { view_tag: None, source_tags: None },
            },
        }
    }

    /// Adds to a counter, if that needs nothing but a few stores.
    #[inline]
    pub fn count(&mut self, metric: &Numbered, amount: u32) -> bool {
        let Sink::Open(open) = &mut self.sink else { return false };
        if metric.serial != self.serial || amount == 0 {
            return false;
        }
        if let Some((number, place)) = open.last_count {
            if number == metric.number && open.segment.add_to_count(place, amount) {
                return true;
            }
        }
        let payload = count_payload(metric.number);
        let place = open.segment.append_count(&mut open.tail, payload.as_slice(), u64::from(amount));
        open.last_count = place.map(|place| (metric.number, place));
        place.is_some()
    }

    /// Appends a recording of a metric.
    #[inline]
    pub fn record(&mut self, metric: &mut Numbered, recording: &Recording<'_>) -> Appended {
        if let (Sink::Open(open), true) = (&mut self.sink, metric.serial == self.serial) {
            open.last_count = None;
            if open.segment.append(&mut open.tail, &RecordOp(metric.number, recording)) {
                return Appended::Yes;
            }
        }
        self.record_slowly(metric, recording)
    }

    /// Defines the metric in the segment first, or starts a new segment, or both.
    #[cold]
    fn record_slowly(&mut self, metric: &mut Numbered, recording: &Recording<'_>) -> Appended {
        let mut is_full = false;
        loop {
            if metric.serial != self.serial {
                let number = self.next_number;
                match self.append(&Op::Define(number, Box::new((*metric.definition).clone()))) {
                    Appended::No => return Appended::No,
                    appended => is_full |= appended == Appended::AndFull,
                }
                metric.serial = self.serial;
                metric.number = number;
                self.next_number = number + 1;
            }
            let record = RecordOp(metric.number, recording);
            match self.push(&record) {
                Pushed::Yes if is_full => return Appended::AndFull,
                Pushed::Yes => return Appended::Yes,
                Pushed::Waits => return Appended::Waits,
                Pushed::No => return Appended::No,
                Pushed::Again => (),
                Pushed::NoRoom => {
                    if !self.rotate(serialized_size(&record)) {
                        return Appended::No;
                    }
                    is_full = true;
                }
            }
        }
    }

    /// Appends an operation.
    pub fn append(&mut self, op: &Op<'_>) -> Appended {
        let mut is_full = false;
        loop {
            match self.push(op) {
                Pushed::Yes if is_full => return Appended::AndFull,
                Pushed::Yes => return Appended::Yes,
                Pushed::Waits => return Appended::Waits,
                Pushed::No => return Appended::No,
                Pushed::Again => (),
                Pushed::NoRoom => {
                    if !self.rotate(serialized_size(op)) {
                        return Appended::No;
                    }
                    is_full = true;
                }
            }
        }
    }

    fn push(&mut self, value: &impl Serialize) -> Pushed {
        if matches!(self.sink, Sink::Forked(..)) {
            self.open_after_fork();
            // The number of a metric belongs to the segment of the parent: the caller may have to define it again.
            return if matches!(self.sink, Sink::Open(_)) { Pushed::Again } else { Pushed::No };
        }
        match &mut self.sink {
            Sink::Waiting { dropped, count, frames } if *count >= MAX_WAITING || frames.len() > MAX_WAITING_BYTES => {
                *dropped += 1;
                Pushed::No
            }
            Sink::Waiting { frames, count, .. } => {
                let payload = postcard::to_stdvec(value).expect("memory is the only limit of a Vec");
                frame::push(frames, &payload);
                *count += 1;
                Pushed::Waits
            }
            Sink::Open(open) if open.is_sealed => Pushed::No,
            Sink::Open(open) => {
                open.last_count = None;
                if open.segment.append(&mut open.tail, value) { Pushed::Yes } else { Pushed::NoRoom }
            }
            Sink::Forked(..) | Sink::Off => Pushed::No,
        }
    }

    /// Leaves the segment that is written, because it lost pages, and starts a new one.
    pub fn leave_segment(&mut self) {
        if matches!(self.sink, Sink::Open(_)) {
            log_at!(Error, "a file of the journal was cut by somebody else; what comes next goes to another one");
            self.rotate(0);
        }
    }

    /// Starts a new segment that has room for a frame of `needed` bytes.
    fn rotate(&mut self, needed: usize) -> bool {
        let Sink::Open(open) = &mut self.sink else { return false };
        let backlog: usize = open.finished.iter().map(|segment| segment.size_bytes()).sum();
        let serial = self.serial.wrapping_add(1);
        let size_bytes = self.next_segment_bytes.max((needed * 2).next_multiple_of(4096));
        let made = if backlog > MAX_BACKLOG_BYTES {
            Err(Error::Backlog { bytes: backlog as u64 })
        } else {
            match open.spare.take() {
                Some(spare) if spare.0.size_bytes() > needed * 2 + serialized_size(&open.context) => {
                    use_spare(spare, &open.directory, &open.context, serial)
                }
                spare => {
                    remove_spare(spare);
                    new_segment(&open.directory, &open.context, serial, size_bytes)
                }
            }
        };
        match made {
            Ok((segment, tail)) => {
                open.go_on_in(segment, tail);
                self.serial = serial;
                self.next_number = 0;
                // A used up segment costs one base, so the larger that is, the larger segments are.
                self.next_segment_bytes = (self.next_segment_bytes * 2).min(MAX_SEGMENT_BYTES.max(self.base_bytes));
                let dropped = std::mem::take(&mut open.dropped);
                if dropped > 0 {
                    log_at!(Error, "{dropped} calls were dropped while the disk took none");
                    open.segment.append(&mut open.tail, &Op::Dropped(dropped));
                }
                true
            }
            Err(error) => {
                if open.dropped == 0 {
                    log_at!(Error, "calls are dropped until the disk takes them: {error}");
                }
                open.dropped += 1;
                false
            }
        }
    }

    /// Makes segments for a process that starts: its context, then `first`, then the calls that waited.
    ///
    /// `life` is the lock of this process in that directory.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the first segment cannot be made; the log is off then.
    pub fn open(&mut self, directory: &Directory, life: FileLock, mut context: Context, first: Op<'_>) -> Result<()> {
        let waiting = match std::mem::replace(&mut self.sink, Sink::Off) {
            Sink::Waiting { frames, .. } => frames,
            _ => Vec::new(),
        };
        self.next_segment_bytes = FIRST_SEGMENT_BYTES;
        let needed = waiting.len() + serialized_size(&first) + serialized_size(&context);
        // With room for the checksums, and for some calls that follow.
        let size_bytes = FIRST_SEGMENT_BYTES.max((needed + needed / 4 + 4096).next_multiple_of(4096));
        let (segment, mut tail) = new_segment(directory, &context, self.serial, size_bytes)?;
        segment.append(&mut tail, &first);
        context.observe(&first);
        frame::scan(&waiting, 0, |payload| {
            segment.append_payload(&mut tail, payload);
            // Later segments start with what these calls made of the context; metrics are defined again there.
            match postcard::from_bytes(payload) {
                Ok(Op::Record(..) | Op::Define(..)) | Err(_) => (),
                Ok(op) => context.observe(&op),
            }
        });
        self.sink = Sink::Open(Box::new(Open {
            directory: directory.clone(),
            segment: Arc::new(segment),
            tail,
            finished: Vec::new(),
            spare: None,
            context,
            dropped: 0,
            last_count: None,
            is_sealed: false,
            _life: life,
        }));
        Ok(())
    }

    fn open_after_fork(&mut self) {
        if let Sink::Forked(context, directory) = std::mem::replace(&mut self.sink, Sink::Off) {
            self.serial = self.serial.wrapping_add(1);
            self.next_number = 0;
            self.next_segment_bytes = FIRST_SEGMENT_BYTES;
            let made = live(&directory, &context.process)
                .and_then(|life| Ok((life, new_segment(&directory, &context, self.serial, FIRST_SEGMENT_BYTES)?)));
            match made {
                Ok((life, (segment, tail))) => {
                    self.sink = Sink::Open(Box::new(Open {
                        directory,
                        segment: Arc::new(segment),
                        tail,
                        finished: Vec::new(),
                        spare: None,
                        context: *context,
                        dropped: 0,
                        last_count: None,
                        is_sealed: false,
                        _life: life,
                    }));
                }
                Err(error) => log_at!(Error, "Glean is off in this forked process: {error}"),
            }
        }
    }

    /// In the child of a fork: leaves the segments to the parent. Own ones are made at the first call.
    ///
    /// Nothing of the parent is dropped, as that would unmap or unlock what a thread that is gone was using.
    pub fn leave_to_parent(&mut self, process: String) {
        self.sink = match std::mem::replace(&mut self.sink, Sink::Off) {
            Sink::Open(open) => {
                let mut context = open.context.clone();
                context.process = process;
                let directory = open.directory.clone();
                std::mem::forget(open);
                Sink::Forked(Box::new(context), directory)
            }
            Sink::Forked(mut context, directory) => {
                context.process = process;
                Sink::Forked(context, directory)
            }
            other => other,
        };
    }

    /// Returns the segments that belong to this process, the one that is written last.
    pub fn segments(&self) -> Vec<Arc<Segment>> {
        match &self.sink {
            Sink::Open(open) => open.finished.iter().chain([&open.segment]).map(Arc::clone).collect(),
            _ => Vec::new(),
        }
    }

    /// Takes over the size of the base.
    pub fn set_base_bytes(&mut self, bytes: usize) {
        self.base_bytes = bytes;
    }

    /// Forgets finished segments whose file is gone.
    pub fn forget(&mut self, names: &[String]) {
        if let Sink::Open(open) = &mut self.sink {
            open.finished.retain(|segment| {
                let name = segment.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
                !names.iter().any(|gone| gone == name)
            });
        }
    }

    /// Tells whether the segment that is written is larger than a process needs that records little.
    pub fn is_large(&self) -> bool {
        matches!(&self.sink, Sink::Open(open) if open.segment.size_bytes() > FIRST_SEGMENT_BYTES)
    }

    /// Puts away a large segment, so that it can be folded and removed. The next call makes a small one.
    pub fn rest(&mut self) {
        if !self.is_large() {
            return;
        }
        let Sink::Open(open) = &mut self.sink else { return };
        match Segment::nowhere() {
            Ok((segment, tail)) => {
                open.go_on_in(segment, tail);
                remove_spare(open.spare.take());
                self.serial = self.serial.wrapping_add(1);
                self.next_number = 0;
                self.next_segment_bytes = FIRST_SEGMENT_BYTES;
            }
            Err(error) => log_at!(Debug, "{error}"),
        }
    }

    /// Returns where a segment is to be made in advance, and how large; `None` if there is one, or none is wanted.
    ///
    /// Only who used up some segments is likely to use up more.
    pub fn wanted_spare(&self) -> Option<(PathBuf, usize)> {
        match &self.sink {
            Sink::Open(open) if open.spare.is_none() && !open.is_sealed && self.is_large() => {
                Some((open.directory.spare(&open.context.process), self.next_segment_bytes))
            }
            _ => None,
        }
    }

    /// Takes a segment that was made in advance.
    pub fn keep_spare(&mut self, spare: (Segment, Tail)) {
        match &mut self.sink {
            Sink::Open(open)
                if open.spare.is_none() && spare.0.path() == open.directory.spare(&open.context.process) =>
            {
                open.spare = Some(spare);
            }
            _ => remove_spare(Some(spare)),
        }
    }

    /// Appends after [`Log::seal`].
    pub fn append_last(&mut self, op: &Op<'_>) {
        if let Sink::Open(open) = &mut self.sink {
            open.is_sealed = false;
        }
        self.append(op);
        self.seal();
    }

    /// Takes nothing more. What was taken is still there to be folded.
    pub fn seal(&mut self) {
        if let Sink::Open(open) = &mut self.sink {
            open.is_sealed = true;
            // No metric has a number now, so that the short ways end at the check, too.
            self.serial = self.serial.wrapping_add(1);
        }
    }

    /// Stops. A segment that is left for the next start is cut to what is used of it.
    ///
    /// `saved` is how much of the last segment is in a saved base; if that is all, the segment is removed.
    pub fn close(&mut self, saved: Option<(String, u64)>) {
        if let Sink::Open(open) = std::mem::replace(&mut self.sink, Sink::Off) {
            let Open { segment, tail, finished, spare, .. } = *open;
            drop(finished);
            remove_spare(spare);
            if segment.is_nowhere() {
                return;
            }
            let is_saved = saved.is_some_and(|(name, offset)| {
                segment.path().file_name().is_some_and(|file| file == name.as_str())
                    && offset >= Segment::used(&tail) as u64
            });
            if is_saved {
                let path = segment.path().to_path_buf();
                drop(segment);
                if let Err(error) = std::fs::remove_file(&path) {
                    log_at!(Debug, "{}", Error::io("remove", &path)(error));
                }
                return;
            }
            // A getter of another thread may hold it; then it stays as large as it is.
            if let Some(Err(error)) = Arc::into_inner(segment).map(|segment| segment.into_cut(&tail)) {
                log_at!(Debug, "{error}");
            }
        }
    }

    /// Returns how many bytes of its segments are in use.
    pub fn used_bytes(&self) -> usize {
        match &self.sink {
            Sink::Open(open) => {
                let finished: usize = open.finished.iter().map(|segment| segment.size_bytes()).sum();
                finished + Segment::used(&open.tail)
            }
            _ => 0,
        }
    }

    /// Drops what waits.
    pub fn drop_waiting(&mut self) {
        if self.is_waiting() {
            self.reset();
        }
    }

    /// Drops what waits, and later calls.
    pub fn turn_off(&mut self) {
        self.sink = Sink::Off;
    }

    /// Forgets everything and waits for the next `initialize`.
    pub fn reset(&mut self) {
        self.sink = Sink::Waiting { frames: Vec::new(), count: 0, dropped: 0 };
        self.serial = self.serial.wrapping_add(1);
        self.next_number = 0;
        let pings = std::mem::take(&mut self.before_start.pings);
        self.before_start = BeforeStart { pings, ..BeforeStart::default() };
    }

    /// Tells whether calls wait for `initialize`.
    pub fn is_waiting(&self) -> bool {
        matches!(self.sink, Sink::Waiting { .. })
    }

    /// Tells whether calls survive the process.
    pub fn is_open(&self) -> bool {
        matches!(self.sink, Sink::Open(_) | Sink::Forked(..))
    }

    /// Returns how many calls were dropped while they waited.
    pub fn dropped_while_waiting(&self) -> u64 {
        match &self.sink {
            Sink::Waiting { dropped, .. } => *dropped,
            _ => 0,
        }
    }

    /// Returns the context every new segment starts with.
    pub fn context(&mut self) -> Option<&mut Context> {
        match &mut self.sink {
            Sink::Open(open) => Some(&mut open.context),
            Sink::Forked(context, _) => Some(context),
            _ => None,
        }
    }

    /// Makes a ping known.
    pub fn register_ping(&mut self, definition: PingDefinition) -> Appended {
        self.before_start.pings.retain(|ping| ping.name != definition.name);
        self.before_start.pings.push(definition.clone());
        match self.context() {
            Some(context) => {
                context.register_ping(definition.clone());
                self.append(&Op::RegisterPing(Box::new(definition)))
            }
            None => Appended::Waits,
        }
    }

    /// Switches a ping.
    pub fn set_ping_enabled(&mut self, name: &str, enabled: bool) -> Appended {
        if self.is_waiting() {
            self.before_start.switched.push((name.to_owned(), enabled));
            return Appended::Waits;
        }
        if let Some(ping) = self.context().and_then(|context| context.pings.get_mut(name)) {
            ping.enabled = enabled;
        }
        self.append(&Op::SetPingEnabled(name, enabled))
    }

    /// Sets fields of attribution or distribution.
    pub fn update_facts(&mut self, facts: Facts, fields: std::collections::BTreeMap<String, String>) -> Appended {
        if self.is_waiting() {
            self.before_start.facts(facts).1.extend(fields);
            return Appended::Waits;
        }
        self.append(&Op::UpdateFacts(facts, fields))
    }

    /// Removes all fields of attribution or distribution.
    pub fn clear_facts(&mut self, facts: Facts) -> Appended {
        if self.is_waiting() {
            *self.before_start.facts(facts) = (true, Default::default());
            return Appended::Waits;
        }
        self.append(&Op::ClearFacts(facts))
    }

    /// Switches collection. Before `initialize` that does nothing.
    pub fn set_collection_enabled(&mut self, enabled: bool) -> Appended {
        let Some(context) = self.context() else { return Appended::No };
        if context.collection_enabled == enabled {
            return Appended::Yes;
        }
        context.collection_enabled = enabled;
        self.append(&Op::SetCollectionEnabled(enabled, Moment::now()))
    }

    /// Sets the tags that are stored with pings.
    pub fn set_tags(&mut self, change: impl FnOnce(&mut DebugTags)) -> Appended {
        change(&mut self.before_start.tags);
        let tags = self.before_start.tags.clone();
        match self.context() {
            Some(context) => {
                context.tags = tags.clone();
                self.append(&Op::SetTags(tags))
            }
            None => Appended::Waits,
        }
    }

    /// Merges settings from a server.
    pub fn apply_knobs(&mut self, knobs: ServerKnobs) -> Appended {
        if let Some(context) = self.context() {
            context.merge_knobs(knobs.clone());
        }
        self.append(&Op::ServerKnobs(knobs))
    }
}

impl Default for Log {
    fn default() -> Log {
        Log::new()
    }
}

/// Takes the lock that tells that a process lives.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be made, [`Error::Locked`] if somebody took it for a dead one just then.
pub fn live(directory: &Directory, process: &str) -> Result<FileLock> {
    let path = directory.process_lock(process);
    // Another process that looks whether this one lives may hold it for a moment.
    FileLock::acquire(&path, Duration::from_secs(1))
}

/// Goes on in a segment that was made in advance, or in a new one if that is impossible.
fn use_spare(
    (mut segment, mut tail): (Segment, Tail),
    directory: &Directory,
    context: &Context,
    serial: u32,
) -> Result<(Segment, Tail)> {
    let size_bytes = segment.size_bytes();
    if let Err(error) = segment.rename(&directory.file(&Directory::log_name(&context.process, serial))) {
        log_at!(Debug, "{error}");
        remove_spare(Some((segment, tail)));
        return new_segment(directory, context, serial, size_bytes);
    }
    segment.append(&mut tail, &Op::Context(Box::new(context.clone())));
    Ok((segment, tail))
}

fn remove_spare(spare: Option<(Segment, Tail)>) {
    if let Some((segment, _)) = spare {
        let path = segment.path().to_path_buf();
        // Windows removes no file that is mapped.
        drop(segment);
        if let Err(error) = std::fs::remove_file(&path) {
            log_at!(Debug, "{}", Error::io("remove", &path)(error));
        }
    }
}

fn new_segment(directory: &Directory, context: &Context, serial: u32, size_bytes: usize) -> Result<(Segment, Tail)> {
    let path = directory.file(&Directory::log_name(&context.process, serial));
    let needed = serialized_size(context);
    let size_bytes = size_bytes.max((needed * 2).next_multiple_of(4096));
    let (segment, mut tail) = match Segment::create(&path, size_bytes) {
        // Somebody removed the folder. What was in it is gone, but what comes need not be.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            directory.create()?;
            Segment::create(&path, size_bytes)?
        }
        made => made?,
    };
    segment.append(&mut tail, &Op::Context(Box::new(context.clone())));
    Ok((segment, tail))
}

/// The few bytes of an [`Op::Count`], made by hand because this is the most frequent call of all.
struct CountPayload {
    bytes: [u8; 8],
    length: usize,
}

impl CountPayload {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn count_payload(number: u32) -> CountPayload {
    let mut payload = CountPayload { bytes: [Op::COUNT_VARIANT, 0, 0, 0, 0, 0, 0, 0], length: 1 };
    let mut rest = number;
    loop {
        let is_last = rest < 0x80;
        payload.bytes[payload.length] = rest as u8 & 0x7f | if is_last { 0 } else { 0x80 };
        payload.length += 1;
        if is_last {
            return payload;
        }
        rest >>= 7;
    }
}

fn serialized_size(value: &impl Serialize) -> usize {
    postcard::experimental::serialized_size(value).unwrap_or(0)
}

/// What became of bytes.
enum Pushed {
    Yes,
    Waits,
    NoRoom,
    Again,
    No,
}

/// Is written like [`Op::Record`], from a recording that is borrowed.
struct RecordOp<'a>(u32, &'a Recording<'a>);

impl Serialize for RecordOp<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut variant = serializer.serialize_tuple_variant("Op", Op::RECORD_VARIANT, "Record", 2)?;
        variant.serialize_field(&self.0)?;
        variant.serialize_field(self.1)?;
        variant.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_written_like_its_operation() {
        for number in [0, 1, 127, 128, 300, 1 << 20, u32::MAX] {
            let expected = postcard::to_stdvec(&Op::Count(number)).unwrap();
            assert_eq!(count_payload(number).as_slice(), expected, "{number}");
        }
    }

    #[test]
    fn a_borrowed_recording_is_written_like_an_owned_one() {
        for recording in [Recording::CounterAdd(-5), Recording::TextSet("text", true)] {
            let owned = postcard::to_stdvec(&Op::Record(300, recording.clone())).unwrap();
            assert_eq!(postcard::to_stdvec(&RecordOp(300, &recording)).unwrap(), owned);
        }
    }
}
