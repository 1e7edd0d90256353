"""A program that uses all of the API, for type checkers: `mypy --strict` accepts it and finds every mistake in it.

Nobody runs it. Each line with an ignore is a mistake; with `warn_unused_ignores`, one that isn't found is an error.
"""

from __future__ import annotations

import datetime
import importlib.resources
import uuid
from pathlib import Path
from typing import Dict, List, Optional

import glean_py as glean
from glean_py import Configuration, Glean, SessionMode, _uniffi, load_metrics, load_pings, metrics, testing
from glean_py.metrics import (
    AttributionMetrics,
    BooleanMetricType,
    CommonMetricData,
    CounterMetricType,
    CustomDistributionMetricType,
    DatetimeMetricType,
    DenominatorMetricType,
    DistributionData,
    DistributionMetrics,
    DualLabeledCounterMetricType,
    EventExtras,
    EventMetricType,
    HistogramType,
    LabeledCounterMetricType,
    LabeledMemoryDistributionMetricType,
    LabeledMetricData,
    LabeledStringMetricType,
    LabeledTimingDistributionMetricType,
    Lifetime,
    MemoryDistributionMetricType,
    MemoryUnit,
    NumeratorMetricType,
    ObjectMetricType,
    ObjectSerialize,
    PingType,
    QuantityMetricType,
    Rate,
    RateMetricType,
    RecordedEvent,
    RecordedExperiment,
    StringListMetricType,
    StringMetricType,
    TextMetricType,
    TimerId,
    TimespanMetricType,
    TimeUnit,
    TimingDistributionMetricType,
    UrlMetricType,
    UuidMetricType,
)
from glean_py.net import BaseUploader, HttpClientUploader
from glean_py.net.ping_upload_worker import CapablePingUploadRequest
from glean_py.net.ping_uploader import UploadResult


class OwnUploader(BaseUploader):
    def upload(self, capable_request: CapablePingUploadRequest) -> UploadResult:
        request = capable_request.capable(lambda capabilities: "os_name" in capabilities)
        if request is None:
            return UploadResult.INCAPABLE(0)
        url: str = request.url
        headers: Dict[str, str] = request.headers
        print(url, headers, len(request.body))
        return UploadResult.HTTP_STATUS(200)


class OwnUploaderWithoutBase:
    def upload(self, capable_request: CapablePingUploadRequest) -> UploadResult:
        return UploadResult.RECOVERABLE_FAILURE(0)


data = CommonMetricData(category="app", name="n", send_in_pings=["usage"], lifetime=Lifetime.PING, disabled=False)
CommonMetricData("app", "n", ["usage"], Lifetime.PING, False)  # type: ignore[call-arg]
CommonMetricData(category="app")  # type: ignore[call-arg]


class Extras(EventExtras):
    """Extras of an event."""

    def to_ffi_extra(self) -> Dict[str, str]:
        """Return one extra."""
        return {"key": "value"}


class Thing(ObjectSerialize):
    """Something to record."""


def use_simple_types() -> None:
    """Use the types that hold one value."""
    counter = CounterMetricType(data)
    counter.add()
    counter.add(2)
    counter.add("2")  # type: ignore[arg-type]
    counter.set(2)  # type: ignore[attr-defined]
    count: Optional[int] = counter.test_get_value("usage")
    wrong: str = counter.test_get_value()  # type: ignore[assignment]
    errors: int = counter.test_get_num_recorded_errors(testing.ErrorType.INVALID_VALUE)
    boolean = BooleanMetricType(meta=data)
    boolean.set(True)
    is_on: Optional[bool] = boolean.test_get_value()
    quantity = QuantityMetricType(data)
    quantity.set(5)
    quantity.set(None)  # type: ignore[arg-type]
    string = StringMetricType(common_metric_data=data)
    string.set("text")
    string.set(None)
    string.set(5)  # type: ignore[arg-type]
    text: Optional[str] = string.test_get_value()
    TextMetricType(data).set("text")
    TextMetricType(data).set(None)  # type: ignore[arg-type]
    UrlMetricType(data).set("https://example.org")
    texts = StringListMetricType(data)
    texts.add("a")
    texts.set(["a"])
    texts.set([1])  # type: ignore[list-item]
    all_texts: Optional[List[str]] = texts.test_get_value()
    unique = UuidMetricType(data)
    unique.set(uuid.uuid4())
    unique.set("text")
    made: uuid.UUID = unique.generate_and_set()
    moment = DatetimeMetricType(data, TimeUnit.SECOND)
    moment.set()
    moment.set(datetime.datetime.now())
    moment.set("now")  # type: ignore[arg-type]
    when: Optional[datetime.datetime] = moment.test_get_value()
    when_text: Optional[str] = moment.test_get_value_as_str()
    DatetimeMetricType(data, 3)  # type: ignore[arg-type]
    print(count, wrong, errors, is_on, text, all_texts, made, when, when_text)


def use_distributions() -> None:
    """Use the types that measure and count."""
    timespan = TimespanMetricType(data, TimeUnit.MILLISECOND)
    timespan.start()
    timespan.stop()
    timespan.cancel()
    timespan.set_raw_nanos(5)
    with timespan.measure():
        pass
    duration: Optional[int] = timespan.test_get_value()
    timing = TimingDistributionMetricType(data, time_unit=TimeUnit.NANOSECOND)
    timer: TimerId = timing.start()
    timing.stop_and_accumulate(timer)
    timing.cancel(timer)
    timing.cancel(5)  # type: ignore[arg-type]
    timing.accumulate_samples([1, 2])
    timing.accumulate_single_sample(1)
    with timing.measure():
        pass
    found: Optional[DistributionData] = timing.test_get_value()
    if found is not None:
        buckets: Dict[int, int] = found.values
        print(buckets, found.sum + found.count)
    memory = MemoryDistributionMetricType(data, MemoryUnit.KILOBYTE)
    memory.accumulate(1)
    memory.accumulate_samples([1])
    custom = CustomDistributionMetricType(data, 1, 100, 10, HistogramType.LINEAR)
    custom.accumulate_samples([1])
    custom.accumulate_single_sample(1)
    custom.accumulate(1)  # type: ignore[attr-defined]
    rate = RateMetricType(data)
    rate.add_to_numerator(1)
    rate.add_to_denominator(2)
    parts: Optional[Rate] = rate.test_get_value()
    NumeratorMetricType(data).add_to_numerator(1)
    DenominatorMetricType(data, numerators=[data]).add(1)
    print(duration, parts)


def use_structured_types() -> None:
    """Use events, objects and labels."""
    event = EventMetricType(data, ["key"])
    event.record()
    event.record(Extras())
    event.record({"key": "value"})  # type: ignore[arg-type]
    events: Optional[List[RecordedEvent]] = event.test_get_value()
    thing = ObjectMetricType(data, Thing)
    thing.set(Thing())
    thing.set(5)  # type: ignore[arg-type]
    typed: ObjectMetricType[Thing] = ObjectMetricType[Thing](data, Thing)
    counters = LabeledCounterMetricType(LabeledMetricData.COMMON(data), labels=["a", "b"])
    counters["a"].add(1)
    counters["a"].set(1)  # type: ignore[attr-defined]
    counters[5]  # type: ignore[index]
    by_label: Dict[str, int] = counters.test_get_value()
    LabeledStringMetricType(LabeledMetricData.COMMON(cmd=data))["a"].set("text")
    LabeledCounterMetricType(data)  # type: ignore[arg-type]
    timings = LabeledTimingDistributionMetricType(LabeledMetricData.TIMING_DISTRIBUTION(data, TimeUnit.SECOND))
    with timings["a"].measure():
        pass
    found: Dict[str, DistributionData] = timings.test_get_value()
    LabeledMemoryDistributionMetricType(LabeledMetricData.MEMORY_DISTRIBUTION(data, MemoryUnit.BYTE))["a"].accumulate(1)
    LabeledMetricData.CUSTOM_DISTRIBUTION(data, 1, 2, 3, HistogramType.EXPONENTIAL)
    pairs = DualLabeledCounterMetricType(data, keys=["k"], categories=None)
    pairs.get("k", "c").add()
    by_pair: Dict[str, Dict[str, int]] = pairs.test_get_value()
    print(events, typed, by_label, found, by_pair)


def use_pings_and_glean() -> None:
    """Use pings and the class `Glean`."""
    ping = PingType("usage", True, False, True, True, [], ["quit"], [])
    ping.test_before_next_submit(print)
    ping.submit()
    ping.submit(0)
    ping.submit("quit")  # type: ignore[arg-type]
    ping.set_enabled(False)
    configuration = Configuration(
        channel="beta", max_events=100, session_mode=SessionMode.MANUAL, experimentation_id="id", ping_uploader=None
    )
    Configuration(max_events="100")  # type: ignore[arg-type]
    Configuration(unknown=1)  # type: ignore[call-arg]
    Configuration(server_endpoint="https://server", shutdown_timeout_s=0.5, schedule_metrics_ping=True)
    Configuration(ping_uploader=HttpClientUploader())
    Configuration(ping_uploader=OwnUploader())
    Configuration(ping_uploader=OwnUploaderWithoutBase())
    Configuration(ping_uploader="https://server")  # type: ignore[arg-type]
    configuration.channel = "release"
    configuration.server_endpoint = "https://example.org"
    configuration.max_events = 5  # type: ignore[misc]
    Glean.initialize("app", "1.0", True, configuration, Path("telemetry"), "7")
    Glean.initialize("app", "1.0", upload_enabled=True, data_dir="telemetry")
    Glean.initialize("app", 1.0, True)  # type: ignore[arg-type]
    current: Configuration = Glean.configuration
    is_running: bool = Glean.is_initialized()
    Glean.set_collection_enabled(False)
    Glean.set_experiment_active("id", "branch", {"key": "value"})
    experiment: RecordedExperiment = Glean.test_get_experiment_data("id")
    Glean.update_attribution(AttributionMetrics(source="search"))
    Glean.update_attribution(DistributionMetrics(name="store"))  # type: ignore[arg-type]
    Glean.update_distribution(DistributionMetrics(name="store"))
    source: Optional[str] = Glean.test_get_attribution().source
    Glean.handle_client_active()
    Glean.session_start()
    Glean.session_end("done")
    Glean.shutdown()
    version: str = glean.__version__
    glean.nonsense()  # type: ignore[attr-defined]
    metrics.NonsenseMetricType()  # type: ignore[attr-defined]
    tree = load_metrics(Path("metrics.yaml"), config={"allow_reserved": True})
    tree.app.starts.add()
    load_pings(["pings.yaml"]).usage.submit()
    load_pings(importlib.resources.files("app") / "pings.yaml").usage.submit()
    load_metrics([importlib.resources.files("app") / "metrics.yaml", Path("other.yaml")])
    load_pings(5)  # type: ignore[arg-type]
    testing.reset_glean(application_id="app", application_version="1.0")
    names: List[str] = _uniffi.glean_get_registered_ping_names()
    _uniffi.glean_set_debug_view_tag(5)  # type: ignore[arg-type]
    print(current, is_running, experiment, source, version, names)
