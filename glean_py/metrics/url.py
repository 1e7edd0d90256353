"""URLs."""

from __future__ import annotations

from glean_py import _ffi
from glean_py._json_text import not_text
from glean_py.metrics.common import WrappedMetric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

_set = _ffi.lib.glean_metric_set_text
_encode = str.encode
_finish = _ffi.finish


class UrlMetricType(WrappedMetric):
    """Holds a URL; the last value wins."""

    _type_name = "url"

    def set(self, value: Optional[str]) -> None:
        """Store a URL of at most 8192 bytes of UTF-8; `None` is ignored.

        What is longer is cut off at a character and recorded as `ErrorType.INVALID_OVERFLOW`. A text without a scheme
        and a `data:` URL change nothing and are recorded as `ErrorType.INVALID_VALUE`.

        Raises:
            TypeError: neither `str` nor `None`.
            UnicodeEncodeError: the text has a lone surrogate.
        """
        try:
            data = _encode(value)  # type: ignore[arg-type]  # What is no text is seen to when that fails.
        except TypeError:
            if value is None:
                return
            raise not_text(value) from None
        status = _set(self._handle, data, len(data))
        if status:
            _finish(status)

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[str]:
        """Return the URL stored for a ping, by default the first of `send_in_pings`; `None` if there is none.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value: Optional[str] = self._read(ping_name)
        return value
