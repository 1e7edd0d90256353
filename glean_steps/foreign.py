"""CPythons for the targets of Linux: this machine's own where it is of that architecture, else one that qemu runs.

qemu looks for the libraries of a program below QEMU_LD_PREFIX first, so a Python runs from the root where it lies, with
this machine's files around it. One for musl is built, see `musl.py`, and names its loader by itself.
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from glean_steps import environments, musl, project, roots, system
from glean_steps.errors import NotProvableError
from glean_steps.prerequisites import Probe
from glean_steps.targets import Target
from glean_steps.workspace import Workspace

MAKE_S = 900.0
ASK_S = 120.0
_ASK = "import json, platform; print(json.dumps([platform.python_version(), platform.machine()]))"


@dataclass(frozen=True)
class Python:
    """A CPython of a target that this machine runs, by itself or under qemu.

    Attributes:
        argv: what starts it.
        env: variables that it needs.
        version: such as `3.13.5`.
        how: `native`, `qemu`, `musl`, or the last two.
        where: what runs it, for tables.
        is_bare: whether it has no packages, so that those which a wheel depends on have to be installed with it.
    """

    argv: Tuple[str, ...]
    env: Dict[str, str]
    version: str
    how: str
    where: str
    is_bare: bool = False


def python_for(target: Target, ws: Workspace) -> Python:
    """Return a CPython that runs a target's wheel, here or under qemu.

    Raises:
        NotProvableError: none can be had here.
    """
    own = target.machine == platform.machine()
    if target.proof == "musl":
        program = musl.MuslPython(target).ensure(ws)
        found = (
            _asked((str(program),), {}, "musl", target, ws) if own else _emulated(program, {}, "musl, qemu", target, ws)
        )
        return replace(found, is_bare=True)
    if own:
        newest = environments.newest_python(ws)
        environment = environments.Environment("proof", project.SUITE_REQUIREMENTS, newest.minor, packed=False)
        program = environment.ensure(ws)
        return Python((str(program),), environments.clean_env(), newest.version, "native", "this machine")
    root = roots.for_target(target).ensure(ws) / "root"
    (program,) = sorted((root / "usr" / "bin").glob("python3.*[0-9]"))[:1]
    return _emulated(program, {"QEMU_LD_PREFIX": str(root)}, "qemu", target, ws)


def _emulated(program: Path, changes: Dict[str, str], how: str, target: Target, ws: Workspace) -> Python:
    system.require([system.QEMU], ws)
    emulator = system.find_program(f"qemu-{target.qemu}-static") or system.find_program(f"qemu-{target.qemu}")
    if emulator is None:
        raise NotProvableError(
            f"nothing runs {target.machine} here", why=f"there is no qemu-{target.qemu}", fix="install qemu-user-static"
        )
    where = system.program_version(emulator, ws).split(" (")[0]
    return _asked((str(emulator), str(program)), changes, how, target, ws, where)


def _asked(
    argv: Tuple[str, ...], changes: Dict[str, str], how: str, target: Target, ws: Workspace, where: str = "this machine"
) -> Python:
    """Return a Python with what it says of itself."""
    env = environments.clean_env(changes)
    done = ws.run([*argv, "-I", "-c", _ASK], timeout_s=ASK_S, env=env, quiet=True, split_stderr=True)
    version, machine = json.loads(done.stdout)
    if machine != target.machine:
        raise NotProvableError(f"{' '.join(argv)} says that it is {machine}, not {target.machine}")
    return Python(argv, env, version, how, where)


def probe(target: Target, ws: Workspace) -> Probe:
    """Say what would run a target's wheel: this machine, or qemu and a system of that architecture."""
    own = target.machine == platform.machine()
    if target.proof == "musl":
        found = musl.MuslPython(target).probe(ws)
        kind = "musl, "
    elif own:
        return Probe("native, on this machine")
    else:
        found = roots.for_target(target).probe(ws)
        kind = ""
    if own:
        return replace(found, text=f"{kind}{found.text}")
    lacks = tuple(tool.name for tool in system.missing([system.QEMU]))
    return replace(found, text=f"{kind}qemu-{target.qemu}, {found.text}", missing=(*lacks, *found.missing))


def install(wheel: Path, target: Target, python: Python, folder: Path, ws: Workspace) -> None:
    """Install a wheel for a foreign Python with this machine's pip, which checks its tags, and what it depends on."""
    if python.is_bare:
        _install_requirements(target, python, folder, ws)
    _pip(["--no-deps", "--no-index", wheel], target, python, folder, ws)


def environment(wheel: Path, target: Target, python: Python, folder: Path, ws: Workspace) -> Path:
    """Make an environment of a foreign Python with a wheel and what the Python suite needs; return its Python.

    Programs that the suite starts are of the other architecture too, so the kernel has to know qemu.
    """
    roots.know_qemu(target, ws)
    ws.run([*python.argv, "-m", "venv", "--without-pip", folder], timeout_s=MAKE_S, env=python.env, quiet=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    _install_requirements(target, python, packages, ws)
    install(wheel, target, replace(python, is_bare=False), packages, ws)
    return folder / "bin" / "python"


def _install_requirements(target: Target, python: Python, folder: Path, ws: Workspace) -> None:
    _pip(["--require-hashes", "-r", ws.root / project.SUITE_REQUIREMENTS], target, python, folder, ws)


def _pip(words: Sequence[object], target: Target, python: Python, folder: Path, ws: Workspace) -> None:
    minor = ".".join(python.version.split(".")[:2])
    argv: List[object] = [sys.executable, "-m", "pip", "install", "-q", "--target", folder, "--no-compile"]
    argv += ["--disable-pip-version-check", "--only-binary=:all:", "--implementation", "cp", "--python-version", minor]
    for tag in (target.platform_tag, *target.newer_tags):
        argv += ["--platform", tag]
    ws.run([*argv, *words], timeout_s=environments.PIP_S, env=environments.clean_env(), quiet=True)
