"""UUIDs."""

from __future__ import annotations

import uuid
from typing import Optional, Union

from glean_py import _ffi
from glean_py.metrics.common import MetricType


class UuidMetricType(MetricType):
    """Holds a UUID; the last value wins."""

    _type_name = "uuid"

    def set(self, value: Union[uuid.UUID, str]) -> None:
        """Store a UUID; a text may be hyphenated, 32 digits, in braces or with `urn:uuid:`, in any case.

        Any other text changes nothing and is recorded as `ErrorType.INVALID_VALUE`.

        Raises:
            TypeError: neither a UUID nor a `str`.
            UnicodeEncodeError: the text has a lone surrogate.
        """
        data = _ffi.to_utf8(str(value) if isinstance(value, uuid.UUID) else value)
        _ffi.record(_ffi.lib.glean_uuid_set(self._handle, data, len(data)))

    def generate_and_set(self) -> uuid.UUID:
        """Store a new random UUID and return it, even if nothing gets recorded."""
        value = uuid.uuid4()
        self.set(value)
        return value

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[uuid.UUID]:
        """Return the UUID stored for a ping, by default the first of `send_in_pings`; `None` if there is none.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        out = _ffi.ffi.new("GleanBuffer *")
        is_stored = _ffi.get_value(self._type_name, self._handle, ping_name, out)
        return uuid.UUID(_ffi.take_text(out)) if is_stored else None
