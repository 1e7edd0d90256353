"""glean_steps.runner: real programs that fail, hang, fork and are interrupted; nothing survives them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

import pytest

from glean_steps import runner
from glean_steps.errors import CommandFailedError, DeadlineError, Interrupted, MissingToolError, SettingError

# How long a test waits for what has to happen anyway, on however slow a machine; nothing is asserted about it.
PATIENCE_S = 600.0

# A program that starts a child of its own, writes both process ids and sleeps.
FAMILY = """\
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
path = sys.argv[1]
with open(path + ".new", "w") as out:
    out.write(f"{os.getpid()} {child.pid}")
os.rename(path + ".new", path)
time.sleep(600)
"""

# The same, but both ignore SIGTERM.
STUBBORN = """\
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
""" + FAMILY.replace("import time; time.sleep", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep")


def python(code: str, *arguments: object) -> list[object]:
    return [sys.executable, "-c", code, *arguments]


def until(true: Callable[[], bool]) -> bool:
    """Wait until something is true; return whether it ever was."""
    limit = time.monotonic() + PATIENCE_S
    while time.monotonic() < limit:
        if true():
            return True
        time.sleep(0.02)
    return False


def lives(pid: int) -> bool:
    """Return whether a process runs; one that ended but was not collected by its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")


def family(path: Path) -> list[int]:
    assert until(path.exists), "the program never started"
    return [int(pid) for pid in path.read_text().split()]


# --- what comes back --------------------------------------------------------------------------------------------------


def test_a_program_that_succeeds_gives_its_output_and_status() -> None:
    done = runner.run(python("import sys; print('out'); print('err', file=sys.stderr)"), timeout_s=PATIENCE_S)
    assert done.status == 0
    assert sorted(done.stdout.splitlines()) == ["err", "out"]
    assert done.argv[0] == sys.executable


def test_standard_error_can_be_kept_out_of_the_result(capfd: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr)"
    assert runner.run(python(code), timeout_s=PATIENCE_S, split_stderr=True).stdout == "out\n"
    assert "err" in capfd.readouterr().err


def test_a_quiet_program_is_only_heard_when_it_fails(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandFailedError) as caught:
        runner.run(python("print('a' + 'b'); raise SystemExit(3)"), timeout_s=PATIENCE_S, quiet=True)
    assert caught.value.tail == ["ab"]
    assert "\nab\n" not in capfd.readouterr().err


@pytest.mark.parametrize("status", [1, 3, 255])
def test_a_program_that_fails_is_an_error_with_its_status(status: int) -> None:
    with pytest.raises(CommandFailedError, match=f"exit status {status}") as caught:
        runner.run(python(f"raise SystemExit({status})"), timeout_s=PATIENCE_S)
    assert caught.value.status == status


def test_a_program_ended_by_a_signal_is_an_error_with_its_number() -> None:
    with pytest.raises(CommandFailedError) as caught:
        runner.run(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), timeout_s=PATIENCE_S)
    assert caught.value.status == -signal.SIGKILL


def test_a_failure_can_be_a_result() -> None:
    assert runner.run(python("raise SystemExit(3)"), timeout_s=PATIENCE_S, check=False).status == 3


def test_an_error_keeps_the_last_lines_only() -> None:
    with pytest.raises(CommandFailedError) as caught:
        runner.run(
            python("for n in range(1000): print('line', n)\nraise SystemExit(1)"), timeout_s=PATIENCE_S, quiet=True
        )
    assert caught.value.tail == [f"line {n}" for n in range(1000 - runner.TAIL_LINES, 1000)]


def test_an_error_shows_a_command_that_can_be_pasted() -> None:
    with pytest.raises(CommandFailedError) as caught:
        runner.run(python("raise SystemExit(1)", "two words", "it's"), timeout_s=PATIENCE_S)
    line = caught.value.why.partition("command: ")[2]
    assert subprocess.run(["sh", "-c", line], check=False, timeout=PATIENCE_S).returncode == 1
    assert "'two words'" in line


def test_output_that_is_no_text_does_no_harm() -> None:
    done = runner.run(python(r"import sys; sys.stdout.buffer.write(b'\xff\xfe ok')"), timeout_s=PATIENCE_S)
    assert done.stdout.endswith(" ok")


def test_a_megabyte_does_not_block() -> None:
    text = "0123456789abcde\n" * 65536
    code = "import sys; sys.stdout.write('0123456789abcde\\n' * 65536)"
    assert runner.run(python(code), timeout_s=PATIENCE_S, quiet=True).stdout == text


# --- what it gets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", ["text", "closed"])
def test_standard_input_can_be_used_and_is_empty(checkout: Path, own: str) -> None:
    """A Windows Python under Wine dies without one; and what is typed at this program is not meant for that one."""
    inner = "import os, sys; os.fstat(0); print(repr(sys.stdin.read()))"
    code = f"import sys; from glean_steps import runner; runner.run([sys.executable, '-c', {inner!r}], timeout_s=600)"
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-' if own == "closed" else 'exec "$@"', "sh", sys.executable, "-B", "-c", code],
        input="typed by somebody",
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        check=False,
    )
    assert done.returncode == 0 and "\n''\n" in done.stderr, done.stderr


def test_folder_and_environment_are_as_asked(tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), sorted(name for name in os.environ if name.startswith('GLEAN')))"
    done = runner.run(
        python(code), timeout_s=PATIENCE_S, cwd=tmp_path, env={"GLEAN_X": "1", "PATH": os.environ["PATH"]}
    )
    assert done.stdout == f"{tmp_path} ['GLEAN_X']\n"


def test_arguments_are_never_read_by_a_shell(tmp_path: Path) -> None:
    odd = ["$HOME", "; touch evil", "*", "two words", "", "ü"]
    done = runner.run(python("import sys; print(sys.argv[1:])", *odd), timeout_s=PATIENCE_S, cwd=tmp_path)
    assert done.stdout == f"{odd}\n"


def test_an_environment_changes_by_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_A", "1")
    monkeypatch.setenv("GLEAN_B", "1")
    env = runner.child_env({"GLEAN_A": None, "GLEAN_B": "2", "GLEAN_C": None})
    assert "GLEAN_A" not in env and "GLEAN_C" not in env and env["GLEAN_B"] == "2" and env["PATH"] == os.environ["PATH"]


# --- what cannot start ------------------------------------------------------------------------------------------------


def test_a_missing_program_is_named() -> None:
    with pytest.raises(MissingToolError, match="cannot start no-such-program") as caught:
        runner.run(["no-such-program", "--help"], timeout_s=PATIENCE_S)
    assert caught.value.exit_code == 14 and "invoke doctor" in caught.value.fix


def test_a_missing_folder_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match=r"working directory .*nowhere does not exist"):
        runner.run(python("pass"), timeout_s=PATIENCE_S, cwd=tmp_path / "nowhere")


def test_a_file_that_may_not_be_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    with pytest.raises(CommandFailedError, match="Permission denied") as caught:
        runner.run([tmp_path / "tool"], timeout_s=PATIENCE_S)
    assert caught.value.status == 126


# --- deadlines --------------------------------------------------------------------------------------------------------


def test_a_deadline_ends_a_program_with_its_children(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    with pytest.raises(DeadlineError) as caught:
        runner.run(python(FAMILY, path), timeout_s=3.0)
    assert caught.value.exit_code == 20 and "GLEAN_DEADLINE_FACTOR" in caught.value.fix
    pids = family(path)
    assert until(lambda: not any(lives(pid) for pid in pids))


def test_a_deadline_ends_programs_that_ignore_sigterm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "GRACE_S", 0.2)
    with pytest.raises(DeadlineError):
        runner.run(python(STUBBORN, tmp_path / "pids"), timeout_s=3.0)
    pids = family(tmp_path / "pids")
    assert until(lambda: not any(lives(pid) for pid in pids))


def test_a_deadline_keeps_the_last_lines_and_tells_whoever_has_to_clean_up() -> None:
    told: list[bool] = []
    code = "import time; print('so far', flush=True); time.sleep(600)"
    with pytest.raises(DeadlineError) as caught:
        runner.run(python(code), timeout_s=3.0, on_deadline=lambda: told.append(True))
    assert caught.value.tail == ["so far"] and told == [True]


def test_every_deadline_is_multiplied_by_the_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_DEADLINE_FACTOR", "0.01")
    with pytest.raises(DeadlineError, match=r"within 6 s"):
        runner.run(python("import time; time.sleep(600)"), timeout_s=600)
    monkeypatch.setenv("GLEAN_DEADLINE_FACTOR", "abc")
    with pytest.raises(SettingError, match="GLEAN_DEADLINE_FACTOR='abc' cannot be used"):
        runner.run(python("pass"), timeout_s=600)


def test_a_grandchild_that_left_its_group_does_not_hold_up_the_result(tmp_path: Path) -> None:
    """Daemons, wineserver among them, inherit the pipe and keep it open."""
    code = (
        "import os, subprocess, sys\n"
        "daemon = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "print(daemon.pid)\n"
    )
    done = runner.run(python(code), timeout_s=PATIENCE_S)
    daemon = int(done.stdout)
    try:
        assert lives(daemon), "it was waited for, or ended"
    finally:
        os.kill(daemon, signal.SIGKILL)


# --- interruptions ----------------------------------------------------------------------------------------------------


def start_runner(tmp_path: Path, checkout: Path, code: str = FAMILY) -> tuple[subprocess.Popen[str], list[int]]:
    """Start a Python that runs a family of programs through runner.run; return it and their process ids."""
    script = (
        "import signal, sys; from glean_steps import errors, runner\nsignal.signal(2, signal.default_int_handler)\n"
        "runner.raise_on_sigterm()\n"
        "try:\n"
        f"    runner.run([sys.executable, '-c', {code!r}, sys.argv[1]], timeout_s=600)\n"
        "except KeyboardInterrupt as error:\n"
        "    print(str(error) or 'interrupted')\n"
        "    raise SystemExit(errors.Interrupted.exit_code)\n"
    )
    started = subprocess.Popen(
        [sys.executable, "-B", "-c", script, str(tmp_path / "pids")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(checkout)},
    )
    return started, family(tmp_path / "pids")


@pytest.mark.parametrize(("number", "says"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "ended by SIGTERM")])
def test_an_interruption_ends_children_and_grandchildren(
    tmp_path: Path, checkout: Path, number: signal.Signals, says: str
) -> None:
    started, pids = start_runner(tmp_path, checkout)
    started.send_signal(number)
    out, _ = started.communicate(timeout=PATIENCE_S)
    assert started.returncode == 130 and says in out
    assert until(lambda: not any(lives(pid) for pid in pids))


def test_a_second_interruption_cuts_the_grace_short_and_still_ends_everything(tmp_path: Path, checkout: Path) -> None:
    started, pids = start_runner(tmp_path, checkout, STUBBORN)
    started.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert all(lives(pid) for pid in pids), "they were to ignore SIGTERM"
    started.send_signal(signal.SIGINT)
    started.communicate(timeout=PATIENCE_S)
    assert until(lambda: not any(lives(pid) for pid in pids))


def test_killing_the_runner_ends_its_direct_child(tmp_path: Path, checkout: Path) -> None:
    """Grandchildren are the child's business then: nothing of the runner is left to end them."""
    started, (child, grandchild) = start_runner(tmp_path, checkout)
    try:
        started.kill()
        started.communicate(timeout=PATIENCE_S)
        assert until(lambda: not lives(child))
    finally:
        if lives(grandchild):
            os.kill(grandchild, signal.SIGKILL)


def test_the_first_that_fails_ends_the_others_with_their_programs(tmp_path: Path) -> None:
    path = tmp_path / "pids"

    def fail() -> None:
        family(path)
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        runner.side_by_side([lambda: runner.run(python(FAMILY, path), timeout_s=600), fail], 2)
    pids = family(path)
    assert until(lambda: not any(lives(pid) for pid in pids))


def test_what_was_ended_starts_nothing_more(tmp_path: Path) -> None:
    """A thread that goes on after its program was ended would start the next one."""
    path, seen = tmp_path / "pids", []

    def go_on() -> None:
        for argv in (python(FAMILY, path), python("pass")):
            try:
                runner.run(argv, timeout_s=600, check=False)
            except Interrupted as error:
                seen.append(error)

    def fail() -> None:
        family(path)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), runner.together():
        runner.side_by_side([lambda: runner.side_by_side([go_on]), fail], 2)
    assert len(seen) == 2
    assert runner.run(python("pass"), timeout_s=PATIENCE_S).status == 0, "what is outside goes on"


def test_only_the_runner_imports_subprocess(checkout: Path) -> None:
    """Else a program could run without a deadline, or outlive an interrupted run."""
    guilty = [
        path.name
        for path in (checkout / "glean_steps").glob("*.py")
        if path.name != "runner.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.lstrip().startswith(("import subprocess", "from subprocess"))
    ]
    assert guilty == []
