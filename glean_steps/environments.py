"""Virtual environments for the suites: one maker, whatever Python and requirements."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Tuple

from glean_steps import interpreters, report, roots, runner, settings, workspace
from glean_steps.errors import MissingToolError, OfflineError
from glean_steps.prerequisites import Probe
from glean_steps.suites import one_line
from glean_steps.workspace import Workspace

PIP_S = 900.0
_RECIPE = 3  # Raise it when what this module does to an environment changes.
# What brings a minor version of CPython, and its venv module on Debian and Ubuntu.
_ON_PATH = "put python{} on PATH (pyenv, uv or the distribution's package)"
_VENV = "apt-get install -y python{}-venv"


@dataclass(frozen=True)
class NativeWheel:
    """A wheel of the package for this machine, as a prerequisite; it serves every CPython."""

    name: str = "native wheel"

    def probe(self, ws: Workspace) -> Probe:
        """Say that a build makes it: what that needs is a prerequisite of its own."""
        return Probe("built with cargo")

    def ensure(self, ws: Workspace) -> Path:
        """Return the wheel, building it if need be."""
        from glean_steps import wheel  # Some are linked by zig, which is in an environment.

        return wheel.native_wheel(ws)


@dataclass(frozen=True)
class Environment:
    """A virtual environment with pinned requirements and, if asked for, the native wheel; as a prerequisite.

    Attributes:
        label: names its folder.
        requirements: the file of hash-pinned requirements, relative to the checkout.
        minor: the minor version of its CPython; that of the running one when empty.
        packed: install the native wheel into it as well.
    """

    label: str
    requirements: str
    minor: str = ""
    packed: bool = True

    @property
    def name(self) -> str:
        """Its label."""
        return f"environment {self.label}"

    def home(self, ws: Workspace) -> Path:
        """Return its folder."""
        return ws.state / "venvs" / self.label

    def probe(self, ws: Workspace) -> Probe:
        """Say whether it is set up, or what would make it."""
        found = interpreters.find_all(ws).get(self.minor) if self.minor else None
        if self.minor and found is None:
            if self.minor in roots.PYTHONS:
                return roots.PYTHONS[self.minor].probe(ws)
            return Probe(self.minor, why=f"no CPython {self.minor} on this machine", fix=_ON_PATH.format(self.minor))
        if (self.home(ws) / "bin" / "python").exists():
            return Probe("set up")
        if found is not None and not (found.stdlib / "ensurepip").is_dir():
            why = f"{found.executable} has no ensurepip, so it cannot make an environment"
            return Probe(self.minor, why=why, fix=_VENV.format(self.minor))
        if settings.OFFLINE.value():
            why = f"GLEAN_OFFLINE is set and the packages of {self.requirements} are not installed"
            return Probe("missing", why=why, fix="run once without GLEAN_OFFLINE")
        return Probe(f"made from {self.requirements}", later=f"makes the environment {self.label}")

    def ensure(self, ws: Workspace) -> Path:
        """Return its Python, making what is missing.

        Raises:
            MissingToolError: there is no such CPython here, or it cannot make an environment.
            OfflineError: packages would have to be fetched.
        """
        python, version = Path(sys.executable), sys.version
        if self.minor:
            if self.minor in roots.PYTHONS and self.minor not in interpreters.find_all(ws):
                roots.PYTHONS[self.minor].ensure(ws)
            probe = self.probe(ws)
            if probe.why:
                kind = OfflineError if "GLEAN_OFFLINE" in probe.why else MissingToolError
                raise kind(f"no environment with CPython {self.minor}", why=probe.why, fix=probe.fix)
            found = interpreters.find_all(ws)[self.minor]
            python, version = found.executable, found.version
        packed = NativeWheel().ensure(ws) if self.packed else None
        home = self.home(ws)
        program = home / "bin" / "python"
        stamp = ws.stamp(f"venv-{self.label}")
        base = workspace.fingerprint(_RECIPE, str(python), version, ws.root / self.requirements)
        # A suite and the tests of the steps may want it at the same time.
        with workspace.lock(home.with_name(f"{home.name}.lock"), f"make the environment {self.label}"):
            if stamp.facts().get("base") != base or not stamp.is_current("made"):
                with report.step(f"make the environment {self.label}"):
                    stamp.forget()
                    self._make(python, ws)
                    stamp.write("made", files=[program], facts={"base": base})
            if packed is not None:
                installed = workspace.file_sha256(packed)
                if stamp.facts().get("wheel") != installed:
                    # pip ended in the middle leaves neither the old wheel nor the new one.
                    stamp.write("made", files=[program], facts={"base": base})
                    pip_install(program, ["--no-deps", "--no-index", "--force-reinstall", packed], ws)
                    stamp.write("made", files=[program], facts={"base": base, "wheel": installed})
        return program

    def _make(self, python: Path, ws: Workspace) -> None:
        home = self.home(ws)
        if settings.OFFLINE.value():
            what = f"the environment {self.label} is missing or out of date"
            why = "GLEAN_OFFLINE forbids fetching what it needs"
            raise OfflineError(what, why=why, fix="run once without GLEAN_OFFLINE")
        shutil.rmtree(home, ignore_errors=True)
        made = ws.run([python, "-m", "venv", home], timeout_s=300, check=False, quiet=True, env=clean_env())
        if made.status != 0:
            fix = f"install its venv module: {_VENV.format(self.minor or '3')}"
            raise MissingToolError(f"{python} cannot make an environment", why=one_line(made.stdout[-300:]), fix=fix)
        pip_install(home / "bin" / "python", ["--require-hashes", "-r", ws.root / self.requirements], ws)


def newest_python(ws: Workspace, oldest: Tuple[int, int] = interpreters.OLDEST) -> interpreters.CPython:
    """Return the newest CPython of this machine; free-threaded ones do not count.

    Raises:
        MissingToolError: there is none that is new enough.
    """
    found = [python for python in interpreters.find_all(ws).values() if not python.free_threaded]
    if not found or tuple(map(int, found[-1].minor.split("."))) < oldest:
        minor = "{}.{}".format(*oldest)
        why = f"this machine has {', '.join(python.version for python in found) or 'none'}"
        raise MissingToolError(f"no CPython {minor} or newer", why=why, fix=_ON_PATH.format(minor))
    return found[-1]


def pip_install(program: Path, arguments: Sequence[object], ws: Workspace) -> None:
    """Let the pip of a Python install something."""
    argv = [program, "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments]
    ws.run(argv, timeout_s=PIP_S, env=clean_env(), quiet=True)


def clean_env(changes: Optional[Mapping[str, Optional[str]]] = None) -> Dict[str, str]:
    """Return an environment in which the checkout cannot be imported by accident; `None` removes a variable."""
    ours = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "VIRTUAL_ENV")
    return runner.child_env({**{name: None for name in ours}, **(changes or {})})
