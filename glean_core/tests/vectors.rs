//! The table of operations and the JSON they make, which the Python tests read as well.

mod common;

use common::{TempDir, metric, ping, sent, start};
use glean_core::metrics::{BooleanMetric, CounterMetric, StringMetric, UuidMetric};
use glean_core::{Glean, Lifetime};
use serde_json::{Map, Value as Json};

const VECTORS: &str = include_str!("../../tests/vectors.json");

/// Replaces `{"repeat": text, "times": n}` by the text it means, at any depth.
fn expand(json: &Json) -> Json {
    match json {
        Json::Object(fields) => match (fields.get("repeat"), fields.get("times")) {
            (Some(Json::String(text)), Some(times)) => text.repeat(times.as_u64().unwrap() as usize).into(),
            _ => fields.iter().map(|(name, value)| (name.clone(), expand(value))).collect::<Map<_, _>>().into(),
        },
        other => other.clone(),
    }
}

fn apply(glean: &mut Glean, operation: &Json) {
    let common = metric(operation["metric"].as_str().unwrap(), &["vectors"], Lifetime::Ping);
    let value = expand(&operation["value"]);
    match (operation["type"].as_str().unwrap(), operation["call"].as_str().unwrap()) {
        ("counter", "add") => CounterMetric::new(common).add(glean, value.as_i64().unwrap().try_into().unwrap()),
        ("boolean", "set") => BooleanMetric::new(common).set(glean, value.as_bool().unwrap()),
        ("string", "set") => StringMetric::new(common).set(glean, value.as_str().unwrap().into()),
        ("uuid", "set") => UuidMetric::new(common).set(glean, value.as_str().unwrap()),
        other => panic!("vectors.json asks for {other:?}, which this test doesn't know"),
    }
}

#[test]
fn every_vector_makes_its_json() {
    let vectors: Vec<Json> = serde_json::from_str(VECTORS).unwrap();
    assert!(vectors.len() > 10);
    for vector in vectors {
        let directory = TempDir::new();
        let mut definition = ping("vectors");
        definition.send_if_empty = true;
        let mut glean = start(directory.path(), definition);
        for operation in vector["operations"].as_array().unwrap() {
            apply(&mut glean, operation);
        }
        assert!(glean.submit_ping("vectors", None));
        let pings = sent(directory.path(), "pending_pings");
        let metrics = pings[0].body.get("metrics").cloned().unwrap_or_else(|| Map::new().into());
        assert_eq!(metrics, expand(&vector["metrics"]), "{}", vector["name"]);
    }
}
