//! What calls do: the operations of a journal, applied one after the other to what is stored.
//!
//! A [`Machine`] is deterministic and single-threaded. It changes [`State`] at once; what has to happen outside of it,
//! such as writing a ping file, is an [`Effect`] that whoever folds the journal carries out with the next base.

pub mod activity;
pub mod client_id;
pub mod collection;
pub mod context;
pub mod events;
pub mod metrics_schedule;
pub mod op;
pub mod session;
pub mod startup;
pub mod submission;
pub mod uploads;

use std::path::Path;
use std::sync::Arc;

use crate::common_metric_data::{CommonMetricData, Lifetime};
use crate::error_recording::ErrorType;
use crate::experiments;
use crate::logging::log_at;
use crate::metrics::scope::{self, Scope};
use crate::metrics::{self, Kind, KnownMetric, Recording};
use crate::ping::{self, EXPERIMENTATION_ID};
use crate::store::base::Effect;
use crate::store::{ALL_PINGS_STORE, Address, CLIENT_INFO_STORE, INTERNAL_STORE, State, Value};
use crate::text::truncate;
use context::Context;
use op::{Facts, Op};

/// What is stored, and the process whose calls are applied to it.
pub struct Machine<'m> {
    /// What is stored.
    pub state: &'m mut State,
    /// The process.
    pub context: &'m mut Context,
    /// What has to be done outside.
    pub outgoing: &'m mut Vec<Effect>,
    /// The directory everything is in.
    pub data_dir: &'m Path,
    /// Why something that was stored is missing; told once, by the next start.
    pub damage: &'m mut Option<String>,
}

impl Machine<'_> {
    /// Does what an operation says.
    pub fn apply(&mut self, op: Op<'_>) {
        match op {
            Op::Record(number, recording) => self.record(number, &recording),
            Op::Start(start) => self.start(*start),
            Op::SetPingEnabled(name, enabled) => self.set_ping_enabled(name, enabled),
            Op::Submit { ping, reason, moment } => {
                self.submit(ping, reason, &moment);
            }
            Op::SetCollectionEnabled(enabled, moment) => self.set_collection_enabled(enabled, &moment),
            Op::SetExperimentActive(id, branch, extra) => self.set_experiment_active(id, branch, extra),
            Op::SetExperimentInactive(id) => self.set_experiment_inactive(id),
            Op::SetExperimentationId(id) => self.set_experimentation_id(id),
            Op::ClientActive(moment) => self.client_active(&moment),
            Op::ClientInactive(moment, nanos) => self.client_inactive(&moment, nanos),
            Op::SessionStart(moment) => self.start_session_by_hand(&moment),
            Op::SessionEnd(reason, moment) => self.end_session_by_hand(reason, &moment),
            Op::ServerKnobs(knobs) => {
                self.context.merge_knobs(knobs);
                self.echo_knobs();
            }
            Op::UpdateFacts(facts, fields) => self.update_facts(facts, &fields),
            Op::ClearFacts(facts) => self.clear_facts(facts),
            Op::SetDirty(is_dirty) => self.set_dirty(is_dirty),
            Op::SetChannel(channel) => {
                self.context.settings.channel = Some(channel.to_owned());
                self.set_client_info("app_channel", channel);
            }
            Op::ClearSubmittedPings => self.clear_submitted_pings(),
            Op::Dropped(calls) => {
                let calls = i32::try_from(calls).unwrap_or(i32::MAX);
                self.count("glean.error.io", None, &startup::METRICS_AND_HEALTH, calls);
            }
            Op::MetricsPingDue(moment) => self.metrics_ping_due(&moment),
            Op::Upload(observation) => self.observe_upload(observation),
            Op::End(is_shutdown, waited_nanos) => self.end(is_shutdown, waited_nanos),
            other => self.context.observe(&other),
        }
    }

    /// Adds what a frame that counts says.
    pub fn apply_count(&mut self, op: &Op<'_>, mut count: u64) {
        let Op::Count(number) = op else { return };
        while count > 0 {
            let amount = i32::try_from(count).unwrap_or(i32::MAX);
            self.record(*number, &Recording::CounterAdd(amount));
            count -= u64::from(amount.unsigned_abs());
        }
    }

    fn record(&mut self, number: u32, recording: &Recording<'_>) {
        match self.context.metrics.get(number as usize).and_then(Option::as_ref).map(Arc::clone) {
            Some(known) => self.record_metric(known, recording),
            None => log_at!(Error, "a recording of an unknown metric was dropped: the journal is damaged"),
        }
    }

    fn record_metric(&mut self, known: Arc<KnownMetric>, recording: &Recording<'_>) {
        if !self.should_record(&known) {
            return;
        }
        if let (Kind::Event(keys), Recording::Event(event)) = (&known.definition.kind, recording) {
            let is_on = self.context.collection_enabled;
            if is_on && self.with_scope(&known, |scope| metrics::event::check(scope, keys, event)) {
                events::record(self, &known, event);
            }
            return;
        }
        self.with_scope(&known, |scope| metrics::apply(scope, recording));
        if let Some((rates, recording)) = metrics::denominator::rates(&known.definition, recording) {
            rates.for_each(|rate| self.record_metric(Arc::new(KnownMetric::new(rate)), &recording));
        }
    }

    fn with_scope<T>(&mut self, known: &Arc<KnownMetric>, work: impl FnOnce(&mut Scope<'_>) -> T) -> T {
        let context = &*self.context;
        work(&mut Scope::new(self.state, &|store| context.is_store_enabled(store), Arc::clone(known)))
    }

    /// Counts errors of something in its pings and in the `metrics` ping, and logs why.
    pub(crate) fn record_error(&mut self, identifier: &str, pings: &[String], error: ErrorType, count: u32, why: &str) {
        let context = &*self.context;
        let is_enabled = |store: &str| context.is_store_enabled(store);
        scope::record_error(self.state, &is_enabled, identifier, pings, error, count, why);
    }

    /// Tells whether a recording of this metric has any effect now.
    pub(crate) fn should_record(&self, known: &KnownMetric) -> bool {
        let common = &known.definition.common;
        if common.in_session && self.is_session_left_out() {
            return false;
        }
        self.context.knobs.metrics_enabled.get(&known.identifier).copied().unwrap_or(!common.disabled)
    }

    /// Tells whether a server left one of the core's own metrics on.
    pub(crate) fn is_own_metric_enabled(&self, identifier: &str) -> bool {
        self.context.knobs.metrics_enabled.get(identifier).copied().unwrap_or(true)
    }

    /// Adds to one of the core's own counters, in those pings that are enabled.
    pub(crate) fn count(&mut self, identifier: &str, label: Option<&str>, pings: &[&str], amount: i32) {
        for ping in pings {
            if amount > 0 && self.is_own_metric_enabled(identifier) && self.context.is_store_enabled(ping) {
                let address = Address { lifetime: Lifetime::Ping, identifier, label };
                self.state.add(ping, address, amount);
            }
        }
    }

    /// Sets one of the core's own values of ping lifetime, in those pings that are enabled.
    pub(crate) fn set_in_pings(&mut self, identifier: &str, pings: &[&str], value: &Value) {
        for ping in pings {
            if self.is_own_metric_enabled(identifier) && self.context.is_store_enabled(ping) {
                self.state.set(ping, Address::plain(Lifetime::Ping, identifier), value.clone());
            }
        }
    }

    fn set_ping_enabled(&mut self, name: &str, enabled: bool) {
        let Some(ping) = self.context.pings.get_mut(name) else {
            return log_at!(Warn, "ping {name}: not registered, so it cannot be switched");
        };
        ping.enabled = enabled;
        if !enabled {
            Lifetime::ALL.into_iter().for_each(|lifetime| self.state.clear(name, lifetime));
            self.state.events.remove(name);
            self.outgoing.push(Effect::RemovePending(name.to_owned()));
        }
    }

    fn set_experiment_active(&mut self, id: &str, branch: &str, extra: std::collections::BTreeMap<String, String>) {
        let experiment = experiments::sanitize(id, branch, extra);
        self.record_experiment_errors(&experiment);
        let key = experiments::key(&experiment.id);
        self.state.set_internal(Lifetime::Application, &key, Value::Experiment(experiment.into_experiment()));
    }

    fn set_experiment_inactive(&mut self, id: &str) {
        let experiment = experiments::sanitize(id, "", Default::default());
        self.record_experiment_errors(&experiment);
        self.state.remove(INTERNAL_STORE, Lifetime::Application, &experiments::key(&experiment.id));
    }

    fn record_experiment_errors(&mut self, experiment: &experiments::Sanitized) {
        let key = experiments::key(&experiment.id);
        for (error, why) in &experiment.errors {
            self.record_error(&key, &[INTERNAL_STORE.to_owned()], *error, 1, why);
        }
    }

    fn set_experimentation_id(&mut self, id: &str) {
        let (text, is_cut) = truncate(id, metrics::string::MAX_BYTES);
        if is_cut {
            let pings = [ALL_PINGS_STORE.to_owned()];
            let error = ErrorType::InvalidOverflow;
            self.record_error(EXPERIMENTATION_ID, &pings, error, 1, "cut to 255 bytes");
        }
        self.context.settings.experimentation_id = Some(text.to_owned());
        let address = Address::plain(Lifetime::Application, EXPERIMENTATION_ID);
        self.state.set(ALL_PINGS_STORE, address, Value::String(text.to_owned()));
    }

    /// Keeps the merged settings of the server where pings find them.
    fn echo_knobs(&mut self) {
        let knobs = &self.context.knobs;
        let mut echo = serde_json::Map::new();
        if !knobs.metrics_enabled.is_empty() {
            echo.insert("metrics_enabled".into(), serde_json::json!(knobs.metrics_enabled));
        }
        if !knobs.pings_enabled.is_empty() {
            echo.insert("pings_enabled".into(), serde_json::json!(knobs.pings_enabled));
        }
        if let Some(threshold) = knobs.event_threshold {
            echo.insert("event_threshold".into(), threshold.into());
        }
        echo.insert("session_sample_rate".into(), serde_json::json!(knobs.session_sample_rate));
        // The schema of pings knows no acceleration factor.
        let text = serde_json::Value::Object(echo).to_string();
        self.state.set_internal(Lifetime::Application, ping::KNOBS, Value::Object(text));
    }

    pub(crate) fn update_facts(&mut self, facts: Facts, fields: &std::collections::BTreeMap<String, String>) {
        let (category, names) = facts.fields();
        for name in names {
            if let Some(text) = fields.get(*name) {
                let identifier = format!("{category}.{name}");
                let (text, is_cut) = truncate(text, metrics::string::MAX_BYTES);
                if is_cut {
                    let error = ErrorType::InvalidOverflow;
                    self.record_error(&identifier, &[], error, 1, "cut to 255 bytes");
                }
                let address = Address::plain(Lifetime::User, &identifier);
                self.state.set(CLIENT_INFO_STORE, address, Value::String(text.to_owned()));
            }
        }
    }

    pub(crate) fn clear_facts(&mut self, facts: Facts) {
        let (category, names) = facts.fields();
        for name in names {
            self.state.remove(CLIENT_INFO_STORE, Lifetime::User, &format!("{category}.{name}"));
        }
    }

    fn set_dirty(&mut self, is_dirty: bool) {
        self.state.set_internal(Lifetime::User, activity::DIRTY, Value::Boolean(is_dirty));
    }

    fn clear_submitted_pings(&mut self) {
        let listed: Vec<String> = self
            .state
            .entries(INTERNAL_STORE, Lifetime::Application)
            .filter(|(identifier, _)| identifier.ends_with(submission::SUBMITTED))
            .map(|(identifier, _)| identifier.to_owned())
            .collect();
        for identifier in listed {
            self.state.remove(INTERNAL_STORE, Lifetime::Application, &identifier);
        }
    }

    fn end(&mut self, is_shutdown: bool, waited_nanos: Option<u64>) {
        if is_shutdown {
            self.set_dirty(false);
        }
        // There is nothing to wait for but the disk, and that is measured by the other one.
        self.add_duration("glean.validation.shutdown_wait", 0);
        if let Some(nanos) = waited_nanos {
            self.add_duration("glean.validation.shutdown_dispatcher_wait", nanos);
        }
    }

    /// Adds to one of the core's own timing distributions, whose unit is the millisecond.
    pub(crate) fn add_duration(&mut self, identifier: &str, nanos: u64) {
        let nanos = nanos.max(1_000_000);
        let bucket = metrics::timing_distribution::bucket(nanos);
        for ping in startup::METRICS_AND_HEALTH {
            if self.context.is_store_enabled(ping) {
                let address = Address::plain(Lifetime::Ping, identifier);
                self.state.change(ping, address, metrics::timing_distribution::empty, |value| {
                    if let Value::TimingDistribution(histogram) = value {
                        histogram.record(bucket, nanos);
                    }
                });
            }
        }
    }

    /// Records an event of the core itself.
    pub(crate) fn record_own_event(
        &mut self,
        name: &str,
        pings: &[String],
        moment: &crate::time::Moment,
        extra: std::collections::BTreeMap<String, String>,
        keep: Keep,
    ) {
        let pings: Vec<&str> = pings.iter().map(String::as_str).collect();
        let common = CommonMetricData::internal("glean", name, Lifetime::Ping, &pings);
        let known = KnownMetric::new(metrics::MetricDefinition {
            common,
            kind: Kind::Event(Vec::new()),
            label: metrics::Label::None,
        });
        let event = metrics::EventRecording { timestamp: moment.uptime_ms, unix_ms: moment.unix_ms, extra, cut: 0 };
        keep(self, &known, &event);
    }
}

/// [`events::record`], or [`events::store`] where all events are about to be sent anyway.
pub(crate) type Keep = fn(&mut Machine<'_>, &KnownMetric, &metrics::EventRecording);
