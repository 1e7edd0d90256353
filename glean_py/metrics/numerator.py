"""Rates whose denominator is a metric of its own."""

from __future__ import annotations

from operator import index as _index

from glean_py import _ffi
from glean_py._json_text import out_of_range
from glean_py.metrics.common import BaseMetric
from glean_py.metrics.rate import Rate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

_add_to_numerator = _ffi.lib.glean_counter_add
_finish = _ffi.finish


class NumeratorMetricType(BaseMetric):
    """Counts a part of what a `DenominatorMetricType` counts."""

    _type_name = "numerator"

    def add_to_numerator(self, amount: int) -> None:
        """Add to the numerator, which stays at 2147483647 once there.

        A negative amount changes nothing and is recorded as `ErrorType.INVALID_VALUE`.

        Raises:
            TypeError: not an integer.
            ValueError: doesn't fit into 32 bits.
        """
        try:
            status = _add_to_numerator(self._handle, _index(amount))
        except OverflowError:
            raise out_of_range(amount, "i32") from None
        if status:
            _finish(status)

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[Rate]:
        """Return the rate stored for a ping, by default the first of `send_in_pings`; `None` if there is none.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value: Optional[Rate] = self._read(ping_name)
        return value

    _from_json = staticmethod(Rate._from_json)
