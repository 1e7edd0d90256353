"""Events from Python."""

import pytest
from conftest import count_errors, describe, make_ping, read_pings

from glean_py import Configuration, Glean, _uniffi, testing
from glean_py.metrics import EventExtras, EventMetricType, RecordedEvent


class Extras(EventExtras):
    """Extras as they are given."""

    def __init__(self, extras):
        self._extras = extras

    def to_ffi_extra(self):
        return self._extras


def make(keys=("key", "more"), **changes):
    return EventMetricType(describe(**changes), list(keys))


def test_events_keep_their_order_and_have_timestamps(running):
    metric = make()
    assert metric.test_get_value() is None
    for number in range(5):
        metric.record(Extras({"key": str(number)}))
    events = metric.test_get_value()
    assert [event.extra for event in events] == [{"key": str(number)} for number in range(5)]
    times = [event.timestamp for event in events]
    assert times == sorted(times)
    assert {event.session for event in events} == {None}


def test_an_event_has_category_and_name(running):
    metric = make(identifier="ui.menu.opened")
    metric.record()
    (event,) = metric.test_get_value()
    assert event == RecordedEvent(timestamp=event.timestamp, category="ui.menu", name="opened", extra={})
    bare = make(identifier="bare")
    bare.record()
    assert bare.test_get_value()[0].category == ""


@pytest.mark.parametrize("extra", [None, {"key": "value"}, 5, "text", Extras({}), EventExtras()])
def test_what_has_no_extras_is_an_event_without(running, extra):
    metric = make()
    metric.record(extra)
    assert [event.extra for event in metric.test_get_value()] == [{}]


@pytest.mark.parametrize("text", ["", "NUL \0 inside", 'quote " and \\ and \n', "世界 \U0001f600", "x" * 500])
def test_a_text_comes_back_as_it_was(running, text):
    metric = make(keys=[text])
    metric.record(Extras({text: text}))
    assert [event.extra for event in metric.test_get_value()] == [{text: text}]


def test_a_key_that_is_not_allowed_drops_the_event(running):
    metric = make()
    metric.record(Extras({"key": "x" * 501, "unknown": "x"}))
    assert metric.test_get_value() is None
    assert count_errors(metric) == {"INVALID_VALUE": 1}


def test_a_long_text_is_cut_and_counted(running):
    metric = make()
    metric.record(Extras({"key": "é" * 251, "more": "short"}))
    assert metric.test_get_value()[0].extra == {"key": "é" * 250, "more": "short"}
    assert count_errors(metric) == {"INVALID_OVERFLOW": 1}


@pytest.mark.parametrize("extras, error", [({"key": 5}, TypeError), ({5: "x"}, TypeError), (None, AttributeError)])
def test_extras_of_other_types_are_refused(running, extras, error):
    metric = make()
    with pytest.raises(error):
        metric.record(Extras(extras))
    assert metric.test_get_value() is None


def test_a_lone_surrogate_is_an_encode_error(running):
    metric = make()
    with pytest.raises(UnicodeEncodeError):
        metric.record(Extras({"key": "\ud800"}))
    assert metric.test_get_value() is None


def test_an_event_goes_into_every_ping_of_the_metric(running):
    metric = make(pings=["custom", "other"])
    metric.record()
    assert len(metric.test_get_value("custom")) == len(metric.test_get_value("other")) == 1


def test_a_disabled_event_is_not_recorded(running):
    metric = make(disabled=True)
    metric.record(Extras({"unknown": "x"}))
    assert metric.test_get_value() is None
    assert count_errors(metric) == {}


def test_events_in_a_ping_count_from_zero_and_have_the_wall_clock_time(ping):
    metric = make(identifier="test.event")
    metric.record()
    metric.record(Extras({"key": "v"}))
    ping.submit()
    (sent,) = read_pings(name="custom")
    first, second = sent.body["events"]
    assert (first["timestamp"], first["category"], first["name"]) == (0, "test", "event")
    assert int(first["extra"]["glean_timestamp"]) > 1_600_000_000_000
    assert second["extra"]["key"] == "v"
    assert metric.test_get_value() is None


def test_the_wall_clock_time_can_be_left_out(stopped, tmp_path):
    custom = make_ping()
    configuration = Configuration(enable_event_timestamps=False)
    Glean.initialize("glean-tests", "1.0", True, configuration, tmp_path)
    make(identifier="test.event").record()
    custom.submit()
    Glean.shutdown()
    (sent,) = read_pings(name="custom")
    assert "extra" not in sent.body["events"][0]


def test_enough_events_send_the_events_ping(ping):
    testing.reset_glean(
        application_id="glean-tests", application_version="1.0", configuration=Configuration(max_events=3)
    )
    metric = make(pings=["events"])
    for _ in range(4):
        metric.record()
    assert len(metric.test_get_value()) == 1
    (sent,) = read_pings(name="events")
    assert sent.body["ping_info"]["reason"] == "max_capacity"
    assert len(sent.body["events"]) == 3


def test_pending_events_are_sent_at_start(ping):
    make(identifier="test.event", pings=["events"]).record()
    testing.reset_glean(application_id="glean-tests", application_version="1.0", clear_stores=False)
    (sent,) = read_pings(name="events")
    assert sent.body["ping_info"]["reason"] == "startup"
    assert [event["name"] for event in sent.body["events"]] == ["event"]


def test_a_listener_hears_of_every_event_at_once(running, caplog):
    class Listener(_uniffi.GleanEventListener):
        def __init__(self):
            self.heard = []

        def on_event_recorded(self, id):
            self.heard.append(id)

    class Broken(_uniffi.GleanEventListener):
        def on_event_recorded(self, id):
            raise KeyError("broken")

    listener = Listener()
    _uniffi.glean_register_event_listener("broken", Broken())
    _uniffi.glean_register_event_listener("test", Listener())
    _uniffi.glean_register_event_listener("test", listener)
    make(identifier="ui.opened").record()
    make(identifier="closed", disabled=True).record()
    _uniffi.glean_unregister_event_listener("test")
    _uniffi.glean_unregister_event_listener("broken")
    _uniffi.glean_unregister_event_listener("unknown")
    make().record()
    assert listener.heard == ["ui.opened", "closed"]
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "the event listener 'broken' failed at ui.opened",
        "the event listener 'broken' failed at closed",
    ]
    with pytest.raises(TypeError):
        _uniffi.glean_register_event_listener(5, listener)  # type: ignore[arg-type]
