"""What every metric has in common."""

from __future__ import annotations

import enum
from operator import index

from glean_py import _ffi
from glean_py._bases import Value as Value
from glean_py._json_text import flag, optional, out_of_range, quote, quote_all, to_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, List, NoReturn, Optional, Type, TypeVar

    Self = TypeVar("Self", bound="Metric")


class Lifetime(enum.Enum):
    """How long a value stays."""

    PING = 0
    """Until the ping it is sent in is collected."""
    APPLICATION = 1
    """Until the next start of the application."""
    USER = 2
    """Until collection or the ping is switched off."""


class TimeUnit(enum.Enum):
    """The unit of a duration, or how precise a point in time is."""

    NANOSECOND = 0
    MICROSECOND = 1
    MILLISECOND = 2
    SECOND = 3
    MINUTE = 4
    HOUR = 5
    DAY = 6


class MemoryUnit(enum.Enum):
    """The unit of an amount of memory: powers of 1024 bytes."""

    BYTE = 0
    KILOBYTE = 1
    MEGABYTE = 2
    GIGABYTE = 3


class HistogramType(enum.Enum):
    """How the buckets of a custom distribution grow."""

    LINEAR = 0
    EXPONENTIAL = 1


class ErrorType(enum.Enum):
    """What was wrong with a recording call."""

    INVALID_VALUE = 0
    INVALID_LABEL = 1
    INVALID_STATE = 2
    INVALID_OVERFLOW = 3


def word_of(member: enum.Enum, kind: Type[enum.Enum]) -> str:
    """Return the word that the core has for a member of an enumeration, as JSON.

    Raises:
        ValueError: not a member of this enumeration.
    """
    if not isinstance(member, kind):
        raise ValueError(f"{member!r} is no {kind.__name__}")
    return f'"{member.name.lower()}"'


class CommonMetricData(Value):
    """The description of one metric.

    Args:
        category: first part of the identifier; may be empty.
        name: last part of the identifier.
        send_in_pings: names of the pings the metric is sent in; each keeps its own copy of the value.
        lifetime: how long a value stays.
        disabled: whether neither values nor errors are recorded.
        label: the label, if this is one metric of a labeled one.
        in_session: whether the metric belongs to a session.
    """

    def __init__(
        self,
        *,
        category: str,
        name: str,
        send_in_pings: List[str],
        lifetime: Lifetime,
        disabled: bool,
        label: Optional[str] = None,
        in_session: bool = False,
    ) -> None:
        self.category = category
        self.name = name
        self.send_in_pings = send_in_pings
        self.lifetime = lifetime
        self.disabled = disabled
        self.label = label
        self.in_session = in_session

    def _to_json(self) -> Dict[str, str]:
        """Return the fields as JSON.

        Raises:
            TypeError, ValueError: a field has a wrong type.
        """
        return {
            "category": quote(self.category),
            "name": quote(self.name),
            "send_in_pings": quote_all(self.send_in_pings),
            "lifetime": word_of(self.lifetime, Lifetime),
            "disabled": flag(self.disabled),
            "in_session": flag(self.in_session),
            "label": optional(quote, self.label),
        }


class DistributionData(Value):
    """What a distribution holds.

    Args:
        values: number of samples by the lower bound of their bucket.
        sum: sum of all samples.
        count: number of all samples.
    """

    def __init__(self, *, values: Dict[int, int], sum: int, count: int) -> None:
        self.values = values
        self.sum = sum
        self.count = count

    @classmethod
    def _from_json(cls, value: Any) -> DistributionData:
        values = {int(bound): count for bound, count in value["values"].items()}
        return cls(values=values, sum=value["sum"], count=value["count"])


class Metric:
    """A handle of the core. `BaseMetric` and `WrappedMetric` are what types of metrics derive from."""

    _type_name: str
    """The word for this type, everywhere: in YAML, in descriptions for the core, in `glean_py.metrics.TYPES`."""
    _handle: int = 0

    def _create(self, meta: CommonMetricData, parameters: str = "", **fields: str) -> None:
        """Make the metric in the core.

        Args:
            meta: its description.
            parameters: what its type takes, as JSON; empty if it takes nothing.
            fields: what the description has besides, as JSON.
        """
        description = meta._to_json()
        word = quote(self._type_name)
        description["type"] = f"{{{word}:{parameters}}}" if parameters else word
        description.update(fields)
        self._handle = _ffi.make(_ffi.lib.glean_metric_new, to_object(description))

    @classmethod
    def _adopt(cls: Type[Self], handle: int) -> Self:
        """Return the metric for a handle that the core gave out."""
        metric = cls.__new__(cls)
        metric._handle = handle
        return metric

    # Default values outlive the globals of this module and the library, for metrics that are released at the very end.
    def __del__(self, _destroy: Any = _ffi.lib.glean_metric_destroy, _lib: Any = _ffi.lib) -> None:
        if self._handle:
            _destroy(self._handle)

    def __reduce__(self) -> NoReturn:
        # The copy would release the handle of the original, or record into whatever has the same handle elsewhere.
        raise TypeError(f"{type(self).__name__} cannot be copied or pickled; make another one of the same description")

    def _read(self, ping_name: Optional[str]) -> Any:
        """Return what is stored for a ping, as `_from_json` decodes it; `None` if there is nothing."""
        name = _ffi.NULL if ping_name is None else _ffi.to_utf8(ping_name)
        length = 0 if ping_name is None else len(name)
        value = _ffi.read_json(_ffi.lib.glean_metric_test_get_value, self._handle, name, length)
        return None if value is None else self._from_json(value)

    @staticmethod
    def _from_json(value: Any) -> Any:
        return value

    def _count_errors(self, error: ErrorType) -> int:
        if not isinstance(error, ErrorType):
            raise ValueError(f"{error!r} is no ErrorType")
        out = _ffi.ffi.new("int32_t *")
        _ffi.check(_ffi.lib.glean_metric_test_get_num_recorded_errors(self._handle, error.value, out))
        return int(out[0])


class BaseMetric(Metric):
    """A type of metric whose parameters are called `meta` and `error`.

    Raises:
        TypeError: a field of the description has a wrong type.
        ValueError: a field is no member of its enumeration, or out of range.
        UnicodeEncodeError: a text has a lone surrogate.
    """

    def __init__(self, meta: CommonMetricData) -> None:
        self._create(meta)

    def test_get_num_recorded_errors(self, error: ErrorType) -> int:
        """Return how many errors of this kind the metric has in the `metrics` ping.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        return self._count_errors(error)


class WrappedMetric(Metric):
    """A type of metric whose parameters are called `common_metric_data` and `error_type`.

    Raises:
        TypeError: a field of the description has a wrong type.
        ValueError: a field is no member of its enumeration, or out of range.
        UnicodeEncodeError: a text has a lone surrogate.
    """

    def __init__(self, common_metric_data: CommonMetricData) -> None:
        self._create(common_metric_data)

    def test_get_num_recorded_errors(self, error_type: ErrorType) -> int:
        """Return how many errors of this kind the metric has in the `metrics` ping.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        return self._count_errors(error_type)


def accumulate(function: Any, handle: int, samples: Iterable[int]) -> None:
    """Call a function that takes an array of samples, and finish the call.

    Raises:
        TypeError: no collection with a length, or something in it is no integer.
        ValueError: something in it doesn't fit into 64 bits.
    """
    # An iterator is refused, as peers do: a generator that was used up would record nothing without a word.
    len(samples)  # type: ignore[arg-type]
    numbers = list(map(index, samples))
    try:
        status = function(handle, numbers, len(numbers))
    except OverflowError:
        raise out_of_range(max(numbers, key=abs), "i64") from None
    if status:
        _ffi.finish(status)
