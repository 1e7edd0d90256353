//! One stored value and its spelling in a ping.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::experiments::Experiment;
use crate::histogram::Histogram;
use crate::time::{LocalDatetime, TimeUnit, nanos_to_unit};

/// One stored value. Its kind decides the section of a ping it appears in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A boolean.
    Boolean(bool),
    /// A counter.
    Counter(i32),
    /// A counter with a key and a category.
    DualLabeledCounter(i32),
    /// A quantity.
    Quantity(i64),
    /// A string.
    String(String),
    /// A text.
    Text(String),
    /// A URL.
    Url(String),
    /// A list of strings.
    StringList(Vec<String>),
    /// A UUID.
    Uuid(Uuid),
    /// A duration in nanoseconds and the unit it is sent in.
    Timespan(u64, TimeUnit),
    /// Durations in nanoseconds.
    TimingDistribution(Histogram),
    /// Sizes in bytes.
    MemoryDistribution(Histogram),
    /// Samples.
    CustomDistribution(Histogram),
    /// A local time and the precision it is sent with.
    Datetime(LocalDatetime, TimeUnit),
    /// JSON text that was checked when it was stored.
    Object(String),
    /// A numerator and a denominator.
    Rate(i32, i32),
    /// An experiment; only in the internal store.
    Experiment(Experiment),
}

impl Value {
    /// Returns the section of `metrics` this value belongs to; with a label, `labeled_` goes in front.
    pub fn section(&self) -> &'static str {
        match self {
            Value::Boolean(_) => "boolean",
            Value::Counter(_) => "counter",
            Value::DualLabeledCounter(_) => "dual_labeled_counter",
            Value::Quantity(_) => "quantity",
            Value::String(_) => "string",
            Value::Text(_) => "text",
            Value::Url(_) => "url",
            Value::StringList(_) => "string_list",
            Value::Uuid(_) => "uuid",
            Value::Timespan(..) => "timespan",
            Value::TimingDistribution(_) => "timing_distribution",
            Value::MemoryDistribution(_) => "memory_distribution",
            Value::CustomDistribution(_) => "custom_distribution",
            Value::Datetime(..) => "datetime",
            Value::Object(_) => "object",
            Value::Rate(..) => "rate",
            Value::Experiment(_) => "experiment",
        }
    }

    /// Returns the value as it appears in a ping.
    pub fn to_json(&self) -> Json {
        match self {
            Value::Boolean(value) => (*value).into(),
            Value::Counter(count) | Value::DualLabeledCounter(count) => (*count).into(),
            Value::Quantity(quantity) => (*quantity).into(),
            Value::String(text) | Value::Text(text) | Value::Url(text) => text.as_str().into(),
            Value::StringList(list) => list.as_slice().into(),
            Value::Uuid(uuid) => uuid.hyphenated().to_string().into(),
            Value::Timespan(nanos, unit) => json!({"value": nanos_to_unit(*nanos, *unit), "time_unit": unit.name()}),
            Value::TimingDistribution(histogram)
            | Value::MemoryDistribution(histogram)
            | Value::CustomDistribution(histogram) => {
                json!({"sum": clamp(histogram.sum), "values": buckets(histogram)})
            }
            Value::Datetime(time, unit) => time.to_text(*unit).into(),
            // It was parsed when it was stored; damage that the checksum did not see is shown as nothing.
            Value::Object(text) => serde_json::from_str(text).unwrap_or(Json::Null),
            Value::Rate(numerator, denominator) => json!({"numerator": numerator, "denominator": denominator}),
            Value::Experiment(experiment) => experiment_json(experiment),
        }
    }

    /// Returns the value as tests see it: a timespan as a number, a distribution with its count.
    pub fn to_test_json(&self) -> Json {
        match self {
            Value::Timespan(nanos, unit) => nanos_to_unit(*nanos, *unit).into(),
            Value::TimingDistribution(histogram)
            | Value::MemoryDistribution(histogram)
            | Value::CustomDistribution(histogram) => {
                json!({"sum": clamp(histogram.sum), "count": clamp(histogram.count), "values": buckets(histogram)})
            }
            _ => self.to_json(),
        }
    }
}

/// The pipeline reads 64-bit signed integers.
fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn buckets(histogram: &Histogram) -> Map<String, Json> {
    histogram.values.iter().map(|(bucket, count)| (bucket.to_string(), clamp(*count).into())).collect()
}

/// Returns an experiment as it appears in `ping_info.experiments`.
pub fn experiment_json(experiment: &Experiment) -> Json {
    let mut map = Map::new();
    map.insert("branch".into(), experiment.branch.as_str().into());
    if let Some(extra) = experiment.extra.as_ref().filter(|extra| !extra.is_empty()) {
        map.insert("extra".into(), json!(extra));
    }
    Json::Object(map)
}
