//! The table of operations and the JSON they make, tests/vectors.json, played through the C ABI.
//!
//! The Python tests read it as well; `tests/bindings/test_vectors.py` says what its fields mean.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::ptr::{null, null_mut};

use common::{PENDING, TempDir, ping, sent, settings};
use glean_core::PingDefinition;
use glean_core::ffi::buffers::{GleanBuffer, glean_buffer_free};
use glean_core::ffi::{
    GLEAN_ABI_VERSION, GLEAN_LOGGED, GLEAN_NO_VALUE, GLEAN_OK, dual_labeled_counter::*, experiments::*,
    glean_abi_version, glean_log_set_level, labeled::*, lifecycle::*, metric::*, ping::*, recording::*,
};
use serde_json::{Map, Value as Json, json};

const VECTORS: &str = include_str!("../../tests/vectors.json");
const PINGS: [&str; 3] = ["vectors", "other", "free"];
const ERRORS: [&str; 4] = ["invalid_value", "invalid_label", "invalid_state", "invalid_overflow"];

// --- what stands for something long -----------------------------------------------------------------------------------

/// Replaces what stands for something long by what it means, at any depth.
fn expand(json: &Json) -> Json {
    match json {
        Json::Array(items) => items.iter().map(expand).collect(),
        Json::Object(fields) => match (fields.get("repeat"), fields.get("join"), fields.get("nest")) {
            (Some(repeated), ..) if fields.contains_key("times") => {
                repeat(&expand(repeated), fields["times"].as_u64().unwrap() as usize, fields.get("then"))
            }
            (_, Some(Json::Array(parts)), _) => {
                parts.iter().map(|part| text(&expand(part)).to_owned()).collect::<String>().into()
            }
            (_, _, Some(depth)) => (1..depth.as_u64().unwrap()).fold(json!([]), |inner, _| json!([inner])),
            _ => fields.iter().map(|(name, value)| (name.clone(), expand(value))).collect::<Map<_, _>>().into(),
        },
        other => other.clone(),
    }
}

fn repeat(repeated: &Json, times: usize, then: Option<&Json>) -> Json {
    match repeated {
        Json::String(unit) => (unit.repeat(times) + then.map_or("", |then| text(then))).into(),
        Json::Array(unit) => (0..times).flat_map(|_| unit.iter().cloned()).collect(),
        other => panic!("{other} cannot be repeated"),
    }
}

/// Returns the operations one by one.
fn unroll(operations: &Json) -> Vec<Json> {
    let mut unrolled = Vec::new();
    for operation in operations.as_array().unwrap() {
        match (operation.get("times"), operation.get("each")) {
            (Some(times), _) => {
                let one = expand(&operation["do"]);
                unrolled.extend(std::iter::repeat_n(one, times.as_u64().unwrap() as usize));
            }
            (_, Some(characters)) => {
                for character in text(characters).chars() {
                    unrolled.push(expand(&replace(&operation["do"], character)));
                }
            }
            _ => unrolled.push(expand(operation)),
        }
    }
    unrolled
}

/// Replaces `*` in an operation.
fn replace(json: &Json, character: char) -> Json {
    match json {
        Json::Array(items) => items.iter().map(|item| replace(item, character)).collect(),
        Json::String(text) => text.replace('*', &character.to_string()).into(),
        other => other.clone(),
    }
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_else(|| panic!("{json} is no text"))
}

fn number(json: &Json) -> i64 {
    json.as_i64().unwrap_or_else(|| panic!("{json} is no number"))
}

fn numbers(json: &Json) -> Vec<i64> {
    json.as_array().unwrap().iter().map(number).collect()
}

// --- the C ABI --------------------------------------------------------------------------------------------------------

fn bytes(text: &str) -> (*const u8, u64) {
    (text.as_ptr(), text.len() as u64)
}

#[track_caller]
fn check(status: i32) {
    assert_eq!(status & !GLEAN_LOGGED, GLEAN_OK);
}

#[track_caller]
fn read(getter: impl FnOnce(&mut GleanBuffer) -> i32) -> Json {
    let mut buffer = GleanBuffer { data: null_mut(), len: 0 };
    let status = getter(&mut buffer) & !GLEAN_LOGGED;
    if status == GLEAN_NO_VALUE {
        return Json::Null;
    }
    assert_eq!(status, GLEAN_OK);
    let json = serde_json::from_slice(unsafe { std::slice::from_raw_parts(buffer.data, buffer.len as usize) }).unwrap();
    check(unsafe { glean_buffer_free(&mut buffer) });
    json
}

fn make(new: unsafe extern "C" fn(*const u8, u64, *mut u64) -> i32, definition: &Json) -> u64 {
    let definition = definition.to_string();
    let (data, len) = bytes(&definition);
    let mut handle = 0;
    check(unsafe { new(data, len, &mut handle) });
    handle
}

fn start(data_dir: &Path) {
    let mut settings = json!(settings(data_dir));
    settings["enable_event_timestamps"] = false.into();
    let settings = settings.to_string();
    let (data, len) = bytes(&settings);
    check(glean_set_test_mode(1));
    check(unsafe { glean_initialize(data, len) });
}

/// Calls the recording function that a method of a metric calls: the name of the method and what it is given say which.
fn record(handle: u64, method: &str, arguments: &[Json]) {
    let first = arguments.first().unwrap_or(&Json::Null);
    let amount = || i32::try_from(number(first)).unwrap();
    let timer = || first.as_u64().unwrap_or(0);
    check(unsafe {
        match (method, first) {
            ("add" | "add_to_numerator", Json::Number(_)) if amount() == 1 => glean_counter_increment(handle),
            ("add" | "add_to_numerator", Json::Number(_)) => glean_counter_add(handle, amount()),
            ("add_to_denominator", _) => glean_metric_add_to_denominator(handle, amount()),
            ("add", Json::String(_)) => with_text(first, |data, len| glean_metric_add_to_list(handle, data, len)),
            ("set", Json::Bool(value)) => glean_metric_set_bool(handle, (*value).into()),
            ("set" | "set_raw_nanos", Json::Number(_)) => glean_metric_set_number(handle, number(first)),
            ("set", Json::String(_)) => with_text(first, |data, len| glean_metric_set_text(handle, data, len)),
            ("set_object", _) => with_text(first, |data, len| glean_metric_set_object(handle, data, len)),
            ("set_datetime", Json::Array(fields)) => set_datetime(handle, fields),
            ("set", Json::Array(_)) => with_json(first, |data, len| glean_metric_set_list(handle, data, len)),
            ("record_schema_error", _) => glean_metric_refuse_value(handle),
            ("start", _) => {
                glean_metric_start(handle);
                GLEAN_OK
            }
            ("stop" | "stop_and_accumulate", _) => glean_metric_stop(handle, timer()),
            ("cancel", _) => glean_metric_cancel(handle, timer()),
            ("accumulate" | "accumulate_single_sample", _) => glean_metric_accumulate(handle, number(first)),
            ("accumulate_samples", _) => {
                let samples = numbers(first);
                glean_metric_accumulate_samples(handle, samples.as_ptr(), samples.len() as u64)
            }
            ("record", Json::Null) => glean_metric_record_event(handle, null(), 0),
            ("record", _) => with_json(first, |data, len| glean_metric_record_event(handle, data, len)),
            other => panic!("vectors.json asks for {other:?}, which this test doesn't know"),
        }
    });
}

fn with_text(text: &Json, call: impl FnOnce(*const u8, u64) -> i32) -> i32 {
    let (data, len) = bytes(text.as_str().unwrap());
    call(data, len)
}

fn with_json(json: &Json, call: impl FnOnce(*const u8, u64) -> i32) -> i32 {
    let json = json.to_string();
    let (data, len) = bytes(&json);
    call(data, len)
}

/// Takes the parameters of a type out of a description, where they stand among the other fields.
fn take_parameters(word: &str, fields: &mut Map<String, Json>, others: &BTreeMap<String, Metric>) -> Option<Json> {
    if let Some(Json::Array(mut numerators)) = fields.remove("numerators") {
        numerators.iter_mut().for_each(|numerator| *numerator = others[text(numerator)].definition.clone());
        return Some(numerators.into());
    }
    let alone = ["time_unit", "memory_unit", "allowed_extra_keys"];
    if let Some(parameter) = alone.into_iter().find_map(|name| fields.remove(name)) {
        return Some(parameter);
    }
    let named = ["range_min", "range_max", "bucket_count", "histogram_type", "keys", "categories"];
    let parameters: Map<String, Json> =
        named.into_iter().filter_map(|name| Some((name.to_owned(), fields.remove(name)?))).collect();
    match word {
        "event" => Some(json!([])),
        "dual_labeled_counter" => Some(parameters.into()),
        _ => (!parameters.is_empty()).then(|| parameters.into()),
    }
}

/// Sets a time from its fields, the last of which are microseconds and an offset like `-05:30`, or none.
fn set_datetime(handle: u64, fields: &[Json]) -> i32 {
    let field = |index: usize| u32::try_from(number(&fields[index])).unwrap();
    let nanos = (fields[6].as_f64().unwrap() * 1000.0).round() as u32;
    let offset = fields[7].as_str().unwrap_or("+00:00");
    let parts = offset[1..].split(':').zip([3600, 60, 1]);
    let seconds: i32 = parts.map(|(part, unit)| part.parse::<i32>().unwrap() * unit).sum();
    let offset = if offset.starts_with('-') { -seconds } else { seconds };
    let year = i32::try_from(number(&fields[0])).unwrap();
    glean_metric_set_datetime(handle, year, field(1), field(2), field(3), field(4), field(5), nanos, offset)
}

// --- a vector ---------------------------------------------------------------------------------------------------------

struct Metric {
    handle: u64,
    kind: String,
    definition: Json,
    /// The handles of its parts, as timers belong to them.
    parts: BTreeMap<String, u64>,
}

impl Metric {
    fn new(identifier: &str, given: &Json, others: &BTreeMap<String, Metric>) -> Metric {
        let mut definition = given.as_object().cloned().unwrap_or_default();
        let kind = definition.get("type").unwrap_or(given);
        let kind = text(kind).to_owned();
        let (category, name) = identifier.rsplit_once('.').unwrap_or(("", identifier));
        let word = kind.strip_prefix("labeled_").unwrap_or(&kind);
        definition.insert("is_labeled".into(), (word != kind).into());
        let parameters = take_parameters(word, &mut definition, others);
        definition.insert("type".into(), parameters.map_or(word.into(), |parameters| json!({word: parameters})));
        definition.insert("category".into(), category.into());
        definition.insert("name".into(), name.into());
        let pings = definition.remove("pings").unwrap_or_else(|| json!(["vectors"]));
        definition.insert("send_in_pings".into(), pings);
        definition.entry("lifetime").or_insert("ping".into());
        definition.entry("disabled").or_insert(false.into());
        let definition = Json::Object(definition);
        Metric { handle: make(glean_metric_new, &definition), kind, definition, parts: BTreeMap::new() }
    }

    /// Returns the handle of the part with a label, or with a key and a category.
    fn part(&mut self, labels: &Json) -> u64 {
        let handle = self.handle;
        *self.parts.entry(labels.to_string()).or_insert_with(|| {
            let mut part = 0;
            let (label, label_len) = bytes(text(&labels[0]));
            check(match labels.get(1) {
                None => unsafe { glean_labeled_get(handle, label, label_len, &mut part) },
                Some(category) => {
                    let (category, len) = bytes(text(category));
                    unsafe { glean_dual_labeled_counter_get(handle, label, label_len, category, len, &mut part) }
                }
            });
            part
        })
    }

    fn value(&self) -> Json {
        let mut value = read(|buffer| unsafe { glean_metric_test_get_value(self.handle, null(), 0, buffer) });
        if self.kind == "event" {
            for event in value.as_array_mut().into_iter().flatten() {
                event.as_object_mut().unwrap().retain(|field, _| field != "timestamp" && field != "session");
            }
        }
        value
    }

    fn errors(&self, kind: i32) -> i32 {
        let mut count = 0;
        check(unsafe { glean_metric_test_get_num_recorded_errors(self.handle, kind, &mut count) });
        count
    }

    fn is_sent_in(&self, ping: &str) -> bool {
        self.definition["send_in_pings"].as_array().unwrap().iter().any(|sent| sent == ping)
    }
}

impl Drop for Metric {
    fn drop(&mut self) {
        self.parts.values().chain([&self.handle]).for_each(|handle| check(glean_metric_destroy(*handle)));
    }
}

struct Player<'v> {
    vector: &'v Json,
    directory: TempDir,
    metrics: BTreeMap<String, Metric>,
    pings: BTreeMap<&'static str, u64>,
}

impl Player<'_> {
    fn new(vector: &Json) -> Player<'_> {
        let mut metrics = BTreeMap::new();
        let given = vector["metrics"].as_object().unwrap();
        // Denominators come last: they describe their numerators.
        let (denominators, others): (Vec<_>, Vec<_>) =
            given.iter().partition(|(_, given)| given.get("numerators").is_some());
        for (identifier, given) in others.into_iter().chain(denominators) {
            let metric = Metric::new(identifier, given, &metrics);
            metrics.insert(identifier.clone(), metric);
        }
        let pings = PINGS.map(|name| {
            let follows_collection_enabled = name != "free";
            let definition = PingDefinition { send_if_empty: true, follows_collection_enabled, ..ping(name) };
            (name, make(glean_ping_new, &json!(definition)))
        });
        let directory = TempDir::new();
        start(directory.path());
        Player { vector, directory, metrics, pings: pings.into() }
    }

    fn play(&mut self, operation: &Json) {
        let operation = operation.as_array().unwrap();
        let target = text(&operation[0]);
        if let Some(metric) = self.metrics.get_mut(target) {
            match &operation[1] {
                labels @ Json::Array(_) => {
                    let handle = metric.part(labels);
                    record(handle, text(&operation[2]), &operation[3..]);
                }
                // What these are given looks like a text and like a list.
                call if ["object", "datetime"].contains(&metric.kind.as_str()) && call == "set" => {
                    record(metric.handle, &format!("set_{}", metric.kind), &operation[2..]);
                }
                call => record(metric.handle, text(call), &operation[2..]),
            }
        } else if let Some(ping) = self.pings.get(target) {
            check(match text(&operation[1]) {
                "submit" => unsafe { glean_ping_submit(*ping, null(), 0) },
                _ => glean_ping_set_enabled(*ping, operation[2].as_bool().unwrap().into()),
            });
        } else {
            self.call_glean(text(&operation[1]), &operation[2..]);
        }
    }

    fn call_glean(&self, call: &str, arguments: &[Json]) {
        let (first, len) = arguments.first().and_then(Json::as_str).map_or((null(), 0), bytes);
        check(match call {
            "restart" => {
                check(glean_reset());
                start(self.directory.path());
                GLEAN_OK
            }
            "set_collection_enabled" => glean_set_collection_enabled(arguments[0].as_bool().unwrap().into()),
            "apply_server_knobs" => {
                with_json(&arguments[0], |data, len| unsafe { glean_apply_server_knobs_config(data, len) })
            }
            "set_experiment_active" => {
                let (branch, branch_len) = bytes(text(&arguments[1]));
                let extra = if arguments[2].is_null() { &json!({}) } else { &arguments[2] };
                with_json(extra, |data, data_len| unsafe {
                    glean_set_experiment_active(first, len, branch, branch_len, data, data_len)
                })
            }
            "set_experiment_inactive" => unsafe { glean_set_experiment_inactive(first, len) },
            "set_experimentation_id" => unsafe { glean_set_experimentation_id(first, len) },
            other => panic!("vectors.json asks for {other:?}, which this test doesn't know"),
        });
    }

    /// Returns the errors of all metrics by kind.
    fn errors(&mut self) -> Json {
        // Of what is no metric the errors are known under its name.
        let named = self.vector["errors"].as_object().into_iter().flatten();
        let named: BTreeSet<&String> = named.flat_map(|(_, counts)| counts.as_object().unwrap().keys()).collect();
        for identifier in named {
            if !self.metrics.contains_key(identifier) {
                let given = json!({"type": "counter", "pings": ["all-pings"]});
                self.metrics.insert(identifier.clone(), Metric::new(identifier, &given, &BTreeMap::new()));
            }
        }
        let mut errors = Map::new();
        for (kind, name) in (0..).zip(ERRORS) {
            let counts = self.metrics.iter().map(|(identifier, metric)| (identifier.clone(), metric.errors(kind)));
            let counts: Map<String, Json> =
                counts.filter(|(_, count)| *count > 0).map(|(identifier, count)| (identifier, count.into())).collect();
            if !counts.is_empty() {
                errors.insert(name.to_owned(), counts.into());
            }
        }
        errors.into()
    }

    /// Returns metrics, events and experiments of the pings that the vector tells of, in the order of their submission.
    fn expected(&self) -> Vec<(String, Json)> {
        let fallback = json!({"vectors": self.vector["sent"]});
        let all = self.vector.get("sent_in").unwrap_or(&fallback).as_object().unwrap();
        // `vectors` comes first where the order matters.
        let names = PINGS.iter().filter(|name| all.contains_key(**name));
        names.map(|name| ((*name).to_owned(), self.expected_of(name, expand(&all[*name])))).collect()
    }

    fn expected_of(&self, ping: &str, mut metrics: Json) -> Json {
        for (kind, counts) in self.vector["errors"].as_object().into_iter().flatten() {
            for (identifier, count) in counts.as_object().unwrap() {
                if self.metrics.get(identifier).is_some_and(|metric| metric.is_sent_in(ping)) {
                    metrics["labeled_counter"][format!("glean.error.{kind}")][identifier] = count.clone();
                }
            }
        }
        let own = if ping == "vectors" { self.vector.get("events") } else { None };
        let events = self.vector["events_in"].get(ping).or(own).map_or_else(|| json!([]), expand);
        let experiments = self.vector.get("experiments").map_or_else(|| json!({}), expand);
        json!({"metrics": metrics, "events": events, "experiments": experiments})
    }

    /// Submits the pings and returns what they say.
    fn submit(&self, names: &[String]) -> Vec<(String, Json)> {
        let before: BTreeSet<String> = self.sent().map(|sent| sent.path).collect();
        for name in names {
            check(unsafe { glean_ping_submit(self.pings[name.as_str()], null(), 0) });
        }
        let made: Vec<common::Sent> = self.sent().filter(|sent| !before.contains(&sent.path)).collect();
        assert_eq!(made.len(), names.len(), "{}", self.vector["name"]);
        let found = names.iter().map(|name| made.iter().find(|sent| sent.name() == name).unwrap());
        names.iter().cloned().zip(found.map(|sent| summary(&sent.body))).collect()
    }

    fn sent(&self) -> impl Iterator<Item = common::Sent> {
        sent(self.directory.path(), PENDING).into_iter()
    }
}

/// Returns the parts of a ping that vectors tell of.
fn summary(body: &Json) -> Json {
    let mut events = body.get("events").cloned().unwrap_or_else(|| json!([]));
    let mut last = 0;
    for (index, event) in events.as_array_mut().unwrap().iter_mut().enumerate() {
        let timestamp = event.as_object_mut().unwrap().remove("timestamp").and_then(|time| time.as_u64()).unwrap();
        assert!(if index == 0 { timestamp == 0 } else { timestamp >= last });
        last = timestamp;
    }
    let part = |json: &Json, name: &str| json.get(name).cloned().unwrap_or_else(|| json!({}));
    json!({"metrics": part(body, "metrics"), "events": events, "experiments": part(&body["ping_info"], "experiments")})
}

fn play(vector: &Json) {
    let name = text(&vector["name"]);
    let mut player = Player::new(vector);
    for operation in unroll(&vector["do"]) {
        player.play(&operation);
    }
    for (identifier, value) in vector["values"].as_object().into_iter().flatten() {
        assert_eq!(player.metrics[identifier].value(), expand(value), "{name}: {identifier}");
    }
    let errors = vector.get("errors").map_or_else(|| json!({}), Clone::clone);
    assert_eq!(player.errors(), errors, "{name}");
    let expected = player.expected();
    let names: Vec<String> = expected.iter().map(|(ping, _)| ping.clone()).collect();
    for ((ping, found), (_, expected)) in player.submit(&names).into_iter().zip(expected) {
        assert_eq!(found, expected, "{name}: {ping}");
    }
    check(glean_reset());
}

/// One test, as the C ABI has one Glean per process.
#[test]
fn every_vector_makes_its_json() {
    let mut version = 0;
    check(unsafe { glean_abi_version(&mut version) });
    assert_eq!(version, GLEAN_ABI_VERSION);
    // Refused values are logged as warnings, which nobody reads here.
    check(glean_log_set_level(100));
    let vectors: Vec<Json> = serde_json::from_str(VECTORS).unwrap();
    assert!(vectors.len() > 100);
    // Where nesting is the point, serde_json refuses to read the ping, as it counts the levels around the value as well.
    vectors.iter().filter(|vector| vector.get("only").is_none_or(|side| side == "core")).for_each(play);
}
