//! The ping `metrics` once a day: starts and mornings at times of the test, in real directories.

use crate::common::{PENDING, Process, TempDir, sent, settings};
use glean_core::Lifetime;
use glean_core::machine::context::Settings;
use glean_core::machine::op::{Moment, Op};
use glean_core::process::Calls;
use glean_core::time::LocalDatetime;

/// A time on a day of November 2026, two hours east of Greenwich.
fn moment(day: u32, hour: u32, minute: u32) -> Moment {
    let local = LocalDatetime::new(2026, 11, day, hour, minute, 0, 0, 7200).unwrap();
    Moment { unix_ms: local.unix_ms(), uptime_ms: 0, local }
}

/// Starts a process at that time.
fn start_process(settings: Settings, moment: Moment, is_alone: bool) -> Process {
    let mut process = Process::start_at(Calls::new(), settings, Vec::new(), moment, Some(is_alone)).unwrap();
    process.fold();
    process
}

/// It is four o'clock.
fn morning(process: &mut Process, day: u32) {
    process.log.append(&Op::MetricsPingDue(moment(day, 4, 0)));
    process.fold();
}

fn scheduled(directory: &TempDir, build: &str) -> Settings {
    Settings { schedule_metrics_ping: true, app_build: build.into(), ..settings(directory.path()) }
}

/// The reasons of the pings so far, which every start gives something to tell: how large the database is.
fn reasons(directory: &TempDir) -> Vec<String> {
    let pings = sent(directory.path(), PENDING);
    let metrics = pings.iter().filter(|sent| sent.name() == "metrics");
    metrics.map(|sent| sent.body["ping_info"]["reason"].as_str().unwrap().to_owned()).collect()
}

/// A start always counts something for the ping `metrics`: that pings were submitted.
fn start(directory: &TempDir, build: &str, at: Moment) -> Process {
    let mut process = start_process(scheduled(directory, build), at.clone(), true);
    process.log.append(&Op::Submit { ping: "baseline", reason: None, moment: at });
    process.fold();
    process
}

#[test]
fn a_new_build_submits_at_once_and_later_mornings_follow() {
    let directory = TempDir::new();
    drop(start(&directory, "1", moment(20, 10, 0)));
    // The first start had nothing to tell, which counts as one.
    assert!(reasons(&directory).is_empty());
    let mut process = start(&directory, "2", moment(20, 11, 0));
    assert_eq!(reasons(&directory), ["upgrade"]);
    morning(&mut process, 21);
    assert_eq!(reasons(&directory), ["upgrade", "reschedule"]);
    // Another process of the same directory comes to the same hour.
    let mut other = start_process(scheduled(&directory, "2"), moment(21, 3, 59), false);
    morning(&mut other, 21);
    assert_eq!(reasons(&directory), ["upgrade", "reschedule"]);
    process.log.append(&Op::Submit { ping: "baseline", reason: None, moment: moment(21, 5, 0) });
    morning(&mut process, 22);
    assert_eq!(reasons(&directory), ["upgrade", "reschedule", "reschedule"]);
}

#[test]
fn a_start_after_four_that_finds_none_of_today_is_overdue() {
    let directory = TempDir::new();
    drop(start(&directory, "1", moment(20, 10, 0)));
    drop(start(&directory, "1", moment(21, 4, 0)));
    assert_eq!(reasons(&directory), ["overdue"]);
    drop(start(&directory, "1", moment(21, 23, 0)));
    assert_eq!(reasons(&directory), ["overdue"]);
}

#[test]
fn a_start_before_four_waits_for_today_and_one_after_it_for_tomorrow() {
    let directory = TempDir::new();
    drop(start(&directory, "1", moment(20, 10, 0)));
    let mut process = start(&directory, "1", moment(21, 3, 59));
    assert!(reasons(&directory).is_empty());
    morning(&mut process, 21);
    assert_eq!(reasons(&directory), ["today"]);
    drop(process);
    let mut process = start(&directory, "1", moment(21, 9, 0));
    morning(&mut process, 22);
    assert_eq!(reasons(&directory), ["today", "tomorrow"]);
}

#[test]
fn nothing_is_scheduled_unless_it_is_asked_for_or_while_collection_is_off() {
    let directory = TempDir::new();
    let quiet = Settings { schedule_metrics_ping: false, ..scheduled(&directory, "1") };
    let mut process = start_process(quiet, moment(20, 10, 0), true);
    process.log.append(&Op::Submit { ping: "baseline", reason: None, moment: moment(20, 10, 0) });
    morning(&mut process, 21);
    drop(process);
    let off = Settings { upload_enabled: false, ..scheduled(&directory, "1") };
    let mut process = start_process(off, moment(22, 10, 0), true);
    morning(&mut process, 23);
    assert!(reasons(&directory).is_empty());
}

#[test]
fn the_ping_of_a_start_has_what_the_former_run_recorded() {
    let directory = TempDir::new();
    let mut process = start(&directory, "1", moment(20, 10, 0));
    let lasting =
        crate::common::metric("test.lasting", glean_core::metrics::Kind::Counter, &["metrics"], Lifetime::Application);
    process.record(&lasting, &glean_core::metrics::Recording::CounterAdd(5));
    drop(process);
    drop(start(&directory, "1", moment(21, 10, 0)));
    let pings = sent(directory.path(), PENDING);
    let metrics = pings.iter().find(|sent| sent.name() == "metrics").unwrap();
    assert_eq!(metrics.count("test.lasting"), 5);
}

#[test]
fn the_time_until_an_hour_is_that_of_the_clock_on_the_wall() {
    let until = |hour, minute| moment(20, hour, minute).local.ms_until_hour(4) / 60_000;
    assert_eq!((until(3, 59), until(4, 0), until(4, 1), until(0, 0)), (1, 24 * 60, 24 * 60 - 1, 240));
}
