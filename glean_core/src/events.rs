//! What makes stored events of several runs ready for one ping.
//!
//! Each run counts time from another zero. An event `glean.restarted` marks the start of a run and tells the minute of
//! it, so the events after it can be put behind those of earlier runs, roughly as far as they were apart.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::error_recording::ErrorType;
use crate::sort;
use crate::store::value::tree;
use crate::store::{SessionMetadata, StoredEvent};
use crate::time::parse_minute;

/// Name of the built-in ping of events.
pub(crate) const EVENTS_PING: &str = "events";
/// Extra with the time of the clock on the wall.
pub(crate) const WALL_CLOCK_EXTRA: &str = "glean_timestamp";
/// Name, after the category `glean`, of the event that marks a start.
pub(crate) const RESTARTED: &str = "restarted";
/// Extra of that event: when the start was, to the minute.
pub(crate) const STARTUP_DATE_EXTRA: &str = "glean.startup.date";
/// Category of the events of the core itself.
const GLEAN_CATEGORY: &str = "glean";

/// An event as it stands in a ping; `Serialize` of [`StoredEvent`] itself is for storage.
///
/// The fields are sorted, here and below: objects of a ping have their keys in order.
#[derive(Serialize)]
pub(crate) struct EventInPing<'a> {
    category: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a BTreeMap<String, String>>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionInPing<'a>>,
    timestamp: u64,
}

impl<'a> From<&'a StoredEvent> for EventInPing<'a> {
    fn from(event: &'a StoredEvent) -> EventInPing<'a> {
        EventInPing {
            category: &event.category,
            extra: event.extra.as_ref(),
            name: &event.name,
            session: event.session.as_ref().map(SessionInPing::from),
            timestamp: event.timestamp,
        }
    }
}

#[derive(Serialize)]
struct SessionInPing<'a> {
    event_seq: i64,
    session_id: &'a str,
    session_sample_rate: f64,
    session_seq: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_start_time: Option<&'a str>,
}

impl<'a> From<&'a SessionMetadata> for SessionInPing<'a> {
    fn from(session: &'a SessionMetadata) -> SessionInPing<'a> {
        SessionInPing {
            event_seq: session.event_seq,
            session_id: &session.session_id,
            session_sample_rate: session.session_sample_rate,
            session_seq: session.session_seq,
            session_start_time: session.session_start_time.as_deref(),
        }
    }
}

/// Returns an event as it stands in a ping: `{"timestamp", "category", "name", "extra"?, "session"?}`.
pub fn to_json(event: &StoredEvent) -> Value {
    tree(&EventInPing::from(event))
}

/// Events ready for a ping.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Normalized {
    /// The events in order; empty if there were only marks of restarts, and then the ping has no events.
    pub events: Vec<StoredEvent>,
    /// One entry per error to count for `glean.restarted`, with its reason.
    pub errors: Vec<(ErrorType, String)>,
}

/// Sorts the events of one ping and makes their timestamps relative to the first one.
///
/// The events of a run start as long after the ping as the run did, but never before the end of the run before.
///
/// # Arguments
///
/// * `ping_start_ms`: when the ping was assembled last, or else `core_start_ms`, in milliseconds since 1970. For a ping
///   without precise timestamps the stored time goes through [`start_of_minute`](crate::time::start_of_minute) first,
///   as the ping itself says it; the start of the core doesn't.
/// * `core_start_ms`: when this run of the core began, the same way.
pub fn normalize(mut events: Vec<StoredEvent>, ping_start_ms: i64, core_start_ms: i64) -> Normalized {
    // A missing counter sorts before every number, and `false` before `true`. The sort is stable.
    let order = |event: &StoredEvent| (event.execution_counter, event.timestamp, !is_restarted(event));
    sort::by(&mut events, |a, b| order(a).cmp(&order(b)));
    drop_outer_restarts(&mut events);
    let Some(first) = events.first() else {
        return Normalized::default();
    };
    let mut timeline = Timeline {
        ping_start_ms,
        core_start_ms,
        run: run_number(first),
        origin: first.timestamp,
        offset_ms: 0,
        highest: 0,
        last: 0,
        errors: Vec::new(),
    };
    for event in &mut events {
        timeline.place(event);
    }
    Normalized { events, errors: timeline.errors }
}

fn is_restarted(event: &StoredEvent) -> bool {
    event.category == GLEAN_CATEGORY && event.name == RESTARTED
}

/// Returns the number of the run; the one that has no number yet is 0.
fn run_number(event: &StoredEvent) -> i32 {
    event.execution_counter.unwrap_or(0)
}

/// Drops the marks of restarts that have no events before or after them.
fn drop_outer_restarts(events: &mut Vec<StoredEvent>) {
    let end = events.iter().rposition(|event| !is_restarted(event)).map_or(0, |last| last + 1);
    events.truncate(end);
    let start = events.iter().position(|event| !is_restarted(event)).unwrap_or(0);
    events.drain(..start);
}

/// Removes and returns the date of a start; also the whole map if nothing is left in it.
fn take_startup_date(event: &mut StoredEvent) -> Option<String> {
    let extra = event.extra.as_mut()?;
    let date = extra.remove(STARTUP_DATE_EXTRA);
    if extra.is_empty() {
        event.extra = None;
    }
    date
}

/// Where the next event belongs. Times are wide enough to hold every sum and difference of 64-bit ones.
struct Timeline {
    ping_start_ms: i64,
    core_start_ms: i64,
    /// Number of the current run.
    run: i32,
    /// Stored timestamp of the event that began the current group.
    origin: u64,
    /// Relative timestamp of that event.
    offset_ms: i128,
    /// The highest relative timestamp so far.
    highest: i128,
    /// The last relative timestamp.
    last: i128,
    errors: Vec<(ErrorType, String)>,
}

impl Timeline {
    /// Gives the event its relative timestamp and takes away what only the timeline needs.
    fn place(&mut self, event: &mut StoredEvent) {
        if is_restarted(event) {
            self.begin_group(event);
        }
        let run = run_number(event);
        event.execution_counter = None;
        // Events without a number may get the one of the start that is missing, so this is no change.
        let is_change = run != self.run && self.run != 0;
        if is_change {
            self.fail(
                ErrorType::InvalidState,
                format!("an event of run {run} follows run {} without a mark", self.run),
            );
        }
        self.run = run;
        let distance = i128::from(event.timestamp) - i128::from(self.origin);
        let relative = (self.offset_ms + distance).clamp(0, i64::MAX.into());
        if relative < self.last {
            self.fail(ErrorType::InvalidState, format!("an event at {relative} ms follows one at {} ms", self.last));
        }
        event.timestamp = u64::try_from(relative).expect("clamped to 0 and above");
        self.last = relative;
        self.highest = self.highest.max(relative);
    }

    /// Starts the group of events that follows a mark of a restart.
    fn begin_group(&mut self, mark: &mut StoredEvent) {
        self.run = run_number(mark);
        self.origin = mark.timestamp;
        let start_ms = match take_startup_date(mark) {
            None => self.core_start_ms,
            Some(date) => parse_minute(&date).unwrap_or_else(|| {
                self.fail(ErrorType::InvalidState, format!("{date:?} is no date of a start"));
                self.core_start_ms
            }),
        };
        self.offset_ms = (i128::from(start_ms) - i128::from(self.ping_start_ms)).max(0);
        if self.offset_ms < self.highest {
            let why =
                format!("a start {} ms after the ping's precedes an event at {} ms", self.offset_ms, self.highest);
            self.fail(ErrorType::InvalidValue, why);
            self.offset_ms = self.highest + 1;
        }
    }

    fn fail(&mut self, error: ErrorType, why: String) {
        self.errors.push((error, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::start_of_minute;
    use serde_json::json;

    use ErrorType::{InvalidState, InvalidValue};

    /// 2021-03-04T05:06:13.947+00:00
    const START_MS: i64 = 1_614_834_373_947;
    /// Minutes after the start, and how far they are from it.
    const IN_2_MINUTES: (&str, u64) = ("2021-03-04T05:08+00:00", 106_053);
    const IN_5_MINUTES: (&str, u64) = ("2021-03-04T06:11+01:00", 286_053);
    const LONG_AGO: &str = "2021-03-04T04:16+00:00";

    fn event(timestamp: u64, execution_counter: impl Into<Option<i32>>, name: &str) -> StoredEvent {
        StoredEvent {
            timestamp,
            category: "ui".to_owned(),
            name: name.to_owned(),
            extra: None,
            session: None,
            execution_counter: execution_counter.into(),
        }
    }

    fn restarted(timestamp: u64, execution_counter: i32, date: &str) -> StoredEvent {
        let extra = BTreeMap::from([(STARTUP_DATE_EXTRA.to_owned(), date.to_owned())]);
        StoredEvent {
            category: "glean".to_owned(),
            extra: Some(extra),
            ..event(timestamp, execution_counter, "restarted")
        }
    }

    fn run(events: Vec<StoredEvent>) -> Normalized {
        normalize(events, START_MS, START_MS)
    }

    /// Normalizes events of a ping that was never assembled; returns names, times and kinds of errors.
    fn outcome(events: Vec<StoredEvent>) -> (Vec<(String, u64)>, Vec<ErrorType>) {
        let Normalized { events, errors } = run(events);
        assert!(events.iter().all(|event| event.execution_counter.is_none()));
        (
            events.into_iter().map(|event| (event.name, event.timestamp)).collect(),
            errors.into_iter().map(|(kind, _)| kind).collect(),
        )
    }

    fn times(events: Vec<StoredEvent>) -> (Vec<u64>, Vec<ErrorType>) {
        let (events, errors) = outcome(events);
        (events.into_iter().map(|(_, time)| time).collect(), errors)
    }

    #[track_caller]
    fn check(events: Vec<StoredEvent>, expected_times: &[u64], expected_errors: &[ErrorType]) {
        assert_eq!(times(events), (expected_times.to_vec(), expected_errors.to_vec()));
    }

    fn named(events: &[(&str, u64)]) -> Vec<(String, u64)> {
        events.iter().map(|(name, time)| ((*name).to_owned(), *time)).collect()
    }

    #[test]
    fn no_events_stay_none() {
        assert_eq!(run(vec![]), Normalized::default());
    }

    #[test]
    fn the_first_event_of_one_run_is_at_zero() {
        let events = vec![event(30, None, "c"), event(10, None, "a"), event(20, None, "b"), event(10, None, "a2")];
        assert_eq!(outcome(events), (named(&[("a", 0), ("a2", 0), ("b", 10), ("c", 20)]), vec![]));
    }

    // The expected times and errors of the following tests were recorded by glean-sdk 71 from event files with these
    // contents, where the comment of a test says nothing else.

    #[test]
    fn marks_sort_before_other_events_of_the_same_time() {
        let events = vec![
            event(5, 0, "x"),
            event(10, 0, "y"),
            event(7, 0, "a"),
            event(10, 1, "z"),
            restarted(10, 1, IN_5_MINUTES.0),
            event(15, 1, "w"),
        ];
        let start = IN_5_MINUTES.1;
        let expected = [("x", 0), ("a", 2), ("y", 5), ("restarted", start), ("z", start), ("w", start + 5)];
        assert_eq!(outcome(events), (named(&expected), vec![]));
    }

    #[test]
    fn each_run_keeps_its_distances() {
        let events = vec![
            event(100, None, "a"),
            event(150, None, "b"),
            restarted(10, 1, IN_2_MINUTES.0),
            event(40, 1, "c"),
            restarted(10, 2, IN_5_MINUTES.0),
            event(60, 2, "d"),
        ];
        let (second, third) = (IN_2_MINUTES.1, IN_5_MINUTES.1);
        check(events, &[0, 50, second, second + 30, third, third + 50], &[]);
    }

    #[test]
    fn only_marks_are_no_events() {
        let events = vec![restarted(10, 1, LONG_AGO), restarted(10, 2, "nonsense")];
        assert_eq!(run(events), Normalized::default());
    }

    #[test]
    fn outer_marks_are_dropped() {
        let events = vec![
            restarted(10, 1, IN_2_MINUTES.0),
            restarted(20, 1, IN_2_MINUTES.0),
            event(100, 1, "a"),
            event(150, 1, "b"),
            restarted(10, 2, IN_5_MINUTES.0),
            restarted(10, 3, "nonsense"),
        ];
        assert_eq!(outcome(events), (named(&[("a", 0), ("b", 50)]), vec![]));
    }

    #[test]
    fn other_events_named_restarted_are_ordinary() {
        let mut mark = restarted(1, 1, LONG_AGO);
        mark.category = "ui".to_owned();
        let normalized = run(vec![mark.clone()]);
        assert_eq!(normalized.events[0].extra, mark.extra);
    }

    #[test]
    fn a_start_before_the_last_event_is_put_behind_it() {
        let mut events =
            vec![event(100, None, "a"), event(150, None, "b"), restarted(10, 1, LONG_AGO), event(40, 1, "c")];
        check(events.clone(), &[0, 50, 51, 81], &[InvalidValue]);
        events.push(restarted(10, 2, LONG_AGO));
        events.push(event(40, 2, "d"));
        check(events, &[0, 50, 51, 81, 82, 112], &[InvalidValue, InvalidValue]);
    }

    #[test]
    fn marks_in_a_row_are_put_behind_each_other() {
        let events = vec![
            event(100, 2, "a"),
            event(150, 2, "b"),
            restarted(10, 3, LONG_AGO),
            restarted(10, 4, LONG_AGO),
            event(40, 4, "c"),
        ];
        check(events, &[0, 50, 51, 52, 82], &[InvalidValue, InvalidValue]);
    }

    #[test]
    fn a_start_at_the_last_event_is_no_error() {
        let events = vec![event(100, None, "a"), restarted(10, 1, LONG_AGO), event(40, 1, "c")];
        check(events, &[0, 0, 30], &[]);
    }

    #[test]
    fn a_mark_with_an_unreadable_date_starts_with_the_core() {
        for date in ["", "nonsense", "2021-03-04T05:08:00+00:00", "2021-03-04T05:08Z", "2021-11-31T05:06+00:00"] {
            let events = vec![event(100, 2, "a"), restarted(10, 3, date), event(40, 3, "b")];
            check(events, &[0, 0, 30], &[InvalidState]);
        }
        let events = vec![event(100, 2, "a"), event(150, 2, "b"), restarted(10, 3, "nonsense"), event(40, 3, "c")];
        check(events, &[0, 50, 51, 81], &[InvalidState, InvalidValue]);
    }

    #[test]
    fn a_mark_without_a_date_starts_with_the_core() {
        let mark = StoredEvent { extra: None, ..restarted(10, 3, "") };
        check(vec![event(100, 2, "a"), mark, event(40, 3, "b")], &[0, 0, 30], &[]);
        let mark = StoredEvent { extra: Some(BTreeMap::new()), ..restarted(10, 3, "") };
        let normalized = run(vec![event(100, 2, "a"), mark, event(40, 3, "b")]);
        assert_eq!(normalized.events[1].extra, None);
        assert_eq!(normalized.errors, []);
    }

    #[test]
    fn only_marks_lose_the_date() {
        let mut mark = restarted(10, 3, IN_2_MINUTES.0);
        mark.extra.as_mut().unwrap().insert("keep".to_owned(), "k".to_owned());
        let mut ordinary = event(100, 2, "a");
        ordinary.extra = mark.extra.clone();
        let empty = StoredEvent { extra: Some(BTreeMap::new()), ..event(110, 2, "b") };
        let normalized = run(vec![ordinary.clone(), empty, mark, event(40, 3, "c")]);
        assert_eq!(normalized.events[0].extra, ordinary.extra);
        assert_eq!(normalized.events[1].extra, Some(BTreeMap::new()));
        assert_eq!(normalized.events[2].extra, Some(BTreeMap::from([("keep".to_owned(), "k".to_owned())])));
    }

    #[test]
    fn several_marks_in_one_run_each_start_a_group() {
        let events = vec![
            event(100, None, "a"),
            restarted(10, 1, IN_2_MINUTES.0),
            restarted(20, 1, IN_5_MINUTES.0),
            event(40, 1, "b"),
        ];
        check(events, &[0, IN_2_MINUTES.1, IN_5_MINUTES.1, IN_5_MINUTES.1 + 20], &[]);
    }

    #[test]
    fn a_counter_that_changes_without_a_mark_is_an_error() {
        let events = [(10, 2), (100, 2), (150, 3), (160, 3), (200, 3)].map(|(time, run)| event(time, run, "e"));
        check(events.to_vec(), &[0, 90, 140, 150, 190], &[InvalidState]);
        let events = [(10, 2), (100, 2), (150, 3), (160, 4), (200, 5)].map(|(time, run)| event(time, run, "e"));
        check(events.to_vec(), &[0, 90, 140, 150, 190], &[InvalidState; 3]);
        let events = vec![event(10, -1, "a"), event(100, 0, "b")];
        check(events, &[0, 90], &[InvalidState]);
    }

    #[test]
    fn the_first_counter_may_appear_later() {
        check(vec![event(100, None, "a"), event(150, 1, "b"), event(160, 1, "c")], &[0, 50, 60], &[]);
        check(vec![event(100, 0, "a"), event(150, 1, "b"), event(160, 1, "c")], &[0, 50, 60], &[]);
        check(vec![event(10, None, "a"), event(100, 0, "b"), event(200, 0, "c")], &[0, 90, 190], &[]);
    }

    #[test]
    fn a_time_that_goes_back_is_an_error() {
        let events = [(10, 2), (100, 2), (50, 3), (60, 3), (200, 3)].map(|(time, run)| event(time, run, "e"));
        check(events.to_vec(), &[0, 90, 40, 50, 190], &[InvalidState, InvalidState]);
        let mut events = vec![event(100, 2, "a"), restarted(50, 3, IN_2_MINUTES.0), event(60, 3, "b")];
        events.extend([event(40, 4, "c"), event(70, 4, "d")]);
        let start = IN_2_MINUTES.1;
        check(events, &[0, start, start + 10, start - 10, start + 20], &[InvalidState, InvalidState]);
    }

    /// The reference wraps around here: it says `i64::MAX`.
    #[test]
    fn a_time_before_the_first_event_is_zero() {
        let events = vec![event(100, 2, "a"), event(200, 2, "b"), event(50, 3, "c"), event(60, 3, "d")];
        check(events, &[0, 100, 0, 0], &[InvalidState, InvalidState]);
        let events = vec![event(10, None, "a"), event(5, 0, "b")];
        assert_eq!(outcome(events), (named(&[("a", 0), ("b", 0)]), vec![]));
    }

    #[test]
    fn huge_times_are_cut() {
        let max = i64::MAX as u64;
        check(vec![event(5, 2, "a"), event(max + 101, 2, "b"), event(u64::MAX, 2, "c")], &[0, max, max], &[]);
        let mut events = vec![event(5, 2, "a"), event(max + 101, 2, "b")];
        events.extend([restarted(3, 4, IN_2_MINUTES.0), event(5, 4, "c")]);
        check(events, &[0, max, max, max], &[InvalidValue]);
    }

    /// The reference wraps around here.
    #[test]
    fn huge_times_after_a_start_are_cut() {
        let events = vec![event(5, 2, "a"), restarted(1, 3, IN_2_MINUTES.0), event(u64::MAX, 3, "b")];
        check(events, &[0, IN_2_MINUTES.1, i64::MAX as u64], &[]);
    }

    #[test]
    fn runs_count_from_the_start_of_the_ping() {
        let events = || vec![event(1, None, "a"), restarted(1, 1, IN_5_MINUTES.0), event(5, 1, "b")];
        let second_of = |normalized: Normalized| normalized.events[1].timestamp;
        assert_eq!(second_of(normalize(events(), START_MS - 2000, START_MS)), IN_5_MINUTES.1 + 2000);
        let minute = start_of_minute(START_MS - 2000);
        assert_eq!(second_of(normalize(events(), minute, START_MS)), 300_000);
        let bad = vec![event(1, None, "a"), restarted(1, 1, "x"), event(5, 1, "b")];
        assert_eq!(second_of(normalize(bad, START_MS - 1740, START_MS)), 1740);
    }

    #[test]
    fn absurd_starts_do_not_overflow() {
        for stored in [i64::MIN, i64::MAX] {
            for core in [i64::MIN, i64::MAX] {
                for date in ["x", IN_2_MINUTES.0] {
                    let events = vec![event(0, 1, "a"), restarted(u64::MAX, 2, date), event(u64::MAX, 2, "b")];
                    let normalized = normalize(events, stored, core);
                    assert!(normalized.events.iter().all(|event| event.timestamp <= i64::MAX as u64));
                }
            }
        }
    }

    #[test]
    fn json_leaves_out_what_is_missing() {
        let plain = StoredEvent { execution_counter: Some(3), ..event(7, None, "open") };
        assert_eq!(to_json(&plain), json!({"timestamp": 7, "category": "ui", "name": "open"}));
        let session = SessionMetadata {
            session_id: "id".to_owned(),
            session_seq: 1,
            event_seq: 0,
            session_sample_rate: 0.5,
            session_start_time: None,
        };
        let mut full = plain;
        full.extra = Some(BTreeMap::from([("key".to_owned(), "value".to_owned())]));
        full.session = Some(session.clone());
        let mut expected = json!({
            "timestamp": 7, "category": "ui", "name": "open", "extra": {"key": "value"},
            "session": {"session_id": "id", "session_seq": 1, "event_seq": 0, "session_sample_rate": 0.5},
        });
        assert_eq!(to_json(&full), expected);
        let start = "2021-03-04T05:06:07.123Z".to_owned();
        full.session = Some(SessionMetadata { session_start_time: Some(start.clone()), ..session });
        expected["session"]["session_start_time"] = start.into();
        assert_eq!(to_json(&full), expected);
    }

    #[test]
    fn events_survive_storage() {
        let mark = restarted(7, 2, LONG_AGO);
        let stored = serde_json::to_string(&mark).unwrap();
        assert_eq!(serde_json::from_str::<StoredEvent>(&stored).unwrap(), mark);
    }
}
