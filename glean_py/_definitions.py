"""What YAML files say about metrics and pings, read through glean_parser, as calls of constructors.

`_loader` carries the calls out, `_compile` writes them down, so that both make the same objects.
"""

from __future__ import annotations

import importlib
import keyword
import re
import warnings
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from glean_py import metrics

PARSER_VERSION = "22.0.1"
"""The version of glean_parser this was made with."""

_ADVICE = (
    "python -m pip install 'glean_py[yaml]', or 'glean_parser~=22.0' (Python 3.9 or newer). No parser is needed for a "
    "module that was compiled where there is one: python -m glean_py compile metrics.yaml -o telemetry.py"
)


class Name(str):
    """A name that `glean_py.metrics` exports, dots included: `Lifetime.PING`."""


class Local(str):
    """The name of a class that is made beside the metric."""


class Call(NamedTuple):
    """A call of a constructor; arguments are plain values, lists, `Name`, `Local` and further calls."""

    function: Name
    arguments: Sequence[Any] = ()
    keywords: Dict[str, Any] = {}


class ExtraKey(NamedTuple):
    """One key of an event's extras; the type is `string`, `boolean` or `quantity`."""

    name: str
    type: str
    description: str


class Field(NamedTuple):
    """One field of an object; the type is `str`, `int`, `bool`, `Any` or the name of another class."""

    name: str
    type: str
    description: str


class ObjectClass(NamedTuple):
    """A class for a part of an object: fields, or the class of the items of an array."""

    name: str
    description: str
    fields: Sequence[Field] = ()
    item: Optional[str] = None


class Definition(NamedTuple):
    """One metric or ping.

    Attributes:
        type: its type in YAML, or what a rate with its denominator makes of it: `numerator`, `denominator`.
        group: the category, `pings` or `tags`; its parts are the names of nested classes.
        name: its attribute.
        identifier: what YAML calls it, with the category.
        description: text from YAML.
        call: makes it; `None` if there is nothing to be made of this type.
        note: a remark for readers, as on an expired metric.
        denominator: the identifier that a rate names as its denominator.
        extra_class, extra_keys: class for the extras of an event.
        object_classes: for an object, those that others use first, so its own one is the last.
        reason_class, reasons: enumeration of the reasons of a ping, and texts by reason in the order of their values.
    """

    type: str
    group: str
    name: str
    identifier: str
    description: str
    call: Optional[Call]
    note: str = ""
    denominator: str = ""
    extra_class: str = ""
    extra_keys: Sequence[ExtraKey] = ()
    object_classes: Sequence[ObjectClass] = ()
    reason_class: str = ""
    reasons: Dict[str, str] = {}


# Enumerations of glean_py.metrics by the attribute of a parsed metric; their members are the parser's in upper case.
_ENUMERATIONS = {
    "histogram_type": "HistogramType",
    "lifetime": "Lifetime",
    "memory_unit": "MemoryUnit",
    "time_unit": "TimeUnit",
}
_PING_ARGUMENTS = (
    "name",
    "include_client_id",
    "send_if_empty",
    "precise_timestamps",
    "include_info_sections",
    "schedules_pings",
    "reason_codes",
    "uploader_capabilities",
    "enabled",
    "follows_collection_enabled",
)
_FIELD_TYPES = {"string": "str", "number": "int", "boolean": "bool", "oneof": "Any"}


def import_parser() -> Any:
    """Return the module `glean_parser.parser`; warns if its version isn't one this was made for.

    Raises:
        ModuleNotFoundError: it isn't installed; says how to install it.
    """
    try:
        # Not everybody who checks types here has it.
        glean_parser = importlib.import_module("glean_parser")
        parser = importlib.import_module("glean_parser.parser")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"glean_py reads YAML through glean_parser, which is not installed ({error}). Install it: {_ADVICE}",
            name=error.name,
        ) from error
    found = str(getattr(glean_parser, "__version__", "dev"))
    if "dev" not in found:
        wanted = [int(part) for part in PARSER_VERSION.split(".")]
        parts = [int(digits) for digits in re.findall(r"\d+", found)[:3]]
        if parts < wanted or parts[0] != wanted[0]:
            warnings.warn(
                f"glean_py expects glean_parser ~= {PARSER_VERSION}, found {found}: "
                f"python -m pip install 'glean_parser~={PARSER_VERSION}'",
                Warning,
                stacklevel=4,
            )
    return parser


def read(paths: Sequence[Path], config: Dict[str, Any]) -> List[Definition]:
    """Read YAML files; categories come in the order of the files, metrics in that of their names.

    Args:
        paths: files with metrics, pings or tags.
        config: options of glean_parser's `parse_objects`.

    Raises:
        ModuleNotFoundError: there is no glean_parser.
        FileNotFoundError: there is no such file.
        TypeError: a file names no schema, or a field of an object cannot be one of a Python class.
        ValueError: the files break the rules of glean_parser (every one of them is told), or define nothing.
    """
    parsed = import_parser().parse_objects(paths, config)
    errors = list(parsed)
    if errors:
        raise ValueError("\n\n".join(errors))
    if not parsed.value:
        raise ValueError(f"Didn't find any metrics in '{paths}'")
    numerators = _link_rates(parsed.value)
    return [
        definition
        for group, objects in parsed.value.items()
        for definition in _define_group(group, objects.values(), numerators)
    ]


def _define_group(group: str, objects: Any, numerators: Dict[str, List[Any]]) -> List[Definition]:
    # What compiled modules import under a name that a class here could have as well.
    classes: Set[str] = {"Extra"}
    defined = []
    for parsed in objects:
        if group == "pings":
            defined.append(_define_ping(parsed))
        elif group == "tags":
            name = attribute_name(parsed.name)
            defined.append(Definition(parsed.type, group, name, parsed.name, parsed.description, None))
        else:
            defined.append(_define_metric(group, parsed, numerators, classes))
    return defined


def _define_ping(ping: Any) -> Definition:
    name = attribute_name(ping.name)
    return Definition(
        type="ping",
        group="pings",
        name=name,
        identifier=ping.name,
        description=ping.description,
        call=Call(Name("PingType"), (), {argument: getattr(ping, argument) for argument in _PING_ARGUMENTS}),
        reason_class=f"{camel_case(ping.name)}ReasonCodes",
        reasons={reason: ping.reasons[reason] for reason in ping.reason_codes},
    )


def _define_metric(group: str, metric: Any, numerators: Dict[str, List[Any]], classes: Set[str]) -> Definition:
    identifier = f"{group}.{metric.name}"
    kind_name = metric.type
    if kind_name == "rate" and metric.denominator_metric:
        kind_name = "numerator"
    elif kind_name == "counter" and identifier in numerators:
        kind_name = "denominator"
    definition = Definition(
        type=kind_name,
        group=group,
        name=attribute_name(metric.name),
        identifier=identifier,
        description=metric.description,
        call=None,
        # A metric that is switched off in YAML says so itself.
        note=_note_expiry(metric) if metric.disabled else "",
        denominator=metric.denominator_metric if kind_name == "numerator" else "",
    )
    special: Dict[str, Any] = {}
    if kind_name == "event":
        definition = definition._replace(
            extra_class=_unique(f"{camel_case(metric.name)}Extra", classes), extra_keys=_extra_keys(metric)
        )
    elif kind_name == "object":
        object_classes: List[ObjectClass] = []
        root = f"{camel_case(metric.name)}Object"
        special["object_class"] = Local(_plan(metric._generate_structure, root, object_classes, classes))
        definition = definition._replace(object_classes=object_classes)
    elif kind_name == "denominator":
        special["numerators"] = [_common(numerator) for numerator in numerators[identifier]]
    is_labeled = kind_name.startswith("labeled_")
    word = kind_name[len("labeled_") :] if is_labeled else kind_name
    if word not in (metrics.LABELED if is_labeled else metrics.TYPES):
        return definition
    parameters = metrics.TYPES[word]
    values = {name: special[name] if name in special else _argument(metric, name) for name in parameters}
    # More than two in a row are read better with their names.
    arguments, keywords = ([], values) if len(values) > 2 else (list(values.values()), {})
    cls = Name(metrics.class_name(kind_name))
    if not is_labeled:
        return definition._replace(call=Call(cls, [_common(metric), *arguments], keywords))
    variant = Name(f"LabeledMetricData.{word.upper() if parameters else 'COMMON'}")
    data = Call(variant, [_common(metric), *arguments], keywords)
    # The list keeps the order of the YAML file; `labels` of the parser is a set.
    labels = [] if metric.ordered_labels is None else [metric.ordered_labels]
    return definition._replace(call=Call(cls, [data, *labels]))


def _common(metric: Any) -> Call:
    keywords = {
        "category": metric.category,
        "name": metric.name,
        "send_in_pings": list(metric.send_in_pings),
        "lifetime": _argument(metric, "lifetime"),
        "disabled": bool(metric.disabled),
    }
    # The parser makes every event of a YAML file part of a session, unless it says otherwise. glean-sdk takes none for
    # one, and neither do we: nobody can tell its default from a choice.
    if metric.in_session and metric.type != "event":
        keywords["in_session"] = True
    return Call(Name("CommonMetricData"), (), keywords)


def _argument(metric: Any, name: str) -> Any:
    value = getattr(metric, name)
    return Name(f"{_ENUMERATIONS[name]}.{value.name.upper()}") if name in _ENUMERATIONS else value


def _link_rates(objects: Dict[str, Dict[str, Any]]) -> Dict[str, List[Any]]:
    """Return rates by the identifier of the counter that they name as their denominator.

    A name that no counter has does no harm here: such a rate has a numerator alone.
    """
    linked: Dict[str, List[Any]] = {}
    for group, parsed in objects.items():
        if group not in ("pings", "tags"):
            for metric in parsed.values():
                if metric.type == "rate" and metric.denominator_metric:
                    linked.setdefault(metric.denominator_metric, []).append(metric)
    return linked


def _extra_keys(event: Any) -> List[ExtraKey]:
    keys = event.extra_keys
    return [ExtraKey(key, kind, keys[key].get("description", "")) for key, kind in event.allowed_extra_keys_with_types]


def _note_expiry(metric: Any) -> str:
    try:
        if not metric.is_expired():
            return ""
    except ValueError:
        # An `expires` that the parser cannot read; it took the metric, as nobody asked about its expiry.
        return ""
    since = "" if metric.expires == "expired" else f" with {metric.expires}"
    return f"Disabled: it has expired{since}."


def _plan(structure: Dict[str, Any], name: str, planned: List[ObjectClass], taken: Set[str]) -> str:
    """Plan the classes for an object or an array and return the name of the outermost one."""
    name = _unique(name, taken)
    description = structure.get("description", "")
    if structure["type"] == "array":
        items = structure["items"]
        if items["type"] not in ("object", "array"):
            raise ValueError(f"Unsupported object type '{items['type']}'")
        item = _plan(items, f"{name}Item", planned, taken)
        planned.append(ObjectClass(name, description, item=item))
        return name
    fields = []
    for key, value in structure["properties"].items():
        if not key.isidentifier():
            raise TypeError(f"Field names must be valid identifiers: {key!r}")
        if keyword.iskeyword(key):
            raise TypeError(f"Field names must not be keywords: {key!r}")
        kind = _FIELD_TYPES.get(value["type"])
        if kind is None:
            suffix = "Object" if value["type"] == "object" else ""
            kind = _plan(value, f"{name}Item{camel_case(key)}{suffix}", planned, taken)
        fields.append(Field(key, kind, value.get("description", "")))
    planned.append(ObjectClass(name, description, fields))
    return name


def _unique(name: str, taken: Set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def attribute_name(name: str) -> str:
    """Return the attribute for a metric or ping: `my-ping` is at `my_ping`."""
    return name.replace("-", "_")


def camel_case(name: str) -> str:
    """Return `name` as the parser's `Camelize` writes it: `my-ping` is `MyPing`, `fooBar` is `Foobar`."""
    return "".join(part.capitalize() for part in re.split(r"[._-]+", name))


def reason_members(reasons: Sequence[str]) -> List[Tuple[str, Optional[str], int]]:
    """Return the members of an enumeration of reasons: name, name that Python source can spell, and value.

    The name is the reason in upper case, the value its index. The second name is `None` if there is none.
    """
    values = {reason.upper(): index for index, reason in enumerate(reasons)}
    members: List[Tuple[str, Optional[str], int]] = []
    taken = set(values)
    for name, value in values.items():
        spelled = re.sub(r"\W", "_", name)
        spelled = spelled if spelled.isidentifier() else f"_{spelled}"
        is_free = spelled == name or spelled not in taken
        # An enumeration keeps names that begin and end with an underscore to itself.
        is_allowed = not (spelled.startswith("_") and spelled.endswith("_"))
        if is_free and is_allowed:
            taken.add(spelled)
            members.append((name, spelled, value))
        else:
            members.append((name, None, value))
    return members
