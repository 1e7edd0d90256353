"""Sessions: `nox -l` lists them, `python3 bootstrap.py nox -s NAME` runs one on a machine that has nothing yet.

The logic is in glean_steps; tasks.py calls the same recipes.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The `nox` program does not put the project's folder on sys.path.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import bootstrap

bootstrap.ensure()

import nox

from glean_steps import pipelines, targets

nox.options.default_venv_backend = "none"
nox.options.sessions = ["build_windows"]
nox.needs_version = ">=2024.3.2"


@nox.session
def build_windows(session: nox.Session) -> None:
    """Build, audit and prove the Windows wheels; they are in dist/ then. `-- --python 3.13` proves under another."""
    with pipelines.exit_codes():
        pipelines.build_windows(python=_option(session, "--python"))


@nox.session(name="build_windows(win_amd64)", default=False)
def build_windows_amd64(session: nox.Session) -> None:
    """The same for 64-bit Windows alone."""
    with pipelines.exit_codes():
        pipelines.build_windows([targets.find_target("win_amd64")], python=_option(session, "--python"))


@nox.session(name="build_windows(win32)", default=False)
def build_windows_win32(session: nox.Session) -> None:
    """The same for 32-bit Windows alone."""
    with pipelines.exit_codes():
        pipelines.build_windows([targets.find_target("win32")], python=_option(session, "--python"))


@nox.session(default=False)
def test_windows(session: nox.Session) -> None:
    """Run the Rust and Python tests under Wine. `-- --python 3.13 --arch amd64` chooses."""
    from glean_steps import suites

    with pipelines.exit_codes():
        arch = _option(session, "--arch")
        chosen = [targets.target_for_arch(arch)] if arch else targets.TARGETS
        suites.run_windows(python=_option(session, "--python"), targets=chosen)


@nox.session(default=False)
def tests(session: nox.Session) -> None:
    """Run every test lane that this machine can, and say which did not run and why."""
    from glean_steps import suites

    with pipelines.exit_codes():
        suites.run_all()


@nox.session(default=False)
def differential(session: nox.Session) -> None:
    """Compare with glean-sdk: the same random programs, pings field by field. `-- --count 500 --seed 7` chooses."""
    from glean_steps import differential as comparison

    with pipelines.exit_codes():
        comparison.run_fixed(session.posargs)


@nox.session(default=False)
def nightly(session: nox.Session) -> None:
    """The same with thousands of programs that no day before has seen, in several time zones."""
    from glean_steps import differential as comparison

    with pipelines.exit_codes():
        comparison.run_nightly(session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Fuzz the journal, the C boundary and the ping assembler for a bounded time. `-- --seconds 60 --target ffi`."""
    from glean_steps import fuzz as fuzzing

    with pipelines.exit_codes():
        fuzzing.run_all(session.posargs)


@nox.session(default=False)
def lint(session: nox.Session) -> None:
    """Check formatting, types and glean.h: ruff, mypy, rustfmt, clippy, cbindgen."""
    from glean_steps import lint as linting

    with pipelines.exit_codes():
        linting.run_all()


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure, baselines in the same run, and write docs/benchmarks.md. `-- --rounds 3 --only 1,2 --cold` chooses."""
    import benchmarks

    with pipelines.exit_codes():
        benchmarks.run_all(session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Make the documentation's site, its warnings and broken links errors. `-- --external` asks other servers too."""
    from glean_steps import docs as documentation

    with pipelines.exit_codes():
        documentation.build(session.posargs)


def _option(session: nox.Session, name: str) -> str | None:
    """Return the value behind an option among the arguments after `--`, or None."""
    words = list(session.posargs)
    if name in words and words.index(name) + 1 < len(words):
        return words[words.index(name) + 1]
    return next((word.partition("=")[2] for word in words if word.startswith(f"{name}=")), None)
