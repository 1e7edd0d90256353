"""Points in time."""

from __future__ import annotations

from glean_py import _ffi
from glean_py.metrics.common import CommonMetricData, TimeUnit, WrappedMetric, word_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from typing import Any, Optional

_set = _ffi.lib.glean_metric_set_datetime
_set_now = _ffi.lib.glean_metric_set_datetime_now
_finish = _ffi.finish


class DatetimeMetricType(WrappedMetric):
    """Holds a point in time with its offset from UTC; the last value wins.

    Args:
        common_metric_data: its description.
        time_unit: how precise it is; what is finer is cut off.
    """

    _type_name = "datetime"

    def __init__(self, common_metric_data: CommonMetricData, time_unit: TimeUnit) -> None:
        self._create(common_metric_data, word_of(time_unit, TimeUnit))

    def set(self, value: Optional[datetime.datetime] = None) -> None:
        """Store a point in time, by default now in the local time zone; without a time zone it counts as UTC.

        Raises:
            AttributeError: not a `datetime`.
        """
        if value is None:
            status = _set_now(self._handle)
        else:
            offset = value.utcoffset()
            status = _set(
                self._handle,
                value.year,
                value.month,
                value.day,
                value.hour,
                value.minute,
                value.second,
                value.microsecond * 1000,
                0 if offset is None else offset.days * 86400 + offset.seconds,
            )
        if status:
            _finish(status)

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[datetime.datetime]:
        """Return the point in time stored for a ping, by default the first of `send_in_pings`; `None` if there is none.

        It has the offset it was recorded with, and nothing finer than the metric's unit or a microsecond.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value: Optional[datetime.datetime] = self._read(ping_name)
        return value

    def test_get_value_as_str(self, ping_name: Optional[str] = None) -> Optional[str]:
        """Return what `test_get_value` returns as ISO 8601 text.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value = self.test_get_value(ping_name)
        return None if value is None else value.isoformat()

    @staticmethod
    def _from_json(value: Any) -> datetime.datetime:
        """Read the text that pings have: a date, as much of the time as the unit says, and the offset as ±HH:MM."""
        import datetime

        # The offset is 6 characters long, the date before the time 10: "2021-03-04T05:06:07.123+01:00".
        local, sign, hours, minutes = value[:-6], value[-6], int(value[-5:-3]), int(value[-2:])
        date, _, time = local.partition("T")
        time, _, fraction = time.partition(".")
        fields = [int(part) for part in date.split("-") + (time.split(":") if time else [])]
        fields += [0] * (6 - len(fields))
        microseconds = int(fraction[:6].ljust(6, "0"))
        offset = datetime.timedelta(hours=hours, minutes=minutes)
        zone = datetime.timezone(-offset if sign == "-" else offset)
        year, month, day, hour, minute, second = fields
        return datetime.datetime(year, month, day, hour, minute, second, microseconds, zone)
