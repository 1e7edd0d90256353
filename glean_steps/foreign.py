"""CPythons of other architectures: this machine's own where it is of that architecture, else one that qemu runs.

qemu looks for the libraries of a program below QEMU_LD_PREFIX first, so a Python runs from the root where it lies, with
this machine's files around it.
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from glean_steps import environments, project, roots, system
from glean_steps.errors import NotProvableError
from glean_steps.prerequisites import Probe
from glean_steps.targets import Target
from glean_steps.workspace import Workspace

MAKE_S = 900.0
ASK_S = 120.0
_ASK = "import json, platform; print(json.dumps([platform.python_version(), platform.machine()]))"


@dataclass(frozen=True)
class Python:
    """A CPython of an architecture that this machine runs, by itself or under qemu.

    Attributes:
        argv: what starts it.
        env: variables that it needs.
        version: such as `3.13.5`.
        how: `native` or `qemu`.
        where: what runs it, for tables.
    """

    argv: Tuple[str, ...]
    env: Dict[str, str]
    version: str
    how: str
    where: str


def python_for(target: Target, ws: Workspace) -> Python:
    """Return a CPython of a target's architecture: this machine's newest where it is of it, else one under qemu.

    Raises:
        NotProvableError: neither can be had here.
    """
    if target.machine == platform.machine():
        newest = environments.newest_python(ws)
        environment = environments.Environment("proof", project.SUITE_REQUIREMENTS, newest.minor, packed=False)
        program = environment.ensure(ws)
        return Python((str(program),), environments.clean_env(), newest.version, "native", "this machine")
    system.require([system.QEMU], ws)
    root = roots.for_target(target).ensure(ws) / "root"
    emulator = system.find_program(f"qemu-{target.qemu}-static") or system.find_program(f"qemu-{target.qemu}")
    if emulator is None:
        raise NotProvableError(
            f"nothing runs {target.machine} here", why=f"there is no qemu-{target.qemu}", fix="install qemu-user-static"
        )
    (program,) = sorted((root / "usr" / "bin").glob("python3.*[0-9]"))[:1]
    env = {**environments.clean_env(), "QEMU_LD_PREFIX": str(root)}
    argv = (str(emulator), str(program))
    done = ws.run([*argv, "-I", "-c", _ASK], timeout_s=ASK_S, env=env, quiet=True, split_stderr=True)
    version, machine = json.loads(done.stdout)
    if machine != target.machine:
        raise NotProvableError(f"qemu-{target.qemu} says that it is {machine}, not {target.machine}")
    return Python(argv, env, version, "qemu", system.program_version(emulator, ws).split(" (")[0])


def probe(target: Target, ws: Workspace) -> Probe:
    """Say what would run a target's wheel: this machine, or qemu and a system of that architecture."""
    if target.machine == platform.machine():
        return Probe("native, on this machine")
    root = roots.for_target(target).probe(ws)
    lacks = tuple(tool.name for tool in system.missing([system.QEMU]))
    return replace(root, text=f"qemu-{target.qemu}, {root.text}", missing=(*lacks, *root.missing))


def install(wheel: Path, target: Target, python: Python, folder: Path, ws: Workspace) -> None:
    """Install a wheel for a foreign Python with this machine's pip, which checks its tags; dependencies are there."""
    _pip(["--no-deps", "--no-index", wheel], target, python, folder, ws)


def environment(wheel: Path, target: Target, python: Python, folder: Path, ws: Workspace) -> Path:
    """Make an environment of a foreign Python with a wheel and what the Python suite needs; return its Python.

    Programs that the suite starts are of the other architecture too, so the kernel has to know qemu.
    """
    system.require([system.QEMU], ws)
    roots.know_qemu(target, ws)
    ws.run([*python.argv, "-m", "venv", "--without-pip", folder], timeout_s=MAKE_S, env=python.env, quiet=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    _pip(["--require-hashes", "-r", ws.root / project.SUITE_REQUIREMENTS], target, python, packages, ws)
    install(wheel, target, python, packages, ws)
    return folder / "bin" / "python"


def _pip(words: Sequence[object], target: Target, python: Python, folder: Path, ws: Workspace) -> None:
    minor = ".".join(python.version.split(".")[:2])
    argv: List[object] = [sys.executable, "-m", "pip", "install", "-q", "--target", folder, "--no-compile"]
    argv += ["--disable-pip-version-check", "--only-binary=:all:", "--implementation", "cp", "--python-version", minor]
    # Beside the tag of the wheel those of newer systems, which the packages of others may have.
    for tag in (target.platform_tag, f"manylinux2014_{target.machine}", f"manylinux_2_28_{target.machine}"):
        argv += ["--platform", tag]
    ws.run([*argv, *words], timeout_s=environments.PIP_S, env=environments.clean_env(), quiet=True)
