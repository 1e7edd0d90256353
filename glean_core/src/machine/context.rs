//! What a process brings with it: settings, pings, switches. Its journal repeats it at the start of each segment.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::op::{DebugTags, Op, ServerKnobs};
use crate::metrics::{KnownMetric, MetricDefinition};
use crate::ping::PingDefinition;
use crate::store::is_pseudo_store;
use crate::time::Moment;

/// What `initialize` is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The directory for everything Glean keeps; created with its parents.
    pub data_dir: String,
    /// Id of the application, part of the submission path.
    pub application_id: String,
    /// `client_info.app_display_version`.
    pub app_display_version: String,
    /// `client_info.app_build`.
    pub app_build: String,
    /// `client_info.app_channel`; left out if `None`.
    pub channel: Option<String>,
    /// `client_info.architecture`.
    pub architecture: String,
    /// `client_info.os_version`.
    pub os_version: String,
    /// `client_info.locale`; left out if `None`.
    pub locale: Option<String>,
    /// `client_info.windows_build_number`; left out if `None`.
    pub windows_build_number: Option<i64>,
    /// Tag of an experiment that is added to every ping with a client id.
    pub experimentation_id: Option<String>,
    /// Whether anything is recorded and sent.
    pub upload_enabled: bool,
    /// Whether the pings `baseline`, `metrics`, `events` and `health` start enabled.
    pub enable_internal_pings: bool,
    /// Whether events carry the time of the clock on the wall.
    pub enable_event_timestamps: bool,
    /// How many events make an `events` ping.
    pub max_events: u32,
    /// Who starts and ends sessions.
    pub session_mode: SessionMode,
    /// The share of sessions that are sampled, 0 to 1.
    pub session_sample_rate: f64,
    /// How long an inactive session can be resumed, in milliseconds; 0 is for ever.
    pub session_inactivity_timeout_ms: u64,
    /// How much sooner early events pings are sent.
    pub events_ping_acceleration_factor: Option<i64>,
    /// Whether the core submits the ping `metrics`, once a day.
    pub schedule_metrics_ping: bool,
    /// Whether every call is carried out before it returns.
    pub test_mode: bool,
}

/// Who starts and ends sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum SessionMode {
    /// Activity starts them, inactivity for some time ends them.
    #[default]
    Auto,
    /// Activity starts them, inactivity ends them.
    Lifecycle,
    /// The application.
    Manual,
}

impl From<u8> for SessionMode {
    fn from(number: u8) -> SessionMode {
        match number {
            1 => SessionMode::Lifecycle,
            2 => SessionMode::Manual,
            _ => SessionMode::Auto,
        }
    }
}

impl From<SessionMode> for u8 {
    fn from(mode: SessionMode) -> u8 {
        mode as u8
    }
}

/// A ping and its switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisteredPing {
    /// Its description.
    pub definition: PingDefinition,
    /// Its own switch.
    pub enabled: bool,
}

/// What a process brings with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Context {
    /// Name of the process, and of its journal.
    pub process: String,
    /// What `initialize` was told.
    pub settings: Settings,
    /// When Glean started.
    pub start: Moment,
    /// Whether collection is on.
    pub collection_enabled: bool,
    /// The pings it knows.
    pub pings: BTreeMap<String, RegisteredPing>,
    /// Settings from a server.
    pub knobs: ServerKnobs,
    /// Whether such settings came.
    pub has_knobs: bool,
    /// Tags for headers.
    pub tags: DebugTags,
    /// Whether submitted pings are listed.
    pub stores_submitted_pings: bool,
    /// Whether the user uses the application.
    pub is_client_active: bool,
    /// How often each ping was made.
    #[serde(skip)]
    pub submissions: BTreeMap<String, u64>,
    /// The metrics of the segment that is read, by number.
    #[serde(skip)]
    pub metrics: Vec<Option<Arc<KnownMetric>>>,
}

impl PartialEq for Context {
    fn eq(&self, other: &Context) -> bool {
        self.process == other.process
    }
}

impl Context {
    /// Makes the context of a process that starts, with the pings every Glean has.
    pub fn new(process: String, settings: Settings, start: Moment) -> Context {
        let collection_enabled = settings.upload_enabled;
        let pings = PingDefinition::built_in(settings.enable_internal_pings);
        let mut context = Context {
            process,
            settings,
            start,
            collection_enabled,
            pings: BTreeMap::new(),
            knobs: ServerKnobs::default(),
            has_knobs: false,
            tags: DebugTags::default(),
            stores_submitted_pings: false,
            is_client_active: false,
            submissions: BTreeMap::new(),
            metrics: Vec::new(),
        };
        pings.into_iter().for_each(|ping| context.register_ping(ping));
        context
    }

    /// Makes a ping known; one of the same name is replaced.
    pub fn register_ping(&mut self, definition: PingDefinition) {
        // Those of the core go by the settings, whoever describes them again.
        let is_internal = ["baseline", "metrics", "events", "health"].contains(&definition.name.as_str());
        let enabled = definition.enabled && (self.settings.enable_internal_pings || !is_internal);
        self.pings.insert(definition.name.clone(), RegisteredPing { definition, enabled });
    }

    /// Tells whether values for this ping are kept and it can be submitted.
    pub fn is_ping_enabled(&self, name: &str) -> bool {
        self.pings.get(name).is_some_and(|ping| {
            if !ping.definition.follows_collection_enabled {
                return ping.enabled;
            }
            self.collection_enabled && self.knobs.pings_enabled.get(name).copied().unwrap_or(ping.enabled)
        })
    }

    /// Tells whether values for this store are kept.
    pub fn is_store_enabled(&self, store: &str) -> bool {
        self.is_ping_enabled(store) || is_pseudo_store(store)
    }

    /// Returns how many events make an `events` ping.
    pub fn max_events(&self) -> usize {
        // With 0 there would be no ping at all after the first one.
        self.knobs.event_threshold.unwrap_or(self.settings.max_events).max(1) as usize
    }

    /// Merges settings from a server.
    pub fn merge_knobs(&mut self, knobs: ServerKnobs) {
        self.has_knobs = true;
        self.knobs.metrics_enabled.extend(knobs.metrics_enabled);
        self.knobs.pings_enabled.extend(knobs.pings_enabled);
        self.knobs.event_threshold = knobs.event_threshold;
        self.knobs.session_sample_rate = knobs.session_sample_rate.map(|rate| rate.clamp(0.0, 1.0));
        self.knobs.events_ping_acceleration_factor = knobs.events_ping_acceleration_factor;
    }

    /// Takes over what an operation says about its process, and nothing else.
    pub fn observe(&mut self, op: &Op<'_>) {
        match op {
            Op::Context(context) => {
                // A later segment of the same process: what only the fold counts goes on.
                *self = Context {
                    submissions: std::mem::take(&mut self.submissions),
                    is_client_active: self.is_client_active,
                    ..(**context).clone()
                };
            }
            Op::Start(start) => {
                start.switched_pings.iter().for_each(|(name, enabled)| self.switch_ping(name, *enabled))
            }
            Op::Define(number, definition) => self.define(*number, (**definition).clone()),
            Op::RegisterPing(definition) => self.register_ping((**definition).clone()),
            Op::SetPingEnabled(name, enabled) => self.switch_ping(name, *enabled),
            Op::SetCollectionEnabled(enabled, _) => {
                self.collection_enabled = *enabled;
                self.settings.upload_enabled = *enabled;
            }
            Op::SetExperimentationId(id) => self.settings.experimentation_id = Some((*id).to_owned()),
            Op::ServerKnobs(knobs) => self.merge_knobs(knobs.clone()),
            Op::SetTags(tags) => self.tags = tags.clone(),
            Op::SetChannel(channel) => self.settings.channel = Some((*channel).to_owned()),
            Op::StoreSubmittedPings(stores) => self.stores_submitted_pings = *stores,
            Op::ClientActive(_) => self.is_client_active = true,
            Op::ClientInactive(..) => self.is_client_active = false,
            _ => (),
        }
    }

    /// Enables or disables a ping.
    pub fn switch_ping(&mut self, name: &str, enabled: bool) {
        if let Some(ping) = self.pings.get_mut(name) {
            ping.enabled = enabled;
        }
    }

    /// Remembers what a number stands for.
    pub(crate) fn define(&mut self, number: u32, definition: MetricDefinition) {
        let index = number as usize;
        // Numbers are given out in order. Anything far away is damage that no checksum saw.
        if index <= self.metrics.len() + 1_000_000 {
            if self.metrics.len() <= index {
                self.metrics.resize(index + 1, None);
            }
            self.metrics[index] = Some(Arc::new(KnownMetric::new(definition)));
        }
    }
}
