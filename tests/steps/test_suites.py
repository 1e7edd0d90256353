"""glean_steps.suites: what counts as passed, failed and not run, and what the whole command makes of it."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Sequence

import pytest

from glean_steps import catalog, environments, errors, interpreters, pins, runner, suites
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
from glean_steps.prerequisites import Probe
from glean_steps.runner import Completed
from glean_steps.suites import Result, Suite
from glean_steps.targets import WINDOWS
from glean_steps.toolchain import Rust
from glean_steps.workspace import Workspace

WS = Workspace(Path("/checkout"), Path("/cache"))


def run_pytest(suite: Path, **options: Any) -> Result:
    """Run the real pytest on a suite of the test's own, as a suite does."""
    return suites.pytest(
        [sys.executable],
        suite,
        lambda argv: runner.run(argv, timeout_s=600, cwd=suite, check=False, quiet=True),
        **options,
    )


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


# --- counting pytest --------------------------------------------------------------------------------------------------


@pytest.mark.slow
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


WEAK = """
from pathlib import Path
def test_weak():
    tries = Path(__file__).with_name("tries")
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    assert tries.read_text() == "xx"
def test_good(): pass
"""


@pytest.mark.slow
def test_test_that_passes_at_the_second_try_is_reported_as_unstable(suite: Path) -> None:
    (suite / "test_it.py").write_text(WEAK)
    result = run_pytest(suite)
    assert (result.passed, result.failed, result.unstable) == (2, 0, 1)
    assert result.notes == ["unstable, passed at the second try: test_it::test_weak"]
    assert (suite / "tries").read_text() == "xx"


def test_a_suite_that_ended_early_has_no_second_try(suite: Path) -> None:
    """What never ran at the first try would not run at the second one either, and the suite would pass without it."""
    (suite / "test_it.py").write_text(WEAK)
    (suite / "test_more.py").write_text("import pytest\ndef test_end(): pytest.exit('the end', 3)\n")
    result = run_pytest(suite)
    assert (result.failed, result.unstable) == (1, 0) and (suite / "tries").read_text() == "x"


def test_what_counts_losses_has_one_try(suite: Path) -> None:
    (suite / "test_kill.py").write_text(WEAK)
    result = run_pytest(suite)
    assert (result.passed, result.failed, result.notes) == (1, 1, ["failed: test_kill::test_weak"])


def test_many_failures_are_no_weakness(suite: Path) -> None:
    (suite / "test_it.py").write_text(WEAK + "".join(f"def test_bad{number}(): assert False\n" for number in range(3)))
    result = run_pytest(suite)
    assert (result.passed, result.failed, result.unstable) == (1, 4, 0)
    assert (suite / "tries").read_text() == "x"


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


@pytest.mark.slow
def test_a_warning_fails_a_test(suite: Path) -> None:
    (suite / "test_it.py").write_text("import warnings\ndef test_warns(): warnings.warn('old')\n")
    assert run_pytest(suite).failed == 1


def test_a_report_that_was_cut_is_none(tmp_path: Path) -> None:
    junit = tmp_path / "report.xml"
    junit.write_text("<testsuites><testsuite><testcase name='a'/>")
    with pytest.raises(CommandFailedError, match="left no report") as caught:
        suites.count_junit(junit, Completed(["pytest"], 3, "Fatal Python error: Aborted\n"))
    assert caught.value.status == 3 and caught.value.tail == ["Fatal Python error: Aborted"]


def test_an_exit_status_without_a_failed_test_is_a_failure(tmp_path: Path) -> None:
    junit = tmp_path / "report.xml"
    junit.write_text("<testsuites><testsuite><testcase classname='c' name='a'/></testsuite></testsuites>")
    result = suites.count_junit(junit, Completed(["pytest"], 1, ""))
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
    result = suites.count_cargo(Completed(["cargo"], 101, CARGO))
    assert (result.passed, result.failed, result.skipped) == (41, 2, 1)
    assert result.notes == ["failed: counter::saturates - should panic", "failed: src/lib.rs - Glean (line 12)"]


def test_a_cargo_that_does_not_compile_has_failed_with_its_last_words() -> None:
    result = suites.count_cargo(Completed(["cargo"], 101, "error: could not compile `glean_core`\n"))
    assert result.failed == 1 and "could not compile `glean_core`" in result.notes[0]


def test_a_test_program_that_crashes_after_others_passed_has_failed() -> None:
    passed = "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured\n"
    crashed = passed + "error: test failed\n  process didn't exit successfully (exit code: 0xc0000005)\n"
    result = suites.count_cargo(Completed(["cargo"], 1, crashed))
    assert (result.passed, result.failed) == (5, 1) and "0xc0000005" in result.notes[0]


def test_a_cargo_that_ran_nothing_has_failed() -> None:
    result = suites.count_cargo(Completed(["cargo"], 0, "test result: ok. 0 passed; 0 failed; 0 ignored\n"))
    assert result.failed == 1 and result.notes == ["no test ran"]


# --- suites -----------------------------------------------------------------------------------------------------------


def outcome(error: BaseException) -> Result:
    def fail() -> Result:
        raise error

    return suites.run_one(Suite("a suite", lambda ws: fail()), WS)


@pytest.mark.parametrize("kind", [MissingToolError, DownloadError, OfflineError, NotProvableError])
def test_a_suite_that_cannot_run_here_is_not_run_and_says_why_and_what_would_help(kind: type[StepError]) -> None:
    result = outcome(kind("no Wine here", why="there is\nnone", fix="install it"))
    assert result.not_run == "no Wine here: there is none" and result.fix == "install it"
    assert (result.passed, result.failed) == (0, 0)


@pytest.mark.parametrize(
    "error", [ProofError("not proven", why="x"), CommandFailedError("failed", why="y", tail=["z"])]
)
def test_a_suite_that_ends_in_an_error_has_failed(error: StepError) -> None:
    result = outcome(error)
    assert result.failed == 1 and result.not_run == "" and error.what in result.notes[0]


@pytest.mark.parametrize("error", [Interrupted("ended"), KeyboardInterrupt()])
def test_an_interruption_is_no_result(error: BaseException) -> None:
    with pytest.raises(type(error)):
        outcome(error)


def test_a_suite_that_was_not_run_is_not_counted_as_passed(capsys: pytest.CaptureFixture[str]) -> None:
    results = [
        Result("good", passed=3, seconds=1.0),
        Result("absent", not_run="no CPython 3.8", fix="put python3.8 on PATH"),
    ]
    assert suites.finish(results) == results
    out = capsys.readouterr().out
    (row,) = [line for line in out.splitlines() if line.startswith("absent")]
    assert row.split() == ["absent", "-", "-", "-", "-", "NOT", "RUN"]
    assert "not run: absent: no CPython 3.8" in out and "put python3.8 on PATH" in out
    assert "3 passed, 0 failed, 0 skipped" in out


def test_a_failed_suite_fails_the_command_and_is_named_in_table_and_error(capsys: pytest.CaptureFixture[str]) -> None:
    results = [
        Result("good", passed=3),
        Result("bad", passed=2, failed=1, notes=["failed: test_x"]),
        Result("absent", not_run="no Wine"),
    ]
    with pytest.raises(errors.TestsFailedError, match="1 of 2 suites failed") as caught:
        suites.finish(results)
    assert caught.value.exit_code == 26 and caught.value.why == "bad"
    out = capsys.readouterr().out
    (row,) = [line for line in out.splitlines() if line.startswith("bad") and "FAILED" in line]
    assert row.split()[:4] == ["bad", "2", "1", "0"]
    assert "bad: failed: test_x" in out and "5 passed, 1 failed, 0 skipped" in out


def test_when_no_suite_ran_the_command_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(errors.TestsFailedError, match="no suite ran"):
        suites.finish([Result("a", not_run="no Wine"), Result("b", not_run="no CPython")])
    with pytest.raises(errors.TestsFailedError, match="no suite ran"):
        suites.finish([])
    assert "0 passed, 0 failed" in capsys.readouterr().out


# --- several at once --------------------------------------------------------------------------------------------------


class Meeting:
    """A prerequisite that counts how often it is made."""

    name = "meeting"

    def __init__(self) -> None:
        self.made = 0

    def probe(self, ws: Workspace) -> Probe:
        return Probe("here")

    def ensure(self, ws: Workspace) -> str:
        self.made += 1
        return "made"


def test_suites_that_share_nothing_run_at_the_same_time_and_keep_their_order(ws: Workspace) -> None:
    """Each of the two waits for the other, so they could not end one after the other."""
    barrier = threading.Barrier(2)
    need = Meeting()

    def run(ws: Workspace, made: str) -> Result:
        barrier.wait(timeout=1800)
        return Result("", passed=1, notes=[made])

    results = suites.collect([Suite("a", run, (need,)), Suite("b", run, (need,))], ws, at_once=2)
    assert [(result.suite, result.notes) for result in results] == [("a", ["made"]), ("b", ["made"])]
    assert need.made == 1, "what two need is made once"


def test_suites_that_use_the_same_thing_never_run_at_the_same_time(ws: Workspace) -> None:
    inside: list[int] = []
    most: list[int] = []

    def run(ws: Workspace) -> Result:
        inside.append(1)
        most.append(len(inside))
        for _ in range(1000):
            most.append(len(inside))
        inside.pop()
        return Result("", passed=1)

    entries = [Suite(str(number), run, uses=frozenset({"prefix"})) for number in range(6)]
    assert len(suites.collect(entries, ws, at_once=3)) == 6 and max(most) == 1


def test_output_of_one_of_several_is_printed_in_one_piece_and_only_if_it_failed(
    ws: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(text: str, failed: int) -> Callable[[Workspace], Result]:
        def inner(ws: Workspace) -> Result:
            argv = [sys.executable, "-c", f"print('{text}')"]
            runner.side_by_side([lambda: ws.run(argv, timeout_s=1800, echo=False)])
            return Result("", passed=1, failed=failed)

        return inner

    suites.collect([Suite("good", run("fine", 0)), Suite("bad", run("broken", 1))], ws, at_once=2)
    err = capfd.readouterr().err
    assert "broken" in err.partition("== output of bad")[2] and "fine" not in err
    assert "== good: 1 passed, 0 failed, 0 skipped" in err


def test_a_prerequisite_that_cannot_be_had_keeps_only_its_suites_from_running(ws: Workspace) -> None:
    class Absent(Meeting):
        def ensure(self, ws: Workspace) -> str:
            raise MissingToolError("no Wine here", why="none", fix="install it")

    needs = (Absent(),)
    entries = [Suite("a", lambda ws, _: Result("", passed=1), needs), Suite("b", lambda ws: Result("", passed=1))]
    first, second = suites.collect(entries, ws, at_once=2)
    assert first.not_run == "no Wine here: none" and first.fix == "install it" and second.passed == 1


def test_a_suite_that_cannot_be_had_ends_no_program_of_another(ws: Workspace, tmp_path: Path) -> None:
    """Nor does it leave its own running."""
    there, gone = tmp_path / "there", tmp_path / "gone"
    other = f"import pathlib, time\npathlib.Path({str(there)!r}).touch()\n"
    other += f"while not pathlib.Path({str(gone)!r}).exists(): time.sleep(0.02)\n"

    def unprovable() -> None:
        while not there.exists():
            time.sleep(0.02)
        raise NotProvableError("no Wine here", why="none")

    def lacking(ws: Workspace) -> Result:
        hanging = [sys.executable, "-c", "import time; time.sleep(600)"]
        try:
            runner.side_by_side([unprovable, lambda: ws.run(hanging, timeout_s=1800)], 2)
        finally:
            gone.touch()
        return Result("", passed=1)

    def running(ws: Workspace) -> Result:
        return suites.check(ws.run([sys.executable, "-c", other], timeout_s=1800, check=False))

    first, second = suites.collect([Suite("a", lacking), Suite("b", running)], ws, at_once=2)
    assert first.not_run == "no Wine here: none" and (second.passed, second.failed) == (1, 0)


def test_an_interruption_ends_the_run_and_starts_no_other_suite(ws: Workspace) -> None:
    started: list[str] = []

    def stop(ws: Workspace) -> Result:
        started.append("first")
        raise Interrupted("ended")

    entries = [Suite(str(number), stop, uses=frozenset({"one"})) for number in range(3)]
    with pytest.raises(Interrupted):
        suites.collect(entries, ws, at_once=2)
    assert started == ["first"]


# --- the catalog ------------------------------------------------------------------------------------------------------


def test_the_usual_windows_suites_are_the_default_python_of_each_target_and_the_tested_ones() -> None:
    default = pins.load().default_python
    usual = [f"Python, Wine {default} {target.arch}" for target in WINDOWS]
    tested = [f"Python, Wine {version} {arch}" for version, arch in pins.load().tested]
    assert [suite.name for suite in catalog.windows() if suite.name.startswith("Python")] == usual + tested
    asked = [suite.name for suite in catalog.windows(WINDOWS[1:], "3.11")]
    assert asked == ["Rust, Wine win32", "Python, Wine 3.11 win32"]


def test_one_run_proves_each_wheel_once_whatever_pythons_it_is_tested_in() -> None:
    for python in (None, "3.11"):
        wheels = {need for suite in catalog.windows(WINDOWS, python) for need in suite.needs if "wheel" in need.name}
        assert wheels == {catalog.ProvenWheel(target, python) for target in WINDOWS}


def test_an_environment_that_lost_its_wheel_half_way_gets_it_again(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it's the wheel that it had before."""
    packed, installed = tmp_path / "a.whl", []

    def start(argv: Sequence[object], **options: Any) -> Completed:
        if packed in argv:
            installed.append(packed.read_text())
            if installed[-1] == "new":
                raise KeyboardInterrupt
        program = ws.state / "venvs" / "it" / "bin" / "python"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch()
        return Completed([], 0, "")

    monkeypatch.setattr(environments.NativeWheel, "ensure", lambda self, ws: packed)
    environment = environments.Environment("it", "tests.txt")
    for text in ("old", "old", "new", "old"):
        packed.write_text(text)
        try:
            environment.ensure(replace(ws, start=start))
        except KeyboardInterrupt:
            pass
    assert installed == ["old", "new", "old"]


def test_every_missing_python_is_a_suite_that_is_not_run(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    here = interpreters.CPython("3.11.7", False, Path("/usr/bin/python3.11"), Path("/lib"))
    monkeypatch.setattr(interpreters, "find_all", lambda ws: {"3.11": here})
    minors = catalog.native_pythons(ws)
    assert minors == [f"3.{number}" for number in range(7, 15)]
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    missing = {minor: environments.Environment(minor, "r.txt", minor).probe(ws) for minor in minors if minor != "3.11"}
    # The newest one is unpacked from Debian's packages, where that is possible.
    assert "GLEAN_OFFLINE forbids making CPython 3.14" in missing.pop("3.14").why
    assert all("on PATH" in probe.fix and probe.why for probe in missing.values())


def test_a_python_without_venv_is_not_run_and_the_package_is_named(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python3.9"
    program.write_text("#!/bin/sh\necho 'No module named venv'; exit 1\n")
    program.chmod(0o755)
    (tmp_path / "ensurepip").mkdir()
    (ws.root / "tests.txt").write_text("")
    monkeypatch.setattr(
        interpreters, "find_all", lambda ws: {"3.9": interpreters.CPython("3.9.1", False, program, tmp_path)}
    )
    with pytest.raises(MissingToolError, match="cannot make an environment") as caught:
        environments.Environment("3.9", "tests.txt", "3.9", packed=False).ensure(ws)
    assert "No module named venv" in caught.value.why and "python3.9-venv" in caught.value.fix


def test_a_suite_runs_from_a_copy_beside_an_empty_folder(ws: Workspace) -> None:
    """Else `import glean_py` could find the checkout."""
    (ws.root / "tests" / "bindings" / "__pycache__").mkdir(parents=True)
    (ws.root / "tests" / "bindings" / "test_x.py").write_text("")
    (ws.root / "tests" / "vectors.json").write_text("[]")
    with catalog.suite_copy(ws) as (suite, empty):
        assert (ws.root / "tests") not in suite.parents and list(empty.iterdir()) == []
        assert [path.name for path in suite.iterdir()] == ["test_x.py"]
        assert (suite.parent / "vectors.json").read_text() == "[]"
    assert not suite.exists()


def test_no_setting_of_python_reaches_a_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/somewhere")
    assert not {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"} & set(environments.clean_env())


def test_a_check_that_finds_something_fails_with_its_fix(ws: Workspace) -> None:
    (ws.root / "bad.py").write_text("x=1\n")
    result = suites.run_one(catalog.lint()[0], ws)
    assert result.failed == 1 and result.fix == "python3 bootstrap.py ruff format ."
    (ws.root / "bad.py").write_text("x = 1\n")
    assert suites.run_one(catalog.lint()[0], ws).passed == 1


# --- cargo-deny -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fetches", "checks", "licences", "advisories"),
    [
        (0, 0, "passed", "passed"),
        (0, 1, "failed", "failed"),
        (1, 0, "passed", "not run"),
        (None, 0, "not run", "not run"),
    ],
)
def test_cargo_deny_without_its_data_is_not_run_and_what_it_finds_is_a_failure(
    ws: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fetches: int | None,
    checks: int,
    licences: str,
    advisories: str,
) -> None:
    """cargo-deny is a stand-in that ends with a given status."""
    program = tmp_path / "cargo-deny"
    program.write_text(f'#!/bin/sh\necho "asked for $*"\n[ "$1" = fetch ] && exit {fetches}\nexit {checks}\n')
    program.chmod(0o755)
    found = None if fetches is None else program
    monkeypatch.setattr(catalog.system, "find_program", lambda name, folders=(): found)
    rust = Rust(Path("cargo"), Path("rustc"), Path("rustdoc"), None, "here", "1.95.0", "")
    monkeypatch.setattr(catalog.HostRust, "ensure", lambda self, ws: rust)
    ws.crate.mkdir()
    results = [suites.run_one(each, ws) for each in catalog.cargo_deny()]
    verdicts = ["not run" if each.not_run else "failed" if each.failed else "passed" for each in results]
    assert verdicts == [licences, advisories]
    if fetches == 1:
        assert "asked for fetch db" in results[1].not_run
