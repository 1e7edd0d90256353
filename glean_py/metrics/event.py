"""Events."""

from __future__ import annotations

from glean_py import _ffi
from glean_py._bases import EventExtras
from glean_py._json_text import quote_all, quote_map
from glean_py._listeners import listeners, notify
from glean_py.metrics.common import CommonMetricData, Value, WrappedMetric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

_record = _ffi.lib.glean_metric_record_event
_NULL = _ffi.NULL
_finish = _ffi.finish

__all__ = ["EventExtras", "EventMetricType", "RecordedEvent", "SessionMetadata"]


class SessionMetadata(Value):
    """The session that an event happened in.

    Args:
        session_id: UUID of the session.
        session_seq: number of the session, counted from the first one on this machine.
        event_seq: number of the event in the session, from 0.
        session_sample_rate: the part of the sessions that is recorded, 0 to 1.
        session_start_time: when the session began, as RFC 3339 text.
    """

    def __init__(
        self,
        *,
        session_id: str,
        session_seq: int,
        event_seq: int,
        session_sample_rate: float,
        session_start_time: Optional[str] = None,
    ) -> None:
        self.session_id = session_id
        self.session_seq = session_seq
        self.event_seq = event_seq
        self.session_sample_rate = session_sample_rate
        self.session_start_time = session_start_time


class RecordedEvent(Value):
    """An event that was recorded.

    Args:
        timestamp: milliseconds of a clock that never goes back; only differences mean something.
        category: category of the metric.
        name: name of the metric.
        extra: what was recorded with it.
        session: the session it happened in, if it belongs to one.
    """

    def __init__(
        self,
        *,
        timestamp: int,
        category: str,
        name: str,
        extra: Optional[Dict[str, str]],
        session: Optional[SessionMetadata] = None,
    ) -> None:
        self.timestamp = timestamp
        self.category = category
        self.name = name
        self.extra = extra
        self.session = session


class EventMetricType(WrappedMetric):
    """Records that something happened, and when.

    Args:
        common_metric_data: its description.
        allowed_extra_keys: the keys that extras may have.
    """

    _type_name = "event"

    def __init__(self, common_metric_data: CommonMetricData, allowed_extra_keys: List[str]) -> None:
        self._create(common_metric_data, quote_all(allowed_extra_keys))
        category, name = common_metric_data.category, common_metric_data.name
        self._identifier = f"{category}.{name}" if category else name

    def record(self, extra: Optional[EventExtras] = None) -> None:
        """Record that it happened now.

        A key that isn't allowed drops the event and is recorded as `ErrorType.INVALID_VALUE`. Values of more than 500
        bytes are cut off at a character and recorded as `ErrorType.INVALID_OVERFLOW`.

        Args:
            extra: what to say besides; anything but `EventExtras` counts as nothing.

        Raises:
            TypeError: a key or a value is no `str`.
            UnicodeEncodeError: a key or a value has a lone surrogate.
        """
        if extra is None or not isinstance(extra, EventExtras):
            status = _record(self._handle, _NULL, 0)
        else:
            data = quote_map(extra.to_ffi_extra()).encode()
            status = _record(self._handle, data, len(data))
        if status:
            _finish(status)
        if listeners:
            notify(self._identifier)

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[List[RecordedEvent]]:
        """Return the events stored for a ping, by default the first of `send_in_pings`; `None` if there are none.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value: Optional[List[RecordedEvent]] = self._read(ping_name)
        return value

    @staticmethod
    def _from_json(value: Any) -> List[RecordedEvent]:
        return [
            RecordedEvent(
                timestamp=event["timestamp"],
                category=event["category"],
                name=event["name"],
                extra=event.get("extra") or {},
                session=SessionMetadata(**event["session"]) if event.get("session") else None,
            )
            for event in value
        ]
