"""Tasks: `inv -l` lists them, `python3 bootstrap.py invoke NAME` runs one on a machine that has nothing yet.

Each is one step, usable alone and in any order: what it needs it makes, what is up to date it skips. The logic is in
glean_steps; noxfile.py calls the same recipes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bootstrap

bootstrap.ensure()

from invoke.context import Context
from invoke.tasks import task

from glean_steps import pipelines

_CHOICES = {
    "target": "target triple or platform tag, such as i686-pc-windows-gnu or win32; all when absent",
    "python": "Windows Python, such as 3.13 or 3.7.9; the default one of pins.toml when absent",
    "arch": "Windows architecture, amd64 or win32; amd64 when absent",
}


def _help(*names: str) -> dict[str, str]:
    return {name: _CHOICES[name] for name in names}


@task
def doctor(context: Context) -> None:
    """Say what is here, what is missing, the line that brings it, and which lanes will run."""
    from glean_steps import doctor as examination

    with pipelines.exit_codes():
        raise SystemExit(examination.run())


@task(help=_help("target"))
def toolchain(context: Context, target: Optional[str] = None) -> None:
    """Get a Rust standard library and a linker for the targets."""
    with pipelines.exit_codes():
        pipelines.toolchain(target)


@task(help=_help("target"))
def build(context: Context, target: Optional[str] = None) -> None:
    """Cross-compile the core library."""
    with pipelines.exit_codes():
        pipelines.build(target)


@task(help=_help("target"))
def wheel(context: Context, target: Optional[str] = None) -> None:
    """Build and pack a wheel into .glean/wheels, not yet retagged."""
    with pipelines.exit_codes():
        pipelines.pack(target)


@task(help={**_help("target"), "wheel": "a wheel file; the one of the `wheel` task when absent"})
def retag(context: Context, target: Optional[str] = None, wheel: Optional[str] = None) -> None:
    """Give a wheel its platform tag."""
    with pipelines.exit_codes():
        pipelines.retag(target, wheel)


@task(help={**_help("target"), "wheel": "a wheel file; the one in dist/ or .glean/wheels when absent"})
def audit(context: Context, target: Optional[str] = None, wheel: Optional[str] = None) -> None:
    """Open a wheel again and check that its name, metadata and library agree."""
    with pipelines.exit_codes():
        pipelines.audit(target, wheel)


@task(name="wine-setup", help=_help("python", "arch"))
def wine_setup(context: Context, python: Optional[str] = None, arch: Optional[str] = None) -> None:
    """Make the Wine prefix and a Windows Python with pip and test dependencies in it."""
    with pipelines.exit_codes():
        pipelines.wine_setup(python, arch)


@task(name="wine-run", help=_help("python", "arch"))
def wine_run(context: Context, python: Optional[str] = None, arch: Optional[str] = None) -> None:
    """Run Windows Python with the arguments after `--`; the exit status is Python's."""
    with pipelines.exit_codes():
        raise SystemExit(
            pipelines.wine_run(python, arch, sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else [])
        )


@task(name="wine-test", help=_help("python", "arch"))
def wine_test(context: Context, python: Optional[str] = None, arch: Optional[str] = None) -> None:
    """Run the Rust and Python tests under Wine."""
    from glean_steps import suites, targets

    with pipelines.exit_codes():
        chosen = [targets.target_for_arch(arch)] if arch else targets.TARGETS
        suites.run_windows(python=python, targets=chosen)


@task(help={"target": "target triple or platform tag; x86_64-pc-windows-gnu when absent"})
def env(context: Context, target: Optional[str] = None) -> None:
    """Print a target's cross environment for a shell: eval "$(python3 bootstrap.py invoke env)"."""
    with pipelines.exit_codes():
        pipelines.print_env(target)


@task
def header(context: Context) -> None:
    """Write glean_core/include/glean.h anew from the Rust sources."""
    with pipelines.exit_codes():
        pipelines.write_header()


@task(help={"write": "write newer versions of pip to pins.toml; without it they are only printed"})
def pins(context: Context, write: bool = False) -> None:
    """Check every pin against its server, and offer newer versions of pip."""
    from glean_steps import renew

    with pipelines.exit_codes():
        renew.run(write=write)


@task(help={"cache": "the user's cache too: downloads, standard libraries, the 32-bit Wine root"})
def clean(context: Context, cache: bool = False) -> None:
    """Remove what runs made: .glean/ and build folders; dist/ and the tool environment stay."""
    with pipelines.exit_codes():
        pipelines.clean(cache=cache)
