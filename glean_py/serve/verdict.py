"""What is wrong with the body of a ping by `ping.json`, the schema of pings, in words."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any, Dict, List, Optional

SCHEMA = Path(__file__).resolve().parent / "ping.json"
MISSING = "pings are not checked against the schema: python -m pip install 'glean_py[serve]'"
_MOST = 20
# A larger one takes the checker seconds.
_MAX_BYTES = 2**19
_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a text",
}


class Checker:
    """Checks pings with the package jsonschema, if it is installed.

    Attributes:
        missing: why nothing can be checked, and what to do; empty when it can.
    """

    def __init__(self) -> None:
        self.missing = ""
        self._validator: Any = None
        try:
            from jsonschema import Draft7Validator
        except ImportError:
            self.missing = MISSING
            return
        self._validator = Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))

    def check(self, body: Any, size: int) -> Optional[List[Dict[str, str]]]:
        """Return up to 20 violations as `place` and `what`; `None` if the body of `size` bytes was not checked."""
        if self._validator is None or size > _MAX_BYTES:
            return None
        try:
            found = islice(self._validator.iter_errors(body), _MOST)
            return [{"place": _place(error), "what": _explain(error)} for error in found]
        except RecursionError:
            return None


def _place(error: Any) -> str:
    return _cut("/".join(str(part) for part in error.absolute_path)) or "the whole ping"


def _explain(error: Any) -> str:
    """Say what rule a value breaks, and what it is."""
    rule, wanted, found = error.validator, error.validator_value, error.instance
    # The property names of an object are checked one by one; the place is that of the object.
    shown = _show(found)
    if rule == "type":
        kinds = [wanted] if isinstance(wanted, str) else wanted
        return f"has to be {' or '.join(_KINDS[kind] for kind in kinds)}; it is {shown}"
    if rule == "required":
        absent = [name for name in wanted if name not in found]
        return f"lacks {', '.join(absent)}"
    if rule == "additionalProperties":
        known = error.schema.get("properties", {})
        return f"has names that no ping has here: {_cut(', '.join(name for name in found if name not in known))}"
    if rule in ("minProperties", "minItems"):
        return "is empty; what is empty is left out of a ping"
    if rule == "enum":
        return f"has to be one of {_cut(', '.join(map(str, wanted)))}; it is {shown}"
    sentences = {
        "minimum": f"has to be at least {wanted}; it is {shown}",
        "maximum": f"has to be at most {wanted}; it is {shown}",
        "maxLength": f"has to have at most {wanted} characters; it has {_length(found)}: {shown}",
        "minLength": f"has to have at least {wanted} characters; it has {_length(found)}",
        "maxItems": f"has to have at most {wanted} items; it has {_length(found)}",
        "maxProperties": f"has to have at most {wanted} names; it has {_length(found)}",
        "pattern": f"has to look like {error.schema.get('title', wanted)}; it is {shown}",
    }
    return sentences.get(rule, _cut(error.message))


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, list, dict)) else 0


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return _cut(json.dumps(value[:200] if isinstance(value, str) else value, ensure_ascii=False))


def _cut(text: str, most: int = 160) -> str:
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= most else f"{text[:most]}…"
