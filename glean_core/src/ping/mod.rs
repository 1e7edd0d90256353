//! Pings: their definition, and the assembly of what is stored for one into a document.

pub mod files;
pub mod info;

use serde_json::{Map, Value as Json, json};

use crate::common_metric_data::Lifetime;
use crate::glean::Glean;
use crate::storage::{ALL_PINGS_STORE, Entry};

/// Identifier of the string metric that tags every ping of an experiment.
pub(crate) const EXPERIMENTATION_ID: &str = "glean.client.annotation.experimentation_id";

/// The description of one ping, as its owner writes it.
#[derive(Clone, Debug)]
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

/// A ping that can be registered and submitted.
#[derive(Debug)]
pub struct PingType {
    definition: PingDefinition,
}

impl PingType {
    /// Makes a ping; it records nothing until it is registered.
    pub fn new(definition: PingDefinition) -> PingType {
        PingType { definition }
    }

    /// Returns its description.
    pub fn definition(&self) -> &PingDefinition {
        &self.definition
    }

    /// Makes one of the pings every Glean has.
    pub(crate) fn built_in(name: &str, send_if_empty: bool, reasons: &[&str], enabled: bool) -> PingType {
        PingType::new(PingDefinition {
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
        })
    }
}

/// Assembles the body of a ping; `None` if it is empty and such a ping isn't sent.
///
/// Stages the next sequence number and start time if the ping has info sections; clears nothing.
pub(crate) fn assemble(glean: &mut Glean, ping: &PingDefinition, reason: Option<&str>) -> Option<Json> {
    let metrics = collect_metrics(glean, ping)?;
    let mut body = Map::new();
    if ping.include_info_sections {
        body.insert("ping_info".into(), info::ping_info(glean, ping, reason));
        body.insert("client_info".into(), info::client_info(glean, ping));
    }
    if !metrics.is_empty() {
        body.insert("metrics".into(), Json::Object(metrics));
    }
    Some(Json::Object(body))
}

/// Returns the `metrics` section, possibly empty; `None` if the ping isn't to be sent.
fn collect_metrics(glean: &Glean, ping: &PingDefinition) -> Option<Map<String, Json>> {
    let mut sections = Map::new();
    for lifetime in Lifetime::ALL {
        for (identifier, entry) in glean.database().entries(&ping.name, lifetime) {
            insert_entry(&mut sections, identifier, entry);
        }
    }
    // This ping exists for its events: without any it isn't sent, whatever else is stored for it.
    if ping.name == "events" || (sections.is_empty() && !ping.send_if_empty) {
        return None;
    }
    for (identifier, entry) in glean.database().entries(ALL_PINGS_STORE, Lifetime::Application) {
        if ping.include_client_id || identifier != EXPERIMENTATION_ID {
            insert_entry(&mut sections, identifier, entry);
        }
    }
    if !ping.uploader_capabilities.is_empty() {
        let list = json!({ "glean.ping.uploader_capabilities": ping.uploader_capabilities });
        sections.insert("string_list".into(), list);
    }
    Some(sections)
}

/// Puts a value into the section of its type.
fn insert_entry(sections: &mut Map<String, Json>, identifier: &str, entry: &Entry) {
    let (section, json) = match entry {
        Entry::Plain(value) => (value.section().to_owned(), value.to_json()),
        Entry::Labeled(values) => {
            let Some(first) = values.values().next() else { return };
            let labels = values.iter().map(|(label, value)| (label.clone(), value.to_json())).collect();
            (format!("labeled_{}", first.section()), Json::Object(labels))
        }
    };
    let section = sections.entry(section).or_insert_with(|| Json::Object(Map::new()));
    section.as_object_mut().expect("a section is an object: made above").insert(identifier.to_owned(), json);
}
