"""Small Debian systems in the cache: of other architectures, and with a Python that this machine's distribution lacks.

A root is unpacked, not configured: nothing of another architecture runs while it is made, and root is not needed.
mmdebstrap checks the signatures of the archive.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional, Tuple

from glean_steps import report, settings, system, workspace
from glean_steps.errors import CommandFailedError, MissingToolError, NotProvableError, OfflineError
from glean_steps.prerequisites import Probe
from glean_steps.targets import Target
from glean_steps.workspace import Workspace

MAKE_S = 900.0
ASK_S = 120.0
_RECIPE = 6  # Raise it when what this module does to a root changes.


@dataclass(frozen=True)
class Root:
    """A system, as a prerequisite.

    Attributes:
        name: what it is, for tables.
        packages: what is unpacked, with what that needs.
        suites: the releases of Debian to take it from, the first that has the packages.
        arch: Debian's name of its architecture; this machine's own when empty.
        python: the minor version of a Python in it that is to run by itself; see `_settle`.
        options: more options of mmdebstrap.
    """

    name: str
    packages: Tuple[str, ...]
    suites: Tuple[str, ...]
    arch: str = ""
    python: str = ""
    options: Tuple[str, ...] = ()

    def folder(self, suite: str, ws: Workspace) -> Path:
        """Return where the cache keeps it, made of a release."""
        key = workspace.fingerprint(_RECIPE, suite, self.arch, self.packages, self.python, self.options)[:12]
        return ws.cache / "roots" / f"{suite}-{self.arch or self.python}-{key}"

    def made(self, ws: Workspace) -> Optional[Path]:
        """Return the folder that is made already."""
        folders = [self.folder(suite, ws) for suite in self.suites]
        return next((folder for folder in folders if (folder / ".complete").exists()), None)

    def probe(self, ws: Workspace) -> Probe:
        """Say whether it is made, or what would make it."""
        made = self.made(ws)
        if made is not None:
            return Probe(f"{made}")
        lacks = tuple(tool.name for tool in system.missing([system.MMDEBSTRAP]))
        if settings.OFFLINE.value():
            return Probe("missing", lacks, why=f"GLEAN_OFFLINE forbids making {self.name}", fix="run once without it")
        if system.os_release().get("ID") != "debian":
            why = f"{self.name} is made of Debian's packages, and this machine's archive is another one"
            return Probe("missing", lacks, why=why, fix="use Debian, or a machine that has it by itself")
        return Probe("unpacked from Debian's packages", lacks, f"makes {self.name} (half a minute, 110 MB)")

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
        for suite in self.suites:
            try:
                return make_once(self.folder(suite, ws), f"make {self.name} ({suite})", partial(self._fill, suite, ws))
            except CommandFailedError as error:
                said += [f"{suite}: {line}" for line in error.tail if line.startswith("E: ")][:3] or [error.what]
        raise NotProvableError(f"no {self.name}", why="; ".join(said), fix=_fix("\n".join(said)))

    def _fill(self, suite: str, ws: Workspace, new: Path) -> None:
        root = new / "root"
        argv: List[object] = ["mmdebstrap", "--variant=extract", "--quiet", *self.options]
        argv += [f"--arch={self.arch}"] if self.arch else []
        argv += [f"--include={','.join(self.packages)}", suite, root, mirror(ws)]
        ws.run(argv, timeout_s=MAKE_S, quiet=True)
        _keep_links_inside(root)
        if self.python:
            _settle(root / "usr" / "bin" / f"python{self.python}", root, self.folder(suite, ws) / "root")
        # Device files and folders that only their owner may read would keep users from removing it, and qemu takes
        # every folder that is here for the machine's own: who looks for processes in an empty /proc finds none.
        for name in ("dev", "var", "boot", "proc", "sys", "run", "tmp"):
            shutil.rmtree(root / name, ignore_errors=True)


def make_once(folder: Path, what: str, fill: Callable[[Path], None]) -> Path:
    """Return a folder of the cache; it is filled, under another name at first, unless an earlier run has done so."""
    with workspace.lock(folder.with_name(folder.name + ".lock"), what):
        if not (folder / ".complete").exists():
            with report.step(what), workspace.new_folder(folder) as new:
                fill(new)
                (new / ".complete").touch()
    return folder


# The CPythons that Debian has and no machine of ours: unpacked from its unstable release, whose index may be old where
# a mirror rests; the signatures are checked all the same.
_PYTHON_PACKAGES = ("libc-bin", "libgcc-s1")
PYTHONS: Mapping[str, Root] = {
    minor: Root(
        f"CPython {minor} of Debian",
        (f"python{minor}", f"python{minor}-venv", *_PYTHON_PACKAGES),
        ("sid",),
        python=minor,
        options=('--aptopt=Acquire::Check-Valid-Until "false"',),
    )
    for minor in ("3.14",)
}


def for_target(target: Target) -> Root:
    """Return the system of a target's architecture. riscv64 came with the second release."""
    packages = ("base-files", "python3", "python3-cffi-backend", *_PYTHON_PACKAGES)
    return Root(f"Debian for {target.arch}", packages, ("bookworm", "trixie"), arch=target.arch)


def _settle(program: Path, root: Path, final: Path) -> None:
    """Let a Python of a root find its own C library, so that it runs from `final` like any other program."""
    lief: Any = importlib.import_module("lief")
    binary = lief.parse(str(program))
    loader = root / "usr" / binary.interpreter.lstrip("/")
    libraries = loader.resolve().parent.relative_to(root.resolve())
    binary.interpreter = str(final / "usr" / binary.interpreter.lstrip("/"))
    binary.add(lief.ELF.DynamicEntryRpath(str(final / libraries)))
    binary.write(str(program))
    program.chmod(0o755)
    # Where ensurepip looks for pip: its own folder, else this one, which the machine may have for another Python.
    wheels, modules = "/usr/share/python-wheels", root / "usr" / "lib" / program.name
    (modules / "ensurepip" / "_bundled").symlink_to("../../../share/python-wheels")
    for file in modules.glob("_sysconfig*"):
        file.write_text(file.read_text().replace(wheels, f"{final}{wheels}"))


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
    argv = ["apt-get", "indextargets", "--format", "$(SITE) $(COMPONENT) $(IDENTIFIER) $(CODENAME)"]
    listed = ws.run(argv, timeout_s=30, quiet=True).stdout
    suite = system.os_release().get("VERSION_CODENAME", "")
    for line in listed.splitlines():
        fields = line.split()
        if fields[1:] == ["main", "Packages", suite]:
            return fields[0]
    why = f"apt has no list of {suite}'s main component"
    raise MissingToolError("no package archive for a root of its own", why=why, fix="apt-get update")


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
