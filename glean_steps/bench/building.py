"""The rows on building: wheels, Windows Pythons, the suite under Wine, sizes."""

from __future__ import annotations

import shutil
import sys
from typing import Callable, Dict, Iterator, List, Set, Tuple

from glean_steps import (
    catalog,
    environments,
    interpreters,
    pins,
    pipelines,
    prove,
    report,
    runner,
    suites,
    toolchain,
    windows_python,
    wine,
    workspace,
)
from glean_steps.bench import peers, stopwatch
from glean_steps.bench.figures import Row
from glean_steps.bench.group import Group, Place, Side
from glean_steps.errors import CommandFailedError, MissingToolError, TestsFailedError
from glean_steps.targets import TARGETS
from glean_steps.workspace import Workspace

COMMAND_S = 1800.0

# What the recipe does between the toolchain and the proof, as one program of a checkout that is the first argument.
_BUILD_AND_AUDIT = """
import sys
sys.path.insert(0, sys.argv[1])
from glean_steps import cargo, pipelines, workspace
from glean_steps.targets import TARGETS
ws = workspace.here()
with ws.locked():
    libraries = cargo.build_libraries(TARGETS, ws=ws)
    wheels = pipelines.pack_all(TARGETS, {target: libraries[target.triple] for target in TARGETS}, ws)
    for target in TARGETS:
        pipelines.audit_wheel(wheels[target], target, ws)
"""


# --- nothing changed --------------------------------------------------------------------------------------------------


def _nothing_changed(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    folder = place.scratch / "maturin"
    program = peers.environment(place.ws)
    peers.make_maturin_project(folder, place.ws)
    yield {
        "build_windows": lambda: _build_windows(place.ws, up_to_date=True),
        "maturin": lambda: peers.run_maturin(folder, program, place.ws),
    }


def _build_windows(ws: Workspace, *, up_to_date: bool) -> float:
    """Run the command as somebody types it and return its seconds."""
    argv = [stopwatch.typed_python(), "bootstrap.py", "nox", "-s", "build_windows"]
    for _ in range(3):
        timed = stopwatch.run(argv, timeout_s=COMMAND_S, cwd=ws.root, env=stopwatch.typed_env())
        if not up_to_date or timed.output.count("up to date: built, audited and proven") == len(TARGETS):
            return timed.seconds
        report.say("  something in the checkout had changed; once more")
    raise CommandFailedError("the wheels are never up to date", why="something changes the checkout all the time")


# --- one line changed -------------------------------------------------------------------------------------------------


def _one_line_changed(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    copy, line = place.copy, place.line

    def changed(measure: Side) -> Side:
        def side() -> float:
            line.change()
            return measure()

        return side

    def build_and_audit() -> float:
        argv = [sys.executable, "-c", _BUILD_AND_AUDIT, copy.root]
        env = runner.child_env({"CARGO_TARGET_DIR": None, "PYTHONDONTWRITEBYTECODE": None})
        return stopwatch.run(argv, timeout_s=COMMAND_S, cwd=copy.root, env=env).seconds

    def build_and_prove() -> float:
        # This process's tool environment serves the copy too; bootstrap.py would make the copy one of its own.
        argv = [sys.executable, "-m", "nox", "-s", "build_windows"]
        env = runner.child_env({"CARGO_TARGET_DIR": None, "PYTHONDONTWRITEBYTECODE": None})
        return stopwatch.run(argv, timeout_s=COMMAND_S, cwd=copy.root, env=env).seconds

    folder = place.scratch / "cargo"
    yield {
        "both wheels": changed(build_and_audit),
        "both wheels, proven": changed(build_and_prove),
        "cargo once": changed(lambda: peers.bare_cargo_once(folder / "once", copy)),
        "cargo twice": changed(lambda: peers.bare_cargo_per_target(folder / "twice", copy, library_alone=False)),
        "cdylib twice": changed(lambda: peers.bare_cargo_per_target(folder / "cdylib", copy, library_alone=True)),
    }


# --- the Windows Python -----------------------------------------------------------------------------------------------


def _windows_python(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    copy, target, row = place.copy, TARGETS[0], peers.default_row()
    home = copy.state / "python" / f"{row.version}-{target.arch}"
    stamp = workspace.Stamp(copy.state / "stamps" / f"python-{row.version}-{target.arch}.json")

    def set_up() -> float:
        shutil.rmtree(home, ignore_errors=True)
        stamp.forget()
        return stopwatch.call(lambda: windows_python.ensure(row, target, copy))

    def wine_setup() -> float:
        argv = [stopwatch.typed_python(), "bootstrap.py", "invoke", "wine-setup"]
        return stopwatch.run(argv, timeout_s=COMMAND_S, cwd=place.ws.root, env=stopwatch.typed_env()).seconds

    with wine.session(target, copy) as warm:
        literal = copy.state / "python" / "literal"

        def recipe(pip_cache: bool) -> float:
            return stopwatch.call(lambda: peers.literal_recipe(literal, row, target, copy, warm, pip_cache=pip_cache))

        yield {
            "set-up": set_up,
            "wine-setup": wine_setup,
            "literal recipe": lambda: recipe(False),
            "literal recipe, pip cache": lambda: recipe(True),
        }


# --- the suite --------------------------------------------------------------------------------------------------------


def _python_suite(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    ws, target = place.ws, TARGETS[0]
    with ws.locked():
        row, host = _common_python(ws)
        program = environments.Environment(host.minor, "requirements/tests.txt", host.minor).ensure(ws)
        packed = pipelines.make_wheels([target], ws)[0].path
        with wine.session(target, ws) as warm:
            python = windows_python.ensure(row, target, ws)
            prove.install(packed, python, warm, ws)
            yield {
                "Wine": lambda: _suite_seconds(lambda: catalog.python_suite_in_wine(python, warm, ws)),
                "native": lambda: _suite_seconds(lambda: catalog.python_suite(program, ws)),
            }


def _common_python(ws: Workspace) -> tuple[pins.PythonRow, interpreters.CPython]:
    """Return a minor version that Windows and this machine both have, the default one if it is."""
    found = interpreters.find_all(ws)
    for row in (peers.default_row(), *pins.load().pythons):
        if row.minor in found:
            return row, found[row.minor]
    raise MissingToolError("no Python to compare with", why=f"this machine has {', '.join(found) or 'none'}")


def _suite_seconds(run_it: Callable[[], suites.Result]) -> float:
    results: List[suites.Result] = []
    seconds = stopwatch.call(lambda: results.append(run_it()))
    if results[0].failed:
        raise TestsFailedError("the suite failed", why="; ".join(results[0].notes))
    return seconds


# --- size -------------------------------------------------------------------------------------------------------------


def _wheel_size(place: Place, needed: Set[str]) -> Iterator[Dict[str, Side]]:
    target = TARGETS[0]

    def ours() -> float:
        with place.ws.locked():
            return float(pipelines.make_wheels([target], place.ws)[0].path.stat().st_size)

    def theirs() -> float:
        return float(peers.windows_wheel_of_peer(place.ws, target).stat().st_size)

    yield {"our wheel": ours, "their wheel": theirs}


# --- the table --------------------------------------------------------------------------------------------------------

_LITERAL = "the original's recipe in Wine, pip's own installer in place of get-pip.py"
_GET_PIP_NOTE = (
    "the recipe unzips the embeddable layout, lets pip's installer run under Wine and lets that pip install the same "
    "dependencies from the index, as in a new container. The server of get-pip.py is out of reach on the measuring "
    "machine; its equivalent stands in, the pinned pip wheel running its own installer from the index. Both sides run "
    "in the same warm prefix."
)

GROUPS: Tuple[Group, ...] = (
    Group(
        "nothing changed",
        (
            Row(
                "1",
                "`nox -s build_windows`, nothing changed",
                "maturin, same crate and targets, nothing changed",
                "build_windows",
                "maturin",
                goal=1.0,
            ),
        ),
        _nothing_changed,
        notes=(
            (
                "1",
                "ours is the whole process as typed, with Python's compiled modules kept as they are by default; "
                "maturin is its two calls, one per target, offline, with bindings cffi and a target folder of its own.",
            ),
        ),
    ),
    Group(
        "one line of Rust changed",
        (
            Row(
                "2",
                "both wheels after one line of Rust changed, packed, retagged and audited",
                "one `cargo build --release` for both targets",
                "both wheels",
                "cargo once",
                goal=1.15,
            ),
            Row(
                "2.1",
                "both wheels as in row 2",
                "the same as two calls, one after the other",
                "both wheels",
                "cargo twice",
            ),
            Row(
                "2.2",
                "both wheels as in row 2",
                "two `cargo build --package glean_core_cdylib`, one after the other",
                "both wheels",
                "cdylib twice",
            ),
            Row(
                "2.3",
                "both wheels as in row 2, proven under Wine too",
                "as in row 2",
                "both wheels, proven",
                "cargo once",
            ),
        ),
        _one_line_changed,
        notes=(
            (
                "2",
                "ours builds the shared library's package alone, both targets at once; the bare build makes the "
                "crate's rlib for itself, too. Row 2.2 compares with what ours asks cargo for. All "
                "have the same environment, the same changed line and a warm target folder of their own.",
            ),
        ),
    ),
    Group(
        "Windows Python",
        (
            Row(
                "3",
                "Windows Python with pip and test dependencies, downloads cached",
                _LITERAL,
                "set-up",
                "literal recipe",
                goal=0.33,
            ),
            Row(
                "3.1",
                "Windows Python as in row 3",
                "the recipe of row 3 with pip's own cache warm",
                "set-up",
                "literal recipe, pip cache",
            ),
            Row(
                "4",
                "the same, already set up (`invoke wine-setup`)",
                _LITERAL,
                "wine-setup",
                "literal recipe",
                goal=0.02,
            ),
        ),
        _windows_python,
        notes=(
            ("3", _GET_PIP_NOTE),
            (
                "4",
                "ours is the whole process as typed, as in row 1; the peer is that of row 3.",
            ),
        ),
    ),
    Group(
        "Python suite",
        (Row("5", "Python suite in Wine", "the same suite, native, same minor version", "Wine", "native", goal=2.0),),
        _python_suite,
        notes=(("5", "as a test lane runs it, wheel installed, in a warm Wine session."),),
    ),
    Group(
        "size",
        (
            Row(
                "6",
                "Windows wheel, 64-bit",
                "glean-sdk's win_amd64 wheel",
                "our wheel",
                "their wheel",
                unit="bytes",
                goal=0.35,
            ),
        ),
        _wheel_size,
        once=True,
    ),
)


def versions(ws: Workspace) -> Dict[str, str]:
    """Return the versions of everything that takes part in building."""
    rust = toolchain.prepare(TARGETS, ws)[TARGETS[0].triple]
    wine_here, _ = wine.ensure_prefix(TARGETS[0], ws)
    linker = runner.run([TARGETS[0].linker, "-dumpfullversion"], timeout_s=30, quiet=True, echo=False).stdout.strip()
    return {
        "Rust": rust.version,
        "mingw": f"gcc {linker}",
        "Wine": wine_here.version,
        "Windows Python": peers.default_row().version,
        "Python of the steps": sys.version.split()[0],
        "maturin": peers.pinned_version("maturin", ws),
        "glean-sdk": peers.pinned_version("glean-sdk", ws),
    }
