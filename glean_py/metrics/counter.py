"""Counters."""

from __future__ import annotations

from typing import Optional

from glean_py import _ffi
from glean_py.metrics.common import MetricType


class CounterMetricType(MetricType):
    """Counts how often something happens."""

    _type_name = "counter"

    def add(self, amount: int = 1) -> None:
        """Add `amount`; the sum stays at 2147483647 once there.

        Zero changes nothing. A negative amount changes nothing and is recorded as `ErrorType.INVALID_VALUE`.

        Raises:
            TypeError: not an integer.
            ValueError: doesn't fit into 32 bits.
        """
        _ffi.record(_ffi.lib.glean_counter_add(self._handle, _ffi.to_i32(amount)))

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[int]:
        """Return the count stored for a ping, by default the first of `send_in_pings`; `None` if there is none.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        out = _ffi.ffi.new("int32_t *")
        return int(out[0]) if _ffi.get_value(self._type_name, self._handle, ping_name, out) else None
