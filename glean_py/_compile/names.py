"""Which classes and attributes a compiled module has, and what they are called in its source."""

from __future__ import annotations

import keyword
from typing import Dict, Iterable, Iterator, List, Sequence, Set, Tuple

from glean_py._definitions import Definition


class CompileError(Exception):
    """Files that cannot become a module; says why and what to do."""


class Group:
    """A class of the module: a category with its metrics, the categories below it, or all pings.

    Attributes:
        identifier: the category.
        path: how it is found in the module: `metrics.ui`.
        definitions: what it holds.
        groups: the classes within it, by their part of the category.
    """

    def __init__(self, identifier: str, path: str) -> None:
        self.identifier = identifier
        self.path = path
        self.definitions: List[Definition] = []
        self.groups: Dict[str, Group] = {}
        self._attributes: Dict[str, str] = {}
        self._classes: Dict[str, str] = {}

    def find(self, parts: Sequence[str]) -> Group:
        """Return the group for the parts of a category, made if it is new."""
        group = self
        for part in parts:
            identifier = f"{group.identifier}.{part}" if group.identifier else part
            group = group.groups.setdefault(part, Group(identifier, ""))
        return group

    def choose_names(self) -> None:
        """Choose names for everything in here, below included; two things never share one.

        Raises:
            CompileError: a name that no attribute can have.
        """
        taken = set(self._names_beside())
        for definition in self.definitions:
            self._attributes[definition.name] = spell(definition.name, taken, definition.identifier)
        for part, group in self.groups.items():
            self._classes[part] = spell(part, taken, group.identifier)
            group.path = f"{self.path}.{self._classes[part]}"
            group.choose_names()

    def attribute(self, definition: Definition) -> str:
        """Return the name in source of a metric or ping."""
        return self._attributes[definition.name]

    def class_name(self, part: str) -> str:
        """Return the name in source of the class for a part of a category."""
        return self._classes[part]

    def renamed(self) -> Iterator[Tuple[str, str, str]]:
        """Yield where a class is, its name in YAML and its name in source, if they differ and the first is free."""
        for part, group in self.groups.items():
            if self._classes[part] != part and part not in self._attributes:
                yield self.path, part, self._classes[part]
            yield from group.renamed()

    def _names_beside(self) -> Iterable[str]:
        for definition in self.definitions:
            yield from (planned.name for planned in definition.object_classes)
            yield definition.extra_class
            if definition.reason_class:
                yield definition.reason_class
                yield f"{definition.name}_reason_codes"


def spell(name: str, taken: Set[str], identifier: str) -> str:
    """Return a name for source like the given one, and add it to those taken.

    Raises:
        CompileError: Python gives a meaning of its own to the name.
    """
    if name.startswith("__") and name.endswith("__"):
        raise CompileError(
            f"{identifier} cannot be compiled: in a Python class, names such as {name} have a meaning of their own; "
            "give it another name in YAML, or use load_metrics"
        )
    # Two underscores in front make a name private to the class it is written in.
    is_speakable = not keyword.iskeyword(name) and not name.startswith("__")
    spelled = name if is_speakable else f"{name.lstrip('_')}_"
    while spelled in taken:
        spelled += "_"
    taken.add(spelled)
    return spelled
