//! Pings: their definition, and the assembly of what is stored for one into a document.

pub mod files;
pub mod info;
mod metrics;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;

use crate::common_metric_data::Lifetime;
use crate::error_recording::ErrorType;
use crate::events::{self, EVENTS_PING, EventInPing, Normalized};
use crate::metrics::dual_labeled_counter;
use crate::store::value::{InPing, tree};
use crate::store::{Entry, State, StoredEvent, Value};
use crate::time::{LocalDatetime, Moment, start_of_minute};
use info::{ClientInfo, PingInfo};
use metrics::Metrics;

/// The description of one ping, as its owner writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PingDefinition {
    /// Name of the ping, part of the submission path.
    pub name: String,
    /// Whether `client_info` has the client id.
    pub include_client_id: bool,
    /// Whether the ping is sent without any metric.
    pub send_if_empty: bool,
    /// Whether times have milliseconds; otherwise they end with the minute.
    pub precise_timestamps: bool,
    /// Whether the ping has `ping_info` and `client_info` at all.
    pub include_info_sections: bool,
    /// Names of pings that are submitted right after this one, with the same reason.
    pub schedules_pings: Vec<String>,
    /// The reasons this ping may be submitted for.
    pub reason_codes: Vec<String>,
    /// What an uploader has to be able to do to send this ping.
    pub uploader_capabilities: Vec<String>,
    /// Whether the ping is enabled from the start.
    pub enabled: bool,
    /// Whether the ping is off while collection is off.
    pub follows_collection_enabled: bool,
}

impl PingDefinition {
    /// Returns the pings every Glean has; `enabled` is the switch of all but `deletion-request`.
    pub fn built_in(enabled: bool) -> Vec<PingDefinition> {
        let definitions: [(&str, bool, &[&str], bool); 5] = [
            ("baseline", true, &["active", "dirty_startup", "inactive"], enabled),
            ("metrics", false, &["overdue", "reschedule", "today", "tomorrow", "upgrade"], enabled),
            ("events", false, &["inactive", "max_capacity", "startup"], enabled),
            ("health", true, &["pre_init"], enabled),
            ("deletion-request", true, &["at_init", "set_upload_enabled"], true),
        ];
        let make = |(name, send_if_empty, reasons, enabled): (&str, bool, &[&str], bool)| PingDefinition {
            name: name.to_owned(),
            include_client_id: true,
            send_if_empty,
            precise_timestamps: true,
            include_info_sections: true,
            schedules_pings: Vec::new(),
            reason_codes: reasons.iter().map(ToString::to_string).collect(),
            uploader_capabilities: Vec::new(),
            enabled,
            follows_collection_enabled: true,
        };
        definitions.into_iter().map(make).collect()
    }
}

pub(crate) use crate::upload::queue::{DELETION_REQUESTS, PENDING};
/// Bookkeeping entry: what `ping_info.server_knobs_config` shows.
pub(crate) const KNOBS: &str = "glean.internal.metrics.server_knobs_config";
/// Identifier of the string metric that tags every ping of an experiment.
pub(crate) const EXPERIMENTATION_ID: &str = "glean.client.annotation.experimentation_id";
/// Identifier of the event that marks a start, which errors of [`Assembled`] are counted for.
pub(crate) const RESTARTED: &str = "glean.restarted";

/// What became of a ping.
pub(crate) struct Assembled {
    /// Whether there is a body; none is made of an empty ping that isn't sent then.
    pub(crate) is_made: bool,
    /// Errors to count for [`RESTARTED`], each with its reason.
    pub(crate) errors: Vec<(ErrorType, String)>,
}

/// Collects what is stored for a ping and appends its body.
///
/// Values of ping lifetime and events are taken out of the store either way.
pub(crate) fn assemble(
    state: &mut State,
    ping: &PingDefinition,
    reason: Option<&str>,
    moment: &Moment,
    core_start: &Moment,
    body: &mut Vec<u8>,
) -> Assembled {
    let Normalized { events, errors } = take_events(state, ping, core_start);
    let is_made = write_body(state, ping, reason, moment, core_start, &events, body);
    state.clear(&ping.name, Lifetime::Ping);
    if is_made && ping.include_info_sections {
        info::prepare_next(state, ping, moment);
    }
    Assembled { is_made, errors }
}

/// What most metrics take at most in a ping.
const TYPICAL_BYTES: usize = 64;

/// The body of a ping. The fields are sorted, like all keys in it.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_info: Option<ClientInfo<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventInPing<'a>>,
    #[serde(skip_serializing_if = "Metrics::is_empty")]
    metrics: Metrics<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ping_info: Option<PingInfo<'a>>,
}

/// Writes the body straight from what is stored: a tree in between would copy every text, and took four times as long.
fn write_body(
    state: &State,
    ping: &PingDefinition,
    reason: Option<&str>,
    moment: &Moment,
    core_start: &Moment,
    events: &[StoredEvent],
    bytes: &mut Vec<u8>,
) -> bool {
    let capabilities = Entry::Plain(Value::StringList(ping.uploader_capabilities.clone()));
    let mut metrics = Metrics::collect(state, ping);
    let has_content = !metrics.is_empty() || !events.is_empty();
    if !ping.uploader_capabilities.is_empty() && (has_content || ping.send_if_empty) {
        metrics.insert("glean.ping.uploader_capabilities", &capabilities);
    }
    if !ping.include_client_id {
        metrics.remove_tag();
    }
    // Alone, it says nothing.
    let is_tag_alone = events.is_empty() && !ping.send_if_empty && metrics.is_tag_alone();
    if (events.is_empty() && ping.name == EVENTS_PING)
        || (events.is_empty() && metrics.is_empty() && !ping.send_if_empty)
        || is_tag_alone
    {
        return false;
    }
    metrics.sort();
    bytes.reserve(metrics.len() * TYPICAL_BYTES);
    let has_info = ping.include_info_sections;
    let body = Body {
        client_info: has_info.then(|| ClientInfo::collect(state, ping)),
        events: events.iter().map(EventInPing::from).collect(),
        metrics,
        ping_info: has_info.then(|| PingInfo::collect(state, ping, reason, moment, core_start)),
    };
    serde_json::to_writer(bytes, &body).expect("texts and numbers are the only keys, and memory the only limit");
    true
}

/// Takes the events of a ping out of the store and makes them ready for it.
fn take_events(state: &mut State, ping: &PingDefinition, core_start: &Moment) -> Normalized {
    let Some(stored) = state.events.remove(&ping.name) else { return Normalized::default() };
    let ping_start_ms = match info::stored_start_time(state, ping).map(LocalDatetime::unix_ms) {
        Some(start_ms) if !ping.precise_timestamps => start_of_minute(start_ms),
        Some(start_ms) => start_ms,
        None => core_start.unix_ms,
    };
    events::normalize(stored, ping_start_ms, core_start.unix_ms)
}

/// What is stored for an identifier, as it appears in a ping.
struct EntryInPing<'a>(&'a Entry);

impl Serialize for EntryInPing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Entry::Plain(value) => InPing(value).serialize(serializer),
            Entry::Labeled(values) if matches!(values.values().next(), Some(Value::DualLabeledCounter(_))) => {
                by_key(values).serialize(serializer)
            }
            Entry::Labeled(values) => {
                serializer.collect_map(values.iter().map(|(label, value)| (label, InPing(value))))
            }
        }
    }
}

/// Returns a dual labeled counter as it appears in a ping: categories in keys.
pub(crate) fn dual_json(entry: &Entry) -> Json {
    match entry {
        Entry::Plain(_) => Json::Object(Default::default()),
        Entry::Labeled(values) => tree(&by_key(values)),
    }
}

/// Sorts the values of a dual labeled counter by key, then by category.
///
/// Labels have another order: a separator stands between key and category, and some characters precede it.
fn by_key(values: &BTreeMap<String, Value>) -> BTreeMap<&str, BTreeMap<&str, InPing<'_>>> {
    let mut keys: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (label, value) in values {
        if let Some((key, category)) = dual_labeled_counter::split(label) {
            keys.entry(key).or_default().insert(category, InPing(value));
        }
    }
    keys
}
