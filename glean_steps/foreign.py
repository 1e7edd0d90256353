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
        argv, env: what starts it, and the variables that it needs.
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
        how = "musl" if own else "musl, qemu"
        return replace(_asked(musl.MuslPython(target).ensure(ws), {}, how, target, ws), is_bare=True)
    if own:
        newest = environments.newest_python(ws)
        environment = environments.Environment("proof", project.SUITE_REQUIREMENTS, newest.minor, packed=False)
        program = environment.ensure(ws)
        return Python((str(program),), environments.clean_env(), newest.version, "native", "this machine")
    root = roots.for_target(target).ensure(ws) / "root"
    (program,) = sorted((root / "usr" / "bin").glob("python3.*[0-9]"))[:1]
    return _asked(program, {"QEMU_LD_PREFIX": str(root)}, "qemu", target, ws)


def _asked(program: Path, changes: Dict[str, str], how: str, target: Target, ws: Workspace) -> Python:
    """Return a Python with what it says of itself; qemu runs it where it is of another processor."""
    argv: Tuple[str, ...] = (str(program),)
    where = "this machine"
    if target.machine != platform.machine():
        system.require([system.QEMU], ws)
        emulator = system.find_program(f"qemu-{target.qemu}-static") or system.find_program(f"qemu-{target.qemu}")
        if emulator is None:
            lacks = f"there is no qemu-{target.qemu}"
            raise NotProvableError(f"nothing runs {target.machine} here", why=lacks, fix="install qemu-user-static")
        argv = (str(emulator), *argv)
        where = system.program_version(emulator, ws).split(" (")[0]
    env = environments.clean_env(changes)
    done = ws.run([*argv, "-I", "-c", _ASK], timeout_s=ASK_S, env=env, quiet=True, split_stderr=True)
    version, machine = json.loads(done.stdout)
    if machine != target.machine:
        raise NotProvableError(f"{' '.join(argv)} says that it is {machine}, not {target.machine}")
    return Python(argv, env, version, how, where)


def probe(target: Target, ws: Workspace) -> Probe:
    """Say what would run a target's wheel: this machine, or qemu and a system of that architecture."""
    own, is_musl = target.machine == platform.machine(), target.proof == "musl"
    if own and not is_musl:
        return Probe("native, on this machine")
    found = musl.MuslPython(target).probe(ws) if is_musl else roots.for_target(target).probe(ws)
    lacks = () if own else tuple(tool.name for tool in system.missing([system.QEMU]))
    kind = "musl, " if is_musl else ""
    kind += "" if own else f"qemu-{target.qemu}, "
    return replace(found, text=kind + found.text, missing=(*lacks, *found.missing))


def install(wheel: Path, target: Target, python: Python, folder: Path, ws: Workspace) -> None:
    """Install a wheel for a foreign Python with this machine's pip, which checks its tags, and what it depends on."""
    if python.is_bare:
        _pip(["--require-hashes", "-r", ws.root / project.SUITE_REQUIREMENTS], target, python, folder, ws)
    _pip(["--no-deps", "--no-index", wheel], target, python, folder, ws)


def environment(wheel: Path, target: Target, python: Python, folder: Path, ws: Workspace) -> Path:
    """Make an environment of a foreign Python with a wheel and what the Python suite needs; return its Python.

    Programs that the suite starts are of the other architecture too, so the kernel has to know qemu.
    """
    roots.know_qemu(target, ws)
    ws.run([*python.argv, "-m", "venv", "--without-pip", folder], timeout_s=MAKE_S, env=python.env, quiet=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    install(wheel, target, replace(python, is_bare=True), packages, ws)
    return folder / "bin" / "python"


def _pip(words: Sequence[object], target: Target, python: Python, folder: Path, ws: Workspace) -> None:
    minor = ".".join(python.version.split(".")[:2])
    argv: List[object] = ["--target", folder, "--no-compile", "--only-binary=:all:", "--implementation", "cp"]
    argv += ["--python-version", minor]
    for tag in (target.platform_tag, *target.newer_tags):
        argv += ["--platform", tag]
    environments.pip_install(Path(sys.executable), [*argv, *words], ws)
