"""The source of a compiled module: what a person would write by hand.

Each metric is a function with the call of its constructor. Names of metrics are lower-case words, so those that classes
look up at run time all have a capital letter; only functions may use others.
"""

from __future__ import annotations

import keyword
import re
from typing import Any, List, Sequence

from glean_py import _definitions
from glean_py._compile.layout import INDENT, LONGEST, WIDTH, docstring, explode, quote
from glean_py._compile.names import CompileError, Group, spell
from glean_py._definitions import Call, Definition, Local, Name, ObjectClass
from glean_py._generated import Extra
from glean_py.compiled import INTERFACE

__all__ = ["SINCE", "CompileError", "render"]

SINCE = "0.1.0"
"""The first version of glean_py with this `INTERFACE`."""

_EXTRA_TYPES = {"string": "str", "boolean": "bool", "quantity": "int"}
# JSON has one type of numbers; to type checkers an int is a float as well.
_FIELD_TYPES = {"str": "str", "int": "float", "bool": "bool"}
# What the signature of a class for extras uses itself.
_SIGNATURE_NAMES = {"Optional", "Union", "Unset", "bool", "int", "self", "str", "super"}


def render(definitions: Sequence[Definition], sources: Sequence[str], name: str, options: Sequence[str]) -> str:
    """Return the text of a module.

    Args:
        definitions: what the files define.
        sources: the files, as seen from the module's folder.
        name: the module's file.
        options: further words of the command line.

    Raises:
        CompileError: nothing can be in the module, or something cannot.
    """
    made = _choose(definitions)
    metrics, pings = Group("", "metrics"), Group("pings", "pings")
    for definition in made:
        group = pings if definition.group == "pings" else metrics.find(definition.group.split("."))
        group.definitions.append(definition)
    roots = [root for root in (metrics, pings) if root.definitions or root.groups]
    if not roots:
        raise CompileError(f"{_enumerate(sources)} defines neither metrics nor pings, so there is nothing to compile")
    body = _Body()
    for root in roots:
        root.choose_names()
        body.write_root(root, sources)
    head = _head(made, [root.path for root in roots], sources, name, options, "\n".join(body.lines))
    return "\n".join([*head, *body.lines]) + "\n"


def _choose(definitions: Sequence[Definition]) -> List[Definition]:
    """Return what goes into a module: all but tags, which mean nothing at run time.

    Raises:
        CompileError: something that can be loaded, but won't work; a person who compiles can still correct it.
    """
    made = [definition for definition in definitions if definition.group != "tags"]
    denominators = {definition.identifier for definition in made if definition.type == "denominator"}
    for definition in made:
        if definition.call is None:
            raise CompileError(
                f"{definition.identifier} cannot be compiled: this glean_py does not know the type {definition.type}; "
                "a newer one may: python -m pip install --upgrade glean_py"
            )
        if definition.denominator and definition.denominator not in denominators:
            raise CompileError(
                f"{definition.identifier} cannot be compiled: no counter here is called {definition.denominator}, the "
                "denominator it names; correct the name, or compile the file that has it together with this one"
            )
    return made


def _head(
    made: Sequence[Definition],
    roots: Sequence[str],
    sources: Sequence[str],
    name: str,
    options: Sequence[str],
    body: str,
) -> List[str]:
    def used(*names: str) -> List[str]:
        return [name for name in names if re.search(rf"\b{name}\b", body)]

    words = ["python", "-m", "glean_py", "compile", *sources, *options, "-o", name]
    about = (
        f"Metrics and pings for glean_py, from {_enumerate(sources)}.\n\n"
        "This file is generated. Change what it is made from, then run in its folder:\n\n"
        f"    {' '.join(_quote_word(word) for word in words)}"
    )
    lines = docstring(about, 0)
    lines += ["", "from __future__ import annotations", ""]
    lines += ["from enum import Enum", ""] * len(used("Enum"))
    lines += ["import glean_py", ""]
    runtime = [*used("Extra", "Lazy", "Record", "Records", "Unset", "gm", "make_all"), "require"]
    lines += [
        "try:",
        *_import("    from glean_py.compiled import ", runtime),
        "except ImportError as error:",
        "    raise ImportError(",
        f'        f"{{__name__}} was compiled for glean_py {SINCE} or newer; the installed "',
        '        f"{glean_py.__version__} cannot serve compiled modules. To fix it: "',
        f"        \"python -m pip install --upgrade 'glean_py>={SINCE}'\"",
        "    ) from error",
        "",
        "TYPE_CHECKING: bool = False  # Spares the import of typing.",
        "if TYPE_CHECKING:",
    ]
    typing = used("Any", "Optional", "Union")
    lines += [f"    from typing import {', '.join(typing)}", ""] * bool(typing)
    lines += _import("    from glean_py.metrics import ", _used_classes(made))
    lines += ["", f'require(__name__, interface={INTERFACE}, since="{SINCE}")']
    return [*lines, "", *explode("__all__ = ", "[", [quote(root) for root in roots], "]")]


class _Body:
    """Writes the classes of a module, line by line."""

    def __init__(self) -> None:
        self.lines: List[str] = []

    def write_root(self, root: Group, sources: Sequence[str]) -> None:
        """Write the outermost class of metrics or pings, and what has to happen after it."""
        self.lines += ["", "", f"class {root.path}:", *docstring(f"The {root.path} of {_enumerate(sources)}.", 1)]
        self._write_members(root, 1)
        renamed = list(root.renamed())
        if renamed:
            self.lines += ["", "", "# What they are called in YAML cannot be written as a name in Python."]
            self.lines += [f"setattr({path}, {quote(name)}, {path}.{spelled})" for path, name, spelled in renamed]
        if root.path == "pings":
            self.lines += ["", "", "# A ping has to be known before anything is recorded for it.", "make_all(pings)"]

    def _write_members(self, group: Group, depth: int) -> None:
        for definition in group.definitions:
            self._write_definition(group, definition, depth)
        for part, below in group.groups.items():
            self._begin(depth, f"class {group.class_name(part)}:")
            self.lines += docstring(f"Metrics of the category `{below.identifier}`.", depth + 1)
            self._write_members(below, depth + 1)

    def _write_definition(self, group: Group, definition: Definition, depth: int) -> None:
        assert definition.call is not None, "what has none was left out"
        if definition.extra_class:
            self._write_extra(definition, depth)
        for planned in definition.object_classes:
            self._write_object_class(group, definition, planned, depth)
        if definition.reason_class:
            self._write_reasons(definition, depth)
        spelled = group.attribute(definition)
        self._begin(depth, "@Lazy" if spelled == definition.name else f"@Lazy.named({quote(definition.name)})")
        self._line(depth, f"def {spelled}(self) -> {_returned(definition)}:")
        self.lines += docstring(definition.description, depth + 1)
        if definition.note:
            self._line(depth + 1, f"# {' '.join(definition.note.split())}")
        self.lines += _lay_out("return ", definition.call, depth + 1, group.path)

    def _write_extra(self, definition: Definition, depth: int) -> None:
        keys = definition.extra_keys
        declared = [f"{quote(key.name)}: {quote(key.type)}" for key in keys]
        head = f"class {definition.extra_class}(Extra, keys={{{', '.join(declared)}}}):"
        if len(INDENT * depth + head) <= WIDTH:
            self._begin(depth, head)
        else:
            self._begin(depth, f"class {definition.extra_class}(")
            self._line(depth + 1, "Extra,")
            self.lines += explode(f"{INDENT * (depth + 1)}keys=", "{", declared, "}", ",")
            self._line(depth, "):")
        about = f"The extras of `{definition.identifier}`."
        self.lines += docstring("\n".join([about, *_argument_notes(keys)]), depth + 1)
        plain = [key for key in keys if _is_plain(key.name)]
        names = {key.name for key in keys}
        receiver = spell("self", names, definition.identifier)
        parameters = [receiver, *(["*"] if plain else [])]
        parameters += [f"{key.name}: {_EXTRA_TYPES[key.type]} = Unset" for key in plain]
        passed = [f"{key.name}={key.name}" for key in plain]
        if len(plain) < len(keys):
            others = spell("others", names, definition.identifier)
            parameters.append(f"**{others}: Union[str, bool, int]")
            passed.append(f"**{others}")
        self._write_init(parameters, depth + 1)
        self.lines += explode(INDENT * (depth + 2) + "super().__init__", "(", passed, ")")
        # With a receiver of another name, linters would take this for a slip.
        for key in plain if receiver == "self" else []:
            self._line(depth + 2, f"self.{key.name}: Optional[{_EXTRA_TYPES[key.type]}]")

    def _write_object_class(self, group: Group, definition: Definition, planned: ObjectClass, depth: int) -> None:
        what = "The object" if planned is definition.object_classes[-1] else "A part of the object"
        about = [f"{what} `{definition.identifier}`."]
        if planned.description.strip():
            about += ["", planned.description.rstrip()]
        if planned.item is not None:
            self.lines += [
                "",
                *explode(f"{INDENT * depth}class {planned.name}", "(", [f"Records[{planned.item}]"], ")", ":"),
            ]
            self.lines += docstring("\n".join(about), depth + 1)
            return
        fields = planned.fields
        names = [field.name for field in fields]
        for name in names:
            if name.startswith("__"):
                raise CompileError(
                    f"{definition.identifier} cannot be compiled: in a Python class, names such as its field {name} "
                    "are private or have a meaning of their own; give it another name in YAML, or use load_metrics"
                )
        self._begin(depth, f"class {planned.name}(Record):")
        about += _argument_notes([field for field in fields if field.description.strip()])
        self.lines += docstring("\n".join(about), depth + 1)
        if not names:
            return
        receiver = spell("self", set(names), definition.identifier)
        parameters = [receiver]
        for field in fields:
            # Seen from within one class of a category, the others have their full names only.
            kind = _FIELD_TYPES.get(field.type) or f"{group.path}.{field.type}"
            whole = f"{field.name}: " + ("Any = None" if field.type == "Any" else f"Optional[{kind}] = None")
            if len(INDENT * (depth + 2) + whole) >= LONGEST:
                margin = INDENT * (depth + 2)
                whole = f"{field.name}: Optional[\n{margin}{INDENT}{kind}\n{margin}] = None"
            parameters.append(whole)
        self._write_init(parameters, depth + 1)
        for name in names:
            self._line(depth + 2, f"{receiver}.{name} = {name}")

    def _write_reasons(self, definition: Definition, depth: int) -> None:
        self._begin(depth, f"class {definition.reason_class}(Enum):")
        about = f"Why `{definition.identifier}` is sent; its `submit` takes the value of a member."
        self.lines += docstring(about, depth + 1)
        members = _definitions.reason_members(list(definition.reasons))
        if members:
            self.lines.append("")
        texts = list(definition.reasons.values())
        for name, spelled, value in members:
            if name != spelled:
                self._line(depth + 1, f"vars()[{quote(name)}] = {value}")
            if spelled is not None:
                self._line(depth + 1, f"{spelled} = {value}")
                self.lines += docstring(texts[value], depth + 1)
        self._begin(depth, f"{definition.name}_reason_codes = {definition.reason_class}")

    def _write_init(self, parameters: Sequence[str], depth: int) -> None:
        self.lines += ["", *explode(INDENT * depth + "def __init__", "(", parameters, ")", " -> None:")]

    def _begin(self, depth: int, text: str) -> None:
        self.lines += ["", INDENT * depth + text]

    def _line(self, depth: int, text: str) -> None:
        self.lines.append(INDENT * depth + text)


def _used_classes(made: Sequence[Definition]) -> List[str]:
    """Return the classes of all metrics and pings, sorted."""
    return sorted({definition.call.function for definition in made if definition.call is not None})


def _returned(definition: Definition) -> str:
    """Return the annotation of a metric's function; classes of the same category go by their bare names there."""
    assert definition.call is not None, "what has none was left out"
    if definition.object_classes:
        return f"{definition.call.function}[{definition.object_classes[-1].name}]"
    return definition.call.function


def _argument_notes(items: Sequence[Any]) -> List[str]:
    """Return the section of a docstring that describes extra keys or fields."""
    notes = [f"{item.name}: {' '.join(item.description.split())}".strip() for item in items]
    return ["", "Args:", *(INDENT + note for note in notes)] if notes else []


def _lay_out(before: str, term: Any, depth: int, path: str, after: str = "") -> List[str]:
    """Return the lines for a value: one if it fits, else one for each part."""
    margin = INDENT * depth
    whole = margin + before + _show(term, path) + after
    if len(whole) <= WIDTH or not isinstance(term, (Call, list)) or term == []:
        return [whole]
    if isinstance(term, list):
        opening, closing = "[", "]"
        parts = [("", item) for item in term]
    else:
        opening, closing = f"gm.{term.function}(", ")"
        parts = [
            *(("", item) for item in term.arguments),
            *((f"{name}=", item) for name, item in term.keywords.items()),
        ]
    lines = [margin + before + opening]
    for name, item in parts:
        lines += _lay_out(name, item, depth + 1, path, ",")
    return [*lines, margin + closing + after]


def _show(term: Any, path: str) -> str:
    """Return a value on one line; `path` is the class that classes beside the metric are in."""
    if isinstance(term, Call):
        parts = [_show(argument, path) for argument in term.arguments]
        parts += [f"{name}={_show(value, path)}" for name, value in term.keywords.items()]
        return f"gm.{term.function}({', '.join(parts)})"
    if isinstance(term, Local):
        return f"{path}.{term}"
    if isinstance(term, Name):
        return f"gm.{term}"
    if isinstance(term, list):
        return f"[{', '.join(_show(item, path) for item in term)}]"
    return quote(term) if isinstance(term, str) else repr(term)


def _import(before: str, names: Sequence[str]) -> List[str]:
    """Return an import of names, in brackets only if it needs several lines."""
    whole = before + ", ".join(names)
    return [whole] if len(whole) <= WIDTH else explode(before, "(", names, ")")


def _is_plain(key: str) -> bool:
    """Return whether an extra key can be a parameter and an attribute; the others go through `**`."""
    is_name = key.isidentifier() and not keyword.iskeyword(key) and not key.startswith("__")
    return is_name and key not in _SIGNATURE_NAMES and not hasattr(Extra, key)


def _quote_word(word: str) -> str:
    return word if re.fullmatch(r"[\w./=+-]+", word) else f'"{word}"'


def _enumerate(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
