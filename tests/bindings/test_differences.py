"""What docs/compatibility.md says and no other test shows. With glean-sdk 71 each of these tests fails."""

import json

import pytest
from conftest import count_errors, describe, make_ping, read_pings

from glean_py import Configuration, Glean, SessionMode, _uniffi, testing
from glean_py.metrics import (
    AttributionMetrics,
    CounterMetricType,
    EventMetricType,
    LabeledMetricData,
    LabeledStringMetricType,
    LabeledTimingDistributionMetricType,
    Lifetime,
    TimeUnit,
)


def start(data_dir, upload_enabled=True):
    """Start Glean for the first time, without a reset before it."""
    Glean._testing_mode = True
    _uniffi.glean_set_test_mode(True)
    Glean.initialize("glean-tests", "1.0", upload_enabled, data_dir=data_dir)


def restart(**options):
    """Start Glean again in the same directory."""
    testing.reset_glean(
        application_id="glean-tests",
        application_version="1.0",
        configuration=Configuration(**options),
        clear_stores=False,
    )


def submit_hollow(**changes):
    """Return the body of a ping without values."""
    hollow = make_ping("hollow", send_if_empty=True, **changes)
    hollow.submit()
    return read_pings(name="hollow")[-1].body


def test_without_room_for_events_each_one_is_sent(ping):
    restart(max_events=0)
    event = EventMetricType(describe(pings=["events"]), [])
    for _ in range(3):
        event.record()
    assert event.test_get_value() is None
    assert [len(sent.body["events"]) for sent in read_pings(name="events")] == [1, 1, 1]


def test_the_echo_of_server_knobs_has_only_what_the_schema_allows(ping):
    _uniffi.glean_apply_server_knobs_config('{"events_ping_acceleration_factor": 2, "event_threshold": 5}')
    echo = submit_hollow()["ping_info"]["server_knobs_config"]
    assert echo == {"event_threshold": 5, "session_sample_rate": None}


def test_the_configured_experimentation_id_is_in_the_pings_of_every_run(ping):
    for _ in range(2):
        restart(experimentation_id="alpha")
        assert submit_hollow()["metrics"]["string"] == {"glean.client.annotation.experimentation_id": "alpha"}
        assert Glean.test_get_experimentation_id() == "alpha"


def test_reading_counts_no_errors(ping):
    counter = _uniffi.DualLabeledCounterMetric(describe("test.dual"), None, None)
    counter.get("x" * 112, "a").add(1)
    for _ in range(3):
        assert counter.test_get_value() is not None
    assert count_errors(counter) == {"INVALID_LABEL": 1}
    Glean.set_experiment_active("x" * 101, "branch")
    for _ in range(3):
        assert Glean.test_is_experiment_active("x" * 101)
    errors = CounterMetricType(describe("x" * 100 + "#experiment", ["all-pings"]))
    assert count_errors(errors) == {"INVALID_VALUE": 1}


def test_tags_from_before_a_start_end_with_the_run(stopped, tmp_path):
    _uniffi.glean_set_debug_view_tag("early")
    _uniffi.glean_set_source_tags(["early"])
    for headers in ({"X-Debug-ID": "early", "X-Source-Tags": "early"}, {}):
        start(tmp_path)
        submit_hollow()
        assert read_pings(name="hollow")[-1].metadata["headers"] == headers
        Glean._reset()


def test_attribution_cleared_before_a_start_is_cleared_once(stopped, tmp_path):
    Glean.clear_attribution()
    Glean.update_attribution(AttributionMetrics(source="search"))
    for _ in range(2):
        start(tmp_path)
        assert Glean.test_get_attribution() == AttributionMetrics(source="search")
        Glean._reset()


def test_a_running_duration_ends_with_the_run(ping):
    Glean.handle_client_active()
    restart()
    Glean.handle_client_inactive()
    last = read_pings(name="baseline")[-1].body
    assert last["ping_info"]["reason"] == "inactive"
    assert "timespan" not in last["metrics"]


def test_a_tag_that_is_none_is_told_by_the_setter(ping):
    assert _uniffi.glean_set_debug_view_tag("no tag!") is False
    assert _uniffi.glean_set_source_tags(["one", "glean-two"]) is False
    assert _uniffi.glean_set_source_tags([]) is False
    assert _uniffi.glean_set_source_tags(["a", "b", "c", "d", "e"]) is True


def test_a_tag_that_is_none_leaves_the_one_from_before(stopped, tmp_path):
    for view_tag, source_tags in (("tag", ["one", "two"]), ("no tag!", [])):
        _uniffi.glean_set_debug_view_tag(view_tag)
        _uniffi.glean_set_source_tags(source_tags)
    start(tmp_path)
    submit_hollow()
    (sent,) = read_pings(name="hollow")
    assert sent.metadata["headers"] == {"X-Debug-ID": "tag", "X-Source-Tags": "one,two"}


def test_a_ping_made_while_glean_ran_is_known_after_a_reset(ping):
    late = make_ping("late")
    counter = CounterMetricType(describe(pings=["late"]))
    restart()
    counter.add(1)
    late.submit()
    assert len(read_pings(name="late")) == 1


def test_a_session_from_before_initialize_starts_when_it_was_started(stopped, tmp_path):
    event = EventMetricType(describe("ui.open", ["events"]), [])
    Glean.handle_client_active()
    event.record()
    start(tmp_path)
    Glean.handle_client_inactive()
    (sent,) = read_pings(name="events")
    assert [event["name"] for event in sent.body["events"]] == ["session_start", "open"]


def test_a_part_of_a_labeled_metric_can_do_what_such_a_metric_can(ping):
    timings = LabeledTimingDistributionMetricType(
        LabeledMetricData.TIMING_DISTRIBUTION(describe(), TimeUnit.NANOSECOND)
    )
    with timings["a"].measure():
        pass
    assert timings["a"].test_get_value().count == 1
    strings = LabeledStringMetricType(LabeledMetricData.COMMON(describe()))
    strings["a"].set(None)  # type: ignore[arg-type]
    assert strings.test_get_value() == {}


def test_a_first_run_without_collection_is_the_first_run(stopped, tmp_path):
    free = make_ping("free", send_if_empty=True, follows_collection_enabled=False)
    counter = CounterMetricType(describe(pings=["free"], lifetime=Lifetime.APPLICATION))
    for upload_enabled in (False, True):
        start(tmp_path, upload_enabled)
        assert counter.test_get_value() is None
        counter.add(1)
        free.submit()
        (sent,) = [sent for sent in read_pings(name="free") if sent.body["ping_info"]["seq"] == 0][-1:]
        assert "first_run_date" in sent.body["client_info"]
        Glean._reset()


def test_of_the_data_of_glean_sdk_only_the_client_id_is_taken_over(stopped, tmp_path):
    client_id = "01234567-89ab-4def-8123-456789abcdef"
    (tmp_path / "client_id.txt").write_text(client_id)
    (tmp_path / "db").mkdir()
    (tmp_path / "events").mkdir()
    database, events = tmp_path / "db" / "data.safe.bin", tmp_path / "events" / "custom"
    database.write_bytes(b"not read")
    events.write_text('{"timestamp": 1, "category": "ui", "name": "open"}\n')
    custom = make_ping(send_if_empty=True)
    start(tmp_path)
    custom.submit()
    (sent,) = read_pings(name="custom")
    assert sent.body["client_info"]["client_id"] == client_id
    assert "events" not in sent.body
    assert database.read_bytes() == b"not read"
    assert json.loads(events.read_text())["name"] == "open"


def test_before_initialize_a_debug_view_tag_can_be_read(stopped):
    assert _uniffi.glean_get_debug_view_tag() is None
    with pytest.raises(RuntimeError):
        CounterMetricType(describe()).test_get_value()


def test_a_channel_outlives_a_time_without_collection(ping):
    Glean.configuration.channel = "beta"
    Glean.set_collection_enabled(False)
    Glean.configuration.channel = "nightly"
    Glean.set_collection_enabled(True)
    assert submit_hollow()["client_info"]["app_channel"] == "nightly"


def test_no_session_starts_without_collection(ping):
    restart(session_mode=SessionMode.MANUAL)
    Glean.set_collection_enabled(False)
    Glean.session_start()
    restart(session_mode=SessionMode.MANUAL)
    assert read_pings(name="events") == []


def test_a_channel_leaves_the_internal_pings_as_they_are():
    configuration = Configuration(enable_internal_pings=False)
    testing.reset_glean(application_id="glean-tests", application_version="1.0", configuration=configuration)
    Glean.configuration.channel = "beta"
    assert not _uniffi.glean_submit_ping_by_name_sync("baseline", "active")
    Glean._reset()
