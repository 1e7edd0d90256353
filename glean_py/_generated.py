"""Bases of the classes that YAML files define, compiled or loaded: extras of events, parts of objects."""

from __future__ import annotations

from glean_py._bases import EventExtras, ObjectSerialize, Value
from glean_py._util import Generic, T

TYPE_CHECKING: bool = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Dict, List

    class _List(List[T], Generic[T]):
        """A list, to type checkers one of `T`."""

else:

    class _List(list, Generic):
        """A list."""


__all__ = ["Extra", "Record", "Records", "Unset"]


class _UnsetType:
    def __repr__(self) -> str:
        return "Unset"


Unset: Any = _UnsetType()
"""What an extra key has that was not given; `None` is a value of a wrong type."""

# An attribute that no key of an event can be the name of, since keys are printable ASCII.
_KEYS = "\0"


class Extra(EventExtras):
    """Base of the extras of one event: takes the declared keys, as keywords, each with its declared type.

    Raises:
        TypeError: a key is not declared, or a value has a wrong type; the second is checked again when the event is
            recorded.
    """

    _TYPES: ClassVar[Dict[str, Any]] = {"string": str, "boolean": bool, "quantity": int}

    def __init_subclass__(cls, *, keys: Dict[str, str]) -> None:
        """Declare the keys of the event, each with `string`, `boolean` or `quantity`."""
        super().__init_subclass__()
        setattr(cls, _KEYS, keys)

    # Named like this because `self` may be a key.
    def __init__(__self, **values: Any) -> None:
        cls = type(__self)
        keys: Dict[str, str] = getattr(cls, _KEYS)
        fields = vars(__self)
        for key in keys:
            fields[_field(key)] = None
        for key, value in values.items():
            if key not in keys:
                raise TypeError(f"Argument '{key}' not valid for {cls.__name__}")
            if value is Unset:
                continue
            if not isinstance(value, Extra._TYPES[keys[key]]):
                raise TypeError(f"Field '{key}' requires type {keys[key]} in {cls.__name__}")
            fields[_field(key)] = value

    def to_ffi_extra(self) -> Dict[str, str]:
        """Return the keys that have a value, with the text that is sent for it."""
        keys: Dict[str, str] = getattr(type(self), _KEYS)
        fields = vars(self)
        texts = {}
        for key, kind in keys.items():
            value = fields.get(_field(key))
            if value is None:
                continue
            if not isinstance(value, Extra._TYPES[kind]):
                raise TypeError(f"Type {type(value)} not supported for {key}")
            if kind == "boolean":
                texts[key] = "true" if value else "false"
            elif kind == "quantity":
                # In decimal, also for a member of an enumeration or a bool.
                texts[key] = str(int(value))
            else:
                # The text itself, also of a member of an enumeration.
                texts[key] = str.__str__(value)
        return texts


def _field(key: str) -> str:
    """Return the attribute for a key: itself, unless that has a meaning of its own."""
    return f"\0{key}" if hasattr(Extra, key) else key


class Record(Value, ObjectSerialize):
    """Base of the parts of an object that have fields; fields that are `None` are not sent."""


class Records(_List[T], ObjectSerialize):
    """Base of the parts of an object that are arrays."""
