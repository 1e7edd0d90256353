//! The view of what is stored that one recording has: its metric, its label, its enabled pings.

use std::sync::Arc;

use super::Machine;
use super::context::KnownMetric;
use crate::error_recording::{self, ErrorType, METRICS_PING};
use crate::logging::log_at;
use crate::metrics::Label;
use crate::store::{Address, Value, is_pseudo_store};

/// One metric of one label, about to be changed.
pub(crate) struct Scope<'a, 'm> {
    pub(crate) machine: &'a mut Machine<'m>,
    known: Arc<KnownMetric>,
    label: Option<String>,
}

impl<'a, 'm> Scope<'a, 'm> {
    /// Prepares a recording; `None` if nothing is to be recorded now.
    pub(crate) fn open(machine: &'a mut Machine<'m>, known: Arc<KnownMetric>) -> Option<Scope<'a, 'm>> {
        if !machine.should_record(&known) {
            return None;
        }
        Some(Scope { machine, known, label: None })
    }

    /// Decides which label the value is stored under. Called once the value is known to be stored.
    fn resolve_label(&mut self) {
        if self.label.is_none() && self.known.definition.label != Label::None {
            self.label = crate::metrics::labeled::resolve(self);
        }
    }

    pub(crate) fn known(&self) -> Arc<KnownMetric> {
        Arc::clone(&self.known)
    }

    fn enabled_stores(&self) -> Vec<usize> {
        let stores = &self.known.definition.common.send_in_pings;
        (0..stores.len()).filter(|index| self.machine.context.is_store_enabled(&stores[*index])).collect()
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
            if let Some(value) = change(self.machine.state.get(store, address)) {
                self.machine.state.set(store, address, value);
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
            self.machine.state.change(&common.send_in_pings[index], address, &make, &change);
        }
    }

    /// Counts errors of this metric, in every ping of it and in the `metrics` ping, and logs why.
    ///
    /// The label is the identifier of the metric. The number of labels isn't limited: at most one per metric exists.
    pub(crate) fn record_error(&mut self, error: ErrorType, count: u32, why: &str) {
        self.machine.record_error(
            &self.known.identifier,
            &self.known.definition.common.send_in_pings,
            error,
            count,
            why,
        );
    }
}

impl Machine<'_> {
    /// Counts errors under a label of its own choice.
    pub(crate) fn record_error(&mut self, identifier: &str, pings: &[String], error: ErrorType, count: u32, why: &str) {
        log_at!(Warn, "{identifier}: {why}");
        if count == 0 {
            return;
        }
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        let others = pings.iter().map(String::as_str).filter(|ping| *ping != METRICS_PING && !is_pseudo_store(ping));
        for store in others.chain([METRICS_PING]) {
            if self.context.is_store_enabled(store) {
                let address = error_recording::address(error, identifier);
                self.state.change(store, address, || Value::Counter(0), |value| add_to_counter(value, count));
            }
        }
    }
}

/// Adds to a counter; saturates. Anything but a counter is replaced.
pub(crate) fn add_to_counter(value: &mut Value, amount: i32) {
    match value {
        Value::Counter(count) | Value::DualLabeledCounter(count) => *count = count.saturating_add(amount),
        other => *other = Value::Counter(amount),
    }
}
