"""Runs programs under one package in processes of its own, which are gone afterwards, and so is what they wrote."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Dict, List, Optional, Sequence, Tuple, Type

Json = Any
DRIVER = Path(__file__).resolve().parent / "driver.py"
# More than driver.py gives each of the processes of a program.
PROGRAM_S = 600.0


class Side:
    """One package and the Python that has it.

    Attributes:
        package: `glean` or `glean_py`.
        version: what the package says about itself, once a program has run.
        deaths: what was said about each process that ended although it was not asked to, or had to be ended.
        folder: where its programs keep their data; empty between them but for `stderr`.
    """

    def __init__(self, package: str, python: str, *, time_zone: str = "UTC", trace: bool = False) -> None:
        self.package = package
        self.python = python
        self.version = ""
        self.deaths: List[str] = []
        self._zone = time_zone
        self._words = ["trace"] if trace else []
        self.folder = Path(tempfile.mkdtemp(prefix=f"differential-{package}-"))
        self._process: Optional[subprocess.Popen[str]] = None
        self._answers: queue.Queue[Optional[str]] = queue.Queue()

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, programs: Sequence[Tuple[int, Json]]) -> List[Json]:
        """Return the outcome of each numbered program."""
        return [self.run_one(number, program) for number, program in programs]

    def run_one(self, number: int, program: Json) -> Json:
        """Return what a program did: {"outcome": [..]}, with "died" when its process did not live to tell."""
        answer = self._ask({"number": number, "program": program})
        if "died" in answer:
            self.deaths.append(f"{self.package}: program {number}: {answer['died']}: {self.said()[-2000:]}")
        self.version = answer.get("version", self.version)
        return answer

    def _ask(self, request: Json) -> Json:
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = self._answers.get(timeout=PROGRAM_S)
        except queue.Empty:
            return self._gone(f"no answer within {PROGRAM_S:.0f} s")
        except OSError as error:
            return self._gone(str(error))
        if line is None:
            return self._gone("the process ended")
        answer: Json = json.loads(line)
        return answer

    def _start(self) -> None:
        self.end()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        environment.update(TZ=self._zone, PYTHONHASHSEED="0")
        environment.pop("VIRTUAL_ENV", None)
        with open(self.folder / "stderr", "ab") as errors:
            self._process = self._popen(errors, environment)
        self._answers = queue.Queue()
        threading.Thread(target=_pump, args=(self._process.stdout, self._answers), daemon=True).start()
        if self._answers.get(timeout=600.0) is None:
            raise RuntimeError(f"{self.package} does not start: {self.said()}")

    def _popen(self, errors: IO[bytes], environment: Dict[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.python, "-I", str(DRIVER), self.package, str(self.folder), *self._words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            env=environment,
            cwd=str(self.folder),
            start_new_session=True,
        )

    def _gone(self, why: str) -> Json:
        process = self._process
        assert process is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.end()
        return {"outcome": [], "died": why}

    def said(self) -> str:
        """Return what the processes printed."""
        with open(self.folder / "stderr", "rb") as file:
            return file.read().decode("utf-8", "replace")

    def end(self) -> None:
        """End the process and wait until it and all that it started are gone."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(timeout=600.0)
        except subprocess.TimeoutExpired:
            self.deaths.append(f"{self.package}: did not end: {self.said()[-2000:]}")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
            self.deaths.append(f"{self.package}: left a process behind")
        process.wait()


def _pump(stream: Optional[IO[str]], answers: queue.Queue[Optional[str]]) -> None:
    if stream is not None:
        with stream:
            for line in stream:
                answers.put(line)
    answers.put(None)


def run_both(sides: Sequence[Side], programs: Sequence[Tuple[int, Json]]) -> List[List[Json]]:
    """Return the outcomes of all programs for each side; the sides run at the same time."""
    results: Dict[int, List[Json]] = {}
    errors: List[BaseException] = []

    def work(place: int) -> None:
        try:
            results[place] = sides[place].run(programs)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(sides))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[place] for place in range(len(sides))]
