"""glean_steps.suites: what counts as passed, failed and not run, and what the whole command makes of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Sequence

import pytest

from glean_steps import errors, interpreters, pins, runner, suites
from glean_steps.errors import (
    CommandFailedError,
    DownloadError,
    Interrupted,
    MissingToolError,
    NotProvableError,
    OfflineError,
    ProofError,
    StepError,
)
from glean_steps.runner import Completed
from glean_steps.suites import LaneResult
from glean_steps.targets import TARGETS
from glean_steps.workspace import Workspace

AMD64, WIN32 = TARGETS


def run_pytest(suite: Path, **options: Any) -> LaneResult:
    """Run the real pytest on a suite of the test's own, as a lane does."""
    return suites._pytest(
        [sys.executable],
        suite,
        cwd=suite,
        run_it=lambda argv, cwd: runner.run(argv, timeout_s=120, cwd=cwd, check=False, quiet=True),
        **options,
    )


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


# --- counting pytest --------------------------------------------------------------------------------------------------


def test_a_real_suite_is_counted_with_its_failures_and_the_reasons_of_its_skips(suite: Path) -> None:
    (suite / "test_it.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_better(): pass\n"
        "def test_bad(): assert 1 == 2\n"
        "@pytest.fixture\n"
        "def broken(): raise ValueError\n"
        "def test_error(broken): pass\n"
        "@pytest.mark.skip(reason='no fork here')\n"
        "def test_one(): pass\n"
        "@pytest.mark.skip(reason='no fork here')\n"
        "def test_two(): pass\n"
        "def test_three(): pytest.skip('not today')\n"
    )
    result = run_pytest(suite)
    assert (result.passed, result.failed, result.skipped) == (2, 2, 3)
    assert result.notes == [
        "failed: test_it::test_bad",
        "failed: test_it::test_error",
        "skipped 2: no fork here",
        "skipped 1: not today",
    ]


def test_a_real_suite_that_passes_has_no_notes(suite: Path) -> None:
    (suite / "test_it.py").write_text("def test_good(): pass\n")
    result = run_pytest(suite)
    assert (result.passed, result.failed, result.notes) == (1, 0, [])


@pytest.mark.parametrize(
    "code",
    ["import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "import os\nos._exit(0)\n"],
    ids=["killed", "ended with status 0"],
)
def test_a_suite_that_crashes_without_a_report_has_failed_whatever_its_exit_status(suite: Path, code: str) -> None:
    (suite / "test_it.py").write_text(
        f"def test_good(): pass\ndef test_crash():\n    {code.strip().replace(chr(10), '; ')}\n"
    )
    with pytest.raises(CommandFailedError, match="left no report"):
        run_pytest(suite)


def test_a_suite_that_cannot_be_collected_has_failed(suite: Path) -> None:
    (suite / "test_it.py").write_text("import no_such_module\n")
    assert run_pytest(suite).failed == 1


def test_an_empty_suite_has_failed(suite: Path) -> None:
    result = run_pytest(suite)
    assert result.failed == 1 and "no test ran" in " ".join(result.notes) or "exit status 5" in " ".join(result.notes)


def test_a_warning_fails_a_test(suite: Path) -> None:
    (suite / "test_it.py").write_text("import warnings\ndef test_warns(): warnings.warn('old')\n")
    assert run_pytest(suite).failed == 1


def test_a_report_that_was_cut_is_none(tmp_path: Path) -> None:
    junit = tmp_path / "report.xml"
    junit.write_text("<testsuites><testsuite><testcase name='a'/>")
    with pytest.raises(CommandFailedError, match="left no report") as caught:
        suites._count_junit(junit, Completed(["pytest"], 3, "Fatal Python error: Aborted\n", 1.0))
    assert caught.value.status == 3 and caught.value.tail == ["Fatal Python error: Aborted"]


def test_an_exit_status_without_a_failed_test_is_a_failure(tmp_path: Path) -> None:
    junit = tmp_path / "report.xml"
    junit.write_text("<testsuites><testsuite><testcase classname='c' name='a'/></testsuite></testsuites>")
    result = suites._count_junit(junit, Completed(["pytest"], 1, "", 1.0))
    assert (result.passed, result.failed) == (1, 1) and "exit status 1" in result.notes[0]


# --- counting cargo ---------------------------------------------------------------------------------------------------

CARGO = """\
running 3 tests
test counter::adds ... ok
test counter::saturates - should panic ... FAILED
test tests::slow ... ignored

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests glean_core
test src/lib.rs - Glean (line 12) ... FAILED

test result: FAILED. 40 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
"""


def test_cargos_programs_are_added_up_and_failed_tests_are_named_whole() -> None:
    result = suites._count_cargo(Completed(["cargo"], 101, CARGO, 1.0))
    assert (result.passed, result.failed, result.skipped) == (41, 2, 1)
    assert result.notes == ["failed: counter::saturates - should panic", "failed: src/lib.rs - Glean (line 12)"]


def test_a_cargo_that_does_not_compile_has_failed_with_its_last_words() -> None:
    result = suites._count_cargo(Completed(["cargo"], 101, "error: could not compile `glean_core`\n", 1.0))
    assert result.failed == 1 and "could not compile `glean_core`" in result.notes[0]


def test_a_test_program_that_crashes_after_others_passed_has_failed() -> None:
    passed = "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured\n"
    crashed = passed + "error: test failed\n  process didn't exit successfully (exit code: 0xc0000005)\n"
    result = suites._count_cargo(Completed(["cargo"], 1, crashed, 1.0))
    assert (result.passed, result.failed) == (5, 1) and "0xc0000005" in result.notes[0]


def test_a_cargo_that_ran_nothing_has_failed() -> None:
    result = suites._count_cargo(Completed(["cargo"], 0, "test result: ok. 0 passed; 0 failed; 0 ignored\n", 1.0))
    assert result.failed == 1 and result.notes == ["no test ran"]


# --- lanes ------------------------------------------------------------------------------------------------------------


def lane(error: BaseException) -> LaneResult:
    def fail() -> LaneResult:
        raise error

    return suites._lane("a lane", fail)


@pytest.mark.parametrize("kind", [MissingToolError, DownloadError, OfflineError, NotProvableError])
def test_a_lane_that_cannot_run_here_is_not_run_and_says_why_and_what_would_help(kind: type[StepError]) -> None:
    result = lane(kind("no Wine here", why="there is\nnone", fix="install it"))
    assert result.not_run == "no Wine here: there is none" and result.fix == "install it"
    assert (result.passed, result.failed) == (0, 0)


@pytest.mark.parametrize(
    "error", [ProofError("not proven", why="x"), CommandFailedError("failed", why="y", tail=["z"])]
)
def test_a_lane_that_ends_in_an_error_has_failed(error: StepError) -> None:
    result = lane(error)
    assert result.failed == 1 and result.not_run == "" and error.what in result.notes[0]


@pytest.mark.parametrize("error", [Interrupted("ended"), KeyboardInterrupt()])
def test_an_interruption_is_no_result(error: BaseException) -> None:
    with pytest.raises(type(error)):
        lane(error)


def test_a_lane_that_was_not_run_is_not_counted_as_passed(capsys: pytest.CaptureFixture[str]) -> None:
    results = [
        LaneResult("good", passed=3, seconds=1.0),
        LaneResult("absent", not_run="no CPython 3.8", fix="put python3.8 on PATH"),
    ]
    assert suites.finish(results) == results
    out = capsys.readouterr().out
    (row,) = [line for line in out.splitlines() if line.startswith("absent")]
    assert row.split() == ["absent", "-", "-", "-", "-", "NOT", "RUN"]
    assert "not run: absent: no CPython 3.8" in out and "put python3.8 on PATH" in out
    assert "3 passed, 0 failed, 0 skipped" in out


def test_a_failed_lane_fails_the_command_and_is_named_in_table_and_error(capsys: pytest.CaptureFixture[str]) -> None:
    results = [
        LaneResult("good", passed=3),
        LaneResult("bad", passed=2, failed=1, notes=["failed: test_x"]),
        LaneResult("absent", not_run="no Wine"),
    ]
    with pytest.raises(errors.TestsFailedError, match="1 of 2 lanes failed") as caught:
        suites.finish(results)
    assert caught.value.exit_code == 26 and caught.value.why == "bad"
    out = capsys.readouterr().out
    (row,) = [line for line in out.splitlines() if line.startswith("bad") and "FAILED" in line]
    assert row.split()[:4] == ["bad", "2", "1", "0"]
    assert "bad: failed: test_x" in out and "5 passed, 1 failed, 0 skipped" in out


def test_when_no_lane_ran_the_command_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(errors.TestsFailedError, match="no lane ran"):
        suites.finish([LaneResult("a", not_run="no Wine"), LaneResult("b", not_run="no CPython")])
    with pytest.raises(errors.TestsFailedError, match="no lane ran"):
        suites.finish([])
    assert "0 passed, 0 failed" in capsys.readouterr().out


def test_the_usual_windows_lanes_are_the_default_python_of_each_target_and_the_tested_ones() -> None:
    rows = suites._windows_rows(TARGETS, None)
    assert rows[:2] == [(AMD64, None), (WIN32, None)]
    assert [(target.arch, version) for target, version in rows[2:]] == [
        (arch, version) for version, arch in pins.load().tested
    ]
    assert suites._windows_rows([WIN32], None) == [(WIN32, None)]
    assert suites._windows_rows(TARGETS, "3.11") == [(AMD64, "3.11"), (WIN32, "3.11")]


def test_one_target_that_cannot_be_built_does_not_hide_the_other(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With stand-ins for building and for the suites themselves."""

    def make(targets: Sequence[Any], ws: Workspace, *, python: Any) -> list[Any]:
        if targets[0] is WIN32:
            raise MissingToolError("missing: mingw-win32", why="not allowed", fix="apt-get install it")
        return [type("Built", (), {"path": Path("wheel")})()]

    monkeypatch.setattr(suites.pipelines, "make_wheels", make)
    monkeypatch.setattr(suites, "_rust_wine", lambda target, ws: LaneResult("", passed=1))
    monkeypatch.setattr(suites, "_python_wine", lambda version, target, packed, ws, seen: LaneResult("", passed=1))
    results = suites.windows_lanes(ws, python="3.7")
    told = {result.lane: result.not_run or result.passed for result in results}
    assert told == {
        "Rust, Wine amd64": 1,
        "Rust, Wine win32": 1,
        "Python, Wine 3.7 amd64": 1,
        "Python, Wine 3.7 win32": "missing: mingw-win32: not allowed",
    }


# --- native lanes -----------------------------------------------------------------------------------------------------


def test_a_python_that_is_not_here_is_named_and_not_counted_with_stand_ins_for_the_others(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = interpreters.CPython("3.11.7", False, Path("/usr/bin/python3.11"), Path("/lib"))
    monkeypatch.setattr(suites.interpreters, "find_all", lambda: {"3.11": here})
    monkeypatch.setattr(suites.wheel, "native_wheel", lambda ws: Path("wheel"))
    monkeypatch.setattr(suites, "_make_environments", lambda pythons, packed, ws: {"3.11": Path("python")})
    monkeypatch.setattr(suites, "_native_suite", lambda program, ws: LaneResult("", passed=7))
    results = suites.python_lanes(ws)
    assert [result.lane.rsplit(" ", 1)[1] for result in results] == [
        *("3.7", "3.8", "3.9", "3.10", "3.11.7", "3.12", "3.13", "3.14")
    ]
    missing = [result for result in results if result.not_run]
    assert len(missing) == 7 and all("on PATH" in result.fix for result in missing)


def test_a_python_without_venv_is_not_run_and_the_package_is_named(ws: Workspace, tmp_path: Path) -> None:
    program = tmp_path / "python3.9"
    program.write_text("#!/bin/sh\necho 'No module named venv'; exit 1\n")
    program.chmod(0o755)
    (ws.root / "requirements").mkdir()
    (ws.root / "requirements" / "tests.txt").write_text("")
    outcome = suites._environment(interpreters.CPython("3.9.1", False, program, tmp_path), tmp_path / "wheel", ws)
    assert isinstance(outcome, MissingToolError)
    assert "No module named venv" in outcome.why and "python3.9-venv" in outcome.fix


def test_a_suite_runs_from_a_copy_beside_an_empty_folder(ws: Workspace) -> None:
    """Else `import glean_py` could find the checkout."""
    (ws.root / "tests" / "bindings" / "__pycache__").mkdir(parents=True)
    (ws.root / "tests" / "bindings" / "test_x.py").write_text("")
    (ws.root / "tests" / "vectors.json").write_text("[]")
    with suites._suite_copy(ws) as (suite, empty):
        assert ws.root not in suite.parents and list(empty.iterdir()) == []
        assert [path.name for path in suite.iterdir()] == ["test_x.py"]
        assert (suite.parent / "vectors.json").read_text() == "[]"
    assert not suite.exists()


def test_no_setting_of_python_reaches_a_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/somewhere")
    assert not {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"} & set(suites._suite_env())
