"""Virtual environments whose packages are pinned in a file of requirements/."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Optional, Sequence, Tuple

from glean_steps import fetch, interpreters, report, runner, workspace
from glean_steps.errors import MissingToolError, OfflineError
from glean_steps.interpreters import CPython
from glean_steps.workspace import Stamp, Workspace

VENV_S = 120.0
PIP_S = 900.0


def pinned(name: str, ws: Workspace, *, base: Optional[Path] = None) -> Path:
    """Return the Python of an environment, making it when it is missing or out of date.

    Args:
        name: of the environment, and of its requirements/NAME.txt.
        base: the Python that makes it; the one that runs this when absent.

    Raises:
        OfflineError: it has to be made, and GLEAN_OFFLINE forbids fetching its packages.
    """
    home = ws.state / "venvs" / name
    program = home / "bin" / "python"
    base = base or Path(sys.executable)
    requirements = ws.root / "requirements" / f"{name}.txt"
    stamp = Stamp(ws.state / "stamps" / f"venv-{name}.json")
    key = workspace.fingerprint(3, str(base), base.stat().st_mtime_ns, requirements)
    if stamp.is_current(key):
        return program
    with report.step(f"make the environment {name}"):
        if fetch.is_offline():
            raise OfflineError(
                f"the environment {name} is missing or out of date",
                why="GLEAN_OFFLINE forbids fetching its packages",
                fix="run it once without GLEAN_OFFLINE",
            )
        stamp.forget()
        shutil.rmtree(home, ignore_errors=True)
        runner.run([base, "-m", "venv", home], timeout_s=runner.deadline(VENV_S), quiet=True)
        install(program, ["--require-hashes", "-r", requirements])
        stamp.write(key, files=[program])
    return program


def install(program: Path, arguments: Sequence[object]) -> None:
    """Run `pip install` of an environment with these arguments."""
    argv = [program, "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments]
    runner.run(argv, timeout_s=runner.deadline(PIP_S), quiet=True)


def newest_python(oldest: Tuple[int, int]) -> CPython:
    """Return the newest CPython of this machine; free-threaded ones do not count.

    Args:
        oldest: the oldest minor version that will do, such as (3, 11).

    Raises:
        MissingToolError: there is none that is new enough.
    """
    found = [python for python in interpreters.find_all().values() if not python.free_threaded]
    if not found or tuple(map(int, found[-1].minor.split("."))) < oldest:
        raise MissingToolError(
            f"no CPython {oldest[0]}.{oldest[1]} or newer",
            why=f"this machine has {', '.join(python.version for python in found) or 'none'}",
            fix=f"put python{oldest[0]}.{oldest[1]} on PATH (pyenv, uv or the distribution's package)",
        )
    return found[-1]
