"""The CPythons of this machine: each runs the Python tests, and one can lend its library to a Windows Python."""

from __future__ import annotations

import glob
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

from glean_steps import roots
from glean_steps.errors import StepError
from glean_steps.workspace import Workspace

OLDEST = (3, 7)
NEWEST = (3, 14)
_ASK = (
    "import json, sysconfig, platform; print(json.dumps({"
    "'implementation': platform.python_implementation(), 'version': platform.python_version(),"
    "'free_threaded': bool(sysconfig.get_config_var('Py_GIL_DISABLED')), 'stdlib': sysconfig.get_path('stdlib')}))"
)


@dataclass(frozen=True)
class CPython:
    """An interpreter of this machine: its version such as `3.11.7`, and the folder of its standard library."""

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
        argv = [program, "-I", "-c", _ASK]
        try:
            said = json.loads(ws.run(argv, timeout_s=30, quiet=True, split_stderr=True, echo=False).stdout)
        except (StepError, ValueError):
            continue
        version = tuple(int(part) for part in said["version"].split(".")[:2])
        if said["implementation"] == "CPython" and OLDEST <= version <= NEWEST:
            python = CPython(said["version"], said["free_threaded"], program, Path(said["stdlib"]))
            found.setdefault(python.minor, python)
    return dict(sorted(found.items(), key=lambda item: order(item[0])))


def order(minor: str) -> tuple[int, str]:
    """Return what minor versions are sorted by."""
    return (int(minor.split(".")[1].rstrip("t")), minor)


def _candidates(ws: Workspace) -> List[Path]:
    """Return the programs that may be a CPython, those on PATH first, each real file once."""
    names = [f"python3.{minor}{suffix}" for minor in range(OLDEST[1], NEWEST[1] + 1) for suffix in ("", "t")]
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    uv = os.path.expanduser("~/.local/share/uv/python")
    folders = [f"{pyenv}/versions/*/bin", f"{uv}/*/bin", "/opt/python/*/bin", "/usr/local/bin", "/usr/bin"]
    made = [root.made(ws) for root in roots.PYTHONS.values()]
    folders += [glob.escape(str(folder / "root" / "usr" / "bin")) for folder in made if folder]
    unique: Dict[str, Path] = {}
    for name in names:
        on_path = shutil.which(name)
        places = [on_path] if on_path and "/shims/" not in on_path else []
        for folder in folders:
            places += sorted(glob.glob(f"{folder}/{name}"))
        for place in places:
            unique.setdefault(os.path.realpath(place), Path(place))
    return list(unique.values())
