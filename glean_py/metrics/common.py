"""What every metric has in common."""

from __future__ import annotations

import enum
from typing import List, Optional

from glean_py import _ffi


class Lifetime(enum.Enum):
    """How long a value stays."""

    PING = 0
    """Until the ping it is sent in is collected."""
    APPLICATION = 1
    """Until the next start of the application."""
    USER = 2
    """Until collection or the ping is switched off."""


class ErrorType(enum.Enum):
    """What was wrong with a recording call."""

    INVALID_VALUE = 0
    INVALID_LABEL = 1
    INVALID_STATE = 2
    INVALID_OVERFLOW = 3


class CommonMetricData:
    """The description of one metric.

    Args:
        category: first part of the identifier; may be empty.
        name: last part of the identifier.
        send_in_pings: names of the pings the metric is sent in; each keeps its own copy of the value.
        lifetime: how long a value stays.
        disabled: whether neither values nor errors are recorded.
        label: the label, if this is one metric of a labeled one.
        in_session: whether the metric belongs to a session.
    """

    def __init__(
        self,
        *,
        category: str,
        name: str,
        send_in_pings: List[str],
        lifetime: Lifetime,
        disabled: bool,
        label: Optional[str] = None,
        in_session: bool = False,
    ) -> None:
        self.category = category
        self.name = name
        self.send_in_pings = send_in_pings
        self.lifetime = lifetime
        self.disabled = disabled
        self.label = label
        self.in_session = in_session

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CommonMetricData):
            return NotImplemented
        return vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # Its fields can change, as those of a list.

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"CommonMetricData({fields})"


class MetricType:
    """A metric in the core, and what all types of metrics can do.

    Raises:
        TypeError: a field of the description has a wrong type.
        UnicodeEncodeError: a text has a lone surrogate.
    """

    _type_name: str
    """The word for this type in C symbols: `glean_<type>_<verb>`."""
    _handle: int = 0

    def __init__(self, common_metric_data: CommonMetricData) -> None:
        meta = common_metric_data
        arguments = _ffi.Arguments()
        fields = {
            "category": arguments.text(meta.category),
            "name": arguments.text(meta.name),
            "label": arguments.text(meta.label),
            "send_in_pings": arguments.texts(meta.send_in_pings),
            "send_in_pings_len": len(meta.send_in_pings),
            "lifetime": meta.lifetime.value,
            "disabled": bool(meta.disabled),
            "in_session": bool(meta.in_session),
        }
        self._handle = _ffi.create(self._type_name, "GleanCommonMetricData *", fields)

    def __del__(self) -> None:
        if self._handle:
            _ffi.destroy(self._type_name, self._handle)

    def test_get_num_recorded_errors(self, error_type: ErrorType) -> int:
        """Return how many errors of this kind the metric has in the `metrics` ping.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        return _ffi.count_errors(self._type_name, self._handle, error_type.value)
