"""What is measured against: the peers' environment, a maturin project, the bare cargo call, the literal recipe."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from glean_steps import (
    cargo,
    interpreters,
    pins,
    report,
    runner,
    settings,
    toolchain,
    wheel,
    windows_python,
    wine,
    workspace,
)
from glean_steps.bench import stopwatch
from glean_steps.errors import CommandFailedError, MissingArtifactError, MissingToolError, OfflineError
from glean_steps.interpreters import CPython
from glean_steps.pins import PythonRow
from glean_steps.targets import TARGETS, Target
from glean_steps.wine import Wine
from glean_steps.workspace import Stamp, Workspace

BUILD_S = 1800.0
PIP_S = 900.0
OLDEST_MEASURED = (3, 11)
_SEPARATOR = "\x1f"

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

# Variables that name wheels lying on this machine, or forbid the index; the literal recipe has neither.
_LOCAL_WHEELS = ("PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CACHE_DIR")


# --- the environment --------------------------------------------------------------------------------------------------


def requirements_file(ws: Workspace) -> Path:
    """Return the pinned requirements of the peers."""
    return ws.root / "requirements" / "bench.txt"


def newest_python(ws: Workspace) -> CPython:
    """Return the newest CPython of this machine, whose calls are the quickest; free-threaded ones are another thing."""
    found = [python for python in interpreters.find_all(ws).values() if not python.free_threaded]
    if not found or _minor(found[-1]) < OLDEST_MEASURED:
        raise MissingToolError(
            "no CPython to measure in",
            why=f"this machine has {', '.join(python.version for python in found) or 'none'}",
            fix=f"install CPython {'.'.join(map(str, OLDEST_MEASURED))} or newer",
        )
    return found[-1]


def _minor(python: CPython) -> Tuple[int, ...]:
    return tuple(int(part) for part in python.version.split(".")[:2])


def environment(ws: Workspace) -> Path:
    """Return the Python of the environment that holds the peers, making it when it is not there or not up to date."""
    newest = newest_python(ws)
    home = ws.state / "venvs" / "bench"
    program = home / "bin" / "python"
    stamp = Stamp(ws.state / "stamps" / "venv-bench.json")
    key = workspace.fingerprint(2, newest.version, str(newest.executable), requirements_file(ws))
    if stamp.is_current(key):
        return program
    with report.step("make the environment of the peers"):
        _refuse_offline("the environment of the peers")
        stamp.forget()
        shutil.rmtree(home, ignore_errors=True)
        runner.run([newest.executable, "-m", "venv", home], timeout_s=120, quiet=True)
        argv = [program, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
        runner.run([*argv, "-r", requirements_file(ws)], timeout_s=PIP_S, quiet=True)
        stamp.write(key, files=[program])
    return program


def install_ours(program: Path, ws: Workspace) -> None:
    """Install our own wheel for this machine beside the peer."""
    packed = wheel.native_wheel(ws)
    argv = [program, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-index"]
    runner.run([*argv, "--force-reinstall", packed], timeout_s=120, quiet=True)


def installed_versions(projects: Sequence[str], ws: Workspace) -> Dict[str, str]:
    """Return the versions of projects in the peers' environment."""
    ask = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    argv: List[object] = [environment(ws), "-I", "-c", ask, *projects]
    done = runner.run(argv, timeout_s=60, quiet=True, split_stderr=True, echo=False)
    return dict(zip(projects, done.stdout.split()))


def pinned_version(project: str, ws: Workspace) -> str:
    """Return the version of a project in the requirements of the peers."""
    found = re.search(
        rf"^{re.escape(project)}==([^\s;]+)", requirements_file(ws).read_text(encoding="utf-8"), re.MULTILINE
    )
    if found is None:
        raise MissingArtifactError(f"no {project} in {requirements_file(ws)}")
    return found.group(1)


def windows_wheel_of_peer(ws: Workspace, target: Target) -> Path:
    """Return the peer's own Windows wheel from the cache, fetched once and checked against its pinned hashes."""
    version = pinned_version("glean-sdk", ws)
    folder = ws.cache / "wheels" / f"glean-sdk-{version}-{target.platform_tag}"
    found = sorted(folder.glob("*.whl"))
    if found:
        return found[0]
    _refuse_offline(f"the wheel of glean-sdk {version}")
    text = requirements_file(ws).read_text(encoding="utf-8").replace("\\\n", " ")
    pinned = next(line for line in text.splitlines() if line.startswith("glean-sdk=="))
    with workspace.new_folder(folder) as new:
        listed = new / "requirements.txt"
        listed.write_text(pinned + "\n", encoding="utf-8")
        runner.run(
            [
                *(sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"),
                *("--only-binary=:all:", "--platform", target.platform_tag, "--python-version", "3.11"),
                *("--require-hashes", "-d", new, "-r", listed),
            ],
            timeout_s=PIP_S,
            quiet=True,
        )
        listed.unlink()
    return next(folder.glob("*.whl"))


def _refuse_offline(what: str) -> None:
    if settings.OFFLINE.value():
        raise OfflineError(f"{what} is missing", why="GLEAN_OFFLINE forbids fetching it", fix="unset GLEAN_OFFLINE")


# --- maturin ----------------------------------------------------------------------------------------------------------


def make_maturin_project(folder: Path, ws: Workspace) -> None:
    """Lay out a copy of the crate with the least that maturin wants beside it."""
    shutil.copytree(ws.crate, folder, ignore=shutil.ignore_patterns("target"))
    (folder / "pyproject.toml").write_text(_PYPROJECT, encoding="utf-8")


def run_maturin(folder: Path, program: Path, ws: Workspace) -> float:
    """Build a wheel for each target with maturin, one call after the other; return the seconds of all."""
    seconds = 0.0
    for target in TARGETS:
        argv: List[object] = [
            program.with_name("maturin"),
            "build",
            "--release",
            "--offline",
            "--target",
            target.triple,
        ]
        argv += ["--interpreter", program, "--target-dir", folder / "target", "--out", folder / "dist"]
        env = runner.child_env({**cargo.cross_env(target, ws=ws), "CARGO_TARGET_DIR": None})
        seconds += stopwatch.run(argv, timeout_s=BUILD_S, cwd=folder, env=env).seconds
    wheels = sorted(path.name for path in (folder / "dist").glob("*.whl"))
    if len(wheels) != len(TARGETS):
        raise MissingArtifactError("maturin did not make one wheel per target", why=f"it made {', '.join(wheels)}")
    return seconds


# --- bare cargo -------------------------------------------------------------------------------------------------------


def bare_cargo_once(folder: Path, ws: Workspace) -> float:
    """Run one `cargo build --release` for all targets and both packages of the workspace; return its seconds."""
    rusts = toolchain.prepare(TARGETS, ws)
    if len({rust.rustc for rust in rusts.values()}) > 1:
        raise MissingToolError("one call cannot build all targets", why="two compilers build them here")
    argv: List[object] = [rusts[TARGETS[0].triple].cargo, "build", *_cargo_options(folder, ws)]
    env: Dict[str, Optional[str]] = {}
    for target in TARGETS:
        changes = cargo.cross_env(target, ws=ws)
        flags = changes.pop("CARGO_ENCODED_RUSTFLAGS").split(_SEPARATOR)
        env.update(changes)
        # One call has one environment but two sets of flags.
        argv += ["--target", target.triple, "--config", f"target.{target.triple}.rustflags={_toml(flags)}"]
    env.update({"CARGO_ENCODED_RUSTFLAGS": None, "RUSTFLAGS": None, "CARGO_TARGET_DIR": None})
    return _compiled(stopwatch.run(argv, timeout_s=BUILD_S, cwd=ws.crate, env=runner.child_env(env)))


def bare_cargo_per_target(folder: Path, ws: Workspace, *, library_alone: bool) -> float:
    """Run one cargo call per target, one after the other; return the seconds of all.

    Args:
        library_alone: build the shared library's package, as our recipe does, and not the crate's rlib for itself too.
    """
    rusts = toolchain.prepare(TARGETS, ws)
    seconds = 0.0
    for target in TARGETS:
        verb = ["build", "--package", "glean_core_cdylib"] if library_alone else ["build"]
        argv: List[object] = [rusts[target.triple].cargo, *verb, *_cargo_options(folder, ws), "--target", target.triple]
        env = runner.child_env({**cargo.cross_env(target, ws=ws), "CARGO_TARGET_DIR": None})
        seconds += _compiled(stopwatch.run(argv, timeout_s=BUILD_S, cwd=ws.crate, env=env))
    return seconds


def _cargo_options(folder: Path, ws: Workspace) -> List[object]:
    return ["--release", "--locked", "--offline", "--manifest-path", ws.crate / "Cargo.toml", "--target-dir", folder]


def _compiled(timed: stopwatch.Timed) -> float:
    """Return the seconds of a build, provided that it compiled the crate."""
    if "Compiling glean_core" not in timed.output:
        raise CommandFailedError(
            "nothing was compiled", why="the changed line did not count", tail=timed.output.splitlines()
        )
    return timed.seconds


def _toml(words: Sequence[str]) -> str:
    return json.dumps(list(words), ensure_ascii=False)


# --- the literal recipe -----------------------------------------------------------------------------------------------


def literal_recipe(
    home: Path, row: PythonRow, target: Target, ws: Workspace, warm: Wine, *, pip_cache: bool = False
) -> None:
    """Set up a Windows Python as the original does it, in Wine: unzip, let pip's installer run, install from the index.

    get-pip.py is a pip wheel with a script that runs it; here the pinned wheel of the same pip is run the same way, and
    like get-pip.py it fetches the pip that it installs.

    Args:
        pip_cache: let pip keep what it fetches for the next time; a new container has no such cache.
    """
    _refuse_offline("what the literal recipe installs")
    packed, _, _ = windows_python.obtain_archive(row, target, ws)
    installer = windows_python.download_wheel(row.pip, row, target, ws)
    names = requirement_names(row, ws)
    shutil.rmtree(home, ignore_errors=True)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(home)
    windows_python.open_site(home / f"python{row.digits}._pth")
    script = home / "get_pip.py"
    script.write_text(windows_python.PIP_FROM_WHEEL, encoding="utf-8")
    env: Dict[str, Optional[str]] = {name: None for name in _LOCAL_WHEELS}
    python = home / "python.exe"
    options = ["--no-warn-script-location", "--disable-pip-version-check", *([] if pip_cache else ["--no-cache-dir"])]
    for argv in (
        [python, script.name, wine.windows_path(installer), "install", f"pip=={row.pip.version}"],
        [python, "-m", "pip", "install", *names],
    ):
        warm.run(
            [*argv, *options],
            timeout_s=PIP_S,
            cwd=home,
            changes=env,
            quiet=True,
        )


def requirement_names(row: PythonRow, ws: Workspace) -> List[str]:
    """Return the test dependencies of a Windows Python as `name==version`, the very ones that our set-up installs."""
    text = (ws.root / "requirements" / "tests.txt").read_text(encoding="utf-8")
    return [line.split(" --hash=")[0].strip() for line in windows_python.select_requirements(text, row).splitlines()]


def default_row() -> PythonRow:
    """Return the Windows Python that proves a wheel when none is asked for."""
    return pins.find_python(None)


# --- a copy of the checkout -------------------------------------------------------------------------------------------


def copy_checkout(ws: Workspace, folder: Path) -> Workspace:
    """Copy the checkout without what runs made, so that it can be changed; the cache stays the user's."""
    ignore = shutil.ignore_patterns(
        ".git", ".glean", "dist", "build", "target", "__pycache__", ".*_cache", "*.egg-info"
    )
    shutil.copytree(ws.root, folder, ignore=ignore, symlinks=True)
    return Workspace(root=folder, cache=ws.cache)


class ChangingLine:
    """One line of the crate that says something else each time: the message of an `expect`, part of the library."""

    def __init__(self, ws: Workspace) -> None:
        self._count = 0
        for file in sorted((ws.crate / "src").rglob("*.rs")):
            text = file.read_text(encoding="utf-8")
            found = re.search(r'\.expect\("([^"\\{}]+)"\)', text)
            if found:
                self._file, self._before, self._after = file, text[: found.end(1)], text[found.end(1) :]
                return
        raise MissingArtifactError("no line to change", why="no source of the crate calls expect with a message")

    def change(self) -> None:
        """Write the line anew."""
        self._count += 1
        self._file.write_text(f"{self._before} ({os.getpid()}-{self._count}){self._after}", encoding="utf-8")
