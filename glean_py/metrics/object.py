"""Objects."""

from __future__ import annotations

from glean_py import _ffi
from glean_py._bases import ObjectSerialize
from glean_py._util import Generic, T
from glean_py.metrics.common import CommonMetricData, WrappedMetric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional, Type

_set = _ffi.lib.glean_metric_set_object
_refuse = _ffi.lib.glean_metric_refuse_value
_finish = _ffi.finish

__all__ = ["EncodeObject", "ObjectMetricType", "ObjectSerialize"]


if TYPE_CHECKING:
    from json import JSONEncoder

    class EncodeObject(JSONEncoder):
        """An encoder for `json.dumps(…, cls=EncodeObject)` that knows objects: fields that are `None` are left out."""

else:

    def __getattr__(name: str) -> Any:
        """Make `EncodeObject` when it is asked for: `json` takes longer to import than all of this package."""
        if name != "EncodeObject":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from json import JSONEncoder

        from glean_py._bases import _fields

        made = type(name, (JSONEncoder,), {"__module__": __name__, "default": lambda _, value: _fields(value)})
        return globals().setdefault(name, made)


class ObjectMetricType(WrappedMetric, Generic[T]):
    """Holds something structured; the last value wins.

    Args:
        common_metric_data: its description.
        ty: the class of what it holds.
    """

    _type_name = "object"

    def __init__(self, common_metric_data: CommonMetricData, ty: Type[T]) -> None:
        self._create(common_metric_data)
        self._ty = ty

    def set(self, obj: T) -> None:
        """Store an object; one of another class changes nothing and is recorded as `ErrorType.INVALID_VALUE`.

        Raises:
            TypeError: the object doesn't turn itself into a `str`, or something in it has no form in JSON.
            UnicodeEncodeError: that text has a lone surrogate.
        """
        if isinstance(obj, self._ty):
            data = _ffi.to_utf8(obj.into_serialized_object())  # type: ignore[attr-defined]
            status = _set(self._handle, data, len(data))
        else:
            status = _refuse(self._handle)
        if status:
            _finish(status)

    def test_get_value(self, ping_name: Optional[str] = None) -> Optional[Any]:
        """Return what is stored for a ping, by default the first of `send_in_pings`, as `json.loads` decodes it.

        `None` if nothing is.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        return self._read(ping_name)
