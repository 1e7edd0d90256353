//! Pings: their content, their files, and what submission and the switches clear.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::common::{PENDING, Process, TempDir, counter, metric, ping, sent, settings};
use glean_core::handles::Metric;
use glean_core::machine::context::Settings;
use glean_core::machine::op::{Moment, Op};
use glean_core::metrics::{EventRecording, Kind, MetricDefinition, Recording};
use glean_core::process::Calls;
use glean_core::{Lifetime, PingDefinition};
use serde_json::json;

const DELETION_REQUESTS: &str = "deletion_request";

fn start(directory: &TempDir, pings: Vec<PingDefinition>) -> Process {
    Process::start_with(settings(directory.path()), pings)
}

fn in_pings(identifier: &str, pings: &[&str], lifetime: Lifetime) -> MetricDefinition {
    metric(identifier, Kind::Counter, pings, lifetime)
}

fn add(process: &mut Process, metric: &MetricDefinition, amount: i32) {
    process.record(metric, &Recording::CounterAdd(amount));
}

/// Submits and folds; tells whether a file came to be.
fn submit(process: &mut Process, ping: &str, reason: Option<&str>) -> bool {
    process.fold();
    let before = process.engine.submissions(ping);
    process.submit(ping, reason);
    process.fold();
    process.engine.submissions(ping) > before
}

fn switch_collection(process: &mut Process, enabled: bool) {
    process.log.set_collection_enabled(enabled);
    process.fold();
}

#[test]
fn what_was_recorded_before_consent_is_not_sent_when_the_disk_is_slow() {
    let directory = TempDir::new();
    let without_consent = Settings { upload_enabled: false, ..settings(directory.path()) };
    let calls = |log: &mut Calls| {
        log.record(&mut Metric::new(Arc::new(counter("a.b"))), &Recording::CounterAdd(10));
        log.append(&Op::Submit { ping: "custom", reason: None, moment: Moment::now() });
        log.set_collection_enabled(true);
    };
    let pings = vec![ping("custom")];
    let mut process = Process::start_slowly(Calls::new(), without_consent, pings, Moment::now(), None, calls).unwrap();
    process.add("a.b", 1);
    assert!(submit(&mut process, "custom", None));
    let pings = sent(directory.path(), PENDING);
    let [ping] = &pings[..] else { panic!("{} pings", pings.len()) };
    assert_eq!(ping.body["metrics"], json!({"counter": {"a.b": 1}}));
}

fn client_id_file(directory: &TempDir) -> String {
    fs::read_to_string(directory.path().join("client_id.txt")).unwrap()
}

#[test]
fn a_ping_has_the_standard_envelope() {
    let directory = TempDir::new();
    let mut process = start(&directory, vec![ping("custom")]);
    process.add("a.b", 2);
    assert!(submit(&mut process, "custom", Some("second")));
    let pings = sent(directory.path(), PENDING);
    let [ping] = &pings[..] else { panic!("{} pings", pings.len()) };
    assert!(ping.path.starts_with("/submit/org-example-test-app/custom/1/"), "{}", ping.path);
    assert_eq!(
        ping.metadata,
        json!({"headers": {}, "body_has_info_sections": true, "ping_name": "custom", "uploader_capabilities": []})
    );
    assert_eq!(ping.body["metrics"], json!({"counter": {"a.b": 2}}));
    let client = &ping.body["client_info"];
    assert_eq!(client["app_build"], "456");
    assert_eq!(client["app_channel"], "nightly");
    assert_eq!(client["app_display_version"], "1.2.3");
    assert_eq!(client["architecture"], "x86_64");
    assert_eq!(client["build_date"], "1970-01-01T00:00:00+00:00");
    assert_eq!(client["telemetry_sdk_build"], env!("CARGO_PKG_VERSION"));
    assert_eq!(client["first_run_date"].as_str().unwrap().len(), "2026-11-22+00:00".len());
    assert_eq!(client["client_id"], client_id_file(&directory).as_str());
    assert_eq!(client_id_file(&directory).len(), 36);
    let info = &ping.body["ping_info"];
    assert_eq!((&info["seq"], &info["reason"]), (&json!(0), &json!("second")));
    for key in ["start_time", "end_time"] {
        assert_eq!(info[key].as_str().unwrap().len(), "2026-11-22T14:00:48.131+00:00".len());
    }
}

#[test]
fn seq_grows_and_start_time_is_the_previous_end_time_across_runs() {
    let directory = TempDir::new();
    let mut definition = ping("custom");
    definition.send_if_empty = true;
    let mut process = start(&directory, vec![definition.clone()]);
    submit(&mut process, "custom", None);
    process.kill();
    submit(&mut start(&directory, vec![definition]), "custom", None);
    let pings = sent(directory.path(), PENDING);
    assert_eq!(pings[1].body["ping_info"]["seq"], 1);
    assert_eq!(pings[1].body["ping_info"]["start_time"], pings[0].body["ping_info"]["end_time"]);
    assert_eq!(pings[0].body.get("metrics"), None);
}

#[test]
fn options_of_a_ping_shape_its_body() {
    let directory = TempDir::new();
    let mut bare = ping("bare");
    bare.include_info_sections = false;
    bare.send_if_empty = true;
    let mut anonymous = ping("anonymous");
    anonymous.include_client_id = false;
    anonymous.precise_timestamps = false;
    anonymous.send_if_empty = true;
    anonymous.uploader_capabilities = vec!["b".into(), "a".into()];
    let mut with_tag = settings(directory.path());
    with_tag.experimentation_id = Some("tag".into());
    let mut process = Process::start_with(with_tag, vec![bare, anonymous]);
    submit(&mut process, "bare", Some("no such reason"));
    submit(&mut process, "anonymous", Some("no such reason"));
    for ping in sent(directory.path(), PENDING) {
        if ping.name() == "bare" {
            let tag = json!({"string": {"glean.client.annotation.experimentation_id": "tag"}});
            assert_eq!(ping.body, json!({ "metrics": tag }));
            assert_eq!(ping.metadata["body_has_info_sections"], false);
        } else {
            assert_eq!(ping.body["client_info"].get("client_id"), None);
            assert_eq!(ping.body["ping_info"].get("reason"), None);
            assert_eq!(ping.body["ping_info"]["end_time"].as_str().unwrap().len(), "2026-11-22T14:00+00:00".len());
            let capabilities = json!({"string_list": {"glean.ping.uploader_capabilities": ["b", "a"]}});
            assert_eq!(ping.body["metrics"], capabilities);
            assert_eq!(ping.metadata["uploader_capabilities"], json!(["b", "a"]));
        }
    }
}

#[test]
fn an_empty_ping_is_not_sent_and_keeps_its_sequence_number() {
    let directory = TempDir::new();
    let mut process = start(&directory, vec![ping("custom")]);
    assert!(!submit(&mut process, "custom", None));
    assert!(!submit(&mut process, "unknown", None));
    assert!(sent(directory.path(), PENDING).is_empty());
    process.add("a.b", 2);
    assert!(submit(&mut process, "custom", None));
    assert_eq!(sent(directory.path(), PENDING)[0].body["ping_info"]["seq"], 0);
}

#[test]
fn each_lifetime_ends_when_it_should() {
    let directory = TempDir::new();
    let lifetimes = [("a.ping", Lifetime::Ping), ("a.app", Lifetime::Application), ("a.user", Lifetime::User)];
    let counters = lifetimes.map(|(name, lifetime)| in_pings(name, &["custom"], lifetime));
    let values = |process: &mut Process| {
        process.fold();
        lifetimes.map(|(name, lifetime)| process.stored("custom", lifetime, name).map(|value| value.as_i64().unwrap()))
    };
    let mut process = start(&directory, vec![ping("custom")]);
    counters.iter().for_each(|counter| add(&mut process, counter, 1));
    submit(&mut process, "custom", None);
    assert_eq!(values(&mut process), [None, Some(1), Some(1)]);
    add(&mut process, &counters[0], 5);
    process.kill();
    let mut process = start(&directory, vec![ping("custom")]);
    assert_eq!(values(&mut process), [Some(5), None, Some(1)]);
    switch_collection(&mut process, false);
    assert_eq!(values(&mut process), [None, None, None]);
}

#[test]
fn a_second_process_ends_no_lifetime_of_the_first() {
    let directory = TempDir::new();
    let counter = in_pings("a.app", &["custom"], Lifetime::Application);
    let mut first = start(&directory, vec![ping("custom")]);
    add(&mut first, &counter, 1);
    first.fold();
    let mut second = start(&directory, vec![ping("custom")]);
    assert_eq!(second.value("custom", Lifetime::Application, "a.app"), Some(json!(1)));
    second.end();
    assert_eq!(first.value("custom", Lifetime::Application, "a.app"), Some(json!(1)));
}

#[test]
fn a_metric_in_two_pings_has_two_values() {
    let directory = TempDir::new();
    let mut process = start(&directory, vec![ping("one"), ping("two")]);
    let counter = in_pings("a.b", &["one", "two", "unknown"], Lifetime::Ping);
    add(&mut process, &counter, 3);
    submit(&mut process, "one", None);
    add(&mut process, &counter, 1);
    assert_eq!(process.value("one", Lifetime::Ping, "a.b"), Some(json!(1)));
    assert_eq!(process.value("two", Lifetime::Ping, "a.b"), Some(json!(4)));
    assert_eq!(process.value("unknown", Lifetime::Ping, "a.b"), None);
}

#[test]
fn a_disabled_metric_records_neither_values_nor_errors() {
    let directory = TempDir::new();
    let mut process = start(&directory, vec![ping("custom")]);
    let mut string = metric("a.b", Kind::String, &["custom"], Lifetime::Ping);
    string.common.disabled = true;
    process.record(&string, &Recording::TextSet("x", true));
    assert_eq!(process.value("custom", Lifetime::Ping, "a.b"), None);
    assert_eq!(process.value("metrics", Lifetime::Ping, "glean.error.invalid_overflow"), None);
}

#[test]
fn errors_are_counted_in_the_pings_of_the_metric_and_in_metrics() {
    let directory = TempDir::new();
    let mut process = start(&directory, vec![ping("custom")]);
    let counter = in_pings("a.b", &["custom", "metrics"], Lifetime::Ping);
    add(&mut process, &counter, -1);
    add(&mut process, &counter, -1);
    submit(&mut process, "metrics", None);
    submit(&mut process, "custom", None);
    let pings = sent(directory.path(), PENDING);
    assert_eq!(pings.len(), 2);
    for ping in pings {
        let errors = &ping.body["metrics"]["labeled_counter"]["glean.error.invalid_value"];
        assert_eq!(errors, &json!({"a.b": 2}), "{}", ping.path);
    }
}

#[test]
fn scheduled_pings_follow_with_the_same_reason_even_in_a_circle() {
    let directory = TempDir::new();
    let mut one = ping("one");
    one.schedules_pings = vec!["two".into(), "unknown".into()];
    one.enabled = false;
    let mut two = ping("two");
    two.schedules_pings = vec!["one".into(), "two".into()];
    two.send_if_empty = true;
    let mut process = start(&directory, vec![one, two]);
    assert!(!submit(&mut process, "one", Some("first")));
    let pings = sent(directory.path(), PENDING);
    assert_eq!(pings.len(), 1);
    assert_eq!(pings[0].body["ping_info"]["reason"], "first");
}

#[test]
fn switching_a_ping_off_removes_its_values_and_waiting_files_only() {
    let directory = TempDir::new();
    let mut process = start(&directory, vec![ping("one"), ping("two")]);
    let counter = in_pings("a.b", &["one", "two"], Lifetime::User);
    add(&mut process, &counter, 1);
    submit(&mut process, "one", None);
    submit(&mut process, "two", None);
    process.log.set_ping_enabled("one", false);
    add(&mut process, &counter, 1);
    assert_eq!(process.value("one", Lifetime::User, "a.b"), None);
    assert_eq!(process.value("two", Lifetime::User, "a.b"), Some(json!(2)));
    let pings = sent(directory.path(), PENDING);
    assert_eq!(pings.len(), 1);
    assert_eq!(pings[0].name(), "two");
}

#[test]
fn switching_collection_off_asks_for_deletion_and_forgets_the_client() {
    let directory = TempDir::new();
    let mut free = ping("free");
    free.follows_collection_enabled = false;
    let mut process = start(&directory, vec![ping("custom"), free]);
    let counter = in_pings("a.b", &["custom", "free"], Lifetime::User);
    add(&mut process, &counter, 1);
    submit(&mut process, "custom", None);
    let former = client_id_file(&directory);
    switch_collection(&mut process, false);
    add(&mut process, &counter, 1);
    assert!(!submit(&mut process, "custom", None));
    assert_eq!(process.value("custom", Lifetime::User, "a.b"), None);
    assert_eq!(process.value("free", Lifetime::User, "a.b"), Some(json!(2)));
    assert!(sent(directory.path(), PENDING).is_empty());
    assert!(!directory.path().join("client_id.txt").exists());
    let requests = sent(directory.path(), DELETION_REQUESTS);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body["client_info"]["client_id"], former.as_str());
    assert_eq!(requests[0].body["ping_info"]["reason"], "set_upload_enabled");
    switch_collection(&mut process, true);
    assert_ne!(client_id_file(&directory), former);
}

#[test]
fn starting_with_collection_off_asks_for_deletion_once() {
    let directory = TempDir::new();
    let mut off = settings(directory.path());
    off.upload_enabled = false;
    Process::start_with(off.clone(), vec![]).end();
    assert!(sent(directory.path(), DELETION_REQUESTS).is_empty());
    start(&directory, vec![ping("custom")]).end();
    Process::start_with(off.clone(), vec![]).end();
    Process::start_with(off, vec![]).end();
    let requests = sent(directory.path(), DELETION_REQUESTS);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body["ping_info"]["reason"], "at_init");
    assert!(requests[0].body["client_info"]["client_id"].is_string());
}

fn start_and_fold(directory: &Path) {
    let mut process = Process::start(directory);
    process.engine.ask_for_base();
    process.end();
}

#[test]
fn the_client_id_survives_the_loss_of_the_database_or_of_the_file() {
    let directory = TempDir::new();
    let file = directory.path().join("client_id.txt");
    start_and_fold(directory.path());
    let id = client_id_file(&directory);
    fs::remove_dir_all(directory.path().join("db")).unwrap();
    fs::write(&file, id.to_uppercase() + "\n").unwrap();
    start_and_fold(directory.path());
    fs::remove_file(&file).unwrap();
    start_and_fold(directory.path());
    assert_eq!(client_id_file(&directory), id);
}

#[test]
fn a_placeholder_client_id_is_never_used() {
    let directory = TempDir::new();
    let file = directory.path().join("client_id.txt");
    fs::write(&file, "c0ffeec0-ffee-c0ff-eec0-ffeec0ffeec0").unwrap();
    start_and_fold(directory.path());
    assert!(!client_id_file(&directory).starts_with("c0ffee"));
}

#[test]
fn a_file_that_is_no_client_id_is_replaced() {
    for text in [&b""[..], b"\xff\xfe", b"not an id", b"01234567-89ab-cdef-0123-456789abcde"] {
        let directory = TempDir::new();
        fs::write(directory.path().join("client_id.txt"), text).unwrap();
        start_and_fold(directory.path());
        assert_eq!(client_id_file(&directory).len(), 36, "{text:?}");
    }
}

#[test]
fn built_in_pings_are_there_and_events_needs_events() {
    let directory = TempDir::new();
    let mut process = start(&directory, vec![]);
    add(&mut process, &in_pings("a.b", &["metrics", "events"], Lifetime::Ping), 1);
    assert!(submit(&mut process, "metrics", None));
    assert!(!submit(&mut process, "events", None));
    assert!(submit(&mut process, "baseline", Some("active")));
    process.end();
    let mut without = settings(directory.path());
    without.enable_internal_pings = false;
    let mut process = Process::start_with(without, vec![]);
    assert!(!submit(&mut process, "baseline", Some("active")));
}

#[test]
fn so_many_events_make_a_ping_by_themselves() {
    let directory = TempDir::new();
    let mut few = settings(directory.path());
    few.max_events = 3;
    let mut process = Process::start_with(few, vec![]);
    let event = metric("a.b", Kind::Event(vec![]), &["events"], Lifetime::Ping);
    for timestamp in 0..7 {
        let event_recording = EventRecording { timestamp, unix_ms: 0, extra: Default::default(), cut: 0 };
        process.record(&event, &Recording::Event(event_recording));
    }
    process.fold();
    let pings = sent(directory.path(), PENDING);
    let lengths: Vec<usize> = pings.iter().map(|ping| ping.body["events"].as_array().unwrap().len()).collect();
    assert_eq!(lengths, [3, 3]);
    assert!(pings.iter().all(|ping| ping.body["ping_info"]["reason"] == "max_capacity"));
}

#[test]
fn an_acceleration_that_no_number_of_events_stands_is_harmless() {
    // On 32 bits the square of 65,536 is 0.
    for factor in [65_536, 92_682, i64::MAX, i64::MIN, 0, -1] {
        let directory = TempDir::new();
        let mut settings = settings(directory.path());
        settings.events_ping_acceleration_factor = Some(factor);
        let mut process = Process::start_with(settings, vec![]);
        let event = metric("a.b", Kind::Event(vec![]), &["events"], Lifetime::Ping);
        let recording = EventRecording { timestamp: 1, unix_ms: 0, extra: Default::default(), cut: 0 };
        process.record(&event, &Recording::Event(recording));
        process.fold();
        let expected = usize::from(factor > 1);
        assert_eq!(sent(directory.path(), PENDING).len(), expected, "{factor}");
    }
}

#[test]
fn an_unclean_end_is_told_by_a_baseline_ping() {
    let directory = TempDir::new();
    let mut process = start(&directory, vec![]);
    process.log.append(&Op::ClientActive(Moment::now()));
    process.fold();
    process.kill();
    let mut next = start(&directory, vec![]);
    next.fold();
    let reasons: Vec<String> = sent(directory.path(), PENDING)
        .iter()
        .filter(|ping| ping.name() == "baseline")
        .map(|ping| ping.body["ping_info"]["reason"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(reasons, ["active", "dirty_startup"]);
    next.end();
    let mut last = start(&directory, vec![]);
    last.fold();
    assert_eq!(sent(directory.path(), PENDING).iter().filter(|ping| ping.name() == "baseline").count(), 2);
}

#[test]
fn counters_in_the_ping_of_a_dead_process_keep_what_they_counted() {
    let directory = TempDir::new();
    let mut process = start(&directory, vec![ping("custom")]);
    for _ in 0..100 {
        add(&mut process, &counter("a.b"), 1);
    }
    process.kill();
    let mut next = start(&directory, vec![ping("custom")]);
    assert!(submit(&mut next, "custom", None));
    assert_eq!(sent(directory.path(), PENDING)[0].count("a.b"), 100);
}
