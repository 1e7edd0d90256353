//! Values on disk: one in-memory table per process, written through to an append-only journal.
//!
//! [`Database`] is all the rest of the core sees: get, set, clear, commit. [`journal`] knows frames and files but no
//! values, [`codec`] turns changes into bytes and back, [`lock`] keeps a second process out.

pub mod codec;
pub mod database;
pub mod journal;
pub mod lock;

pub use database::{Database, Entry, Recovery};

use crate::common_metric_data::Lifetime;
use crate::time::{TimeUnit, Timestamp};

/// The pseudo-store whose values make up `client_info`.
pub const CLIENT_INFO_STORE: &str = "glean_client_info";
/// The pseudo-store of bookkeeping: sequence numbers, start times.
pub const INTERNAL_STORE: &str = "glean_internal_info";
/// The pseudo-store whose application-lifetime values appear in every ping.
pub const ALL_PINGS_STORE: &str = "all-pings";

/// One stored value. Its kind decides the section of a ping it appears in.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A counter.
    Counter(i32),
    /// A boolean.
    Boolean(bool),
    /// A string.
    String(String),
    /// A UUID.
    Uuid(uuid::Uuid),
    /// A point in time and the precision it is written with.
    Datetime(Timestamp, TimeUnit),
}

impl Value {
    /// Returns the counter `old` plus `amount`; saturates at `i32::MAX`. Anything but a counter counts as zero.
    pub fn add_to_counter(old: Option<&Value>, amount: i32) -> Value {
        match old {
            Some(Value::Counter(count)) => Value::Counter(count.saturating_add(amount)),
            _ => Value::Counter(amount),
        }
    }

    /// Returns the section of `metrics` this value belongs to; with a label, `labeled_` goes in front.
    pub fn section(&self) -> &'static str {
        match self {
            Value::Counter(_) => "counter",
            Value::Boolean(_) => "boolean",
            Value::String(_) => "string",
            Value::Uuid(_) => "uuid",
            Value::Datetime(..) => "datetime",
        }
    }

    /// Returns the value as it appears in a ping.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Counter(count) => (*count).into(),
            Value::Boolean(value) => (*value).into(),
            Value::String(text) => text.as_str().into(),
            Value::Uuid(uuid) => uuid.hyphenated().to_string().into(),
            Value::Datetime(time, unit) => time.to_text(*unit).into(),
        }
    }
}

/// Where a value lies inside a store.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    /// How long the value stays.
    pub lifetime: Lifetime,
    /// The identifier of the metric.
    pub identifier: &'a str,
    /// The label, for one metric of a labeled one.
    pub label: Option<&'a str>,
}

impl<'a> Address<'a> {
    /// Returns the address of a value without a label.
    pub fn plain(lifetime: Lifetime, identifier: &'a str) -> Address<'a> {
        Address { lifetime, identifier, label: None }
    }
}
