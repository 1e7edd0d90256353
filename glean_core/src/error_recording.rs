//! Misuse of metrics, recorded as data: the labeled counters `glean.error.*`.

use serde::{Deserialize, Serialize};

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
