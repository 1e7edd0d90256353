"""`load_metrics` and `load_pings`: metrics and pings from YAML, made while the program runs.

Every call reads the files and makes new objects. What `python -m glean_py compile` writes needs neither.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Union

from glean_py import _definitions, metrics
from glean_py._definitions import Call, Definition, Local, Name, ObjectClass
from glean_py._generated import Extra
from glean_py.metrics import ObjectSerialize

if TYPE_CHECKING:
    import os
    import sys

    if sys.version_info >= (3, 11):
        from importlib.resources.abc import Traversable
    else:
        from importlib.abc import Traversable

    FilePath = Union[str, "os.PathLike[str]", Traversable]

GLEAN_PARSER_VERSION = _definitions.PARSER_VERSION

_FIELD_TYPES: Dict[str, Any] = {"str": str, "int": int, "bool": bool, "Any": Any}


def load_metrics(filepath: Union[FilePath, List[FilePath]], config: Optional[Dict[str, Any]] = None) -> Any:
    """Return a tree of the metrics and pings that YAML files define: `tree.category.metric`, `tree.pings.name`.

    The metrics of a category are attributes of a class, as are the classes for extras and objects beside them; the
    parts of a dotted category are nested. A `-` in a name becomes `_`. A ping has its reasons in `<name>_reason_codes`.

    Args:
        filepath: a file, or a list of them; also what `importlib.resources.files` returns, even inside of an archive.
        config: options of glean_parser: `allow_reserved`, `do_not_disable_expired`, `allow_missing_files`,
            `interesting`, and its hooks for expiry.

    Raises:
        ModuleNotFoundError: there is no glean_parser; says how to install it.
        FileNotFoundError: there is no such file.
        TypeError: a file names no schema.
        ValueError: the files break the rules of glean_parser, or define nothing.
    """
    tree = type("Metrics", (), {})
    with contextlib.ExitStack() as stack:
        paths = [_to_path(path, stack) for path in (filepath if isinstance(filepath, list) else [filepath])]
        for definition in _definitions.read(paths, {} if config is None else config):
            _add(_find_group(tree, definition.group), definition)
    return tree


def load_pings(filepath: Union[FilePath, List[FilePath]], config: Optional[Dict[str, Any]] = None) -> Any:
    """Return the class that has the pings of YAML files as attributes: `load_metrics(…).pings`.

    Raises:
        AttributeError: the files define no pings.
        Exception: whatever `load_metrics` raises.
    """
    return load_metrics(filepath, config).pings


def _to_path(file: Any, stack: contextlib.ExitStack) -> Path:
    """Return the path of a file; of one in an archive, that of a copy which is there until `stack` ends."""
    if isinstance(file, str) or hasattr(file, "__fspath__") or not hasattr(file, "read_bytes"):
        return Path(file)
    from importlib.resources import as_file

    return Path(stack.enter_context(as_file(file)))


class UnsupportedMetricType:
    """Stands for something that can be written in YAML but not recorded, such as a tag.

    Raises:
        TypeError: on reading any attribute; names the type.
    """

    def __init__(self, type_name: str, description: str) -> None:
        self._type = type_name
        self.__doc__ = description

    def __getattr__(self, attribute: str) -> Any:
        raise TypeError(f"The metric type '{self._type}' is not supported by the Glean Python bindings")


def _find_group(tree: type, group: str) -> Any:
    """Return the nested class for a category; a metric that has its name stands in for it, and takes its metrics."""
    at: Any = tree
    for part in map(_definitions.attribute_name, group.split(".")):
        if part not in vars(at):
            setattr(at, part, type(group, (), {}))
        at = vars(at)[part]
    return at


def _add(group: Any, definition: Definition) -> None:
    beside: Dict[str, Any] = {}
    if definition.extra_class:
        keys = {key.name: key.type for key in definition.extra_keys}
        beside[definition.extra_class] = _new_class(definition.extra_class, (Extra,), {}, keys=keys)
    for object_class in definition.object_classes:
        beside[object_class.name] = _make_object_class(object_class, beside)
    if definition.reason_class:
        reasons = _make_reasons(definition.reason_class, definition.reasons)
        beside[f"{definition.name}_reason_codes"] = reasons
    if definition.call is None:
        made: Any = UnsupportedMetricType(definition.type, definition.description)
    else:
        made = _evaluate(definition.call, beside)
        made.__doc__ = definition.description
    for name, value in beside.items():
        setattr(group, name, value)
    setattr(group, definition.name, made)


def _evaluate(term: Any, beside: Dict[str, Any]) -> Any:
    """Carry out what `_definitions` wrote as a call."""
    if isinstance(term, Call):
        arguments = [_evaluate(argument, beside) for argument in term.arguments]
        keywords = {name: _evaluate(value, beside) for name, value in term.keywords.items()}
        return _evaluate(term.function, beside)(*arguments, **keywords)
    if isinstance(term, Local):
        return beside[term]
    if isinstance(term, Name):
        found: Any = metrics
        for part in term.split("."):
            found = getattr(found, part)
        return found
    if isinstance(term, list):
        return [_evaluate(item, beside) for item in term]
    return term


def _make_object_class(planned: ObjectClass, beside: Dict[str, Any]) -> Any:
    if planned.item is not None:
        return _new_class(planned.name, (list, ObjectSerialize), {})
    types = {field.name: _FIELD_TYPES.get(field.type) or beside[field.type] for field in planned.fields}
    fields = [(name, kind, dataclasses.field(default=None)) for name, kind in types.items()]
    return dataclasses.make_dataclass(
        planned.name, fields, bases=(ObjectSerialize,), namespace={"__module__": __name__}
    )


def _make_reasons(name: str, reasons: Dict[str, str]) -> Any:
    members = {}
    for member, spelled, value in _definitions.reason_members(list(reasons)):
        members[member] = value
        if spelled is not None:
            # A second name for the same member, unless it is the first one: what a compiled module has, too.
            members[spelled] = value
    return enum.Enum(name, members)


def _new_class(name: str, bases: Any, namespace: Dict[str, Any], **arguments: Any) -> Any:
    return type(name, bases, {"__module__": __name__, **namespace}, **arguments)
