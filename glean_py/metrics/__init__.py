"""The metric types and pings, one module each."""

from __future__ import annotations

from glean_py.metrics.boolean import BooleanMetricType
from glean_py.metrics.common import CommonMetricData, Lifetime
from glean_py.metrics.counter import CounterMetricType
from glean_py.metrics.ping import PingType
from glean_py.metrics.string import StringMetricType
from glean_py.metrics.uuid import UuidMetricType

__all__ = [
    "BooleanMetricType",
    "CommonMetricData",
    "CounterMetricType",
    "Lifetime",
    "PingType",
    "StringMetricType",
    "UuidMetricType",
]
