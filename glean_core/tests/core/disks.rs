//! Disks that refuse: every step of a save fails once, and later everything is as if it hadn't.

use std::fs;
use std::path::Path;

use crate::common::{PENDING, Process, TempDir, counter, metric, sent, sum_sent};
use glean_core::Lifetime;
use glean_core::handles::Metric;
use glean_core::journal::log::Appended;
use glean_core::metrics::{Kind, Recording};
use glean_core::process::Calls;

/// Something in the way of a step: a name below the data directory, and whether it is a folder there.
const OBSTACLES: [(&str, bool); 9] = [
    // The file of the ping cannot be written.
    ("tmp", false),
    // The base cannot be written, nor read and replaced.
    ("db/base.new", true),
    ("db/base", true),
    // The file of the ping cannot be moved.
    ("pending_pings", false),
    // The client id cannot be written, nor replaced.
    ("client_id.new", true),
    ("client_id.txt", true),
    // Nobody can fold at all.
    ("db/glean.lock", true),
    // What is no obstacle.
    ("db/base.new", false),
    ("deletion_request", false),
];

fn put(directory: &Path, (name, is_folder): (&str, bool)) {
    let path = directory.join(name);
    if is_folder {
        // With something in it, so that nothing can replace it.
        fs::create_dir_all(path.join("in the way")).unwrap();
    } else {
        fs::write(path, "in the way").unwrap();
    }
}

fn take_away(directory: &Path, (name, is_folder): (&str, bool)) {
    let path = directory.join(name);
    if is_folder {
        fs::remove_dir_all(path).unwrap();
    } else {
        let _ = fs::remove_file(path);
    }
}

fn check(process: &mut Process, directory: &Path, what: &str) {
    process.fold();
    assert_eq!(sum_sent(directory, "custom", "test.counter"), 6, "{what}");
    let pings = sent(directory, PENDING);
    assert_eq!(pings.len(), 2, "{what}");
    let client_id = fs::read_to_string(directory.join("client_id.txt")).unwrap();
    for ping in pings {
        assert_eq!(ping.body["client_info"]["client_id"], client_id.as_str(), "{what}");
    }
    assert_eq!(process.counted("test.counter"), 8, "{what}");
    assert_eq!(fs::read_dir(directory.join("tmp")).unwrap().count(), 0, "{what}");
}

/// Records, submits and folds around an obstacle that is there from the beginning.
fn run_into(obstacle: (&str, bool)) -> (TempDir, Process) {
    let directory = TempDir::new();
    fs::create_dir_all(directory.path().join("db")).unwrap();
    put(directory.path(), obstacle);
    let mut process = Process::start(directory.path());
    let _ = process.try_fold();
    process.add("test.counter", 2);
    process.submit("custom", None);
    let _ = process.try_fold();
    let _ = process.try_fold();
    process.add("test.counter", 4);
    process.submit("custom", None);
    let _ = process.try_fold();
    process.add("test.counter", 8);
    let _ = process.try_fold();
    (directory, process)
}

#[test]
fn a_step_that_fails_is_made_up_for_once_it_can_be() {
    for obstacle in OBSTACLES {
        let what = format!("{obstacle:?}");
        let (directory, mut process) = run_into(obstacle);
        take_away(directory.path(), obstacle);
        check(&mut process, directory.path(), &what);
        process.end();
    }
}

#[test]
fn a_step_that_fails_is_made_up_for_by_the_next_process() {
    for obstacle in OBSTACLES {
        let what = format!("{obstacle:?}, then another process");
        let (directory, process) = run_into(obstacle);
        process.kill();
        take_away(directory.path(), obstacle);
        let mut next = Process::start(directory.path());
        check(&mut next, directory.path(), &what);
    }
}

#[test]
fn a_process_that_gives_up_in_front_of_an_obstacle_leaves_everything_to_the_next_one() {
    for obstacle in OBSTACLES {
        let what = format!("{obstacle:?}, twice");
        let (directory, process) = run_into(obstacle);
        process.kill();
        let mut second = Process::start(directory.path());
        let _ = second.try_fold();
        second.kill();
        take_away(directory.path(), obstacle);
        let mut third = Process::start(directory.path());
        check(&mut third, directory.path(), &what);
    }
}

#[test]
fn a_vanished_folder_is_made_again() {
    let directory = TempDir::new();
    let mut process = Process::start(directory.path());
    process.add("test.counter", 1);
    process.engine.ask_for_base();
    process.fold();
    if fs::remove_dir_all(directory.path().join("db")).is_err() {
        // Windows removes no file that is mapped.
        return println!("skipped: this system doesn't remove a folder in use");
    }
    process.add("test.counter", 2);
    process.fold();
    process.add("test.counter", 4);
    process.submit("custom", None);
    process.fold();
    let counted = sum_sent(directory.path(), "custom", "test.counter");
    assert_eq!(counted, 4, "what the folder held is lost, and what is recorded later is not");
    // More than a segment: the next ones are in the new folder.
    for _ in 0..2000 {
        process.add("test.one", 1);
        process.add("test.two", 1);
    }
    process.kill();
    let mut next = Process::start(directory.path());
    assert!(next.count("test.two") > 0);
    assert_eq!(next.client_id(), fs::read_to_string(directory.path().join("client_id.txt")).unwrap());
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
    let directory = TempDir::new();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let settings = crate::common::settings(&file.join("data"));
    let error = Process::start_from(Calls::new(), settings, vec![]).err().expect("no start below a file");
    assert!(error.to_string().contains("data"), "{error}");
}

#[test]
fn a_million_calls_wait_and_later_ones_are_counted() {
    const LIMIT: i64 = 1_000_000;
    const TOO_MANY: i64 = 1_234;
    let directory = TempDir::new();
    let mut log = Calls::new();
    let mut metric = Metric::new(std::sync::Arc::new(counter("test.counter")));
    let mut waiting = 0;
    for _ in 0..LIMIT + TOO_MANY {
        waiting += i64::from(log.record(&mut metric, &Recording::CounterAdd(1)) == Appended::Waits);
    }
    // The definition of the counter waits as well.
    assert_eq!(waiting, LIMIT - 1);
    let mut process =
        Process::start_from(log, crate::common::settings(directory.path()), vec![crate::common::ping("custom")])
            .unwrap();
    assert_eq!(process.count("test.counter"), waiting);
    let dropped = process.stored("metrics", Lifetime::Ping, "glean.error.preinit_tasks_overflow");
    assert_eq!(dropped, Some((TOO_MANY + 1).into()));
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;

    /// What fits into the file system that is filled up.
    const DISK_BYTES: u64 = 2 << 20;

    /// Mounts a small disk that only this thread sees, and that goes away with it.
    fn mount_small_disk(folder: &Path) -> Result<(), std::io::Error> {
        use std::ffi::CString;
        use std::os::unix::ffi::OsStrExt;

        let text = |bytes: &[u8]| CString::new(bytes).unwrap();
        let (target, kind) = (text(folder.as_os_str().as_bytes()), text(b"tmpfs"));
        let (root, options) = (text(b"/"), text(format!("size={DISK_BYTES}").as_bytes()));
        let check = |status| if status == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) };
        // SAFETY: all texts live as long as the calls. The new name space of mounts is that of this thread alone.
        unsafe {
            check(libc::unshare(libc::CLONE_NEWNS))?;
            let private = libc::MS_REC | libc::MS_PRIVATE;
            check(libc::mount(std::ptr::null(), root.as_ptr(), std::ptr::null(), private, std::ptr::null()))?;
            check(libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()))
        }
    }

    #[test]
    fn on_a_full_disk_calls_are_dropped_until_there_is_room() {
        let directory = TempDir::new();
        if let Err(error) = mount_small_disk(directory.path()) {
            return println!("skipped: no disk to fill up: {error}");
        }
        let mut process = Process::start(directory.path());
        process.fold();
        let filler = directory.path().join("filler");
        let fill = || {
            let mut length = DISK_BYTES;
            while length > 0 && fs::write(&filler, vec![1; length as usize]).is_err() {
                length -= 4096;
            }
        };
        let mut kept = 0;
        let mut record = |process: &mut Process, calls| {
            let mut dropped = 0;
            for index in 0..calls {
                match process.add(if index % 2 == 0 { "test.even" } else { "test.odd" }, 1) {
                    Appended::No => dropped += 1,
                    _ => kept += 1,
                }
            }
            dropped
        };
        assert_eq!(record(&mut process, 100), 0);
        fill();
        process.submit("custom", None);
        assert!(process.try_fold().is_err(), "there is no room for a ping");
        assert_eq!(record(&mut process, 5_000), 0, "they wait in memory");
        let mut dropped = 0;
        while dropped == 0 {
            dropped += record(&mut process, 50_000);
        }
        fs::remove_file(&filler).unwrap();
        process.fold();
        assert_eq!(record(&mut process, 5_000), 0);
        process.submit("custom", None);
        process.fold();
        let told = process.stored("metrics", Lifetime::Ping, "glean.error.io");
        assert_eq!(told, Some(dropped.into()), "dropped calls are counted");
        assert_eq!(record(&mut process, 10), 0);
        fill();
        process.kill();
        // A start on a full disk is refused, and later nothing is missing.
        assert!(Process::start_from(Calls::new(), crate::common::settings(directory.path()), vec![]).is_err());
        fs::remove_file(&filler).unwrap();
        let mut next = Process::start(directory.path());
        next.fold();
        let sent = |name| sum_sent(directory.path(), "custom", name);
        let found = sent("test.even") + sent("test.odd") + next.counted("test.even") + next.counted("test.odd");
        assert_eq!(found, kept);
    }

    #[test]
    fn what_waits_for_a_disk_that_takes_nothing_is_limited() {
        // A segment of a megabyte holds five of these.
        let text = "x".repeat(200 << 10);
        let metric = metric("test.text", Kind::Text, &["custom"], Lifetime::Ping);
        let directory = TempDir::new();
        if !directory.path().starts_with("/dev/shm") {
            return println!("skipped: 256 MiB of segments are too much for a disk");
        }
        let mut process = Process::start(directory.path());
        fs::create_dir_all(directory.path().join("db/base.new")).unwrap();
        let mut kept = 0;
        while process.record(&metric, &Recording::TextSet(&text, false)) != Appended::No {
            kept += 1;
            assert!(kept < 2_000, "no limit");
            if kept % 500 == 0 {
                assert!(process.try_fold().is_err());
            }
        }
        assert!(kept > 1_000, "{kept}");
        fs::remove_dir(directory.path().join("db/base.new")).unwrap();
        process.fold();
        process.serve().unwrap();
        assert_ne!(process.record(&metric, &Recording::TextSet("again", false)), Appended::No);
        assert_eq!(process.value("custom", Lifetime::Ping, "test.text"), Some("again".into()));
    }
}
