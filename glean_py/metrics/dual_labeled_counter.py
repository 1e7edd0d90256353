"""Counters with two labels."""

from __future__ import annotations

from glean_py import _ffi
from glean_py._json_text import optional, quote_all, to_object
from glean_py.metrics.common import BaseMetric, CommonMetricData
from glean_py.metrics.counter import CounterMetricType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, Optional, Tuple

# As for labeled metrics; two dimensions have more combinations.
_MOST_CACHED = 65536


class DualLabeledCounterMetricType(BaseMetric):
    """A counter for each pair of a key and a category.

    Args:
        meta: its description.
        keys: the only keys there are, all others become `__other__`; by default keys are free: the first 16 stay.
        categories: the same for categories.
    """

    _type_name = "dual_labeled_counter"

    def __init__(
        self,
        meta: CommonMetricData,
        keys: Optional[Iterable[str]] = None,
        categories: Optional[Iterable[str]] = None,
    ) -> None:
        parameters = {"keys": optional(quote_all, keys), "categories": optional(quote_all, categories)}
        self._create(meta, to_object(parameters).decode())
        self._counters: Dict[Tuple[str, str], CounterMetricType] = {}

    def get(self, key: str, category: str) -> CounterMetricType:
        """Return the counter for a key and a category.

        Raises:
            TypeError: one of them is no `str`.
            UnicodeEncodeError: one of them has a lone surrogate.
        """
        try:
            return self._counters[key, category]
        except KeyError:
            return self._make(key, category)

    def _make(self, key: str, category: str) -> CounterMetricType:
        first, second = _ffi.to_utf8(key), _ffi.to_utf8(category)
        out = _ffi.ffi.new("uint64_t *")
        status = _ffi.lib.glean_dual_labeled_counter_get(self._handle, first, len(first), second, len(second), out)
        if status:
            # Not even a label disturbs the host program: a metric without a handle records nothing, and says so once.
            _ffi.finish(status)
        counter = CounterMetricType._adopt(int(out[0]))
        if len(self._counters) >= _MOST_CACHED:
            return counter
        return self._counters.setdefault((key, category), counter)

    def test_get_value(self, ping_name: Optional[str] = None) -> Dict[str, Dict[str, int]]:
        """Return what is stored for a ping, by default the first of `send_in_pings`: counts by key and category.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        values: Dict[str, Dict[str, int]] = self._read(ping_name) or {}
        return values
