//! What a program calls before and after the start: operations for the log, and what is remembered between starts.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use serde::ser::{Serialize, SerializeTupleVariant, Serializer};

use crate::handles::Metric;
use crate::journal::log::{Appended, Log};
use crate::machine::context::Context;
use crate::machine::op::{DebugTags, Facts, Moment, Op, ServerKnobs};
use crate::metrics::Recording;
use crate::ping::PingDefinition;

/// Fields of attribution or distribution: whether they were cleared, and what was set then.
pub(super) type EarlyFacts = (bool, BTreeMap<String, String>);

/// What is remembered between the starts of a process.
#[derive(Debug)]
pub struct BeforeStart {
    /// Pings that were made; they outlive a reset.
    pub pings: Vec<PingDefinition>,
    /// Pings that were switched.
    pub switched: Vec<(String, bool)>,
    /// What was said about attribution.
    pub attribution: EarlyFacts,
    /// What was said about distribution.
    pub distribution: EarlyFacts,
    /// Tags for headers.
    pub tags: DebugTags,
    /// Encoded calls that say something about the process: what starts takes it over before it is folded.
    operations: Vec<Vec<u8>>,
    /// What the process was like when it started, until the first segment begins with it. Calls that came meanwhile stand
    /// behind it, and must not be in it: collection that was switched on, for example.
    pub context: Option<Context>,
}

impl BeforeStart {
    /// Remembers nothing.
    pub const fn new() -> BeforeStart {
        BeforeStart {
            pings: Vec::new(),
            switched: Vec::new(),
            attribution: (false, BTreeMap::new()),
            distribution: (false, BTreeMap::new()),
            tags: DebugTags { view_tag: None, source_tags: None },
            operations: Vec::new(),
            context: None,
        }
    }
}

impl BeforeStart {
    /// Returns the encoded calls that say something about the process, and forgets them.
    pub fn take_operations(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.operations)
    }
}

impl Default for BeforeStart {
    fn default() -> BeforeStart {
        BeforeStart::new()
    }
}

/// What every segment begins with: [`Op::Context`].
#[derive(Debug)]
pub struct Preamble(Context);

impl Deref for Preamble {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.0
    }
}

impl DerefMut for Preamble {
    fn deref_mut(&mut self) -> &mut Context {
        &mut self.0
    }
}

impl Serialize for Preamble {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_variant("Op", Op::CONTEXT_VARIANT, "Context", &self.0)
    }
}

/// The log of a process, and what it has to know of the calls that go there.
#[derive(Debug, Default)]
pub struct Calls {
    log: Log<Preamble>,
    /// What is remembered between starts.
    pub before_start: BeforeStart,
}

impl Deref for Calls {
    type Target = Log<Preamble>;

    fn deref(&self) -> &Log<Preamble> {
        &self.log
    }
}

impl DerefMut for Calls {
    fn deref_mut(&mut self) -> &mut Log<Preamble> {
        &mut self.log
    }
}

impl Calls {
    /// Makes a log that waits.
    pub const fn new() -> Calls {
        Calls { log: Log::new(), before_start: BeforeStart::new() }
    }

    /// Begins to run; see [`Log::start`].
    pub fn start(&mut self, mut context: Context) -> bool {
        self.before_start.context = Some(context.clone());
        // The first segment says that by its start, later ones by their context.
        self.before_start.switched.iter().for_each(|(name, enabled)| context.switch_ping(name, *enabled));
        self.log.start(Preamble(context))
    }

    /// Appends an operation that is no recording.
    pub fn append(&mut self, op: &Op<'_>) -> Appended {
        let appended = self.log.append(op);
        if appended == Appended::Waits {
            self.before_start.operations.extend(postcard::to_stdvec(op).ok());
        }
        appended
    }

    /// Adds to a counter, if that needs nothing but a few stores.
    #[inline]
    pub fn count(&mut self, metric: &Metric, amount: u32) -> Option<Appended> {
        self.log.count(&metric.number, amount, CountPayload::new)
    }

    /// Appends a recording of a metric.
    #[inline]
    pub fn record(&mut self, metric: &mut Metric, recording: &Recording<'_>) -> Appended {
        let Metric { number, definition, .. } = metric;
        let define = |number| Op::Define(number, Box::new((**definition).clone()));
        self.log.record(number, define, |number| RecordOp(number, recording))
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

    fn early_facts(&mut self, facts: Facts) -> &mut EarlyFacts {
        match facts {
            Facts::Attribution => &mut self.before_start.attribution,
            Facts::Distribution => &mut self.before_start.distribution,
        }
    }

    /// Sets fields of attribution or distribution.
    pub fn update_facts(&mut self, facts: Facts, fields: BTreeMap<String, String>) -> Appended {
        if self.is_waiting() {
            self.early_facts(facts).1.extend(fields);
            return Appended::Waits;
        }
        self.append(&Op::UpdateFacts(facts, fields))
    }

    /// Removes all fields of attribution or distribution.
    pub fn clear_facts(&mut self, facts: Facts) -> Appended {
        if self.is_waiting() {
            *self.early_facts(facts) = (true, BTreeMap::new());
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

    /// Forgets everything but the pings, and waits for the next start.
    pub fn reset(&mut self) {
        self.log.reset();
        let pings = std::mem::take(&mut self.before_start.pings);
        self.before_start = BeforeStart { pings, ..BeforeStart::new() };
    }
}

/// The few bytes of an [`Op::Count`], made by hand because this is the most frequent call of all.
struct CountPayload {
    bytes: [u8; 8],
    length: usize,
}

impl AsRef<[u8]> for CountPayload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl CountPayload {
    #[inline]
    fn new(number: u32) -> CountPayload {
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
            assert_eq!(CountPayload::new(number).as_ref(), expected, "{number}");
        }
    }

    #[test]
    fn a_preamble_is_written_like_its_operation() {
        let context = Context::new("a process".to_owned(), Default::default(), Moment::now());
        let expected = postcard::to_stdvec(&Op::Context(Box::new(context.clone()))).unwrap();
        assert_eq!(postcard::to_stdvec(&Preamble(context)).unwrap(), expected);
    }

    #[test]
    fn a_borrowed_recording_is_written_like_an_owned_one() {
        for recording in [Recording::CounterAdd(-5), Recording::TextSet("text", true)] {
            let owned = postcard::to_stdvec(&Op::Record(300, recording.clone())).unwrap();
            assert_eq!(postcard::to_stdvec(&RecordOp(300, &recording)).unwrap(), owned);
        }
    }
}
