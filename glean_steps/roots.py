"""Small Debian systems of other architectures in the cache, and CPythons in them that qemu runs.

A root is unpacked, not configured: nothing of another architecture runs while it is made, and root is not needed.
mmdebstrap checks the signatures of the archive. qemu looks for the libraries of a program below QEMU_LD_PREFIX first,
so a Python runs from where it lies, with this machine's files around it.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from glean_steps import environments, project, report, settings, system, workspace
from glean_steps.errors import CommandFailedError, MissingToolError, NotProvableError, OfflineError
from glean_steps.prerequisites import Probe
from glean_steps.targets import Target
from glean_steps.workspace import Workspace

MAKE_S = 900.0
ASK_S = 120.0
_RECIPE = 2  # Raise it when what this module does to a root changes.
# The releases that they are of, the first that has an architecture's packages. riscv64 came with the second one.
SUITES = ("bookworm", "trixie")
_PACKAGES = ("base-files", "python3", "python3-cffi-backend", "libc-bin", "libgcc-s1")
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


@dataclass(frozen=True)
class Root:
    """The system of an architecture, as a prerequisite.

    Attributes:
        target: the architecture's entry.
    """

    target: Target

    @property
    def name(self) -> str:
        """The architecture."""
        return f"Debian for {self.target.arch}"

    def folder(self, suite: str, ws: Workspace) -> Path:
        """Return where the cache keeps it, made of a release of Debian."""
        key = workspace.fingerprint(_RECIPE, suite, self.target.arch, _PACKAGES)[:12]
        return ws.cache / "roots" / f"{suite}-{self.target.arch}-{key}"

    def made(self, ws: Workspace) -> Optional[Path]:
        """Return the folder that is made already."""
        folders = [self.folder(suite, ws) for suite in SUITES]
        return next((folder for folder in folders if (folder / ".complete").exists()), None)

    def probe(self, ws: Workspace) -> Probe:
        """Say whether it is made, or what would make it."""
        lacks = tuple(tool.name for tool in system.missing([system.QEMU]))
        made = self.made(ws)
        if made is not None:
            return Probe(f"{made}", lacks)
        lacks += tuple(tool.name for tool in system.missing([system.MMDEBSTRAP]))
        if settings.OFFLINE.value():
            return Probe("missing", lacks, why=f"GLEAN_OFFLINE forbids making {self.name}", fix="run once without it")
        if system.os_release().get("ID") != "debian":
            why = "this machine's archive is not Debian's, which has the other architectures"
            return Probe("missing", lacks, why=why, fix="prove it on Debian, or on a machine of that architecture")
        return Probe("unpacked from Debian's packages", lacks, f"makes {self.name} (15 s, 110 MB)")

    def ensure(self, ws: Workspace) -> Path:
        """Return its folder, making it if need be.

        Raises:
            NotProvableError: it cannot be made on this machine; says why and what to do.
            OfflineError: its packages would have to be fetched.
            MissingToolError: mmdebstrap is missing and may not be installed.
        """
        made = self.made(ws)
        if made is not None:
            return made
        if settings.OFFLINE.value():
            why = "GLEAN_OFFLINE forbids making it"
            raise OfflineError(f"{self.name} is not in the cache", why=why, fix="run once without it")
        probe = self.probe(ws)
        if probe.why:
            raise NotProvableError(f"no {self.name}", why=probe.why, fix=probe.fix)
        system.require([system.MMDEBSTRAP], ws)
        said: List[str] = []
        for suite in SUITES:
            folder = self.folder(suite, ws)
            with workspace.lock(folder.with_name(folder.name + ".lock"), f"making {self.name}"):
                if (folder / ".complete").exists():
                    return folder
                try:
                    with report.step(f"make {self.name} ({suite})"):
                        self._make(suite, folder, ws)
                    return folder
                except CommandFailedError as error:
                    said += [f"{suite}: {line}" for line in error.tail if line.startswith("E: ")][:3] or [error.what]
        raise NotProvableError(f"no {self.name}", why="; ".join(said), fix=_fix("\n".join(said)))

    def _make(self, suite: str, folder: Path, ws: Workspace) -> None:
        argv: List[object] = ["mmdebstrap", f"--arch={self.target.arch}", "--variant=extract", "--quiet"]
        argv += [f"--include={','.join(_PACKAGES)}", suite]
        with workspace.new_folder(folder) as new:
            ws.run([*argv, new / "root", mirror(ws)], timeout_s=MAKE_S, quiet=True)
            _keep_links_inside(new / "root")
            # Device files and folders that only their owner may read would keep users from removing it.
            for name in ("dev", "var", "boot"):
                shutil.rmtree(new / "root" / name, ignore_errors=True)
            (new / ".complete").write_text(suite)


def _keep_links_inside(root: Path) -> None:
    """Make links to absolute paths relative: whoever follows one from outside would meet this machine's own files."""
    for parent, folders, names in os.walk(root):
        for path in (Path(parent, name) for name in (*folders, *names)):
            if path.is_symlink() and os.path.isabs(os.readlink(path)):
                inside = f"{root}{os.readlink(path)}"
                path.unlink()
                path.symlink_to(os.path.relpath(inside, parent))


def _fix(said: str) -> str:
    """Return what to do about what mmdebstrap said."""
    if re.search("not valid yet|expired|is not valid anymore", said):
        return "correct this machine's clock, or use an archive that is not older than its index says"
    if re.search("unshare|newuidmap|must be root", said):
        return "run it as root, or allow users their own namespaces (package uidmap)"
    return "see what it said; the archive is the one of this machine's apt"


def mirror(ws: Workspace) -> str:
    """Return the archive that this machine's own package lists come from."""
    listed = ws.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(COMPONENT) $(IDENTIFIER) $(CODENAME)"],
        timeout_s=30,
        quiet=True,
    ).stdout
    suite = system.os_release().get("VERSION_CODENAME", "")
    for line in listed.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[1:3] == ["main", "Packages"] and fields[3] == suite:
            return fields[0]
    raise MissingToolError(
        "no package archive for a root of its own",
        why=f"apt has no list of {suite}'s main component",
        fix="apt-get update",
    )


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
    root = Root(target).ensure(ws) / "root"
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


def install(wheel: Path, target: Target, python: Python, folder: Path, ws: Workspace) -> None:
    """Install a wheel for a foreign Python with this machine's pip, which checks its tags; dependencies are there."""
    _pip(["--no-deps", "--no-index", wheel], target, python, folder, ws)


def environment(wheel: Path, target: Target, python: Python, folder: Path, ws: Workspace) -> Path:
    """Make an environment of a foreign Python with a wheel and what the Python suite needs; return its Python.

    Programs that the suite starts are of the other architecture too, so the kernel has to know qemu.
    """
    system.require([system.QEMU], ws)
    know_qemu(target, ws)
    ws.run([*python.argv, "-m", "venv", "--without-pip", folder], timeout_s=MAKE_S, env=python.env, quiet=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    _pip(["--require-hashes", "-r", ws.root / project.SUITE_REQUIREMENTS], target, python, packages, ws)
    install(wheel, target, python, packages, ws)
    return folder / "bin" / "python"


# Where the kernel lists what runs programs of other formats, and where qemu's package says it in the kernel's words.
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_BINFMT_RULES = Path("/usr/lib/binfmt.d")


def know_qemu(target: Target, ws: Workspace) -> None:
    """See to it that the kernel starts qemu for programs of a target.

    Raises:
        NotProvableError: it does not, and only root of a machine that allows it can change that; says how.
    """
    entry, rule = _BINFMT / f"qemu-{target.qemu}", _BINFMT_RULES / f"qemu-{target.qemu}.conf"
    if target.machine == platform.machine() or entry.exists():
        return
    mount = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT)]
    reason = f"{entry} is missing"
    if system.is_root():
        try:
            if not (_BINFMT / "register").exists():
                ws.run(mount, timeout_s=ASK_S, quiet=True)
            (_BINFMT / "register").write_text(rule.read_text())
        except (CommandFailedError, OSError) as error:
            reason += f": {error.tail[-1:] if isinstance(error, CommandFailedError) else error}"
    if not entry.exists():
        raise NotProvableError(
            f"programs for {target.machine} cannot start others here",
            why=f"the kernel does not know qemu; {reason}",
            fix=f"as root, where containers may: {' '.join(mount)}; cat {rule} > {_BINFMT}/register",
        )


def _pip(words: Sequence[object], target: Target, python: Python, folder: Path, ws: Workspace) -> None:
    minor = ".".join(python.version.split(".")[:2])
    argv: List[object] = [sys.executable, "-m", "pip", "install", "-q", "--target", folder, "--no-compile"]
    argv += ["--disable-pip-version-check", "--only-binary=:all:", "--implementation", "cp", "--python-version", minor]
    # Beside the tag of the wheel those of newer systems, which the packages of others may have.
    for tag in (target.platform_tag, f"manylinux2014_{target.machine}", f"manylinux_2_28_{target.machine}"):
        argv += ["--platform", tag]
    ws.run([*argv, *words], timeout_s=environments.PIP_S, env=environments.clean_env(), quiet=True)
