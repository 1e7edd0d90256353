//! The text of a ping's body, to the byte: order and spelling of what is in it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{ping, settings};
use glean_core::experiments::Experiment;
use glean_core::histogram::Histogram;
use glean_core::machine::Machine;
use glean_core::machine::context::Context;
use glean_core::machine::op::{Moment, Op};
use glean_core::store::base::Effect;
use glean_core::store::{Address, State, Value};
use glean_core::store::{SessionMetadata, StoredEvent};
use glean_core::time::{LocalDatetime, TimeUnit};
use glean_core::{Lifetime, PingDefinition};
use serde_json::{Value as Json, json};

use Lifetime::{Application, Ping, User};

const TAG: &str = "glean.client.annotation.experimentation_id";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn time(second: u32) -> LocalDatetime {
    LocalDatetime::new(2026, 11, 22, 14, 0, second, 131_000_000, -3600).unwrap()
}

fn moment(second: u32) -> Moment {
    Moment { local: time(second), unix_ms: 1_795_359_600_131 + i64::from(second) * 1000, uptime_ms: 5 }
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

fn histogram(samples: &[(u64, u64)]) -> Histogram {
    let sum = samples.iter().map(|(bucket, count)| bucket * count).sum();
    Histogram { sum, count: samples.iter().map(|(_, count)| *count).sum(), values: samples.iter().copied().collect() }
}

/// What is stored, and the ping that is made of it.
struct Stored {
    state: State,
    definition: PingDefinition,
    context: Context,
}

impl Stored {
    fn new() -> Stored {
        let context = Context::new("test".into(), settings(Path::new("/nowhere")), moment(1));
        Stored { state: State::default(), definition: ping("custom"), context }
    }

    fn set(&mut self, store: &str, lifetime: Lifetime, identifier: &str, value: Value) {
        self.state.set(store, Address::plain(lifetime, identifier), value);
    }

    fn set_label(&mut self, identifier: &str, label: &str, value: Value) {
        self.state.set("custom", Address { lifetime: Ping, identifier, label: Some(label) }, value);
    }

    /// Submits the ping `custom`; returns the text of its body, if one was made.
    fn body(&mut self, reason: Option<&str>) -> Option<String> {
        let mut outgoing = Vec::new();
        self.context.register_ping(self.definition.clone());
        let mut machine = Machine {
            state: &mut self.state,
            context: &mut self.context,
            outgoing: &mut outgoing,
            data_dir: Path::new("/nowhere"),
            damage: &mut None,
        };
        machine.apply(Op::Submit { ping: "custom", reason, moment: moment(2) });
        let Effect::Publish { content, .. } = outgoing.pop()? else { panic!("a ping") };
        let lines: Vec<&str> = content.split('\n').collect();
        let [path, body, metadata] = lines[..] else { panic!("{} lines", lines.len()) };
        assert!(path.starts_with("/submit/org-example-test-app/custom/1/"), "{path}");
        assert_eq!(
            metadata,
            json!({
                "body_has_info_sections": self.definition.include_info_sections, "headers": {}, "ping_name": "custom",
                "uploader_capabilities": self.definition.uploader_capabilities,
            })
            .to_string()
        );
        Some(body.to_owned())
    }

    /// The section `metrics` alone.
    #[track_caller]
    fn check_metrics(&mut self, expected: &str) {
        self.definition.include_info_sections = false;
        assert_eq!(self.body(None).as_deref(), Some(&*format!(r#"{{"metrics":{expected}}}"#)));
    }
}

#[test]
fn every_kind_of_value_has_its_spelling() {
    let mut stored = Stored::new();
    let large = BTreeMap::from([(u64::MAX, u64::MAX), (2, 1), (1 << 63, 0)]);
    let large = Histogram { sum: u64::MAX, count: u64::MAX, values: large };
    let values = [
        ("b.boolean", Value::Boolean(true)),
        ("b.counter", Value::Counter(i32::MAX)),
        ("b.quantity", Value::Quantity(i64::MIN)),
        ("b.string", text("a\"\\/\u{1}\n\u{7f}\u{2028}é🦀")),
        ("b.text", Value::Text("two\tlines\r\n".into())),
        ("b.url", Value::Url("glean://x?y=\"z\"".into())),
        ("b.list", Value::StringList(vec!["z".into(), String::new(), "a".into()])),
        ("b.empty_list", Value::StringList(vec![])),
        ("b.uuid", Value::Uuid("c0ffEE00-ffee-c0ff-eec0-ffeec0ffeec1".parse().unwrap())),
        ("b.timespan", Value::Timespan(1_999_999, TimeUnit::Millisecond)),
        ("b.long_timespan", Value::Timespan(u64::MAX, TimeUnit::Nanosecond)),
        // Buckets are keys, and so in the order of texts.
        ("b.timing", Value::TimingDistribution(histogram(&[(0, 1), (9, 2), (10, 3), (100, 4), (98, 5), (1, 6)]))),
        ("b.memory", Value::MemoryDistribution(large)),
        ("b.custom", Value::CustomDistribution(Histogram::new())),
        ("b.datetime", Value::Datetime(time(3), TimeUnit::Nanosecond)),
        ("b.day", Value::Datetime(time(3), TimeUnit::Day)),
        (
            "b.object",
            Value::Object(r#" {"b": [1.0, 1e30, -0, 0.1, 1.5e-9, null, "é"], "a": 1, "b2": {}, "a": 2} "#.into()),
        ),
        ("b.number", Value::Object("18446744073709551616".into())),
        ("b.damaged", Value::Object("{".into())),
        ("b.rate", Value::Rate(-1, 2)),
        ("b.experiment", Value::Experiment(Experiment { branch: "x".into(), extra: Some(BTreeMap::new()) })),
        // A label alone, without its other half.
        ("b.half", Value::DualLabeledCounter(1)),
    ];
    for (identifier, value) in values {
        stored.set("custom", Ping, identifier, value);
    }
    for (label, value) in [("z", 1), ("__other__", 2), ("A", 3)] {
        stored.set_label("c.labeled", label, Value::Counter(value));
        stored.set_label("c.strings", label, text(label));
    }
    stored.set_label("c.timings", "q\"", Value::TimingDistribution(histogram(&[(12, 1), (2, 1)])));
    // U+001E between key and category sorts behind a tab, so keys don't have the order of what is stored.
    for (label, value) in [("k\u{1e}z", 1), ("k\u{1e}a\u{1e}b", 2), ("k\t\u{1e}c", 3), ("none", 4)] {
        stored.set_label("c.dual", label, Value::DualLabeledCounter(value));
    }
    stored.set_label("c.halves", "none", Value::DualLabeledCounter(4));
    stored.check_metrics(concat!(
        r#"{"boolean":{"b.boolean":true},"counter":{"b.counter":2147483647},"#,
        r#""custom_distribution":{"b.custom":{"sum":0,"values":{}}},"#,
        r#""datetime":{"b.datetime":"2026-11-22T14:00:03.131-01:00","b.day":"2026-11-22-01:00"},"#,
        r#""dual_labeled_counter":{"b.half":1,"c.dual":{"k":{"a\u001eb":2,"z":1},"k\t":{"c":3}},"c.halves":{}},"#,
        r#""experiment":{"b.experiment":{"branch":"x"}},"#,
        r#""labeled_counter":{"c.labeled":{"A":3,"__other__":2,"z":1}},"#,
        r#""labeled_string":{"c.strings":{"A":"A","__other__":"__other__","z":"z"}},"#,
        r#""labeled_timing_distribution":{"c.timings":{"q\"":{"sum":14,"values":{"12":1,"2":1}}}},"#,
        r#""memory_distribution":{"b.memory":{"sum":9223372036854775807,"#,
        r#""values":{"18446744073709551615":9223372036854775807,"2":1,"9223372036854775808":0}}},"#,
        r#""object":{"b.damaged":null,"b.number":1.8446744073709552e+19,"#,
        r#""b.object":{"a":2,"b":[1.0,1e+30,-0.0,0.1,1.5e-9,null,"é"],"b2":{}}},"#,
        r#""quantity":{"b.quantity":-9223372036854775808},"rate":{"b.rate":{"denominator":2,"numerator":-1}},"#,
        "\"string\":{\"b.string\":\"a\\\"\\\\/\\u0001\\n\u{7f}\u{2028}é🦀\"},",
        r#""string_list":{"b.empty_list":[],"b.list":["z","","a"]},"text":{"b.text":"two\tlines\r\n"},"#,
        r#""timespan":{"b.long_timespan":{"time_unit":"nanosecond","value":9223372036854775807},"#,
        r#""b.timespan":{"time_unit":"millisecond","value":1}},"#,
        r#""timing_distribution":{"b.timing":{"sum":944,"#,
        r#""values":{"0":1,"1":6,"10":3,"100":4,"9":2,"98":5}}},"#,
        r#""url":{"b.url":"glean://x?y=\"z\""},"uuid":{"b.uuid":"c0ffee00-ffee-c0ff-eec0-ffeec0ffeec1"}}"#,
    ));
}

#[test]
fn of_equal_identifiers_in_a_section_the_one_that_lives_longest_is_sent() {
    let mut stored = Stored::new();
    for (number, lifetime) in [User, Ping, Application].into_iter().enumerate() {
        stored.set("custom", lifetime, "a.all", Value::Quantity(number as i64));
        stored.set("custom", lifetime, &format!("a.{number}"), Value::Quantity(number as i64));
    }
    stored.set("custom", User, "a.tag", text("user"));
    stored.set("all-pings", Application, "a.tag", text("everywhere"));
    stored.set("all-pings", User, "a.2", text("nowhere"));
    stored.set("all-pings", Application, "a.1", text("everywhere"));
    stored.check_metrics(concat!(
        r#"{"quantity":{"a.0":0,"a.1":1,"a.2":2,"a.all":0},"#,
        r#""string":{"a.1":"everywhere","a.tag":"everywhere"}}"#,
    ));
}

#[test]
fn the_capabilities_of_an_uploader_replace_a_list_of_that_name() {
    let mut stored = Stored::new();
    stored.definition.uploader_capabilities = vec!["b".into(), "a".into()];
    assert_eq!(stored.body(None), None);
    let list = || Value::StringList(vec!["x".into()]);
    for identifier in ["a.b", "glean.ping.uploader_capabilities", "z.z"] {
        stored.set("custom", User, identifier, list());
    }
    stored.check_metrics(r#"{"string_list":{"a.b":["x"],"glean.ping.uploader_capabilities":["b","a"],"z.z":["x"]}}"#);
}

/// Returns the body of a ping with the tag in its application lifetime and in that of all pings.
fn tagged(change: impl FnOnce(&mut Stored)) -> Option<String> {
    let mut stored = Stored::new();
    stored.definition.include_info_sections = false;
    stored.set("custom", Ping, TAG, text("own"));
    stored.set("all-pings", Application, TAG, text("t"));
    change(&mut stored);
    stored.body(None)
}

#[test]
fn the_experimentation_id_alone_makes_no_ping() {
    let with_tag = format!(r#"{{"metrics":{{"string":{{"{TAG}":"t"}}}}}}"#);
    let both = format!(r#"{{"metrics":{{"string":{{"a.b":"x","{TAG}":"t"}}}}}}"#);
    assert_eq!(tagged(|_| ()), None);
    assert_eq!(tagged(|stored| stored.definition.send_if_empty = true), Some(with_tag));
    assert_eq!(tagged(|stored| stored.set("custom", User, "a.b", text("x"))), Some(both));
    let is_anonymous = |stored: &mut Stored| stored.definition.include_client_id = false;
    assert_eq!(tagged(is_anonymous), None);
    let body = tagged(|stored| {
        is_anonymous(stored);
        stored.definition.send_if_empty = true;
    });
    assert_eq!(body.as_deref(), Some("{}"));
    let body = tagged(|stored| {
        is_anonymous(stored);
        stored.set("custom", User, "a.b", text("x"));
    });
    assert_eq!(body.as_deref(), Some(r#"{"metrics":{"string":{"a.b":"x"}}}"#));
    let body = tagged(|stored| {
        is_anonymous(stored);
        stored.definition.uploader_capabilities = vec!["c".into()];
    });
    let capabilities = r#"{"metrics":{"string_list":{"glean.ping.uploader_capabilities":["c"]}}}"#;
    assert_eq!(body.as_deref(), Some(capabilities));
}

#[test]
fn the_sections_of_a_whole_ping_are_sorted() {
    let mut stored = Stored::new();
    stored.set("custom", Ping, "a.b", Value::Counter(1));
    for (lifetime, identifier, value) in [
        (Ping, "app_build", "ping"),
        (Application, "app_build", "application"),
        (Application, "windows", "x"),
        (User, "client_id", "id"),
        (User, "attribution.term", "t"),
        (Application, "attribution.term", "replaced"),
        (Application, "attribution.medium", "m"),
        (User, "distribution.name", "d"),
        (User, "other.name", "o"),
    ] {
        stored.set("glean_client_info", lifetime, identifier, text(value));
    }
    stored.set("glean_internal_info", Application, "glean.internal.metrics.server_knobs_config", knobs());
    // An exclamation mark sorts before the number sign that ends the keys of experiments.
    for (id, extra) in [("e", None), ("e!", Some(("k", "v"))), ("a", Some(("k", "v\"")))] {
        let extra = extra.map(|(key, value)| BTreeMap::from([(key.to_owned(), value.to_owned())]));
        let experiment = Experiment { branch: format!("of {id}"), extra };
        let key = format!("{id}#experiment");
        stored.set("glean_internal_info", Application, &key, Value::Experiment(experiment));
    }
    stored.state.events.insert("custom".into(), events());
    assert_eq!(
        stored.body(Some("first")).unwrap(),
        [
            r#"{"client_info":{"app_build":"application","attribution":{"medium":"m","term":"t"},"client_id":"id","#,
            r#""distribution":{"name":"d"},"other.name":"o","#,
            &format!(r#""telemetry_sdk_build":"{VERSION}","windows":"x"}},"#),
            r#""events":[{"category":"ui","name":"plain","timestamp":0},"#,
            r#"{"category":"ui","extra":{"a":"1","b":"\""},"name":"full","session":{"event_seq":2,"session_id":"id","#,
            r#""session_sample_rate":0.1,"session_seq":-1,"session_start_time":"then"},"timestamp":4},"#,
            r#"{"category":"ui","extra":{},"name":"nan","session":{"event_seq":2,"session_id":"id","#,
            r#""session_sample_rate":null,"session_seq":-1},"timestamp":5}],"#,
            r#""metrics":{"counter":{"a.b":1}},"#,
            r#""ping_info":{"end_time":"2026-11-22T14:00:02.131-01:00","experiments":{"a":{"branch":"of a","#,
            r#""extra":{"k":"v\""}},"e":{"branch":"of e"},"e!":{"branch":"of e!","extra":{"k":"v"}}},"#,
            r#""reason":"first","seq":0,"server_knobs_config":{"a":1.0,"b":{"c":true}},"#,
            r#""start_time":"2026-11-22T14:00:01.131-01:00"}}"#,
        ]
        .concat()
    );
    // The next one has what stays, and starts where this one ended.
    stored.set("custom", Ping, "a.b", Value::Counter(2));
    stored.definition.precise_timestamps = false;
    stored.definition.include_client_id = false;
    stored.state.remove("glean_client_info", Application, "app_build");
    let body: Json = serde_json::from_str(&stored.body(Some("unknown")).unwrap()).unwrap();
    assert_eq!(body["metrics"], json!({"counter": {"a.b": 2}}));
    assert_eq!(body.get("events"), None);
    let client = &body["client_info"];
    assert_eq!((client.get("app_build"), client.get("client_id")), (None, None));
    let info = &body["ping_info"];
    assert_eq!(info["seq"], 1);
    assert_eq!((&info["start_time"], &info["end_time"]), (&info["end_time"], &json!("2026-11-22T14:00-01:00")));
    assert_eq!(info.get("reason"), None);
}

fn knobs() -> Value {
    Value::Object(r#"{"b":{"c":true},"a":1.0}"#.into())
}

fn events() -> Vec<StoredEvent> {
    let plain = StoredEvent {
        timestamp: 5,
        category: "ui".into(),
        name: "plain".into(),
        extra: None,
        session: None,
        execution_counter: None,
    };
    let session = SessionMetadata {
        session_id: "id".into(),
        session_seq: -1,
        event_seq: 2,
        session_sample_rate: 0.1,
        session_start_time: Some("then".into()),
    };
    let extra = BTreeMap::from([("b".to_owned(), "\"".to_owned()), ("a".to_owned(), "1".to_owned())]);
    let full = StoredEvent {
        timestamp: 9,
        name: "full".into(),
        extra: Some(extra),
        session: Some(session.clone()),
        ..plain.clone()
    };
    let session = SessionMetadata { session_sample_rate: f64::NAN, session_start_time: None, ..session };
    let nan = StoredEvent {
        timestamp: 10,
        name: "nan".into(),
        extra: Some(BTreeMap::new()),
        session: Some(session),
        ..plain.clone()
    };
    vec![nan, full, plain]
}
