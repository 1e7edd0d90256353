//! Several processes in one data directory: whoever folds and submits, nothing is lost and nothing counted twice.

use std::fs;
use std::path::Path;

use crate::common::{Dice, PENDING, Process, TempDir, copy_folder, counter, metric, ping, sent, settings, sum_sent};
use glean_core::Lifetime;
use glean_core::journal::log::Appended;
use glean_core::machine::op::{Op, ServerKnobs};
use glean_core::metrics::{Kind, Recording};
use glean_core::process::Calls;
use glean_core::store::base;

/// More than the first segment takes, in frames that are not added up.
const SEGMENT_OF_CALLS: usize = 1500;

fn logs(data_dir: &Path) -> usize {
    let names = fs::read_dir(data_dir.join("db")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().ends_with(".log")).count()
}

fn locks(data_dir: &Path) -> Vec<String> {
    let names = fs::read_dir(data_dir.join("db")).unwrap().map(|entry| entry.unwrap().file_name());
    names
        .map(|name| name.into_string().unwrap())
        .filter(|name| name.ends_with(".lock") && name != "glean.lock")
        .collect()
}

/// Adds to two counters in turn, so that each call is a frame.
fn add_alternately(process: &mut Process, calls: usize) {
    for index in 0..calls {
        assert_ne!(process.add(if index % 2 == 0 { "test.even" } else { "test.odd" }, 1), Appended::No);
    }
}

fn sum(process: &mut Process) -> i64 {
    process.count("test.even") + process.count("test.odd")
}

#[test]
fn a_journal_of_several_segments_is_folded_and_its_files_are_removed() {
    let directory = TempDir::new();
    let mut process = Process::start(directory.path());
    add_alternately(&mut process, 20_000);
    let segments = logs(directory.path());
    assert!(segments >= 4, "{segments} segments");
    assert_eq!(sum(&mut process), 20_000);
    assert!(logs(directory.path()) <= 2, "only the one that is written stays, and perhaps the next one");
    process.kill();
    assert_eq!(sum(&mut Process::start(directory.path())), 20_000);
}

#[test]
fn several_segments_of_a_dead_process_are_folded_once_and_removed_with_its_lock() {
    let directory = TempDir::new();
    for _ in 0..3 {
        let mut process = Process::start(directory.path());
        add_alternately(&mut process, 2 * SEGMENT_OF_CALLS);
        process.kill();
    }
    assert!(logs(directory.path()) >= 6, "{}", logs(directory.path()));
    let mut last = Process::start(directory.path());
    assert_eq!(sum(&mut last), 6 * SEGMENT_OF_CALLS as i64);
    assert_eq!(logs(directory.path()), 1);
    assert_eq!(locks(directory.path()), [format!("{}.lock", last.name)]);
    assert_eq!(sum(&mut last), 6 * SEGMENT_OF_CALLS as i64);
}

#[test]
fn a_living_process_is_folded_by_another_and_keeps_its_segments() {
    let directory = TempDir::new();
    let mut recorder = Process::start(directory.path());
    let mut folder = Process::start(directory.path());
    let mut expected = 0;
    for round in 0..4 {
        add_alternately(&mut recorder, 700);
        expected += 700;
        assert_eq!(sum(&mut folder), expected, "round {round}");
        folder.engine.ask_for_base();
        folder.fold();
    }
    assert_eq!(sum(&mut recorder), expected);
    assert_eq!(logs(directory.path()), 2);
}

#[test]
fn segments_that_another_process_folded_are_no_backlog() {
    let directory = TempDir::new();
    let mut recorder = Process::start(directory.path());
    let mut folder = Process::start(directory.path());
    add_alternately(&mut recorder, 6 * SEGMENT_OF_CALLS);
    assert!(recorder.log.backlog_count() > 0);
    folder.fold();
    recorder.fold();
    assert_eq!(recorder.log.backlog_count(), 0);
}

#[test]
fn a_process_that_ended_leaves_nothing_in_the_memory_of_another() {
    let directory = TempDir::new();
    let mut folder = Process::start(directory.path());
    let mut recorder = Process::start(directory.path());
    recorder.add("test.counter", 1);
    let name = recorder.name.clone();
    folder.fold();
    assert!(format!("{:?}", folder.engine).contains(&name));
    recorder.rest();
    recorder.end();
    folder.rest();
    // The first one removed the file, so only the second base forgets it.
    folder.rest();
    assert!(!format!("{:?}", folder.engine).contains(&name));
    assert_eq!(folder.counted("test.counter"), 1);
}

#[test]
fn no_two_segments_have_the_same_number() {
    let directory = TempDir::new();
    let mut process = Process::start(directory.path());
    let mut names = std::collections::BTreeSet::new();
    for thirds in 1..=12 {
        add_alternately(&mut process, thirds * SEGMENT_OF_CALLS / 3);
        process.log.rest();
        // As if the files of these were removed only after the next one is made.
        let left = process.log.take_left();
        names.extend(left.unused.iter().map(|segment| segment.name().to_owned()));
        add_alternately(&mut process, 1);
        assert!(!names.contains(process.log.current().unwrap().name()));
    }
    assert!(!names.is_empty(), "some were made in advance");
}

#[test]
fn a_count_that_grows_is_folded_as_it_grows() {
    let directory = TempDir::new();
    let mut recorder = Process::start(directory.path());
    let mut folder = Process::start(directory.path());
    for round in 1..=20 {
        recorder.add("test.counter", 3);
        match round % 4 {
            0 => assert_eq!(folder.count("test.counter"), 3 * round),
            1 => assert_eq!(recorder.count("test.counter"), 3 * round),
            2 => folder.engine.ask_for_base(),
            _ => recorder.engine.ask_for_base(),
        }
    }
    recorder.kill();
    assert_eq!(folder.count("test.counter"), 60);
    folder.kill();
    assert_eq!(Process::start(directory.path()).count("test.counter"), 60);
}

/// What processes do at random, and the count of it.
struct Crowd {
    // Dropped first: Windows removes no file that somebody has open.
    processes: Vec<Process>,
    directory: TempDir,
    recorded: [i64; 2],
}

const NAMES: [&str; 2] = ["test.even", "test.odd"];

impl Crowd {
    fn new() -> Crowd {
        let directory = TempDir::new();
        let processes = (0..3).map(|_| Process::start(directory.path())).collect();
        Crowd { directory, processes, recorded: [0; 2] }
    }

    fn act(&mut self, dice: &mut Dice) {
        let index = dice.roll(self.processes.len() as u64) as usize;
        let process = &mut self.processes[index];
        match dice.roll(20) {
            0..=9 => {
                for _ in 0..=dice.roll(60) {
                    let which = dice.roll(2) as usize;
                    let amount = 1 + dice.roll(3);
                    assert_ne!(process.add(NAMES[which], amount as i32), Appended::No);
                    self.recorded[which] += amount as i64;
                }
            }
            10 => {
                add_alternately(process, SEGMENT_OF_CALLS);
                self.recorded.iter_mut().for_each(|recorded| *recorded += SEGMENT_OF_CALLS as i64 / 2);
            }
            11..=13 => process.fold(),
            14 => {
                process.engine.ask_for_base();
                process.fold();
            }
            15 => process.submit("custom", None),
            16 | 17 => {
                process.submit("custom", None);
                process.fold();
            }
            18 => {
                self.processes.remove(index).kill();
                self.processes.push(Process::start(self.directory.path()));
            }
            _ => {
                self.processes.remove(index).end();
                self.processes.push(Process::start(self.directory.path()));
            }
        }
    }

    fn check(&mut self, what: &str) {
        self.processes.iter_mut().for_each(Process::fold);
        let last = self.processes.last_mut().unwrap();
        last.fold();
        for (name, recorded) in NAMES.iter().zip(self.recorded) {
            let found = sum_sent(self.directory.path(), "custom", name) + last.counted(name);
            assert_eq!(found, recorded, "{what}: {name}");
        }
    }
}

#[test]
fn whoever_folds_submits_dies_or_ends_every_call_is_counted_once() {
    for seed in 0..6 {
        let mut crowd = Crowd::new();
        let mut dice = Dice(seed);
        for step in 0..150 {
            crowd.act(&mut dice);
            if step % 50 == 49 {
                crowd.check(&format!("seed {seed}, step {step}"));
            }
        }
        crowd.processes.drain(..).for_each(Process::kill);
        crowd.processes.push(Process::start(crowd.directory.path()));
        crowd.check(&format!("seed {seed}, at the end"));
        assert_eq!(logs(crowd.directory.path()), 1, "seed {seed}");
        // Sequence numbers have no gap and no two are equal: no ping was lost or made twice.
        let sequence: Vec<i64> = sent(crowd.directory.path(), PENDING)
            .iter()
            .filter(|sent| sent.name() == "custom")
            .map(|sent| sent.body["ping_info"]["seq"].as_i64().unwrap())
            .collect();
        assert_eq!(sequence, (0..sequence.len() as i64).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn a_submission_is_seen_whoever_saved_a_base_in_between() {
    let directory = TempDir::new();
    let mut one = Process::start(directory.path());
    let mut two = Process::start(directory.path());
    for round in 0..4 {
        one.add("test.counter", 1);
        one.fold();
        let before = one.engine.submissions("custom");
        two.engine.ask_for_base();
        two.fold();
        one.submit("custom", None);
        one.fold();
        assert_eq!(one.engine.submissions("custom"), before + 1, "round {round}");
    }
}

#[test]
fn the_base_does_not_grow_with_every_process_that_was() {
    let directory = TempDir::new();
    let path = directory.path().join("db").join("base");
    let entries = || base::load(&path).unwrap().header.folded.len();
    for round in 0..40 {
        let mut process = Process::start(directory.path());
        process.add("test.counter", 1);
        process.engine.ask_for_base();
        if round % 2 == 0 { process.end() } else { process.kill() }
    }
    let mut last = Process::start(directory.path());
    last.engine.ask_for_base();
    assert_eq!(last.count("test.counter"), 40);
    assert!(entries() <= 20, "{} entries of segments", entries());
    assert_eq!(locks(directory.path()).len(), 1, "{:?}", locks(directory.path()));
}

#[test]
fn the_base_does_not_grow_while_two_processes_take_turns() {
    let directory = TempDir::new();
    let path = directory.path().join("db").join("base");
    let mut processes = [Process::start(directory.path()), Process::start(directory.path())];
    for _ in 0..10 {
        for process in &mut processes {
            add_alternately(process, SEGMENT_OF_CALLS);
            process.fold();
        }
    }
    let [one, two] = &mut processes;
    one.fold();
    two.engine.ask_for_base();
    two.fold();
    let entries = base::load(&path).unwrap().header.folded.len();
    assert!(entries <= 20, "{entries} entries of segments");
    assert_eq!(sum(one), 20 * SEGMENT_OF_CALLS as i64);
    assert!(logs(directory.path()) <= 4, "{} files", logs(directory.path()));
}

#[test]
fn what_is_left_of_a_process_that_died_early_is_removed() {
    let directory = TempDir::new();
    Process::start(directory.path()).end();
    fs::write(directory.path().join("db").join("000-1-dead.lock"), "").unwrap();
    let mut process = Process::start(directory.path());
    process.engine.ask_for_base();
    process.fold();
    assert_eq!(locks(directory.path()), [format!("{}.lock", process.name)]);
}

#[test]
fn what_was_switched_before_the_start_outlives_a_segment() {
    let directory = TempDir::new();
    let mut log = Calls::new();
    log.set_ping_enabled("off", false);
    let knobs = ServerKnobs { metrics_enabled: [("test.knob".to_owned(), false)].into(), ..ServerKnobs::default() };
    log.apply_knobs(knobs);
    log.append(&Op::StoreSubmittedPings(true));
    let mut process = Process::start_from(log, settings(directory.path()), vec![ping("custom"), ping("off")]).unwrap();
    let mut off = counter("test.off");
    off.common.send_in_pings = vec!["off".into()];
    for round in 0..3 {
        process.record(&off, &Recording::CounterAdd(1));
        process.add("test.knob", 1);
        assert_eq!(process.value("off", Lifetime::Ping, "test.off"), None, "round {round}");
        assert_eq!(process.count("test.knob"), 0, "round {round}");
        add_alternately(&mut process, SEGMENT_OF_CALLS);
        if round == 1 {
            // Somebody else saves a base, so everything about this process is read again.
            let mut other = Process::start(directory.path());
            other.engine.ask_for_base();
            other.fold();
        }
    }
    process.submit("custom", None);
    process.fold();
    let is_listed = |state: &glean_core::store::State| {
        state.entries("glean_internal_info", Lifetime::Application).any(|(name, _)| name.ends_with("#submitted"))
    };
    assert!(is_listed(process.engine.state()), "the list of submitted pings was switched on before the start");
}

#[test]
fn a_ping_of_a_dead_process_is_made_by_the_next_one() {
    let directory = TempDir::new();
    let mut first = Process::start(directory.path());
    first.add("test.counter", 4);
    first.submit("custom", Some("second"));
    first.add("test.counter", 1);
    first.kill();
    let mut next = Process::start(directory.path());
    next.fold();
    let pings = sent(directory.path(), PENDING);
    let [ping] = &pings[..] else { panic!("{} pings", pings.len()) };
    assert_eq!(ping.count("test.counter"), 4);
    assert_eq!(ping.body["ping_info"]["reason"], "second");
    assert_eq!(next.counted("test.counter"), 1);
}

#[test]
fn a_death_at_any_step_of_a_save_makes_each_ping_once() {
    let recorded = TempDir::new();
    let mut process = Process::start(recorded.path());
    process.add("test.counter", 4);
    process.submit("custom", None);
    process.add("test.counter", 1);
    process.kill();
    let saved = TempDir::new();
    copy_folder(recorded.path(), saved.path());
    let mut process = Process::start(saved.path());
    process.fold();
    process.kill();
    let [file] = &sent(saved.path(), PENDING)[..] else { panic!("one ping") };
    let name = file.path.rsplit('/').next().unwrap().to_owned();

    // Before the base: the file of the ping is in tmp/, and nobody knows of it.
    let before = TempDir::new();
    copy_folder(recorded.path(), before.path());
    fs::create_dir_all(before.path().join("tmp")).unwrap();
    fs::copy(saved.path().join(PENDING).join(&name), before.path().join("tmp").join(&name)).unwrap();
    // Behind the base, before it says that its effects are carried out. None of them is.
    let marked = |mark| {
        let copy = TempDir::new();
        copy_folder(saved.path(), copy.path());
        put_mark(copy.path(), mark);
        copy
    };
    let behind = marked(base::mark::BEGUN);
    fs::remove_file(behind.path().join(PENDING).join(&name)).unwrap();
    fs::remove_file(behind.path().join("client_id.txt")).unwrap();
    // The file is written and not moved yet.
    let unmoved = marked(base::mark::BEGUN);
    fs::rename(unmoved.path().join(PENDING).join(&name), unmoved.path().join("tmp").join(&name)).unwrap();
    // All of them are.
    let carried_out = marked(base::mark::BEGUN);
    let published = marked(base::mark::PUBLISHED);
    // After a power cut the file is there and empty.
    let emptied = [base::mark::BEGUN, base::mark::PUBLISHED].map(marked);
    for directory in &emptied {
        fs::write(directory.path().join(PENDING).join(&name), "").unwrap();
    }
    let [emptied, emptied_later] = emptied;
    let places = [
        (before, "before"),
        (behind, "behind"),
        (unmoved, "unmoved"),
        (carried_out, "carried out"),
        (published, "published"),
        (emptied, "emptied"),
        (emptied_later, "emptied later"),
        (saved, "after all"),
    ];
    for (directory, what) in places {
        let mut process = Process::start(directory.path());
        process.fold();
        assert_eq!(sum_sent(directory.path(), "custom", "test.counter"), 4, "{what}");
        assert_eq!(sent(directory.path(), PENDING).len(), 1, "{what}");
        assert_eq!(process.counted("test.counter"), 1, "{what}");
        assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0, "{what}");
        let client_id = fs::read_to_string(directory.path().join("client_id.txt")).unwrap();
        assert_eq!(sent(directory.path(), PENDING)[0].body["client_info"]["client_id"], client_id.as_str(), "{what}");
    }
}

/// Says how far the save of a base came that lies in the first half.
fn put_mark(data_dir: &Path, mark: [u8; 8]) {
    let path = data_dir.join("db").join("base");
    let mut bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[8..16], base::mark::DONE);
    bytes[8..16].copy_from_slice(&mark);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_ping_that_was_sent_and_removed_is_not_made_again() {
    for is_killed_before_the_sync in [false, true] {
        let directory = TempDir::new();
        let mut process = Process::start(directory.path());
        process.add("test.counter", 4);
        process.submit("custom", None);
        process.fold();
        fs::remove_dir_all(directory.path().join(PENDING)).unwrap();
        if is_killed_before_the_sync {
            put_mark(directory.path(), base::mark::PUBLISHED);
        }
        process.add("test.counter", 1);
        process.kill();
        let mut next = Process::start(directory.path());
        assert_eq!(next.count("test.counter"), 1);
        assert_eq!(sent(directory.path(), PENDING).len(), 0);
    }
}

#[test]
fn large_pings_are_made_as_well() {
    let directory = TempDir::new();
    let mut process = Process::start(directory.path());
    let text = metric("test.text", Kind::Text, &["custom"], Lifetime::Ping);
    for index in 0..3 {
        process.record(&text, &Recording::TextSet(&index.to_string().repeat(150_000), false));
        process.submit("custom", None);
    }
    process.fold();
    let seen: Vec<(String, usize)> = sent(directory.path(), PENDING)
        .iter()
        .map(|ping| ping.body["metrics"]["text"]["test.text"].as_str().unwrap())
        .map(|text| (text[..1].to_owned(), text.len()))
        .collect();
    assert_eq!(seen, ["0", "1", "2"].map(|digit| (digit.to_owned(), 150_000)));
    assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_rest_leaves_no_journal_and_the_smallest_base_and_recording_goes_on() {
    let directory = TempDir::new();
    let path = directory.path().join("db").join("base");
    let mut process = Process::start(directory.path());
    for round in 1..=3 {
        add_alternately(&mut process, 2 * SEGMENT_OF_CALLS);
        process.fold();
        assert!(process.log.is_large(), "round {round}");
        process.rest();
        assert_eq!(logs(directory.path()), 0, "round {round}");
        assert_eq!(fs::metadata(&path).unwrap().len(), 4096, "round {round}");
        assert_eq!(sum(&mut process), round * 2 * SEGMENT_OF_CALLS as i64);
        assert_eq!(logs(directory.path()), 0, "a getter needs none");
    }
    process.submit("custom", None);
    process.fold();
    assert_eq!(logs(directory.path()), 1);
    assert_eq!(process.engine.submissions("custom"), 1);
    process.rest();
    process.kill();
    let total = 6 * SEGMENT_OF_CALLS as i64;
    assert_eq!(sum(&mut Process::start(directory.path())), 0);
    let pings = sent(directory.path(), PENDING);
    assert_eq!(pings.iter().map(|ping| ping.count("test.even") + ping.count("test.odd")).sum::<i64>(), total);
}

#[test]
fn a_process_that_rests_and_dies_or_ends_leaves_everything() {
    let total = 2 * SEGMENT_OF_CALLS as i64;
    for is_killed in [true, false] {
        let directory = TempDir::new();
        let mut process = Process::start(directory.path());
        add_alternately(&mut process, 2 * SEGMENT_OF_CALLS);
        process.rest();
        if is_killed {
            process.kill()
        } else {
            process.end()
        }
        let mut next = Process::start(directory.path());
        assert_eq!(sum(&mut next), total, "killed: {is_killed}");
        assert_eq!(next.load_error(), None);
        assert_eq!(locks(directory.path()).len(), 1);
    }
}

#[test]
fn a_segment_made_in_advance_is_used_or_removed() {
    let directory = TempDir::new();
    let mut process = Process::start(directory.path());
    assert_eq!(logs(directory.path()), 1, "most programs need no more");
    add_alternately(&mut process, 2 * SEGMENT_OF_CALLS);
    while process.log.wanted().is_none() && logs(directory.path()) < 5 {
        add_alternately(&mut process, 100);
        process.fold();
        if logs(directory.path()) == 2 {
            break;
        }
    }
    assert_eq!(logs(directory.path()), 2, "the one that is written, and the next one");
    process.rest();
    assert_eq!(logs(directory.path()), 0, "removed before a rest");
    add_alternately(&mut process, 2 * SEGMENT_OF_CALLS);
    process.kill();
    let mut next = Process::start(directory.path());
    let total = sum(&mut next);
    assert!(total >= 4 * SEGMENT_OF_CALLS as i64);
    assert_eq!(logs(directory.path()), 1, "removed with what the dead one left");
    add_alternately(&mut next, 2 * SEGMENT_OF_CALLS);
    let text = metric("test.text", Kind::Text, &["custom"], Lifetime::Ping);
    next.record(&text, &Recording::TextSet(&"long".repeat(40_000), false));
    next.fold();
    assert!(logs(directory.path()) <= 2, "removed where it is too small");
    next.end();
    assert_eq!(sum(&mut Process::start(directory.path())), total + 2 * SEGMENT_OF_CALLS as i64);
    assert!(logs(directory.path()) <= 1, "removed at the end");
}

#[test]
fn processes_that_start_and_die_at_the_same_moment_lose_nothing() {
    const STARTS: usize = 12;
    let directory = TempDir::new();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let path = directory.path();
            scope.spawn(move || {
                for round in 0..STARTS {
                    let mut process = Process::start(path);
                    process.add("test.counter", 1);
                    if (thread + round) % 3 == 0 {
                        process.fold();
                    }
                    if (thread + round) % 4 == 0 { process.end() } else { process.kill() }
                }
            });
        }
    });
    let mut last = Process::start(directory.path());
    assert_eq!(last.count("test.counter"), 6 * STARTS as i64);
    assert_eq!(last.load_error(), None);
    assert_eq!(locks(directory.path()).len(), 1);
}
