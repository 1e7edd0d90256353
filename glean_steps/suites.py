"""Suites: what one is, how several run side by side, how their results are read, and the closing table.

`catalog.py` has the entries. A suite that cannot run here is reported as not run, with the reason; it never counts as
passed.
"""

from __future__ import annotations

import contextvars
import os
import re
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Sequence, Tuple

from glean_steps import project, report, runner
from glean_steps.errors import (
    CommandFailedError,
    DownloadError,
    MissingToolError,
    NotProvableError,
    OfflineError,
    StepError,
    TestsFailedError,
)
from glean_steps.prerequisites import Prerequisite
from glean_steps.workspace import Workspace

# How many tests of a suite may fail and have another try.
_AGAIN = 3
_FAILED = "failed: "
# What keeps a suite from running without saying anything about the code under test.
NOT_HERE = (MissingToolError, DownloadError, OfflineError, NotProvableError)


@dataclass
class Result:
    """What came of one suite.

    Attributes:
        suite: its name.
        passed, failed, skipped: numbers of tests.
        unstable: how many of those that passed did so at the second try only.
        seconds: how long it took.
        not_run: why it did not run; empty when it did.
        fix: what would make it run, or pass.
        notes: why tests were skipped, and which failed.
    """

    suite: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    unstable: int = 0
    seconds: float = 0.0
    not_run: str = ""
    fix: str = ""
    notes: List[str] = field(default_factory=list)


@dataclass(frozen=True)
class Suite:
    """One entry of the catalog.

    Attributes:
        name: for tables.
        run: is given the workspace and what each prerequisite returned; returns the counts.
        needs: what has to be here.
        uses: names of things that no two suites may use at once, such as a Wine prefix.
    """

    name: str
    run: Callable[..., Result]
    needs: Tuple[Prerequisite, ...] = ()
    uses: FrozenSet[str] = frozenset()


# --- running ----------------------------------------------------------------------------------------------------------


def run(suites: Sequence[Suite], ws: Workspace) -> List[Result]:
    """Run suites, print the closing table, and return the results in the order of the suites.

    Raises:
        TestsFailedError: names the suites that failed, or says that none could run.
    """
    return finish(collect(suites, ws))


def collect(suites: Sequence[Suite], ws: Workspace, *, at_once: Optional[int] = None) -> List[Result]:
    """Run suites, those that share nothing side by side, and return the results in the order of the suites."""
    made = _Made(ws)
    # Tests wait for half of their time: for processes, disks and deadlines.
    places = min(at_once or (os.cpu_count() or 1) * 2, len(suites))
    if places <= 1:
        return [run_one(suite, ws, made) for suite in suites]
    results: Dict[int, Result] = {}
    pending = list(enumerate(suites))
    running: Dict[Future[Result], Tuple[int, Suite]] = {}
    # The pool waits for its threads, and they wait for their programs, so the block has to be inside.
    with ThreadPoolExecutor(max_workers=places) as pool, runner.together(), report.Live() as live:
        while pending or running:
            for place, suite in list(pending):
                taken = frozenset().union(*(other.uses for _, other in running.values()))
                if len(running) < places and not suite.uses & taken:
                    pending.remove((place, suite))
                    context = contextvars.copy_context()
                    running[pool.submit(context.run, _grouped, suite, ws, made, live)] = (place, suite)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                place, _ = running.pop(future)
                results[place] = future.result()
    return [results[place] for place in range(len(suites))]


def _grouped(suite: Suite, ws: Workspace, made: _Made, live: report.Live) -> Result:
    """Run one of several suites: its output is printed in one piece, and only if a test failed."""
    with live.running(suite.name), report.captured() as captured:
        result = run_one(suite, ws, made)
    if result.failed or result.unstable:
        report.say(f"\n== output of {suite.name}\n{captured.getvalue()}")
    counts = f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped"
    came = f"not run ({result.not_run})" if result.not_run else counts
    report.say(f"== {suite.name}: {came}, {result.seconds:.1f} s")
    return result


class _Made:
    """What the prerequisites of a run returned; each is made once, whichever suite needs it first."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._guard = threading.Lock()
        self._outcomes: Dict[Prerequisite, Future[Any]] = {}

    def get(self, need: Prerequisite) -> Any:
        runner.go_on()
        with self._guard:
            is_first = need not in self._outcomes
            outcome = self._outcomes.setdefault(need, Future())
        if is_first:
            try:
                outcome.set_result(need.ensure(self._ws))
            except BaseException as error:
                outcome.set_exception(error)
        return outcome.result()


def run_one(suite: Suite, ws: Workspace, made: Optional[_Made] = None) -> Result:
    """Run one suite; what keeps it from running is distinguished from what fails in it."""
    made = made or _Made(ws)
    started = time.monotonic()
    report.say(f"\n== suite: {suite.name}")
    try:
        result = suite.run(ws, *[made.get(need) for need in suite.needs])
        result.suite = result.suite or suite.name
    except NOT_HERE as error:
        why = one_line(f"{error.what}: {error.why}" if error.why else error.what)
        result = Result(suite.name, not_run=why, fix=one_line(error.fix))
    except StepError as error:
        report.say(str(error))
        result = Result(suite.name, failed=1, notes=[one_line(str(error))])
    result.seconds = time.monotonic() - started
    return result


def finish(results: Sequence[Result]) -> List[Result]:
    """Print the closing table and raise when a suite failed."""
    table = report.Table("Suites", ("suite", ">passed", ">failed", ">skipped", ">seconds", "result"))
    for result in results:
        if result.not_run:
            table.rows.append([result.suite, "-", "-", "-", "-", "NOT RUN"])
            table.notes.append(f"not run: {result.suite}: {result.not_run}")
            if result.fix:
                table.notes.append(f"    to make it run: {result.fix}")
        else:
            counts = [str(count) for count in (result.passed, result.failed, result.skipped)]
            verdict = "FAILED" if result.failed else "UNSTABLE" if result.unstable else "passed"
            table.rows.append([result.suite, *counts, f"{result.seconds:.1f}", verdict])
            if result.fix:
                table.notes.append(f"{result.suite}: fix: {result.fix}")
        table.notes += [f"{result.suite}: {note}" for note in result.notes]
    table.print()
    ran = [result for result in results if not result.not_run]
    print(
        f"\n{sum(r.passed for r in ran)} passed, {sum(r.failed for r in ran)} failed, "
        f"{sum(r.skipped for r in ran)} skipped",
        flush=True,
    )
    failed = [result.suite for result in ran if result.failed]
    if failed or not ran:
        raise TestsFailedError(
            f"{len(failed)} of {len(ran)} suites failed" if ran else "no suite ran",
            why=", ".join(failed),
            fix="see the lines above",
        )
    return list(results)


def one_line(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())


# --- reading results --------------------------------------------------------------------------------------------------


def check(done: runner.Completed, fix: str = "") -> Result:
    """Return the result of a program that passes or fails as a whole."""
    if done.status == 0:
        return Result("", passed=1)
    return Result("", failed=1, fix=fix, notes=[f"exit status {done.status}; what it found is printed above"])


def pytest(
    python: Sequence[object],
    tests: Path,
    run_it: Callable[[Sequence[object]], runner.Completed],
    *,
    path: Callable[[Path], str] = str,
    arguments: Sequence[object] = (),
) -> Result:
    """Run pytest on a folder and count from its JUnit report; without a report it failed, whatever its exit status.

    Up to `_AGAIN` tests that failed are run once more. The table says which of them passed then: a machine that is busy
    with something else shows weak tests, and they are to be mended, but say nothing against the code. Tests that count
    what is lost or doubled have one try.

    Args:
        python: the command line of the interpreter.
        run_it: runs a command line to its end.
        path: spells a path as that interpreter reads it.
        arguments: more of pytest's.
    """
    with tempfile.TemporaryDirectory(prefix="glean-report-") as folder:
        junit = Path(folder, "report.xml")
        command = [*python, "-m", "pytest", "-q", "-W", "error", "-o", f"cache_dir={path(Path(folder, 'cache'))}"]
        command += [f"--junitxml={path(junit)}", *arguments, path(tests)]
        done = run_it(command)
        first = count_junit(junit, done)
        failed = [note for note in first.notes if note.startswith(_FAILED)]
        # Any other status than 1: pytest ended before it had run everything, and what it did not run has not passed.
        if (
            done.status != 1
            or not 0 < len(failed) <= _AGAIN
            or any(re.search(project.ONE_TRY, note) for note in failed)
        ):
            return first
        report.say(f"running {len(failed)} tests once more")
        junit.unlink()
        second = count_junit(junit, run_it([*command, "--lf", "--lfnf=none"]))
    if second.failed or second.passed != first.failed:
        return first
    unstable = [f"unstable, passed at the second try: {note[len(_FAILED) :]}" for note in failed]
    others = [note for note in first.notes if note not in failed]
    return replace(first, passed=first.passed + second.passed, failed=0, unstable=len(failed), notes=unstable + others)


def count_junit(junit: Path, done: runner.Completed) -> Result:
    """Return the counts of a JUnit report, with the names of failed tests and the reasons of skipped ones."""
    result = Result("")
    try:
        root = ElementTree.parse(junit).getroot()
    except (OSError, ElementTree.ParseError):
        raise CommandFailedError(
            f"the suite ended with exit status {done.status} and left no report",
            why="it crashed or never started",
            status=done.status,
            tail=done.stdout.splitlines()[-20:],
        ) from None
    reasons: Counter[str] = Counter()
    for case in root.iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
            result.notes.append(f"{_FAILED}{case.get('classname')}::{case.get('name')}")
        elif skipped is not None:
            result.skipped += 1
            reasons[skipped.get("message") or "no reason given"] += 1
        else:
            result.passed += 1
    result.notes += [f"skipped {count}: {reason}" for reason, count in reasons.items()]
    return _judged(result, done, f"pytest ended with exit status {done.status} although no test failed")


def count_cargo(done: runner.Completed) -> Result:
    """Add up the result lines of cargo's test programs."""
    counts: Counter[str] = Counter()
    for line in re.findall(r"^test result: .*$", done.stdout, re.MULTILINE):
        for number, name in re.findall(r"(\d+) (passed|failed|ignored)", line):
            counts[name] += int(number)
    result = Result("", counts["passed"], counts["failed"], counts["ignored"])
    result.notes += [f"{_FAILED}{name}" for name in re.findall(r"^test (.+) \.\.\. FAILED", done.stdout, re.MULTILINE)]
    return _judged(result, done, f"cargo test ended with exit status {done.status}: {one_line(done.stdout[-400:])}")


def _judged(result: Result, done: runner.Completed, unexplained: str) -> Result:
    """Count a failure where the program failed and none of its tests did, and where it ran no test at all."""
    if done.status != 0 and result.failed == 0:
        result.failed = 1
        result.notes.append(unexplained)
    if result.passed + result.failed == 0:
        result.failed = 1
        result.notes.append("no test ran")
    return result
