//! What uploads tell about themselves, in the metrics `glean.upload.*`.

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::machine::startup::METRICS_AND_HEALTH;

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
    fn label(self) -> &'static str {
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

impl Machine<'_> {
    /// Counts what uploads tell.
    pub(crate) fn observe_upload(&mut self, observation: Observation) {
        let amount = |count: u64| i32::try_from(count).unwrap_or(i32::MAX);
        match observation {
            Observation::Sent { ms } => self.add_duration("glean.upload.send_success", ms.saturating_mul(1_000_000)),
            Observation::Failed { failure, ms } => {
                self.count("glean.upload.ping_upload_failure", Some(failure.label()), &METRICS_AND_HEALTH, 1);
                self.add_duration("glean.upload.send_failure", ms.saturating_mul(1_000_000));
            }
            Observation::TooLarge { bytes } => {
                self.add_size("glean.upload.discarded_exceeding_pings_size", bytes / 1024 * 1024);
            }
            Observation::Trimmed { by_count, by_size } => {
                let total = by_count.saturating_add(by_size);
                let removed = "glean.upload.deleted_pings_after_quota_hit";
                self.count(removed, None, &METRICS_AND_HEALTH, amount(total.into()));
                for (label, count) in [("count_quota", by_count), ("size_quota", by_size)] {
                    self.count("glean.upload.pending_pings_deleted", Some(label), &["health"], amount(count.into()));
                }
            }
            Observation::Found { pings, bytes } => {
                self.count("glean.upload.pending_pings", None, &METRICS_AND_HEALTH, amount(pings));
                self.add_size("glean.upload.pending_pings_directory_size", bytes / 1024 * 1024);
            }
            Observation::UnknownId => self.count("glean.upload.missing_send_ids", None, &METRICS_AND_HEALTH, 1),
        }
    }
}
