"""Booleans."""

from __future__ import annotations

from typing import Optional

from glean_py import _ffi
from glean_py.metrics.common import MetricType


class BooleanMetricType(MetricType):
    """Holds true or false; the last value wins."""

    _type_name = "boolean"

    def set(self, value: bool) -> None:
        """Store whether `value` is true, as `if value` sees it."""
        _ffi.record(_ffi.lib.glean_boolean_set(self._handle, 1 if value else 0))

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[bool]:
        """Return the value stored for a ping, by default the first of `send_in_pings`; `None` if there is none.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        out = _ffi.ffi.new("uint8_t *")
        return bool(out[0]) if _ffi.get_value(self._type_name, self._handle, ping_name, out) else None
