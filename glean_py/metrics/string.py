"""Strings."""

from __future__ import annotations

from typing import Optional

from glean_py import _ffi
from glean_py.metrics.common import MetricType


class StringMetricType(MetricType):
    """Holds a short text; the last value wins."""

    _type_name = "string"

    def set(self, value: Optional[str]) -> None:
        """Store a text of at most 255 bytes of UTF-8; `None` is ignored.

        What is longer is cut off at a character and recorded as `ErrorType.INVALID_OVERFLOW`.

        Raises:
            TypeError: neither `str` nor `None`.
            UnicodeEncodeError: the text has a lone surrogate.
        """
        if value is None:
            return
        data = _ffi.to_utf8(value)
        _ffi.record(_ffi.lib.glean_string_set(self._handle, data, len(data)))

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[str]:
        """Return the text stored for a ping, by default the first of `send_in_pings`; `None` if there is none.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        out = _ffi.ffi.new("GleanBuffer *")
        return _ffi.take_text(out) if _ffi.get_value(self._type_name, self._handle, ping_name, out) else None
