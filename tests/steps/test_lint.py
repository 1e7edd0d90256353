"""glean_steps.lint: every check runs, also after one that failed, and what cannot run here is said and no failure."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Dict, List, Sequence

import pytest

from glean_steps import header, lint, runner, toolchain
from glean_steps.errors import CommandFailedError, HeaderDriftError, MissingToolError
from glean_steps.runner import Completed
from glean_steps.toolchain import Rust
from glean_steps.workspace import Workspace

_RUST_CHECKS = ["rustfmt", "rustfmt glean_core/fuzz", "clippy"]


class Programs:
    """Stands in for `runner.run`: keeps every argv, and fails those that hold one of `failing`."""

    def __init__(self, *failing: str) -> None:
        self.calls: List[List[str]] = []
        self.environments: List[Dict[str, str]] = []
        self._failing = set(failing)

    def __call__(self, argv: Sequence[object], **options: Any) -> Completed:
        words = [str(word) for word in argv]
        self.calls.append(words)
        self.environments.append(options.get("env") or {})
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
    checks = lint.run_all(ws=ws, ask=Programs())
    assert [check.name for check in checks if check.result == "NOT RUN"] == _RUST_CHECKS
    out = capsys.readouterr().out
    assert "not run: rustfmt: no cargo-fmt: Rust 1.90.0 in" in out
    assert "rustup component add" in out


def test_cargos_subcommands_find_the_compiler_that_they_belong_to(ws: Workspace, rust: Path) -> None:
    programs = Programs()
    lint.run_all(ws=ws, ask=programs)
    paths = [env["PATH"] for call, env in zip(programs.calls, programs.environments) if call[0].endswith("/cargo")]
    assert len(paths) == 3
    assert all(path.split(":")[0] == str(rust) for path in paths)


@pytest.mark.usefixtures("rust")
def test_every_folder_of_python_tests_has_its_types_checked(ws: Workspace, checkout: Path) -> None:
    programs = Programs()
    lint.run_all(ws=ws, ask=programs)
    named = {call[-1] for call in programs.calls if "mypy" in call}
    settings = (checkout / "pyproject.toml").read_text(encoding="utf-8")
    folders = [f"tests/{path.name}" for path in (checkout / "tests").iterdir() if list(path.glob("test_*.py"))]
    assert len(folders) == 3
    assert [folder for folder in folders if folder not in named and f'"{folder}"' not in settings] == []


@pytest.mark.usefixtures("rust")
def test_the_users_program_is_checked_strictly_so_that_a_mistake_nobody_finds_is_an_error(ws: Workspace) -> None:
    programs = Programs()
    lint.run_all(ws=ws, ask=programs)
    (words,) = [call for call in programs.calls if call[-1] == "tests/bindings/typing"]
    assert words[1:] == ["-m", "mypy", "--strict", "tests/bindings/typing"]


@pytest.mark.usefixtures("rust")
def test_the_comparison_finds_the_schema_of_pings_beside_the_bindings_tests(ws: Workspace, checkout: Path) -> None:
    programs = Programs()
    lint.run_all(ws=ws, ask=programs)
    places = {call[-1]: env for call, env in zip(programs.calls, programs.environments) if "mypy" in call}
    assert places["tests/differential"]["MYPYPATH"] == str(ws.root / "tests" / "bindings")
    assert "MYPYPATH" not in places["tests/bindings"]
    assert (checkout / "tests" / "bindings" / "schema" / "__init__.py").is_file()


@pytest.mark.usefixtures("rust")
def test_each_workspace_of_cargo_has_its_formatting_checked(
    ws: Workspace, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = Programs("fuzz/Cargo.toml")
    with pytest.raises(CommandFailedError) as caught:
        lint.run_all(ws=ws, ask=programs)
    assert caught.value.why == "rustfmt glean_core/fuzz"
    assert "fix: cargo fmt --manifest-path glean_core/fuzz/Cargo.toml" in capsys.readouterr().out
    crate = checkout / "glean_core"
    manifests = [path for path in crate.glob("**/Cargo.toml") if "target" not in path.relative_to(crate).parts]
    workspaces = [path for path in manifests if "[workspace]" in path.read_text(encoding="utf-8").splitlines()]
    assert sorted(str(path.relative_to(crate)) for path in workspaces) == ["Cargo.toml", "fuzz/Cargo.toml"]


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
        "mypy tests/bindings/typing",
        "mypy tests/differential",
    }
    assert all("bootstrap.py" in check.fix for check in checks if check.result == "NOT RUN")


@pytest.mark.usefixtures("rust")
def test_no_compiler_at_all_keeps_the_rust_checks_from_running_and_fails_nothing(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(ws: Workspace, *, run: runner.Run) -> Rust:
        raise MissingToolError("no Rust compiler", why="GLEAN_INSTALL=never", fix="apt-get install rustc")

    monkeypatch.setattr(toolchain, "host_rust", absent)
    checks = lint.run_all(ws=ws, ask=Programs())
    assert [check.name for check in checks if check.result == "NOT RUN"] == _RUST_CHECKS


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
