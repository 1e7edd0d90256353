"""A cold run: the main command in a new clone with an empty cache, and the time, memory and disk that it takes."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any, Dict, List

from benchmarks import stopwatch
from benchmarks.place import scratch_folder
from glean_steps import report, runner
from glean_steps.workspace import Workspace

COLD_S = 3600.0


def measure(ws: Workspace) -> Dict[str, Any]:
    """Run the main command cold; return its commit, `seconds`, `memory` and `disk` by folder, both in bytes."""
    folder = scratch_folder()
    clone, cache = folder / "checkout", folder / "cache"
    try:
        argv: List[object] = ["git", "clone", "-q", "--no-local", "--depth", "1", ws.root.as_uri(), clone]
        runner.run(argv, timeout_s=300, quiet=True)
        head = runner.run(["git", "-C", clone, "rev-parse", "--short", "HEAD"], timeout_s=30, quiet=True, echo=False)
        changes = {name: None for name in os.environ if name.startswith("GLEAN_") or name == "CARGO_TARGET_DIR"}
        with report.step("cold run of build_windows"):
            timed = stopwatch.typed(
                *("nox", "-s", "build_windows"),
                cwd=clone,
                timeout_s=COLD_S,
                changes={**changes, "GLEAN_CACHE": str(cache)},
            )
        folders = {"cache": cache, **{f"`{name}/`": clone / name for name in (".glean", "glean_core/target", "dist")}}
        return {
            "commit": head.stdout.strip(),
            "seconds": timed.seconds,
            "memory": timed.memory,
            "disk": {name: disk_bytes(path) for name, path in folders.items()},
        }
    finally:
        _remove(folder)


def disk_bytes(folder: Path) -> int:
    """Return the bytes that a folder takes on its disk; a file with several names counts once."""
    done = runner.run(["du", "-s", "--block-size=1", folder], timeout_s=60, quiet=True, echo=False)
    return int(done.stdout.split()[0])


def _remove(folder: Path) -> None:
    """Remove the clone; a Wine daemon of its prefix may write a last file meanwhile."""
    for _ in range(5):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(1.0)
    report.say(f"{folder} cannot be removed whole")
