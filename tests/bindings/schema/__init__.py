"""Checks the body of a ping against `ping.json` of the package, a JSON Schema (draft-07).

The checker knows the keywords that `ping.json` uses and no others, so that these tests need no package that some Python
or some platform lacks; tests/differential compares it with jsonschema.
"""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

_INSTALLED = importlib.util.find_spec("glean_py")
# tests/differential run in an environment that has the other package.
_CHECKOUT = Path(__file__).resolve().parents[3] / "glean_py" / "__init__.py"
SCHEMA_FILE = Path((_INSTALLED and _INSTALLED.origin) or _CHECKOUT).with_name("serve") / "ping.json"

_TYPES: Dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: not isinstance(value, bool) and (isinstance(value, int) or _is_whole(value)),
}


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def load() -> Dict[str, Any]:
    """Return the schema."""
    schema: Dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return schema


_SCHEMA = load()


def check_ping(body: Any) -> List[str]:
    """Return what is wrong with the body of a ping: nothing for a valid one."""
    return list(_errors(_SCHEMA, body, "ping"))


def _errors(schema: Dict[str, Any], value: Any, where: str) -> Iterator[str]:
    for keyword in schema:
        check = _KEYWORDS.get(keyword)
        if check is None:
            raise ValueError(f"the checker does not know {keyword!r}")
        yield from check(schema, value, where)


def _ref(schema: Dict[str, Any], value: Any, where: str) -> Iterator[str]:
    return _errors(_SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]], value, where)


def _type(schema: Dict[str, Any], value: Any, where: str) -> Iterator[str]:
    wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(_TYPES[name](value) for name in wanted):
        yield f"{where}: {value!r:.200} is no {' or '.join(wanted)}"


def _enum(schema: Dict[str, Any], value: Any, where: str) -> Iterator[str]:
    if value not in schema["enum"]:
        yield f"{where}: {value!r:.200} is not one of {schema['enum']}"


def _required(schema: Dict[str, Any], value: Any, where: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key in schema["required"]:
            if key not in value:
                yield f"{where}: {key} is missing"


def _properties(schema: Dict[str, Any], value: Any, where: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in schema["properties"].items():
            if key in value:
                yield from _errors(inner, value[key], f"{where}.{key}")


def _additional_properties(schema: Dict[str, Any], value: Any, where: str) -> Iterator[str]:
    inner = schema["additionalProperties"]
    if isinstance(value, dict):
        for key in value:
            if key in schema.get("properties", ()):
                continue
            if inner is False:
                yield f"{where}: {key!r:.200} is not allowed"
            elif inner is not True:
                yield from _errors(inner, value[key], f"{where}.{key:.50}")


def _property_names(schema: Dict[str, Any], value: Any, where: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key in value:
            yield from _errors(schema["propertyNames"], key, f"{where}: the name")


def _items(schema: Dict[str, Any], value: Any, where: str) -> Iterator[str]:
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield from _errors(schema["items"], item, f"{where}[{place}]")


def _pattern(schema: Dict[str, Any], value: Any, where: str) -> Iterator[str]:
    if isinstance(value, str) and not re.search(schema["pattern"], value):
        yield f"{where}: {value!r:.200} does not look like {schema['pattern']}"


def _limit(keyword: str, is_too: Callable[[Any, Any], bool], kind: str, measure: Callable[[Any], Any]) -> Any:
    def check(schema: Dict[str, Any], value: Any, where: str) -> Iterator[str]:
        if _TYPES[kind](value) and is_too(measure(value), schema[keyword]):
            yield f"{where}: {value!r:.200} is against {keyword} {schema[keyword]}"

    return check


def _nothing(schema: Dict[str, Any], value: Any, where: str) -> Iterator[str]:
    return iter(())


def _less(one: Any, other: Any) -> bool:
    return bool(one < other)


def _more(one: Any, other: Any) -> bool:
    return bool(one > other)


_KEYWORDS: Dict[str, Callable[[Dict[str, Any], Any, str], Iterator[str]]] = {
    "$schema": _nothing,
    "title": _nothing,
    "definitions": _nothing,
    "$ref": _ref,
    "type": _type,
    "enum": _enum,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional_properties,
    "propertyNames": _property_names,
    "items": _items,
    "pattern": _pattern,
    "minLength": _limit("minLength", _less, "string", len),
    "maxLength": _limit("maxLength", _more, "string", len),
    "minItems": _limit("minItems", _less, "array", len),
    "maxItems": _limit("maxItems", _more, "array", len),
    "minProperties": _limit("minProperties", _less, "object", len),
    "maxProperties": _limit("maxProperties", _more, "object", len),
    "minimum": _limit("minimum", _less, "number", lambda value: value),
    "maximum": _limit("maximum", _more, "number", lambda value: value),
}
