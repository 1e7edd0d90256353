"""The functions below the classes."""

import os
import subprocess
import sys

import pytest
from conftest import describe, make_ping, read_pings

from glean_py import Glean, _uniffi, metrics
from glean_py.metrics import CounterMetricType, EventMetricType


def test_every_function_of_peers_is_there():
    for name in _uniffi.__all__:
        assert getattr(_uniffi, name) is not None
    assert not [name for name in vars(_uniffi) if name.startswith("glean_") and name not in _uniffi.__all__]


def test_classes_are_those_of_the_package():
    assert _uniffi.CounterMetric is metrics.CounterMetricType
    assert _uniffi.DualLabeledCounterMetric is metrics.DualLabeledCounterMetricType
    assert _uniffi.DistributionData is metrics.DistributionData


def test_a_ping_can_be_submitted_by_its_name(ping):
    make_ping("hollow", send_if_empty=True)
    _uniffi.glean_submit_ping_by_name("hollow", "first")
    assert _uniffi.glean_submit_ping_by_name_sync("hollow") is True
    assert _uniffi.glean_submit_ping_by_name_sync("custom") is False
    assert _uniffi.glean_submit_ping_by_name_sync("unknown") is False
    _uniffi.glean_submit_ping_by_name("unknown", "reason")
    first, second = read_pings(name="hollow")
    assert first.body["ping_info"]["reason"] == "first"
    assert "reason" not in second.body["ping_info"]
    with pytest.raises(TypeError):
        _uniffi.glean_submit_ping_by_name(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _uniffi.glean_submit_ping_by_name("hollow", 0)  # type: ignore[arg-type]


def test_before_initialize_no_ping_is_submitted(stopped):
    assert _uniffi.glean_submit_ping_by_name_sync("baseline") is False


def test_the_names_of_all_pings_are_known(running):
    names = _uniffi.glean_get_registered_ping_names()
    assert {"baseline", "metrics", "events", "health", "deletion-request", "custom"} <= set(names)


def test_tags_mark_pings(ping):
    assert _uniffi.glean_get_debug_view_tag() is None
    assert _uniffi.glean_set_debug_view_tag("a-20-characters-tag1") is True
    assert _uniffi.glean_get_debug_view_tag() == "a-20-characters-tag1"
    assert _uniffi.glean_set_source_tags(["one", "two"]) is True
    # What is no tag leaves the former one in place.
    _uniffi.glean_set_debug_view_tag("no tag!")
    _uniffi.glean_set_source_tags(["glean-x"])
    make_ping("hollow", send_if_empty=True).submit()
    assert _uniffi.glean_get_debug_view_tag() == "a-20-characters-tag1"
    (sent,) = read_pings(name="hollow")
    assert sent.metadata["headers"] == {"X-Debug-ID": "a-20-characters-tag1", "X-Source-Tags": "one,two"}
    with pytest.raises(TypeError):
        _uniffi.glean_set_debug_view_tag(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _uniffi.glean_set_source_tags(None)


def test_tags_from_before_initialize_are_remembered(stopped, tmp_path):
    assert _uniffi.glean_set_debug_view_tag("early") is True
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    assert _uniffi.glean_get_debug_view_tag() == "early"


def test_whether_pings_are_logged_can_be_chosen(running):
    _uniffi.glean_set_log_pings(False)
    assert _uniffi.glean_get_log_pings() is False
    _uniffi.glean_set_log_pings(True)
    assert _uniffi.glean_get_log_pings() is True


def test_a_server_can_switch_metrics_and_pings(ping):
    counter = CounterMetricType(describe("test.switched"))
    disabled = CounterMetricType(describe("test.disabled", disabled=True))
    _uniffi.glean_apply_server_knobs_config(
        '{"metrics_enabled": {"test.switched": false, "test.disabled": true}, "pings_enabled": {"other": false}}'
    )
    counter.add()
    disabled.add()
    assert counter.test_get_value() is None
    assert disabled.test_get_value() == 1
    _uniffi.glean_apply_server_knobs_config('{"metrics_enabled": {"test.switched": true}}')
    counter.add()
    assert counter.test_get_value() == 1
    with pytest.raises(TypeError):
        _uniffi.glean_apply_server_knobs_config(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"metrics_enabled": 5}', '{"unknown": 1}'])
def test_what_is_no_choice_of_a_server_changes_nothing(running, text):
    counter = CounterMetricType(describe())
    _uniffi.glean_apply_server_knobs_config(text)
    counter.add()
    assert counter.test_get_value() == 1


def test_submitted_pings_can_be_remembered(ping):
    hollow = make_ping("hollow", send_if_empty=True)
    hollow.submit()
    assert _uniffi.glean_get_all_stored_submitted_pings() == []
    _uniffi.glean_set_store_submitted_pings_enabled(True)
    hollow.submit()
    (stored,) = _uniffi.glean_get_all_stored_submitted_pings()
    assert stored.ping == "hollow"
    assert stored.document_id in {sent.path.split("/")[-1] for sent in read_pings(name="hollow")}
    assert stored.submitted_date.endswith("Z") or stored.submitted_date.endswith("+00:00")
    assert stored.uploaded_date is None
    assert _uniffi.glean_get_stored_submitted_pings_by_name("hollow") == [stored]
    assert _uniffi.glean_get_stored_submitted_pings_by_name("custom") == []
    _uniffi.glean_clear_stored_submitted_pings()
    assert _uniffi.glean_get_all_stored_submitted_pings() == []
    _uniffi.glean_set_store_submitted_pings_enabled(False)


def test_the_core_can_be_started_without_the_class(stopped, tmp_path):
    class Callbacks(_uniffi.OnGleanEvents):
        is_finished = False

        def initialize_finished(self):
            self.is_finished = True

    callbacks = Callbacks()
    configuration = _uniffi.InternalConfiguration(
        data_path=str(tmp_path / "data"),
        application_id="glean-tests",
        language_binding_name="Python",
        upload_enabled=True,
        max_events=None,
        delay_ping_lifetime_io=False,
        app_build="7",
        use_core_mps=False,
        trim_data_to_registered_pings=False,
        log_level=None,
        rate_limit=None,
        enable_event_timestamps=True,
        experimentation_id=None,
        enable_internal_pings=True,
        ping_schedule={},
        ping_lifetime_threshold=0,
        ping_lifetime_max_time=0,
        max_pending_pings_count=None,
        max_pending_pings_directory_size=None,
        session_mode=_uniffi.SessionMode.AUTO,
        session_sample_rate=1.0,
        session_inactivity_timeout_ms=1000,
        events_ping_acceleration_factor=None,
    )
    epoch = _uniffi.Datetime(year=1970, month=1, day=1, hour=0, minute=0, second=0, nanosecond=0, offset_seconds=0)
    client = _uniffi.ClientInfoMetrics(
        app_build="7",
        app_display_version="1.0",
        app_build_date=epoch,
        architecture="mine",
        os_version="12",
        locale="de-DE",
    )
    make_ping("hollow", send_if_empty=True)
    _uniffi.glean_initialize(configuration, client, callbacks)
    assert callbacks.is_finished
    assert _uniffi.glean_submit_ping_by_name_sync("hollow") is True
    (sent,) = read_pings(data_dir=tmp_path / "data", name="hollow")
    client_info = sent.body["client_info"]
    assert (client_info["architecture"], client_info["os_version"], client_info["locale"]) == ("mine", "12", "de-DE")
    _uniffi.glean_test_destroy_glean(True, str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_an_event_in_a_session_tells_its_session(ping):
    event = EventMetricType(describe(in_session=True), [])
    event.record()
    _uniffi.glean_handle_client_active()
    event.record()
    event.record()
    before, first, second = event.test_get_value()
    assert before.session is None
    assert isinstance(first.session, _uniffi.SessionMetadata)
    assert (first.session.event_seq, second.session.event_seq) == (0, 1)
    assert first.session.session_id == second.session.session_id
    _uniffi.glean_handle_client_inactive()


def test_calls_that_peers_have_a_use_for_do_no_harm(running):
    _uniffi.glean_enable_logging()
    _uniffi.glean_enable_logging_to_fd(1)
    _uniffi.glean_persist_ping_lifetime_data()
    _uniffi.glean_set_dirty_flag(True)
    _uniffi.glean_set_dirty_flag(False)


def test_the_environment_sets_tags_and_the_log_of_pings(tmp_path):
    program = (
        "import sys, glean_py as glean\n"
        "from glean_py import _uniffi\n"
        "_uniffi.glean_set_test_mode(True)\n"
        "glean.Glean.initialize('glean-tests', '1.0', True, data_dir=sys.argv[1])\n"
        "_uniffi.glean_submit_ping_by_name('baseline', 'active')\n"
        "print(_uniffi.glean_get_debug_view_tag(), _uniffi.glean_get_log_pings())\n"
    )
    environment = dict(os.environ, GLEAN_DEBUG_VIEW_TAG="a-tag", GLEAN_SOURCE_TAGS="one, two", GLEAN_LOG_PINGS="true")
    argv = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, timeout=600, check=True)
    assert done.stdout.split() == [b"a-tag", b"True"]
    (sent,) = read_pings(data_dir=tmp_path)
    assert sent.metadata["headers"] == {"X-Debug-ID": "a-tag", "X-Source-Tags": "one,two"}
