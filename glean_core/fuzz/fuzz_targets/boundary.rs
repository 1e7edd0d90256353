//! Any sequence of calls of the C ABI, with any arguments that C allows: no panic, a documented status, readable pings.

#![no_main]

#[path = "../../tests/common/abi.rs"]
mod abi;

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use abi::{Function, Kind};
use arbitrary::{Result, Unstructured};
use glean_core::ffi::*;
use libfuzzer_sys::fuzz_target;

/// Tells the leak detector what it cannot know: a thread that ends frees the list of its destructors at the very end.
#[unsafe(no_mangle)]
extern "C" fn __lsan_default_suppressions() -> *const std::ffi::c_char {
    c"leak:__cxa_thread_atexit_impl\n".as_ptr()
}

const MAX_CALLS: usize = 60;
const STATUSES: std::ops::RangeInclusive<u64> = 0..=GLEAN_TOO_MANY_HANDLES as u64;

struct World {
    functions: Vec<Function>,
    /// A description of each type of metric.
    definitions: Vec<String>,
    data_dir: PathBuf,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let data_dir = folder.join(format!("glean-fuzz-{}", std::process::id()));
        let definitions = abi::metric_types().iter().map(|word| abi::definition(word)).collect();
        World { functions: abi::functions(), definitions, data_dir }
    })
}

fuzz_target!(|data: &[u8]| {
    let mut calls = Calls { handles: vec![0, 1, u64::MAX], timers: vec![0, 1], has_odd_name: false };
    let _ = calls.run(&mut Unstructured::new(data));
    calls.end();
});

/// One sequence.
struct Calls {
    handles: Vec<u64>,
    timers: Vec<u64>,
    /// Whether a ping has a name that would end a line of its file.
    has_odd_name: bool,
}

/// What the words of a call point to.
#[derive(Default)]
struct Memory {
    texts: Vec<Vec<u8>>,
    samples: Vec<Vec<i64>>,
    outs: Vec<Box<[u64; 2]>>,
}

impl Calls {
    fn run(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let world = world();
        let _ = fs::remove_dir_all(&world.data_dir);
        for _ in 0..MAX_CALLS {
            if input.is_empty() {
                break;
            }
            let function = input.choose(&world.functions)?;
            self.call(function, input)?;
        }
        Ok(())
    }

    fn call(&mut self, function: &Function, input: &mut Unstructured<'_>) -> Result<()> {
        let mut memory = Memory::default();
        let mut words: Vec<u64> = Vec::new();
        for parameter in &function.parameters {
            let word = match parameter.kind {
                Kind::Handle => *input.choose(&self.handles)?,
                Kind::Text => {
                    let text = self.text(function.name, &parameter.name, input)?;
                    memory.texts.push(text);
                    if input.ratio(1, 30)? { 0 } else { memory.texts.last().unwrap().as_ptr() as u64 }
                }
                Kind::Samples => {
                    let count = input.int_in_range(0..=40)?;
                    let samples: Result<Vec<i64>> = (0..count).map(|_| number(input)).collect();
                    memory.samples.push(samples?);
                    memory.samples.last().unwrap().as_ptr() as u64
                }
                Kind::Length if input.ratio(1, 60)? => u64::MAX,
                Kind::Length if function.parameters[words.len() - 1].kind == Kind::Samples => {
                    memory.samples.last().unwrap().len() as u64
                }
                Kind::Length => memory.texts.last().unwrap().len() as u64,
                Kind::Out | Kind::OutBuffer | Kind::Buffer if input.ratio(1, 60)? => 0,
                Kind::Out | Kind::OutBuffer | Kind::Buffer => {
                    memory.outs.push(Box::new([0, 0]));
                    memory.outs.last_mut().unwrap().as_mut_ptr() as u64
                }
                Kind::Number(..) if parameter.name == "id" => *input.choose(&self.timers)?,
                Kind::Number(..) => number(input)? as u64,
            };
            words.push(word);
        }
        // SAFETY: pointers are NULL or valid for the length that goes with them, or that length is larger than memory.
        let status = unsafe { function.call(&words) };
        if function.name == "glean_metric_start" {
            self.timers.push(status);
            return Ok(());
        }
        assert!(STATUSES.contains(&status), "{}: {status}", function.name);
        assert_ne!(status, GLEAN_PANIC as u64, "{}: {}", function.name, abi::last_error());
        self.look_at_results(function, &words, status);
        Ok(())
    }

    fn look_at_results(&mut self, function: &Function, words: &[u64], status: u64) {
        if status != GLEAN_OK as u64 {
            return;
        }
        for (parameter, word) in function.parameters.iter().zip(words) {
            if parameter.kind == Kind::OutBuffer {
                // SAFETY: the library filled it.
                let text = abi::take(unsafe { &mut *(*word as *mut buffers::GleanBuffer) });
                let is_json = function.name.contains("test_get_value") || function.name.contains("_pings");
                assert!(!is_json || serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
            }
            if parameter.name == "out_handle" {
                // SAFETY: the library wrote it.
                self.handles.push(unsafe { *(*word as *const u64) });
            }
        }
    }

    /// Returns a text: mostly one that is meant for this parameter, sometimes anything.
    fn text(&mut self, function: &str, parameter: &str, input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        if input.ratio(1, 12)? {
            let mut bytes = any_bytes(input)?;
            if function == "glean_initialize" {
                // No JSON, so that no other folder is used.
                bytes.insert(0, b'!');
            }
            if function == "glean_ping_new" {
                self.has_odd_name = true;
            }
            return Ok(bytes);
        }
        let text = match (function, parameter) {
            ("glean_initialize", _) => settings(input)?,
            ("glean_metric_new", _) => metric_definition(input)?,
            ("glean_ping_new", _) => ping_definition(input)?,
            (_, "tags" | "list") => serde_json::json!(many(input, word)?).to_string(),
            (_, "fields" | "extra") => {
                let fields: serde_json::Map<_, _> =
                    many(input, |input| Ok((word(input)?, word(input)?.into())))?.into_iter().collect();
                serde_json::Value::Object(fields).to_string()
            }
            (_, "knobs") => serde_json::json!({
                "metrics_enabled": {word(input)?: input.arbitrary::<bool>()?, "test.counter": input.arbitrary::<bool>()?},
                "pings_enabled": {word(input)?: input.arbitrary::<bool>()?},
                "event_threshold": input.arbitrary::<Option<u32>>()?,
                "session_sample_rate": input.arbitrary::<Option<f64>>()?.filter(|rate| rate.is_finite()),
                "events_ping_acceleration_factor": number(input)?,
            })
            .to_string(),
            ("glean_metric_set_object", _) => serde_json::json!({word(input)?: [number(input)?, word(input)?]}).to_string(),
            _ => word(input)?,
        };
        Ok(text.into_bytes())
    }

    fn end(self) {
        lifecycle::glean_fold();
        lifecycle::glean_reset();
        for handle in self.handles {
            if metric::glean_metric_destroy(handle) & !GLEAN_LOGGED == GLEAN_INVALID_HANDLE {
                ping::glean_ping_destroy(handle);
            }
        }
        glean_log_set_level(20);
        for (_, text) in abi::log_messages() {
            assert!(!text.contains("please report"), "{text}");
        }
        if self.has_odd_name {
            return;
        }
        for folder in ["pending_pings", "deletion_request"] {
            let Ok(entries) = fs::read_dir(world().data_dir.join(folder)) else { continue };
            for entry in entries {
                let text = fs::read_to_string(entry.unwrap().path()).unwrap();
                let lines: Vec<&str> = text.split('\n').collect();
                assert_eq!(lines.len(), 3, "{text:?}");
                for line in &lines[1..] {
                    serde_json::from_str::<serde_json::Value>(line).unwrap();
                }
            }
        }
    }
}

fn any_bytes(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = input.int_in_range(0..=300)?.min(input.len());
    Ok(input.bytes(length)?.to_vec())
}

fn number(input: &mut Unstructured<'_>) -> Result<i64> {
    Ok(match input.int_in_range(0..=5)? {
        0 => input.arbitrary()?,
        1 => *input.choose(&[i64::MIN, i64::MAX, i32::MIN.into(), i32::MAX.into(), -1, 1 << 40])?,
        2 => input.int_in_range(-2..=3000)?,
        _ => input.int_in_range(0..=3)?,
    })
}

/// Returns a text of few different ones, so that calls are about the same things, or a long or odd one.
fn word(input: &mut Unstructured<'_>) -> Result<String> {
    const WORDS: [&str; 16] = [
        "custom",
        "events",
        "metrics",
        "baseline",
        "test.counter",
        "key",
        "source",
        "first",
        "",
        "\0",
        "a\nb/c",
        "é\u{1e}x",
        "__other__",
        "https://example.org/",
        "01234567-89ab-cdef-0123-456789abcdef",
        "😀\u{feff}\u{202e}",
    ];
    Ok(match input.int_in_range(0..=9)? {
        0 => String::from_utf8_lossy(&any_bytes(input)?).into_owned(),
        1 => (*input.choose(&WORDS)?).repeat(input.int_in_range(0..=400)?),
        _ => (*input.choose(&WORDS)?).to_owned(),
    })
}

fn many<T>(input: &mut Unstructured<'_>, make: impl Fn(&mut Unstructured<'_>) -> Result<T>) -> Result<Vec<T>> {
    let count = *input.choose(&[0, 1, 2, 3, 25, 120])?;
    (0..count).map(|_| make(input)).collect()
}

/// Returns a name without what would end a line of a ping file.
fn ping_name(input: &mut Unstructured<'_>) -> Result<String> {
    Ok(word(input)?.replace(['\n', '/'], "-"))
}

fn settings(input: &mut Unstructured<'_>) -> Result<String> {
    Ok(serde_json::json!({
        "data_dir": world().data_dir.to_str().unwrap(),
        "application_id": if input.ratio(1, 10)? { word(input)? } else { "fuzz".to_owned() },
        "app_display_version": word(input)?,
        "app_build": "1",
        "channel": input.arbitrary::<bool>()?.then(|| word(input)).transpose()?,
        "architecture": "x",
        "os_version": "y",
        "locale": input.arbitrary::<bool>()?.then(|| word(input)).transpose()?,
        "experimentation_id": input.arbitrary::<bool>()?.then(|| word(input)).transpose()?,
        "upload_enabled": input.ratio(5, 6)?,
        "enable_internal_pings": input.arbitrary::<bool>()?,
        "enable_event_timestamps": input.arbitrary::<bool>()?,
        "max_events": if input.arbitrary::<bool>()? { 500 } else { input.arbitrary::<u32>()? },
        "session_mode": input.arbitrary::<u8>()? % 4,
        "session_sample_rate": input.arbitrary::<Option<f64>>()?.filter(|rate| rate.is_finite()).unwrap_or(1.0),
        "session_inactivity_timeout_ms": input.arbitrary::<u64>()?,
        "events_ping_acceleration_factor": number(input)?,
        "test_mode": input.ratio(9, 10)?,
    })
    .to_string())
}

fn metric_definition(input: &mut Unstructured<'_>) -> Result<String> {
    let mut definition: serde_json::Value = serde_json::from_str(input.choose(&world().definitions)?).unwrap();
    let pings =
        ["custom", "events", "metrics", "baseline", "glean_internal_info", "glean_client_info", "all-pings", "health"];
    definition["send_in_pings"] = many(input, |input| Ok((*input.choose(&pings)?).into()))?
        .into_iter()
        .collect::<Vec<serde_json::Value>>()
        .into();
    definition["lifetime"] = (*input.choose(&["ping", "application", "user"])?).into();
    if input.ratio(1, 4)? {
        definition["category"] = word(input)?.into();
        definition["name"] = word(input)?.into();
        definition["disabled"] = input.arbitrary::<bool>()?.into();
        definition["in_session"] = input.arbitrary::<bool>()?.into();
        if let Some(parameters) = definition["type"].as_object_mut().and_then(|kind| kind.values_mut().next()) {
            change(parameters, input)?;
        }
        definition["labels"] = many(input, word)?.into();
    }
    Ok(definition.to_string())
}

/// Changes the numbers and texts in the parameters of a type, so that most of them still are parameters.
fn change(parameters: &mut serde_json::Value, input: &mut Unstructured<'_>) -> Result<()> {
    match parameters {
        serde_json::Value::Number(_) => *parameters = number(input)?.into(),
        serde_json::Value::Array(items) if items.iter().all(serde_json::Value::is_string) => {
            *parameters = many(input, word)?.into();
        }
        serde_json::Value::Object(fields) if fields.is_empty() => {
            *parameters = serde_json::json!({"keys": many(input, word)?, "categories": many(input, word)?});
        }
        serde_json::Value::Object(fields) => {
            for field in fields.values_mut() {
                change(field, input)?;
            }
        }
        _ if input.ratio(1, 10)? => *parameters = word(input)?.into(),
        _ => (),
    }
    Ok(())
}

fn ping_definition(input: &mut Unstructured<'_>) -> Result<String> {
    let mut definition: serde_json::Value = serde_json::from_str(abi::PING).unwrap();
    if input.ratio(2, 3)? {
        definition["name"] = ping_name(input)?.into();
        for field in ["schedules_pings", "reason_codes", "uploader_capabilities"] {
            definition[field] = many(input, ping_name)?.into();
        }
        for field in [
            "include_client_id",
            "send_if_empty",
            "precise_timestamps",
            "include_info_sections",
            "enabled",
            "follows_collection_enabled",
        ] {
            definition[field] = input.arbitrary::<bool>()?.into();
        }
    }
    Ok(definition.to_string())
}
