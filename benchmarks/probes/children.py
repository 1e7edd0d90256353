"""Programs of the same interpreter that a probe starts: isolated, one line of code each."""

from __future__ import annotations

import os
import sys
import time
from typing import List, Tuple


def seconds(code: str) -> float:
    """Run a program and return the seconds from its start to its end."""
    started = time.perf_counter()
    _, status = os.waitpid(_spawn(code, (), []), 0)
    taken = time.perf_counter() - started
    if status:
        raise SystemExit(f"{code!r} ended with status {status}")
    return taken


def output(code: str, *arguments: str, ends_by: int = 0) -> str:
    """Run a program and return what it wrote."""
    reader, writer = os.pipe()
    process = _spawn(code, arguments, [(os.POSIX_SPAWN_DUP2, writer, 1)])
    os.close(writer)
    with open(reader, encoding="utf-8") as stream:
        text = stream.read()
    _, status = os.waitpid(process, 0)
    if (os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0) != ends_by or (not ends_by and status):
        raise SystemExit(f"a program ended with status {status}")
    return text


def _spawn(code: str, arguments: Tuple[str, ...], actions: List[Tuple[int, ...]]) -> int:
    argv = [sys.executable, "-I", "-c", code, *arguments]
    return os.posix_spawn(sys.executable, argv, os.environ, file_actions=actions)
