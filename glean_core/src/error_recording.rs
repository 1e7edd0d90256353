//! Misuse of metrics, recorded as data: the labeled counters `glean.error.*`.

use crate::common_metric_data::{Lifetime, MetricMeta};
use crate::glean::{Glean, METRICS_PING};
use crate::logging::log_at;
use crate::storage::{Address, CLIENT_INFO_STORE, INTERNAL_STORE, Value};

/// What was wrong with a recording call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ErrorType {
    /// The value isn't acceptable.
    InvalidValue = 0,
    /// The label isn't acceptable.
    InvalidLabel = 1,
    /// The call doesn't fit the state of the metric.
    InvalidState = 2,
    /// The value was too large and was cut.
    InvalidOverflow = 3,
}

impl ErrorType {
    /// All kinds of errors, in the order of their numbers.
    pub(crate) const ALL: [ErrorType; 4] =
        [ErrorType::InvalidValue, ErrorType::InvalidLabel, ErrorType::InvalidState, ErrorType::InvalidOverflow];

    /// Returns the error type with this number.
    pub fn from_number(number: i32) -> Option<ErrorType> {
        ErrorType::ALL.into_iter().find(|error| *error as i32 == number)
    }

    /// Returns the identifier of the labeled counter that counts errors of this kind.
    pub fn identifier(self) -> &'static str {
        match self {
            ErrorType::InvalidValue => "glean.error.invalid_value",
            ErrorType::InvalidLabel => "glean.error.invalid_label",
            ErrorType::InvalidState => "glean.error.invalid_state",
            ErrorType::InvalidOverflow => "glean.error.invalid_overflow",
        }
    }
}

/// Counts one error of a metric, in every ping of the metric and in the `metrics` ping, and logs why.
///
/// The label is the identifier of the metric. The number of labels isn't limited: at most one per metric exists.
pub fn record_error(glean: &mut Glean, meta: &MetricMeta, error: ErrorType, why: &str) {
    log_at!(Warn, "{}: {why}", meta.identifier);
    let mut stores: Vec<&str> = vec![METRICS_PING];
    for store in &meta.common.send_in_pings {
        if ![METRICS_PING, CLIENT_INFO_STORE, INTERNAL_STORE].contains(&store.as_str()) {
            stores.push(store);
        }
    }
    let address = Address { lifetime: Lifetime::Ping, identifier: error.identifier(), label: Some(&meta.identifier) };
    glean.update_stores(&stores, address, |old| Some(Value::add_to_counter(old, 1)));
}

/// Returns how many errors of one kind the metric has in the `metrics` ping.
pub fn count_errors(glean: &Glean, meta: &MetricMeta, error: ErrorType) -> i32 {
    let address = Address { lifetime: Lifetime::Ping, identifier: error.identifier(), label: Some(&meta.identifier) };
    match glean.database().get(METRICS_PING, address) {
        Some(Value::Counter(count)) => *count,
        _ => 0,
    }
}
