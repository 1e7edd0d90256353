"""Rates."""

from __future__ import annotations

from operator import index as _index

from glean_py import _ffi
from glean_py._json_text import out_of_range
from glean_py.metrics.common import BaseMetric, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

_add_to_numerator = _ffi.lib.glean_counter_add
_add_to_denominator = _ffi.lib.glean_metric_add_to_denominator
_finish = _ffi.finish


class Rate(Value):
    """What a rate holds."""

    def __init__(self, *, numerator: int, denominator: int) -> None:
        self.numerator = numerator
        self.denominator = denominator

    @classmethod
    def _from_json(cls, value: Any) -> Rate:
        return cls(numerator=value["numerator"], denominator=value["denominator"])


class RateMetricType(BaseMetric):
    """Counts two things of which the one is a part of the other."""

    _type_name = "rate"

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

    def add_to_denominator(self, amount: int) -> None:
        """Add to the denominator, as `add_to_numerator` does to the numerator.

        Raises:
            TypeError: not an integer.
            ValueError: doesn't fit into 32 bits.
        """
        try:
            status = _add_to_denominator(self._handle, _index(amount))
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
