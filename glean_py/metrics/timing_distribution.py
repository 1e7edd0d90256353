"""Timing distributions."""

from __future__ import annotations

from operator import index as _index

from glean_py import _ffi
from glean_py._json_text import out_of_range
from glean_py.metrics.common import (
    CommonMetricData,
    DistributionData,
    TimeUnit,
    Value,
    WrappedMetric,
    accumulate,
    word_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

_start = _ffi.lib.glean_metric_start
_stop = _ffi.lib.glean_metric_stop
_cancel = _ffi.lib.glean_metric_cancel
_accumulate_samples = _ffi.lib.glean_metric_accumulate_samples
_accumulate = _ffi.lib.glean_metric_accumulate
_finish = _ffi.finish


class TimerId(Value):
    """A running timer of one timing distribution."""

    def __init__(self, *, id: int) -> None:
        self.id = id


# Half the time of a call with a keyword, in a method that measures.
_new_timer_id = TimerId.__new__


class TimingDistributionMetricType(WrappedMetric):
    """Counts how often something takes how long.

    Args:
        common_metric_data: its description.
        time_unit: the unit of samples, and the shortest time that is measured; sums and buckets are in nanoseconds.
    """

    _type_name = "timing_distribution"

    def __init__(self, common_metric_data: CommonMetricData, time_unit: TimeUnit) -> None:
        self._create(common_metric_data, word_of(time_unit, TimeUnit))

    def start(self) -> TimerId:
        """Start a timer and return its id; any number of timers may run at the same time."""
        timer_id = _new_timer_id(TimerId)
        timer_id.id = _start(self._handle)
        return timer_id

    def stop_and_accumulate(self, timer_id: TimerId) -> None:
        """Stop a timer and count the time since its start; an unknown one is recorded as `ErrorType.INVALID_STATE`.

        Raises:
            AttributeError: not an id that `start` returned.
        """
        try:
            status = _stop(self._handle, timer_id.id)
        except OverflowError:
            raise out_of_range(timer_id.id, "u64") from None
        if status:
            _finish(status)

    def cancel(self, timer_id: TimerId) -> None:
        """Stop a timer and count nothing; an unknown one is ignored.

        Raises:
            AttributeError: not an id that `start` returned.
        """
        try:
            status = _cancel(self._handle, timer_id.id)
        except OverflowError:
            raise out_of_range(timer_id.id, "u64") from None
        if status:
            _finish(status)

    def measure(self) -> _Measurement:
        """Return a context manager that measures its block; if that raises, nothing is counted."""
        return _Measurement(self)

    def accumulate_samples(self, samples: List[int]) -> None:
        """Count durations in the metric's unit.

        Negative ones are left out and recorded as `ErrorType.INVALID_VALUE`; those above the maximum count as the
        maximum and are recorded as `ErrorType.INVALID_OVERFLOW`.

        Raises:
            TypeError: no collection with a length, or something in it is no integer.
            ValueError: something in it doesn't fit into 64 bits.
        """
        accumulate(_accumulate_samples, self._handle, samples)

    def accumulate_single_sample(self, sample: int) -> None:
        """Count one duration in the metric's unit, as `accumulate_samples` does.

        Raises:
            TypeError: not an integer.
            ValueError: doesn't fit into 64 bits.
        """
        try:
            status = _accumulate(self._handle, _index(sample))
        except OverflowError:
            raise out_of_range(sample, "i64") from None
        if status:
            _finish(status)

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[DistributionData]:
        """Return what is stored for a ping, by default the first of `send_in_pings`; `None` if nothing is.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value: Optional[DistributionData] = self._read(ping_name)
        return value

    _from_json = staticmethod(DistributionData._from_json)


class _Measurement:
    """Measures a block with a timer of its own."""

    __slots__ = ("_metric", "_timer_id")

    def __init__(self, metric: TimingDistributionMetricType) -> None:
        self._metric = metric

    def __enter__(self) -> None:
        self._timer_id = self._metric.start()

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self._metric.stop_and_accumulate(self._timer_id)
        else:
            self._metric.cancel(self._timer_id)
