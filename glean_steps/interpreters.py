"""The CPythons of this machine: each runs the Python tests, and one can lend its library to a Windows Python."""

from __future__ import annotations

import glob
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

from glean_steps import roots
from glean_steps.errors import StepError
from glean_steps.workspace import Workspace

OLDEST = (3, 7)
NEWEST = (3, 14)
_ASK = (
    "import sys, json, sysconfig, platform; print(json.dumps({"
    "'implementation': platform.python_implementation(), 'version': platform.python_version(),"
    "'free_threaded': bool(sysconfig.get_config_var('Py_GIL_DISABLED')), 'stdlib': sysconfig.get_path('stdlib'),"
    "'executable': sys.executable, 'base': sys.base_prefix}))"
)


@dataclass(frozen=True)
class CPython:
    """An interpreter of this machine.

    Attributes:
        version: the full version, such as `3.11.7`.
        free_threaded: built without the global interpreter lock.
        executable: the program.
        stdlib: the folder of its standard library.
    """

    version: str
    free_threaded: bool
    executable: Path
    stdlib: Path

    @property
    def minor(self) -> str:
        """The minor version, such as `3.11`, or `3.13t` for a free-threaded one."""
        return ".".join(self.version.split(".")[:2]) + ("t" if self.free_threaded else "")


def find_all(ws: Workspace) -> Dict[str, CPython]:
    """Return one CPython per minor version from 3.7 to 3.14, by minor version; free-threaded builds count apart."""
    found: Dict[str, CPython] = {}
    for program in _candidates(ws):
        python = _ask(program, ws)
        if python is None or python.minor in found:
            continue
        major, minor = (int(part) for part in python.version.split(".")[:2])
        if OLDEST <= (major, minor) <= NEWEST:
            found[python.minor] = python
    return dict(sorted(found.items(), key=lambda item: order(item[0])))


def order(minor: str) -> tuple[int, str]:
    """Return what minor versions are sorted by."""
    return (int(minor.split(".")[1].rstrip("t")), minor)


def _candidates(ws: Workspace) -> List[Path]:
    """Return the programs that may be a CPython, those on PATH first, each real file once."""
    minors = [f"3.{minor}{suffix}" for minor in range(OLDEST[1], NEWEST[1] + 1) for suffix in ("", "t")]
    homes = [
        os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"),
    ]
    patterns = [f"{home}/versions/*/bin" for home in homes]
    patterns += [
        os.path.expanduser("~/.local/share/uv/python/*/bin"),
        "/opt/python/*/bin",
        "/usr/local/bin",
        "/usr/bin",
    ]
    made = [root.made(ws) for root in roots.PYTHONS.values()]
    patterns += [glob.escape(str(folder / "root" / "usr" / "bin")) for folder in made if folder]
    programs: List[Path] = []
    for minor in minors:
        name = f"python{minor}"
        on_path = shutil.which(name)
        places = [on_path] if on_path and "/shims/" not in on_path else []
        for pattern in patterns:
            places += sorted(glob.glob(f"{pattern}/{name}"))
        programs += [Path(place) for place in places]
    unique: Dict[str, Path] = {}
    for program in programs:
        unique.setdefault(os.path.realpath(program), program)
    return list(unique.values())


def _ask(program: Path, ws: Workspace) -> Optional[CPython]:
    try:
        done = ws.run([program, "-I", "-c", _ASK], timeout_s=30, check=False, quiet=True, split_stderr=True, echo=False)
    except StepError:
        return None
    if done.status != 0:
        return None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return None
    if answer["implementation"] != "CPython":
        return None
    return CPython(answer["version"], answer["free_threaded"], program, Path(answer["stdlib"]))
