"""The comparisons on building: wheels, Windows Pythons, the suite under Wine, sizes."""

from __future__ import annotations

import json
import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from benchmarks import stopwatch
from benchmarks.place import OLDEST_MEASURED, Measure, Place, Side, change_a_line
from glean_steps import cargo, environments, pins, pipelines, prove, report, runner, toolchain, windows_python, wine
from glean_steps.errors import CommandFailedError, MissingArtifactError, MissingToolError, TestsFailedError
from glean_steps.pins import PythonRow
from glean_steps.targets import WINDOWS, Target
from glean_steps.wine import Wine
from glean_steps.workspace import Workspace

COMMAND_S = 1800.0
PIP_S = 900.0
_SEPARATOR = "\x1f"

# What a build does between the toolchain and the proof, as one program; its arguments are a checkout and platform tags.
_BUILD_AND_AUDIT = """
import sys
from concurrent.futures import ThreadPoolExecutor
sys.path.insert(0, sys.argv[1])
from glean_steps import cargo, pipelines, wheel, workspace
from glean_steps.targets import find_target
ws = workspace.here()
targets = [find_target(tag) for tag in sys.argv[2:]]
libraries = cargo.build_libraries(targets, ws=ws)
def finish(target):
    pipelines.audit_wheel(wheel.pack_and_retag(libraries[target.triple], target, ws=ws), target, ws)
with ThreadPoolExecutor() as pool:
    list(pool.map(finish, targets))
"""

# cffi is the kind of binding that our own wheel has. The interpreter is named on the command line: maturin would look
# for a Windows one.
_PYPROJECT = """[build-system]
requires = ["maturin>=1,<2"]
build-backend = "maturin"

[project]
name = "glean_core"
version = "0"
dependencies = ["cffi"]

[tool.maturin]
bindings = "cffi"
"""

# Windows Python's embeddable layout ignores the folder of a script, so pip is run from its wheel by hand.
_PIP_FROM_WHEEL = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('pip', run_name='__main__')"
# Variables that name wheels on this machine, or forbid the index; the recipe has neither.
_LOCAL_WHEELS = ("PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CACHE_DIR")


# --- nothing changed --------------------------------------------------------------------------------------------------


def nothing_changed(place: Place) -> Iterator[Dict[str, Side]]:
    """The whole command again; the round that does not count makes the wheels."""
    yield {"build_windows": lambda: typed(place, "nox", "-s", "build_windows"), "maturin": maturin(WINDOWS, place)}


def typed(place: Place, *words: str) -> float:
    """Return the seconds of a command of the checkout, as somebody types it."""
    return stopwatch.typed(*words, cwd=place.ws.root, timeout_s=COMMAND_S).seconds


def maturin(targets: Sequence[Target], place: Place) -> Side:
    """Return a side that builds a wheel for each target with maturin, one after the other, in a copy of the crate.

    Targets that it fails for in the first round, which does not count, are left out.
    """
    # mingw's dlltool takes no path with a space.
    folder = place.scratch / f"maturin-{len(targets)}"
    shutil.copytree(place.ws.crate, folder, ignore=shutil.ignore_patterns("target"))
    (folder / "pyproject.toml").write_text(_PYPROJECT, encoding="utf-8")
    seconds: Dict[Target, float] = {}

    def first() -> None:
        for target in targets:
            try:
                seconds[target] = _run_maturin(target, folder, place)
            except CommandFailedError:
                report.say(f"  maturin does not build {target.platform_tag}: left out")
        if not seconds:
            raise MissingArtifactError("maturin builds none of the targets", why="each failed, as is said above")

    def run() -> float:
        if not seconds:
            first()
        else:
            seconds.update({target: _run_maturin(target, folder, place) for target in seconds})
        return sum(seconds.values())

    return run


def _run_maturin(target: Target, folder: Path, place: Place) -> float:
    out = folder / "dist" / target.platform_tag
    argv: List[object] = [place.baselines.with_name("maturin"), "build", "--release", "--offline"]
    argv += ["--target", target.triple, "--interpreter", place.baselines]
    argv += ["--target-dir", folder / "target", "--out", out]
    # It is asked for no tag: what it would have to look for is not what is compared.
    argv += ["--zig", "--auditwheel", "skip"] if target.linking == "zig" else []
    env = runner.child_env({**cargo.cross_env(target, ws=place.ws), "CARGO_TARGET_DIR": None})
    seconds = stopwatch.run(argv, timeout_s=COMMAND_S, cwd=folder, env=env).seconds
    if not list(out.glob("*.whl")):
        raise MissingArtifactError(f"maturin made no wheel for {target.triple}")
    return seconds


# --- one line changed -------------------------------------------------------------------------------------------------


def one_line_changed(place: Place) -> Iterator[Dict[str, Side]]:
    """A copy of the checkout whose library has changed since the last build."""
    copy = place.copy
    yield {
        "both wheels": lambda: packed_after_a_change(WINDOWS, copy),
        # This process's tool environment serves the copy too; bootstrap.py would make the copy one of its own.
        "both wheels, proven": lambda: _after_a_change([sys.executable, "-m", "nox", "-s", "build_windows"], copy),
        "cargo once": lambda: _bare_cargo(place.scratch / "cargo", copy),
    }


def packed_after_a_change(targets: Sequence[Target], copy: Workspace) -> float:
    """Change a line of a copy, and return the seconds until the wheels of these targets are packed and audited."""
    tags = [target.platform_tag for target in targets]
    return _after_a_change([sys.executable, "-c", _BUILD_AND_AUDIT, copy.root, *tags], copy)


def _after_a_change(argv: Sequence[object], copy: Workspace) -> float:
    change_a_line(copy.crate / "src")
    env = runner.child_env({"CARGO_TARGET_DIR": None, "PYTHONDONTWRITEBYTECODE": None})
    return stopwatch.run(argv, timeout_s=COMMAND_S, cwd=copy.root, env=env).seconds


def _bare_cargo(folder: Path, ws: Workspace) -> float:
    """Run one `cargo build --release` for all targets and both packages of the workspace; return its seconds."""
    change_a_line(ws.crate / "src")
    rusts = toolchain.prepare(WINDOWS, ws)
    if len({rust.rustc for rust in rusts.values()}) > 1:
        raise MissingToolError("one call cannot build all targets", why="two compilers build them here")
    argv: List[object] = [rusts[WINDOWS[0].triple].cargo, "build", "--release", "--locked", "--offline"]
    argv += ["--manifest-path", ws.crate / "Cargo.toml", "--target-dir", folder]
    env: Dict[str, Optional[str]] = {}
    for target in WINDOWS:
        changes = cargo.cross_env(target, ws=ws)
        flags = changes.pop("CARGO_ENCODED_RUSTFLAGS").split(_SEPARATOR)
        env.update(changes)
        # One call has one environment but two sets of flags; a list of JSON strings is one of TOML strings.
        argv += ["--target", target.triple, "--config", f"target.{target.triple}.rustflags={json.dumps(flags)}"]
    env.update({"CARGO_ENCODED_RUSTFLAGS": None, "RUSTFLAGS": None, "CARGO_TARGET_DIR": None})
    return compiled(argv, runner.child_env(env), ws)


def compiled(argv: Sequence[object], env: Mapping[str, str], ws: Workspace) -> float:
    """Run cargo and return its seconds.

    Raises:
        CommandFailedError: it did not compile the crate.
    """
    timed = stopwatch.run(argv, timeout_s=COMMAND_S, cwd=ws.crate, env=env)
    if "Compiling glean_core" not in timed.output:
        raise CommandFailedError("cargo compiled nothing", why="it did not see the changed line")
    return timed.seconds


# --- the Windows Python -----------------------------------------------------------------------------------------------


def windows_pythons(place: Place) -> Iterator[Dict[str, Side]]:
    """The default Windows Python, set up in a warm prefix."""
    copy, target, row = place.copy, WINDOWS[0], pins.find_python(None)
    with wine.session(target, copy) as warm:
        home = windows_python.ensure(row, target, copy).executable.parent

        def set_up() -> float:
            shutil.rmtree(home)
            return stopwatch.call(lambda: windows_python.ensure(row, target, copy))

        yield {
            "set up": set_up,
            "wine-setup": lambda: typed(place, "invoke", "wine-setup"),
            "literal recipe": lambda: stopwatch.call(
                lambda: _literal_recipe(home.with_name("literal"), row, copy, warm)
            ),
        }


def _literal_recipe(home: Path, row: PythonRow, ws: Workspace, warm: Wine) -> None:
    """Set up a Windows Python as Mozilla's CI does it, in Wine: unzip, let pip's installer run, install from the index.

    get-pip.py is a pip wheel with a script that runs it; here the pinned wheel of the same pip is run the same way, and
    like get-pip.py it fetches the pip that it installs.
    """
    target = WINDOWS[0]
    packed, _, _ = windows_python.obtain_archive(row, target, ws)
    installer = wine.windows_path(windows_python.download_wheel(row.pip, row, target, ws))
    pinned = windows_python.select_requirements((ws.root / "requirements/tests.txt").read_text(encoding="utf-8"), row)
    names = [line.split(" --hash=")[0].strip() for line in pinned.splitlines()]
    shutil.rmtree(home, ignore_errors=True)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(home)
    windows_python.open_site(home / f"python{row.digits}._pth")
    options = ["--no-warn-script-location", "--disable-pip-version-check", "--no-cache-dir"]
    env: Dict[str, Optional[str]] = {name: None for name in _LOCAL_WHEELS}
    for words in (
        ["-c", _PIP_FROM_WHEEL, installer, "install", f"pip=={row.pip.version}"],
        ["-m", "pip", "install", *names],
    ):
        argv = [home / "python.exe", *words, *options]
        warm.run(argv, timeout_s=PIP_S, cwd=home, changes=env, quiet=True)


# --- the suite --------------------------------------------------------------------------------------------------------


def python_suite(place: Place) -> Iterator[Dict[str, Side]]:
    """The tests that pass natively and under Wine, with the same minor version of Python."""
    ws, target = place.ws, WINDOWS[0]
    minor = environments.newest_python(ws, OLDEST_MEASURED).minor
    tests, chosen = place.scratch / "tests", place.scratch / "chosen"
    shutil.copytree(ws.root / "tests", tests, ignore=shutil.ignore_patterns("__pycache__"))
    with ws.locked(), wine.session(target, ws) as warm:
        packed = pipelines.make_wheels([target], ws)[0].path
        windows = windows_python.ensure(pins.find_python(minor), target, ws)
        prove.install(packed, windows, warm, ws)

        def suite(program: Path, words: Sequence[object]) -> runner.Completed:
            argv = [program, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
            run = warm.run if program == windows.executable else runner.run
            return run(argv, timeout_s=COMMAND_S, cwd=tests, check=False, quiet=True)

        both = [passed(suite(program, ["-rp", "bindings"]).stdout) for program in (place.python, windows.executable)]
        chosen.write_text("".join(f"{name}\n" for name in both[0] if name in both[1]), encoding="utf-8")

        def timed(program: Path, names: str) -> float:
            def work() -> None:
                done = suite(program, [f"@{names}"])
                if done.status:
                    raise TestsFailedError("the suite failed", why=done.stdout[-300:])

            return stopwatch.call(work)

        yield {
            "Wine": lambda: timed(windows.executable, wine.windows_path(chosen)),
            "native": lambda: timed(place.python, str(chosen)),
        }


def passed(output: str) -> List[str]:
    """Return the names of the tests that `pytest -rp` reports as passed.

    Raises:
        TestsFailedError: there are none.
    """
    names = re.findall(r"^PASSED (\S.*?)\s*$", output, re.MULTILINE)
    if not names:
        raise TestsFailedError("no test passed", why=output[-300:])
    return names


# --- size -------------------------------------------------------------------------------------------------------------


def wheel_size(place: Place) -> Iterator[Dict[str, Side]]:
    """The wheels for 64-bit Windows, ours and glean-sdk's."""
    ours, theirs = wheel_sizes(WINDOWS[0], [WINDOWS[0].platform_tag], place)
    yield {"our wheel": ours, "their wheel": theirs}


def wheel_sizes(target: Target, tags: Sequence[str], place: Place) -> Tuple[Side, Side]:
    """Return the sides of a target's wheel: ours, and glean-sdk's for one of these platform tags."""

    def ours() -> float:
        with place.ws.locked():
            return float(pipelines.make_wheels([target], place.ws)[0].path.stat().st_size)

    return ours, lambda: float(_glean_sdk_wheel(place, tags).stat().st_size)


def _glean_sdk_wheel(place: Place, tags: Sequence[str]) -> Path:
    """Fetch the pinned glean-sdk's wheel for one of these platform tags."""
    folder, listed = place.scratch / f"glean-sdk-{tags[0]}", place.scratch / "glean-sdk.txt"
    text = (place.ws.root / "requirements/bench.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    listed.write_text(next(line for line in text.splitlines() if line.startswith("glean-sdk==")), encoding="utf-8")
    argv = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    argv += ["--only-binary=:all:", "--python-version", "3.11"]
    argv += [word for tag in tags for word in ("--platform", tag)]
    options = ["--require-hashes", "-d", folder, "-r", listed]
    runner.run([*argv, *options], timeout_s=environments.PIP_S, quiet=True)
    return next(folder.glob("*.whl"))


MEASURES: Dict[str, Measure] = {
    "nothing changed": nothing_changed,
    "one line of Rust changed": one_line_changed,
    "Windows Python": windows_pythons,
    "Python suite": python_suite,
    "size": wheel_size,
}


def versions(place: Place) -> Dict[str, str]:
    """Return the versions of everything that takes part in building."""
    target = WINDOWS[0]
    linker = runner.run([target.linker, "-dumpfullversion"], timeout_s=30, quiet=True, echo=False).stdout.strip()
    return {
        "Rust": toolchain.prepare(WINDOWS, place.ws)[target.triple].version,
        "mingw": f"gcc {linker}",
        "Wine": wine.ensure_prefix(target, place.ws)[0].version,
        "Windows Python": pins.find_python(None).version,
        "Python of the steps": sys.version.split()[0],
        **place.versions("maturin", "glean-sdk"),
    }
