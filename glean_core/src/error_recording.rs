//! Misuse of metrics, recorded as data: the labeled counters `glean.error.*`.

use serde::{Deserialize, Serialize};

use crate::common_metric_data::Lifetime;
use crate::store::{Address, State, Value};

/// Name of the built-in ping that carries all error counts.
pub(crate) const METRICS_PING: &str = "metrics";

/// What was wrong with a recording call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Returns the address of the number of errors of one kind that a metric has.
pub(crate) fn address(error: ErrorType, identifier: &str) -> Address<'_> {
    Address { lifetime: Lifetime::Ping, identifier: error.identifier(), label: Some(identifier) }
}

/// Returns how many errors of one kind the metric has in the `metrics` ping.
pub fn count_errors(state: &State, identifier: &str, error: ErrorType) -> i32 {
    match state.get(METRICS_PING, address(error, identifier)) {
        Some(Value::Counter(count)) => *count,
        _ => 0,
    }
}
