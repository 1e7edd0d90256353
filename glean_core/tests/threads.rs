//! Many threads at once through the C ABI: what each of them records is counted once, whatever else goes on.

#[path = "common/abi.rs"]
mod abi;
mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use abi::{check, new_named, new_ping, take_turn, threaded_settings, value};
use common::{PENDING, TempDir, sent};
use glean_core::ffi::{labeled::*, lifecycle::*, metric::*, ping::*, recording::*, *};
use serde_json::json;

const THREADS: usize = 16;

/// Runs `work` in all threads, which begin at the same moment.
fn in_all_threads(work: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (work, barrier) = (&work, &barrier);
            scope.spawn(move || {
                barrier.wait();
                work(thread);
            });
        }
    });
}

fn assert_nothing_went_wrong() {
    assert_eq!(errors(), [] as [String; 0]);
}

fn errors() -> Vec<String> {
    abi::log_messages().into_iter().filter(|(level, _)| *level >= 40).map(|(_, text)| text).collect()
}

#[test]
fn sixteen_threads_lose_nothing_while_the_journal_goes_through_several_files() {
    const CALLS: usize = 1_500;
    let _turn = take_turn();
    let directory = TempDir::new();
    new_ping(abi::PING);
    check(abi::initialize(&threaded_settings(directory.path())));
    let shared = new_named("counter", "shared");
    let own: Vec<u64> = (0..THREADS).map(|thread| new_named("counter", &format!("own_{thread}"))).collect();
    let labeled = new_named("labeled_counter", "labeled");
    let timing = new_named("timing_distribution", "timing");
    let ids = Mutex::new(Vec::new());
    in_all_threads(|thread| {
        let label = format!("label_{}", thread % 4);
        let mut part = 0;
        check(unsafe { glean_labeled_get(labeled, label.as_ptr(), label.len() as u64, &mut part) });
        let mut timers = Vec::new();
        for call in 0..CALLS {
            check(glean_counter_add(shared, 1));
            check(glean_counter_increment(own[thread]));
            check(glean_counter_add(part, 2));
            if call % 100 == 0 {
                let id = glean_metric_start(timing);
                timers.push(id);
                check(glean_metric_stop(timing, id));
                check(glean_fold());
            }
        }
        check(glean_metric_destroy(part));
        ids.lock().unwrap().extend(timers);
    });
    assert_eq!(value(shared), Ok(json!(THREADS * CALLS)));
    for handle in own {
        assert_eq!(value(handle), Ok(json!(CALLS)));
    }
    let labels: BTreeMap<String, usize> = (0..4).map(|n| (format!("label_{n}"), 2 * CALLS * THREADS / 4)).collect();
    assert_eq!(value(labeled), Ok(json!(labels)));
    let count = THREADS * CALLS.div_ceil(100);
    assert_eq!(value(timing).unwrap()["count"], json!(count));
    let mut ids = ids.into_inner().unwrap();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "each timer has an id of its own");
    assert_nothing_went_wrong();
}

#[test]
fn calls_from_before_during_and_after_the_start_are_all_there_and_in_order() {
    const CALLS: usize = 1_000;
    let _turn = take_turn();
    let directory = TempDir::new();
    new_ping(abi::PING);
    let counter = new_named("counter", "around_the_start");
    let lists: Vec<u64> = (0..THREADS).map(|thread| new_named("string_list", &format!("list_{thread}"))).collect();
    in_all_threads(|thread| {
        for call in 0..CALLS {
            check(glean_counter_add(counter, 1));
            if call % 20 == 0 {
                let text = call.to_string();
                check(unsafe { glean_metric_add_to_list(lists[thread], text.as_ptr(), text.len() as u64) });
            }
            if thread == 0 && call == CALLS / 3 {
                check(abi::initialize(&threaded_settings(directory.path())));
            }
        }
    });
    assert_eq!(value(counter), Ok(json!(THREADS * CALLS)));
    let expected: Vec<String> = (0..CALLS).step_by(20).map(|call| call.to_string()).collect();
    for list in lists {
        assert_eq!(value(list), Ok(json!(expected)));
    }
    assert_nothing_went_wrong();
}

#[test]
fn pings_submitted_between_calls_of_other_threads_have_each_call_once() {
    const CALLS: usize = 1_500;
    let _turn = take_turn();
    let directory = TempDir::new();
    let ping = new_ping(&abi::PING.replace(r#""send_if_empty":true"#, r#""send_if_empty":false"#));
    check(abi::initialize(&threaded_settings(directory.path())));
    let counters = [new_named("counter", "one"), new_named("counter", "two")];
    let event = new_named("event", "clicked");
    let events = AtomicU64::new(0);
    in_all_threads(|thread| {
        for call in 0..CALLS {
            check(glean_counter_add(counters[call % 2], 1));
            if call % 50 == 0 {
                check(unsafe { glean_metric_record_event(event, std::ptr::null(), 0) });
                events.fetch_add(1, Ordering::Relaxed);
            }
            if thread < 2 && call % 300 == 7 {
                check(unsafe { glean_ping_submit(ping, std::ptr::null(), 0) });
            }
        }
    });
    check(unsafe { glean_ping_submit(ping, std::ptr::null(), 0) });
    check(glean_fold());
    let pings = sent(directory.path(), PENDING);
    let sum = |name| pings.iter().map(|sent| sent.count(name)).sum::<i64>();
    assert_eq!(sum("test.one") + sum("test.two"), (THREADS * CALLS) as i64);
    let in_pings: usize = pings.iter().map(|sent| sent.body["events"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(in_pings as u64, events.into_inner());
    assert!(pings.len() > 1, "{} pings", pings.len());
    assert_nothing_went_wrong();
}

#[test]
fn what_was_recorded_before_the_end_is_there_at_the_next_start() {
    const CALLS: usize = 500;
    let _turn = take_turn();
    let directory = TempDir::new();
    new_ping(abi::PING);
    let counter = new_named("counter", "over_the_end");
    let other = new_named("counter", "other");
    let mut expected = 0;
    for round in 0..6 {
        check(abi::initialize(&threaded_settings(directory.path())));
        let kept = AtomicU64::new(0);
        let is_over = AtomicBool::new(false);
        in_all_threads(|thread| {
            for call in 0..CALLS {
                if thread == 0 && call == CALLS / 2 {
                    check(glean_shutdown());
                    is_over.store(true, Ordering::SeqCst);
                }
                let was_over = is_over.load(Ordering::SeqCst);
                match glean_counter_add(counter, 1) & !GLEAN_LOGGED {
                    GLEAN_OK => {
                        assert!(!was_over, "round {round}: it said OK after the end");
                        kept.fetch_add(1, Ordering::Relaxed);
                    }
                    status => assert_eq!(status, GLEAN_NOT_INITIALIZED),
                }
                glean_counter_add(other, 1);
            }
        });
        expected += kept.into_inner();
        check(glean_reset());
    }
    check(abi::initialize(&threaded_settings(directory.path())));
    assert_eq!(value(counter), Ok(json!(expected)));
    assert_nothing_went_wrong();
}

#[test]
fn metrics_may_be_made_and_destroyed_by_all_threads_at_once() {
    let _turn = take_turn();
    let directory = TempDir::new();
    new_ping(abi::PING);
    check(abi::initialize(&threaded_settings(directory.path())));
    in_all_threads(|_| {
        for _ in 0..100 {
            let counter = new_named("counter", "made_often");
            check(glean_counter_add(counter, 1));
            check(glean_metric_destroy(counter));
            assert_eq!(glean_counter_add(counter, 1) & !GLEAN_LOGGED, GLEAN_INVALID_HANDLE);
        }
    });
    assert_eq!(value(new_named("counter", "made_often")), Ok(json!(THREADS * 100)));
    assert_nothing_went_wrong();
}

#[test]
fn the_end_does_not_wait_for_threads_that_go_on_calling() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let ping = new_ping(abi::PING);
    check(abi::initialize(&threaded_settings(directory.path())));
    let (counter, event) = (new_named("counter", "endless"), new_named("event", "endless_event"));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for call in 0.. {
                    glean_counter_add(counter, 1);
                    unsafe { glean_metric_record_event(event, std::ptr::null(), 0) };
                    if call % 1_000 == 0 {
                        unsafe { glean_ping_submit(ping, std::ptr::null(), 0) };
                    }
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_millis(50));
        check(glean_shutdown());
        is_over.store(true, Ordering::Relaxed);
    });
    // A busy machine may need longer than the end waits.
    let others: Vec<String> = errors().into_iter().filter(|text| !text.starts_with("the end did not wait")).collect();
    assert_eq!(others, [] as [String; 0]);
}
