//! Every function of the C ABI, callable with plain 64-bit words, and what `glean.h` says about its parameters.
//!
//! The test of the boundary and the fuzz target of it are driven by this table. A function that is in the header but not
//! here fails both.

#![allow(dead_code, reason = "each user uses its own part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use glean_core::ffi::buffers::{GleanBuffer, glean_buffer_free};
use glean_core::ffi::{
    activity::*, debug::*, dual_labeled_counter::*, experiments::*, facts::*, labeled::*, lifecycle::*, metric::*,
    ping::*, recording::*, submitted::*, upload::*, *,
};

const HEADER: &str = include_str!("../../include/glean.h");

/// What is added to a status while log messages wait.
pub const LOGGED: u64 = GLEAN_LOGGED as u64;

/// One function of the ABI.
pub struct Function {
    pub name: &'static str,
    pub parameters: Vec<Parameter>,
    call: Call,
}

impl Function {
    /// Calls it with one word for each parameter.
    ///
    /// # Safety
    ///
    /// As the header says, with pointers as words.
    pub unsafe fn call(&self, words: &[u64]) -> u64 {
        assert_eq!(words.len(), self.parameters.len(), "{}", self.name);
        (self.call)(words)
    }
}

/// One parameter.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub name: String,
    pub kind: Kind,
}

/// What a parameter is for, by its C type and its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// The handle of a metric or ping.
    Handle,
    /// The address of a text, whose length follows.
    Text,
    /// The address of numbers, whose count follows.
    Samples,
    /// The length of what the parameter before it points at.
    Length,
    /// The address of a result.
    Out,
    /// The address of a result that has to be freed.
    OutBuffer,
    /// The address of what is to be freed.
    Buffer,
    /// A number from the first to the last.
    Number(i128, i128),
}

trait Word {
    fn of(word: u64) -> Self;
}

macro_rules! words {
    ($($number:ty),+) => { $(impl Word for $number {
        fn of(word: u64) -> $number {
            word as $number
        }
    })+ };
}

words!(u8, u32, i32, i64, u64);

impl<T> Word for *const T {
    fn of(word: u64) -> *const T {
        word as usize as *const T
    }
}

impl<T> Word for *mut T {
    fn of(word: u64) -> *mut T {
        word as usize as *mut T
    }
}

trait Answer {
    fn word(self) -> u64;
}

impl Answer for i32 {
    fn word(self) -> u64 {
        self as u64 & !LOGGED
    }
}

impl Answer for u64 {
    fn word(self) -> u64 {
        self
    }
}

type Call = Box<dyn Fn(&[u64]) -> u64 + Send + Sync>;

/// A function with one word for each argument.
trait Callable<Arguments> {
    fn into_call(self) -> Call;
}

macro_rules! callable {
    ($($argument:ident $index:tt),*) => {
        impl<Status: Answer + 'static, $($argument: Word + 'static),*> Callable<($($argument,)*)>
            for unsafe extern "C" fn($($argument),*) -> Status
        {
            fn into_call(self) -> Call {
                // SAFETY: promised by the caller of `Function::call`.
                Box::new(move |_words| unsafe { self($($argument::of(_words[$index])),*) }.word())
            }
        }
    };
}

callable!();
callable!(A 0);
callable!(A 0, B 1);
callable!(A 0, B 1, C 2);
callable!(A 0, B 1, C 2, D 3);
callable!(A 0, B 1, C 2, D 3, E 4);
callable!(A 0, B 1, C 2, D 3, E 4, F 5);
callable!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);

macro_rules! functions {
    ($table:ident, $blanks:tt, $($name:ident)+) => { $(
        let call = ($name as unsafe extern "C" fn $blanks -> _).into_call();
        assert!($table.insert(stringify!($name), call).is_none(), "{} is here twice", stringify!($name));
    )+ };
}

/// Returns all functions, in the order of their names.
///
/// # Panics
///
/// When this table and the header don't have the same functions.
pub fn functions() -> Vec<Function> {
    let mut calls: BTreeMap<&'static str, Call> = BTreeMap::new();
    functions! { calls, (),
        glean_handle_client_active glean_handle_client_inactive glean_session_start glean_clear_attribution
        glean_clear_distribution glean_shutdown glean_finish glean_reset glean_fold glean_persist_ping_lifetime_data
        glean_clear_stored_submitted_pings glean_upload_wake glean_upload_close
    }
    functions! { calls, (_),
        glean_counter_increment glean_metric_set_datetime_now glean_metric_refuse_value glean_metric_start
        glean_abi_version glean_version glean_last_error glean_log_set_level glean_log_pending glean_buffer_free
        glean_get_debug_view_tag glean_set_log_pings glean_get_log_pings
        glean_test_get_experimentation_id glean_test_get_attribution glean_test_get_distribution glean_set_test_mode
        glean_set_collection_enabled glean_set_dirty_flag glean_metric_destroy
        glean_ping_destroy glean_get_registered_ping_names glean_set_store_submitted_pings_enabled
        glean_get_all_stored_submitted_pings glean_upload_task_free glean_upload_peek glean_is_frozen
    }
    functions! { calls, (_, _),
        glean_counter_add glean_metric_add_to_denominator glean_metric_set_bool glean_metric_set_number glean_metric_stop
        glean_metric_cancel glean_metric_accumulate
        glean_log_next glean_session_end
        glean_set_experiment_inactive
        glean_set_experimentation_id glean_update_attribution glean_update_distribution glean_initialize
        glean_set_app_channel glean_apply_server_knobs_config
        glean_ping_set_enabled glean_upload_wait glean_upload_open
    }
    functions! { calls, (_, _, _),
        glean_metric_set_text glean_metric_set_object glean_metric_add_to_list glean_metric_set_list
        glean_metric_accumulate_samples glean_metric_record_event
        glean_set_debug_view_tag glean_set_source_tags
        glean_test_get_experiment_data glean_metric_new
        glean_metric_test_get_num_recorded_errors glean_ping_new glean_ping_submit
        glean_get_stored_submitted_pings_by_name glean_upload_next glean_purge
    }
    functions! { calls, (_, _, _, _),
        glean_labeled_get glean_metric_test_get_value glean_submit_ping_by_name glean_inspect
    }
    functions! { calls, (_, _, _, _, _), glean_submit_ping_by_name_sync }
    functions! { calls, (_, _, _, _, _, _), glean_dual_labeled_counter_get glean_set_experiment_active glean_upload_report }
    functions! { calls, (_, _, _, _, _, _, _, _, _), glean_metric_set_datetime }
    let mut declared = declarations();
    let functions = calls
        .into_iter()
        .map(|(name, call)| {
            let parameters = declared.remove(name).unwrap_or_else(|| panic!("glean.h has no {name}"));
            Function { name, parameters, call }
        })
        .collect();
    let missing: Vec<&String> = declared.keys().collect();
    assert!(missing.is_empty(), "add to the table of {}: {missing:?}", file!());
    functions
}

/// Reads the declarations of the header.
fn declarations() -> BTreeMap<String, Vec<Parameter>> {
    let mut code = String::new();
    let mut rest = HEADER;
    while let Some((before, comment)) = rest.split_once("/*") {
        code += before;
        rest = comment.split_once("*/").expect("a comment ends").1;
    }
    code += rest;
    let words: String = code.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(" ");
    let mut declared = BTreeMap::new();
    for declaration in words.split(';') {
        let Some((head, parameters)) = declaration.trim().split_once('(') else { continue };
        let Some(name) = head.split_whitespace().last().filter(|name| name.starts_with("glean_")) else { continue };
        let parameters = parameters.trim_end_matches(')').split(',').map(str::trim).filter(|text| *text != "void");
        let mut kinds: Vec<Parameter> = Vec::new();
        for parameter in parameters {
            let after = kinds.last().map(|parameter| parameter.kind);
            kinds.push(parse_parameter(parameter, after));
        }
        declared.insert(name.to_owned(), kinds);
    }
    assert!(declared.len() > 60, "{} declarations", declared.len());
    declared
}

fn parse_parameter(text: &str, before: Option<Kind>) -> Parameter {
    let start = text.rfind([' ', '*']).expect("a type and a name") + 1;
    let (c_type, name) = (text[..start].trim(), &text[start..]);
    let kind = match c_type {
        "uint64_t" if name == "handle" => Kind::Handle,
        "uint64_t" if matches!(before, Some(Kind::Text | Kind::Samples)) => Kind::Length,
        "uint64_t" => Kind::Number(0, u64::MAX.into()),
        "int64_t" => Kind::Number(i64::MIN.into(), i64::MAX.into()),
        "uint32_t" => Kind::Number(0, u32::MAX.into()),
        "int32_t" => Kind::Number(i32::MIN.into(), i32::MAX.into()),
        "uint8_t" => Kind::Number(0, u8::MAX.into()),
        "const uint8_t *" => Kind::Text,
        "const int64_t *" => Kind::Samples,
        "GleanBuffer *" | "GleanUploadTask *" if !name.starts_with("out_") => Kind::Buffer,
        "GleanBuffer *" => Kind::OutBuffer,
        _ if c_type.ends_with('*') && name.starts_with("out_") => Kind::Out,
        _ => panic!("what is {text:?} for?"),
    };
    Parameter { name: name.to_owned(), kind }
}

/// Tells whether a function records something of a metric.
pub fn is_recording(function: &str) -> bool {
    const VERBS: [&str; 10] =
        ["add_", "set_", "refuse_", "start", "stop", "cancel", "accumulate", "record_", "increment", "add"];
    let verb = function.strip_prefix("glean_metric_").or_else(|| function.strip_prefix("glean_counter_"));
    verb.is_some_and(|verb| VERBS.iter().any(|begin| verb.starts_with(begin)))
}

/// The words of all types, labeled ones included, as the core says them when it refuses another one.
pub fn metric_types() -> Vec<String> {
    let error = try_metric(&description("nonsense", &serde_json::json!("nonsense"))).unwrap_err();
    let (_, expected) = error.split_once("expected one of").unwrap_or_else(|| panic!("{error}"));
    let words: Vec<String> = expected.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(words.len() > 15 && words.iter().any(|word| word == "counter"), "{error}");
    let labeled: Vec<String> = words.iter().map(|word| format!("labeled_{word}")).collect();
    words.into_iter().chain(labeled).filter(|word| word != "labeled_dual_labeled_counter").collect()
}

/// What the types take as parameters; a type goes with the first one that it takes.
fn parameters() -> [serde_json::Value; 6] {
    use serde_json::json;
    let numerator = json!({"category": "test", "name": "numerator", "send_in_pings": ["custom"], "lifetime": "ping", "disabled": false});
    [
        json!("nanosecond"),
        json!("byte"),
        json!({"range_min": 1, "range_max": 100, "bucket_count": 10, "histogram_type": "exponential"}),
        json!(["key", "other"]),
        json!([numerator]),
        json!({}),
    ]
}

/// The description of a metric of a type, as `glean_metric_new` takes it.
pub fn definition(word: &str) -> String {
    static KNOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if !known.contains_key(word) {
        let kind = word.strip_prefix("labeled_").unwrap_or(word);
        let with_parameters = parameters().into_iter().map(|parameters| serde_json::json!({kind: parameters}));
        let mut all = [serde_json::json!(kind)].into_iter().chain(with_parameters).map(|kind| description(word, &kind));
        let accepted = all.find(|text| try_metric(text).is_ok());
        let accepted = accepted.unwrap_or_else(|| panic!("add what {word} takes to `parameters` in {}", file!()));
        known.insert(word.to_owned(), accepted);
    }
    known[word].clone()
}

fn description(word: &str, kind: &serde_json::Value) -> String {
    let is_labeled = word.starts_with("labeled_");
    format!(
        r#"{{"type":{kind},"is_labeled":{is_labeled},"category":"test","name":"{word}","send_in_pings":["custom"],"lifetime":"ping","disabled":false}}"#
    )
}

/// Makes a metric and destroys it; or returns why there is none.
fn try_metric(definition: &str) -> Result<(), String> {
    let mut handle = 0;
    match unsafe { glean_metric_new(definition.as_ptr(), definition.len() as u64, &mut handle) } & !GLEAN_LOGGED {
        GLEAN_OK => {
            check(glean_metric_destroy(handle));
            Ok(())
        }
        _ => Err(last_error()),
    }
}

/// The description of the ping `custom`, as `glean_ping_new` takes it.
pub const PING: &str = r#"{"name":"custom","include_client_id":true,"send_if_empty":true,"precise_timestamps":true,
    "include_info_sections":true,"schedules_pings":[],"reason_codes":["first"],"uploader_capabilities":[],
    "enabled":true,"follows_collection_enabled":true}"#;

/// The settings of a start in a directory.
pub fn settings(data_dir: &Path) -> String {
    serde_json::json!({
        "data_dir": data_dir.to_str().unwrap(),
        "application_id": "ffi-tests",
        "app_display_version": "1.0",
        "app_build": "Unknown",
        "architecture": "Unknown",
        "os_version": "Unknown",
        "upload_enabled": true,
        "enable_internal_pings": true,
        "max_events": 500,
        "session_mode": 0,
        "session_sample_rate": 1.0,
        "session_inactivity_timeout_ms": 1_800_000,
        "test_mode": true,
    })
    .to_string()
}

/// The settings of a start with which folds happen in a thread of their own, and with the test's own pings only.
pub fn threaded_settings(data_dir: &Path) -> String {
    let mut settings: serde_json::Value = serde_json::from_str(&settings(data_dir)).unwrap();
    settings["test_mode"] = false.into();
    settings["enable_internal_pings"] = false.into();
    settings.to_string()
}

/// Waits until no other test has Glean, of which there is one per process, and resets it.
pub fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    check(glean_reset());
    check(glean_upload_close());
    log_messages();
    turn
}

/// Asserts that a call did what it should.
#[track_caller]
pub fn check(status: i32) {
    assert_eq!(status & !GLEAN_LOGGED, GLEAN_OK, "{}", last_error());
}

/// Makes a metric.
pub fn new_metric(definition: &str) -> u64 {
    let mut handle = 0;
    let status = unsafe { glean_metric_new(definition.as_ptr(), definition.len() as u64, &mut handle) };
    assert_eq!(status & !GLEAN_LOGGED, GLEAN_OK, "{definition}: {}", last_error());
    assert_ne!(handle, 0);
    handle
}

/// Makes a metric of a type with a name of its own.
pub fn new_named(kind: &str, name: &str) -> u64 {
    new_metric(&definition(kind).replace(&format!(r#""name":"{kind}""#), &format!(r#""name":"{name}""#)))
}

/// Makes a ping.
pub fn new_ping(definition: &str) -> u64 {
    let mut handle = 0;
    let status = unsafe { glean_ping_new(definition.as_ptr(), definition.len() as u64, &mut handle) };
    assert_eq!(status & !GLEAN_LOGGED, GLEAN_OK, "{definition}: {}", last_error());
    assert_ne!(handle, 0);
    handle
}

/// Starts with these settings; returns the status.
pub fn initialize(settings: &str) -> i32 {
    unsafe { glean_initialize(settings.as_ptr(), settings.len() as u64) & !GLEAN_LOGGED }
}

/// Returns what is stored for a metric, or the status.
pub fn value(handle: u64) -> Result<serde_json::Value, i32> {
    let mut buffer = empty();
    match unsafe { glean_metric_test_get_value(handle, std::ptr::null(), 0, &mut buffer) } & !GLEAN_LOGGED {
        GLEAN_OK => Ok(serde_json::from_str(&take(&mut buffer)).unwrap()),
        status => Err(status),
    }
}

/// Returns how many errors of a kind a metric has.
pub fn errors(handle: u64, error: i32) -> i32 {
    let mut count = -1;
    let status = unsafe { glean_metric_test_get_num_recorded_errors(handle, error, &mut count) };
    assert_eq!(status & !GLEAN_LOGGED, GLEAN_OK, "{}", last_error());
    count
}

pub fn empty() -> GleanBuffer {
    GleanBuffer { data: std::ptr::null_mut(), len: 0 }
}

/// Copies the text of a buffer and frees it.
pub fn take(buffer: &mut GleanBuffer) -> String {
    let bytes = match buffer.data.is_null() {
        true => Vec::new(),
        // SAFETY: the library filled it.
        false => unsafe { std::slice::from_raw_parts(buffer.data, buffer.len as usize) }.to_vec(),
    };
    // SAFETY: as above.
    assert_eq!(unsafe { glean_buffer_free(buffer) } & !GLEAN_LOGGED, GLEAN_OK);
    assert!(buffer.data.is_null() && buffer.len == 0);
    String::from_utf8(bytes).unwrap()
}

/// Returns why the last failed call of this thread failed.
pub fn last_error() -> String {
    let mut buffer = empty();
    assert_eq!(unsafe { glean_last_error(&mut buffer) } & !GLEAN_LOGGED, GLEAN_OK);
    take(&mut buffer)
}

/// Takes all waiting log messages.
pub fn log_messages() -> Vec<(i32, String)> {
    let mut messages = Vec::new();
    let (mut level, mut buffer) = (0, empty());
    while unsafe { glean_log_next(&mut level, &mut buffer) } & !GLEAN_LOGGED == GLEAN_OK {
        messages.push((level, take(&mut buffer)));
    }
    messages
}
