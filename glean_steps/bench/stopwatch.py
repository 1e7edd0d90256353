"""Times programs and what they print; a failed one is an error with its last lines."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Mapping, Optional, Sequence

from glean_steps import runner, workspace
from glean_steps.errors import CommandFailedError

SCRATCH = "glean-bench-"
_STOPWATCH = Path(__file__).with_name("_stopwatch.py")


@dataclass(frozen=True)
class Timed:
    """A program that ended well: its seconds and what it printed."""

    seconds: float
    output: str


def run(
    argv: Sequence[object], *, timeout_s: float, cwd: Optional[Path] = None, env: Optional[Mapping[str, str]] = None
) -> Timed:
    """Run a program and time it from its start to its end, nothing else included.

    Raises:
        CommandFailedError: it ended with another exit status than 0.
        DeadlineError: it did not end in time, and has been ended with its children.
    """
    words = [os.fspath(word) if isinstance(word, os.PathLike) else str(word) for word in argv]
    with tempfile.TemporaryDirectory(prefix="glean-stopwatch-") as folder:
        result, log = Path(folder, "result.json"), Path(folder, "log")
        runner.run(
            [sys.executable, "-I", "-S", _STOPWATCH, result, log, *words],
            timeout_s=timeout_s,
            cwd=cwd,
            env=env,
            quiet=True,
            echo=False,
        )
        told = json.loads(result.read_text(encoding="utf-8"))
        output = log.read_text(encoding="utf-8", errors="replace")
    if told["status"] != 0:
        raise CommandFailedError(
            f"{Path(words[0]).name} failed with exit status {told['status']}",
            why=f"command: {' '.join(words)}",
            status=told["status"],
            tail=output.splitlines()[-20:],
        )
    return Timed(float(told["seconds"]), output)


def scratch_folder() -> Path:
    """Return a new folder in the system's place for such; those of runs that were killed are removed first."""
    workspace.sweep(Path(tempfile.gettempdir()), SCRATCH)
    return Path(tempfile.mkdtemp(prefix=SCRATCH, suffix=f".{os.getpid()}.part"))


def call(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def typed_env(changes: Optional[Mapping[str, Optional[str]]] = None) -> Dict[str, str]:
    """Return the environment of somebody who types a command: that of this process before it entered the tools.

    Python's own default counts, which keeps compiled modules for the next start; a machine may be set up otherwise.
    """
    scripts = os.path.dirname(sys.executable)
    paths = [path for path in os.environ.get("PATH", os.defpath).split(os.pathsep) if path != scripts]
    return runner.child_env(
        {
            "PATH": os.pathsep.join(paths),
            "VIRTUAL_ENV": None,
            "GLEAN_BOOTSTRAP_PID": None,
            "PYTHONDONTWRITEBYTECODE": None,
            **(changes or {}),
        }
    )


def typed_python() -> str:
    """Return the Python that started the tool environment, so that no shim of a version manager is measured."""
    return str(getattr(sys, "_base_executable", sys.executable))
