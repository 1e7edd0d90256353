"""Booleans."""

from __future__ import annotations

from glean_py import _ffi
from glean_py.metrics.common import BaseMetric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

_set = _ffi.lib.glean_metric_set_bool
_finish = _ffi.finish


class BooleanMetricType(BaseMetric):
    """Holds true or false; the last value wins."""

    _type_name = "boolean"

    def set(self, value: bool) -> None:
        """Store whether `value` is true, as `if value` sees it."""
        status = _set(self._handle, 1 if value else 0)
        if status:
            _finish(status)

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[bool]:
        """Return the value stored for a ping, by default the first of `send_in_pings`; `None` if there is none.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value: Optional[bool] = self._read(ping_name)
        return value
