"""glean_steps.lint: every check runs, also after one that failed, and what cannot run here is said and no failure."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, List, Sequence

import pytest

from glean_steps import header, lint, runner, toolchain
from glean_steps.errors import CommandFailedError, HeaderDriftError, MissingToolError
from glean_steps.runner import Completed
from glean_steps.toolchain import Rust
from glean_steps.workspace import Workspace


class Programs:
    """Stands in for `runner.run`: keeps every argv, and fails those that hold one of `failing`."""

    def __init__(self, *failing: str) -> None:
        self.calls: List[List[str]] = []
        self.paths: List[str] = []
        self._failing = set(failing)

    def __call__(self, argv: Sequence[object], **options: Any) -> Completed:
        words = [str(word) for word in argv]
        self.calls.append(words)
        self.paths.append((options.get("env") or {}).get("PATH", ""))
        if self._failing & set(words):
            raise CommandFailedError(f"{words[0]} failed with exit status 1", fix="see its last lines below")
        return Completed(words, 0, "", 0.0)


@pytest.fixture
def rust(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A toolchain with rustfmt and clippy; returns the folder of its programs. The header is right."""
    bin_folder = tmp_path / "rust" / "bin"
    bin_folder.mkdir(parents=True)
    for name in ("cargo", "rustc", "rustdoc", "cargo-fmt", "cargo-clippy"):
        (bin_folder / name).touch(mode=0o755)
    cargo, rustc, rustdoc = (bin_folder / name for name in ("cargo", "rustc", "rustdoc"))
    found = Rust(cargo, rustc, rustdoc, None, "here", "1.90.0")
    monkeypatch.setattr(toolchain, "host_rust", lambda ws, *, run: found)
    monkeypatch.setattr(header, "check", lambda ws, *, run: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    return bin_folder


@pytest.mark.usefixtures("rust")
def test_every_check_runs_and_is_in_the_table(ws: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    programs = Programs()
    checks = lint.run_all(ws=ws, ask=programs)
    assert {check.result for check in checks} == {"passed"}
    tools = {word for call in programs.calls for word in call}
    assert {"ruff", "mypy", "fmt", "clippy", "sh"} <= tools
    out = capsys.readouterr().out
    assert all(check.name in out for check in checks)
    assert "glean.h" in out


@pytest.mark.usefixtures("rust")
def test_a_check_that_fails_is_named_and_keeps_no_other_from_running(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = Programs("format", "clippy")
    with pytest.raises(CommandFailedError) as caught:
        lint.run_all(ws=ws, ask=programs)
    assert caught.value.exit_code == 19
    assert caught.value.why == "ruff format, clippy"
    assert programs.calls[-1][:2] == ["sh", "-n"]
    out = capsys.readouterr().out
    assert "fix: python3 bootstrap.py ruff format ." in out
    assert "failed: clippy" in out


def test_a_toolchain_without_rustfmt_and_clippy_is_not_run_with_the_reason(
    ws: Workspace, rust: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (rust / "cargo-fmt").unlink()
    (rust / "cargo-clippy").unlink()
    checks = {check.name: check for check in lint.run_all(ws=ws, ask=Programs())}
    assert (checks["rustfmt"].result, checks["clippy"].result) == ("NOT RUN", "NOT RUN")
    out = capsys.readouterr().out
    assert "not run: rustfmt: no cargo-fmt: Rust 1.90.0 in" in out
    assert "rustup component add" in out


def test_cargos_subcommands_find_the_compiler_that_they_belong_to(ws: Workspace, rust: Path) -> None:
    programs = Programs()
    lint.run_all(ws=ws, ask=programs)
    paths = [path for call, path in zip(programs.calls, programs.paths) if call[0].endswith("/cargo")]
    assert len(paths) == 2
    assert all(path.split(":")[0] == str(rust) for path in paths)


@pytest.mark.usefixtures("rust")
def test_a_header_that_drifted_fails_with_its_own_remedy(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def drifted(ws: Workspace, *, run: runner.Run) -> None:
        raise HeaderDriftError("glean.h is not right", why="a difference", fix="write it anew")

    monkeypatch.setattr(header, "check", drifted)
    with pytest.raises(CommandFailedError, match="1 of"):
        lint.run_all(ws=ws, ask=Programs())
    assert "fix: write it anew" in capsys.readouterr().out


@pytest.mark.usefixtures("rust")
def test_without_the_tool_environment_its_checks_are_not_run(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    checks = lint.run_all(ws=ws, ask=Programs())
    assert {check.name for check in checks if check.result == "NOT RUN"} == {
        "ruff format",
        "ruff check",
        "mypy",
        "mypy tests/bindings",
    }
    assert all("bootstrap.py" in check.fix for check in checks if check.result == "NOT RUN")


@pytest.mark.usefixtures("rust")
def test_no_compiler_at_all_keeps_the_rust_checks_from_running_and_fails_nothing(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(ws: Workspace, *, run: runner.Run) -> Rust:
        raise MissingToolError("no Rust compiler", why="GLEAN_INSTALL=never", fix="apt-get install rustc")

    monkeypatch.setattr(toolchain, "host_rust", absent)
    checks = {check.name: check.result for check in lint.run_all(ws=ws, ask=Programs())}
    assert (checks["rustfmt"], checks["clippy"]) == ("NOT RUN", "NOT RUN")


def test_each_shell_script_of_the_project_is_checked(checkout: Path) -> None:
    scripts = {str(path.relative_to(checkout)) for path in (checkout / "glean_steps").rglob("*.sh")}
    assert scripts == set(lint.SHELL_SCRIPTS)


@pytest.mark.usefixtures("rust")
@pytest.mark.parametrize("right", [True, False])
def test_a_shell_script_is_really_read(ws: Workspace, right: bool) -> None:
    for script in lint.SHELL_SCRIPTS:
        (ws.root / script).parent.mkdir(parents=True, exist_ok=True)
        (ws.root / script).write_text("if true; then\n  echo\nfi\n" if right else "if true; then\n")
    programs = Programs()

    def ask(argv: Sequence[object], **options: Any) -> Completed:
        return runner.run(argv, **options) if argv[0] == "sh" else programs(argv)

    if right:
        assert lint.run_all(ws=ws, ask=ask)[-1].result == "passed"
    else:
        with pytest.raises(CommandFailedError) as caught:
            lint.run_all(ws=ws, ask=ask)
        assert caught.value.why.startswith("sh -n ")
