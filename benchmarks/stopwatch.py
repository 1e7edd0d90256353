"""Times programs, and keeps what they print; a failed one is an error with its last lines."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Mapping, Optional, Sequence

from glean_steps import runner
from glean_steps.errors import CommandFailedError

_STOPWATCH = Path(__file__).with_name("_stopwatch.py")


@dataclass(frozen=True)
class Timed:
    """A program that ended well.

    Attributes:
        seconds: from its start to its end.
        output: what it printed.
        memory: peak resident memory of its largest process, in bytes.
    """

    seconds: float
    output: str
    memory: int


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
        stopwatch = [sys.executable, "-I", "-S", _STOPWATCH, result, log, *words]
        runner.run(stopwatch, timeout_s=timeout_s, cwd=cwd, env=env, quiet=True, echo=False)
        seen = json.loads(result.read_text(encoding="utf-8"))
        output = log.read_text(encoding="utf-8", errors="replace")
    if seen["status"] != 0:
        raise CommandFailedError(
            f"{Path(words[0]).name} failed with exit status {seen['status']}",
            why=f"command: {' '.join(words)}",
            status=seen["status"],
            tail=output.splitlines()[-20:],
        )
    return Timed(float(seen["seconds"]), output, int(seen["memory"]))


def typed(
    program: str, *arguments: str, cwd: Path, timeout_s: float, changes: Optional[Mapping[str, Optional[str]]] = None
) -> Timed:
    """Time `python3 bootstrap.py PROGRAM ARGUMENT ...` as somebody types it: from before the tool environment.

    Python's own default counts, which keeps compiled modules for the next start; a machine may be set up otherwise.
    """
    scripts = os.path.dirname(sys.executable)
    paths = [path for path in os.environ.get("PATH", os.defpath).split(os.pathsep) if path != scripts]
    env: Dict[str, Optional[str]] = {
        "PATH": os.pathsep.join(paths),
        "VIRTUAL_ENV": None,
        "GLEAN_BOOTSTRAP_PID": None,
        "PYTHONDONTWRITEBYTECODE": None,
        **(changes or {}),
    }
    # The Python that started the tool environment, so that no shim of a version manager is measured.
    python = str(getattr(sys, "_base_executable", sys.executable))
    argv = [python, "bootstrap.py", program, *arguments]
    return run(argv, timeout_s=timeout_s, cwd=cwd, env=runner.child_env(env))


def call(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
