"""Start, stop and switch."""

import logging

import pytest
from conftest import describe, make_ping, read_pings

from glean_py import Configuration, Glean, SessionMode, config, testing
from glean_py.metrics import CounterMetricType, Lifetime, StringMetricType
from glean_py.testing import ErrorType


def test_calls_before_initialize_are_replayed_in_order(stopped, tmp_path):
    custom = make_ping()
    string = StringMetricType(describe())
    string.set("first")
    string.set("second")
    custom.submit()
    string.set("third")
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    assert read_pings()[0].body["metrics"] == {"string": {"test.metric": "second"}}
    assert string.test_get_value() == "third"


def test_values_cannot_be_read_before_initialize(stopped):
    with pytest.raises(RuntimeError, match="initialize"):
        CounterMetricType(describe()).test_get_value()
    with pytest.raises(RuntimeError):
        CounterMetricType(describe()).test_get_num_recorded_errors(ErrorType.INVALID_VALUE)


def test_a_data_dir_is_needed(stopped):
    with pytest.raises(TypeError):
        Glean.initialize("glean-tests", "1.0", True)
    assert not Glean.is_initialized()


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
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    CounterMetricType(describe()).add()
    make_ping().submit()
    Glean.set_collection_enabled(False)
    Glean.shutdown()


def test_a_missing_version_is_sent_as_unknown(stopped, tmp_path):
    hollow = make_ping("hollow", send_if_empty=True)
    Glean.initialize("glean-tests", None, True, Configuration(channel="nightly"), tmp_path, "7")
    hollow.submit()
    client_info = read_pings()[0].body["client_info"]
    assert client_info["app_display_version"] == "Unknown"
    assert client_info["app_build"] == "7"
    assert client_info["app_channel"] == "nightly"
    Glean.configuration.channel = "beta"
    hollow.submit()
    assert read_pings()[1].body["client_info"]["app_channel"] == "beta"


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
    assert not (tmp_path / "pending_pings").exists()
    assert not (tmp_path / "client_id.txt").exists()


def test_after_shutdown_calls_do_nothing(ping):
    counter = CounterMetricType(describe())
    counter.add()
    Glean.shutdown()
    counter.add()
    assert Glean.is_initialized()
    with pytest.raises(RuntimeError):
        counter.test_get_value()
    testing.reset_glean(application_id="glean-tests", application_version="1.0", clear_stores=False)
    assert counter.test_get_value() == 1


def test_misuse_is_logged_with_the_name_of_the_metric(ping, caplog):
    with caplog.at_level(logging.WARNING, "glean_py"):
        CounterMetricType(describe("test.misused")).add(-1)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "test.misused" in record.getMessage()


def test_a_logging_handler_may_record(ping):
    class RecordOnce(logging.Handler):
        def emit(self, record):
            # Only once, as each error makes the next message.
            logging.getLogger("glean_py").removeHandler(self)
            counter.add(-1)

    counter = CounterMetricType(describe())
    logging.getLogger("glean_py").addHandler(RecordOnce())
    counter.add(-1)
    assert counter.test_get_num_recorded_errors(ErrorType.INVALID_VALUE) == 2


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
    )
    assert configuration.server_endpoint == "https://example.org"
    assert configuration.session_mode is SessionMode.MANUAL
    monkeypatch.setattr(config, "DEFAULT_TELEMETRY_ENDPOINT", "https://changed.example.org")
    assert Configuration().server_endpoint == "https://changed.example.org"


def test_descriptions_are_equal_by_content():
    assert describe() == describe()
    assert describe() != describe("test.other")
    assert describe() != "text"
