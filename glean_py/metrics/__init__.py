"""The metric types and pings, one module each; a module is imported when something of it is used."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple

    from glean_py.metrics.attribution import AttributionMetrics as AttributionMetrics
    from glean_py.metrics.attribution import DistributionMetrics as DistributionMetrics
    from glean_py.metrics.boolean import BooleanMetricType as BooleanMetricType
    from glean_py.metrics.common import CommonMetricData as CommonMetricData
    from glean_py.metrics.common import DistributionData as DistributionData
    from glean_py.metrics.common import HistogramType as HistogramType
    from glean_py.metrics.common import Lifetime as Lifetime
    from glean_py.metrics.common import MemoryUnit as MemoryUnit
    from glean_py.metrics.common import TimeUnit as TimeUnit
    from glean_py.metrics.counter import CounterMetricType as CounterMetricType
    from glean_py.metrics.custom_distribution import CustomDistributionMetricType as CustomDistributionMetricType
    from glean_py.metrics.datetime import DatetimeMetricType as DatetimeMetricType
    from glean_py.metrics.denominator import DenominatorMetricType as DenominatorMetricType
    from glean_py.metrics.dual_labeled_counter import DualLabeledCounterMetricType as DualLabeledCounterMetricType
    from glean_py.metrics.event import EventExtras as EventExtras
    from glean_py.metrics.event import EventMetricType as EventMetricType
    from glean_py.metrics.event import RecordedEvent as RecordedEvent
    from glean_py.metrics.experiment import RecordedExperiment as RecordedExperiment
    from glean_py.metrics.labeled import LabeledBooleanMetricType as LabeledBooleanMetricType
    from glean_py.metrics.labeled import LabeledCounterMetricType as LabeledCounterMetricType
    from glean_py.metrics.labeled import LabeledCustomDistributionMetricType as LabeledCustomDistributionMetricType
    from glean_py.metrics.labeled import LabeledMemoryDistributionMetricType as LabeledMemoryDistributionMetricType
    from glean_py.metrics.labeled import LabeledMetricData as LabeledMetricData
    from glean_py.metrics.labeled import LabeledQuantityMetricType as LabeledQuantityMetricType
    from glean_py.metrics.labeled import LabeledStringMetricType as LabeledStringMetricType
    from glean_py.metrics.labeled import LabeledTimingDistributionMetricType as LabeledTimingDistributionMetricType
    from glean_py.metrics.memory_distribution import MemoryDistributionMetricType as MemoryDistributionMetricType
    from glean_py.metrics.numerator import NumeratorMetricType as NumeratorMetricType
    from glean_py.metrics.object import ObjectMetricType as ObjectMetricType
    from glean_py.metrics.object import ObjectSerialize as ObjectSerialize
    from glean_py.metrics.ping import PingType as PingType
    from glean_py.metrics.quantity import QuantityMetricType as QuantityMetricType
    from glean_py.metrics.rate import Rate as Rate
    from glean_py.metrics.rate import RateMetricType as RateMetricType
    from glean_py.metrics.string import StringMetricType as StringMetricType
    from glean_py.metrics.string_list import StringListMetricType as StringListMetricType
    from glean_py.metrics.text import TextMetricType as TextMetricType
    from glean_py.metrics.timespan import TimespanMetricType as TimespanMetricType
    from glean_py.metrics.timing_distribution import TimerId as TimerId
    from glean_py.metrics.timing_distribution import TimingDistributionMetricType as TimingDistributionMetricType
    from glean_py.metrics.url import UrlMetricType as UrlMetricType
    from glean_py.metrics.uuid import UuidMetricType as UuidMetricType

_HISTOGRAM = ("range_min", "range_max", "bucket_count", "histogram_type")
TYPES: Dict[str, Tuple[str, ...]] = {
    "boolean": (),
    "counter": (),
    "custom_distribution": _HISTOGRAM,
    "datetime": ("time_unit",),
    "denominator": ("numerators",),
    "dual_labeled_counter": ("ordered_keys", "ordered_categories"),
    "event": ("allowed_extra_keys",),
    "memory_distribution": ("memory_unit",),
    "numerator": (),
    "object": ("object_class",),
    "quantity": (),
    "rate": (),
    "string": (),
    "string_list": (),
    "text": (),
    "timespan": ("time_unit",),
    "timing_distribution": ("time_unit",),
    "url": (),
    "uuid": (),
}
"""The types, by the word that each has in YAML, in the core and as its module here.

The values are the attributes of a metric that glean_parser read which the class takes behind the common ones.
"""

LABELED = (
    "boolean",
    "counter",
    "custom_distribution",
    "memory_distribution",
    "quantity",
    "string",
    "timing_distribution",
)
"""The types that can have labels."""


def class_name(word: str) -> str:
    """Return the name of the class of a type: `LabeledCounterMetricType` for `labeled_counter`."""
    return "".join([part.capitalize() for part in word.split("_")]) + "MetricType"


# The names that a module has beside the class of its type.
_OTHERS = {
    "attribution": ("AttributionMetrics", "DistributionMetrics"),
    "common": ("CommonMetricData", "DistributionData", "HistogramType", "Lifetime", "MemoryUnit", "TimeUnit"),
    "event": ("EventExtras", "RecordedEvent"),
    "experiment": ("RecordedExperiment",),
    "labeled": ("LabeledMetricData", *[class_name(f"labeled_{word}") for word in LABELED]),
    "object": ("ObjectSerialize",),
    "ping": ("PingType",),
    "rate": ("Rate",),
    "timing_distribution": ("TimerId",),
}
_HOMES = {class_name(word): word for word in TYPES}
_HOMES.update([(name, module) for module, names in _OTHERS.items() for name in names])

# Type checkers read the imports above; with this they would take every name for granted.
if not TYPE_CHECKING:
    __all__ = list(_HOMES)

    def __getattr__(name: str) -> Any:
        """Import what was asked for: a class, or one of the modules."""
        from importlib import import_module

        if name in TYPES or name in _OTHERS:
            return import_module(f"{__name__}.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> List[str]:
        """Return the names that `__getattr__` knows as well."""
        return sorted({*globals(), *TYPES, *_OTHERS, *_HOMES})
