"""zig, which links for every platform, and cargo-zigbuild, which calls it: pinned, in an environment of their own."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, NoReturn

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
        python = _ENVIRONMENT.ensure(ws)
        pinned = (ws.root / project.LINKER_REQUIREMENTS).read_text(encoding="utf-8")
        for name, version in re.findall(r"^([\w-]+)==([\w.]+)", pinned, re.MULTILINE):
            found = sorted(python.parents[1].glob(f"lib/python*/site-packages/{name.replace('-', '_')}-*.dist-info"))
            if [folder.stem.rpartition("-")[2] for folder in found] != [version]:
                _refuse(f"{name} {version}", ", ".join(folder.name for folder in found) or "nothing", ws)
        program = python.with_name("cargo-zigbuild")
        for file in (program, _zig(python)):
            if not os.access(file, os.X_OK):
                _refuse(file.name, f"no program {file}", ws)
        return program


def program(ws: Workspace) -> Path:
    """Return zig itself, once `Zig.ensure` has seen to it."""
    return _zig(_ENVIRONMENT.home(ws) / "bin" / "python")


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


def _zig(python: Path) -> Path:
    found = sorted(python.parents[1].glob("lib/python*/site-packages/ziglang/zig"))
    return found[-1] if found else python.with_name("zig")


def _refuse(wanted: str, found: str, ws: Workspace) -> NoReturn:
    home = _ENVIRONMENT.home(ws)
    raise MissingToolError(
        f"the environment of zig lacks {wanted}",
        why=f"{home} has {found}",
        fix=f"remove it and run again: rm -r {shlex.quote(str(home))}",
    )
