//! The sections `ping_info` and `client_info`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{EntryInPing, KNOBS, PingDefinition};
use crate::common_metric_data::Lifetime;
use crate::experiments;
use crate::store::value::{ExperimentInPing, InPing};
use crate::store::{CLIENT_INFO_STORE, Entry, INTERNAL_STORE, State, Value};
use crate::time::{LocalDatetime, Moment, TimeUnit};

/// Returns when the ping was assembled last.
pub(super) fn stored_start_time<'s>(state: &'s State, ping: &PingDefinition) -> Option<&'s LocalDatetime> {
    match state.internal(Lifetime::User, &format!("{}#start", ping.name)) {
        Some(Value::Datetime(time, _)) => Some(time),
        _ => None,
    }
}

/// Returns the sequence number of the ping that is assembled next.
fn sequence(state: &State, ping: &PingDefinition) -> i32 {
    match state.internal(Lifetime::User, &sequence_key(ping)) {
        Some(Value::Counter(next)) => *next,
        _ => 0,
    }
}

fn sequence_key(ping: &PingDefinition) -> String {
    format!("{}#sequence", ping.name)
}

/// Stores what the next ping starts with: its sequence number and start time, and no values of `client_info` that have
/// ping lifetime, as the ping that comes first has them.
pub(super) fn prepare_next(state: &mut State, ping: &PingDefinition, moment: &Moment) {
    let next = sequence(state, ping).saturating_add(1);
    state.set_internal(Lifetime::User, &sequence_key(ping), Value::Counter(next));
    let end = Value::Datetime(moment.local.clone(), TimeUnit::Millisecond);
    state.set_internal(Lifetime::User, &format!("{}#start", ping.name), end);
    state.clear(CLIENT_INFO_STORE, Lifetime::Ping);
}

/// The section `ping_info`. The fields are sorted.
#[derive(Serialize)]
pub(super) struct PingInfo<'a> {
    end_time: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    experiments: BTreeMap<&'a str, ExperimentInPing<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    seq: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_knobs_config: Option<InPing<'a>>,
    start_time: String,
}

impl<'a> PingInfo<'a> {
    pub(super) fn collect(
        state: &'a State,
        ping: &PingDefinition,
        reason: Option<&'a str>,
        moment: &Moment,
        core_start: &'a Moment,
    ) -> PingInfo<'a> {
        let unit = if ping.precise_timestamps { TimeUnit::Millisecond } else { TimeUnit::Minute };
        let start = stored_start_time(state, ping).unwrap_or(&core_start.local);
        let mut info = PingInfo {
            end_time: moment.local.to_text(unit),
            experiments: BTreeMap::new(),
            reason,
            seq: sequence(state, ping),
            server_knobs_config: None,
            start_time: start.to_text(unit),
        };
        for (identifier, entry) in state.entries(INTERNAL_STORE, Lifetime::Application) {
            match entry {
                Entry::Plain(Value::Experiment(experiment)) => {
                    let id = identifier.strip_suffix(experiments::KEY_SUFFIX).unwrap_or(identifier);
                    info.experiments.insert(id, experiment.into());
                }
                Entry::Plain(value @ Value::Object(_)) if identifier == KNOBS => {
                    info.server_knobs_config = Some(InPing(value));
                }
                _ => (),
            }
        }
        info
    }
}

/// The section `client_info`: all values of the pseudo-store on one level, `attribution` and `distribution` on a second
/// one.
#[derive(Serialize)]
pub(super) struct ClientInfo<'a>(BTreeMap<&'a str, Field<'a>>);

#[derive(Serialize)]
#[serde(untagged)]
enum Field<'a> {
    Text(&'static str),
    Entry(EntryInPing<'a>),
    Group(BTreeMap<&'a str, EntryInPing<'a>>),
}

impl<'a> ClientInfo<'a> {
    pub(super) fn collect(state: &'a State, ping: &PingDefinition) -> ClientInfo<'a> {
        let mut info = BTreeMap::new();
        info.insert("telemetry_sdk_build", Field::Text(crate::VERSION));
        for (identifier, entry) in Lifetime::ALL.into_iter().flat_map(|l| state.entries(CLIENT_INFO_STORE, l)) {
            if identifier == "client_id" && !ping.include_client_id {
                continue;
            }
            match identifier.split_once('.') {
                Some((group @ ("attribution" | "distribution"), field)) => {
                    let group = info.entry(group).or_insert_with(|| Field::Group(BTreeMap::new()));
                    // A metric of an application that has the name of a group stays as it is.
                    if let Field::Group(fields) = group {
                        fields.insert(field, EntryInPing(entry));
                    }
                }
                _ => {
                    info.insert(identifier, Field::Entry(EntryInPing(entry)));
                }
            }
        }
        ClientInfo(info)
    }
}
