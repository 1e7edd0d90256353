"""Sessions and activity from Python."""

import pytest
from conftest import describe, read_pings

from glean_py import Configuration, Glean, SessionMode, testing
from glean_py.metrics import EventMetricType


def start(**options):
    testing.reset_glean(application_id="glean-tests", application_version="1.0", configuration=Configuration(**options))


def read_boundaries():
    """Return the boundaries of sessions in the events pings: name and reason."""
    events = [event for sent in read_pings(name="events") for event in sent.body["events"]]
    return [(event["name"], event["extra"].get("reason")) for event in events if event["name"].startswith("session")]


def test_activity_sends_the_built_in_pings(ping):
    event = EventMetricType(describe(pings=["events"]), [])
    Glean.handle_client_active()
    event.record()
    Glean.handle_client_inactive()
    assert event.test_get_value() is None
    active, inactive = read_pings(name="baseline")
    assert active.body["ping_info"]["reason"] == "active"
    assert inactive.body["ping_info"]["reason"] == "inactive"
    assert inactive.body["metrics"]["timespan"]["glean.baseline.duration"]["time_unit"] == "second"
    (events,) = read_pings(name="events")
    assert events.body["ping_info"]["reason"] == "inactive"


def test_a_session_goes_on_after_a_short_pause(ping):
    start(session_mode=SessionMode.AUTO)
    for _ in range(2):
        Glean.handle_client_active()
        Glean.handle_client_inactive()
    assert read_boundaries() == [("session_start", None)]


def test_a_session_without_a_pause_does_not_go_on_after_a_shutdown(ping):
    start(session_mode=SessionMode.AUTO)
    event = EventMetricType(describe(in_session=True), [])
    Glean.handle_client_active()
    event.record()
    Glean.shutdown()
    testing.reset_glean(application_id="glean-tests", application_version="1.0", clear_stores=False)
    event.record()
    Glean.handle_client_active()
    event.record()
    sessions = [recorded.session for recorded in event.test_get_value()]
    assert [session and session.session_seq for session in sessions] == [1, None, 2]


@pytest.mark.parametrize("max_events", [1, 2])
def test_the_end_of_a_broken_off_session_is_sent_with_the_events_of_that_run(ping, max_events):
    start(session_mode=SessionMode.AUTO)
    Glean.handle_client_active()
    # The two boundaries are as many events as a ping takes, or more, but they are sent because of the start.
    configuration = Configuration(session_mode=SessionMode.AUTO, max_events=max_events)
    testing.reset_glean(
        application_id="glean-tests", application_version="1.0", configuration=configuration, clear_stores=False
    )
    (sent,) = read_pings(name="events")
    assert sent.body["ping_info"]["reason"] == "startup"
    assert read_boundaries() == [("session_start", None), ("session_end", "abnormal")]


def test_each_pause_can_end_a_session(ping):
    start(session_mode=SessionMode.LIFECYCLE)
    Glean.handle_client_active()
    Glean.handle_client_inactive()
    assert read_boundaries() == [("session_start", None), ("session_end", "inactive")]


def test_sessions_can_begin_and_end_by_hand(ping):
    start(session_mode=SessionMode.MANUAL)
    Glean.session_start()
    Glean.session_start()
    Glean.session_end("done")
    Glean.session_end()
    Glean.handle_client_inactive()
    assert read_boundaries() == [
        ("session_start", None),
        ("session_end", "replaced"),
        ("session_start", None),
        ("session_end", "done"),
    ]
    with pytest.raises(TypeError):
        Glean.session_end(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate, is_recorded", [(0.0, False), (-1, False), (1, True), (float("inf"), True)])
def test_sessions_that_are_not_sampled_record_no_events_of_theirs(ping, rate, is_recorded):
    start(session_mode=SessionMode.MANUAL, session_sample_rate=rate)
    inside = EventMetricType(describe(in_session=True), [])
    outside = EventMetricType(describe(), [])
    Glean.session_start()
    inside.record()
    outside.record()
    assert (inside.test_get_value() is not None) is is_recorded
    assert outside.test_get_value() is not None
