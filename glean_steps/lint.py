"""Formatting, types, the header and shell syntax: runs every check, prints a table, and fails when one of them did."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

from glean_steps import cargo, header, report, runner, system, toolchain, workspace
from glean_steps.errors import CommandFailedError, DeadlineError, Interrupted, MissingToolError, OfflineError, StepError
from glean_steps.runner import Run
from glean_steps.workspace import Workspace

CHECK_S = 600.0
SHELL_SCRIPTS = ("glean_steps/enter_root.sh",)

# What keeps a check from running without saying anything about the code.
_NOT_HERE = (MissingToolError, OfflineError)


@dataclass(frozen=True)
class Check:
    """What came of one check.

    Attributes:
        name: what was checked.
        result: `passed`, `FAILED` or `NOT RUN`.
        seconds: how long it took.
        why: why it did not run or failed, in one line.
        fix: the line that corrects it or makes it run.
    """

    name: str
    result: str
    seconds: float
    why: str = ""
    fix: str = ""


def run_all(*, ws: Optional[Workspace] = None, ask: Run = runner.run) -> List[Check]:
    """Run every check, also after one that failed, and print the closing table.

    Raises:
        CommandFailedError: names the checks that failed.
    """
    ws = ws or workspace.here()
    checks: List[Check] = [_try(name, run_it) for name, run_it in _checks(ws, ask)]
    table = report.Table("Checks", ("check", ">seconds", "result"))
    for check in checks:
        table.rows.append([check.name, f"{check.seconds:.1f}", check.result])
        if check.why:
            table.notes.append(f"{check.result.lower()}: {check.name}: {check.why}")
        if check.fix:
            table.notes.append(f"    fix: {check.fix}")
    table.print()
    failed = [check.name for check in checks if check.result == "FAILED"]
    if failed:
        raise CommandFailedError(
            f"{len(failed)} of {len(checks)} checks failed", why=", ".join(failed), fix="see what each printed above"
        )
    return checks


def _try(name: str, run_it: Callable[[], None]) -> Check:
    """Run one check; what keeps it from running is told apart from what it finds."""
    started = time.monotonic()
    report.say(f"\n== {name}")
    try:
        run_it()
        result, why, fix = "passed", "", ""
    except Interrupted:
        raise
    except _NOT_HERE as error:
        result, why, fix = "NOT RUN", " ".join(f"{error.what}: {error.why}".split()), error.fix
    except CommandFailedError as error:
        found = f"exit status {error.status}; what it found is printed above"
        result, why, fix = "FAILED", error.what if isinstance(error, DeadlineError) else found, error.fix
    except StepError as error:
        report.say(str(error))
        result, why, fix = "FAILED", error.what, error.fix
    return Check(name, result, time.monotonic() - started, why, fix)


def _checks(ws: Workspace, ask: Run) -> List[Tuple[str, Callable[[], None]]]:
    """Return name and action of every check, the quick ones first."""
    python = "python3 bootstrap.py"
    return [
        ("ruff format", lambda: _module(["ruff", "format", "--check", "."], ws, ask, fix=f"{python} ruff format .")),
        ("ruff check", lambda: _module(["ruff", "check", "."], ws, ask, fix=f"{python} ruff check --fix .")),
        ("mypy", lambda: _module(["mypy"], ws, ask, fix="")),
        ("mypy tests/bindings", lambda: _module(["mypy", *_BINDINGS, "tests/bindings"], ws, ask, fix="")),
        ("mypy tests/bindings/typing", lambda: _module(["mypy", "--strict", _USER_PROGRAM], ws, ask, fix="")),
        ("mypy tests/differential", lambda: _module(["mypy", "tests/differential"], ws, ask, fix="", path=_SCHEMA)),
        ("rustfmt", lambda: _cargo("cargo-fmt", ["fmt", "--all", "--check"], ws, ask, fix="cargo fmt --all")),
        ("rustfmt glean_core/fuzz", lambda: _cargo("cargo-fmt", _FMT_FUZZ, ws, ask, fix=f"cargo fmt {_FUZZ_CRATE}")),
        ("clippy", lambda: _cargo("cargo-clippy", _CLIPPY, ws, ask, fix="")),
        ("glean.h", lambda: header.check(ws, run=ask)),
        *[(f"sh -n {script}", lambda script=script: _shell(script, ws, ask)) for script in SHELL_SCRIPTS],
    ]


def _module(words: Sequence[str], ws: Workspace, ask: Run, *, fix: str, path: str = "") -> None:
    """Run a program of the tool environment; its settings are in pyproject.toml, `path` is where mypy looks as well."""
    if importlib.util.find_spec(words[0]) is None:
        raise MissingToolError(
            f"no {words[0]}",
            why=f"{sys.executable} is not the tool environment",
            fix="python3 bootstrap.py nox -s lint",
        )
    env = runner.child_env({"MYPYPATH": str(ws.root / path)}) if path else None
    _run([sys.executable, "-m", *words], ws.root, ask, fix, env)


# Their arguments are pytest's fixtures and they are read as examples of the API; the bodies are checked all the same,
# but for None: they look into a Glean that a fixture has started.
_BINDINGS = (
    "--allow-untyped-defs",
    "--allow-incomplete-defs",
    "--allow-untyped-calls",
    "--no-strict-optional",
    "--no-warn-unused-ignores",
)
# Once more, with all of strict: a planted mistake that isn't found is an ignore without use, which those flags allow.
_USER_PROGRAM = "tests/bindings/typing"
# The schema of pings, which test_differential.py puts on its path when it runs.
_SCHEMA = "tests/bindings"
# A workspace of its own, so `--all` of the crate's leaves it out.
_FUZZ_CRATE = "--manifest-path glean_core/fuzz/Cargo.toml"
_FMT_FUZZ = ("fmt", "--check", "--manifest-path", "fuzz/Cargo.toml")
_CLIPPY = ("clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings")


def _cargo(program: str, words: Sequence[str], ws: Workspace, ask: Run, *, fix: str) -> None:
    """Run a subcommand of cargo that the compiler for this machine may come without, as Debian's does."""
    rust = toolchain.host_rust(ws, run=ask)
    if not os.access(rust.cargo.with_name(program), os.X_OK):
        raise MissingToolError(
            f"no {program}",
            why=f"Rust {rust.version} in {rust.cargo.parent} comes without it",
            fix="use a toolchain that has it; with rustup: rustup component add rustfmt clippy",
        )
    # Both find their compiler on PATH, and have to find the one that they belong to.
    path = os.pathsep.join([str(rust.cargo.parent), os.environ.get("PATH", os.defpath)])
    env = runner.child_env({"PATH": path, "CARGO_TARGET_DIR": str(cargo.target_dir(ws=ws)), "RUSTC": None})
    _run([rust.cargo, *words], ws.crate, ask, fix, env)


def _shell(script: str, ws: Workspace, ask: Run) -> None:
    if system.find_program("sh") is None:
        raise MissingToolError("no sh", why="it is not on PATH")
    _run(["sh", "-n", ws.root / script], ws.root, ask, "")


def _run(argv: Sequence[object], cwd: Path, ask: Run, fix: str, env: Optional[dict[str, str]] = None) -> None:
    try:
        ask(argv, timeout_s=runner.deadline(CHECK_S), cwd=cwd, env=env)
    except CommandFailedError as error:
        error.fix = fix if not isinstance(error, DeadlineError) else error.fix
        raise
