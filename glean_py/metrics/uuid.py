"""UUIDs."""

from __future__ import annotations

from glean_py import _ffi
from glean_py.metrics.common import WrappedMetric

TYPE_CHECKING = False
if TYPE_CHECKING:
    import uuid
    from typing import Any, Optional, Union

_set = _ffi.lib.glean_metric_set_text
_finish = _ffi.finish


class UuidMetricType(WrappedMetric):
    """Holds a UUID; the last value wins."""

    _type_name = "uuid"

    def set(self, value: Union[uuid.UUID, str]) -> None:
        """Store a UUID; a text may be hyphenated, 32 digits, in braces or with `urn:uuid:`, in any case.

        Anything else changes nothing and is recorded as `ErrorType.INVALID_VALUE`.

        Raises:
            UnicodeEncodeError: the text has a lone surrogate.
        """
        data = str(value).encode()
        status = _set(self._handle, data, len(data))
        if status:
            _finish(status)

    def generate_and_set(self) -> uuid.UUID:
        """Store a new random UUID and return it, even if nothing gets recorded."""
        import uuid

        value = uuid.uuid4()
        self.set(value)
        return value

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[uuid.UUID]:
        """Return the UUID stored for a ping, by default the first of `send_in_pings`; `None` if there is none.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        value: Optional[uuid.UUID] = self._read(ping_name)
        return value

    @staticmethod
    def _from_json(value: Any) -> uuid.UUID:
        import uuid

        return uuid.UUID(value)
