"""Every ping, whatever was recorded, is valid: ping.json of the package says how a ping has to look."""

import copy
import datetime
import json

import pytest
from conftest import describe, make_ping, read_pings
from schema import check_ping

from glean_py import Glean, metrics, testing
from glean_py.metrics import EventExtras, Lifetime, ObjectSerialize, TimeUnit

LONG = "\U0001f600" * 60_000
BIG = 2**63 - 1


class Extras(EventExtras):
    """Extras as they come."""

    def __init__(self, **pairs):
        self._pairs = pairs

    def to_ffi_extra(self):
        return self._pairs


class Anything(ObjectSerialize):
    """JSON text as it comes."""

    def __init__(self, text):
        self._text = text

    def into_serialized_object(self):
        return self._text


def record_extremes():
    """Record what is too long, too large, negative or odd into a metric of every type."""
    common = metrics.LabeledMetricData.COMMON
    for number in (-1, 0, 2**31 - 1, 1):
        metrics.CounterMetricType(describe("test.counter")).add(number)
        metrics.RateMetricType(describe("test.rate")).add_to_numerator(number)
        metrics.NumeratorMetricType(describe("test.numerator")).add_to_numerator(number)
        metrics.DenominatorMetricType(describe("test.denominator"), [describe("test.numerator")]).add(number)
        metrics.LabeledCounterMetricType(common(describe("test.labeled")))[LONG[:112]].add(number)
        metrics.DualLabeledCounterMetricType(describe("test.dual"), None, None).get("\x1e", LONG[:112]).add(number)
    for number in (-BIG, -1, 0, 1, BIG):
        metrics.QuantityMetricType(describe("test.quantity")).set(number)
        metrics.TimespanMetricType(describe("test.timespan"), TimeUnit.DAY).set_raw_nanos(number)
        samples = [number, BIG, BIG]
        metrics.TimingDistributionMetricType(describe("test.timing"), TimeUnit.DAY).accumulate_samples(samples)
        metrics.MemoryDistributionMetricType(describe("test.memory"), metrics.MemoryUnit.GIGABYTE).accumulate_samples(
            samples
        )
        metrics.CustomDistributionMetricType(
            describe("test.custom"), 1, 100, 10, metrics.HistogramType.LINEAR
        ).accumulate_samples(samples)
    for text in ("", LONG, "nul\0", "\u2028", "a:" + LONG, "no colon", "data:x"):
        metrics.StringMetricType(describe("test.string")).set(text)
        metrics.TextMetricType(describe("test.text")).set(text)
        metrics.UrlMetricType(describe("test.url")).set(text)
        metrics.StringListMetricType(describe("test.list")).set([text] * 101)
        metrics.UuidMetricType(describe("test.uuid")).set(text)
        metrics.LabeledStringMetricType(common(describe("test.labeled_string")))[text[:200]].set(text)
        metrics.ObjectMetricType(describe("test.object"), Anything).set(Anything(text))
        metrics.EventMetricType(describe("test.event"), ["key"]).record(Extras(key=text))
    metrics.UuidMetricType(describe("test.uuid")).generate_and_set()
    metrics.UrlMetricType(describe("test.url")).set("x:" + LONG)
    metrics.BooleanMetricType(describe("test.boolean")).set(True)
    metrics.ObjectMetricType(describe("test.object"), Anything).set(Anything('{"a": [null, 1e300]}'))
    for unit in TimeUnit:
        metric = metrics.DatetimeMetricType(describe(f"test.datetime_{unit.name.lower()}"), unit)
        zone = datetime.timezone(datetime.timedelta(minutes=-1439))
        metric.set(datetime.datetime(1, 1, 2, 3, 4, 5, 678901, tzinfo=zone))
    Glean.set_experiment_active(LONG, LONG, {f"{number}{LONG}": LONG for number in range(25)})


def test_pings_of_extremes_are_valid(ping):
    metrics.StringMetricType(describe("test.user", lifetime=Lifetime.USER)).set("stays")
    record_extremes()
    Glean.handle_client_active()
    ping.submit(0)
    Glean.handle_client_inactive()
    pings = read_pings()
    assert {sent.name for sent in pings} == {"custom", "baseline", "events"}
    sections = set()
    for sent in pings:
        assert check_ping(sent.body) == []
        sections |= set(sent.body.get("metrics", ()))
    assert len(sections) >= 18


def test_pings_of_every_kind_of_ping_are_valid(stopped):
    made = [
        make_ping("rough", precise_timestamps=False),
        make_ping("nobody", include_client_id=False),
        make_ping("bare", include_info_sections=False),
        make_ping("empty", send_if_empty=True),
        make_ping("capable", uploader_capabilities=["one"]),
        make_ping("apart", follows_collection_enabled=False),
    ]
    testing.reset_glean(application_id="glean-tests", application_version="")
    for round_ in range(2):
        for ping in made:
            metrics.BooleanMetricType(describe("test.boolean", pings=[ping.name])).set(True)
            ping.submit(round_)
    Glean.set_collection_enabled(False)
    metrics.BooleanMetricType(describe("test.boolean", pings=["apart"])).set(True)
    made[-1].submit()
    sent = read_pings("deletion_request") + read_pings()
    assert {one.name for one in sent} == {"deletion-request", "apart"}
    for one in sent:
        assert check_ping(one.body) == []
    Glean._reset()


def test_the_checker_finds_what_is_wrong(ping):
    record_extremes()
    ping.submit()
    body = read_pings()[0].body
    assert check_ping(body) == []
    wrong = [
        (("ping_info", "seq"), -1),
        (("ping_info", "seq"), "0"),
        (("ping_info", "start_time"), "2021-03-04"),
        (("ping_info", "end_time"), None),
        (("client_info", "first_run_date"), "2021-03-04T05:06:07+00:00"),
        (("client_info", "client_id"), "C0FFEE"),
        (("client_info", "os"), "Plan 9"),
        (("metrics", "counter", "test.counter"), 2**31),
        (("metrics", "counter", "Test Counter"), 1),
        (("metrics", "url", "test.url"), "no colon"),
        (("metrics", "string", "test.string"), "x" * 256),
        (("metrics", "boolean", "test.boolean"), 1),
        (("metrics", "timing_distribution", "test.timing", "sum"), -1),
        (("metrics", "rate", "test.rate"), {"numerator": 1}),
        (("metrics", "unknown"), {}),
        (("metrics", "text"), {}),
        (("events",), []),
        (("events", 0, "timestamp"), -1),
        (("events", 0, "extra"), {}),
        (("$schema",), "glean"),
    ]
    for path, value in wrong:
        changed = copy.deepcopy(body)
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        assert len(check_ping(changed)) >= 1, path
    for path in (("ping_info", "seq"), ("client_info", "architecture"), ("events", 0, "name")):
        changed = copy.deepcopy(body)
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        assert len(check_ping(changed)) == 1, path


@pytest.mark.parametrize("text", ['"text"', "[1, 2]", "null", "1.5"])
def test_any_json_is_an_object(ping, text):
    metrics.ObjectMetricType(describe("test.object"), Anything).set(Anything(text))
    ping.submit()
    (sent,) = read_pings()
    assert sent.body["metrics"]["object"] == {"test.object": json.loads(text)}
    assert check_ping(sent.body) == []
