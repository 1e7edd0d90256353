"""Pings from Python."""

import platform
import re

import pytest
from conftest import describe, make_ping, read_pings

from glean_py import Glean, __version__
from glean_py.metrics import CounterMetricType, Lifetime


def test_a_ping_file_has_path_body_and_metadata(ping):
    CounterMetricType(describe()).add(2)
    ping.submit(1)
    (sent,) = read_pings()
    assert re.match(r"/submit/glean-tests/custom/1/[0-9a-f-]{36}$", sent.path)
    assert sent.metadata == {
        "headers": {},
        "body_has_info_sections": True,
        "ping_name": "custom",
        "uploader_capabilities": [],
    }
    assert sent.body["metrics"] == {"counter": {"test.metric": 2}}
    assert sent.body["ping_info"]["reason"] == "second"
    client_info = sent.body["client_info"]
    assert client_info["telemetry_sdk_build"] == __version__
    assert client_info["app_display_version"] == "1.0"
    assert client_info["app_build"] == "Unknown"
    assert client_info["architecture"] == platform.machine()
    assert client_info["os"] == platform.system()
    assert client_info["client_id"] == (Glean._data_dir / "client_id.txt").read_text()


def test_an_empty_ping_is_not_sent_unless_it_may_be(ping):
    ping.submit()
    assert read_pings() == []
    make_ping("hollow", send_if_empty=True).submit()
    (sent,) = read_pings()
    assert "metrics" not in sent.body


def test_submission_clears_the_ping_lifetime_only(ping):
    brief = CounterMetricType(describe("test.brief"))
    lasting = CounterMetricType(describe("test.lasting", lifetime=Lifetime.USER))
    brief.add()
    lasting.add()
    ping.submit()
    assert (brief.test_get_value(), lasting.test_get_value()) == (None, 1)


def test_a_reason_is_an_index_into_the_reason_codes(ping):
    hollow = make_ping("hollow", send_if_empty=True)
    hollow.submit(-1)
    assert read_pings()[0].body["ping_info"]["reason"] == "second"
    with pytest.raises(IndexError):
        hollow.submit(2)
    for reason in ("first", Lifetime.PING):
        with pytest.raises(TypeError):
            hollow.submit(reason)


def test_the_callback_before_submission_sees_values_and_reason_once(ping):
    counter = CounterMetricType(describe())
    seen = []
    ping.test_before_next_submit(lambda reason: seen.append((reason, counter.test_get_value())))
    counter.add(3)
    ping.submit(0)
    ping.submit()
    assert seen == [("first", 3)]


def test_a_ping_without_info_sections_or_client_id_has_none(ping):
    make_ping("bare", send_if_empty=True, include_info_sections=False).submit()
    assert read_pings()[0].body == {}
    make_ping("anonymous", send_if_empty=True, include_client_id=False).submit()
    (sent,) = [sent for sent in read_pings() if "/anonymous/" in sent.path]
    assert "client_id" not in sent.body["client_info"]


def test_a_ping_switched_off_forgets_and_takes_nothing(ping):
    counter = CounterMetricType(describe())
    counter.add()
    ping.submit()
    ping.set_enabled(False)
    counter.add()
    ping.submit()
    assert counter.test_get_value() is None
    assert read_pings() == []
    ping.set_enabled(True)
    counter.add()
    assert counter.test_get_value() == 1


def test_a_scheduled_ping_follows_with_the_same_reason(ping):
    make_ping("follower", send_if_empty=True)
    make_ping("leader", send_if_empty=True, schedules_pings=["follower"]).submit(0)
    assert sorted(sent.path.split("/")[3] for sent in read_pings()) == ["follower", "leader"]
    assert {sent.body["ping_info"]["reason"] for sent in read_pings()} == {"first"}


def test_a_ping_with_wrong_types_is_a_type_error(ping):
    with pytest.raises(TypeError):
        make_ping(7)
    with pytest.raises(TypeError):
        make_ping("custom", reason_codes=[1])
