//! Pings: their definition, and the assembly of what is stored for one into a document.

pub mod files;
pub mod info;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::common_metric_data::Lifetime;
use crate::events::{self, EVENTS_PING, normalize};
use crate::journal::op::Moment;
use crate::machine::{EXPERIMENTATION_ID, Machine};
use crate::metrics::dual_labeled_counter;
use crate::store::{ALL_PINGS_STORE, Entry, Value};
use crate::time::{LocalDatetime, start_of_minute};

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

/// Collects what is stored for a ping and assembles its body; `None` if it is empty and such a ping isn't sent.
///
/// Values of ping lifetime and events are taken out of the store either way.
pub(crate) fn assemble(
    machine: &mut Machine<'_>,
    ping: &PingDefinition,
    reason: Option<&str>,
    moment: &Moment,
) -> Option<Json> {
    let mut metrics = collect_metrics(machine, ping);
    machine.state.clear(&ping.name, Lifetime::Ping);
    let events = collect_events(machine, ping);
    insert_everywhere(machine, &mut metrics);
    let has_content = !metrics.is_empty() || !events.is_empty();
    if !ping.uploader_capabilities.is_empty() && (has_content || ping.send_if_empty) {
        let section = metrics.entry("string_list").or_insert_with(|| Json::Object(Map::new()));
        if let Some(section) = section.as_object_mut() {
            section.insert("glean.ping.uploader_capabilities".into(), json!(ping.uploader_capabilities));
        }
    }
    if !ping.include_client_id {
        remove_tag(&mut metrics);
    }
    // Alone, it says nothing.
    let is_tag_alone = events.is_empty() && !ping.send_if_empty && holds_tag_alone(&metrics);
    if (events.is_empty() && ping.name == EVENTS_PING)
        || (events.is_empty() && metrics.is_empty() && !ping.send_if_empty)
        || is_tag_alone
    {
        return None;
    }
    let mut body = Map::new();
    if ping.include_info_sections {
        body.insert("ping_info".into(), info::ping_info(machine, ping, reason, moment));
        body.insert("client_info".into(), info::client_info(machine, ping));
    }
    if !metrics.is_empty() {
        body.insert("metrics".into(), Json::Object(metrics));
    }
    if !events.is_empty() {
        body.insert("events".into(), Json::Array(events));
    }
    Some(Json::Object(body))
}

/// Returns the `metrics` section, possibly empty.
fn collect_metrics(machine: &Machine<'_>, ping: &PingDefinition) -> Map<String, Json> {
    let mut sections = Map::new();
    for lifetime in Lifetime::ALL {
        for (identifier, entry) in machine.state.entries(&ping.name, lifetime) {
            insert_entry(&mut sections, identifier, entry);
        }
    }
    sections
}

/// Adds what is in every ping.
fn insert_everywhere(machine: &Machine<'_>, sections: &mut Map<String, Json>) {
    for (identifier, entry) in machine.state.entries(ALL_PINGS_STORE, Lifetime::Application) {
        insert_entry(sections, identifier, entry);
    }
}

/// Takes out the experimentation id, which tells clients apart like the client id does.
fn remove_tag(sections: &mut Map<String, Json>) {
    if let Some(section) = sections.get_mut("string").and_then(Json::as_object_mut) {
        section.remove(EXPERIMENTATION_ID);
        if section.is_empty() {
            sections.remove("string");
        }
    }
}

/// Tells whether the experimentation id is all there is.
fn holds_tag_alone(sections: &Map<String, Json>) -> bool {
    let section = sections.get("string").and_then(Json::as_object);
    sections.len() == 1 && section.is_some_and(|section| section.len() == 1 && section.contains_key(EXPERIMENTATION_ID))
}

/// Takes the events of a ping out of the store and returns them as they appear in it.
fn collect_events(machine: &mut Machine<'_>, ping: &PingDefinition) -> Vec<Json> {
    let Some(stored) = machine.state.events.remove(&ping.name) else { return Vec::new() };
    let core_start_ms = machine.context.start.unix_ms;
    let ping_start_ms = match info::stored_start_time(machine, ping).map(LocalDatetime::unix_ms) {
        Some(start_ms) if !ping.precise_timestamps => start_of_minute(start_ms),
        Some(start_ms) => start_ms,
        None => core_start_ms,
    };
    let normalized = normalize::normalize(stored, ping_start_ms, core_start_ms);
    for (error, why) in &normalized.errors {
        let identifier = format!("glean.{}", events::RESTARTED);
        machine.record_error(&identifier, std::slice::from_ref(&ping.name), *error, 1, why);
    }
    normalized.events.iter().map(normalize::to_json).collect()
}

/// Puts a value into the section of its type.
fn insert_entry(sections: &mut Map<String, Json>, identifier: &str, entry: &Entry) {
    let section = match entry {
        Entry::Plain(value) => value.section().to_owned(),
        Entry::Labeled(values) => match values.values().next() {
            None => return,
            Some(Value::DualLabeledCounter(_)) => "dual_labeled_counter".to_owned(),
            Some(first) => format!("labeled_{}", first.section()),
        },
    };
    let json = entry_json(entry);
    let section = sections.entry(section).or_insert_with(|| Json::Object(Map::new()));
    section.as_object_mut().expect("a section is an object: made above").insert(identifier.to_owned(), json);
}

/// Returns what is stored for an identifier as it appears in a ping.
pub(crate) fn entry_json(entry: &Entry) -> Json {
    match entry {
        Entry::Plain(value) => value.to_json(),
        Entry::Labeled(values) if matches!(values.values().next(), Some(Value::DualLabeledCounter(_))) => {
            dual_json(entry)
        }
        Entry::Labeled(values) => {
            Json::Object(values.iter().map(|(label, value)| (label.clone(), value.to_json())).collect())
        }
    }
}

/// Returns a dual labeled counter as it appears in a ping: categories in keys.
pub(crate) fn dual_json(entry: &Entry) -> Json {
    let mut keys = Map::new();
    if let Entry::Labeled(values) = entry {
        for (label, value) in values {
            if let Some((key, category)) = dual_labeled_counter::split(label) {
                let categories = keys.entry(key).or_insert_with(|| Json::Object(Map::new()));
                if let Some(categories) = categories.as_object_mut() {
                    categories.insert(category.to_owned(), value.to_json());
                }
            }
        }
    }
    Json::Object(keys)
}
