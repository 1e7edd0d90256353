"""glean_steps.errors: one exit code for each kind, all of them documented."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from glean_steps import errors
from glean_steps.errors import CommandFailedError, DeadlineError, StepError


def kinds() -> list[Any]:
    """Return every kind of error that the module defines."""
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BaseException)]


def documented(checkout: Path) -> dict[str, int]:
    """Return class name and code of each row of docs/exit-codes.md."""
    text = (checkout / "docs/exit-codes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| +(\d+) \| `(\w+)` \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\| +\d+", text, re.MULTILINE)), "a row is not readable"
    assert len({name for _, name in rows}) == len(rows), "a kind is documented twice"
    return {name: int(code) for code, name in rows}


def test_no_two_kinds_share_an_exit_code() -> None:
    codes: dict[int, str] = {}
    for kind in kinds():
        assert kind.exit_code not in codes, f"{kind.__name__} and {codes[kind.exit_code]}"
        codes[kind.exit_code] = kind.__name__


def test_every_kind_defines_its_own_code() -> None:
    """A class that inherits one would be told apart by nobody."""
    assert [kind.__name__ for kind in kinds() if "exit_code" not in vars(kind)] == []


def test_codes_keep_clear_of_those_that_shells_and_runners_use() -> None:
    """0 to 2 belong to nox, invoke and Python, 126 to 128 to the shell; 130 is the shell's own for Ctrl-C."""
    codes = {kind.exit_code for kind in kinds()}
    assert all(10 <= code <= 99 for code in codes - {130})
    assert errors.Interrupted.exit_code == 130


def test_every_code_is_documented_and_nothing_else_is(checkout: Path) -> None:
    assert documented(checkout) == {kind.__name__: kind.exit_code for kind in kinds()}


def test_an_error_shows_what_why_and_fix() -> None:
    assert str(StepError("it broke", why="a reason", fix="a remedy")) == "it broke\n  why: a reason\n  fix: a remedy"
    assert str(StepError("it broke")) == "it broke"


def test_a_failed_command_shows_its_last_lines() -> None:
    error = CommandFailedError("cargo failed", why="command: cargo build", status=101, tail=["error[E0308]", "  oh"])
    assert str(error).endswith("\n  last lines:\n    error[E0308]\n      oh")
    assert error.status == 101


def test_a_deadline_is_a_failed_command_so_that_one_clause_catches_both() -> None:
    assert issubclass(DeadlineError, CommandFailedError)


@pytest.mark.parametrize(
    "name", ["errors.py", "archive.py", "audit.py", "fetch.py", "runner.py", "wheel.py", "workspace.py"]
)
def test_every_error_that_is_raised_says_why(checkout: Path, name: str) -> None:
    tree = ast.parse((checkout / "glean_steps" / name).read_text(encoding="utf-8"))
    names = {kind.__name__ for kind in kinds() if issubclass(kind, StepError)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            assert "why" in {word.arg for word in node.keywords}, f"{name}:{node.lineno}"
