"""The lanes of the test command: each runs one suite in one place and says truly what came of it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from glean_steps import (
    cargo,
    fetch,
    interpreters,
    pins,
    pipelines,
    prove,
    report,
    runner,
    wheel,
    windows_python,
    wine,
    workspace,
)
from glean_steps.errors import (
    CommandFailedError,
    DownloadError,
    Interrupted,
    MissingToolError,
    NotProvableError,
    OfflineError,
    StepError,
    TestsFailedError,
)
from glean_steps.interpreters import CPython
from glean_steps.targets import TARGETS, Target
from glean_steps.workspace import Stamp, Workspace

SUITE_TIMEOUT_S = 900.0
STEPS_TIMEOUT_S = 2400.0

# What keeps a lane from running without saying anything about the code under test.
_NOT_HERE = (MissingToolError, DownloadError, OfflineError, NotProvableError)


@dataclass
class LaneResult:
    """What came of one lane.

    Attributes:
        lane: its name.
        passed, failed, skipped: numbers of tests.
        seconds: how long it took.
        not_run: why it did not run; empty when it did.
        fix: what would make it run.
        notes: why tests were skipped, and what a failed program printed last.
    """

    lane: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    not_run: str = ""
    fix: str = ""
    notes: List[str] = field(default_factory=list)


def run_all(*, ws: Optional[Workspace] = None) -> List[LaneResult]:
    """Run every lane that this machine can, print the closing table, and raise when a lane failed.

    Raises:
        TestsFailedError: names the lanes that failed.
    """
    ws = ws or workspace.here()
    results: List[LaneResult] = []
    with workspace.checkout_lock(ws):
        # Everything that is slow to make is made first, while a lane that fails early would not hide behind it.
        results += windows_lanes(ws)
        results.append(_lane("Rust, native", lambda: _rust_native(ws)))
        results += python_lanes(ws)
    from glean_steps import differential  # It builds on this module.

    results.append(_lane("differential", lambda: differential.lane(ws)))
    # The steps' own tests start runs of their own, some of them in this checkout, so they get it unlocked.
    results.append(_lane("steps", lambda: _steps(ws)))
    return finish(results)


def run_windows(
    *, python: Optional[str] = None, targets: Sequence[Target] = TARGETS, ws: Optional[Workspace] = None
) -> List[LaneResult]:
    """Run the lanes under Wine alone, for the given Python or for the usual ones; print the table, raise on failure."""
    ws = ws or workspace.here()
    pins.find_python(python)  # A version that there is none of is told at once, not as a lane that failed.
    with workspace.checkout_lock(ws):
        results = windows_lanes(ws, python=python, targets=targets)
    return finish(results)


def finish(results: Sequence[LaneResult]) -> List[LaneResult]:
    """Print the closing table and raise when a lane failed."""
    table = report.Table("Test lanes", ("lane", ">passed", ">failed", ">skipped", ">seconds", "result"))
    for result in results:
        if result.not_run:
            table.rows.append([result.lane, "-", "-", "-", "-", "NOT RUN"])
            table.notes.append(f"not run: {result.lane}: {result.not_run}")
            if result.fix:
                table.notes.append(f"    to make it run: {result.fix}")
        else:
            counts = [str(count) for count in (result.passed, result.failed, result.skipped)]
            verdict = "FAILED" if result.failed else "passed"
            table.rows.append([result.lane, *counts, f"{result.seconds:.1f}", verdict])
        table.notes += [f"{result.lane}: {note}" for note in result.notes]
    table.print()
    ran = [result for result in results if not result.not_run]
    print(
        f"\n{sum(r.passed for r in ran)} passed, {sum(r.failed for r in ran)} failed, "
        f"{sum(r.skipped for r in ran)} skipped",
        flush=True,
    )
    failed = [result.lane for result in ran if result.failed]
    if failed or not ran:
        raise TestsFailedError(
            f"{len(failed)} of {len(ran)} lanes failed" if ran else "no lane ran",
            why=", ".join(failed),
            fix="see the lines above",
        )
    return list(results)


def _lane(name: str, run_it: Callable[[], LaneResult]) -> LaneResult:
    """Run one lane; what keeps it from running is told apart from what fails in it."""
    started = time.monotonic()
    report.say(f"\n== lane: {name}")
    try:
        result = run_it()
        result.lane = name
    except Interrupted:
        raise
    except _NOT_HERE as error:
        result = LaneResult(
            name, not_run=_one_line(f"{error.what}: {error.why}" if error.why else error.what), fix=error.fix
        )
    except StepError as error:
        report.say(str(error))
        result = LaneResult(name, failed=1, notes=[_one_line(str(error))])
    result.seconds = time.monotonic() - started
    return result


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- native lanes -----------------------------------------------------------------------------------------------------


def _steps(ws: Workspace) -> LaneResult:
    """The steps' own tests, in the tool environment."""
    return _pytest(
        [sys.executable],
        ws.root / "tests" / "steps",
        cwd=ws.root,
        arguments=["-c", str(ws.root / "pyproject.toml"), "--rootdir", str(ws.root)],
        run_it=lambda argv, cwd: runner.run(
            argv, timeout_s=runner.deadline(STEPS_TIMEOUT_S), cwd=cwd, check=False, env=runner.child_env()
        ),
    )


def _rust_native(ws: Workspace) -> LaneResult:
    done = cargo.test_crate(None, ws=ws, arguments=["--no-fail-fast"], check=False)
    return _count_cargo(done)


def python_lanes(ws: Workspace) -> List[LaneResult]:
    """Run the Python suite on every CPython of this machine against an installed wheel; missing versions are named."""
    found = interpreters.find_all()
    results: List[LaneResult] = []
    try:
        packed = wheel.native_wheel(ws)
        ready = _make_environments(list(found.values()), packed, ws)
    except StepError as error:
        kind = {"not_run": _one_line(error.what)} if isinstance(error, _NOT_HERE) else {"failed": 1}
        report.say(str(error))
        return [LaneResult(f"Python, native {minor}", notes=[_one_line(str(error))], **kind) for minor in found]
    for minor in [f"3.{number}" for number in range(interpreters.OLDEST[1], interpreters.NEWEST[1] + 1)]:
        if minor not in found:
            results.append(
                LaneResult(
                    f"Python, native {minor}",
                    not_run=f"no CPython {minor} on this machine",
                    fix=f"put python{minor} on PATH (pyenv, uv or the distribution's package)",
                )
            )
    for minor, python in found.items():
        outcome = ready[minor]
        if isinstance(outcome, StepError):
            report.say(str(outcome))
            results.append(
                LaneResult(
                    f"Python, native {python.version}", not_run=_one_line(outcome.what), fix=_one_line(outcome.fix)
                )
                if isinstance(outcome, _NOT_HERE)
                else LaneResult(f"Python, native {python.version}", failed=1, notes=[_one_line(str(outcome))])
            )
            continue
        results.append(_lane(f"Python, native {python.version}", lambda program=outcome: _native_suite(program, ws)))  # type: ignore[misc]
    return sorted(results, key=lambda result: [int(n) for n in re.findall(r"\d+", result.lane)[:2]])


def _native_suite(program: Path, ws: Workspace) -> LaneResult:
    with _suite_copy(ws) as (suite, empty):
        return _pytest(
            [program],
            suite,
            cwd=empty,
            run_it=lambda argv, cwd: runner.run(
                argv, timeout_s=runner.deadline(SUITE_TIMEOUT_S), cwd=cwd, check=False, env=_suite_env()
            ),
        )


def _make_environments(pythons: Sequence[CPython], packed: Path, ws: Workspace) -> Dict[str, Path | StepError]:
    """Return a Python with the wheel and the test dependencies installed for each CPython, or what went wrong."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        waiting = {python.minor: pool.submit(_environment, python, packed, ws) for python in pythons}
        try:
            return {minor: future.result() for minor, future in waiting.items()}
        except BaseException:
            runner.end_children()
            raise


def _environment(python: CPython, packed: Path, ws: Workspace) -> Path | StepError:
    home = ws.state / "venvs" / python.minor
    program = home / "bin" / "python"
    requirements = ws.root / "requirements" / "tests.txt"
    stamp = Stamp(ws.state / "stamps" / f"venv-{python.minor}.json")
    base = workspace.fingerprint(2, str(python.executable), python.version, requirements)
    try:
        if stamp.facts().get("base") != base or not program.exists():
            stamp.forget()
            shutil.rmtree(home, ignore_errors=True)
            made = runner.run(
                [python.executable, "-m", "venv", home],
                timeout_s=runner.deadline(120),
                check=False,
                quiet=True,
                env=_suite_env(),
            )
            if made.status != 0:
                raise MissingToolError(
                    f"CPython {python.version} cannot make an environment",
                    why=_one_line(made.stdout[-300:]),
                    fix=f"install its venv module (Debian and Ubuntu: apt-get install -y python{python.minor}-venv)",
                )
            if fetch.is_offline():
                raise OfflineError(
                    f"the test dependencies for CPython {python.version} are not installed",
                    why="GLEAN_OFFLINE forbids fetching them",
                    fix="run once without GLEAN_OFFLINE",
                )
            _pip(program, ["--require-hashes", "-r", requirements])
            stamp.write("base", files=[], facts={"base": base})
        installed = workspace.file_sha256(packed)
        if stamp.facts().get("wheel") != installed:
            _pip(program, ["--no-deps", "--no-index", "--force-reinstall", packed])
            stamp.write("base", files=[], facts={"base": base, "wheel": installed})
        return program
    except StepError as error:
        return error


def _pip(program: Path, arguments: Sequence[object]) -> None:
    runner.run(
        [program, "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments],
        timeout_s=runner.deadline(600),
        env=_suite_env(),
        quiet=True,
    )


def _suite_env() -> Dict[str, str]:
    """Return an environment in which the checkout cannot be imported by accident."""
    ours = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "VIRTUAL_ENV")
    return runner.child_env({name: None for name in ours})


# --- lanes under Wine -------------------------------------------------------------------------------------------------


def windows_lanes(
    ws: Workspace, *, python: Optional[str] = None, targets: Sequence[Target] = TARGETS
) -> List[LaneResult]:
    """Run the Rust tests under Wine, and the Python suite in Windows Pythons against the installed wheels."""
    results: List[LaneResult] = []
    wheels: Dict[Target, Path] = {}
    broken: Dict[Target, StepError] = {}
    for target in targets:
        # One target that cannot be built here must not keep the other from being tested.
        try:
            (built,) = pipelines.make_wheels([target], ws, python=python)
            wheels[target] = built.path
        except Interrupted:
            raise
        except StepError as error:
            broken[target] = error
    for target in targets:
        results.append(_lane(f"Rust, Wine {target.arch}", lambda target=target: _rust_wine(target, ws)))  # type: ignore[misc]
    for target, version in _windows_rows(targets, python):
        name = f"Python, Wine {version or pins.load().default_python} {target.arch}"
        if target in broken:
            reason = broken[target]
            results.append(_lane(name, lambda reason=reason: _raise(reason)))  # type: ignore[misc]
            continue
        seen: List[str] = []
        result = _lane(name, lambda: _python_wine(version, target, wheels[target], ws, seen))  # noqa: B023
        if seen:
            result.lane = f"Python, Wine {seen[0]}"
        results.append(result)
    return results


def _windows_rows(targets: Sequence[Target], python: Optional[str]) -> List[Tuple[Target, Optional[str]]]:
    """Return which Windows Pythons run the suite: the one asked for, else the default and those of `[[tested]]`."""
    if python:
        return [(target, python) for target in targets]
    rows: List[Tuple[Target, Optional[str]]] = [(target, None) for target in targets]
    for version, arch in pins.load().tested:
        rows += [(target, version) for target in targets if target.arch == arch]
    return rows


def _raise(error: StepError) -> LaneResult:
    raise error


def _rust_wine(target: Target, ws: Workspace) -> LaneResult:
    with wine.session(target, ws) as warm:
        done = cargo.test_crate(
            target,
            ws=ws,
            runner_argv=warm.provider.argv([warm.provider.loader], ws.crate),
            env=warm.env_changes(),
            arguments=["--no-fail-fast"],
            check=False,
        )
    return _count_cargo(done)


def _python_wine(version: Optional[str], target: Target, packed: Path, ws: Workspace, seen: List[str]) -> LaneResult:
    with wine.session(target, ws) as warm:
        python = windows_python.choose(version, target, ws)
        wanted = pins.find_python(version).version
        exact = f"{python.version} {python.arch}"
        seen.append(exact if python.version == wanted else f"{exact} (for {wanted})")
        prove.install(packed, python, warm, ws)
        with _suite_copy(ws) as (suite, empty):
            return _pytest(
                [python.executable],
                suite,
                cwd=empty,
                path=wine.windows_path,
                run_it=lambda argv, cwd: warm.run(
                    argv, timeout_s=runner.deadline(SUITE_TIMEOUT_S), cwd=cwd, check=False
                ),
            )


class _suite_copy:
    """The Python suite in a temporary folder with an empty one beside it, so that the checkout cannot be imported."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws

    def __enter__(self) -> Tuple[Path, Path]:
        self._folder = Path(tempfile.mkdtemp(prefix="glean-suite-"))
        tests = self._folder / "tests"
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(self._ws.root / "tests" / "bindings", tests / "bindings", ignore=ignore)
        shutil.copyfile(self._ws.root / "tests" / "vectors.json", tests / "vectors.json")
        empty = self._folder / "empty"
        empty.mkdir()
        return tests / "bindings", empty

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


# --- results ----------------------------------------------------------------------------------------------------------


def _pytest(
    python: Sequence[object],
    suite: Path,
    *,
    cwd: Path,
    run_it: Callable[[Sequence[object], Path], runner.Completed],
    path: Callable[[Path], str] = str,
    arguments: Sequence[str] = (),
) -> LaneResult:
    """Run pytest and count from its JUnit report; a run without one has failed, whatever its exit status says."""
    with tempfile.TemporaryDirectory(prefix="glean-report-") as folder:
        junit = Path(folder, "report.xml")
        done = run_it(
            [
                *python,
                *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"),
                *(f"--junitxml={path(junit)}", *arguments, path(suite)),
            ],
            cwd,
        )
        return _count_junit(junit, done)


def _count_junit(junit: Path, done: runner.Completed) -> LaneResult:
    result = LaneResult("")
    try:
        root = ElementTree.parse(junit).getroot()
    except (OSError, ElementTree.ParseError):
        raise CommandFailedError(
            f"the suite ended with exit status {done.status} and left no report",
            why="it crashed or never started",
            status=done.status,
            tail=done.stdout.splitlines()[-20:],
        ) from None
    reasons: Dict[str, int] = {}
    for case in root.iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
            result.notes.append(f"failed: {case.get('classname')}::{case.get('name')}")
        elif skipped is not None:
            result.skipped += 1
            reason = skipped.get("message") or "no reason given"
            reasons[reason] = reasons.get(reason, 0) + 1
        else:
            result.passed += 1
    result.notes += [f"skipped {count}: {reason}" for reason, count in reasons.items()]
    if done.status != 0 and result.failed == 0:
        result.failed = 1
        result.notes.append(f"pytest ended with exit status {done.status} although no test failed")
    if result.passed + result.failed == 0:
        result.failed = 1
        result.notes.append("no test ran")
    return result


def _count_cargo(done: runner.Completed) -> LaneResult:
    """Add up the result lines of cargo's test programs."""
    result = LaneResult("")
    for line in re.findall(r"^test result: .*$", done.stdout, re.MULTILINE):
        counts = {name: int(number) for number, name in re.findall(r"(\d+) (passed|failed|ignored)", line)}
        result.passed += counts.get("passed", 0)
        result.failed += counts.get("failed", 0)
        result.skipped += counts.get("ignored", 0)
    result.notes += [f"failed: {name}" for name in re.findall(r"^test (.+) \.\.\. FAILED", done.stdout, re.MULTILINE)]
    if done.status != 0 and result.failed == 0:
        result.failed = 1
        result.notes.append(f"cargo test ended with exit status {done.status}: " + _one_line(done.stdout[-400:]))
    if result.passed + result.failed == 0:
        result.failed = 1
        result.notes.append("no test ran")
    return result
