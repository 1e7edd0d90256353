"""What is compared with what: all groups of rows, which measure their sides in the same rounds."""

from __future__ import annotations

from typing import Callable, Dict, Mapping, Tuple

from glean_steps.bench import building, core
from glean_steps.bench.group import BUILD, CORE, Group, Place, Side
from glean_steps.workspace import Workspace

__all__ = ["GROUPS", "VERSIONS", "Group", "Place", "Side"]

GROUPS: Tuple[Group, ...] = (*building.GROUPS, *core.GROUPS)

# What takes part, by the part of the document.
VERSIONS: Mapping[str, Callable[[Workspace], Dict[str, str]]] = {BUILD: building.versions, CORE: core.versions}
