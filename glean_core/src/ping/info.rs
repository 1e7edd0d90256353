//! The sections `ping_info` and `client_info`.

use serde_json::{Map, Value as Json};

use super::PingDefinition;
use crate::common_metric_data::Lifetime;
use crate::experiments;
use crate::journal::op::Moment;
use crate::machine::{Machine, submission};
use crate::store::value::experiment_json;
use crate::store::{CLIENT_INFO_STORE, Entry, INTERNAL_STORE, Value};
use crate::time::{LocalDatetime, TimeUnit};

/// Returns when the ping was assembled last.
pub(crate) fn stored_start_time<'m>(machine: &'m Machine<'_>, ping: &PingDefinition) -> Option<&'m LocalDatetime> {
    match machine.internal(Lifetime::User, &format!("{}#start", ping.name)) {
        Some(Value::Datetime(time, _)) => Some(time),
        _ => None,
    }
}

/// Makes `ping_info`, and stores the next sequence number and start time.
pub(crate) fn ping_info(
    machine: &mut Machine<'_>,
    ping: &PingDefinition,
    reason: Option<&str>,
    moment: &Moment,
) -> Json {
    let unit = if ping.precise_timestamps { TimeUnit::Millisecond } else { TimeUnit::Minute };
    let sequence_key = format!("{}#sequence", ping.name);
    let sequence = match machine.internal(Lifetime::User, &sequence_key) {
        Some(Value::Counter(next)) => *next,
        _ => 0,
    };
    let start = stored_start_time(machine, ping).unwrap_or(&machine.context.start.local).clone();
    machine.set_internal(Lifetime::User, &sequence_key, Value::Counter(sequence.saturating_add(1)));
    let end = Value::Datetime(moment.local.clone(), TimeUnit::Millisecond);
    machine.set_internal(Lifetime::User, &format!("{}#start", ping.name), end);

    let mut info = Map::new();
    info.insert("seq".into(), sequence.into());
    info.insert("start_time".into(), start.to_text(unit).into());
    info.insert("end_time".into(), moment.local.to_text(unit).into());
    if let Some(reason) = reason {
        info.insert("reason".into(), reason.into());
    }
    let mut active = Map::new();
    for (identifier, entry) in machine.state.entries(INTERNAL_STORE, Lifetime::Application) {
        match entry {
            Entry::Plain(Value::Experiment(experiment)) => {
                active.insert(
                    identifier.strip_suffix(experiments::KEY_SUFFIX).unwrap_or(identifier).to_owned(),
                    experiment_json(experiment),
                );
            }
            Entry::Plain(value @ Value::Object(_)) if identifier == submission::KNOBS => {
                info.insert("server_knobs_config".into(), value.to_json());
            }
            _ => (),
        }
    }
    if !active.is_empty() {
        info.insert("experiments".into(), Json::Object(active));
    }
    Json::Object(info)
}

/// Makes `client_info`: all values of the pseudo-store on one level, `attribution` and `distribution` on a second one.
///
/// Values of ping lifetime are taken out of the store: the ping that comes first has them.
pub(crate) fn client_info(machine: &mut Machine<'_>, ping: &PingDefinition) -> Json {
    let mut info = Map::new();
    info.insert("telemetry_sdk_build".into(), crate::VERSION.into());
    for lifetime in Lifetime::ALL {
        for (identifier, entry) in machine.state.entries(CLIENT_INFO_STORE, lifetime) {
            let value = super::entry_json(entry);
            if identifier == "client_id" && !ping.include_client_id {
                continue;
            }
            match identifier.split_once('.') {
                Some((group @ ("attribution" | "distribution"), field)) => {
                    let group = info.entry(group).or_insert_with(|| Json::Object(Map::new()));
                    if let Some(group) = group.as_object_mut() {
                        group.insert(field.to_owned(), value);
                    }
                }
                _ => {
                    info.insert(identifier.to_owned(), value);
                }
            }
        }
    }
    machine.state.clear(CLIENT_INFO_STORE, Lifetime::Ping);
    Json::Object(info)
}
