"""noxfile.py and tasks.py as their users meet them: what they list, their options, and the examples of the pages."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from glean_steps import commands, errors, pins, targets
from glean_steps.errors import SettingError, StepError

pytest.importorskip("nox", reason="nox is not here: run it from the tool environment")
pytest.importorskip("invoke", reason="invoke is not here: run it from the tool environment")

ROOT = Path(__file__).resolve().parents[2]
SESSIONS = {command.name: command for command in commands.SESSIONS}
TASKS = {command.name: command for command in commands.TASKS}


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this Python in the checkout, as `python3 bootstrap.py` does."""
    return subprocess.run(
        [sys.executable, "-B", "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "GLEAN_OFFLINE": "1", "GLEAN_INSTALL": "never"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def listed(*arguments: str) -> Any:
    done = start(*arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nox_lists_every_session_with_its_description_and_selects_the_main_job() -> None:
    done = start("nox", "-l")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(("* ", "- "))]
    described = {line[2:].partition(" -> ")[0]: line.partition(" -> ")[2] for line in lines}
    assert described == {name: command.description for name, command in SESSIONS.items()}
    assert [line.split()[1] for line in lines if line.startswith("* ")] == ["build_windows"]


def test_each_target_has_a_session() -> None:
    assert {f"build({target.platform_tag})" for target in targets.TARGETS} <= set(SESSIONS)
    assert {f"build_windows({target.platform_tag})" for target in targets.WINDOWS} <= set(SESSIONS)


def test_invoke_lists_every_task_with_its_description() -> None:
    tasks = {task["name"]: task["help"] for task in listed("invoke", "-l", "--list-format=json")["tasks"]}
    assert tasks == {name: command.description for name, command in TASKS.items()}


def test_every_option_says_what_it_takes() -> None:
    for command in (*commands.SESSIONS, *commands.TASKS):
        assert [name for name, option in command.options.items() if not option.get("help")] == [], command.name


def test_unknown_target_exits_11_and_lists_the_targets() -> None:
    done = start("invoke", "build", "--target", "sparc-unknown-nothing")
    assert done.returncode == errors.UnknownTargetError.exit_code == 11
    for target in targets.TARGETS:
        assert target.triple in done.stderr and target.platform_tag in done.stderr


def test_unknown_architecture_exits_12_and_lists_the_architectures() -> None:
    done = start("invoke", "wine-setup", "--arch", "sparc")
    assert done.returncode == errors.UnknownArchitectureError.exit_code == 12
    assert all(target.arch in done.stderr for target in targets.WINDOWS)


@pytest.mark.parametrize("words", [("invoke", "wine-run"), ("nox", "--session", "build_windows", "--")])
def test_unknown_windows_python_exits_13_and_lists_the_versions(words: tuple[str, ...]) -> None:
    done = start(*words, "--python", "2.7")
    assert done.returncode == errors.UnknownPythonError.exit_code == 13
    assert all(version in done.stderr for version in pins.all_versions()) and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("nox", "-s", "build_windows", "--", "--pyhton", "3.13"),
        ("nox", "-s", "fuzz", "--", "--target", "nonsense"),
        ("invoke", "audit", "--whel", "x"),
    ],
)
def test_misspelt_option_exits_27_with_the_valid_ones(words: tuple[str, ...]) -> None:
    done = start(*words)
    assert done.returncode == 27, done.stderr
    assert "it takes" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [*SESSIONS.values(), *TASKS.values()], ids=lambda command: command.name)
def test_every_command_refuses_an_unknown_option(command: commands.Command) -> None:
    if command.remainder == "all":
        pytest.skip("its options are those of the benchmark")
    with pytest.raises(SettingError):
        command.parse([*(["x"] if "wheel" in command.options else []), "--no-such-option"])


@pytest.mark.parametrize("command", [*SESSIONS.values(), *TASKS.values()], ids=lambda command: command.name)
def test_every_command_takes_its_own_options(command: commands.Command) -> None:
    given = command.parse(["x" for name in command.options if not name.startswith("-")])
    inspect.signature(command.run).bind(None, **vars(given))


def test_value_of_an_option_is_checked_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_DEADLINE_FACTOR", "abc")
    done = start("invoke", "clean")
    assert done.returncode == 27 and "GLEAN_DEADLINE_FACTOR='abc' cannot be used" in done.stderr


def test_tasks_of_one_command_line_are_told_apart() -> None:
    words = ["build", "--target", "win32", "audit", "--wheel", "build", "wine-run", "--", "-c", "pass"]
    calls = [(command.name, own) for command, own in commands.task_calls(words)]
    assert calls == [
        ("build", ["--target", "win32"]),
        ("audit", ["--wheel", "build"]),
        ("wine-run", ["--", "-c", "pass"]),
    ]


def examples() -> list[str]:
    """Return every command of README, CONTRIBUTING, docs and descriptions that starts a session or task."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / ".circleci" / "config.yml", ROOT / ".ci" / "run")]
    found = set()
    for text in texts:
        # Between backticks, or on a line of its own in a block of code.
        for code in re.findall(r"`[^`\n]+`|^python3 bootstrap\.py [^\n`]*|command: [^\n]*", text, re.MULTILINE):
            for line in re.findall(r"(?:nox -s|invoke) [\w(][^`\n\"|#…]*", code):
                found.add(line.strip().rstrip(").,;:"))
    for command in commands.SESSIONS:
        for words in re.findall(r"`(-- .*?)`", command.description):
            found.add(f"nox -s {command.name} {words}")
    return sorted(found)


@pytest.mark.parametrize("line", examples())
def test_example_of_the_documentation_is_understood(line: str) -> None:
    """Parsed as the command would do it; nothing is made."""
    words = shlex.split(line, comments=True)
    if words[0] == "invoke":
        if words[1] in ("-l", "NAME", "X"):
            return
        calls = commands.task_calls(words[1:])
        assert calls, f"{line}: no such task"
    else:
        names = words[2 : words.index("--") if "--" in words else len(words)]
        assert names and (names[0] in SESSIONS or names[0] in ("NAME", "docs")), f"{line}: no such session"
        if names[0] not in SESSIONS:
            return
        calls = [(SESSIONS[names[0]], words[words.index("--") + 1 :] if "--" in words else [])]
    for command, own in calls:
        if any(word.isupper() or "{" in word for word in own) or (not own and "wheel" in command.options):
            continue  # It shows where a name goes, or only names the command.
        try:
            command.parse(own)
        except StepError as error:
            pytest.fail(f"{line}: {error}")
