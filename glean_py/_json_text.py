"""JSON as the core takes it, written without the module `json`, whose import takes longer than making 200 metrics.

Types are checked on the way. A lone surrogate is a `UnicodeEncodeError` in `to_object`.
"""

from __future__ import annotations

from operator import index

try:
    from _json import encode_basestring as _quote
except ImportError:
    # A Python without the accelerator in C.
    from json.encoder import encode_basestring as _quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, Optional

# Lowest and highest integer of a C type, by the name it has in error messages.
RANGES = {
    "i32": (-(2**31), 2**31 - 1),
    "u32": (0, 2**32 - 1),
    "i64": (-(2**63), 2**63 - 1),
    "u64": (0, 2**64 - 1),
}


def quote(text: str) -> str:
    """Return a text as JSON.

    Raises:
        TypeError: not a `str`.
    """
    if not isinstance(text, str):
        raise not_text(text)
    return _quote(text)


def not_text(value: object) -> TypeError:
    """Return the exception for something that has to be a text and isn't."""
    return TypeError(f"a str is needed, not {type(value).__name__}")


def quote_all(texts: Iterable[str]) -> str:
    """Return texts as a JSON array.

    Raises:
        TypeError: not iterable, or something in it is no `str`.
    """
    return "[" + ",".join([quote(text) for text in texts]) + "]"


def quote_map(texts: Dict[str, str]) -> str:
    """Return a dictionary of texts as a JSON object.

    Raises:
        TypeError: a key or a value is no `str`.
    """
    # What is no `str` is refused by `_quote` itself; this is called for every event.
    return "{" + ",".join([f"{_quote(key)}:{_quote(value)}" for key, value in texts.items()]) + "}"


def optional(write: Callable[[Any], str], value: Optional[Any]) -> str:
    """Return `null` for `None` and else what `write` makes of the value."""
    return "null" if value is None else write(value)


def flag(value: object) -> str:
    """Return whether the value is true, as `if value` sees it."""
    return "true" if value else "false"


def integer(value: int, kind: str) -> str:
    """Return an integer, if the C type of this name holds it.

    Raises:
        TypeError: not an integer.
        ValueError: out of range.
    """
    number = index(value)
    low, high = RANGES[kind]
    if not low <= number <= high:
        raise out_of_range(number, kind)
    return str(int(number))


def out_of_range(value: int, kind: str) -> ValueError:
    """Return the exception for an integer that the C type of this name doesn't hold."""
    low, high = RANGES[kind]
    return ValueError(f"{value} is out of range: {kind} holds {low} to {high}")


def to_object(fields: Dict[str, str]) -> bytes:
    """Return a JSON object of fields that are JSON text already, encoded for the core.

    Raises:
        UnicodeEncodeError: a text has a lone surrogate.
    """
    return ("{" + ",".join([_quote(name) + ":" + text for name, text in fields.items()]) + "}").encode()
