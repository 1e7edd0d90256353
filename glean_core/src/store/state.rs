//! Everything stored, in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::{INTERNAL_STORE, StoredEvent, Value};
use crate::common_metric_data::Lifetime;

/// What is stored for one identifier.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// The value of a metric.
    Plain(Value),
    /// The values of a labeled metric.
    Labeled(BTreeMap<String, Value>),
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

/// The values of one lifetime in one store.
pub type Table = BTreeMap<String, Entry>;

/// The values and events of one data directory.
#[derive(Clone, Debug, Default)]
pub struct State {
    stores: BTreeMap<String, [Table; 3]>,
    /// What was cleared: to drop a thousand values takes a tenth of the time of a ping.
    cleared: Vec<Table>,
    /// Events by the name of their ping, in the order they were recorded.
    pub events: BTreeMap<String, Vec<StoredEvent>>,
}

impl State {
    /// Tells whether nothing is stored at all.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.stores.values().flatten().all(Table::is_empty)
    }

    /// Returns a value.
    pub fn get(&self, store: &str, address: Address<'_>) -> Option<&Value> {
        match (self.table(store, address.lifetime)?.get(address.identifier)?, address.label) {
            (Entry::Plain(value), None) => Some(value),
            (Entry::Labeled(values), Some(label)) => values.get(label),
            _ => None,
        }
    }

    /// Returns one of the core's own values from the store of bookkeeping.
    pub(crate) fn internal(&self, lifetime: Lifetime, identifier: &str) -> Option<&Value> {
        self.get(INTERNAL_STORE, Address::plain(lifetime, identifier))
    }

    /// Sets one of the core's own values in the store of bookkeeping.
    pub(crate) fn set_internal(&mut self, lifetime: Lifetime, identifier: &str, value: Value) {
        self.set(INTERNAL_STORE, Address::plain(lifetime, identifier), value);
    }

    /// Returns what is stored for an identifier, with all its labels.
    pub fn entry(&self, store: &str, lifetime: Lifetime, identifier: &str) -> Option<&Entry> {
        self.table(store, lifetime)?.get(identifier)
    }

    /// Returns all values of one lifetime in a store, sorted by identifier.
    pub fn entries(&self, store: &str, lifetime: Lifetime) -> impl Iterator<Item = (&str, &Entry)> {
        let table = self.table(store, lifetime);
        table.into_iter().flatten().map(|(identifier, entry)| (identifier.as_str(), entry))
    }

    /// Returns every value with its store and address.
    pub fn all(&self) -> impl Iterator<Item = (&str, Address<'_>, &Value)> {
        self.stores.iter().flat_map(|(store, tables)| {
            Lifetime::ALL.into_iter().zip(tables).flat_map(move |(lifetime, table)| {
                table.iter().flat_map(move |(identifier, entry)| {
                    let values: Vec<(Option<&str>, &Value)> = match entry {
                        Entry::Plain(value) => vec![(None, value)],
                        Entry::Labeled(values) => {
                            values.iter().map(|(label, value)| (Some(label.as_str()), value)).collect()
                        }
                    };
                    values.into_iter().map(move |(label, value)| {
                        (store.as_str(), Address { lifetime, identifier: identifier.as_str(), label }, value)
                    })
                })
            })
        })
    }

    /// Returns the names of all stores that hold values.
    pub fn store_names(&self) -> Vec<String> {
        self.stores.keys().cloned().collect()
    }

    /// Returns the labels stored for an identifier in any of the stores.
    pub fn labels<'a>(&'a self, stores: &[String], lifetime: Lifetime, identifier: &str) -> BTreeSet<&'a str> {
        let mut labels = BTreeSet::new();
        for store in stores {
            if let Some(Entry::Labeled(values)) = self.entry(store, lifetime, identifier) {
                labels.extend(values.keys().map(String::as_str));
            }
        }
        labels
    }

    /// Stores a value.
    pub fn set(&mut self, store: &str, address: Address<'_>, value: Value) {
        if !self.stores.contains_key(store) {
            self.stores.insert(store.to_owned(), Default::default());
        }
        let tables = self.stores.get_mut(store).expect("store exists: inserted above");
        let table = &mut tables[address.lifetime as usize];
        match (table.get_mut(address.identifier), address.label) {
            (Some(Entry::Plain(old)), None) => *old = value,
            (Some(Entry::Labeled(values)), Some(label)) => match values.get_mut(label) {
                Some(old) => *old = value,
                None => {
                    values.insert(label.to_owned(), value);
                }
            },
            (_, None) => {
                table.insert(address.identifier.to_owned(), Entry::Plain(value));
            }
            (_, Some(label)) => {
                let values = BTreeMap::from([(label.to_owned(), value)]);
                table.insert(address.identifier.to_owned(), Entry::Labeled(values));
            }
        }
    }

    /// Changes a value in place; `make` gives the one to start from where there is none.
    ///
    /// `change` gets a mutable value, so that a long list or histogram isn't copied.
    pub fn change(
        &mut self,
        store: &str,
        address: Address<'_>,
        make: impl FnOnce() -> Value,
        change: impl FnOnce(&mut Value),
    ) {
        if self.get_mut(store, address).is_none() {
            self.set(store, address, make());
        }
        if let Some(value) = self.get_mut(store, address) {
            change(value);
        }
    }

    /// Adds to a counter.
    pub(crate) fn add(&mut self, store: &str, address: Address<'_>, amount: i32) {
        self.change(store, address, || Value::Counter(0), |value| value.add(amount));
    }

    fn get_mut(&mut self, store: &str, address: Address<'_>) -> Option<&mut Value> {
        let tables = self.stores.get_mut(store)?;
        match (tables[address.lifetime as usize].get_mut(address.identifier)?, address.label) {
            (Entry::Plain(value), None) => Some(value),
            (Entry::Labeled(values), Some(label)) => values.get_mut(label),
            _ => None,
        }
    }

    /// Removes whatever is stored for an identifier.
    pub fn remove(&mut self, store: &str, lifetime: Lifetime, identifier: &str) {
        if let Some(tables) = self.stores.get_mut(store) {
            tables[lifetime as usize].remove(identifier);
        }
    }

    /// Removes all values of one lifetime from a store.
    pub fn clear(&mut self, store: &str, lifetime: Lifetime) {
        if let Some(tables) = self.stores.get_mut(store) {
            self.cleared.push(std::mem::take(&mut tables[lifetime as usize]));
        }
    }

    /// Gives back the memory of what was cleared.
    pub fn drop_cleared(&mut self) {
        self.cleared.clear();
    }

    fn table(&self, store: &str, lifetime: Lifetime) -> Option<&Table> {
        self.stores.get(store).map(|tables| &tables[lifetime as usize])
    }
}
