"""Labeled metrics from Python."""

from typing import Any, List

import pytest
from conftest import count_errors, describe, make_ping, read_pings

from glean_py import Glean, _ffi, metrics
from glean_py.metrics import (
    CommonMetricData,
    DistributionData,
    HistogramType,
    LabeledBooleanMetricType,
    LabeledCounterMetricType,
    LabeledCustomDistributionMetricType,
    LabeledMemoryDistributionMetricType,
    LabeledMetricData,
    LabeledQuantityMetricType,
    LabeledStringMetricType,
    LabeledTimingDistributionMetricType,
    MemoryUnit,
    TimeUnit,
    labeled,
)


def make(labels=None, **changes):
    return LabeledCounterMetricType(LabeledMetricData.COMMON(describe(**changes)), labels)


def test_each_label_has_a_value_of_its_own(running):
    metric = make()
    assert metric.test_get_value() == {}
    metric["a"].add(1)
    metric["b"].add(2)
    metric["a"].add(3)
    assert metric.test_get_value() == {"a": 4, "b": 2}
    assert metric["a"].test_get_value() == 4
    assert metric["c"].test_get_value() is None
    assert metric.test_get_value("other") == {}


# Class, variant of the description, its arguments, what is recorded, and what is stored.
CASES: List[Any] = [
    (LabeledBooleanMetricType, "COMMON", (), lambda one: one.set(True), True),
    (LabeledCounterMetricType, "COMMON", (), lambda one: one.add(5), 5),
    (LabeledQuantityMetricType, "COMMON", (), lambda one: one.set(0), 0),
    (LabeledStringMetricType, "COMMON", (), lambda one: one.set("ü"), "ü"),
    (
        LabeledCustomDistributionMetricType,
        "CUSTOM_DISTRIBUTION",
        (3, 77, 9, HistogramType.LINEAR),
        lambda one: one.accumulate_samples([5]),
        DistributionData(values={3: 1}, sum=5, count=1),
    ),
    (
        LabeledMemoryDistributionMetricType,
        "MEMORY_DISTRIBUTION",
        (MemoryUnit.KILOBYTE,),
        lambda one: one.accumulate(64),
        DistributionData(values={65535: 1}, sum=65536, count=1),
    ),
    (
        LabeledTimingDistributionMetricType,
        "TIMING_DISTRIBUTION",
        (TimeUnit.MILLISECOND,),
        lambda one: one.accumulate_single_sample(1),
        DistributionData(values={961548: 1}, sum=1_000_000, count=1),
    ),
]


@pytest.mark.parametrize("cls, variant, arguments, record, stored", CASES, ids=[case[0]._type_name for case in CASES])
def test_every_type_of_metric_can_have_labels(running, cls, variant, arguments, record, stored):
    data = getattr(LabeledMetricData, variant)(describe(), *arguments)
    variants = ["COMMON", "CUSTOM_DISTRIBUTION", "MEMORY_DISTRIBUTION", "TIMING_DISTRIBUTION"]
    for names in (variants, [name.lower() for name in variants]):
        assert [getattr(data, f"is_{name}")() for name in names] == [name == variant for name in variants]
    metric = cls(data)
    record(metric["label"])
    assert metric.test_get_value() == {"label": stored}
    assert metric["label"].test_get_value() == stored
    assert metric["label"] is metric["label"]


def test_timers_of_labels_are_their_own(running):
    metric = LabeledTimingDistributionMetricType(LabeledMetricData.TIMING_DISTRIBUTION(describe(), TimeUnit.NANOSECOND))
    timer = metric["a"].start()
    metric["b"].stop_and_accumulate(timer)
    with metric["a"].measure():
        pass
    metric["a"].stop_and_accumulate(timer)
    assert metric["a"].test_get_value().count == 2
    assert metric["b"].test_get_value() is None
    assert count_errors(metric) == {"INVALID_STATE": 1}


@pytest.mark.parametrize("labels", [["a", "b"], {"a", "b"}, ("a", "b"), "ab"])
def test_other_labels_than_the_static_ones_are_one(running, labels):
    metric = make(labels)
    for label in ("a", "b", "c", "d", "x" * 200):
        metric[label].add()
    assert metric.test_get_value() == {"a": 1, "b": 1, "__other__": 3}
    assert count_errors(metric) == {}


@pytest.mark.parametrize("labels", [[], set()])
def test_without_any_static_label_all_are_one(running, labels):
    metric = make(labels)
    metric["a"].add()
    assert metric.test_get_value() == {"__other__": 1}


def test_of_free_labels_the_first_sixteen_stay(running):
    metric = make()
    for number in range(20):
        metric[f"label{number}"].add()
    metric["label3"].add()
    expected = {f"label{number}": 1 for number in range(16)}
    expected.update(label3=2, __other__=4)
    assert metric.test_get_value() == expected
    assert metric["label17"].test_get_value() == metric["label99"].test_get_value() == 4
    assert count_errors(metric) == {}


def test_labels_from_before_initialize_are_limited_as_well(stopped, tmp_path):
    make_ping()
    metric = make()
    for number in range(20):
        metric[f"label{number}"].add()
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    stored = metric.test_get_value()
    assert len(stored) == 17
    assert stored["__other__"] == 4


@pytest.mark.parametrize("label", ["", "with spaces", "UPPER", "a/b.c", "ü", "NUL\0inside", "x" * 111, "é" * 55])
def test_a_label_may_be_any_text(running, label):
    metric = make()
    metric[label].add()
    assert metric.test_get_value() == {label: 1}
    assert count_errors(metric) == {}


@pytest.mark.parametrize("label", ["x" * 112, "é" * 56, "a\x1eb"])
def test_a_label_that_is_too_long_or_splits_is_an_error(running, label):
    metric = make()
    metric[label].add()
    assert metric.test_get_value() == {"__other__": 1}
    assert count_errors(metric) == {"INVALID_LABEL": 1}


def test_errors_of_all_labels_are_counted_together(running):
    metric = make()
    metric["a"].add(-1)
    metric["b"].add(-1)
    assert count_errors(metric) == count_errors(metric["a"]) == {"INVALID_VALUE": 2}


@pytest.mark.parametrize("label", [5, None, b"x", ("a", "b"), ["a"]])
def test_a_label_that_is_no_text_is_a_type_error(running, label):
    with pytest.raises(TypeError):
        make()[label]


def test_a_label_with_a_lone_surrogate_is_an_encode_error(running):
    with pytest.raises(UnicodeEncodeError):
        make()["\ud800"]


def test_a_label_that_cannot_be_had_disturbs_nobody(running, caplog):
    metric = make()
    _ffi.lib.glean_metric_destroy(metric._handle)
    metric["label"].add()
    metric._handle = 0
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    _ffi.forget_failures()


def test_labels_without_end_are_all_recorded(running, monkeypatch):
    monkeypatch.setattr(labeled, "_MOST_CACHED", 20)
    metric = make()
    for number in range(3000):
        metric[f"label{number}"].add()
    assert metric.test_get_value()["__other__"] == 2984
    assert len(metric._metrics) == 20
    assert count_errors(metric) == {}


def test_looking_a_label_up_many_times_exhausts_nothing(running):
    metric = make()
    for _ in range(5000):
        metric["label"].add()
    assert metric.test_get_value() == {"label": 5000}


def test_labels_have_a_section_of_their_own_in_pings(ping):
    make(identifier="test.modes")["fast"].add()
    ping.submit()
    (sent,) = read_pings(name="custom")
    assert sent.body["metrics"] == {"labeled_counter": {"test.modes": {"fast": 1}}}


def test_a_disabled_metric_stays_empty(running):
    metric = make(disabled=True)
    metric["x" * 200].add()
    assert metric.test_get_value() == {}
    assert count_errors(metric) == {}


@pytest.mark.parametrize(
    "cls, data",
    [
        (LabeledCounterMetricType, LabeledMetricData.TIMING_DISTRIBUTION(describe(), TimeUnit.SECOND)),
        (LabeledTimingDistributionMetricType, LabeledMetricData.COMMON(describe())),
        (LabeledCounterMetricType, describe()),
    ],
)
def test_a_description_of_another_type_is_a_type_error(cls, data):
    with pytest.raises(TypeError, match=cls.__name__):
        cls(data)


def test_descriptions_are_equal_by_content():
    data = describe("a.b")
    assert LabeledMetricData.COMMON(data) == LabeledMetricData.COMMON(describe("a.b"))
    assert LabeledMetricData.COMMON(data) != LabeledMetricData.COMMON(describe("a.c"))
    memory = LabeledMetricData.MEMORY_DISTRIBUTION(cmd=data, unit=MemoryUnit.BYTE)
    assert isinstance(memory, LabeledMetricData)
    assert memory != LabeledMetricData.COMMON(data)
    assert memory.cmd is data
    assert repr(memory).startswith("LabeledMetricData.MEMORY_DISTRIBUTION(cmd=CommonMetricData(category='a'")
    with pytest.raises(RuntimeError):
        LabeledMetricData()


def test_labels_that_are_no_texts_are_refused():
    with pytest.raises(TypeError):
        make([1])
    with pytest.raises(UnicodeEncodeError):
        make(["\ud800"])


def test_one_label_can_be_described_by_itself(running):
    data = describe("test.single")
    counter = metrics.CounterMetricType(
        CommonMetricData(
            category="test",
            name="single",
            send_in_pings=["custom"],
            lifetime=data.lifetime,
            disabled=False,
            label="label",
        )
    )
    counter.add(2)
    metric = make(identifier="test.single")
    metric["label"].add(3)
    assert metric.test_get_value() == {"label": 5}


@pytest.mark.parametrize(
    "variant, arguments",
    [
        ("COMMON", ()),
        ("CUSTOM_DISTRIBUTION", (1, 10, 2, HistogramType.LINEAR)),
        ("MEMORY_DISTRIBUTION", (MemoryUnit.BYTE,)),
        ("TIMING_DISTRIBUTION", (TimeUnit.SECOND,)),
    ],
)
def test_a_description_says_what_it_is_of(variant, arguments):
    described = getattr(LabeledMetricData, variant)(describe(), *arguments)
    variants = ("COMMON", "CUSTOM_DISTRIBUTION", "MEMORY_DISTRIBUTION", "TIMING_DISTRIBUTION")
    for spell in (str.upper, str.lower):
        assert [name for name in variants if getattr(described, "is_" + spell(name))()] == [variant]
