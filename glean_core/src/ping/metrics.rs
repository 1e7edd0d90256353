//! The section `metrics`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::{EXPERIMENTATION_ID, EntryInPing, PingDefinition};
use crate::common_metric_data::Lifetime;
use crate::store::{ALL_PINGS_STORE, Entry, State, Value};

/// What is stored for the metrics of a ping, by type.
#[derive(Default)]
pub(super) struct Metrics<'a>(BTreeMap<Cow<'static, str>, Section<'a>>);

impl<'a> Metrics<'a> {
    /// Collects what is stored for a ping, and what is in every ping.
    pub(super) fn collect(state: &'a State, ping: &PingDefinition) -> Metrics<'a> {
        let mut metrics = Metrics::default();
        let own = Lifetime::ALL.into_iter().flat_map(|lifetime| state.entries(&ping.name, lifetime));
        for (identifier, entry) in own.chain(state.entries(ALL_PINGS_STORE, Lifetime::Application)) {
            metrics.insert(identifier, entry);
        }
        metrics
    }

    /// Puts an entry into the section of its type, where it replaces earlier ones of the same identifier.
    pub(super) fn insert(&mut self, identifier: &'a str, entry: &'a Entry) {
        let name: Cow<'static, str> = match entry {
            Entry::Plain(value) => value.section().into(),
            Entry::Labeled(values) => match values.values().next() {
                None => return,
                Some(Value::DualLabeledCounter(_)) => "dual_labeled_counter".into(),
                Some(first) => format!("labeled_{}", first.section()).into(),
            },
        };
        self.0.entry(name).or_default().0.push((identifier, entry));
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.0.values().map(|section| section.0.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out the experimentation id, which tells clients apart like the client id does.
    pub(super) fn remove_tag(&mut self) {
        if let Some(section) = self.0.get_mut("string") {
            section.0.retain(|(identifier, _)| *identifier != EXPERIMENTATION_ID);
            if section.0.is_empty() {
                self.0.remove("string");
            }
        }
    }

    /// Tells whether the experimentation id is all there is.
    pub(super) fn is_tag_alone(&self) -> bool {
        let is_tag = |section: &Section<'_>| section.0.iter().all(|(identifier, _)| *identifier == EXPERIMENTATION_ID);
        self.0.len() == 1 && self.0.get("string").is_some_and(is_tag)
    }

    /// Sorts each section by identifier, and drops what was replaced; has to precede writing.
    pub(super) fn sort(&mut self) {
        for Section(entries) in self.0.values_mut() {
            // Each lifetime is sorted already, which this sort notices; and it keeps the order of equal ones.
            entries.sort_by_key(|(identifier, _)| *identifier);
            entries.dedup_by(|later, earlier| {
                let is_same = later.0 == earlier.0;
                if is_same {
                    *earlier = *later;
                }
                is_same
            });
        }
    }
}

impl Serialize for Metrics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

/// The metrics of one type.
#[derive(Default)]
struct Section<'a>(Vec<(&'a str, &'a Entry)>);

impl Serialize for Section<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(identifier, entry)| (identifier, EntryInPing(entry))))
    }
}
