//! The metric types: how each one is described, and what a recording does to what is stored.
//!
//! [`Kind`] declares the types. A [`MetricDefinition`] travels in the journal, and so does a [`Recording`]: one call of
//! one metric. Calls are the same for all types; what one does to which, [`apply`] says: it runs in the fold and hands a
//! [`Scope`] to the module of the type.

pub mod boolean;
pub mod counter;
pub mod custom_distribution;
pub mod datetime;
pub mod denominator;
pub mod dual_labeled_counter;
pub mod event;
pub mod labeled;
pub mod memory_distribution;
pub mod object;
pub mod quantity;
pub mod rate;
pub(crate) mod scope;
pub mod string;
pub mod string_list;
pub mod text;
pub mod timer;
pub mod timespan;
pub mod timing_distribution;
pub mod url;
pub mod uuid;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::common_metric_data::CommonMetricData;
use crate::error_recording::ErrorType;
use crate::histogram::{Buckets, HistogramType};
use crate::time::{LocalDatetime, TimeUnit};
use scope::Scope;

/// What kind of metric it is, with the parameters of the kind: the declaration of all types.
///
/// In JSON, a kind is its word, `"counter"`, or its word with its parameters, `{"timespan": "second"}`. In the journal it
/// is the number of its variant, so new ones come last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Yes or no.
    Boolean,
    /// A sum.
    Counter,
    /// A number.
    Quantity,
    /// A short string.
    String,
    /// A long string.
    Text,
    /// A URL.
    Url,
    /// A list of short strings.
    StringList,
    /// A UUID.
    Uuid,
    /// One duration.
    Timespan(TimeUnit),
    /// Many durations.
    TimingDistribution(TimeUnit),
    /// Many sizes.
    MemoryDistribution(MemoryUnit),
    /// Many samples with chosen buckets.
    CustomDistribution {
        /// The lower end of the second bucket.
        range_min: i64,
        /// The lower end of the last bucket.
        range_max: i64,
        /// How many buckets.
        bucket_count: i64,
        /// How the ends grow.
        histogram_type: HistogramType,
    },
    /// A point in time.
    Datetime(TimeUnit),
    /// Something that happened, with the keys its extras may have.
    Event(Vec<String>),
    /// A JSON value.
    Object,
    /// Two sums.
    Rate,
    /// A rate whose denominator is recorded elsewhere.
    Numerator,
    /// A sum that is the denominator of rates.
    Denominator(Vec<CommonMetricData>),
    /// A sum with a key and a category.
    DualLabeledCounter {
        /// The keys that may be used; any, if `None`.
        keys: Option<Vec<String>>,
        /// The categories that may be used; any, if `None`.
        categories: Option<Vec<String>>,
    },
}

impl Kind {
    /// Returns how many bytes of a text are kept; the rest is cut off before it fills the journal.
    pub(crate) fn max_text_bytes(&self) -> usize {
        match self {
            Kind::Text => text::MAX_BYTES,
            Kind::Url => url::MAX_BYTES,
            Kind::StringList => string_list::MAX_BYTES,
            Kind::Uuid => uuid::MAX_BYTES,
            _ => string::MAX_BYTES,
        }
    }
}

/// The unit of a memory distribution: a power of 1024 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryUnit {
    /// 1 byte.
    Byte,
    /// 1024 bytes.
    Kilobyte,
    /// 1024² bytes.
    Megabyte,
    /// 1024³ bytes.
    Gigabyte,
}

impl MemoryUnit {
    /// Converts to bytes; saturates.
    pub fn to_bytes(self, amount: u64) -> u64 {
        amount.saturating_mul(1 << (10 * self as u32))
    }
}

/// The label of one metric of a labeled one, as the caller wrote it. What becomes of it is decided when it is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Label {
    /// Not a part of a labeled metric.
    None,
    /// Any label is allowed, up to a number.
    Dynamic(String),
    /// Only listed labels are allowed; this one is, or isn't.
    Static(String, bool),
    /// A key and a category.
    Dual(String, String),
}

/// Everything a recording needs to know of its metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricDefinition {
    /// What all metrics have in common.
    pub common: CommonMetricData,
    /// The kind.
    pub kind: Kind,
    /// The label.
    pub label: Label,
}

/// A metric as a fold knows it, with what is worth computing once.
#[derive(Debug)]
pub struct KnownMetric {
    /// Its description.
    pub definition: MetricDefinition,
    /// `category.name`, or `name` without a category.
    pub identifier: String,
    /// The buckets, for a custom distribution.
    pub(crate) buckets: OnceLock<Buckets>,
}

impl KnownMetric {
    /// Puts the identifier together.
    pub fn new(definition: MetricDefinition) -> KnownMetric {
        KnownMetric { identifier: definition.common.identifier(), definition, buckets: OnceLock::new() }
    }
}

/// One recording call; what it does depends on the [`Kind`] of its metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Recording<'a> {
    /// Adds to a counter or to the numerator of a rate.
    CounterAdd(i32),
    /// Adds to the denominator of a rate.
    DenominatorAdd(i32),
    /// Sets a boolean.
    BooleanSet(bool),
    /// Sets a number.
    NumberSet(i64),
    /// Sets a text, already cut to its limit; `true` if it had to be.
    TextSet(&'a str, bool),
    /// Sets JSON text that was checked.
    ObjectSet(&'a str),
    /// Adds a string to a list, cut likewise.
    StringListAdd(&'a str, bool),
    /// Sets a list of at most 100 strings, cut likewise; how many were cut, and whether the list was.
    StringListSet(Vec<String>, u32, bool),
    /// Sets a point in time; `None` if no calendar has it.
    DatetimeSet(Option<LocalDatetime>),
    /// Adds or sets a duration that was measured, in nanoseconds.
    Duration(u64),
    /// Adds one sample in the unit of the metric.
    Sample(i64),
    /// Adds samples in the unit of the metric.
    Samples(Vec<i64>),
    /// Records an event.
    Event(EventRecording),
    /// Counts errors found before anything could be recorded.
    Error(ErrorType, u32, &'a str),
}

/// What an event carries besides its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecording {
    /// Milliseconds of a clock that never goes back and runs during suspend.
    pub timestamp: u64,
    /// Milliseconds since 1970, by the clock on the wall.
    pub unix_ms: i64,
    /// Extras, values cut to their limit.
    pub extra: BTreeMap<String, String>,
    /// How many values were cut.
    pub cut: u32,
}

/// Does what a recording says. Events are kept apart from values: the machine sees to them.
pub(crate) fn apply(scope: &mut Scope<'_>, recording: &Recording<'_>) {
    let known = scope.known();
    match (&known.definition.kind, recording) {
        (_, Recording::Error(error, count, why)) => scope.record_error(*error, *count, why),
        (Kind::Boolean, Recording::BooleanSet(value)) => boolean::set(scope, *value),
        (Kind::Counter, Recording::CounterAdd(amount)) => counter::add(scope, *amount),
        (Kind::Quantity, Recording::NumberSet(value)) => quantity::set(scope, *value),
        (Kind::String, Recording::TextSet(value, is_cut)) => string::set(scope, value, *is_cut),
        (Kind::Text, Recording::TextSet(value, is_cut)) => text::set(scope, value, *is_cut),
        (Kind::Url, Recording::TextSet(value, is_cut)) => url::set(scope, value, *is_cut),
        (Kind::StringList, Recording::StringListAdd(value, is_cut)) => string_list::add(scope, value, *is_cut),
        (Kind::StringList, Recording::StringListSet(list, cut, is_cut)) => string_list::set(scope, list, *cut, *is_cut),
        (Kind::Uuid, Recording::TextSet(value, _)) => uuid::set(scope, value),
        (Kind::Timespan(unit), Recording::Duration(nanos)) => timespan::set(scope, *nanos, *unit),
        (Kind::Timespan(unit), Recording::NumberSet(nanos)) => timespan::set_raw(scope, *nanos, *unit),
        (Kind::TimingDistribution(unit), Recording::Duration(nanos)) => timing_distribution::add(scope, *nanos, *unit),
        (Kind::TimingDistribution(unit), Recording::Sample(sample)) => {
            timing_distribution::accumulate(scope, &[*sample], *unit);
        }
        (Kind::TimingDistribution(unit), Recording::Samples(samples)) => {
            timing_distribution::accumulate(scope, samples, *unit);
        }
        (Kind::MemoryDistribution(unit), Recording::Sample(sample)) => memory_distribution::add(scope, *sample, *unit),
        (Kind::MemoryDistribution(unit), Recording::Samples(samples)) => {
            memory_distribution::accumulate(scope, samples, *unit);
        }
        (Kind::CustomDistribution { .. }, Recording::Sample(sample)) => {
            custom_distribution::accumulate(scope, &[*sample]);
        }
        (Kind::CustomDistribution { .. }, Recording::Samples(samples)) => {
            custom_distribution::accumulate(scope, samples);
        }
        (Kind::Datetime(unit), Recording::DatetimeSet(time)) => datetime::set(scope, time.as_ref(), *unit),
        (Kind::Object, Recording::ObjectSet(text)) => object::set(scope, text),
        (Kind::Rate | Kind::Numerator, Recording::CounterAdd(amount)) => rate::add(scope, *amount, 0),
        (Kind::Rate, Recording::DenominatorAdd(amount)) => rate::add(scope, 0, *amount),
        (Kind::Denominator(_), Recording::CounterAdd(amount)) => denominator::add(scope, *amount),
        (Kind::DualLabeledCounter { .. }, Recording::CounterAdd(amount)) => dual_labeled_counter::add(scope, *amount),
        _ => scope.record_error(ErrorType::InvalidState, 1, "the call does not fit the type of the metric"),
    }
}
