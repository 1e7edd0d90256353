//! Events as they are stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An event that waits for a ping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Milliseconds of the clock that goes on during suspend, until a ping makes them relative.
    pub timestamp: u64,
    /// Category of the metric.
    pub category: String,
    /// Name of the metric, without its category.
    pub name: String,
    /// Further values.
    pub extra: Option<BTreeMap<String, String>>,
    /// The session it belongs to.
    pub session: Option<SessionMetadata>,
    /// Number of the run, if the ping had events of an earlier one.
    pub execution_counter: Option<i32>,
}

/// What an event tells about its session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionMetadata {
    /// A random UUID.
    pub session_id: String,
    /// Number of the session.
    pub session_seq: i64,
    /// Number of the event in its session, from 0.
    pub event_seq: i64,
    /// The share of sessions that are sampled, 0 to 1.
    pub session_sample_rate: f64,
    /// Start of the session.
    pub session_start_time: Option<String>,
}
