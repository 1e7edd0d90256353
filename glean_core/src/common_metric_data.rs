//! What every metric has in common: its name, where it is sent, how long it lives.

use serde::{Deserialize, Serialize};

/// How long a value stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifetime {
    /// Until the ping it is sent in is collected.
    Ping,
    /// Until the next start of the application.
    Application,
    /// Until collection or the ping is switched off.
    User,
}

impl Lifetime {
    /// All lifetimes, in the order of their numbers.
    pub(crate) const ALL: [Lifetime; 3] = [Lifetime::Ping, Lifetime::Application, Lifetime::User];
}

/// The description of one metric, as its owner writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommonMetricData {
    /// First part of the identifier; may be empty.
    #[serde(default)]
    pub category: String,
    /// Last part of the identifier.
    pub name: String,
    /// The pings this metric is sent in; each keeps its own copy of the value.
    pub send_in_pings: Vec<String>,
    /// How long a value stays.
    pub lifetime: Lifetime,
    /// A disabled metric records neither values nor errors, unless the server knobs say otherwise.
    pub disabled: bool,
    /// Whether the metric belongs to a session and is left out when the session isn't sampled.
    #[serde(default)]
    pub in_session: bool,
}

impl CommonMetricData {
    /// Describes a metric of the core itself: `category.name` in these pings.
    pub(crate) fn internal(category: &str, name: &str, lifetime: Lifetime, pings: &[&str]) -> CommonMetricData {
        CommonMetricData {
            category: category.to_owned(),
            name: name.to_owned(),
            send_in_pings: pings.iter().map(ToString::to_string).collect(),
            lifetime,
            disabled: false,
            in_session: false,
        }
    }

    /// Returns `category.name`, or `name` without a category: the key of the metric in a ping.
    pub fn identifier(&self) -> String {
        if self.category.is_empty() { self.name.clone() } else { format!("{}.{}", self.category, self.name) }
    }
}
