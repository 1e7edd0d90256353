"""Where a run of the benchmark works: the checkout, the environment of the baselines, folders that go afterwards."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Callable, Dict, Iterator

from glean_steps import environments, runner, wine, workspace
from glean_steps.errors import MissingArtifactError
from glean_steps.workspace import Workspace

SCRATCH = "glean-bench-"
# Newer ones call more quickly.
OLDEST_MEASURED = (3, 11)

Side = Callable[[], float]
# What a run makes is nothing that a copy of the checkout needs.
_MADE = (".git", ".glean", ".nox", "dist", "build", "target", "__pycache__", ".*_cache", "*.egg-info")


class Place:
    """Where a run of the benchmark works.

    Attributes:
        effort: less than 1 makes comparisons of the core quick and their figures worthless; for tests.
    """

    def __init__(self, ws: Workspace, stack: ExitStack, *, effort: float = 1.0) -> None:
        self.ws = ws
        self.effort = effort
        self._stack = stack

    def some(self, count: int) -> int:
        """Return the count, or the few that a test has time for."""
        return max(1, round(count * self.effort))

    @cached_property
    def scratch(self) -> Path:
        """A folder of this run alone."""
        folder = scratch_folder()
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    @cached_property
    def baselines(self) -> Path:
        """The Python of the environment that holds the baselines, pinned in requirements/bench.txt."""
        return self._environment(packed=False)

    @cached_property
    def python(self) -> Path:
        """The same Python, with our own wheel for this machine installed."""
        with self.ws.locked():
            return self._environment(packed=True)

    def _environment(self, *, packed: bool) -> Path:
        minor = environments.newest_python(self.ws, OLDEST_MEASURED).minor
        return environments.Environment("bench", "requirements/bench.txt", minor, packed).ensure(self.ws)

    def versions(self, *projects: str) -> Dict[str, str]:
        """Return the versions of projects in that environment."""
        ask = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
        argv = [self.baselines, "-I", "-c", ask, *projects]
        done = runner.run(argv, timeout_s=60, quiet=True, split_stderr=True, echo=False)
        return dict(zip(projects, done.stdout.split()))

    @cached_property
    def copy(self) -> Workspace:
        """A copy of the checkout that may be changed; the cache stays the user's."""
        folder = self.scratch / "checkout"
        shutil.copytree(self.ws.root, folder, ignore=shutil.ignore_patterns(*_MADE), symlinks=True)
        copy = Workspace(root=folder, cache=self.ws.cache)
        self._stack.callback(wine.end_all, copy)
        return copy


# Opens a group: yields what measures each of its sides once, by name.
Measure = Callable[[Place], Iterator[Dict[str, Side]]]


def scratch_folder() -> Path:
    """Return a new temporary folder; those of runs that were killed are removed first."""
    workspace.sweep(Path(tempfile.gettempdir()), SCRATCH)
    return Path(tempfile.mkdtemp(prefix=SCRATCH, suffix=f".{os.getpid()}.part"))


def change_a_line(sources: Path) -> None:
    """Change a line of Rust: the message of the first `expect`, which is part of the library.

    Raises:
        MissingArtifactError: no source calls `expect` with a message.
    """
    for file in sorted(sources.rglob("*.rs")):
        text = file.read_text(encoding="utf-8")
        changed, count = re.subn(r'(\.expect\("[^"\\{}]+)("\))', r"\1.\2", text, count=1)
        if count:
            file.write_text(changed, encoding="utf-8")
            return
    raise MissingArtifactError("no line to change", why=f"no source in {sources} calls expect with a message")
