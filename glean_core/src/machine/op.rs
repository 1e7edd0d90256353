//! Operations: what a journal holds. Each one is a call, with everything that must not depend on when it is folded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::context::Context;
use crate::metrics::{MetricDefinition, Recording};
use crate::ping::PingDefinition;
pub use crate::time::Moment;
use crate::upload::observation::Observation;

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op<'a> {
    /// First in every segment: the process and its settings as they are there.
    Context(Box<Context>),
    /// Glean starts in a process.
    Start(Box<Start>),
    /// What the number of a metric stands for in this segment.
    Define(u32, Box<MetricDefinition>),
    /// A recording of the metric with this number.
    Record(u32, #[serde(borrow)] Recording<'a>),
    /// In a frame that counts: as many were added to the metric with this number as the frame says.
    Count(u32),
    /// Makes a ping known.
    RegisterPing(Box<PingDefinition>),
    /// Switches a ping.
    SetPingEnabled(&'a str, bool),
    /// Submits a ping.
    Submit {
        /// Its name.
        ping: &'a str,
        /// Its reason.
        #[serde(borrow)]
        reason: Option<&'a str>,
        /// When.
        moment: Moment,
    },
    /// Switches collection.
    SetCollectionEnabled(bool, Moment),
    /// Starts or replaces an experiment: id, branch, extra.
    SetExperimentActive(&'a str, &'a str, BTreeMap<String, String>),
    /// Ends an experiment.
    SetExperimentInactive(&'a str),
    /// Sets the experimentation id.
    SetExperimentationId(&'a str),
    /// The user began to use the application.
    ClientActive(Moment),
    /// The user stopped using the application; how long the use was, in nanoseconds.
    ClientInactive(Moment, Option<u64>),
    /// Starts a session.
    SessionStart(Moment),
    /// Ends the session.
    SessionEnd(#[serde(borrow)] Option<&'a str>, Moment),
    /// Merges settings from a server, checked before.
    ServerKnobs(ServerKnobs),
    /// Sets those fields of attribution or distribution (see [`Facts`]) that are given.
    UpdateFacts(Facts, BTreeMap<String, String>),
    /// Removes all fields of attribution or distribution.
    ClearFacts(Facts),
    /// Sets the flag that tells of an unclean end.
    SetDirty(bool),
    /// Sets the tags that are stored with pings.
    SetTags(DebugTags),
    /// Sets `client_info.app_channel`.
    SetChannel(&'a str),
    /// Switches the list of submitted pings.
    StoreSubmittedPings(bool),
    /// Empties the list of submitted pings.
    ClearSubmittedPings,
    /// So many calls were dropped, because the disk took none.
    Dropped(u64),
    /// Glean ended in this process. `true` if it was told to.
    End(bool, Option<u64>),
    /// It is time for the ping `metrics`.
    MetricsPingDue(Moment),
    /// An upload told something about itself.
    Upload(Observation),
}

impl Op<'_> {
    /// The number of [`Op::Context`] among the variants.
    pub(crate) const CONTEXT_VARIANT: u32 = 0;
    /// The number of [`Op::Record`].
    pub(crate) const RECORD_VARIANT: u32 = 3;
    /// The number of [`Op::Count`].
    pub(crate) const COUNT_VARIANT: u8 = 4;
}

/// What a start found before it changed anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// When.
    pub moment: Moment,
    /// Whether no other process used the directory.
    pub is_alone: bool,
    /// What was in the directory, as JSON; not asked for in tests.
    pub directory_info: Option<String>,
    /// Size of the files in `db/`.
    pub database_bytes: u64,
    /// Pings that were switched before.
    pub switched_pings: Vec<(String, bool)>,
    /// Whether attribution was cleared before, and what was set after.
    pub attribution: (bool, BTreeMap<String, String>),
    /// Whether distribution was cleared before, and what was set after.
    pub distribution: (bool, BTreeMap<String, String>),
    /// How many calls were dropped because too many waited.
    pub dropped_calls: u64,
}

/// Facts about how the application came to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Facts {
    /// Where the user came from.
    Attribution,
    /// Who gave it to the user.
    Distribution,
}

impl Facts {
    /// Returns the category and the fields.
    pub fn fields(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Facts::Attribution => ("attribution", &["source", "medium", "campaign", "term", "content"]),
            Facts::Distribution => ("distribution", &["name"]),
        }
    }
}

/// Settings from a server. They live as long as the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerKnobs {
    /// Metrics that are switched on or off.
    pub metrics_enabled: BTreeMap<String, bool>,
    /// Pings that are switched on or off.
    pub pings_enabled: BTreeMap<String, bool>,
    /// How many events make a ping.
    pub event_threshold: Option<u32>,
    /// The share of sessions that are sampled.
    pub session_sample_rate: Option<f64>,
    /// How much sooner early events pings are sent.
    pub events_ping_acceleration_factor: Option<i64>,
}

/// Tags that are sent with pings as headers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DebugTags {
    /// `X-Debug-ID`.
    pub view_tag: Option<String>,
    /// `X-Source-Tags`.
    pub source_tags: Option<Vec<String>>,
}
