"""Quantities."""

from __future__ import annotations

from operator import index as _index

from glean_py import _ffi
from glean_py._json_text import out_of_range
from glean_py.metrics.common import BaseMetric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

_set = _ffi.lib.glean_metric_set_number
_finish = _ffi.finish


class QuantityMetricType(BaseMetric):
    """Holds a number that isn't negative; the last value wins."""

    _type_name = "quantity"

    def set(self, value: int) -> None:
        """Store a number.

        A negative one changes nothing and is recorded as `ErrorType.INVALID_VALUE`.

        Raises:
            TypeError: not an integer.
            ValueError: doesn't fit into 64 bits.
        """
        try:
            status = _set(self._handle, value if type(value) is int else _index(value))
        except OverflowError:
            raise out_of_range(value, "i64") from None
        if status:
            _finish(status)

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[int]:
        """Return the number stored for a ping, by default the first of `send_in_pings`; `None` if there is none.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value: Optional[int] = self._read(ping_name)
        return value
