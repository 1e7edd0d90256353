"""Compares glean_py with glean-sdk: the same random programs under both, answers and pings field by field."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence

from glean_steps import fetch, report, runner, suites, wheel, workspace
from glean_steps.errors import OfflineError, SettingError
from glean_steps.workspace import Stamp, Workspace

FIXED_COUNT = 200
FIXED_SEED = 1
NIGHTLY_COUNT = 3000
# One that is whole hours east, one with a half hour west: an offset is easily lost on the way.
NIGHTLY_ZONES = ("UTC", "Asia/Kolkata", "America/St_Johns")
PROGRAMS_PER_SECOND = 5.0
PIP_S = 900.0
SUITE_S = 300.0


@dataclass(frozen=True)
class Pythons:
    """The two environments.

    Attributes:
        peer: the Python that has glean-sdk, hypothesis and pytest.
        ours: the Python that has our wheel as well.
    """

    peer: Path
    ours: Path


@dataclass(frozen=True)
class Options:
    """What stands after `--`.

    Attributes:
        count: how many programs in each time zone.
        first_seed: which ones.
        zones: where both packages believe to be.
    """

    count: int
    first_seed: int
    zones: Sequence[str]


def lane(ws: Optional[Workspace] = None) -> suites.LaneResult:
    """Run the fixed programs, and the tests that need the parser, as one lane of the test command."""
    whole = suites.LaneResult("differential")
    for result in _run(Options(FIXED_COUNT, FIXED_SEED, ("UTC",)), ws or workspace.here()):
        whole.passed += result.passed
        whole.failed += result.failed
        whole.skipped += result.skipped
        whole.notes += result.notes
        whole.not_run = whole.not_run or result.not_run
        whole.fix = whole.fix or result.fix
    return whole


def run_fixed(arguments: Sequence[str] = (), *, ws: Optional[Workspace] = None) -> List[suites.LaneResult]:
    """Run the same programs every time; `--count N`, `--seed N` and `--zone NAME` choose others.

    Raises:
        TestsFailedError: some program has another outcome than with the peer.
    """
    return suites.finish(_run(parse(arguments, Options(FIXED_COUNT, FIXED_SEED, ("UTC",))), ws or workspace.here()))


def run_nightly(arguments: Sequence[str] = (), *, ws: Optional[Workspace] = None) -> List[suites.LaneResult]:
    """Run thousands of programs that no day before has seen, in several time zones.

    Raises:
        TestsFailedError: some program has another outcome than with the peer.
    """
    today = int(time.time() // 86_400)
    return suites.finish(_run(parse(arguments, Options(NIGHTLY_COUNT, today, NIGHTLY_ZONES)), ws or workspace.here()))


def parse(arguments: Sequence[str], defaults: Options) -> Options:
    """Return the options of a command line.

    Raises:
        SettingError: an option that there is not, or one that is no number.
    """
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    values = dict(zip(words[::2], words[1::2]))
    numbers = {"--count": defaults.count, "--seed": defaults.first_seed}
    wrong = [word for word in words[::2] if word not in (*numbers, "--zone")]
    wrong += [word for word in numbers if not values.get(word, "0").isdigit()]
    if wrong or len(words) % 2:
        raise SettingError(
            f"the comparison does not know {(wrong or words[-1:])[0]!r}, or it lacks its value",
            why="it takes --count N, --seed N and --zone NAME",
            fix="python3 bootstrap.py nox -s differential -- --count 500 --seed 7",
        )
    numbers.update({name: int(values[name]) for name in numbers if name in values})
    zones = (values["--zone"],) if "--zone" in values else defaults.zones
    return Options(numbers["--count"], numbers["--seed"], zones)


def _run(options: Options, ws: Workspace) -> List[suites.LaneResult]:
    with workspace.checkout_lock(ws):
        pythons = environments(ws)
    results = [suites._lane("Python, with the parser of YAML", lambda: _parsing(pythons, ws))]
    for place, zone in enumerate(options.zones):
        name = "differential" if len(options.zones) == 1 else f"differential, {zone}"
        chosen = Options(options.count, options.first_seed + place * 100_000, (zone,))
        results.append(suites._lane(name, lambda chosen=chosen: _suite(pythons, chosen, ws)))  # type: ignore[misc]
    return results


def _suite(pythons: Pythons, options: Options, ws: Workspace) -> suites.LaneResult:
    report.say(f"{options.count} programs from seed {options.first_seed}, time zone {options.zones[0]}")
    deadline = runner.deadline(300.0 + options.count / PROGRAMS_PER_SECOND)
    folder = ws.root / "tests" / "differential"
    return suites._pytest(
        [pythons.peer],
        folder,
        cwd=folder,
        arguments=[
            *("--rootdir", str(folder), "--peer", str(pythons.peer), "--ours", str(pythons.ours)),
            *("--count", str(options.count), "--first-seed", str(options.first_seed)),
            *("--time-zone", options.zones[0]),
        ],
        run_it=lambda argv, cwd: runner.run(argv, timeout_s=deadline, cwd=cwd, check=False, env=runner.child_env()),
    )


def _parsing(pythons: Pythons, ws: Workspace) -> suites.LaneResult:
    """Run those tests of the package that are left out elsewhere, for want of the parser."""
    with suites._suite_copy(ws) as (suite, empty):
        return suites._pytest(
            [pythons.ours],
            suite,
            cwd=empty,
            arguments=["-k", "test_loader or test_compile"],
            run_it=lambda argv, cwd: runner.run(
                argv, timeout_s=runner.deadline(SUITE_S), cwd=cwd, check=False, env=runner.child_env()
            ),
        )


def environments(ws: Workspace) -> Pythons:
    """Return the Pythons of both packages, making their environments when they are not there or not up to date."""
    requirements = ws.root / "requirements" / "differential.txt"
    peer = _environment("differential", requirements, ws)
    ours = _environment("differential-ours", requirements, ws)
    packed = wheel.native_wheel(ws)
    stamp = Stamp(ws.state / "stamps" / "differential-wheel.json")
    key = workspace.fingerprint(1, workspace.file_sha256(packed), str(ours))
    if not stamp.is_current(key):
        _pip(ours, ["--no-deps", "--no-index", "--force-reinstall", packed])
        stamp.write(key, files=[ours])
    return Pythons(peer, ours)


def _environment(name: str, requirements: Path, ws: Workspace) -> Path:
    home = ws.state / "venvs" / name
    program = home / "bin" / "python"
    stamp = Stamp(ws.state / "stamps" / f"venv-{name}.json")
    key = workspace.fingerprint(1, sys.version, requirements)
    if stamp.is_current(key):
        return program
    with report.step(f"make the environment {name}"):
        if fetch.is_offline():
            raise OfflineError(
                f"the environment {name} is not there or not up to date",
                why="GLEAN_OFFLINE forbids fetching what it needs",
                fix="run once without GLEAN_OFFLINE",
            )
        stamp.forget()
        # The wheel that was in it goes with it.
        Stamp(ws.state / "stamps" / "differential-wheel.json").forget()
        shutil.rmtree(home, ignore_errors=True)
        runner.run([sys.executable, "-m", "venv", home], timeout_s=runner.deadline(120), quiet=True)
        _pip(program, ["--require-hashes", "-r", requirements])
        stamp.write(key, files=[program])
    return program


def _pip(program: Path, arguments: Sequence[object]) -> None:
    argv = [program, "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments]
    runner.run(argv, timeout_s=runner.deadline(PIP_S), quiet=True)
