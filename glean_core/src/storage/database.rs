//! The table of values of one data directory, written through to its journal.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::codec::{self, Change};
use super::journal::{Findings, Journal};
use super::lock::DirectoryLock;
use super::{Address, Value};
use crate::common_metric_data::Lifetime;
use crate::error::{Error, Result};
use crate::logging::log_at;

/// A journal below this size is never compacted: some 20 000 changes, so one fsync is spread over many of them.
const MIN_COMPACTION_BYTES: u64 = 1 << 20;
/// A journal is compacted when it is this many times as large as the values in it.
const COMPACTION_RATIO: u64 = 4;
/// After a failed write, this many further changes pass before the next try: each try writes the whole table.
const CHANGES_BETWEEN_RETRIES: u32 = 1000;

/// What is stored for one identifier.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// The value of a metric.
    Plain(Value),
    /// The values of a labeled metric.
    Labeled(BTreeMap<String, Value>),
}

/// What opening a database found; the same as [`Findings`] of its journal.
pub type Recovery = Findings;

type Table = BTreeMap<String, Entry>;

/// The values of one data directory.
///
/// Changes are staged by [`Database::set`] and its siblings, visible at once, and written by [`Database::commit`] as one
/// frame: after a crash either all of them are there or none.
#[derive(Debug)]
pub struct Database {
    stores: BTreeMap<String, [Table; 3]>,
    journal: Journal,
    staged: Vec<u8>,
    /// Size of the journal right after its last compaction, or an estimate at open.
    compacted_bytes: u64,
    /// Set after a failed write: what is in memory isn't in the file. Counts down to the next try.
    retry_in: Option<u32>,
    _lock: DirectoryLock,
}

impl Database {
    /// Opens the database in `directory`, which is created with its parents.
    ///
    /// Damage is repaired and reported, never an error.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if another process has it open, [`Error::Io`] if the directory or a file cannot be used.
    pub fn open(directory: &Path) -> Result<(Database, Recovery)> {
        fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
        let lock = DirectoryLock::acquire(directory)?;
        let mut stores = BTreeMap::new();
        let path = directory.join("glean.journal");
        let (journal, findings) =
            Journal::open(&path, |payload| codec::read(payload, |change| replay(&mut stores, change)))?;
        let mut database =
            Database { stores, journal, staged: Vec::new(), compacted_bytes: 0, retry_in: None, _lock: lock };
        if findings.torn_bytes > 0 {
            log_at!(Info, "{}: cut {} bytes of an unfinished write", path.display(), findings.torn_bytes);
        }
        if findings.damaged_bytes > 0 {
            log_at!(Warn, "{}: skipped {} damaged bytes", path.display(), findings.damaged_bytes);
            database.compact()?;
        }
        Ok((database, findings))
    }

    /// Returns a value.
    pub fn get(&self, store: &str, address: Address<'_>) -> Option<&Value> {
        match (self.table(store, address.lifetime)?.get(address.identifier)?, address.label) {
            (Entry::Plain(value), None) => Some(value),
            (Entry::Labeled(values), Some(label)) => values.get(label),
            _ => None,
        }
    }

    /// Returns all values of one lifetime in a store, sorted by identifier.
    pub fn entries(&self, store: &str, lifetime: Lifetime) -> impl Iterator<Item = (&str, &Entry)> {
        let table = self.table(store, lifetime);
        table.into_iter().flatten().map(|(identifier, entry)| (identifier.as_str(), entry))
    }

    /// Returns the names of all stores.
    pub fn store_names(&self) -> Vec<String> {
        self.stores.keys().cloned().collect()
    }

    /// Stages a value.
    pub fn set(&mut self, store: &str, address: Address<'_>, value: Value) {
        codec::push_set(&mut self.staged, store, address, &value);
        set_in(&mut self.stores, store, address, value);
    }

    /// Stages the removal of a value.
    pub fn remove(&mut self, store: &str, address: Address<'_>) {
        codec::push_remove(&mut self.staged, store, address);
        remove_in(&mut self.stores, store, address);
    }

    /// Stages the removal of all values of one lifetime from a store.
    pub fn clear(&mut self, store: &str, lifetime: Lifetime) {
        if let Some(tables) = self.stores.get_mut(store) {
            if !tables[lifetime as usize].is_empty() {
                codec::push_clear(&mut self.staged, store, lifetime);
                tables[lifetime as usize].clear();
            }
        }
    }

    /// Writes what was staged. When this returns, the death of the process cannot take it back.
    ///
    /// A failure is logged and leaves the values in memory; they are written when the disk takes them again.
    pub fn commit(&mut self) {
        if self.staged.is_empty() {
            return;
        }
        match self.retry_in {
            Some(0) => self.rewrite_or_retry_later(),
            Some(changes) => self.retry_in = Some(changes - 1),
            None => {
                if let Err(error) = self.journal.append(&self.staged) {
                    log_at!(Error, "values stay in memory until the disk takes them: {error}");
                    self.retry_in = Some(CHANGES_BETWEEN_RETRIES);
                } else if self.needs_compaction() {
                    self.rewrite_or_retry_later();
                }
            }
        }
        self.staged.clear();
    }

    /// Waits until everything committed is on the disk itself; a failure is logged.
    pub fn sync(&mut self) {
        if self.retry_in.is_some() {
            self.rewrite_or_retry_later();
        } else if let Err(error) = self.journal.sync() {
            log_at!(Error, "{error}");
        }
    }

    /// Returns the size of the journal.
    pub fn size_bytes(&self) -> u64 {
        self.journal.size_bytes()
    }

    fn table(&self, store: &str, lifetime: Lifetime) -> Option<&Table> {
        self.stores.get(store).map(|tables| &tables[lifetime as usize])
    }

    fn needs_compaction(&self) -> bool {
        let size_bytes = self.journal.size_bytes();
        size_bytes > MIN_COMPACTION_BYTES && size_bytes > COMPACTION_RATIO * self.compacted_bytes
    }

    fn rewrite_or_retry_later(&mut self) {
        match self.compact() {
            Ok(()) => self.retry_in = None,
            Err(error) => {
                log_at!(Error, "values stay in memory until the disk takes them: {error}");
                self.retry_in = Some(CHANGES_BETWEEN_RETRIES);
            }
        }
    }

    /// Replaces the journal by one frame per value.
    fn compact(&mut self) -> Result<()> {
        let mut payloads = Vec::new();
        for (store, tables) in &self.stores {
            for (lifetime, table) in Lifetime::ALL.into_iter().zip(tables) {
                for (identifier, entry) in table {
                    push_entry(&mut payloads, store, lifetime, identifier, entry);
                }
            }
        }
        self.journal.rewrite(payloads.into_iter())?;
        self.compacted_bytes = self.journal.size_bytes();
        Ok(())
    }
}

fn push_entry(payloads: &mut Vec<Vec<u8>>, store: &str, lifetime: Lifetime, identifier: &str, entry: &Entry) {
    let mut push = |label: Option<&str>, value: &Value| {
        let mut payload = Vec::new();
        codec::push_set(&mut payload, store, Address { lifetime, identifier, label }, value);
        payloads.push(payload);
    };
    match entry {
        Entry::Plain(value) => push(None, value),
        Entry::Labeled(values) => values.iter().for_each(|(label, value)| push(Some(label), value)),
    }
}

fn replay(stores: &mut BTreeMap<String, [Table; 3]>, change: Change<'_>) {
    match change {
        Change::Set(store, lifetime, identifier, label, Some(value)) => {
            set_in(stores, store, Address { lifetime, identifier, label }, value);
        }
        Change::Set(.., None) => (),
        Change::Remove(store, lifetime, identifier, label) => {
            remove_in(stores, store, Address { lifetime, identifier, label });
        }
        Change::Clear(store, lifetime) => {
            if let Some(tables) = stores.get_mut(store) {
                tables[lifetime as usize].clear();
            }
        }
    }
}

fn set_in(stores: &mut BTreeMap<String, [Table; 3]>, store: &str, address: Address<'_>, value: Value) {
    if !stores.contains_key(store) {
        stores.insert(store.to_owned(), Default::default());
    }
    let tables = stores.get_mut(store).expect("store exists: inserted above");
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

fn remove_in(stores: &mut BTreeMap<String, [Table; 3]>, store: &str, address: Address<'_>) {
    let Some(tables) = stores.get_mut(store) else { return };
    let table = &mut tables[address.lifetime as usize];
    match (table.get_mut(address.identifier), address.label) {
        (Some(Entry::Labeled(values)), Some(label)) => {
            values.remove(label);
            if values.is_empty() {
                table.remove(address.identifier);
            }
        }
        (Some(Entry::Plain(_)), None) => {
            table.remove(address.identifier);
        }
        _ => (),
    }
}
