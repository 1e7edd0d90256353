"""Labeled metrics: one metric per label, all under one name."""

from __future__ import annotations

from glean_py import _ffi
from glean_py._json_text import optional, quote_all
from glean_py._util import Generic
from glean_py.metrics.boolean import BooleanMetricType
from glean_py.metrics.common import (
    CommonMetricData,
    DistributionData,
    HistogramType,
    MemoryUnit,
    TimeUnit,
    Value,
    WrappedMetric,
    word_of,
)
from glean_py.metrics.counter import CounterMetricType
from glean_py.metrics.custom_distribution import CustomDistributionMetricType, describe
from glean_py.metrics.memory_distribution import MemoryDistributionMetricType
from glean_py.metrics.quantity import QuantityMetricType
from glean_py.metrics.string import StringMetricType
from glean_py.metrics.timing_distribution import TimingDistributionMetricType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Dict, Iterable, Optional, Type, TypeVar

    from glean_py.metrics.common import Metric

    M = TypeVar("M", bound=Metric)
    V = TypeVar("V")
else:
    M = V = None

__all__ = [
    "LabeledBooleanMetricType",
    "LabeledCounterMetricType",
    "LabeledCustomDistributionMetricType",
    "LabeledMemoryDistributionMetricType",
    "LabeledMetricData",
    "LabeledQuantityMetricType",
    "LabeledStringMetricType",
    "LabeledTimingDistributionMetricType",
]

# A static metric has at most as many labels. Of more, each look-up makes a new object, so that a program which takes
# its labels from the outside doesn't grow without end.
_MOST_CACHED = 4096


class LabeledMetricData(Value):
    """The description of a labeled metric: one of `COMMON`, `CUSTOM_DISTRIBUTION`, `MEMORY_DISTRIBUTION` and
    `TIMING_DISTRIBUTION`.
    """

    COMMON: ClassVar[Type[_Common]]
    CUSTOM_DISTRIBUTION: ClassVar[Type[_CustomDistribution]]
    MEMORY_DISTRIBUTION: ClassVar[Type[_MemoryDistribution]]
    TIMING_DISTRIBUTION: ClassVar[Type[_TimingDistribution]]

    cmd: CommonMetricData

    def __init__(self) -> None:
        raise RuntimeError("LabeledMetricData has no objects of its own: use COMMON or one of its other variants")

    def is_common(self) -> bool:
        """Return whether this is `COMMON`."""
        return isinstance(self, _Common)

    def is_custom_distribution(self) -> bool:
        """Return whether this is `CUSTOM_DISTRIBUTION`."""
        return isinstance(self, _CustomDistribution)

    def is_memory_distribution(self) -> bool:
        """Return whether this is `MEMORY_DISTRIBUTION`."""
        return isinstance(self, _MemoryDistribution)

    def is_timing_distribution(self) -> bool:
        """Return whether this is `TIMING_DISTRIBUTION`."""
        return isinstance(self, _TimingDistribution)

    is_COMMON = is_common
    is_CUSTOM_DISTRIBUTION = is_custom_distribution
    is_MEMORY_DISTRIBUTION = is_memory_distribution
    is_TIMING_DISTRIBUTION = is_timing_distribution

    def _parameters(self) -> str:
        """Return what the type of its metrics takes, as JSON; empty if that is nothing."""
        return ""


class _Common(LabeledMetricData):
    """The description of a labeled metric that isn't a distribution."""

    def __init__(self, cmd: CommonMetricData) -> None:
        self.cmd = cmd


class _CustomDistribution(LabeledMetricData):
    """The description of a labeled custom distribution."""

    def __init__(
        self,
        cmd: CommonMetricData,
        range_min: int,
        range_max: int,
        bucket_count: int,
        histogram_type: HistogramType,
    ) -> None:
        self.cmd = cmd
        self.range_min = range_min
        self.range_max = range_max
        self.bucket_count = bucket_count
        self.histogram_type = histogram_type

    def _parameters(self) -> str:
        return describe(self.range_min, self.range_max, self.bucket_count, self.histogram_type)


class _MemoryDistribution(LabeledMetricData):
    """The description of a labeled memory distribution."""

    def __init__(self, cmd: CommonMetricData, unit: MemoryUnit) -> None:
        self.cmd = cmd
        self.unit = unit

    def _parameters(self) -> str:
        return word_of(self.unit, MemoryUnit)


class _TimingDistribution(LabeledMetricData):
    """The description of a labeled timing distribution."""

    def __init__(self, cmd: CommonMetricData, unit: TimeUnit) -> None:
        self.cmd = cmd
        self.unit = unit

    def _parameters(self) -> str:
        return word_of(self.unit, TimeUnit)


LabeledMetricData.COMMON = _Common
LabeledMetricData.CUSTOM_DISTRIBUTION = _CustomDistribution
LabeledMetricData.MEMORY_DISTRIBUTION = _MemoryDistribution
LabeledMetricData.TIMING_DISTRIBUTION = _TimingDistribution
for _name, _variant in list(vars(LabeledMetricData).items()):
    if _name.isupper() and isinstance(_variant, type):
        _variant.__name__, _variant.__qualname__ = _name, f"LabeledMetricData.{_name}"


class LabeledMetric(WrappedMetric, Generic[M, V]):
    """One metric per label.

    Args:
        labeled_metric_data: its description.
        labels: the only labels there are, all others become `__other__`; by default labels are free: the first 16 stay,
            others become `__other__`.

    Raises:
        TypeError: not a description of this type of metric, or a field of it has a wrong type.
        ValueError: a field is no member of its enumeration, or out of range.
        UnicodeEncodeError: a text has a lone surrogate.
    """

    _metric_type: Type[M]
    _data_type: Type[LabeledMetricData] = _Common

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._type_name = cls._metric_type._type_name

    def __init__(self, labeled_metric_data: LabeledMetricData, labels: Optional[Iterable[str]] = None) -> None:
        if not isinstance(labeled_metric_data, self._data_type):
            raise TypeError(
                f"{type(self).__name__} needs a {self._data_type.__qualname__}, "
                f"not {type(labeled_metric_data).__qualname__}"
            )
        listed = optional(quote_all, labels)
        self._create(labeled_metric_data.cmd, labeled_metric_data._parameters(), is_labeled="true", labels=listed)
        self._metrics: Dict[str, M] = {}

    def __getitem__(self, label: str) -> M:
        """Return the metric for a label.

        Raises:
            TypeError: not a `str`.
            UnicodeEncodeError: the label has a lone surrogate.
        """
        try:
            return self._metrics[label]
        except KeyError:
            return self._make(label)

    def _make(self, label: str) -> M:
        data = _ffi.to_utf8(label)
        out = _ffi.ffi.new("uint64_t *")
        status = _ffi.lib.glean_labeled_get(self._handle, data, len(data), out)
        if status:
            # Not even a label disturbs the host program: a metric without a handle records nothing, and says so once.
            _ffi.finish(status)
        metric = self._metric_type._adopt(int(out[0]))
        if len(self._metrics) >= _MOST_CACHED:
            return metric
        # Another thread may have been first; two objects for one label would not know of each other's timers.
        return self._metrics.setdefault(label, metric)

    def test_get_value(self, ping_name: Optional[str] = None) -> Dict[str, V]:
        """Return what is stored for a ping, by default the first of `send_in_pings`, by label.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        values: Dict[str, V] = self._read(ping_name) or {}
        return values

    def _from_json(self, value: Any) -> Any:  # type: ignore[override]  # It needs to know the type of its metrics.
        return {label: self._metric_type._from_json(one) for label, one in value.items()}


class LabeledBooleanMetricType(LabeledMetric[BooleanMetricType, bool]):
    """A boolean for each label."""

    _metric_type = BooleanMetricType


class LabeledCounterMetricType(LabeledMetric[CounterMetricType, int]):
    """A counter for each label."""

    _metric_type = CounterMetricType


class LabeledQuantityMetricType(LabeledMetric[QuantityMetricType, int]):
    """A quantity for each label."""

    _metric_type = QuantityMetricType


class LabeledStringMetricType(LabeledMetric[StringMetricType, str]):
    """A string for each label."""

    _metric_type = StringMetricType


class LabeledCustomDistributionMetricType(LabeledMetric[CustomDistributionMetricType, DistributionData]):
    """A custom distribution for each label."""

    _metric_type = CustomDistributionMetricType
    _data_type = _CustomDistribution


class LabeledMemoryDistributionMetricType(LabeledMetric[MemoryDistributionMetricType, DistributionData]):
    """A memory distribution for each label."""

    _metric_type = MemoryDistributionMetricType
    _data_type = _MemoryDistribution


class LabeledTimingDistributionMetricType(LabeledMetric[TimingDistributionMetricType, DistributionData]):
    """A timing distribution for each label."""

    _metric_type = TimingDistributionMetricType
    _data_type = _TimingDistribution
