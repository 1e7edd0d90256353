//! The C ABI as a careless caller uses it: NULL, wrong handles, broken texts, impossible lengths and numbers.
//!
//! Every function that `glean.h` declares goes through all of it, in each state of Glean.

#[path = "common/abi.rs"]
mod abi;
mod common;

use std::ptr::{null, null_mut};

use abi::{Function, Kind, definition, last_error, new_metric, new_ping, take_turn, value};
use common::{PENDING, TempDir, sent};
use glean_core::ffi::upload::GleanUploadTask;
use glean_core::ffi::{debug::*, experiments::*, labeled::*, lifecycle::*, metric::*, ping::*, recording::*, *};
use serde_json::json;

/// Compares a status without the bit for log messages.
#[track_caller]
fn check(status: i32, expected: i32) {
    assert_eq!(status & !GLEAN_LOGGED, expected, "{}", last_error());
}

const BAD_UTF8: [&[u8]; 4] = [b"\xff\xfe", b"\xed\xa0\x80", b"abc\xc3", b"\xf8\x88\x80\x80\x80"];
const BAD_JSON: [&str; 9] = ["", "{", "[1", "nonsense", "{\"a\":}", "\"\\ud800\"", "1e999", "\u{0}", "{}{}"];
/// Functions that end or start something, or wait: the walk doesn't call them with arguments that are all right.
const SWITCHES: [&str; 6] = [
    "glean_initialize",
    "glean_reset",
    "glean_shutdown",
    "glean_set_test_mode",
    "glean_upload_open",
    "glean_upload_wait",
];

/// Where the words of the arguments point to.
struct Arguments {
    words: Vec<u64>,
    texts: Vec<Vec<u8>>,
    samples: Vec<i64>,
    #[allow(clippy::vec_box)]
    outs: Vec<Box<[u64; 12]>>,
}

/// What is in an output that nobody wrote. As a buffer or a task it is empty.
const UNTOUCHED: [u64; 12] = [0; 12];
const _: () = assert!(size_of::<GleanUploadTask>() == size_of::<[u64; 12]>());

impl Arguments {
    /// Arguments that a function accepts.
    fn acceptable(function: &Function, handles: &Handles) -> Arguments {
        let mut arguments = Arguments {
            words: Vec::new(),
            texts: Vec::new(),
            samples: vec![1, -1, 0, i64::MAX, i64::MIN],
            outs: Vec::new(),
        };
        for parameter in &function.parameters {
            let word = match parameter.kind {
                Kind::Handle => handles.of(function.name),
                Kind::Text => arguments.text(acceptable_text(function.name, &parameter.name).as_bytes()),
                Kind::Length if function.name.ends_with("_samples") => arguments.samples.len() as u64,
                Kind::Length => arguments.texts.last().unwrap().len() as u64,
                Kind::Samples => arguments.samples.as_ptr() as u64,
                Kind::Out | Kind::OutBuffer | Kind::Buffer => {
                    arguments.outs.push(Box::new(UNTOUCHED));
                    arguments.outs.last_mut().unwrap().as_mut_ptr() as u64
                }
                // A calendar has it, it is an error type, it is a switch.
                Kind::Number(..) => 1,
            };
            arguments.words.push(word);
        }
        arguments
    }

    fn text(&mut self, bytes: &[u8]) -> u64 {
        self.texts.push(bytes.to_vec());
        self.texts.last().unwrap().as_ptr() as u64
    }

    /// Calls the function, frees what it returned, and checks that nothing was written without `GLEAN_OK`.
    fn call(mut self, function: &Function) -> i32 {
        // SAFETY: pointers are NULL or valid, but for lengths that no memory has.
        let status = unsafe { function.call(&self.words) } as i32;
        for out in &mut self.outs {
            if status == GLEAN_OK && function.parameters.iter().any(|parameter| parameter.kind == Kind::OutBuffer) {
                if let Some(index) = self.words.iter().position(|word| *word == out.as_ptr() as u64) {
                    if function.parameters[index].kind == Kind::OutBuffer {
                        // SAFETY: the library filled it.
                        abi::take(unsafe { &mut *out.as_mut_ptr().cast() });
                    }
                }
            } else if status != GLEAN_OK {
                assert_eq!(**out, UNTOUCHED, "{} wrote although it returned {status}", function.name);
            }
        }
        status
    }
}

/// Texts are JSON where a description is wanted, and NUL is a character like any other elsewhere.
fn acceptable_text(function: &str, parameter: &str) -> String {
    match (function, parameter) {
        ("glean_metric_new", _) => definition("counter"),
        ("glean_ping_new", _) => abi::PING.into(),
        ("glean_initialize", _) => "{}".into(),
        (_, "tags" | "list") => r#"["a"]"#.into(),
        (_, "fields") => r#"{"source":"s\u0000","medium":null,"unknown":"x"}"#.into(),
        ("glean_set_experiment_active", "extra") => r#"{"key":"value\u0000"}"#.into(),
        (_, "extra") => r#"{"key":"value\u0000"}"#.into(),
        (_, "knobs") => r#"{"metrics_enabled":{"a.b":false}}"#.into(),
        ("glean_metric_set_object", _) => r#"{"a\u0000":[1,2,null]}"#.into(),
        (_, "ping" | "name") => "custom".into(),
        _ => "te\0xt".into(),
    }
}

/// One handle of each type.
struct Handles {
    metrics: Vec<(String, u64)>,
    ping: u64,
}

impl Handles {
    fn new() -> Handles {
        let new = |word: String| {
            let handle = new_metric(&definition(&word));
            (word, handle)
        };
        let metrics = abi::metric_types().into_iter().map(new).collect();
        Handles { metrics, ping: new_ping(abi::PING) }
    }

    fn metric(&self, kind: &str) -> u64 {
        self.metrics.iter().find(|(name, _)| *name == kind).unwrap_or_else(|| panic!("no {kind}")).1
    }

    /// Returns a handle that a function accepts.
    fn of(&self, function: &str) -> u64 {
        match function {
            "glean_ping_destroy" => new_ping(abi::PING),
            "glean_metric_destroy" => new_metric(&definition("counter")),
            "glean_labeled_get" => self.metric("labeled_counter"),
            "glean_dual_labeled_counter_get" => self.metric("dual_labeled_counter"),
            _ if function.starts_with("glean_ping_") => self.ping,
            _ => self.metric("counter"),
        }
    }

    fn destroy(self) {
        for (_, handle) in self.metrics {
            check(glean_metric_destroy(handle), GLEAN_OK);
        }
        check(glean_ping_destroy(self.ping), GLEAN_OK);
    }
}

/// Calls a function with everything acceptable but one argument, for each argument and everything that can be wrong.
fn walk(function: &Function, handles: &Handles, state: &str) {
    let refuse = |change: &dyn Fn(&mut Arguments), expected: &[i32], what: &str| {
        let mut arguments = Arguments::acceptable(function, handles);
        change(&mut arguments);
        let status = arguments.call(function);
        assert!(
            expected.contains(&status),
            "{} {state}, {what}: {status} instead of {expected:?}: {}",
            function.name,
            last_error()
        );
        if status != GLEAN_OK {
            // One is another with an argument less.
            let name = function.name.replace("counter_increment", "counter_add");
            assert!(last_error().starts_with(&name), "{}: {}", function.name, last_error());
        }
    };
    let any_state = [GLEAN_OK, GLEAN_NOT_INITIALIZED, GLEAN_NO_VALUE];
    for (index, parameter) in function.parameters.iter().enumerate() {
        let name = parameter.name.as_str();
        match parameter.kind {
            Kind::Out | Kind::OutBuffer => {
                let null = |arguments: &mut Arguments| arguments.words[index] = 0;
                refuse(&null, &[GLEAN_NULL_POINTER], &format!("{name} is NULL"));
            }
            Kind::Buffer => {
                refuse(&|arguments| arguments.words[index] = 0, &[GLEAN_OK], "NULL is freed");
                refuse(&|_| (), &[GLEAN_OK], "an empty buffer is freed");
            }
            Kind::Handle => {
                let wrong: &[i32] = match function.name {
                    // It returns an id, and 0 is none.
                    "glean_metric_start" => &[0],
                    _ => &[GLEAN_INVALID_HANDLE],
                };
                let destroyed = new_metric(&definition("counter"));
                check(glean_metric_destroy(destroyed), GLEAN_OK);
                let other = match function.name.starts_with("glean_ping_") {
                    true => handles.metric("counter"),
                    false => handles.ping,
                };
                for handle in [0, 1, 0xff_ffff, 1 << 24, 1 << 56 | 3, u64::MAX, u64::MAX - 1, destroyed, other] {
                    let what = format!("handle {handle:#x}");
                    refuse(&|arguments| arguments.words[index] = handle, wrong, &what);
                }
            }
            Kind::Text => {
                let is_optional = matches!(name, "reason" | "extra") || function.name == "glean_metric_test_get_value";
                let null_status: &[i32] = if is_optional { &any_state } else { &[GLEAN_NULL_POINTER] };
                refuse(&|arguments| arguments.words[index] = 0, null_status, &format!("{name} is NULL"));
                for bytes in BAD_UTF8 {
                    let bad = |arguments: &mut Arguments| {
                        arguments.words[index] = arguments.text(bytes);
                        arguments.words[index + 1] = bytes.len() as u64;
                    };
                    refuse(&bad, &[GLEAN_INVALID_UTF8], &format!("{name} is {bytes:?}"));
                }
                for length in [u64::MAX, u64::MAX / 2 + 1, 1 << 63] {
                    let long = |arguments: &mut Arguments| arguments.words[index + 1] = length;
                    refuse(&long, &[GLEAN_OUT_OF_RANGE], &format!("{name} has {length} bytes"));
                }
                let is_json = matches!(name, "definition" | "settings" | "tags" | "list" | "fields" | "extra");
                for text in BAD_JSON {
                    let bad = |arguments: &mut Arguments| {
                        arguments.words[index] = arguments.text(text.as_bytes());
                        arguments.words[index + 1] = text.len() as u64;
                    };
                    let status: &[i32] = if is_json { &[GLEAN_INVALID_ARGUMENT] } else { &any_state };
                    refuse(&bad, status, &format!("{name} is {text:?}"));
                }
            }
            Kind::Samples => {
                refuse(&|arguments| arguments.words[index] = 0, &[GLEAN_NULL_POINTER], "no samples");
                refuse(&|arguments| arguments.words[index] += 4, &[GLEAN_OUT_OF_RANGE], "samples between two places");
                for count in [u64::MAX, 1 << 60, 1 << 63] {
                    let long = |arguments: &mut Arguments| arguments.words[index + 1] = count;
                    refuse(&long, &[GLEAN_OUT_OF_RANGE], &format!("{count} samples"));
                }
                let none = |arguments: &mut Arguments| (arguments.words[index], arguments.words[index + 1]) = (0, 0);
                refuse(&none, &any_state, "0 samples");
            }
            Kind::Number(min, max) => {
                if SWITCHES.contains(&function.name) {
                    continue;
                }
                for number in [min, min + 1, -1, 0, 1, 2, 255, 1 << 31, max - 1, max] {
                    if (min..=max).contains(&number) {
                        let set = |arguments: &mut Arguments| arguments.words[index] = number as u64;
                        let what = format!("{name} is {number}");
                        match (function.name, name) {
                            ("glean_metric_test_get_num_recorded_errors", _) if !(0..=3).contains(&number) => {
                                refuse(&set, &[GLEAN_OUT_OF_RANGE], &what);
                            }
                            ("glean_upload_report", "result") if !(0..=4).contains(&number) => {
                                refuse(&set, &[GLEAN_OUT_OF_RANGE], &what);
                            }
                            _ => refuse(&set, &any_state, &what),
                        }
                    }
                }
            }
            Kind::Length => (),
        }
    }
    if !SWITCHES.contains(&function.name) && function.name != "glean_metric_start" {
        refuse(&|_| (), &any_state, "all is acceptable");
    }
}

#[test]
fn every_function_refuses_whatever_is_wrong_in_every_state() {
    let _turn = take_turn();
    let functions = abi::functions();
    let directory = TempDir::new();
    let handles = Handles::new();
    let all = |state: &str| functions.iter().for_each(|function| walk(function, &handles, state));
    all("before the start");
    check(glean_reset(), GLEAN_OK);
    check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
    all("while it runs");
    check(glean_set_collection_enabled(0), GLEAN_OK);
    all("without collection");
    check(glean_shutdown(), GLEAN_OK);
    all("after the end");
    check(glean_reset(), GLEAN_OK);
    check(abi::initialize(r#"{"application_id":""}"#), GLEAN_INVALID_ARGUMENT);
    all("after a failed start");
    check(glean_reset(), GLEAN_OK);
    // It still works.
    check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
    let counter = handles.metric("counter");
    check(glean_counter_add(counter, 3), GLEAN_OK);
    assert_eq!(value(counter), Ok(json!(3)));
    handles.destroy();
    assert!(!std::path::Path::new("db").exists() && !std::path::Path::new("events").exists());
}

#[test]
fn a_destroyed_handle_is_good_for_nothing_however_often_its_place_is_used_again() {
    let _turn = take_turn();
    let mut old = Vec::new();
    for _ in 0..100 {
        let handle = new_metric(&definition("counter"));
        assert!(!old.contains(&handle));
        check(glean_metric_destroy(handle), GLEAN_OK);
        check(glean_metric_destroy(handle), GLEAN_INVALID_HANDLE);
        old.push(handle);
    }
    let living = new_metric(&definition("counter"));
    for handle in old {
        check(glean_counter_add(handle, 1), GLEAN_INVALID_HANDLE);
    }
    check(glean_counter_add(living, 1), GLEAN_OK);
    check(glean_metric_destroy(living), GLEAN_OK);
}

#[test]
fn a_recording_of_another_type_is_counted_as_an_invalid_state() {
    let _turn = take_turn();
    let directory = TempDir::new();
    check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
    let functions = abi::functions();
    let handles = Handles::new();
    let recordings = || functions.iter().filter(|function| abi::is_recording(function.name));
    assert_eq!(recordings().count(), 18);
    for function in recordings() {
        for (other, handle) in &handles.metrics {
            let is_parent = other.contains("labeled");
            if function.name == "glean_metric_set_bool" && other == "boolean" {
                continue;
            }
            let mut arguments = Arguments::acceptable(function, &handles);
            arguments.words[0] = *handle;
            let status = arguments.call(function);
            if function.name == "glean_metric_start" {
                assert_eq!(status, i32::from(other == "timing_distribution"), "{other}");
                continue;
            }
            let expected = if is_parent { GLEAN_INVALID_HANDLE } else { GLEAN_OK };
            assert_eq!(status, expected, "{} of a {other}", function.name);
        }
    }
    let boolean = handles.metric("boolean");
    assert_eq!(value(boolean), Err(GLEAN_NO_VALUE));
    // All but what refuses any value, and a cancel.
    assert_eq!(abi::errors(boolean, 2), 15);
    // A string that was added to is still a string.
    let string = handles.metric("string");
    assert_eq!(abi::errors(string, 2), 15);
    check(unsafe { glean_metric_set_text(string, b"text".as_ptr(), 4) }, GLEAN_OK);
    check(glean_counter_add(string, 1), GLEAN_OK);
    assert_eq!(value(string), Ok(json!("text")));
    // Every ping still has a body that can be read.
    check(unsafe { glean_ping_submit(handles.ping, null(), 0) }, GLEAN_OK);
    assert_eq!(sent(directory.path(), PENDING).len(), 1);
    handles.destroy();
}

#[test]
fn parts_are_refused_by_what_has_none() {
    let _turn = take_turn();
    let handles = Handles::new();
    let mut part = 0;
    let (text, length) = (b"x".as_ptr(), 1);
    for (kind, handle) in &handles.metrics {
        let is_dual = kind == "dual_labeled_counter";
        let is_labeled = kind.starts_with("labeled_");
        let expected = |is_accepted| if is_accepted { GLEAN_OK } else { GLEAN_INVALID_HANDLE };
        unsafe {
            check(glean_labeled_get(*handle, text, length, &mut part), expected(is_labeled));
            if is_labeled {
                check(glean_metric_destroy(part), GLEAN_OK);
            }
            let dual = dual_labeled_counter::glean_dual_labeled_counter_get;
            check(dual(*handle, text, length, text, length, &mut part), expected(is_dual));
            if is_dual {
                check(glean_metric_destroy(part), GLEAN_OK);
            }
        }
    }
    check(glean_metric_destroy(handles.ping), GLEAN_INVALID_HANDLE);
    check(glean_ping_destroy(handles.metric("counter")), GLEAN_INVALID_HANDLE);
    handles.destroy();
}

#[test]
fn definitions_that_make_no_sense_are_refused() {
    let _turn = take_turn();
    let good: serde_json::Value = serde_json::from_str(&definition("custom_distribution")).unwrap();
    let mut handle = 0;
    let mut try_new = |definition: &serde_json::Value| {
        let text = definition.to_string();
        unsafe { glean_metric_new(text.as_ptr(), text.len() as u64, &mut handle) & !GLEAN_LOGGED }
    };
    assert_eq!(try_new(&good), GLEAN_OK);
    for (field, wrong) in [
        ("type", json!("nonsense")),
        ("type", json!("labeled_counter")),
        ("type", json!("timespan")),
        ("type", json!("")),
        ("type", json!(7)),
        ("type", json!({"timespan": "century"})),
        ("type", json!({"timespan": 3})),
        ("type", json!({"counter": "second"})),
        ("type", json!({"memory_distribution": "bit"})),
        ("type", json!({"custom_distribution": {}})),
        ("type", json!({"event": [1]})),
        ("type", json!({"counter": null, "quantity": null})),
        ("name", json!(null)),
        ("category", json!([])),
        ("send_in_pings", json!("custom")),
        ("send_in_pings", json!([1])),
        ("lifetime", json!(0)),
        ("lifetime", json!("eternal")),
        ("disabled", json!(0)),
        ("labels", json!("a")),
    ] {
        let mut bad = good.clone();
        bad[field] = wrong;
        assert_eq!(try_new(&bad), GLEAN_INVALID_ARGUMENT, "{bad}: {}", last_error());
    }
    for field in ["type", "name", "send_in_pings", "lifetime", "disabled"] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(field);
        assert_eq!(try_new(&bad), GLEAN_INVALID_ARGUMENT, "without {field}");
    }
    // Numbers of buckets at the limits give some buckets.
    for (min, max, count) in
        [(i64::MIN, i64::MIN, i64::MIN), (i64::MAX, i64::MAX, i64::MAX), (0, i64::MAX, 1), (5, 1, 3)]
    {
        for histogram_type in ["linear", "exponential"] {
            let mut odd = good.clone();
            odd["type"]["custom_distribution"] = json!({
                "range_min": min, "range_max": max, "bucket_count": count, "histogram_type": histogram_type
            });
            assert_eq!(try_new(&odd), GLEAN_OK, "{odd}");
        }
    }
    let mut ping: serde_json::Value = serde_json::from_str(abi::PING).unwrap();
    for field in ["name", "schedules_pings", "enabled"] {
        let removed = ping.as_object_mut().unwrap().remove(field).unwrap();
        let text = ping.to_string();
        check(unsafe { glean_ping_new(text.as_ptr(), text.len() as u64, &mut 0) }, GLEAN_INVALID_ARGUMENT);
        ping[field] = removed;
    }
}

#[test]
fn a_start_without_a_place_or_a_name_is_refused_and_can_be_repeated() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let good: serde_json::Value = serde_json::from_str(&abi::settings(directory.path())).unwrap();
    for (field, wrong, expected) in [
        ("application_id", json!(""), GLEAN_INVALID_ARGUMENT),
        ("application_id", json!(1), GLEAN_INVALID_ARGUMENT),
        ("data_dir", json!(""), GLEAN_INVALID_ARGUMENT),
        ("data_dir", json!("a\0b"), GLEAN_IO),
        ("data_dir", json!(file.join("below").to_str().unwrap()), GLEAN_IO),
        ("data_dir", json!(file.to_str().unwrap()), GLEAN_IO),
        ("max_events", json!(-1), GLEAN_INVALID_ARGUMENT),
        ("session_mode", json!(300), GLEAN_INVALID_ARGUMENT),
        ("upload_enabled", json!("yes"), GLEAN_INVALID_ARGUMENT),
    ] {
        let mut bad = good.clone();
        bad[field] = wrong;
        check(abi::initialize(&bad.to_string()), expected);
        check(glean_reset(), GLEAN_OK);
    }
    for odd in [
        json!({"session_sample_rate": -5.0, "max_events": 0, "session_mode": 255}),
        json!({"session_sample_rate": 1e308, "max_events": u32::MAX, "session_inactivity_timeout_ms": u64::MAX}),
        json!({"events_ping_acceleration_factor": i64::MAX}),
        json!({"events_ping_acceleration_factor": i64::MIN}),
        json!({"events_ping_acceleration_factor": 65_536, "channel": "x".repeat(300), "locale": "\0"}),
        json!({"application_id": "\0", "experimentation_id": "x".repeat(300)}),
    ] {
        let mut settings = good.clone();
        settings.as_object_mut().unwrap().extend(odd.as_object().unwrap().clone());
        check(abi::initialize(&settings.to_string()), GLEAN_OK);
        let event = new_metric(&definition("event").replace("custom", "events"));
        for _ in 0..3 {
            check(unsafe { glean_metric_record_event(event, null(), 0) }, GLEAN_OK);
            check(activity::glean_handle_client_active(), GLEAN_OK);
            check(activity::glean_handle_client_inactive(), GLEAN_OK);
        }
        check(glean_metric_destroy(event), GLEAN_OK);
        assert!(abi::log_messages().iter().all(|(_, text)| !text.contains("please report")));
        check(glean_reset(), GLEAN_OK);
    }
    sent(directory.path(), PENDING);
}

#[test]
fn numbers_at_their_limits_are_recorded_or_counted_as_errors() {
    let _turn = take_turn();
    let directory = TempDir::new();
    check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
    let handles = Handles::new();
    let counter = handles.metric("counter");
    for amount in [i32::MAX, 1, i32::MAX, i32::MIN, -1, 0] {
        check(glean_counter_add(counter, amount), GLEAN_OK);
    }
    assert_eq!(value(counter), Ok(json!(i32::MAX)));
    assert_eq!(abi::errors(counter, 0), 2);
    let quantity = handles.metric("quantity");
    for number in [i64::MAX, i64::MIN, -1] {
        check(glean_metric_set_number(quantity, number), GLEAN_OK);
    }
    assert_eq!(value(quantity), Ok(json!(i64::MAX)));
    let timespan = handles.metric("timespan");
    check(glean_metric_set_number(timespan, i64::MIN), GLEAN_OK);
    assert_eq!(value(timespan), Ok(json!(0)));
    let timing = handles.metric("timing_distribution");
    for sample in [i64::MAX, i64::MIN, 0] {
        check(glean_metric_accumulate(timing, sample), GLEAN_OK);
    }
    assert_eq!(abi::errors(timing, 0), 1);
    assert_eq!(abi::errors(timing, 3), 1);
    check(glean_metric_stop(timing, u64::MAX), GLEAN_OK);
    assert_eq!(abi::errors(timing, 2), 1);
    let datetime = handles.metric("datetime");
    for numbers in [
        (i32::MAX, 1, 1, 0, 0, 0, 0, 0),
        (i32::MIN, 12, 31, 23, 59, 59, 0, 0),
        (2026, 2, 29, 0, 0, 0, 0, 0),
        (2026, 1, 1, u32::MAX, u32::MAX, u32::MAX, u32::MAX, i32::MAX),
        (2026, 0, 0, 0, 0, 0, 0, i32::MIN),
    ] {
        let (year, month, day, hour, minute, second, nanos, offset) = numbers;
        let set = glean_metric_set_datetime;
        check(set(datetime, year, month, day, hour, minute, second, nanos, offset), GLEAN_OK);
    }
    assert_eq!(value(datetime), Err(GLEAN_NO_VALUE));
    assert_eq!(abi::errors(datetime, 0), 5);
    check(unsafe { glean_ping_submit(handles.ping, null(), 0) }, GLEAN_OK);
    assert_eq!(sent(directory.path(), PENDING).len(), 1);
    handles.destroy();
}

#[test]
fn texts_of_any_length_are_cut_to_their_limits() {
    let _turn = take_turn();
    let directory = TempDir::new();
    check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
    let handles = Handles::new();
    // Longer than a segment, and no limit is at the border of a character.
    let long = "é".repeat(3 << 20) + "x";
    let (data, length) = (long.as_ptr(), long.len() as u64);
    let string = handles.metric("string");
    let text = handles.metric("text");
    let list = handles.metric("string_list");
    unsafe {
        check(glean_metric_set_text(string, data, length), GLEAN_OK);
        check(glean_metric_set_text(text, data, length), GLEAN_OK);
        check(glean_metric_add_to_list(list, data, length), GLEAN_OK);
        check(glean_metric_set_text(handles.metric("uuid"), data, length), GLEAN_OK);
        check(glean_set_experiment_active(data, length, data, length, null(), 0), GLEAN_OK);
        check(glean_set_experimentation_id(data, length), GLEAN_OK);
        check(glean_set_app_channel(data, length), GLEAN_OK);
        check(glean_ping_submit(handles.ping, data, length), GLEAN_OK);
        let mut part = 0;
        check(glean_labeled_get(handles.metric("labeled_counter"), data, length, &mut part), GLEAN_OK);
        check(glean_counter_add(part, 1), GLEAN_OK);
        check(glean_metric_destroy(part), GLEAN_OK);
        let mut accepted = 9;
        check(glean_set_debug_view_tag(data, length, &mut accepted), GLEAN_OK);
        assert_eq!(accepted, 0);
        check(glean_metric_set_text(string, data, length), GLEAN_OK);
        check(glean_metric_set_text(text, data, length), GLEAN_OK);
    }
    assert_eq!(value(string).unwrap().as_str().unwrap().len(), 254);
    assert_eq!(value(text).unwrap().as_str().unwrap().len(), 200 << 10);
    check(unsafe { glean_ping_submit(handles.ping, null(), 0) }, GLEAN_OK);
    assert_eq!(sent(directory.path(), PENDING).len(), 2);
    handles.destroy();
}

#[test]
fn an_object_is_what_its_ping_shows_or_an_error() {
    let _turn = take_turn();
    let directory = TempDir::new();
    check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
    let object = new_metric(&definition("object"));
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let digits = "9".repeat(400);
    let mut refused = 0;
    for text in ["null", "{\"a\":1}", "\"\\ud800\"", "1e999", "[\"\\ud83d\\ude00\"]", &deep, &digits, "-0", "[1,]"] {
        check(unsafe { glean_metric_set_object(object, text.as_ptr(), text.len() as u64) }, GLEAN_OK);
        match abi::errors(object, 0) - refused {
            0 => assert_eq!(value(object), serde_json::from_str(text).map_err(|_| GLEAN_NO_VALUE), "{text}"),
            count => refused += count,
        }
    }
    assert_eq!(refused, 5);
    check(glean_metric_destroy(object), GLEAN_OK);
}

#[test]
fn the_last_error_is_that_of_the_thread() {
    let _turn = take_turn();
    check(glean_counter_add(0, 1), GLEAN_INVALID_HANDLE);
    assert!(last_error().starts_with("glean_counter_add: "), "{}", last_error());
    let other = std::thread::spawn(|| {
        let before = last_error();
        check(unsafe { glean_metric_set_text(0, null(), 3) }, GLEAN_NULL_POINTER);
        (before, last_error())
    });
    let (before, after) = other.join().unwrap();
    assert_eq!(before, "");
    assert!(after.starts_with("glean_metric_set_text: "), "{after}");
    assert!(last_error().starts_with("glean_counter_add: "), "{}", last_error());
}

#[test]
fn calls_of_a_thread_that_ends_are_kept() {
    struct Late(u64);
    impl Drop for Late {
        fn drop(&mut self) {
            // Thread-local memory of the library may be gone by now.
            assert_eq!(glean_counter_add(self.0, 1) & !GLEAN_LOGGED, GLEAN_OK);
            assert_eq!(glean_counter_add(0, 1) & !GLEAN_LOGGED, GLEAN_INVALID_HANDLE);
        }
    }
    thread_local!(static LATE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) });

    let _turn = take_turn();
    let directory = TempDir::new();
    check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
    let counter = new_metric(&definition("counter"));
    std::thread::spawn(move || {
        // Made first, so it is dropped last.
        LATE.set(Some(Late(counter)));
        check(glean_counter_add(0, 1), GLEAN_INVALID_HANDLE);
        check(glean_counter_add(counter, 1), GLEAN_OK);
    })
    .join()
    .unwrap();
    assert_eq!(value(counter), Ok(json!(2)));
    check(glean_metric_destroy(counter), GLEAN_OK);
}

#[test]
fn log_messages_that_nobody_fetches_make_room_for_newer_ones() {
    let _turn = take_turn();
    let (mut level, mut pending) = (0, null());
    unsafe {
        check(glean_log_pending(&mut pending), GLEAN_OK);
        assert_eq!(*pending, 0);
        check(glean_log_next(&mut level, &mut abi::empty()), GLEAN_NO_VALUE);
        for number in 0..1_500 {
            let tag = format!("no tag {number}");
            check(glean_set_debug_view_tag(tag.as_ptr(), tag.len() as u64, &mut 0), GLEAN_OK);
        }
        assert_eq!(*pending, 1_000);
        assert_eq!(glean_counter_add(0, 0), GLEAN_INVALID_HANDLE | GLEAN_LOGGED);
        let messages = abi::log_messages();
        assert_eq!(messages.len(), 1_001);
        assert!(messages[0].1.contains("500"), "{:?}", messages[0]);
        assert!(messages[1_000].1.contains("1499") && messages[1_000].0 == 40, "{:?}", messages[1_000]);
        assert_eq!(*pending, 0);
        for level in [50, i32::MAX, i32::MIN, 20] {
            check(glean_log_set_level(level), GLEAN_OK);
        }
        assert_eq!(glean_counter_add(0, 0), GLEAN_INVALID_HANDLE);
    }
}

#[test]
fn a_whole_life_through_the_abi() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let mut version = 0;
    let (counter, string) = (new_metric(&definition("counter")), new_metric(&definition("string")));
    let ping = new_ping(&abi::PING.replace(r#""send_if_empty":true"#, r#""send_if_empty":false"#));
    unsafe {
        check(glean_abi_version(&mut version), GLEAN_OK);
        assert_eq!(version, GLEAN_ABI_VERSION);
        check(glean_counter_add(counter, 1), GLEAN_OK);
        assert_eq!(value(counter), Err(GLEAN_NOT_INITIALIZED));
        check(glean_set_collection_enabled(0), GLEAN_NOT_INITIALIZED);
        check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
        check(abi::initialize(&abi::settings(directory.path())), GLEAN_ALREADY_INITIALIZED);
        check(glean_counter_add(counter, 1), GLEAN_OK);
        check(glean_counter_add(counter, -1), GLEAN_OK);
        assert_eq!(value(counter), Ok(json!(2)));
        assert_eq!(abi::errors(counter, 0), 1);
        check(glean_metric_set_text(string, b"a\0b".as_ptr(), 3), GLEAN_OK);
        assert_eq!(value(string), Ok(json!("a\0b")));
        let messages = abi::log_messages();
        assert!(messages.iter().any(|(level, text)| *level == 30 && text.starts_with("test.counter")), "{messages:?}");

        check(glean_ping_submit(ping, b"first".as_ptr(), 5), GLEAN_OK);
        let pings = sent(directory.path(), PENDING);
        let [custom] = &pings[..] else { panic!("{} pings", pings.len()) };
        assert_eq!(custom.body["metrics"]["counter"]["test.counter"], 2);
        assert_eq!(custom.body["ping_info"]["reason"], "first");
        let mut is_sent = 9;
        check(glean_submit_ping_by_name_sync(b"custom".as_ptr(), 6, null(), 0, &mut is_sent), GLEAN_OK);
        assert_eq!(is_sent, 0, "it is empty by now");
        check(glean_counter_add(counter, 1), GLEAN_OK);
        check(glean_submit_ping_by_name_sync(b"custom".as_ptr(), 6, null(), 0, &mut is_sent), GLEAN_OK);
        assert_eq!(is_sent, 1);
        assert_eq!(sent(directory.path(), PENDING).len(), 2);
        check(glean_ping_set_enabled(ping, 0), GLEAN_OK);
        assert_eq!(sent(directory.path(), PENDING).len(), 0);
    }
    check(glean_shutdown(), GLEAN_OK);
    check(glean_shutdown(), GLEAN_NOT_INITIALIZED);
    check(glean_counter_add(counter, 1), GLEAN_NOT_INITIALIZED);
    check(abi::initialize(&abi::settings(directory.path())), GLEAN_ALREADY_INITIALIZED);
    check(glean_reset(), GLEAN_OK);
    check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
    check(glean_counter_add(counter, 1), GLEAN_OK);
    assert_eq!(value(counter), Ok(json!(1)), "handles outlive a reset");
    for handle in [counter, string] {
        check(glean_metric_destroy(handle), GLEAN_OK);
    }
    check(glean_ping_destroy(ping), GLEAN_OK);
    assert_eq!(unsafe { buffers::glean_buffer_free(null_mut()) } & !GLEAN_LOGGED, GLEAN_OK);
}

#[test]
fn a_start_comes_behind_whatever_was_recorded_before_it() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let ping = new_ping(abi::PING);
    let counter = new_metric(&definition("counter").replace(r#""lifetime":"ping""#, r#""lifetime":"application""#));
    check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
    check(glean_reset(), GLEAN_OK);
    // Often both starts are in the same millisecond.
    for round in 0..30 {
        check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
        check(glean_counter_add(counter, 1), GLEAN_OK);
        check(glean_reset(), GLEAN_OK);
        check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
        assert_eq!(value(counter), Err(GLEAN_NO_VALUE), "round {round}: a value of the application outlived it");
        check(glean_reset(), GLEAN_OK);
    }
    // As if the clock had been set back since.
    check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
    check(glean_counter_add(counter, 1), GLEAN_OK);
    check(glean_reset(), GLEAN_OK);
    let db = directory.path().join("db");
    for entry in std::fs::read_dir(&db).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(serial) = name.strip_suffix(".log").and_then(|name| name.rsplit('.').next()) {
            // Year 2500.
            std::fs::rename(db.join(&name), db.join(format!("0f3700000000-1-later.{serial}.log"))).unwrap();
        }
    }
    check(abi::initialize(&abi::settings(directory.path())), GLEAN_OK);
    assert_eq!(value(counter), Err(GLEAN_NO_VALUE), "a start behind one from the future");
    check(glean_metric_destroy(counter), GLEAN_OK);
    check(glean_ping_destroy(ping), GLEAN_OK);
}
