//! The section `metrics`.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::{EXPERIMENTATION_ID, EntryInPing, PingDefinition};
use crate::common_metric_data::Lifetime;
use crate::sort;
use crate::store::{ALL_PINGS_STORE, Entry, State, Value};

/// What is stored for the metrics of a ping, by type.
#[derive(Default)]
pub(super) struct Metrics<'a>(Vec<Section<'a>>);

/// The metrics of one type.
struct Section<'a> {
    name: Cow<'static, str>,
    kind: &'static str,
    is_labeled: bool,
    entries: Vec<(&'a str, &'a Entry)>,
    /// Whether each identifier follows the one before it, as those of one lifetime do.
    is_sorted: bool,
}

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
        let (value, is_labeled) = match entry {
            Entry::Plain(value) => (value, false),
            Entry::Labeled(values) => match values.values().next() {
                None => return,
                Some(value) => (value, !matches!(value, Value::DualLabeledCounter(_))),
            },
        };
        let kind = value.section();
        let found = self.0.iter().position(|section| section.kind == kind && section.is_labeled == is_labeled);
        let index = found.unwrap_or_else(|| {
            let name = if is_labeled { format!("labeled_{kind}").into() } else { kind.into() };
            self.0.push(Section { name, kind, is_labeled, entries: Vec::new(), is_sorted: true });
            self.0.len() - 1
        });
        let section = &mut self.0[index];
        section.is_sorted &= section.entries.last().is_none_or(|(last, _)| *last < identifier);
        section.entries.push((identifier, entry));
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|section| section.entries.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out the experimentation id, which tells clients apart like the client id does.
    pub(super) fn remove_tag(&mut self) {
        if let Some(strings) = self.0.iter_mut().find(|section| section.name == "string") {
            strings.entries.retain(|(identifier, _)| *identifier != EXPERIMENTATION_ID);
        }
        self.0.retain(|section| !section.entries.is_empty());
    }

    /// Tells whether the experimentation id is all there is.
    pub(super) fn is_tag_alone(&self) -> bool {
        let [section] = &self.0[..] else { return false };
        section.name == "string" && section.entries.iter().all(|(identifier, _)| *identifier == EXPERIMENTATION_ID)
    }

    /// Sorts sections by name, and each by identifier, and drops what was replaced; has to precede writing.
    pub(super) fn sort(&mut self) {
        sort::by(&mut self.0, |a, b| a.name.cmp(&b.name));
        for section in self.0.iter_mut().filter(|section| !section.is_sorted) {
            // This sort keeps the order of equal ones.
            section.entries.sort_by_key(|(identifier, _)| *identifier);
            section.entries.dedup_by(|later, earlier| {
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
        serializer.collect_map(self.0.iter().map(|section| (&section.name, section)))
    }
}

impl Serialize for Section<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.entries.iter().map(|(identifier, entry)| (identifier, EntryInPing(entry))))
    }
}
