"""Counters that are the denominator of rates."""

from __future__ import annotations

from operator import index as _index

from glean_py import _ffi
from glean_py._json_text import out_of_range, to_object
from glean_py.metrics.common import BaseMetric, CommonMetricData

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

_add = _ffi.lib.glean_counter_add
_finish = _ffi.finish


class DenominatorMetricType(BaseMetric):
    """Counts something, for itself and for the rates that are parts of it.

    Args:
        meta: its description.
        numerators: the description of each `NumeratorMetricType` whose denominator it is.
    """

    _type_name = "denominator"

    def __init__(self, meta: CommonMetricData, numerators: List[CommonMetricData]) -> None:
        described = ",".join([to_object(numerator._to_json()).decode() for numerator in numerators])
        self._create(meta, f"[{described}]")

    def add(self, amount: int = 1) -> None:
        """Add `amount`; the sum stays at 2147483647 once there.

        Zero and a negative amount change nothing and are recorded as `ErrorType.INVALID_VALUE`.

        Raises:
            TypeError: not an integer.
            ValueError: doesn't fit into 32 bits.
        """
        try:
            status = _add(self._handle, _index(amount))
        except OverflowError:
            raise out_of_range(amount, "i32") from None
        if status:
            _finish(status)

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[int]:
        """Return the count stored for a ping, by default the first of `send_in_pings`; `None` if there is none.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value: Optional[int] = self._read(ping_name)
        return value
