//! The database on disk: what survives, what damage costs, who may open it.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::TempDir;
use glean_core::storage::{Address, Database, Entry, Value};
use glean_core::{Error, Lifetime};

const STORE: &str = "store";

fn journal(directory: &TempDir) -> PathBuf {
    directory.path().join("glean.journal")
}

fn open(directory: &Path) -> Database {
    Database::open(directory).unwrap().0
}

fn set_counters(database: &mut Database, names: &[&str], count: i32) {
    for name in names {
        database.set(STORE, Address::plain(Lifetime::Ping, name), Value::Counter(count));
        database.commit();
    }
}

fn counters(database: &Database) -> Vec<(String, i32)> {
    let entries = database.entries(STORE, Lifetime::Ping);
    entries
        .map(|(name, entry)| match entry {
            Entry::Plain(Value::Counter(count)) => (name.to_owned(), *count),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn values_of_every_lifetime_survive_without_an_orderly_end() {
    let directory = TempDir::new();
    let mut database = open(directory.path());
    for lifetime in [Lifetime::Ping, Lifetime::Application, Lifetime::User] {
        let labeled = Address { lifetime, identifier: "labeled", label: Some("x") };
        database.set(STORE, labeled, Value::Boolean(true));
        database.set(STORE, Address::plain(lifetime, "text"), Value::String("ü\0".into()));
    }
    database.commit();
    database.remove(STORE, Address::plain(Lifetime::User, "text"));
    database.commit();
    drop(database);
    let database = open(directory.path());
    for lifetime in [Lifetime::Ping, Lifetime::Application, Lifetime::User] {
        let labeled = Address { lifetime, identifier: "labeled", label: Some("x") };
        assert_eq!(database.get(STORE, labeled), Some(&Value::Boolean(true)));
    }
    assert_eq!(database.get(STORE, Address::plain(Lifetime::User, "text")), None);
    assert_eq!(database.get(STORE, Address::plain(Lifetime::Ping, "text")), Some(&Value::String("ü\0".into())));
}

#[test]
fn what_was_not_committed_is_not_there() {
    let directory = TempDir::new();
    let mut database = open(directory.path());
    database.set(STORE, Address::plain(Lifetime::Ping, "a"), Value::Counter(1));
    drop(database);
    assert!(counters(&open(directory.path())).is_empty());
}

#[test]
fn a_file_cut_anywhere_gives_the_changes_before_the_cut() {
    let directory = TempDir::new();
    let mut sizes = Vec::new();
    let mut database = open(directory.path());
    for count in 1..=3 {
        sizes.push(database.size_bytes() as usize);
        set_counters(&mut database, &["a"], count);
    }
    drop(database);
    let whole = fs::read(journal(&directory)).unwrap();
    for length in 0..whole.len() {
        fs::write(journal(&directory), &whole[..length]).unwrap();
        let mut database = open(directory.path());
        let complete = sizes.iter().skip(1).filter(|size| **size <= length).count() as i32;
        let expected = if complete == 0 { vec![] } else { vec![("a".to_owned(), complete)] };
        assert_eq!(counters(&database), expected, "cut to {length} of {}", whole.len());
        // The next change lands behind the cut and is found again.
        set_counters(&mut database, &["b"], 9);
        drop(database);
        assert_eq!(counters(&open(directory.path())).last(), Some(&("b".to_owned(), 9)), "cut to {length}");
    }
}

#[test]
fn a_flipped_bit_costs_at_most_its_own_change() {
    let directory = TempDir::new();
    let mut database = open(directory.path());
    set_counters(&mut database, &["a", "b", "c"], 1);
    let before = counters(&database);
    drop(database);
    let whole = fs::read(journal(&directory)).unwrap();
    for position in 0..whole.len() {
        for bit in [0, 3, 7] {
            let mut damaged = whole.clone();
            damaged[position] ^= 1 << bit;
            fs::write(journal(&directory), &damaged).unwrap();
            let database = open(directory.path());
            let found = counters(&database);
            assert!(found.len() >= 2, "byte {position} bit {bit}: {found:?}");
            assert!(found.iter().all(|entry| before.contains(entry)), "byte {position} bit {bit}: {found:?}");
            drop(database);
            let (database, recovery) = Database::open(directory.path()).unwrap();
            assert_eq!(counters(&database), found, "byte {position} bit {bit}: lost by the repair");
            assert_eq!(recovery.damaged_bytes + recovery.torn_bytes, 0, "byte {position} bit {bit}: not repaired");
        }
    }
}

#[test]
fn files_that_are_no_journal_are_replaced() {
    let garbage: [&[u8]; 4] = [b"\0\0\0\0", b"not a database at all", &[0xff; 5000], b"GLGLGLGLGLGLGLGLGL"];
    for bytes in garbage {
        let directory = TempDir::new();
        fs::write(journal(&directory), bytes).unwrap();
        let mut database = open(directory.path());
        set_counters(&mut database, &["a"], 5);
        drop(database);
        assert_eq!(counters(&open(directory.path())), vec![("a".to_owned(), 5)]);
    }
}

#[test]
fn the_journal_stays_small_however_often_a_value_changes() {
    let directory = TempDir::new();
    let mut database = open(directory.path());
    let mut largest = 0;
    for count in 0..60_000 {
        database.set(STORE, Address::plain(Lifetime::Ping, "counter"), Value::Counter(count));
        database.commit();
        largest = largest.max(database.size_bytes());
    }
    assert!(largest < (1 << 20) + 1000, "{largest}");
    drop(database);
    assert_eq!(counters(&open(directory.path())), vec![("counter".to_owned(), 59_999)]);
    assert!(!directory.path().join("glean.new").exists());
}

#[test]
fn a_leftover_of_an_interrupted_compaction_is_ignored() {
    let directory = TempDir::new();
    let mut database = open(directory.path());
    set_counters(&mut database, &["a"], 1);
    drop(database);
    fs::write(directory.path().join("glean.new"), b"half").unwrap();
    assert_eq!(counters(&open(directory.path())), vec![("a".to_owned(), 1)]);
}

#[test]
fn only_one_at_a_time_may_open_a_directory() {
    let directory = TempDir::new();
    let database = open(directory.path());
    assert!(matches!(Database::open(directory.path()), Err(Error::Locked { .. })));
    drop(database);
    open(directory.path());
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
    let directory = TempDir::new();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Database::open(&file.join("db")).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
}
