"""Memory distributions."""

from __future__ import annotations

from operator import index as _index

from glean_py import _ffi
from glean_py._json_text import out_of_range
from glean_py.metrics.common import BaseMetric, CommonMetricData, DistributionData, MemoryUnit, accumulate, word_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

_accumulate = _ffi.lib.glean_metric_accumulate
_accumulate_samples = _ffi.lib.glean_metric_accumulate_samples
_finish = _ffi.finish


class MemoryDistributionMetricType(BaseMetric):
    """Counts how often something takes how much memory.

    Args:
        meta: its description.
        memory_unit: the unit of samples; sums and buckets are in bytes.
    """

    _type_name = "memory_distribution"

    def __init__(self, meta: CommonMetricData, memory_unit: MemoryUnit) -> None:
        self._create(meta, word_of(memory_unit, MemoryUnit))

    def accumulate(self, sample: int) -> None:
        """Count one amount of memory.

        A negative one changes nothing, one above a terabyte counts as a terabyte; both are recorded as
        `ErrorType.INVALID_VALUE`.

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

    def accumulate_samples(self, samples: List[int]) -> None:
        """Count several amounts of memory, as `accumulate` does.

        Raises:
            TypeError: no collection with a length, or something in it is no integer.
            ValueError: something in it doesn't fit into 64 bits.
        """
        accumulate(_accumulate_samples, self._handle, samples)

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[DistributionData]:
        """Return what is stored for a ping, by default the first of `send_in_pings`; `None` if nothing is.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value: Optional[DistributionData] = self._read(ping_name)
        return value

    _from_json = staticmethod(DistributionData._from_json)
