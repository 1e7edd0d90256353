"""zig, which links for every platform, and cargo-zigbuild, which calls it: pinned, in an environment of their own."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from glean_steps import project
from glean_steps.environments import Environment
from glean_steps.errors import MissingToolError
from glean_steps.prerequisites import Probe
from glean_steps.workspace import Workspace

_ENVIRONMENT = Environment("zig", project.LINKER_REQUIREMENTS, packed=False)


@dataclass(frozen=True)
class Zig:
    """zig and cargo-zigbuild, as a prerequisite."""

    name: str = "zig"

    def probe(self, ws: Workspace) -> Probe:
        """Say whether they are set up, or what would make them."""
        return _ENVIRONMENT.probe(ws)

    def ensure(self, ws: Workspace) -> Path:
        """Return cargo-zigbuild, making what is missing.

        Raises:
            MissingToolError: one of them is not in its environment, or another version than the pinned one.
            OfflineError: they would have to be fetched.
        """
        cargo_zigbuild = _ENVIRONMENT.ensure(ws).with_name("cargo-zigbuild")
        fault = next(_faults(cargo_zigbuild, ws), None)
        if fault:
            (wanted, instead), home = fault, _ENVIRONMENT.home(ws)
            raise MissingToolError(
                f"the environment of zig lacks {wanted}",
                why=f"{home} has {instead}",
                fix=f"remove it and run again: rm -r {shlex.quote(str(home))}",
            )
        return cargo_zigbuild


def _faults(cargo_zigbuild: Path, ws: Workspace) -> Iterator[Tuple[str, str]]:
    """Yield what is not there as it is pinned, and what is there instead."""
    pinned = (ws.root / project.LINKER_REQUIREMENTS).read_text(encoding="utf-8")
    for name, version in re.findall(r"^([\w-]+)==([\w.]+)", pinned, re.MULTILINE):
        found = _packaged(f"{name.replace('-', '_')}-*.dist-info", ws)
        if [folder.stem.rpartition("-")[2] for folder in found] != [version]:
            yield f"{name} {version}", ", ".join(folder.name for folder in found) or "nothing"
    for file in (cargo_zigbuild, program(ws)):
        if not os.access(file, os.X_OK):
            yield file.name, f"no program {file}"


def program(ws: Workspace) -> Path:
    """Return zig itself, once `Zig.ensure` has seen to it."""
    return next(iter(_packaged("ziglang/zig", ws)), _ENVIRONMENT.home(ws) / "bin" / "zig")


def env(ws: Workspace) -> Dict[str, str]:
    """Return the variables by which cargo-zigbuild finds zig, and keeps what both make away from the user's folders."""
    return {
        "CARGO_ZIGBUILD_ZIG_PATH": str(program(ws)),
        # Scripts that name the programs of this checkout.
        "CARGO_ZIGBUILD_CACHE_DIR": str(ws.state / "zig"),
        # Start-up objects and the C libraries of each target, made once.
        "ZIG_GLOBAL_CACHE_DIR": str(ws.cache / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(ws.cache / "zig"),
    }


def _packaged(pattern: str, ws: Workspace) -> List[Path]:
    return sorted(_ENVIRONMENT.home(ws).glob(f"lib/python*/site-packages/{pattern}"))
