"""Lists of strings."""

from __future__ import annotations

from glean_py import _ffi
from glean_py._json_text import quote_all
from glean_py.metrics.common import BaseMetric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

_add = _ffi.lib.glean_metric_add_to_list
_set = _ffi.lib.glean_metric_set_list
_finish = _ffi.finish


class StringListMetricType(BaseMetric):
    """Holds up to 100 short texts."""

    _type_name = "string_list"

    def add(self, value: str) -> None:
        """Append a text of at most 100 bytes of UTF-8.

        What is longer is cut off at a character and recorded as `ErrorType.INVALID_OVERFLOW`. A full list stays as it
        is, recorded as `ErrorType.INVALID_VALUE`.

        Raises:
            TypeError: not a `str`.
            UnicodeEncodeError: the text has a lone surrogate.
        """
        data = _ffi.to_utf8(value)
        status = _add(self._handle, data, len(data))
        if status:
            _finish(status)

    def set(self, value: List[str]) -> None:
        """Replace the list; what is too long is treated as by `add`.

        Raises:
            TypeError: no collection with a length, or something in it is no `str`.
            UnicodeEncodeError: a text has a lone surrogate.
        """
        # An iterator is refused, as peers do: a generator that was used up would clear the list without a word.
        len(value)
        data = quote_all(value).encode()
        status = _set(self._handle, data, len(data))
        if status:
            _finish(status)

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[List[str]]:
        """Return the list stored for a ping, by default the first of `send_in_pings`; `None` if there is none.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value: Optional[List[str]] = self._read(ping_name)
        return value
