"""Pings from Python."""

import platform
import re
from typing import List, Optional

import pytest
from conftest import describe, make_ping, read_pings

from glean_py import Glean, __version__
from glean_py.metrics import CounterMetricType, Lifetime


def test_a_ping_file_has_path_body_and_metadata(ping):
    CounterMetricType(describe("test.metric")).add(2)
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


def test_the_callback_before_submission_is_called_for_an_empty_ping_as_well(ping):
    seen: List[Optional[str]] = []
    ping.test_before_next_submit(seen.append)
    ping.submit()
    assert seen == [None]
    assert read_pings() == []


def test_a_ping_without_info_sections_or_client_id_has_none(ping):
    make_ping("bare", send_if_empty=True, include_info_sections=False).submit()
    assert read_pings()[0].body == {}
    make_ping("anonymous", send_if_empty=True, include_client_id=False).submit()
    (sent,) = read_pings(name="anonymous")
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


def test_a_ping_that_starts_disabled_takes_nothing_until_it_is_enabled(ping):
    sleeping = make_ping("sleeping", enabled=False)
    counter = CounterMetricType(describe(pings=["sleeping"]))
    counter.add()
    assert counter.test_get_value() is None
    sleeping.set_enabled(True)
    counter.add()
    assert counter.test_get_value() == 1


def test_a_ping_that_does_not_follow_collection_keeps_its_own_switch(ping):
    apart = make_ping("apart", send_if_empty=True, follows_collection_enabled=False)
    counter = CounterMetricType(describe(pings=["apart"]))
    Glean.set_collection_enabled(False)
    counter.add()
    apart.submit()
    (sent,) = read_pings(name="apart")
    assert len(sent.body["metrics"]["counter"]) == 1


def test_capabilities_are_in_pings_with_content(ping):
    capable = make_ping("capable", uploader_capabilities=["ohttp", "Ünïcode"])
    capable.submit()
    CounterMetricType(describe(pings=["capable"])).add()
    capable.submit()
    (sent,) = read_pings(name="capable")
    assert sent.metadata["uploader_capabilities"] == ["ohttp", "Ünïcode"]
    assert sent.body["metrics"]["string_list"] == {"glean.ping.uploader_capabilities": ["ohttp", "Ünïcode"]}


def test_imprecise_times_end_with_the_minute(ping):
    make_ping("imprecise", send_if_empty=True, precise_timestamps=False).submit()
    (sent,) = read_pings(name="imprecise")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d[+-]\d\d:\d\d$", sent.body["ping_info"]["start_time"])


def test_sequence_numbers_count_the_pings_of_a_name(ping):
    hollow = make_ping("hollow", send_if_empty=True)
    for _ in range(3):
        hollow.submit()
    sent = read_pings(name="hollow")
    assert [one.body["ping_info"]["seq"] for one in sent] == [0, 1, 2]
    assert [one.body["ping_info"]["start_time"] for one in sent[1:]] == [
        one.body["ping_info"]["end_time"] for one in sent[:-1]
    ]


def test_submitted_pings_of_the_built_in_names_are_counted(ping):
    Glean.handle_client_active()
    Glean.handle_client_inactive()
    _, second = read_pings(name="baseline")
    assert second.body["metrics"]["labeled_counter"]["glean.validation.pings_submitted"] == {"baseline": 1}


def test_a_ping_submitted_before_initialize_is_sent(stopped, tmp_path):
    hollow = make_ping("hollow", send_if_empty=True)
    hollow.submit(0)
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    (sent,) = read_pings(name="hollow")
    assert sent.body["ping_info"]["reason"] == "first"


def test_the_first_run_sends_a_health_ping(stopped, tmp_path):
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    Glean.handle_client_active()
    # It follows what is called during the start.
    Glean.shutdown()
    (sent,) = read_pings(name="health")
    assert sent.body["ping_info"]["reason"] == "pre_init"
    assert sent.body["metrics"]["counter"]["glean.health.init_count"] == 1
    submitted = "glean.validation.pings_submitted"
    assert sent.body["metrics"]["labeled_counter"][submitted] == {"baseline": 1}
    (baseline,) = read_pings(name="baseline")
    assert submitted not in baseline.body.get("metrics", {}).get("labeled_counter", {})


def test_a_scheduled_ping_follows_with_the_same_reason(ping):
    make_ping("follower", send_if_empty=True)
    make_ping("leader", send_if_empty=True, schedules_pings=["follower"]).submit(0)
    assert sorted(sent.name for sent in read_pings()) == ["follower", "leader"]
    assert {sent.body["ping_info"]["reason"] for sent in read_pings()} == {"first"}


def test_a_ping_with_wrong_types_is_a_type_error(ping):
    with pytest.raises(TypeError):
        make_ping(7)
    with pytest.raises(TypeError):
        make_ping("custom", reason_codes=[1])
