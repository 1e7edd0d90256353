//! Any sequence of operations: every ping that comes out is three lines, its body is JSON of the right shape, and a state
//! that was saved and read again makes the same pings.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use glean_core::machine::Machine;
use glean_core::machine::context::{Context, SessionMode, Settings};
use glean_core::machine::op::{DebugTags, Facts, Moment, Op, ServerKnobs, Start};
use glean_core::metrics::{EventRecording, Kind, Label, MetricDefinition, Recording};
use glean_core::store::State;
use glean_core::store::base::{self, Effect, Header};
use glean_core::time::LocalDatetime;
use glean_core::{CommonMetricData, ErrorType, Lifetime, PingDefinition};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value as Json, json};

const MAX_OPERATIONS: usize = 120;
const METRICS: u32 = 12;
const PINGS: [&str; 7] = ["custom", "other", "metrics", "events", "baseline", "health", "deletion-request"];
const STORES: [&str; 3] = ["all-pings", "glean_client_info", "glean_internal_info"];

fuzz_target!(|data: &[u8]| {
    let _ = run(&mut Unstructured::new(data));
});

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let start = moment(input)?;
    let context = Context::new("fuzz".to_owned(), settings(input)?, start.clone());
    let mut world = World { state: State::default(), context, outgoing: Vec::new(), damage: None };
    if input.ratio(9, 10)? {
        world.apply(Op::Start(Box::new(start_of(input, start)?)));
    }
    for _ in 0..MAX_OPERATIONS {
        if input.is_empty() {
            break;
        }
        world.apply(operation(input)?);
        if input.ratio(1, 20)? {
            world.apply_count(&Op::Count(input.int_in_range(0..=METRICS)?), input.arbitrary::<u64>()? >> 12);
        }
    }
    world.outgoing.iter().for_each(check);
    world.outgoing.clear();
    let mut reloaded = world.saved_and_read();
    let end = Moment { local: LocalDatetime::epoch(), unix_ms: 1, uptime_ms: 2 };
    for ping in world.context.pings.keys().cloned().collect::<Vec<_>>() {
        let op = Op::Submit { ping: &ping, reason: Some("first"), moment: end.clone() };
        world.apply(op.clone());
        reloaded.apply(op);
        world.outgoing.iter().for_each(check);
        let bodies = |world: &World| -> Vec<String> { world.outgoing.iter().filter_map(body).collect() };
        assert_eq!(bodies(&world), bodies(&reloaded), "{ping}");
        world.outgoing.clear();
        reloaded.outgoing.clear();
    }
    Ok(())
}

struct World {
    state: State,
    context: Context,
    outgoing: Vec<Effect>,
    damage: Option<String>,
}

impl World {
    fn machine(&mut self) -> Machine<'_> {
        Machine {
            state: &mut self.state,
            context: &mut self.context,
            outgoing: &mut self.outgoing,
            data_dir: Path::new("/nonexistent"),
            damage: &mut self.damage,
        }
    }

    fn apply(&mut self, op: Op<'_>) {
        // What is applied has been in a journal.
        let bytes = postcard::to_stdvec(&op).unwrap();
        self.machine().apply(postcard::from_bytes(&bytes).unwrap());
    }

    fn apply_count(&mut self, op: &Op<'_>, count: u64) {
        self.machine().apply_count(op, count);
    }

    fn saved_and_read(&self) -> World {
        let loaded = base::parse(&base::to_bytes(&Header::default(), &self.state));
        assert_eq!(loaded.damage, None);
        World { state: loaded.state, context: self.context.clone(), outgoing: Vec::new(), damage: None }
    }
}

/// Returns the body of a ping file.
fn body(effect: &Effect) -> Option<String> {
    let Effect::Publish { content, .. } = effect else { return None };
    Some(content.split('\n').nth(1).expect("a body").to_owned())
}

/// Looks at a ping file, if it is one.
fn check(effect: &Effect) {
    let Effect::Publish { document_id, content: text, .. } = effect else { return };
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("/submit/") && lines[0].ends_with(document_id.as_str()), "{}", lines[0]);
    for line in &lines[1..] {
        let json: Json = serde_json::from_str(line).expect("JSON");
        assert!(json.is_object());
        // The last digit of a fraction may change when it is read for the first time.
        let again: Json = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!(serde_json::from_str::<Json>(&again.to_string()).unwrap(), again, "round trip");
    }
    let body: Json = serde_json::from_str(lines[1]).unwrap();
    let empty = serde_json::Map::new();
    for (section, metrics) in body.get("metrics").and_then(Json::as_object).unwrap_or(&empty) {
        let metrics = metrics.as_object().expect("a section is an object");
        assert!(!metrics.is_empty(), "{section}");
        for (identifier, value) in metrics {
            assert!(has_shape(section, value), "{section} {identifier}: {value}");
        }
    }
    for event in body.get("events").and_then(Json::as_array).into_iter().flatten() {
        assert!(event["timestamp"].is_u64() && event["category"].is_string() && event["name"].is_string(), "{event}");
        let texts = event.get("extra").map_or(Some(&empty), Json::as_object).expect("extras");
        assert!(texts.values().all(Json::is_string), "{event}");
        if let Some(session) = event.get("session") {
            assert!(session["session_id"].is_string() && session["session_sample_rate"].is_number(), "{event}");
        }
    }
}

/// Tells whether a value can be in this section of `metrics`.
fn has_shape(section: &str, value: &Json) -> bool {
    let is_not_negative = |value: &Json| value.as_i64().is_some_and(|number| number >= 0);
    match section {
        "boolean" => value.is_boolean(),
        "counter" | "quantity" => is_not_negative(value),
        "string" | "text" | "url" | "uuid" | "datetime" => value.is_string(),
        "string_list" => value.as_array().is_some_and(|list| list.iter().all(Json::is_string)),
        "timespan" => is_not_negative(&value["value"]) && value["time_unit"].is_string(),
        "timing_distribution" | "memory_distribution" | "custom_distribution" => {
            let buckets = value["values"].as_object();
            let is_bucket = |(bucket, count): (&String, &Json)| bucket.parse::<u64>().is_ok() && is_not_negative(count);
            is_not_negative(&value["sum"]) && buckets.is_some_and(|buckets| buckets.iter().all(is_bucket))
        }
        "rate" => is_not_negative(&value["numerator"]) && is_not_negative(&value["denominator"]),
        "object" => true,
        "dual_labeled_counter" => value.as_object().is_some_and(|keys| {
            let are_counts = |key: &Json| key.as_object().is_some_and(|key| key.values().all(is_not_negative));
            !keys.is_empty() && keys.values().all(are_counts)
        }),
        _ => match section.strip_prefix("labeled_") {
            Some(section) => value
                .as_object()
                .is_some_and(|labels| !labels.is_empty() && labels.values().all(|value| has_shape(section, value))),
            None => false,
        },
    }
}

// --- what goes in -----------------------------------------------------------------------------------------------------

fn text<'a>(input: &mut Unstructured<'a>) -> Result<&'a str> {
    const TEXTS: [&str; 12] =
        ["", "a", "b", "test.metric_1", "first", "\0", "é", "__other__", "{\"a\":[1]}", "null", "-1", "\u{1e}"];
    if input.ratio(1, 8)? { input.arbitrary() } else { Ok(*input.choose(&TEXTS)?) }
}

/// Returns a name without what would end a line of a ping file.
fn name(input: &mut Unstructured<'_>) -> Result<String> {
    Ok(match input.ratio(1, 20)? {
        true => text(input)?.replace(['\n', '/'], "-"),
        false => (*input.choose(&PINGS)?).to_owned(),
    })
}

fn ping<'a>(input: &mut Unstructured<'a>) -> Result<&'a str> {
    Ok(*input.choose(&PINGS)?)
}

fn owned(input: &mut Unstructured<'_>) -> Result<String> {
    text(input).map(str::to_owned)
}

fn many<T>(input: &mut Unstructured<'_>, make: impl Fn(&mut Unstructured<'_>) -> Result<T>) -> Result<Vec<T>> {
    let count = *input.choose(&[0, 1, 1, 2, 3, 22])?;
    (0..count).map(|_| make(input)).collect()
}

fn texts(input: &mut Unstructured<'_>) -> Result<BTreeMap<String, String>> {
    Ok(many(input, |input| Ok((owned(input)?, owned(input)?)))?.into_iter().collect())
}

fn number(input: &mut Unstructured<'_>) -> Result<i64> {
    if input.ratio(1, 3)? { input.arbitrary() } else { input.int_in_range(-2..=2000) }
}

fn local(input: &mut Unstructured<'_>) -> Result<Option<LocalDatetime>> {
    Ok(LocalDatetime::new(
        if input.arbitrary()? { 2026 } else { input.arbitrary()? },
        input.int_in_range(0..=13)?,
        input.int_in_range(0..=32)?,
        input.int_in_range(0..=24)?,
        input.int_in_range(0..=60)?,
        input.int_in_range(0..=60)?,
        input.int_in_range(0..=2_000_000_000)?,
        input.int_in_range(-90_000..=90_000)?,
    ))
}

fn moment(input: &mut Unstructured<'_>) -> Result<Moment> {
    Ok(Moment {
        local: local(input)?.unwrap_or_else(LocalDatetime::epoch),
        unix_ms: if input.arbitrary()? { 1_790_000_000_000 } else { input.arbitrary()? },
        uptime_ms: if input.arbitrary()? { 5 } else { input.arbitrary()? },
    })
}

fn settings(input: &mut Unstructured<'_>) -> Result<Settings> {
    Ok(Settings {
        application_id: owned(input)?,
        app_display_version: owned(input)?,
        app_build: owned(input)?,
        channel: Some(owned(input)?),
        experimentation_id: input.arbitrary::<bool>()?.then(|| owned(input)).transpose()?,
        upload_enabled: input.ratio(9, 10)?,
        enable_internal_pings: input.ratio(9, 10)?,
        enable_event_timestamps: input.arbitrary()?,
        max_events: if input.arbitrary()? { 500 } else { input.arbitrary()? },
        session_mode: SessionMode::from(input.int_in_range(0..=2)?),
        session_sample_rate: input.arbitrary()?,
        session_inactivity_timeout_ms: input.arbitrary()?,
        events_ping_acceleration_factor: Some(number(input)?),
        ..Settings::default()
    })
}

fn start_of(input: &mut Unstructured<'_>, moment: Moment) -> Result<Start> {
    Ok(Start {
        moment,
        is_alone: input.arbitrary()?,
        directory_info: input.arbitrary::<bool>()?.then(|| "[]".to_owned()),
        database_bytes: input.arbitrary()?,
        switched_pings: many(input, |input| Ok((name(input)?, input.arbitrary()?)))?,
        attribution: (input.arbitrary()?, texts(input)?),
        distribution: (input.arbitrary()?, texts(input)?),
        dropped_calls: input.arbitrary()?,
    })
}

fn operation<'a>(input: &mut Unstructured<'a>) -> Result<Op<'a>> {
    Ok(match input.int_in_range(0..=40)? {
        0 => Op::Start(Box::new({
            let moment = moment(input)?;
            start_of(input, moment)?
        })),
        1..=8 => Op::Define(input.int_in_range(0..=METRICS)?, Box::new(definition(input)?)),
        9 | 10 => Op::RegisterPing(Box::new(ping_definition(input)?)),
        11 => Op::SetPingEnabled(ping(input)?, input.arbitrary()?),
        12 | 13 => Op::Submit { ping: ping(input)?, reason: Some(text(input)?), moment: moment(input)? },
        14 => Op::SetCollectionEnabled(input.arbitrary()?, moment(input)?),
        15 => Op::SetExperimentActive(text(input)?, text(input)?, texts(input)?),
        16 => Op::SetExperimentInactive(text(input)?),
        17 => Op::SetExperimentationId(text(input)?),
        18 => Op::ClientActive(moment(input)?),
        19 => Op::ClientInactive(moment(input)?, input.arbitrary()?),
        20 => Op::SessionStart(moment(input)?),
        21 => Op::SessionEnd(Some(text(input)?), moment(input)?),
        22 => Op::ServerKnobs(ServerKnobs {
            metrics_enabled: [(owned(input)?, input.arbitrary()?)].into(),
            pings_enabled: [(name(input)?, input.arbitrary()?)].into(),
            event_threshold: input.arbitrary()?,
            session_sample_rate: input.arbitrary::<Option<f64>>()?.filter(|rate| rate.is_finite()),
            events_ping_acceleration_factor: Some(number(input)?),
        }),
        23 => Op::UpdateFacts(*input.choose(&[Facts::Attribution, Facts::Distribution])?, texts(input)?),
        24 => Op::ClearFacts(Facts::Attribution),
        25 => Op::SetDirty(input.arbitrary()?),
        26 => Op::SetTags(DebugTags { view_tag: Some(owned(input)?), source_tags: Some(many(input, owned)?) }),
        27 => Op::SetChannel(text(input)?),
        28 => Op::StoreSubmittedPings(input.arbitrary()?),
        29 => Op::ClearSubmittedPings,
        30 => Op::End(input.arbitrary()?, input.arbitrary()?),
        _ => Op::Record(input.int_in_range(0..=METRICS)?, recording(input)?),
    })
}

fn ping_definition(input: &mut Unstructured<'_>) -> Result<PingDefinition> {
    Ok(PingDefinition {
        name: name(input)?,
        include_client_id: input.arbitrary()?,
        send_if_empty: input.arbitrary()?,
        precise_timestamps: input.arbitrary()?,
        include_info_sections: input.arbitrary()?,
        schedules_pings: many(input, name)?,
        reason_codes: many(input, owned)?,
        uploader_capabilities: many(input, owned)?,
        enabled: input.ratio(9, 10)?,
        follows_collection_enabled: input.arbitrary()?,
    })
}

fn common(input: &mut Unstructured<'_>) -> Result<CommonMetricData> {
    Ok(CommonMetricData {
        category: "test".to_owned(),
        name: format!("metric_{}", input.int_in_range(0..=METRICS)?),
        send_in_pings: many(input, |input| {
            Ok(if input.ratio(1, 20)? { (*input.choose(&STORES)?).to_owned() } else { name(input)? })
        })?,
        lifetime: *input.choose(&[Lifetime::Ping, Lifetime::Application, Lifetime::User])?,
        disabled: input.ratio(1, 20)?,
        in_session: input.arbitrary()?,
    })
}

/// Returns a kind with any parameters: JSON of every form that one can have, until one fits a word.
fn kind(input: &mut Unstructured<'_>) -> Result<Kind> {
    let words = words();
    let word = input.choose(words)?;
    let numbers = [number(input)?, number(input)?, number(input)?];
    let parameters = [
        json!(*input.choose(&["nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day"])?),
        json!(*input.choose(&["byte", "kilobyte", "megabyte", "gigabyte"])?),
        json!({
            "range_min": numbers[0], "range_max": numbers[1], "bucket_count": numbers[2],
            "histogram_type": input.choose(&["linear", "exponential"])?,
        }),
        json!(many(input, owned)?),
        json!(many(input, common)?),
        json!({
            "keys": input.arbitrary::<bool>()?.then(|| many(input, owned)).transpose()?,
            "categories": input.arbitrary::<bool>()?.then(|| many(input, owned)).transpose()?,
        }),
    ];
    let with_parameters = parameters.into_iter().map(|parameters| json!({word: parameters}));
    let mut kinds =
        [json!(word)].into_iter().chain(with_parameters).filter_map(|json| serde_json::from_value(json).ok());
    Ok(kinds.next().unwrap_or_else(|| panic!("add what {word} takes to the parameters")))
}

/// The words of all kinds, as the core says them when it refuses another one.
fn words() -> &'static [String] {
    static WORDS: OnceLock<Vec<String>> = OnceLock::new();
    WORDS.get_or_init(|| {
        let error = serde_json::from_value::<Kind>(json!("nonsense")).unwrap_err().to_string();
        let (_, expected) = error.split_once("expected one of").expect(&error);
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    })
}

fn definition(input: &mut Unstructured<'_>) -> Result<MetricDefinition> {
    let kind = kind(input)?;
    let label = match kind {
        Kind::DualLabeledCounter { .. } => Label::Dual(owned(input)?, owned(input)?),
        _ => match input.int_in_range(0..=3)? {
            0 => Label::Dynamic(owned(input)?),
            1 => Label::Static(owned(input)?, input.arbitrary()?),
            _ => Label::None,
        },
    };
    Ok(MetricDefinition { common: common(input)?, kind, label })
}

fn recording<'a>(input: &mut Unstructured<'a>) -> Result<Recording<'a>> {
    Ok(match input.int_in_range(0..=13)? {
        0 => Recording::CounterAdd(number(input)? as i32),
        1 => Recording::DenominatorAdd(number(input)? as i32),
        2 => Recording::BooleanSet(input.arbitrary()?),
        3 => Recording::NumberSet(number(input)?),
        4 => Recording::TextSet(text(input)?, input.arbitrary()?),
        5 => Recording::TextSet("01234567-89ab-cdef-0123-456789abcdef", false),
        6 => Recording::ObjectSet(text(input)?),
        7 => Recording::StringListAdd(text(input)?, input.arbitrary()?),
        8 => Recording::StringListSet(many(input, owned)?, input.arbitrary()?, input.arbitrary()?),
        9 => Recording::DatetimeSet(local(input)?),
        10 => Recording::Duration(input.arbitrary()?),
        11 => Recording::Sample(number(input)?),
        12 => Recording::Samples(many(input, number)?),
        13 => Recording::Event(EventRecording {
            timestamp: input.arbitrary()?,
            unix_ms: number(input)?,
            extra: texts(input)?,
            cut: input.int_in_range(0..=3)?,
        }),
        _ => Recording::Error(
            *input.choose(&[ErrorType::InvalidValue, ErrorType::InvalidState, ErrorType::InvalidLabel])?,
            input.arbitrary()?,
            "why",
        ),
    })
}
