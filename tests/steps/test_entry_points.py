"""noxfile.py and tasks.py as their users meet them: what they list, and what they say to an unknown name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from glean_steps import errors, pins, targets

pytest.importorskip("nox", reason="nox is not here: run it from the tool environment")
pytest.importorskip("invoke", reason="invoke is not here: run it from the tool environment")

SESSIONS = [
    "build_windows",
    "build_windows(win_amd64)",
    "build_windows(win32)",
    "test_windows",
    "tests",
    "differential",
    "nightly",
    "fuzz",
    "lint",
    "bench",
    "docs",
]
TASKS = {
    "header",
    "doctor",
    "toolchain",
    "build",
    "wheel",
    "retag",
    "audit",
    "wine-setup",
    "wine-run",
    "wine-test",
    "env",
    "pins",
    "clean",
}


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this Python in the checkout, as `python3 bootstrap.py` does."""
    return subprocess.run(
        [sys.executable, "-B", "-m", *arguments],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "GLEAN_OFFLINE": "1", "GLEAN_INSTALL": "never"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def listed(*arguments: str) -> Any:
    done = start(*arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nox_lists_the_documented_sessions_each_with_a_description_and_selects_the_main_job() -> None:
    done = start("nox", "-l")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(("* ", "- "))]
    described = [line[2:].partition(" -> ") for line in lines]
    assert [name for name, _, _ in described] == SESSIONS
    assert [name for name, _, description in described if not description] == []
    assert [line.split()[1] for line in lines if line.startswith("* ")] == ["build_windows"]


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_is_found_by_the_name_that_is_documented(name: str) -> None:
    sessions = listed("nox", "--list", "--json", "--session", name)
    assert name in [session["session"] for session in sessions]


def test_a_session_of_each_wheel_exists() -> None:
    assert {f"build_windows({target.platform_tag})" for target in targets.TARGETS} <= set(SESSIONS)


def test_invoke_lists_the_documented_tasks_each_with_a_description() -> None:
    tasks = listed("invoke", "-l", "--list-format=json")["tasks"]
    assert {task["name"] for task in tasks} == TASKS
    assert [task["name"] for task in tasks if not task["help"]] == []


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_option_of_a_task_says_what_it_takes(task: str) -> None:
    done = start("invoke", "--help", task)
    assert done.returncode == 0, done.stderr
    options = done.stdout.partition("Options:")[2]
    # invoke prints an option without a description alone on its line, and the next one below it.
    blocks = options.replace("\n  -", "\n\n  -").split("\n\n")
    silent = [block.strip() for block in blocks if block.strip().startswith("-") and len(block.split()) < 4]
    assert silent == []


@pytest.mark.parametrize("task", ["toolchain", "build", "wheel", "retag", "audit", "env"])
def test_a_target_that_there_is_none_of_ends_a_task_and_names_those_there_are(task: str) -> None:
    done = start("invoke", task, "--target", "sparc-unknown-nothing")
    assert done.returncode == errors.UnknownTargetError.exit_code == 11
    for target in targets.TARGETS:
        assert target.triple in done.stderr
        assert target.platform_tag in done.stderr


@pytest.mark.parametrize("task", ["wine-setup", "wine-run", "wine-test"])
def test_an_architecture_that_there_is_none_of_ends_a_task_and_names_those_there_are(task: str) -> None:
    done = start("invoke", task, "--arch", "sparc")
    assert done.returncode == errors.UnknownArchitectureError.exit_code == 12
    assert all(target.arch in done.stderr for target in targets.TARGETS)


@pytest.mark.parametrize("task", ["wine-setup", "wine-run", "wine-test"])
def test_a_windows_python_that_there_is_none_of_ends_a_task_and_names_those_there_are(task: str) -> None:
    done = start("invoke", task, "--python", "2.7")
    assert done.returncode == errors.UnknownPythonError.exit_code == 13
    assert all(version in done.stderr for version in pins.all_versions())


@pytest.mark.parametrize("session", ["build_windows", "build_windows(win32)", "test_windows"])
def test_a_session_ends_with_the_same_code_as_a_task(session: str) -> None:
    done = start("nox", "--session", session, "--", "--python", "2.7")
    assert done.returncode == errors.UnknownPythonError.exit_code
    assert "unknown Windows Python '2.7'" in done.stderr
    assert "Traceback" not in done.stderr
