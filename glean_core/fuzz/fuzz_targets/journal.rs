//! Any bytes as a segment and as a base: opening them never panics, and what was read is written and read again.
//!
//! The first byte says what the others are. Checksums that don't fit are made to fit, or else nothing behind them would
//! ever be reached; one bit keeps them as they are.

#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use common::{Process, TempDir, counter, metric, ping, settings};
use glean_core::Lifetime;
use glean_core::engine::Engine;
use glean_core::journal::frame;
use glean_core::machine::op::{Moment, Op};
use glean_core::metrics::{EventRecording, Kind, Recording};
use glean_core::store::base;
use libfuzzer_sys::fuzz_target;

const IS_BASE: u8 = 1;
const KEEPS_CHECKSUMS: u8 = 2;
/// The segment is that of a process that lives.
const LIVES: u8 = 4;
/// The base has two halves.
const HAS_HALVES: u8 = 8;
/// Where the frames of a half of a base begin, behind 8 magic bytes, 8 bytes of a mark and a head.
const HALF_FRAMES: usize = 64;

/// Where everything happens; in memory, where there is such a folder.
fn directory() -> &'static TempDir {
    static DIRECTORY: OnceLock<TempDir> = OnceLock::new();
    DIRECTORY.get_or_init(TempDir::new)
}

fuzz_target!(init: { write_seeds(); }, |data: &[u8]| {
    let Some((flags, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    match (flags & KEEPS_CHECKSUMS == 0, flags & IS_BASE == 0) {
        (true, true) => repair(&mut bytes, 8),
        (true, false) => repair_base(&mut bytes, flags & HAS_HALVES != 0),
        (false, _) => (),
    }
    let data_dir = directory().path();
    let db = data_dir.join("db");
    let _ = fs::remove_dir_all(data_dir);
    fs::create_dir_all(&db).unwrap();
    let name = if flags & IS_BASE == 0 { "a-1-x.00000000.log" } else { "base" };
    fs::write(db.join(name), &bytes).unwrap();
    let life = (flags & LIVES != 0)
        .then(|| glean_core::store::lock::FileLock::try_acquire(&db.join("a-1-x.lock")).unwrap().unwrap());
    if !fold_twice(data_dir) {
        return;
    }
    drop(life);
    // A whole start beside it, and what it stores is there for the next one.
    let mut process = Process::start(data_dir);
    process.add("test.counter", 1);
    let before = process.count("test.counter");
    process.kill();
    let after = Process::start(data_dir).count("test.counter");
    assert_eq!(before, after);
    for file in common::sent(data_dir, common::PENDING) {
        assert!(file.body.is_object());
    }
});

/// Folds with one engine, then with another: the second one finds what the first one had, and has nothing to do.
///
/// `false` if a folder or file that a base names cannot be made.
fn fold_twice(data_dir: &Path) -> bool {
    let mut first = Engine::new(data_dir, "first");
    if first.fold(None, patience()).is_err() {
        return false;
    }
    first.ask_for_base();
    if first.fold(None, patience()).is_err() {
        return false;
    }
    let mut second = Engine::new(data_dir, "second");
    second.fold(None, patience()).unwrap();
    let all = |engine: &Engine| -> Vec<String> {
        let state = engine.state();
        let values = state.all().map(|(store, address, value)| format!("{store} {address:?} {value:?}"));
        values.chain([format!("{:?}", state.events)]).collect()
    };
    assert_eq!(all(&first), all(&second));
    let path = data_dir.join("db").join("base");
    let loaded = base::load(&path).unwrap();
    assert_eq!(loaded.damage, None, "what was written is intact");
    true
}

/// No fold of a fuzzed directory takes nearly as long.
fn patience() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Makes the checksums of a base fit, and what its heads say of their sizes.
fn repair_base(bytes: &mut [u8], has_halves: bool) {
    let capacity = if has_halves { bytes.len() / 2 } else { bytes.len() };
    for half in bytes.chunks_exact_mut(capacity.max(1)).filter(|half| half.len() > HALF_FRAMES + 8) {
        repair(half, HALF_FRAMES);
        // Generation and sequence stay; what is behind a length counts as well once the checksum doesn't fit.
        let length = HALF_FRAMES + half[40] as usize * 8 % (half.len() - HALF_FRAMES);
        let checksum = u64::from(crc32fast::hash(&half[HALF_FRAMES..length]));
        for (index, number) in [half.len() as u64, length as u64, checksum].into_iter().enumerate() {
            half[40 + index * 8..][..8].copy_from_slice(&number.to_le_bytes());
        }
        let header = frame::header(&half[24..HALF_FRAMES], 16, 0);
        half[16..24].copy_from_slice(&header.to_le_bytes());
    }
}

/// Makes the checksum of each frame fit what is in it, from the one at `offset` on.
fn repair(bytes: &mut [u8], mut offset: usize) {
    const COUNTS: u64 = 1 << 31;
    const COUNT_CODE: u64 = 65_521;
    /// The bit of a count that grows no more.
    const SEALED: u64 = 1 << 63;
    let mut previous = 0;
    while offset + 8 < bytes.len() {
        let header = frame::word_at(bytes, offset);
        let counts = header >> 32 & COUNTS != 0;
        let rest = bytes.len() - offset - 8;
        let length = ((header >> 32 & !COUNTS) as usize % 4096).clamp(1, rest);
        let payload = bytes[offset + 8..offset + 8 + length].to_vec();
        let place = offset + frame::size(length);
        let header = if counts && place + 8 <= bytes.len() {
            let count = frame::word_at(bytes, place) % SEALED / COUNT_CODE;
            bytes[place..place + 8].copy_from_slice(&(count.max(1) * COUNT_CODE).to_le_bytes());
            frame::counting_header(&payload, offset, previous)
        } else {
            frame::header(&payload, offset, previous)
        };
        bytes[offset..offset + 8].copy_from_slice(&header.to_le_bytes());
        let found = frame::find(&mut &bytes[..], offset, previous);
        assert!(found.size() > 0, "repaired just now");
        previous = found.count();
        offset += found.size();
    }
}

/// Writes recorded journals and bases to the folder that the variable names, if it does.
fn write_seeds() {
    let Ok(folder) = std::env::var("GLEAN_FUZZ_SEEDS") else { return };
    let directory = TempDir::new();
    let mut free = ping("free");
    free.follows_collection_enabled = false;
    free.send_if_empty = true;
    let mut process = Process::start_with(settings(directory.path()), vec![ping("custom"), free]);
    let write = |name: &str, flags: u8, file: &Path| {
        let bytes = fs::read(file).unwrap();
        // The second half begins in the middle.
        let is_whole = flags & HAS_HALVES != 0;
        let end =
            if is_whole { bytes.len() } else { bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1) };
        fs::write(Path::new(&folder).join(name), [&[flags], &bytes[..end]].concat()).unwrap();
    };
    for (index, kind) in
        [Kind::Counter, Kind::String, Kind::StringList, Kind::Object, Kind::Rate].into_iter().enumerate()
    {
        let metric = metric(&format!("test.metric_{index}"), kind, &["custom", "free", "metrics"], Lifetime::Ping);
        for recording in [
            Recording::CounterAdd(2),
            Recording::TextSet("text", false),
            Recording::StringListAdd("text", true),
            Recording::ObjectSet("[1,{}]"),
            Recording::DenominatorAdd(1),
        ] {
            process.record(&metric, &recording);
        }
    }
    let event = metric("test.event", Kind::Event(vec!["key".into()]), &["events", "custom"], Lifetime::Ping);
    let extra = [("key".to_owned(), "value".to_owned())].into();
    process.record(&event, &Recording::Event(EventRecording { timestamp: 5, unix_ms: 7, extra, cut: 0 }));
    let start = process.current_segment();
    write("recordings", 0, &start);
    process.engine.ask_for_base();
    process.fold();
    write("base", IS_BASE, &directory.path().join("db").join("base"));
    process.record(&counter("test.sum"), &Recording::CounterAdd(1));
    for _ in 0..3 {
        process.add("test.sum", 1);
        process.add("test.other", 1);
    }
    for op in [
        Op::SetPingEnabled("free", false),
        Op::SetExperimentActive("experiment", "branch", Default::default()),
        Op::ClientActive(Moment::now()),
        Op::SessionStart(Moment::now()),
        Op::ServerKnobs(Default::default()),
        Op::StoreSubmittedPings(true),
        Op::Submit { ping: "custom", reason: Some("first"), moment: Moment::now() },
        Op::ClientInactive(Moment::now(), Some(5)),
        Op::SetCollectionEnabled(false, Moment::now()),
        Op::End(true, None),
    ] {
        process.log.append(&op);
    }
    write("calls", 0, &start);
    write("calls of a living process", LIVES, &start);
    process.engine.ask_for_base();
    process.fold();
    write("base with effects", IS_BASE | HAS_HALVES, &directory.path().join("db").join("base"));
}
