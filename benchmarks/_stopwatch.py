"""Time one program exactly: `python -I -S _stopwatch.py RESULT LOG PROGRAM ARGUMENT ...`.

Runs on its own, without the package: it waits for the program alone, so that no thread that reads output and no polling
gets into the figure. What the program prints goes into the file LOG.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import List


def main(result: str, log: str, argv: List[str]) -> None:
    """Run the program and write its seconds, exit status and peak memory as JSON."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    started = time.perf_counter()
    process = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - started
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    with open(result, "w", encoding="utf-8") as stream:
        json.dump({"seconds": seconds, "status": code, "memory": usage.ru_maxrss * 1024}, stream)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
