"""The metric types and pings, one module each; a module is imported when something of it is used."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from glean_py.metrics.attribution import AttributionMetrics, DistributionMetrics
    from glean_py.metrics.boolean import BooleanMetricType
    from glean_py.metrics.common import (
        CommonMetricData,
        DistributionData,
        HistogramType,
        Lifetime,
        MemoryUnit,
        TimeUnit,
    )
    from glean_py.metrics.counter import CounterMetricType
    from glean_py.metrics.custom_distribution import CustomDistributionMetricType
    from glean_py.metrics.datetime import DatetimeMetricType
    from glean_py.metrics.denominator import DenominatorMetricType
    from glean_py.metrics.dual_labeled_counter import DualLabeledCounterMetricType
    from glean_py.metrics.event import EventExtras, EventMetricType, RecordedEvent
    from glean_py.metrics.experiment import RecordedExperiment
    from glean_py.metrics.labeled import (
        LabeledBooleanMetricType,
        LabeledCounterMetricType,
        LabeledCustomDistributionMetricType,
        LabeledMemoryDistributionMetricType,
        LabeledMetricData,
        LabeledQuantityMetricType,
        LabeledStringMetricType,
        LabeledTimingDistributionMetricType,
    )
    from glean_py.metrics.memory_distribution import MemoryDistributionMetricType
    from glean_py.metrics.numerator import NumeratorMetricType
    from glean_py.metrics.object import ObjectMetricType, ObjectSerialize
    from glean_py.metrics.ping import PingType
    from glean_py.metrics.quantity import QuantityMetricType
    from glean_py.metrics.rate import Rate, RateMetricType
    from glean_py.metrics.string import StringMetricType
    from glean_py.metrics.string_list import StringListMetricType
    from glean_py.metrics.text import TextMetricType
    from glean_py.metrics.timespan import TimespanMetricType
    from glean_py.metrics.timing_distribution import TimerId, TimingDistributionMetricType
    from glean_py.metrics.url import UrlMetricType
    from glean_py.metrics.uuid import UuidMetricType

# Names by the module that has them.
_MODULES = {
    "attribution": ("AttributionMetrics", "DistributionMetrics"),
    "boolean": ("BooleanMetricType",),
    "common": ("CommonMetricData", "DistributionData", "HistogramType", "Lifetime", "MemoryUnit", "TimeUnit"),
    "counter": ("CounterMetricType",),
    "custom_distribution": ("CustomDistributionMetricType",),
    "datetime": ("DatetimeMetricType",),
    "denominator": ("DenominatorMetricType",),
    "dual_labeled_counter": ("DualLabeledCounterMetricType",),
    "event": ("EventExtras", "EventMetricType", "RecordedEvent"),
    "experiment": ("RecordedExperiment",),
    "labeled": (
        "LabeledBooleanMetricType",
        "LabeledCounterMetricType",
        "LabeledCustomDistributionMetricType",
        "LabeledMemoryDistributionMetricType",
        "LabeledMetricData",
        "LabeledQuantityMetricType",
        "LabeledStringMetricType",
        "LabeledTimingDistributionMetricType",
    ),
    "memory_distribution": ("MemoryDistributionMetricType",),
    "numerator": ("NumeratorMetricType",),
    "object": ("ObjectMetricType", "ObjectSerialize"),
    "ping": ("PingType",),
    "quantity": ("QuantityMetricType",),
    "rate": ("Rate", "RateMetricType"),
    "string": ("StringMetricType",),
    "string_list": ("StringListMetricType",),
    "text": ("TextMetricType",),
    "timespan": ("TimespanMetricType",),
    "timing_distribution": ("TimerId", "TimingDistributionMetricType"),
    "url": ("UrlMetricType",),
    "uuid": ("UuidMetricType",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AttributionMetrics",
    "BooleanMetricType",
    "CommonMetricData",
    "CounterMetricType",
    "CustomDistributionMetricType",
    "DatetimeMetricType",
    "DenominatorMetricType",
    "DistributionData",
    "DistributionMetrics",
    "DualLabeledCounterMetricType",
    "EventExtras",
    "EventMetricType",
    "HistogramType",
    "LabeledBooleanMetricType",
    "LabeledCounterMetricType",
    "LabeledCustomDistributionMetricType",
    "LabeledMemoryDistributionMetricType",
    "LabeledMetricData",
    "LabeledQuantityMetricType",
    "LabeledStringMetricType",
    "LabeledTimingDistributionMetricType",
    "Lifetime",
    "MemoryDistributionMetricType",
    "MemoryUnit",
    "NumeratorMetricType",
    "ObjectMetricType",
    "ObjectSerialize",
    "PingType",
    "QuantityMetricType",
    "Rate",
    "RateMetricType",
    "RecordedEvent",
    "RecordedExperiment",
    "StringListMetricType",
    "StringMetricType",
    "TextMetricType",
    "TimeUnit",
    "TimerId",
    "TimespanMetricType",
    "TimingDistributionMetricType",
    "UrlMetricType",
    "UuidMetricType",
]

# Type checkers read the imports above; with this they would take every name for granted.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import what was asked for: a class, or one of the modules."""
        from importlib import import_module

        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> List[str]:
        """Return the names that `__getattr__` knows as well."""
        return sorted({*globals(), *_MODULES, *_HOMES})
