"""Base classes that compiled modules derive from: by themselves, so that these are quick to import."""

from __future__ import annotations

TYPE_CHECKING: bool = False
if TYPE_CHECKING:
    from typing import Any, Dict

__all__ = ["EventExtras", "ObjectSerialize", "Value"]


class Value:
    """Something with fields; equal to another of its class if all fields are."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # Its fields can change.

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__qualname__}({fields})"


class EventExtras:
    """Base of the classes whose objects go with an event: what it says besides that it happened."""

    def to_ffi_extra(self) -> Dict[str, str]:
        """Return the extras: keys that the event allows, and texts."""
        return {}


class ObjectSerialize:
    """Base of the classes whose objects can be recorded."""

    def into_serialized_object(self) -> str:
        """Return this object as JSON; fields that are `None` are left out, at every depth."""
        import json

        return json.dumps(self, default=_fields)


def _fields(value: Any) -> Dict[str, Any]:
    """Return the fields of an object that have a value."""
    if not isinstance(value, ObjectSerialize) and not hasattr(type(value), "__dataclass_fields__"):
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    names = getattr(value, "__dataclass_fields__", None) or vars(value)
    return {name: field for name in names for field in (getattr(value, name),) if field is not None}
