//! The view of what is stored that one recording has: its metric, its label, its enabled pings.

use std::sync::Arc;

use super::{KnownMetric, Label, labeled};
use crate::common_metric_data::Lifetime;
use crate::error_recording::{ErrorType, METRICS_PING};
use crate::logging::log_at;
use crate::store::{Address, State, Value, is_pseudo_store};

/// Tells whether values for a store are kept.
pub(crate) type IsEnabled<'a> = &'a dyn Fn(&str) -> bool;

/// One metric of one label, about to be changed.
pub(crate) struct Scope<'a> {
    pub(crate) state: &'a mut State,
    is_enabled: IsEnabled<'a>,
    known: Arc<KnownMetric>,
    label: Option<String>,
}

impl<'a> Scope<'a> {
    /// Prepares a recording.
    pub(crate) fn new(state: &'a mut State, is_enabled: IsEnabled<'a>, known: Arc<KnownMetric>) -> Scope<'a> {
        Scope { state, is_enabled, known, label: None }
    }

    /// Decides which label the value is stored under. Called once the value is known to be stored.
    fn resolve_label(&mut self) {
        if self.label.is_none() && self.known.definition.label != Label::None {
            self.label = labeled::resolve(self);
        }
    }

    pub(crate) fn known(&self) -> Arc<KnownMetric> {
        Arc::clone(&self.known)
    }

    fn enabled_stores(&self) -> Vec<usize> {
        let stores = &self.known.definition.common.send_in_pings;
        (0..stores.len()).filter(|index| (self.is_enabled)(&stores[*index])).collect()
    }

    /// Replaces the value in each enabled ping by what `change` makes of it; `None` leaves it alone.
    pub(crate) fn update(&mut self, mut change: impl FnMut(Option<&Value>) -> Option<Value>) {
        // A label that isn't accepted is an error even where nothing is stored.
        self.resolve_label();
        let stores = self.enabled_stores();
        let common = &self.known.definition.common;
        let address =
            Address { lifetime: common.lifetime, identifier: &self.known.identifier, label: self.label.as_deref() };
        for index in stores {
            let store = &common.send_in_pings[index];
            if let Some(value) = change(self.state.get(store, address)) {
                self.state.set(store, address, value);
            }
        }
    }

    /// Sets the value in each enabled ping.
    pub(crate) fn set(&mut self, value: &Value) {
        self.update(|_| Some(value.clone()));
    }

    /// Changes the value in place in each enabled ping; `make` gives the one to start from.
    pub(crate) fn change(&mut self, make: impl Fn() -> Value, change: impl Fn(&mut Value)) {
        // A label that isn't accepted is an error even where nothing is stored.
        self.resolve_label();
        let stores = self.enabled_stores();
        let common = &self.known.definition.common;
        let address =
            Address { lifetime: common.lifetime, identifier: &self.known.identifier, label: self.label.as_deref() };
        for index in stores {
            self.state.change(&common.send_in_pings[index], address, &make, &change);
        }
    }

    /// Counts errors of this metric, in every ping of it and in the `metrics` ping, and logs why.
    pub(crate) fn record_error(&mut self, error: ErrorType, count: u32, why: &str) {
        let pings = &self.known.definition.common.send_in_pings;
        record_error(self.state, self.is_enabled, &self.known.identifier, pings, error, count, why);
    }
}

/// Counts errors of something in its pings and in the `metrics` ping, and logs why.
///
/// The label is its identifier. The number of labels isn't limited: at most one per identifier exists.
pub(crate) fn record_error(
    state: &mut State,
    is_enabled: IsEnabled<'_>,
    identifier: &str,
    pings: &[String],
    error: ErrorType,
    count: u32,
    why: &str,
) {
    log_at!(Warn, "{identifier}: {why}");
    if count == 0 {
        return;
    }
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let others = pings.iter().map(String::as_str).filter(|ping| *ping != METRICS_PING && !is_pseudo_store(ping));
    for store in others.chain([METRICS_PING]).filter(|store| is_enabled(store)) {
        state.add(store, errors_at(error, identifier), count);
    }
}

/// Returns how many errors of one kind the metric has in the `metrics` ping.
pub(crate) fn count_errors(state: &State, identifier: &str, error: ErrorType) -> i32 {
    match state.get(METRICS_PING, errors_at(error, identifier)) {
        Some(Value::Counter(count)) => *count,
        _ => 0,
    }
}

fn errors_at(error: ErrorType, identifier: &str) -> Address<'_> {
    Address { lifetime: Lifetime::Ping, identifier: error.identifier(), label: Some(identifier) }
}
