//! The metric types: how each one is described, and what a recording does to what is stored.
//!
//! A [`MetricDefinition`] travels in the journal, and so does a [`Recording`]: one call of one metric. Each module here
//! has the `apply` of its type, which a fold of the journal runs through a [`Scope`].

pub mod boolean;
pub mod counter;
pub mod custom_distribution;
pub mod datetime;
pub mod denominator;
pub mod dual_labeled_counter;
pub mod event;
pub mod labeled;
pub mod memory_distribution;
pub mod numerator;
pub mod object;
pub mod quantity;
pub mod rate;
pub(crate) mod scope;
pub mod string;
pub mod string_list;
pub mod text;
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

/// What kind of metric it is, with the parameters of the kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// The unit of a memory distribution: a power of 1024 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum MemoryUnit {
    /// 1 byte.
    Byte = 0,
    /// 1024 bytes.
    Kilobyte = 1,
    /// 1024² bytes.
    Megabyte = 2,
    /// 1024³ bytes.
    Gigabyte = 3,
}

impl MemoryUnit {
    /// Returns the unit with this number.
    pub fn from_number(number: i64) -> Option<MemoryUnit> {
        [MemoryUnit::Byte, MemoryUnit::Kilobyte, MemoryUnit::Megabyte, MemoryUnit::Gigabyte]
            .into_iter()
            .find(|unit| *unit as i64 == number)
    }

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

/// One recording call: what is done to which kind of metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Recording<'a> {
    /// Adds to a counter.
    CounterAdd(i32),
    /// Sets a boolean.
    BooleanSet(bool),
    /// Sets a quantity.
    QuantitySet(i64),
    /// Sets a string, text or URL, already cut to its limit; `true` if it had to be.
    TextSet(&'a str, bool),
    /// Adds a string to a list, cut likewise.
    StringListAdd(&'a str, bool),
    /// Sets a list of at most 100 strings, cut likewise; how many errors: strings that were cut, 1 if the list was.
    StringListSet(Vec<String>, u32, bool),
    /// Sets a UUID from any of its spellings.
    UuidSet(&'a str),
    /// Sets a timespan that was measured, in nanoseconds.
    TimespanSet(u64),
    /// Adds durations in nanoseconds that were measured.
    TimingAccumulateNanos(u64),
    /// Adds durations in the unit of the metric.
    TimingAccumulate(Vec<i64>),
    /// Adds sizes in the unit of the metric; `true` if it is one sample, whose errors are told apart.
    MemoryAccumulate(Vec<i64>),
    /// Adds samples.
    CustomAccumulate(Vec<i64>),
    /// Sets a point in time; `None` if no calendar has it.
    DatetimeSet(Option<LocalDatetime>),
    /// Records an event.
    Event(EventRecording),
    /// Sets an object from JSON text that was checked.
    ObjectSet(&'a str),
    /// Adds to the numerator of a rate.
    NumeratorAdd(i32),
    /// Adds to the denominator of a rate.
    DenominatorAdd(i32),
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

/// Does what a recording says. Events are kept apart from values, so [`event::check`] is all there is to them here.
pub(crate) fn apply(scope: &mut Scope<'_>, recording: &Recording<'_>) {
    let known = scope.known();
    match (&known.definition.kind, recording) {
        (_, Recording::Error(error, count, why)) => scope.record_error(*error, *count, why),
        (Kind::Counter, Recording::CounterAdd(amount)) => counter::add(scope, *amount),
        (Kind::DualLabeledCounter { .. }, Recording::CounterAdd(amount)) => dual_labeled_counter::add(scope, *amount),
        (Kind::Boolean, Recording::BooleanSet(value)) => boolean::set(scope, *value),
        (Kind::Quantity, Recording::QuantitySet(value)) => quantity::set(scope, *value),
        (Kind::String, Recording::TextSet(text, is_cut)) => string::set(scope, text, *is_cut),
        (Kind::Text, Recording::TextSet(value, is_cut)) => text::set(scope, value, *is_cut),
        (Kind::Url, Recording::TextSet(text, is_cut)) => url::set(scope, text, *is_cut),
        (Kind::StringList, Recording::StringListAdd(text, is_cut)) => string_list::add(scope, text, *is_cut),
        (Kind::StringList, Recording::StringListSet(list, cut, is_cut)) => string_list::set(scope, list, *cut, *is_cut),
        (Kind::Uuid, Recording::UuidSet(text)) => uuid::set(scope, text),
        (Kind::Timespan(unit), Recording::TimespanSet(nanos)) => timespan::set(scope, *nanos, *unit),
        (Kind::TimingDistribution(unit), Recording::TimingAccumulateNanos(nanos)) => {
            timing_distribution::accumulate_nanos(scope, *nanos, *unit);
        }
        (Kind::TimingDistribution(unit), Recording::TimingAccumulate(samples)) => {
            timing_distribution::accumulate(scope, samples, *unit);
        }
        (Kind::MemoryDistribution(unit), Recording::MemoryAccumulate(samples)) => {
            memory_distribution::accumulate(scope, samples, *unit);
        }
        (Kind::CustomDistribution { .. }, Recording::CustomAccumulate(samples)) => {
            custom_distribution::accumulate(scope, samples);
        }
        (Kind::Datetime(unit), Recording::DatetimeSet(time)) => datetime::set(scope, time.as_ref(), *unit),
        (Kind::Object, Recording::ObjectSet(text)) => object::set(scope, text),
        (Kind::Rate | Kind::Numerator, Recording::NumeratorAdd(amount)) => numerator::add(scope, *amount),
        (Kind::Rate, Recording::DenominatorAdd(amount)) => rate::add_to_denominator(scope, *amount),
        (Kind::Denominator(_), Recording::CounterAdd(amount)) => denominator::add(scope, *amount),
        // Only a journal that another version wrote, or damage that no checksum saw, can bring the two together.
        _ => scope.record_error(ErrorType::InvalidState, 1, "the recording does not fit the type of the metric"),
    }
}
