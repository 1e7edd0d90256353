"""Custom distributions."""

from __future__ import annotations

from operator import index as _index

from glean_py import _ffi
from glean_py._json_text import integer, out_of_range, to_object
from glean_py.metrics.common import BaseMetric, CommonMetricData, DistributionData, HistogramType, accumulate, word_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

_accumulate_samples = _ffi.lib.glean_metric_accumulate_samples
_accumulate = _ffi.lib.glean_metric_accumulate
_finish = _ffi.finish


def describe(range_min: int, range_max: int, bucket_count: int, histogram_type: HistogramType) -> str:
    """Return the parameters as JSON.

    Raises:
        TypeError: a number is no integer.
        ValueError: a number doesn't fit into 64 bits, or the type is no `HistogramType`.
    """
    numbers = {"range_min": range_min, "range_max": range_max, "bucket_count": bucket_count}
    fields = {name: integer(number, "i64") for name, number in numbers.items()}
    fields["histogram_type"] = word_of(histogram_type, HistogramType)
    return to_object(fields).decode()


class CustomDistributionMetricType(BaseMetric):
    """Counts how often numbers fall into buckets of your choice.

    Args:
        meta: its description.
        range_min: lower bound of the second bucket; the first one begins at 0.
        range_max: lower bound of the last bucket.
        bucket_count: number of buckets.
        histogram_type: how buckets grow.
    """

    _type_name = "custom_distribution"

    def __init__(
        self,
        meta: CommonMetricData,
        range_min: int,
        range_max: int,
        bucket_count: int,
        histogram_type: HistogramType,
    ) -> None:
        self._create(meta, describe(range_min, range_max, bucket_count, histogram_type))

    def accumulate_samples(self, samples: List[int]) -> None:
        """Count numbers; negative ones are left out and recorded as `ErrorType.INVALID_VALUE`.

        Raises:
            TypeError: no collection with a length, or something in it is no integer.
            ValueError: something in it doesn't fit into 64 bits.
        """
        accumulate(_accumulate_samples, self._handle, samples)

    def accumulate_single_sample(self, sample: int) -> None:
        """Count one number, as `accumulate_samples` does.

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

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[DistributionData]:
        """Return what is stored for a ping, by default the first of `send_in_pings`; `None` if nothing is.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value: Optional[DistributionData] = self._read(ping_name)
        return value

    _from_json = staticmethod(DistributionData._from_json)
