//! One stored value and its spelling in a ping.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;
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

    /// Adds to a counter; saturates. Anything but a counter is replaced.
    pub(crate) fn add(&mut self, amount: i32) {
        match self {
            Value::Counter(count) | Value::DualLabeledCounter(count) => *count = count.saturating_add(amount),
            other => *other = Value::Counter(amount),
        }
    }

    /// Returns the value as it appears in a ping.
    pub fn to_json(&self) -> Json {
        tree(&InPing(self))
    }

    /// Returns the value as tests see it: a timespan as a number, a distribution with its count.
    pub fn to_test_json(&self) -> Json {
        match self {
            Value::Timespan(nanos, unit) => nanos_to_unit(*nanos, *unit).into(),
            Value::TimingDistribution(histogram)
            | Value::MemoryDistribution(histogram)
            | Value::CustomDistribution(histogram) => {
                tree(&Distribution { count: Some(clamp(histogram.count)), ..Distribution::from(histogram) })
            }
            _ => self.to_json(),
        }
    }
}

/// Returns as a tree what is otherwise written.
pub(crate) fn tree(json: &impl Serialize) -> Json {
    serde_json::to_value(json).expect("texts and numbers are the only keys in a ping")
}

/// A value as it appears in a ping; `Serialize` of [`Value`] itself is for storage.
///
/// Objects of a ping have their keys in order, so the fields of the structures below are sorted.
#[derive(Clone, Copy, Debug)]
pub struct InPing<'a>(pub &'a Value);

impl Serialize for InPing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Boolean(value) => serializer.serialize_bool(*value),
            Value::Counter(count) | Value::DualLabeledCounter(count) => serializer.serialize_i32(*count),
            Value::Quantity(quantity) => serializer.serialize_i64(*quantity),
            Value::String(text) | Value::Text(text) | Value::Url(text) => serializer.serialize_str(text),
            Value::StringList(list) => list.serialize(serializer),
            Value::Uuid(uuid) => serializer.serialize_str(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Value::Timespan(nanos, unit) => {
                Timespan { time_unit: *unit, value: nanos_to_unit(*nanos, *unit) }.serialize(serializer)
            }
            Value::TimingDistribution(histogram)
            | Value::MemoryDistribution(histogram)
            | Value::CustomDistribution(histogram) => Distribution::from(histogram).serialize(serializer),
            Value::Datetime(time, unit) => serializer.serialize_str(&time.to_text(*unit)),
            // It was parsed when it was stored; damage that the checksum did not see is shown as nothing.
            Value::Object(text) => serde_json::from_str(text).unwrap_or(Json::Null).serialize(serializer),
            Value::Rate(numerator, denominator) => {
                Rate { denominator: *denominator, numerator: *numerator }.serialize(serializer)
            }
            Value::Experiment(experiment) => ExperimentInPing::from(experiment).serialize(serializer),
        }
    }
}

#[derive(Serialize)]
struct Timespan {
    time_unit: TimeUnit,
    value: i64,
}

#[derive(Serialize)]
struct Rate {
    denominator: i32,
    numerator: i32,
}

#[derive(Serialize)]
struct Distribution<'a> {
    /// Only tests see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<i64>,
    sum: i64,
    values: Buckets<'a>,
}

impl<'a> From<&'a Histogram> for Distribution<'a> {
    fn from(histogram: &'a Histogram) -> Distribution<'a> {
        Distribution { count: None, sum: clamp(histogram.sum), values: Buckets(&histogram.values) }
    }
}

/// Buckets and how many samples each has. Buckets are keys, and keys have the order of texts: 10 precedes 9.
struct Buckets<'a>(&'a BTreeMap<u64, u64>);

impl Serialize for Buckets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sorted: Vec<_> =
            self.0.iter().map(|(bucket, count)| (leading_digits(*bucket), *bucket, *count)).collect();
        sorted.sort_unstable();
        serializer.collect_map(sorted.into_iter().map(|(_, bucket, count)| (bucket, clamp(count))))
    }
}

/// Returns the first 19 digits of a number, filled up with zeros.
///
/// Ordered by these digits, and by their own size where those are equal, numbers are in the order of their texts.
fn leading_digits(number: u64) -> u64 {
    match number.checked_ilog10() {
        None => 0,
        // The twentieth digit is the last one that a `u64` can have.
        Some(19) => number / 10,
        Some(exponent) => number * 10_u64.pow(18 - exponent),
    }
}

/// The pipeline reads 64-bit signed integers.
fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// An experiment as it appears in `ping_info.experiments`.
#[derive(Serialize)]
pub(crate) struct ExperimentInPing<'a> {
    branch: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a BTreeMap<String, String>>,
}

impl<'a> From<&'a Experiment> for ExperimentInPing<'a> {
    fn from(experiment: &'a Experiment) -> ExperimentInPing<'a> {
        ExperimentInPing {
            branch: &experiment.branch,
            extra: experiment.extra.as_ref().filter(|extra| !extra.is_empty()),
        }
    }
}

/// Returns an experiment as it appears in `ping_info.experiments`.
pub fn experiment_json(experiment: &Experiment) -> Json {
    tree(&ExperimentInPing::from(experiment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_have_the_order_of_their_texts() {
        let powers = (0..20).map(|exponent| 10_u64.pow(exponent));
        let numbers = powers.flat_map(|power| [power - 1, power, power + 1, power / 3, power.saturating_mul(9)]);
        let mut texts: Vec<String> = numbers.chain(u64::MAX - 12..=u64::MAX).map(|number| number.to_string()).collect();
        texts.sort();
        texts.dedup();
        let buckets: BTreeMap<u64, u64> = texts.iter().map(|text| (text.parse().unwrap(), 1)).collect();
        let expected: Vec<String> = texts.iter().map(|text| format!("\"{text}\":1")).collect();
        assert_eq!(serde_json::to_string(&Buckets(&buckets)).unwrap(), format!("{{{}}}", expected.join(",")));
    }
}
