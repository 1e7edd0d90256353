//! Damage: journals and bases cut anywhere and with flipped bits, and the traces of every kind of death.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::common::{PENDING, Process, TempDir, copy_folder, metric, sent, sum_sent};
use glean_core::Lifetime;
use glean_core::journal::frame::{self, Found};
use glean_core::journal::segment::FRAMES;
use glean_core::metrics::{Kind, Recording};
use glean_core::store::base::{self, Effect, Header};

/// Every position is tried where the files are in memory; a disk, and Wine above it, gets a sample.
const STEP: usize = if cfg!(target_os = "linux") { 1 } else { 29 };
/// How many counters [`Recorded`] has.
const CALLS: usize = 12;

/// A directory that a process died in: its base has values and a client id, its segment has calls that nobody folded.
struct Recorded {
    directory: TempDir,
    /// The segment.
    log: PathBuf,
    client_id: String,
    /// Where the frame of each call ends.
    ends: Vec<usize>,
}

fn call_name(index: usize) -> String {
    format!("test.call_{index:02}")
}

impl Recorded {
    fn new() -> Recorded {
        let directory = TempDir::new();
        let mut first = Process::start(directory.path());
        first.add("test.based", 7);
        first.record(
            &metric("test.text", Kind::String, &["custom"], Lifetime::User),
            &Recording::TextSet("kept", false),
        );
        first.engine.ask_for_base();
        let client_id = first.client_id();
        first.end();
        let mut second = Process::start(directory.path());
        let log = second.current_segment();
        let mut ends = Vec::new();
        for index in 0..CALLS {
            second.add(&call_name(index), 1);
            second.add("test.total", 1);
            ends.push(used(&log));
        }
        second.kill();
        Recorded { directory, log, client_id, ends }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Puts a damaged file into a copy of the directory, and starts a process there.
    fn open_with(&self, file: &Path, bytes: &[u8]) -> (TempDir, Process) {
        let copy = TempDir::new();
        copy_folder(self.path(), copy.path());
        fs::write(copy.path().join("db").join(file.file_name().unwrap()), bytes).unwrap();
        let mut process = Process::start(copy.path());
        process.fold();
        (copy, process)
    }

    /// How many of the calls are there; they have to be the first ones.
    #[track_caller]
    fn prefix(&self, process: &mut Process, what: &str) -> usize {
        process.fold();
        let there: Vec<bool> = (0..CALLS).map(|index| process.counted(&call_name(index)) == 1).collect();
        let length = there.iter().take_while(|is_there| **is_there).count();
        assert!(there[length..].iter().all(|is_there| !is_there), "{what}: {there:?} is no prefix");
        let total = process.counted("test.total") as usize;
        assert!(total == length || total + 1 == length, "{what}: {total} of {length}");
        assert_eq!(process.counted("test.based"), 7, "{what}");
        length
    }
}

/// Returns where the last intact frame of a segment ends.
fn used(log: &Path) -> usize {
    *boundaries(&fs::read(log).unwrap()).last().unwrap()
}

/// Returns where the frames of a segment begin, and where the last one ends.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    frames(bytes).map(|(place, _)| place).collect()
}

/// Returns the frames of a segment with their places; what is behind the last one comes last.
fn frames(bytes: &[u8]) -> impl Iterator<Item = (usize, Found)> + use<'_> {
    let mut next = Some((FRAMES, 0));
    std::iter::from_fn(move || {
        let (place, previous) = next?;
        let mut source = bytes;
        let found = frame::find(&mut source, place, previous);
        next = (found.size() > 0).then(|| (place + found.size(), found.count()));
        Some((place, found))
    })
}

#[test]
fn a_journal_cut_anywhere_gives_the_calls_before_the_cut() {
    let recorded = Recorded::new();
    let whole = fs::read(&recorded.log).unwrap();
    let boundaries = boundaries(&whole);
    let used = *boundaries.last().unwrap();
    for length in (0..=used).step_by(STEP).chain([used, used + 1, used + 8, whole.len() - 1]) {
        let (_copy, mut process) = recorded.open_with(&recorded.log, &whole[..length]);
        let what = format!("cut to {length} of {used}");
        let found = recorded.prefix(&mut process, &what);
        let last_begin = boundaries.iter().rev().find(|begin| **begin <= length).copied().unwrap_or(0);
        // The padding behind a payload is no loss.
        let complete = recorded.ends.iter().filter(|end| **end <= length.next_multiple_of(8)).count();
        // A call is two frames: its counter and the total.
        assert!(found == complete || found == complete + 1, "{what}: {found} of {complete}");
        assert_eq!(process.client_id(), recorded.client_id, "{what}");
        let is_torn = length < used && length > last_begin && !is_in_padding(&whole, length);
        assert_eq!(process.load_error().is_some(), is_torn, "{what}: {:?}", process.load_error());
        // What comes next is kept.
        process.add("test.next", 3);
        process.kill();
        assert_eq!(Process::start(_copy.path()).count("test.next"), 3, "{what}");
    }
}

fn is_in_padding(bytes: &[u8], length: usize) -> bool {
    // The last word in front of the frames is zero as long as no base has any of them.
    (FRAMES - 7..FRAMES).contains(&length)
        || frames(bytes).any(|(place, found)| match found {
            Found::Payload(length_of_payload) => {
                (place + 8 + length_of_payload..place + found.size()).contains(&length)
            }
            _ => false,
        })
}

#[test]
fn a_flipped_bit_in_a_journal_costs_the_calls_from_there_on_and_is_told() {
    let recorded = Recorded::new();
    let whole = fs::read(&recorded.log).unwrap();
    let used = used(&recorded.log);
    let bits = (0..used * 8).step_by(if STEP == 1 { 5 } else { 97 });
    for bit in bits {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let (_copy, mut process) = recorded.open_with(&recorded.log, &damaged);
        let what = format!("bit {} of byte {}", bit % 8, bit / 8);
        let found = recorded.prefix(&mut process, &what);
        let before = recorded.ends.iter().filter(|end| **end <= bit / 8).count();
        assert!(found >= before, "{what}: {found} of {before}");
        assert_eq!(process.client_id(), recorded.client_id, "{what}");
        if found < CALLS || process.count("test.total") < CALLS as i64 {
            let error = process.load_error().unwrap_or_else(|| panic!("{what}: not told"));
            assert!(error.contains("journal"), "{what}: {error}");
        }
    }
}

#[test]
fn bits_flipped_behind_the_end_of_a_journal_cost_nothing() {
    let recorded = Recorded::new();
    let whole = fs::read(&recorded.log).unwrap();
    let used = used(&recorded.log);
    for byte in (used..whole.len()).step_by(if STEP == 1 { 509 } else { 7919 }) {
        let mut damaged = whole.clone();
        damaged[byte] ^= 0x10;
        let (_copy, mut process) = recorded.open_with(&recorded.log, &damaged);
        assert_eq!(recorded.prefix(&mut process, &format!("byte {byte}")), CALLS);
        assert_eq!(process.client_id(), recorded.client_id);
    }
}

#[test]
fn a_process_killed_in_the_middle_of_a_call_leaves_all_calls_before_it_and_no_damage() {
    let recorded = Recorded::new();
    let whole = fs::read(&recorded.log).unwrap();
    let boundaries = boundaries(&whole);
    for frame in boundaries.windows(2) {
        let (begin, end) = (frame[0], frame[1]);
        // The payload is written first, the header last and in one step.
        for written in [0, (end - begin) / 2, end - begin - 8] {
            let mut killed = whole.clone();
            killed[begin..begin + 8].fill(0);
            killed[begin + 8 + written.min(end - begin - 8)..].fill(0);
            let (_copy, mut process) = recorded.open_with(&recorded.log, &killed);
            let what = format!("killed in the frame at {begin} after {written} bytes");
            let found = recorded.prefix(&mut process, &what);
            let complete = recorded.ends.iter().filter(|end| **end <= begin).count();
            assert!(found == complete || found == complete + 1, "{what}: {found} of {complete}");
            assert_eq!(process.load_error(), None, "{what}");
        }
    }
}

#[test]
fn a_process_killed_before_its_first_call_leaves_no_damage() {
    let recorded = Recorded::new();
    let header = [&b"GLEANL04"[..], &[0; FRAMES - 8]].concat();
    for bytes in [&b""[..], &[0; 4096], &[0; 32 << 10], &header, &[&header[..], &[0; 8]].concat()] {
        let (_copy, mut process) = recorded.open_with(&recorded.log, bytes);
        assert_eq!(process.load_error(), None, "{} bytes", bytes.len());
        assert_eq!(process.client_id(), recorded.client_id);
    }
}

#[test]
fn files_that_are_no_journal_are_given_up_and_told() {
    let recorded = Recorded::new();
    for bytes in [
        &b"not a journal at all"[..],
        &[0xff; 5000],
        b"GLEANB04aaaaaaaabbbbbbbb",
        b"GLEANL04\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let (copy, mut process) = recorded.open_with(&recorded.log, bytes);
        assert!(process.load_error().is_some(), "{bytes:?}");
        assert_eq!(process.count("test.based"), 7);
        assert!(!copy.path().join("db").join(recorded.log.file_name().unwrap()).exists(), "it would be told again");
    }
}

/// A directory whose base was saved in the middle of a segment, which goes on behind it.
fn half_folded() -> (TempDir, String) {
    folded_up_to(&[CALLS / 2])
}

/// A directory whose base was saved before these calls: the more often, the more often its halves took turns.
fn folded_up_to(saves: &[usize]) -> (TempDir, String) {
    let directory = TempDir::new();
    let mut process = Process::start(directory.path());
    process.record(&metric("test.text", Kind::String, &["custom"], Lifetime::User), &Recording::TextSet("kept", false));
    for index in 0..CALLS {
        if saves.contains(&index) {
            process.engine.ask_for_base();
            process.fold();
        }
        process.add(&call_name(index), 1);
        process.add("test.total", 1);
    }
    let client_id = fs::read_to_string(directory.path().join("client_id.txt")).unwrap();
    process.kill();
    (directory, client_id)
}

/// Opens a copy of the directory with this base, and checks that nothing is doubled, and that a loss is told.
fn open_with_base(directory: &TempDir, client_id: &str, base: &[u8], what: &str) {
    let copy = TempDir::new();
    copy_folder(directory.path(), copy.path());
    fs::write(copy.path().join("db").join("base"), base).unwrap();
    let mut process = Process::start(copy.path());
    process.fold();
    let counts: Vec<i64> = (0..CALLS).map(|index| process.counted(&call_name(index))).collect();
    assert!(counts.iter().all(|count| (0..=1).contains(count)), "{what}: {counts:?}");
    let total = process.counted("test.total");
    assert!((0..=CALLS as i64).contains(&total), "{what}: {total}");
    let text = process.value("custom", Lifetime::User, "test.text");
    assert!(text.as_ref().is_none_or(|text| text == "kept"), "{what}: {text:?}");
    assert_eq!(process.client_id(), client_id, "{what}");
    if counts.contains(&0) || total < CALLS as i64 || text.is_none() {
        assert!(process.load_error().is_some(), "{what}: {counts:?} {total} {text:?}");
    }
    // What comes next is kept, and the damage isn't told again.
    process.add("test.next", 3);
    process.fold();
    process.kill();
    let mut next = Process::start(copy.path());
    assert_eq!(next.count("test.next"), 3, "{what}");
    assert_eq!(next.count("test.total"), total, "{what}");
    assert_eq!(next.client_id(), client_id, "{what}");
}

/// The first base is alone in its file, the second one lies in the second half, and the third one in the first.
const SAVES: [&[usize]; 3] = [&[CALLS / 2], &[CALLS / 4, CALLS / 2], &[CALLS / 4, CALLS / 2, CALLS * 3 / 4]];

#[test]
fn a_save_that_stops_anywhere_is_as_if_it_had_not_begun_or_as_if_it_had_ended() {
    for saves in SAVES {
        let (directory, client_id) = folded_up_to(saves);
        let path = directory.path().join("db").join("base");
        let before = fs::read(&path).unwrap();
        let after = {
            let copy = TempDir::new();
            copy_folder(directory.path(), copy.path());
            let mut process = Process::start(copy.path());
            process.add("test.later", 1);
            process.engine.ask_for_base();
            process.fold();
            fs::read(copy.path().join("db").join("base")).unwrap()
        };
        let capacity = after.len() / 2;
        assert_eq!(before.len(), after.len(), "no other file");
        let half = if saves.len() % 2 == 1 { capacity } else { 0 };
        let mut begun = after[half..half + capacity].to_vec();
        begun[8..16].copy_from_slice(&base::mark::BEGUN);
        let used = capacity - begun.iter().rev().take_while(|byte| **byte == 0).count();
        // A process that dies wrote a beginning; after a power cut any of the pages may be the old one.
        let block = 64 * STEP;
        for stop in (0..=used).step_by(block) {
            // One that failed may have been marked by who went on with the older half.
            let marks = [base::mark::BEGUN, base::mark::OUTDATED];
            for (is_reversed, mark) in [(false, marks[0]), (true, marks[0]), (false, marks[1])] {
                let mut begun = begun.clone();
                begun[8..16].copy_from_slice(&mark);
                let mut torn = before.clone();
                torn.resize(after.len(), 0);
                let written = if is_reversed { stop..capacity } else { 0..stop };
                torn[half + written.start..half + written.end].copy_from_slice(&begun[written.clone()]);
                let what = format!("{} saves, {written:?} of {used} bytes written, {mark:?}", saves.len());
                if mark == base::mark::OUTDATED && (stop < 16 || stop >= used) {
                    // There was no mark yet, or nobody could go on with the older one.
                    continue;
                }
                let copy = TempDir::new();
                copy_folder(directory.path(), copy.path());
                fs::write(copy.path().join("db").join("base"), &torn).unwrap();
                let mut process = Process::start(copy.path());
                if written.start == 0 && written.end >= used {
                    // This one counts; it is of a process that isn't here.
                    assert_eq!(process.count("test.later"), 1, "{what}");
                    continue;
                }
                assert_eq!(process.count("test.total"), CALLS as i64, "{what}");
                assert_eq!(process.count("test.later"), 0, "{what}");
                assert_eq!(process.client_id(), client_id, "{what}");
                assert_eq!(process.load_error(), None, "{what}");
                process.engine.ask_for_base();
                process.fold();
                process.kill();
                assert_eq!(Process::start(copy.path()).count("test.total"), CALLS as i64, "{what}");
            }
        }
    }
}

#[test]
fn a_base_cut_anywhere_doubles_nothing_and_keeps_the_client_id() {
    for saves in SAVES {
        let (directory, client_id) = folded_up_to(saves);
        let whole = fs::read(directory.path().join("db").join("base")).unwrap();
        for length in (1..whole.len()).step_by(37 * STEP) {
            let what = format!("cut to {length} of {} after {} saves", whole.len(), saves.len());
            open_with_base(&directory, &client_id, &whole[..length], &what);
        }
    }
}

#[test]
fn a_flipped_bit_in_a_base_doubles_nothing_and_keeps_the_client_id() {
    for saves in SAVES {
        let (directory, client_id) = folded_up_to(saves);
        let whole = fs::read(directory.path().join("db").join("base")).unwrap();
        // All of a head, and a part of what is behind it.
        let heads = (0..64 * 8).chain(whole.len() * 4..whole.len() * 4 + 64 * 8).step_by(STEP * 3);
        for bit in heads.chain((0..whole.len() * 8).step_by(if STEP == 1 { 131 } else { 1999 })) {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let what = format!("bit {} of byte {} after {} saves", bit % 8, bit / 8, saves.len());
            open_with_base(&directory, &client_id, &damaged, &what);
        }
    }
}

#[test]
fn damage_to_the_newer_half_does_not_bring_back_what_was_sent() {
    let directory = TempDir::new();
    let mut process = Process::start(directory.path());
    process.add("test.counter", 4);
    process.engine.ask_for_base();
    process.fold();
    process.submit("custom", None);
    process.fold();
    process.kill();
    let whole = fs::read(directory.path().join("db").join("base")).unwrap();
    let newer = whole.len() / 2;
    let flipped = |bit: usize| {
        let mut damaged = whole.clone();
        damaged[newer + bit / 8] ^= 1 << (bit % 8);
        damaged
    };
    let mut bases: Vec<Vec<u8>> = (0..64 * 8).step_by(STEP).map(flipped).collect();
    bases.extend([0, 8, 64, 100].map(|length| whole[..newer + length].to_vec()));
    for (index, base) in bases.iter().enumerate() {
        let copy = TempDir::new();
        copy_folder(directory.path(), copy.path());
        fs::write(copy.path().join("db").join("base"), base).unwrap();
        let mut process = Process::start(copy.path());
        process.fold();
        assert_eq!(sent(copy.path(), PENDING).len(), 1, "damage {index}");
        assert_eq!(process.counted("test.counter"), 0, "damage {index}");
    }
}

#[test]
fn a_base_that_is_none_at_all_doubles_nothing_and_keeps_the_client_id() {
    let (directory, client_id) = half_folded();
    for bytes in [&b"\0"[..], b"not a base", b"GLEANB02", &[0; 4096], &[0xff; 100], b"GLEANL04GLEANL04GLEANL04GLEANL04"]
    {
        open_with_base(&directory, &client_id, bytes, &format!("{} bytes", bytes.len()));
    }
}

#[test]
fn without_its_file_the_client_id_is_that_of_the_base() {
    let (directory, client_id) = half_folded();
    fs::remove_file(directory.path().join("client_id.txt")).unwrap();
    let mut process = Process::start(directory.path());
    assert_eq!(process.client_id(), client_id);
    process.engine.ask_for_base();
    process.fold();
    assert_eq!(fs::read_to_string(directory.path().join("client_id.txt")).unwrap(), client_id);
}

#[test]
fn a_base_of_an_interrupted_save_is_ignored() {
    let (directory, client_id) = half_folded();
    fs::write(directory.path().join("db").join("base.new"), b"half a base").unwrap();
    let mut process = Process::start(directory.path());
    assert_eq!(process.count("test.total"), CALLS as i64);
    assert_eq!(process.client_id(), client_id);
    assert_eq!(process.load_error(), None);
}

#[test]
fn a_segment_that_outlived_its_base_is_not_counted_again() {
    let directory = TempDir::new();
    let mut first = Process::start(directory.path());
    let log = first.current_segment();
    first.add("test.counter", 5);
    first.kill();
    let bytes = fs::read(&log).unwrap();
    let mut second = Process::start(directory.path());
    assert_eq!(second.count("test.counter"), 5);
    assert!(!log.exists());
    second.kill();
    // As if that one had died after it saved the base and before it removed the segment.
    fs::write(&log, bytes).unwrap();
    let mut third = Process::start(directory.path());
    assert_eq!(third.count("test.counter"), 5);
    assert!(!log.exists());
}

#[test]
fn an_added_up_count_is_there_whole() {
    let directory = TempDir::new();
    let mut process = Process::start(directory.path());
    let log = process.current_segment();
    process.add("test.counter", 1);
    let before = used(&log);
    for _ in 0..10_000 {
        process.add("test.counter", 1);
    }
    assert_eq!(used(&log), before + 24, "adding to the same counter makes no frames");
    assert_eq!(process.count("test.counter"), 10_001);
    process.add("test.counter", i32::MAX);
    process.kill();
    let mut next = Process::start(directory.path());
    assert_eq!(next.count("test.counter"), i64::from(i32::MAX));
}

#[test]
fn an_older_count_with_younger_calls_behind_it_is_told() {
    let directory = TempDir::new();
    let mut process = Process::start(directory.path());
    let log = process.current_segment();
    process.add("test.counter", 2);
    process.add("test.other", 1);
    process.add("test.counter", 2);
    let older = fs::read(&log).unwrap();
    process.add("test.counter", 5);
    process.add("test.other", 1);
    process.record(&metric("test.text", Kind::String, &["custom"], Lifetime::User), &Recording::TextSet("new", false));
    process.kill();
    let mut bytes = fs::read(&log).unwrap();
    // As after a power cut: the younger page is on the disk, the older one is as it was.
    let changed = older.iter().zip(&bytes).position(|(old, new)| old != new).unwrap();
    bytes[changed & !7..][..8].copy_from_slice(&older[changed & !7..][..8]);
    fs::write(&log, &bytes).unwrap();
    let mut next = Process::start(directory.path());
    assert_eq!(next.count("test.counter"), 4);
    assert_eq!(next.counted("test.other"), 1, "what came later is given up");
    assert_eq!(next.stored("custom", Lifetime::User, "test.text"), None);
    assert!(next.load_error().is_some());
}

#[test]
fn lost_pages_are_told_whatever_is_behind_them() {
    let directory = TempDir::new();
    let mut process = Process::start(directory.path());
    let log = process.current_segment();
    for _ in 0..5 {
        process.add("test.one", 1);
        process.add("test.two", 1);
    }
    process.kill();
    let whole = fs::read(&log).unwrap();
    let boundaries = boundaries(&whole);
    // At least two frames behind each hole: nobody can read the first one, whose checksum knows the count in the hole.
    for hole in boundaries.windows(2).take(boundaries.len() - 3) {
        let mut lost = whole.clone();
        lost[hole[0]..hole[1]].fill(0);
        let copy = TempDir::new();
        copy_folder(directory.path(), copy.path());
        fs::write(copy.path().join("db").join(log.file_name().unwrap()), lost).unwrap();
        let mut process = Process::start(copy.path());
        process.fold();
        let what = format!("zeros from {} to {} of {}", hole[0], hole[1], boundaries.last().unwrap());
        assert!(process.load_error().is_some(), "{what}");
        let (one, two) = (process.counted("test.one"), process.counted("test.two"));
        assert!(one == two || one == two + 1, "{what}: {one}, {two}");
    }
}

#[test]
fn damage_is_told_although_the_clock_went_back() {
    let recorded = Recorded::new();
    let whole = fs::read(&recorded.log).unwrap();
    let copy = TempDir::new();
    copy_folder(recorded.path(), copy.path());
    let db = copy.path().join("db");
    fs::remove_file(db.join(recorded.log.file_name().unwrap())).unwrap();
    // The name of a process begins with the time of its start.
    fs::write(db.join("ffffffffffff-1-later.00000000.log"), &whole[..used(&recorded.log) - 3]).unwrap();
    let mut process = Process::start(copy.path());
    recorded.prefix(&mut process, "a process from the future");
    process.end();
    let mut next = Process::start(copy.path());
    assert!(next.load_error().is_some());
}

#[test]
fn a_base_of_somebody_else_leads_no_file_out_of_the_directory_and_stops_nothing() {
    let around = TempDir::new();
    let data_dir = around.path().join("data");
    let mut process = Process::start(&data_dir);
    process.add("test.counter", 1);
    process.engine.ask_for_base();
    process.end();
    let id = "01234567-89ab-cdef-0123-456789abcdef";
    let effects: Vec<Effect> =
        [(id, "../out"), (id, "pending_pings\0"), (id, ""), ("../../out", PENDING), ("\0", PENDING)]
            .into_iter()
            .map(|(document_id, folder)| Effect::Publish {
                document_id: document_id.into(),
                folder: folder.into(),
                content: "content".into(),
            })
            .collect();
    let path = data_dir.join("db").join("base");
    let loaded = base::load(&path).unwrap();
    let header = Header { generation: 7, effects, ..loaded.header };
    fs::write(&path, base::to_bytes(&header, &loaded.state)).unwrap();
    fs::create_dir_all(data_dir.join("tmp")).unwrap();
    fs::write(data_dir.join("tmp").join(id), "a file").unwrap();
    let mut next = Process::start(&data_dir);
    assert_eq!(next.count("test.counter"), 1);
    next.submit("custom", None);
    next.fold();
    assert_eq!(sent(&data_dir, PENDING).len(), 1);
    assert_eq!(fs::read_dir(around.path()).unwrap().count(), 1);
}

/// Removes the base and nothing else, as a tidy-up does, or Windows where the journals are open.
fn remove_base(directory: &TempDir) {
    fs::remove_file(directory.path().join("db").join("base")).unwrap();
}

/// Removes the base, or leaves nothing in it.
fn lose_base(directory: &TempDir, is_removed: bool) {
    if is_removed {
        remove_base(directory);
    } else {
        fs::write(directory.path().join("db").join("base"), "").unwrap();
    }
}

#[test]
fn what_was_sent_is_not_sent_again_without_the_base() {
    let directory = TempDir::new();
    let mut process = Process::start(directory.path());
    process.add("test.total", 5);
    process.submit("custom", None);
    process.fold();
    process.add("test.total", 3);
    process.kill();
    remove_base(&directory);
    let mut next = Process::start(directory.path());
    assert_eq!(next.count("test.total"), 3);
    next.submit("custom", None);
    next.fold();
    assert_eq!(sum_sent(directory.path(), "custom", "test.total"), 8);
}

#[test]
fn a_living_process_whose_calls_another_one_sent_goes_on_behind_them_without_the_base() {
    for is_folded_by_its_writer in [true, false] {
        let directory = TempDir::new();
        let mut writer = Process::start(directory.path());
        writer.add("test.total", 5);
        let mut other = Process::start(directory.path());
        other.submit("custom", None);
        other.fold();
        writer.add("test.total", 3);
        remove_base(&directory);
        let mut next = Process::start(directory.path());
        if is_folded_by_its_writer {
            writer.fold();
        }
        assert_eq!(next.count("test.total"), 3);
        writer.add("test.total", 2);
        next.submit("custom", None);
        next.fold();
        assert_eq!(sum_sent(directory.path(), "custom", "test.total"), 10);
    }
}

#[test]
fn memory_that_is_not_the_newest_brings_nothing_back_without_the_base() {
    for is_removed in [true, false] {
        let directory = TempDir::new();
        let mut writer = Process::start(directory.path());
        writer.fold();
        writer.add("test.total", 5);
        let mut other = Process::start(directory.path());
        other.add("test.total", 1);
        other.submit("custom", None);
        other.fold();
        lose_base(&directory, is_removed);
        for (process, amount, total) in [(&mut writer, 2, 8), (&mut other, 4, 12)] {
            process.fold();
            process.add("test.total", amount);
            process.submit("custom", None);
            process.fold();
            let sum = sum_sent(directory.path(), "custom", "test.total");
            assert_eq!(sum, total, "removed: {is_removed}");
        }
    }
}

#[test]
fn memory_that_is_the_newest_is_kept_without_the_base() {
    let directory = TempDir::new();
    let mut process = Process::start(directory.path());
    process.add("test.total", 5);
    process.engine.ask_for_base();
    process.fold();
    for is_removed in [true, false] {
        lose_base(&directory, is_removed);
        assert_eq!(process.count("test.total"), 5);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_journal_that_cannot_be_read_now_is_read_later() {
    let recorded = Recorded::new();
    let whole = fs::read(&recorded.log).unwrap();
    let copy = TempDir::new();
    copy_folder(recorded.path(), copy.path());
    let log = copy.path().join("db").join(recorded.log.file_name().unwrap());
    fs::remove_file(&log).unwrap();
    // It can be opened, and its first page cannot be read.
    std::os::unix::fs::symlink("/proc/self/mem", &log).unwrap();
    let mut process = Process::start(copy.path());
    process.add("test.next", 1);
    assert_eq!(process.count("test.next"), 1, "others are read");
    fs::remove_file(&log).unwrap();
    fs::write(&log, &whole).unwrap();
    assert_eq!(recorded.prefix(&mut process, "read later"), CALLS);
    assert_eq!(process.load_error(), None);
}

#[test]
fn what_was_folded_is_not_read_again_also_when_a_file_is_made_in_advance() {
    for is_own in [true, false] {
        let directory = TempDir::new();
        let mut process = Process::start(directory.path());
        let mut other = (!is_own).then(|| Process::start(directory.path()));
        let mut count = |process: &mut Process, identifier: &str| other.as_mut().unwrap_or(process).count(identifier);
        let is_next = |file: &Path, process: &Process| {
            file.to_str().unwrap().contains(&process.name)
                && file.extension().is_some_and(|ending| ending == "log")
                && *file > *process.current_segment()
        };
        let files = || fs::read_dir(directory.path().join("db")).unwrap().map(|entry| entry.unwrap().path());
        let mut calls = 0;
        while !files().any(|file| is_next(&file, &process)) {
            process.add(&format!("test.number_{calls}"), 1);
            calls += 1;
        }
        for _ in 0..2 {
            assert_eq!(count(&mut process, "test.number_0"), 1);
        }
        // Nobody who goes on behind it sees that it was damaged.
        let mut file = OpenOptions::new().write(true).open(process.current_segment()).unwrap();
        file.seek(SeekFrom::Start(64)).unwrap();
        file.write_all(&[0xff; 1024]).unwrap();
        process.add("test.late", 1);
        for _ in 0..2 {
            assert_eq!(count(&mut process, "test.late"), 1, "own: {is_own}");
        }
    }
}

#[test]
fn a_segment_that_says_what_no_program_wrote_is_given_up_and_told() {
    let recorded = Recorded::new();
    let mut bytes = fs::read(&recorded.log).unwrap();
    bytes[FRAMES - 3] = 1;
    let (_copy, mut process) = recorded.open_with(&recorded.log, &bytes);
    assert_eq!(process.count("test.total"), 0);
    assert!(process.load_error().is_some());
}

#[test]
fn a_process_that_was_taken_for_dead_counts_nothing_again_where_its_file_is_gone_and_forgotten() {
    let directory = TempDir::new();
    let mut writer = Process::start(directory.path());
    writer.add("test.total", 5);
    writer.life = None;
    fs::remove_file(writer.directory.process_lock(&writer.name)).unwrap();
    let mut other = Process::start(directory.path());
    other.fold();
    // The smallest base knows no files that are gone.
    other.rest();
    writer.fold();
    assert_eq!(other.count("test.total"), 5);
    writer.add("test.total", 3);
    assert_eq!(writer.count("test.total"), 8);
    other.submit("custom", None);
    other.fold();
    assert_eq!(sum_sent(directory.path(), "custom", "test.total"), 8);
}
