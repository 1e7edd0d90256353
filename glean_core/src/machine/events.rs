//! Events: how they are kept, when there are enough of them for a ping, and what a restart does to them.

use super::Machine;
use super::context::Context;
use crate::common_metric_data::Lifetime;
use crate::events::{EVENTS_PING, RESTARTED, STARTUP_DATE_EXTRA, WALL_CLOCK_EXTRA};
use crate::metrics::{EventRecording, KnownMetric};
use crate::sort;
use crate::store::{Address, INTERNAL_STORE, State, StoredEvent, Value};
use crate::time::{Moment, TimeUnit};

/// Bookkeeping entry: how many `events` pings were collected since the start.
const COLLECTED: &str = "events#collected";
/// Keeps an event for each enabled ping; a full `events` ping is submitted.
pub(crate) fn record(machine: &mut Machine<'_>, known: &KnownMetric, event: &EventRecording) {
    store(machine, known, event);
    let goes_there = known.definition.common.send_in_pings.iter().any(|ping| ping == EVENTS_PING);
    let is_kept = goes_there && machine.context.is_store_enabled(EVENTS_PING);
    if is_kept && to_full(machine.state, machine.context) == 0 {
        machine.submit(EVENTS_PING, Some("max_capacity"), &Moment::now());
    }
}

/// Keeps an event for each enabled ping, however many there are.
pub(crate) fn store(machine: &mut Machine<'_>, known: &KnownMetric, event: &EventRecording) {
    let common = &known.definition.common;
    let mut extra = event.extra.clone();
    if machine.context.settings.enable_event_timestamps {
        extra.insert(WALL_CLOCK_EXTRA.to_owned(), event.unix_ms.to_string());
    }
    let pings: Vec<&String> =
        common.send_in_pings.iter().filter(|ping| machine.context.is_store_enabled(ping)).collect();
    if pings.is_empty() {
        return;
    }
    let session = if common.in_session { machine.next_session_metadata() } else { None };
    for ping in pings {
        let counter = execution_counter(ping);
        let execution_counter = match machine.state.internal(Lifetime::Ping, &counter) {
            Some(Value::Counter(count)) => Some(*count),
            _ => None,
        };
        let stored = StoredEvent {
            timestamp: event.timestamp,
            category: common.category.clone(),
            name: common.name.clone(),
            extra: (!extra.is_empty()).then(|| extra.clone()),
            session: session.clone(),
            execution_counter,
        };
        machine.state.events.entry(ping.clone()).or_default().push(stored);
    }
}

/// Returns how many further events make an `events` ping; 0 if there are enough.
pub(crate) fn to_full(state: &State, context: &Context) -> usize {
    let length = state.events.get(EVENTS_PING).map_or(0, Vec::len);
    let max_events = context.max_events();
    let factor =
        context.knobs.events_ping_acceleration_factor.or(context.settings.events_ping_acceleration_factor).unwrap_or(1);
    // Not `usize`: the square of a factor has more than 32 bits.
    let factor = u64::try_from(factor).unwrap_or(1).clamp(1, 1 << 20);
    let collected = collected(state);
    let max_events = max_events as u64;
    let early = if factor > collected {
        (max_events / (factor * factor)).saturating_mul((collected + 1).saturating_pow(2)).max(1)
    } else {
        max_events
    };
    usize::try_from(max_events.min(early)).unwrap_or(usize::MAX).saturating_sub(length)
}

/// Returns how many `events` pings were collected since the start.
fn collected(state: &State) -> u64 {
    match state.get(INTERNAL_STORE, Address::plain(Lifetime::Ping, COLLECTED)) {
        Some(Value::Counter(count)) => u64::try_from(*count).unwrap_or(0),
        _ => 0,
    }
}

/// Counts one more.
pub(crate) fn note_collected(machine: &mut Machine<'_>) {
    let address = Address::plain(Lifetime::Ping, COLLECTED);
    machine.state.add(INTERNAL_STORE, address, 1);
}

/// Forgets those of the former run, and that of the start.
pub(crate) fn forget_collected(machine: &mut Machine<'_>) {
    machine.state.remove(INTERNAL_STORE, Lifetime::Ping, COLLECTED);
}

fn execution_counter(ping: &str) -> String {
    format!("{ping}.execution_counter")
}

/// Sends the events of former runs: the `events` ping at once, those of other pings after a mark of this start.
pub(crate) fn submit_pending(machine: &mut Machine<'_>, start: &Moment) {
    if machine.state.events.get(EVENTS_PING).is_some_and(|events| !events.is_empty()) {
        machine.submit(EVENTS_PING, Some("startup"), start);
    }
    let others: Vec<String> = machine.state.events.keys().filter(|ping| *ping != EVENTS_PING).cloned().collect();
    for ping in &others {
        let counter = execution_counter(ping);
        let address = Address::plain(Lifetime::Ping, &counter);
        machine.state.add(INTERNAL_STORE, address, 1);
    }
    if !others.is_empty() {
        let date = start.local.to_text(TimeUnit::Minute);
        let extra = sort::collect([(STARTUP_DATE_EXTRA.to_owned(), date)]);
        machine.record_own_event(RESTARTED, &others, start, extra, store);
    }
}
