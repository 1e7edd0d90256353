//! Pings: their content, their files, and what submission and the collection switch clear.

mod common;

use std::fs;

use common::{TempDir, configuration, metric, ping, sent, start, start_with};
use glean_core::metrics::{CounterMetric, Metric, StringMetric};
use glean_core::storage::{Address, Database, INTERNAL_STORE, Value};
use glean_core::{ErrorType, Lifetime};
use serde_json::json;

const PENDING: &str = "pending_pings";

#[test]
fn a_ping_has_the_standard_envelope() {
    let directory = TempDir::new();
    let mut glean = start(directory.path(), ping("custom"));
    CounterMetric::new(metric("a.b", &["custom"], Lifetime::Ping)).add(&mut glean, 2);
    assert!(glean.submit_ping("custom", Some("second")));
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
    assert_eq!(client["telemetry_sdk_build"], glean_core::VERSION);
    assert_eq!(client["first_run_date"].as_str().unwrap().len(), "2026-11-22+00:00".len());
    let in_file = fs::read_to_string(directory.path().join("client_id.txt")).unwrap();
    assert_eq!(client["client_id"], in_file.as_str());
    assert_eq!(in_file.len(), 36);
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
    let mut glean = start(directory.path(), definition.clone());
    glean.submit_ping("custom", None);
    drop(glean);
    start(directory.path(), definition).submit_ping("custom", None);
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
    let mut with_tag = configuration(directory.path());
    with_tag.experimentation_id = Some("tag".into());
    let mut glean = start_with(with_tag, vec![bare, anonymous]);
    glean.submit_ping("bare", Some("no such reason"));
    glean.submit_ping("anonymous", Some("no such reason"));
    for ping in sent(directory.path(), PENDING) {
        if ping.path.contains("bare") {
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
    let mut glean = start(directory.path(), ping("custom"));
    assert!(!glean.submit_ping("custom", None));
    assert!(sent(directory.path(), PENDING).is_empty());
    CounterMetric::new(metric("a.b", &["custom"], Lifetime::Ping)).add(&mut glean, 2);
    assert!(glean.submit_ping("custom", None));
    assert_eq!(sent(directory.path(), PENDING)[0].body["ping_info"]["seq"], 0);
}

#[test]
fn each_lifetime_ends_when_it_should() {
    let directory = TempDir::new();
    let lifetimes = [("a.ping", Lifetime::Ping), ("a.app", Lifetime::Application), ("a.user", Lifetime::User)];
    let counters = lifetimes.map(|(name, lifetime)| CounterMetric::new(metric(name, &["custom"], lifetime)));
    let mut glean = start(directory.path(), ping("custom"));
    counters.iter().for_each(|counter| counter.add(&mut glean, 1));
    glean.submit_ping("custom", None);
    let values = |glean: &_| counters.each_ref().map(|counter| counter.test_get_value(glean, None));
    assert_eq!(values(&glean), [None, Some(1), Some(1)]);
    counters[0].add(&mut glean, 5);
    drop(glean);
    let mut glean = start(directory.path(), ping("custom"));
    assert_eq!(values(&glean), [Some(5), None, Some(1)]);
    glean.set_collection_enabled(false);
    assert_eq!(values(&glean), [None, None, None]);
}

#[test]
fn a_metric_in_two_pings_has_two_values() {
    let directory = TempDir::new();
    let mut glean = start_with(configuration(directory.path()), vec![ping("one"), ping("two")]);
    let counter = CounterMetric::new(metric("a.b", &["one", "two", "unknown"], Lifetime::Ping));
    counter.add(&mut glean, 3);
    glean.submit_ping("one", None);
    counter.add(&mut glean, 1);
    assert_eq!(counter.test_get_value(&glean, Some("one")), Some(1));
    assert_eq!(counter.test_get_value(&glean, Some("two")), Some(4));
    assert_eq!(counter.test_get_value(&glean, Some("unknown")), None);
}

#[test]
fn a_disabled_metric_records_neither_values_nor_errors() {
    let directory = TempDir::new();
    let mut glean = start(directory.path(), ping("custom"));
    let mut common = metric("a.b", &["custom"], Lifetime::Ping);
    common.disabled = true;
    let string = StringMetric::new(common);
    string.set(&mut glean, "x".repeat(300));
    assert_eq!(string.test_get_value(&glean, None), None);
    assert_eq!(string.count_errors(&glean, ErrorType::InvalidOverflow), 0);
}

#[test]
fn errors_are_counted_in_the_pings_of_the_metric_and_in_metrics() {
    let directory = TempDir::new();
    let mut glean = start(directory.path(), ping("custom"));
    let counter = CounterMetric::new(metric("a.b", &["custom", "metrics"], Lifetime::Ping));
    counter.add(&mut glean, -1);
    counter.add(&mut glean, -1);
    assert_eq!(counter.count_errors(&glean, ErrorType::InvalidValue), 2);
    assert_eq!(counter.count_errors(&glean, ErrorType::InvalidState), 0);
    glean.submit_ping("metrics", None);
    glean.submit_ping("custom", None);
    for ping in sent(directory.path(), PENDING) {
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
    two.schedules_pings = vec!["one".into()];
    two.send_if_empty = true;
    let mut glean = start_with(configuration(directory.path()), vec![one, two]);
    assert!(!glean.submit_ping("one", Some("first")));
    let pings = sent(directory.path(), PENDING);
    assert_eq!(pings.len(), 1);
    assert_eq!(pings[0].body["ping_info"]["reason"], "first");
}

#[test]
fn switching_a_ping_off_removes_its_values_and_waiting_files_only() {
    let directory = TempDir::new();
    let mut glean = start_with(configuration(directory.path()), vec![ping("one"), ping("two")]);
    let counter = CounterMetric::new(metric("a.b", &["one", "two"], Lifetime::User));
    counter.add(&mut glean, 1);
    glean.submit_ping("one", None);
    glean.submit_ping("two", None);
    glean.set_ping_enabled("one", false);
    counter.add(&mut glean, 1);
    assert_eq!(counter.test_get_value(&glean, Some("one")), None);
    assert_eq!(counter.test_get_value(&glean, Some("two")), Some(2));
    let pings = sent(directory.path(), PENDING);
    assert_eq!(pings.len(), 1);
    assert!(pings[0].path.contains("/two/"));
}

#[test]
fn switching_collection_off_asks_for_deletion_and_forgets_the_client() {
    let directory = TempDir::new();
    let mut free = ping("free");
    free.follows_collection_enabled = false;
    let mut glean = start_with(configuration(directory.path()), vec![ping("custom"), free]);
    let counter = CounterMetric::new(metric("a.b", &["custom", "free"], Lifetime::User));
    counter.add(&mut glean, 1);
    glean.submit_ping("custom", None);
    let former = fs::read_to_string(directory.path().join("client_id.txt")).unwrap();
    glean.set_collection_enabled(false);
    counter.add(&mut glean, 1);
    assert!(!glean.submit_ping("custom", None));
    assert_eq!(counter.test_get_value(&glean, Some("custom")), None);
    assert_eq!(counter.test_get_value(&glean, Some("free")), Some(2));
    assert!(sent(directory.path(), PENDING).is_empty());
    assert!(!directory.path().join("client_id.txt").exists());
    let requests = sent(directory.path(), "deletion_request");
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body["client_info"]["client_id"], former.as_str());
    assert_eq!(requests[0].body["ping_info"]["reason"], "set_upload_enabled");
    glean.set_collection_enabled(true);
    assert_ne!(fs::read_to_string(directory.path().join("client_id.txt")).unwrap(), former);
}

#[test]
fn starting_with_collection_off_asks_for_deletion_once() {
    let directory = TempDir::new();
    let mut off = configuration(directory.path());
    off.collection_enabled = false;
    drop(start_with(off.clone(), vec![]));
    assert!(sent(directory.path(), "deletion_request").is_empty());
    drop(start(directory.path(), ping("custom")));
    drop(start_with(off.clone(), vec![]));
    drop(start_with(off, vec![]));
    let requests = sent(directory.path(), "deletion_request");
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body["ping_info"]["reason"], "at_init");
    assert!(requests[0].body["client_info"]["client_id"].is_string());
}

#[test]
fn the_client_id_survives_the_loss_of_the_database_or_of_the_file() {
    let directory = TempDir::new();
    let file = directory.path().join("client_id.txt");
    drop(start(directory.path(), ping("custom")));
    let id = fs::read_to_string(&file).unwrap();
    fs::remove_dir_all(directory.path().join("db")).unwrap();
    fs::write(&file, id.to_uppercase() + "\n").unwrap();
    drop(start(directory.path(), ping("custom")));
    fs::remove_file(&file).unwrap();
    drop(start(directory.path(), ping("custom")));
    assert_eq!(fs::read_to_string(&file).unwrap(), id);
}

#[test]
fn a_placeholder_client_id_is_never_used() {
    let directory = TempDir::new();
    let file = directory.path().join("client_id.txt");
    fs::write(&file, "c0ffeec0-ffee-c0ff-eec0-ffeec0ffeec0").unwrap();
    drop(start(directory.path(), ping("custom")));
    assert!(!fs::read_to_string(&file).unwrap().starts_with("c0ffee"));
}

#[test]
fn a_submission_interrupted_before_the_note_is_undone_and_after_it_finished() {
    let directory = TempDir::new();
    drop(start(directory.path(), ping("custom")));
    let temporary = directory.path().join("tmp");
    fs::create_dir_all(&temporary).unwrap();
    fs::write(temporary.join("noted"), "/submit/x/custom/1/noted\n{}\n{}").unwrap();
    fs::write(temporary.join("unnoted"), "/submit/x/custom/1/unnoted\n{}\n{}").unwrap();
    let (mut database, _) = Database::open(&directory.path().join("db")).unwrap();
    let address = Address::plain(Lifetime::User, "noted#submitted");
    database.set(INTERNAL_STORE, address, Value::String(PENDING.into()));
    database.commit();
    drop(database);
    let glean = start(directory.path(), ping("custom"));
    assert_eq!(glean.database().get(INTERNAL_STORE, address), None);
    assert!(fs::read_dir(&temporary).unwrap().next().is_none());
    let pings = sent(directory.path(), PENDING);
    assert_eq!(pings.len(), 1);
    assert!(pings[0].path.ends_with("/noted"));
}

#[test]
fn a_ping_that_cannot_be_written_keeps_its_values() {
    let directory = TempDir::new();
    let mut glean = start(directory.path(), ping("custom"));
    let counter = CounterMetric::new(metric("a.b", &["custom"], Lifetime::Ping));
    counter.add(&mut glean, 2);
    let temporary = directory.path().join("tmp");
    fs::write(&temporary, "in the way").unwrap();
    assert!(!glean.submit_ping("custom", None));
    assert_eq!(counter.test_get_value(&glean, None), Some(2));
    let io_errors = CounterMetric::new(metric("glean.error.io", &["metrics"], Lifetime::Ping));
    assert_eq!(io_errors.test_get_value(&glean, None), Some(1));
    fs::remove_file(&temporary).unwrap();
    assert!(glean.submit_ping("custom", None));
}

#[test]
fn built_in_pings_are_there_and_events_needs_events() {
    let directory = TempDir::new();
    let mut glean = start(directory.path(), ping("custom"));
    let counter = CounterMetric::new(metric("a.b", &["metrics", "events"], Lifetime::Ping));
    counter.add(&mut glean, 1);
    assert!(glean.submit_ping("metrics", None));
    assert!(!glean.submit_ping("events", None));
    assert!(glean.submit_ping("baseline", Some("active")));
    let mut without = configuration(directory.path());
    without.enable_internal_pings = false;
    drop(glean);
    let glean = start_with(without, vec![]);
    assert!(!glean.is_ping_enabled("metrics"));
    assert!(glean.is_ping_enabled("deletion-request"));
}
