"""Start, stop and switch."""

import logging
import os
import platform
from typing import Any, Dict, List

import pytest
from conftest import describe, make_ping, read_pings

import glean_py
from glean_py import Configuration, Glean, SessionMode, _ffi, _uniffi, _util, config, testing
from glean_py.glean import OnGleanEventsImpl
from glean_py.metrics import CounterMetricType, Lifetime, StringMetricType
from glean_py.net import HttpClientUploader
from glean_py.testing import ErrorType


def test_calls_before_initialize_are_replayed_in_order(stopped, tmp_path):
    custom = make_ping()
    string = StringMetricType(describe("test.metric"))
    string.set("first")
    string.set("second")
    custom.submit()
    string.set("third")
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    assert string.test_get_value() == "third"
    assert read_pings(name="custom")[0].body["metrics"] == {"string": {"test.metric": "second"}}


def test_values_cannot_be_read_before_initialize(stopped):
    with pytest.raises(RuntimeError, match="initialize"):
        CounterMetricType(describe()).test_get_value()
    with pytest.raises(RuntimeError):
        CounterMetricType(describe()).test_get_num_recorded_errors(ErrorType.INVALID_VALUE)


def test_a_data_dir_is_needed(stopped):
    with pytest.raises(TypeError, match="data_dir"):
        Glean.initialize("glean-tests", "1.0", True)
    assert not Glean.is_initialized()


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"application_id": 5}, TypeError),
        ({"application_id": "\ud800"}, UnicodeEncodeError),
        ({"application_version": 5}, TypeError),
        ({"application_build_id": 5}, TypeError),
        ({"upload_enabled": "yes"}, TypeError),
        ({"upload_enabled": None}, TypeError),
        ({"data_dir": 5}, TypeError),
        ({"configuration": 5}, AttributeError),
        ({"configuration": {"channel": 5}}, TypeError),
        ({"configuration": {"max_events": "5"}}, TypeError),
        ({"configuration": {"max_events": -1}}, ValueError),
        ({"configuration": {"max_events": 2**32}}, ValueError),
        ({"configuration": {"max_pending_pings_count": 2**64}}, ValueError),
        ({"configuration": {"session_inactivity_timeout_ms": None}}, TypeError),
        ({"configuration": {"session_sample_rate": "x"}}, (TypeError, ValueError)),
        ({"configuration": {"session_mode": 0}}, ValueError),
    ],
)
def test_arguments_of_wrong_types_are_refused_and_glean_stays_stopped(stopped, tmp_path, changes, error):
    arguments: Dict[str, Any] = {
        "application_id": "glean-tests",
        "application_version": "1.0",
        "upload_enabled": True,
        "data_dir": tmp_path / "data",
    }
    arguments.update(changes)
    if isinstance(changes.get("configuration"), dict):
        arguments["configuration"] = Configuration(**changes["configuration"])
    with pytest.raises(error):
        Glean.initialize(**arguments)
    assert not Glean.is_initialized()
    assert not (tmp_path / "data").exists()


def test_the_data_dir_may_be_a_text_and_relative(stopped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counter = CounterMetricType(describe())
    Glean.initialize("glean-tests", "1.0", True, data_dir=os.path.join("some", "folder"))
    monkeypatch.chdir(tmp_path.parent)
    counter.add()
    assert counter.test_get_value() == 1
    assert (tmp_path / "some" / "folder" / "db").is_dir()


def test_a_second_initialize_changes_nothing(ping, tmp_path):
    before = Glean.configuration
    Glean.initialize("other", "2.0", False, Configuration(channel="other"), tmp_path / "other")
    assert Glean.configuration is before
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("application_id", ["glean-tests", ""])
def test_trouble_at_start_is_logged_and_disturbs_nobody(stopped, tmp_path, caplog, application_id):
    (tmp_path / "file").write_text("in the way")
    data_dir = tmp_path / ("file" if application_id else "free")
    with caplog.at_level(logging.INFO, "glean_py"):
        Glean.initialize(application_id, "1.0", True, data_dir=data_dir)
        assert Glean.is_initialized()
        CounterMetricType(describe()).add()
        make_ping().submit()
        Glean.set_collection_enabled(False)
        Glean.shutdown()
    assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == ["ERROR"]


def test_a_missing_version_is_sent_as_unknown(stopped, tmp_path):
    make_ping("hollow", send_if_empty=True)
    Glean.initialize("glean-tests", None, True, Configuration(channel="nightly"), tmp_path, "7")
    assert _uniffi.glean_submit_ping_by_name_sync("hollow")
    client_info = read_pings(name="hollow")[0].body["client_info"]
    assert client_info["app_display_version"] == "Unknown"
    assert client_info["app_build"] == "7"
    assert client_info["app_channel"] == "nightly"
    assert client_info["architecture"] == platform.machine()
    assert client_info["build_date"] == "1970-01-01T00:00:00+00:00"
    assert client_info["os_version"] == _util.get_os_version() != "Unknown"
    assert client_info["locale"] == _util.get_locale_tag()
    assert client_info.get("windows_build_number") == _util.get_windows_build_number()
    Glean.configuration.channel = "beta"
    assert Glean.configuration.channel == "beta"
    assert _uniffi.glean_submit_ping_by_name_sync("hollow")
    assert read_pings(name="hollow")[1].body["client_info"]["app_channel"] == "beta"


def test_values_live_as_long_as_their_lifetime_across_runs(ping):
    counters = [CounterMetricType(describe(f"test.{lifetime.name}", lifetime=lifetime)) for lifetime in Lifetime]
    for counter in counters:
        counter.add()
    testing.reset_glean(application_id="glean-tests", application_version="1.0", clear_stores=False)
    assert [counter.test_get_value() for counter in counters] == [1, None, 1]


def test_while_collection_is_off_nothing_is_recorded(ping):
    counter = CounterMetricType(describe())
    counter.add()
    client_id = (Glean._data_dir / "client_id.txt").read_text()
    Glean.set_collection_enabled(False)
    counter.add()
    ping.submit()
    assert counter.test_get_value() is None
    assert read_pings() == []
    (request,) = read_pings("deletion_request")
    assert request.body["client_info"]["client_id"] == client_id
    assert not (Glean._data_dir / "client_id.txt").exists()
    Glean.set_upload_enabled(True)
    counter.add()
    assert counter.test_get_value() == 1
    assert (Glean._data_dir / "client_id.txt").read_text() != client_id


def test_glean_started_with_collection_off_records_nothing(stopped, tmp_path):
    custom = make_ping()
    counter = CounterMetricType(describe())
    counter.add()
    Glean.initialize("glean-tests", "1.0", False, data_dir=tmp_path)
    counter.add()
    custom.submit()
    assert counter.test_get_value() is None
    assert read_pings() == []
    assert not (tmp_path / "client_id.txt").exists()


def test_after_shutdown_calls_do_nothing(ping):
    counter = CounterMetricType(describe())
    counter.add()
    Glean.shutdown()
    counter.add()
    Glean.shutdown()
    assert Glean.is_initialized()
    assert not Glean.initialize("glean-tests", "1.0", True, data_dir=Glean._data_dir)
    with pytest.raises(RuntimeError):
        counter.test_get_value()
    testing.reset_glean(application_id="glean-tests", application_version="1.0", clear_stores=False)
    assert counter.test_get_value() == 1


def test_misuse_is_logged_with_the_name_of_the_metric(ping, caplog):
    counter = CounterMetricType(describe("test.misused"))
    with caplog.at_level(logging.WARNING, "glean_py"):
        counter.add(-1)
        # An error is found when the operation is carried out, at the latest when somebody asks for the value.
        assert counter.test_get_value() is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "test.misused" in record.getMessage()


def test_level_and_handlers_of_the_logger_of_peers_count_here(stopped, tmp_path):
    class Handler(logging.Handler):
        def emit(self, record):
            heard.append((record.name, record.levelname))

    heard: List[Any] = []
    peer, handler = logging.getLogger("glean"), Handler()
    peer.setLevel(logging.DEBUG)
    peer.addHandler(handler)
    try:
        Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
        make_ping("hollow", send_if_empty=True).submit()
        Glean.shutdown()
    finally:
        peer.setLevel(logging.NOTSET)
        peer.removeHandler(handler)
    assert {name for name, _ in heard} == {"glean_py"}
    assert {level for _, level in heard} >= {"INFO"}


def test_a_logging_handler_may_record(ping):
    class RecordOnce(logging.Handler):
        def emit(self, record):
            # Only once, as each error makes the next message.
            logging.getLogger("glean_py").removeHandler(self)
            counter.add(-1)

    counter = CounterMetricType(describe())
    logging.getLogger("glean_py").addHandler(RecordOnce())
    counter.add(-1)
    counter.test_get_value()
    assert counter.test_get_num_recorded_errors(ErrorType.INVALID_VALUE) == 2


def test_a_logging_filter_that_fails_disturbs_nobody(running):
    def fail(record):
        raise KeyError("broken filter")

    counter = CounterMetricType(describe())
    logger = logging.getLogger("glean_py")
    logger.addFilter(fail)
    try:
        counter.add(-1)
        assert counter.test_get_num_recorded_errors(ErrorType.INVALID_VALUE) == 1
    finally:
        logger.removeFilter(fail)


def test_a_configuration_takes_every_option(monkeypatch):
    configuration = Configuration(
        server_endpoint="https://example.org",
        channel="beta",
        max_events=7,
        ping_uploader=None,
        allow_multiprocessing=False,
        enable_event_timestamps=False,
        experimentation_id="tag",
        enable_internal_pings=False,
        max_pending_pings_count=1,
        max_pending_pings_directory_size=2,
        session_mode=SessionMode.MANUAL,
        session_sample_rate=0.5,
        session_inactivity_timeout_ms=0,
        events_ping_acceleration_factor=3,
        shutdown_timeout_s=0.5,
        schedule_metrics_ping=True,
    )
    assert configuration.server_endpoint == "https://example.org"
    configuration.server_endpoint = "https://other.example.org"
    assert configuration.server_endpoint == "https://other.example.org"
    assert configuration.channel == "beta"
    assert configuration.max_events == 7
    assert isinstance(configuration.ping_uploader, HttpClientUploader)
    assert configuration.ping_uploader is configuration.ping_uploader
    uploader = HttpClientUploader()
    configuration.ping_uploader = uploader
    assert configuration.ping_uploader is uploader
    assert configuration._allow_multiprocessing is False
    assert configuration.enable_event_timestamps is False
    assert configuration.experimentation_id == "tag"
    assert configuration.enable_internal_pings is False
    assert configuration.max_pending_pings_count == 1
    assert configuration.max_pending_pings_directory_size == 2
    assert configuration.session_mode is SessionMode.MANUAL
    assert configuration.session_sample_rate == 0.5
    assert configuration.session_inactivity_timeout_ms == 0
    assert configuration.events_ping_acceleration_factor == 3
    assert configuration.shutdown_timeout_s == 0.5
    assert configuration.schedule_metrics_ping is True
    assert Configuration().server_endpoint == ""
    monkeypatch.setattr(config, "DEFAULT_TELEMETRY_ENDPOINT", "https://changed.example.org")
    assert Configuration().server_endpoint == "https://changed.example.org"
    assert Configuration().max_events == config.DEFAULT_MAX_EVENTS == 500
    assert Configuration().session_inactivity_timeout_ms == config.DEFAULT_SESSION_INACTIVITY_TIMEOUT_MS == 1_800_000


def test_descriptions_are_equal_by_content():
    assert describe("a.b") == describe("a.b")
    assert describe("a.b") != describe("a.c")
    assert describe("a.b") != "text"
    with pytest.raises(TypeError):
        hash(describe())
    with pytest.raises(TypeError):
        glean_py.metrics.CommonMetricData("category", "name", [], Lifetime.PING, False)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"category": 5}, TypeError),
        ({"name": b"bytes"}, TypeError),
        ({"name": "\ud800"}, UnicodeEncodeError),
        ({"send_in_pings": None}, TypeError),
        ({"send_in_pings": [1]}, TypeError),
        ({"lifetime": 0}, ValueError),
        ({"lifetime": None}, ValueError),
        ({"label": 5}, TypeError),
    ],
)
def test_descriptions_with_wrong_types_are_refused_by_the_metric(changes, error):
    description = describe()
    vars(description).update(changes)
    with pytest.raises(error):
        CounterMetricType(description)


def test_the_state_of_the_class_follows_start_and_reset(stopped, tmp_path):
    states = []
    for _ in range(2):
        states.append((Glean._initialized, Glean._init_finished, Glean._testing_mode))
        Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
        states.append((Glean._initialized, Glean._init_finished, Glean._testing_mode))
        Glean._reset()
    assert states == [(False, False, False), (True, True, False)] * 2
    assert Glean._data_dir == tmp_path
    assert Glean._simple_log_level is None


def test_reset_glean_uses_test_mode_and_a_directory_that_goes_away(stopped):
    testing.reset_glean(application_id="glean-tests", application_version="1.0")
    first = Glean._data_dir
    assert Glean._testing_mode
    assert _uniffi.glean_get_log_pings() is True
    testing.reset_glean(application_id="glean-tests", application_version="1.0", clear_stores=False)
    assert Glean._data_dir == first
    testing.reset_glean(application_id="glean-tests", application_version="1.0")
    assert Glean._data_dir != first
    assert not first.exists()
    second = Glean._data_dir
    Glean._reset()
    assert not second.exists()
    with pytest.raises(TypeError):
        testing.reset_glean("glean-tests", "1.0")  # type: ignore[call-arg]


def test_a_log_level_is_kept_and_handed_to_logging(stopped, tmp_path, monkeypatch):
    levels = []
    monkeypatch.setattr(logging, "basicConfig", lambda **options: levels.append(options["level"]))
    monkeypatch.setattr(Glean, "_simple_log_level", None)
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path, log_level=logging.DEBUG)
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path, log_level=logging.INFO)
    assert levels == [logging.DEBUG, logging.INFO]
    assert Glean._simple_log_level == logging.INFO


def test_a_core_that_cannot_do_something_is_logged_once(running, caplog):
    with caplog.at_level(logging.ERROR, "glean_py"):
        for _ in range(3):
            counter = CounterMetricType(describe())
            _ffi.lib.glean_metric_destroy(counter._handle)
            counter.add()
            counter._handle = 0
    assert len(caplog.records) == 1
    _ffi.forget_failures()


def test_the_callbacks_of_peers_are_there(monkeypatch):
    monkeypatch.setattr(Glean, "_init_finished", False)
    callbacks = OnGleanEventsImpl(Glean)
    callbacks.initialize_finished()
    callbacks.start_metrics_ping_scheduler()
    callbacks.cancel_uploads()
    callbacks.shutdown()
    assert Glean._init_finished is True
