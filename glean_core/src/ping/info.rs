//! The sections `ping_info` and `client_info`.

use serde_json::{Map, Value as Json};

use super::PingDefinition;
use crate::common_metric_data::Lifetime;
use crate::glean::Glean;
use crate::storage::{Address, CLIENT_INFO_STORE, Entry, INTERNAL_STORE, Value};
use crate::time::{TimeUnit, Timestamp};

/// Makes `ping_info` and stages the next sequence number and start time.
pub(crate) fn ping_info(glean: &mut Glean, ping: &PingDefinition, reason: Option<&str>) -> Json {
    let unit = if ping.precise_timestamps { TimeUnit::Millisecond } else { TimeUnit::Minute };
    let sequence_key = format!("{}#sequence", ping.name);
    let sequence_address = Address::plain(Lifetime::User, &sequence_key);
    let start_key = format!("{}#start", ping.name);
    let start_address = Address::plain(Lifetime::User, &start_key);

    let sequence = match glean.database().get(INTERNAL_STORE, sequence_address) {
        Some(Value::Counter(next)) => *next,
        _ => 0,
    };
    let start = match glean.database().get(INTERNAL_STORE, start_address) {
        Some(Value::Datetime(time, _)) => *time,
        _ => glean.start_time(),
    };
    let end = Timestamp::now();
    let database = glean.database_mut();
    database.set(INTERNAL_STORE, sequence_address, Value::Counter(sequence.saturating_add(1)));
    database.set(INTERNAL_STORE, start_address, Value::Datetime(end, TimeUnit::Millisecond));

    let mut info = Map::new();
    info.insert("seq".into(), sequence.into());
    info.insert("start_time".into(), start.to_text(unit).into());
    info.insert("end_time".into(), end.to_text(unit).into());
    if let Some(reason) = reason {
        info.insert("reason".into(), reason.into());
    }
    Json::Object(info)
}

/// Makes `client_info`: all values of the pseudo-store on one level.
pub(crate) fn client_info(glean: &Glean, ping: &PingDefinition) -> Json {
    let mut info = Map::new();
    info.insert("telemetry_sdk_build".into(), crate::VERSION.into());
    for lifetime in Lifetime::ALL {
        for (identifier, entry) in glean.database().entries(CLIENT_INFO_STORE, lifetime) {
            if let Entry::Plain(value) = entry {
                if ping.include_client_id || identifier != "client_id" {
                    info.insert(identifier.to_owned(), value.to_json());
                }
            }
        }
    }
    Json::Object(info)
}
