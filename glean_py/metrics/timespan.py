"""Timespans."""

from __future__ import annotations

from operator import index as _index

from glean_py import _ffi
from glean_py._json_text import out_of_range
from glean_py.metrics.common import CommonMetricData, TimeUnit, WrappedMetric, word_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

_start = _ffi.lib.glean_metric_start
_stop = _ffi.lib.glean_metric_stop
_cancel = _ffi.lib.glean_metric_cancel
_set_number = _ffi.lib.glean_metric_set_number
_finish = _ffi.finish


class TimespanMetricType(WrappedMetric):
    """Measures how long one thing takes; the first value stays.

    Args:
        common_metric_data: its description.
        time_unit: the unit of the value; what is less than one unit is cut off.
    """

    _type_name = "timespan"

    def __init__(self, common_metric_data: CommonMetricData, time_unit: TimeUnit) -> None:
        self._create(common_metric_data, word_of(time_unit, TimeUnit))

    def start(self) -> None:
        """Start the clock; if it runs already it goes on, recorded as `ErrorType.INVALID_STATE`."""
        _start(self._handle)

    def stop(self) -> None:
        """Stop the clock and store the time since `start`; without one it is recorded as `ErrorType.INVALID_STATE`."""
        status = _stop(self._handle, 0)
        if status:
            _finish(status)

    def cancel(self) -> None:
        """Stop the clock, if it runs, and store nothing."""
        status = _cancel(self._handle, 0)
        if status:
            _finish(status)

    def measure(self) -> _Measurement:
        """Return a context manager that measures its block; if that raises, nothing is stored."""
        return _Measurement(self)

    def set_raw_nanos(self, elapsed_nanos: int) -> None:
        """Store a duration in nanoseconds; a negative one counts as 0.

        While the clock runs nothing changes, recorded as `ErrorType.INVALID_STATE`.

        Raises:
            TypeError: not an integer.
            ValueError: doesn't fit into 64 bits.
        """
        try:
            status = _set_number(self._handle, _index(elapsed_nanos))
        except OverflowError:
            raise out_of_range(elapsed_nanos, "i64") from None
        if status:
            _finish(status)

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[int]:
        """Return the time in the metric's unit stored for a ping, by default the first of `send_in_pings`.

        `None` if there is none.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value: Optional[int] = self._read(ping_name)
        return value


class _Measurement:
    """Measures a block with a timespan."""

    __slots__ = ("_metric",)

    def __init__(self, metric: TimespanMetricType) -> None:
        self._metric = metric

    def __enter__(self) -> None:
        self._metric.start()

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self._metric.stop()
        else:
            self._metric.cancel()
