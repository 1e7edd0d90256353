//! Children made by `fork`: what they and their parents record is kept and counted once.

#![cfg(unix)]

#[path = "common/abi.rs"]
mod abi;
mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use abi::{check, new_named, new_ping, take_turn, threaded_settings, value};
use common::{PENDING, TempDir, sent};
use glean_core::ffi::{lifecycle::*, metric::*, ping::*, recording::*, *};
use serde_json::json;

/// How long a child may take; one that hangs is ended.
const PATIENCE: Duration = Duration::from_secs(600);

/// A child; ended when dropped, if it still runs.
struct Child(libc::pid_t);

/// Runs `work` in a child, whose exit status tells whether it returned true. Nothing is unwound or printed there.
fn fork(work: impl FnOnce() -> bool) -> Child {
    // SAFETY: the child calls the library only, which is made for that, and ends without returning.
    match unsafe { libc::fork() } {
        0 => {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let status = match outcome {
                Ok(true) => 0,
                Ok(false) => 1,
                Err(_) => 2,
            };
            // SAFETY: ends this process at once, as `kill -9` would.
            unsafe { libc::_exit(status) }
        }
        -1 => panic!("{}", std::io::Error::last_os_error()),
        pid => Child(pid),
    }
}

impl Child {
    /// Waits for the end of the child.
    #[track_caller]
    fn join(self) {
        let start = Instant::now();
        let mut status = 0;
        // SAFETY: the child is one of this process, and the pointer is valid.
        while unsafe { libc::waitpid(self.0, &raw mut status, libc::WNOHANG) } == 0 {
            assert!(start.elapsed() < PATIENCE, "the child hangs");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(status, 0, "the child failed");
        std::mem::forget(self);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: the child is one of this process and nobody waited for it yet, so the number is still its own.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

fn add(handle: u64, amount: i32) -> bool {
    glean_counter_add(handle, amount) & !GLEAN_LOGGED == GLEAN_OK
}

fn files(data_dir: &Path, ending: &str) -> usize {
    let names = std::fs::read_dir(data_dir.join("db")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().ends_with(ending)).count()
}

#[test]
fn what_parent_and_children_record_is_counted_once() {
    let _turn = take_turn();
    let directory = TempDir::new();
    new_ping(abi::PING);
    let counter = new_named("counter", "forked");
    check(abi::initialize(&threaded_settings(directory.path())));
    assert!(add(counter, 1));
    let children: Vec<Child> = (0..5).map(|_| fork(|| (0..1_000).all(|_| add(counter, 1)))).collect();
    for _ in 0..1_000 {
        assert!(add(counter, 1));
    }
    children.into_iter().for_each(Child::join);
    assert_eq!(value(counter), Ok(json!(6_001)));
    assert_eq!(files(directory.path(), ".log"), 1, "the journals of the children are folded");
    check(glean_reset());
    check(abi::initialize(&threaded_settings(directory.path())));
    assert_eq!(value(counter), Ok(json!(6_001)));
}

#[test]
fn a_child_has_a_journal_of_its_own_and_may_submit() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let ping = new_ping(abi::PING);
    let counter = new_named("counter", "forked");
    check(abi::initialize(&threaded_settings(directory.path())));
    assert!(add(counter, 1));
    check(glean_fold());
    let logs = files(directory.path(), ".log");
    fork(|| {
        let is_kept = add(counter, 2) && files(directory.path(), ".log") == logs + 1;
        let is_sent = unsafe { glean_ping_submit(ping, std::ptr::null(), 0) } & !GLEAN_LOGGED == GLEAN_OK;
        is_kept
            && is_sent
            && add(counter, 4)
            && glean_fold() & !GLEAN_LOGGED == GLEAN_OK
            && value(counter) == Ok(json!(4))
    })
    .join();
    let pings = sent(directory.path(), PENDING);
    assert_eq!(pings.len(), 1);
    assert_eq!(pings[0].count("test.forked"), 3);
    assert!(add(counter, 8));
    assert_eq!(value(counter), Ok(json!(12)));
}

#[test]
fn a_child_of_a_child_records_whether_its_parent_did_or_not() {
    let _turn = take_turn();
    let directory = TempDir::new();
    new_ping(abi::PING);
    let counter = new_named("counter", "forked");
    check(abi::initialize(&threaded_settings(directory.path())));
    for does_child_record in [false, true] {
        fork(|| {
            let is_kept = !does_child_record || add(counter, 10);
            fork(|| {
                fork(|| add(counter, 1_000)).join();
                add(counter, 100)
            })
            .join();
            is_kept && (!does_child_record || add(counter, 10))
        })
        .join();
    }
    assert_eq!(value(counter), Ok(json!(2 * 1_100 + 20)));
}

#[test]
fn a_child_that_outlives_its_parent_loses_nothing_and_locks_nothing() {
    let _turn = take_turn();
    let directory = TempDir::new();
    new_ping(abi::PING);
    let counter = new_named("counter", "forked");
    let mut pipe = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    let (data_dir, [reader, writer]) = (directory.path(), pipe);
    fork(|| {
        let is_kept = abi::initialize(&threaded_settings(data_dir)) == GLEAN_OK && add(counter, 1);
        let orphan = fork(|| {
            // Until somebody closes the other end.
            // SAFETY: descriptors of this process, a byte of room.
            unsafe {
                libc::close(writer);
                libc::read(reader, [0_u8].as_mut_ptr().cast(), 1);
            }
            add(counter, 2)
        });
        std::mem::forget(orphan);
        is_kept
    })
    .join();
    // The first child is dead, its own child lives and has the descriptors it inherited.
    check(abi::initialize(&threaded_settings(data_dir)));
    assert_eq!(value(counter), Ok(json!(1)));
    // Fails if somebody holds the lock of the directory.
    check(glean_fold());
    let start = Instant::now();
    // SAFETY: descriptors of this process.
    unsafe {
        libc::close(writer);
        libc::close(reader);
    }
    while value(counter) != Ok(json!(3)) {
        assert!(start.elapsed() < PATIENCE, "{:?}", value(counter));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_waits_for_the_start_stays_with_the_parent() {
    let _turn = take_turn();
    let directory = TempDir::new();
    new_ping(abi::PING);
    let counter = new_named("counter", "forked");
    assert!(add(counter, 1));
    let data_dir = directory.path();
    fork(|| add(counter, 10) && abi::initialize(&threaded_settings(data_dir)) == GLEAN_OK && add(counter, 100)).join();
    check(abi::initialize(&threaded_settings(data_dir)));
    // What a child records before its own start is kept; what its parent did before the fork is counted once.
    assert_eq!(value(counter), Ok(json!(111)));
}

#[test]
fn forks_at_any_moment_neither_hang_nor_lose_anything() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let ping = new_ping(abi::PING);
    let (counter, noisy) = (new_named("counter", "forked"), new_named("counter", "noisy"));
    check(abi::initialize(&threaded_settings(directory.path())));
    let is_over = AtomicBool::new(false);
    let mut in_children = 0;
    std::thread::scope(|scope| {
        // A thread that records, one that logs, one that folds and submits. Without pauses they would record more than an
        // unoptimised library folds.
        let pause = || std::thread::sleep(Duration::from_micros(100));
        let is_over = &is_over;
        let recorder = scope.spawn(move || {
            let mut recorded = 0;
            while !is_over.load(Ordering::Relaxed) {
                for _ in 0..20 {
                    assert!(add(counter, 1));
                    recorded += 1;
                }
                pause();
            }
            recorded
        });
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                assert!(add(noisy, -1));
                abi::log_messages();
                pause();
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                check(unsafe { glean_ping_submit(ping, std::ptr::null(), 0) });
                check(glean_fold());
            }
        });
        for round in 0..40 {
            let child = fork(|| {
                let is_kept = (0..10).all(|_| add(counter, 1) && add(noisy, -1));
                abi::log_messages();
                is_kept && (round % 8 != 0 || glean_fold() & !GLEAN_LOGGED == GLEAN_OK)
            });
            in_children += 10;
            child.join();
        }
        is_over.store(true, Ordering::Relaxed);
        in_children += recorder.join().unwrap();
    });
    let rest = value(counter).map_or(0, |value| value.as_i64().unwrap());
    let in_pings: i64 = sent(directory.path(), PENDING).iter().map(|sent| sent.count("test.forked")).sum();
    assert_eq!(rest + in_pings, in_children);
    check(glean_metric_destroy(noisy));
}

/// A fork copies the descriptors before the memory, in which a thread may have closed one meanwhile.
#[test]
fn what_is_closed_during_a_fork_is_closed_in_the_child() {
    use std::os::fd::AsRawFd;

    use glean_core::disk::{self, OwnFile, forked};

    let folder = TempDir::new();
    let db = folder.path().join("db");
    std::fs::create_dir(&db).unwrap();
    let real_dir = folder.path().canonicalize().unwrap();
    // SAFETY: of all calls in here: they are given descriptors of this test, or numbers that are not open.
    let lowest = || unsafe {
        let descriptor = libc::dup(0);
        libc::close(descriptor);
        descriptor
    };
    // What the child has: the descriptor is open, and the memory says that it is closed.
    let close_in_memory_alone = |descriptor: i32, close: &mut dyn FnMut()| unsafe {
        let copy = libc::dup(descriptor);
        close();
        libc::dup2(copy, descriptor);
        libc::close(copy);
    };
    let is_closed = |descriptor: i32| unsafe { libc::fcntl(descriptor, libc::F_GETFD) == -1 };
    // In a child of its own, so that the files of other tests stay open.
    fork(|| {
        forked::begin();
        let mut file = Some(OwnFile::create(&db.join("file")).unwrap());
        let descriptor = file.as_ref().unwrap().get().unwrap().as_raw_fd();
        close_in_memory_alone(descriptor, &mut || drop(file.take()));
        forked::close_copies(None);
        is_closed(descriptor)
    })
    .join();
    if cfg!(target_os = "linux") {
        fork(|| {
            forked::begin();
            let descriptor = lowest();
            let mut entries = Some(disk::read_dir(&db).unwrap());
            close_in_memory_alone(descriptor, &mut || drop(entries.take()));
            forked::close_copies(Some(&real_dir));
            is_closed(descriptor)
        })
        .join();
    }
}
