//! What uploads tell about themselves, in the metrics `glean.upload.*`.

use serde::{Deserialize, Serialize};

/// Something that is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observation {
    /// A ping was sent, in so many milliseconds.
    Sent {
        /// How long it took.
        ms: u64,
    },
    /// A ping was not.
    Failed {
        /// Why.
        failure: Failure,
        /// How long it took.
        ms: u64,
    },
    /// A ping was removed, because its compressed body has so many bytes.
    TooLarge {
        /// The size.
        bytes: u64,
    },
    /// Pings were removed, because too many waited.
    Trimmed {
        /// How many for their number.
        by_count: u32,
        /// How many for their size.
        by_size: u32,
    },
    /// What waited when a process looked first.
    Found {
        /// How many pings.
        pings: u64,
        /// How many bytes.
        bytes: u64,
    },
    /// A result came for a ping that was not handed out.
    UnknownId,
}

/// Why a ping was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// HTTP 400 to 499.
    Status4xx,
    /// HTTP 500 to 599.
    Status5xx,
    /// Another status that is no success.
    StatusUnknown,
    /// The uploader can't send this ping.
    Incapable,
    /// No answer, but there may be one later.
    Recoverable,
    /// There never will be one.
    Unrecoverable,
}

impl Failure {
    /// Returns the label under which it is counted.
    pub fn label(self) -> &'static str {
        match self {
            Failure::Status4xx => "status_code_4xx",
            Failure::Status5xx => "status_code_5xx",
            Failure::StatusUnknown => "status_code_unknown",
            Failure::Incapable => "incapable",
            Failure::Recoverable => "recoverable",
            Failure::Unrecoverable => "unrecoverable",
        }
    }
}
