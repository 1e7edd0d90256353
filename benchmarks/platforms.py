"""The comparisons on the wheels of all platforms: one changed line, nothing changed, and size."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Sequence

from benchmarks import building, stopwatch
from benchmarks.place import Measure, Place, Side, change_a_line
from glean_steps import cargo, pipelines, project, runner, toolchain, zig
from glean_steps.errors import CommandFailedError, MissingArtifactError
from glean_steps.targets import TARGETS, Target, find_target
from glean_steps.workspace import Workspace

# One whose processor is not that of most machines.
ONE_TAG = "manylinux_2_17_aarch64"
SIZE_TAG = "manylinux_2_17_x86_64"


def one_line_changed(place: Place) -> Iterator[Dict[str, Side]]:
    """A copy of the checkout whose library has changed since the last build."""
    copy = place.copy
    folder = place.scratch / "bare"

    def ours(*targets: Target) -> float:
        change_a_line(copy.crate / "src")
        tags = [target.platform_tag for target in targets]
        argv = [sys.executable, "-c", building.BUILD_AND_AUDIT, copy.root, *tags]
        return stopwatch.run(argv, timeout_s=building.COMMAND_S, cwd=copy.root, env=runner.child_env()).seconds

    def bare(*targets: Target) -> float:
        change_a_line(copy.crate / "src")
        return sum(_bare_build(target, folder, copy) for target in targets)

    one = find_target(ONE_TAG)
    yield {
        "one wheel": lambda: ours(one),
        "one bare build": lambda: bare(one),
        "all wheels": lambda: ours(*TARGETS),
        "all bare builds": lambda: bare(*TARGETS),
    }


def _bare_build(target: Target, folder: Path, ws: Workspace) -> float:
    """Build the library of one target as somebody does who has cargo and cargo-zigbuild alone; return the seconds."""
    is_zig = target.linking == "zig"
    program: List[object] = (
        [zig.Zig().ensure(ws), "zigbuild"] if is_zig else [toolchain.rust_for(target, ws).cargo, "build"]
    )
    argv = [*program, "--release", "--locked", "--offline", "--package", project.LIBRARY_PACKAGE]
    argv += ["--manifest-path", ws.crate / "Cargo.toml", "--target-dir", folder / target.triple]
    argv += ["--target", f"{target.triple}.{target.glibc}".rstrip(".") if is_zig else target.triple]
    env = runner.child_env({**cargo.cross_env(target, ws=ws), "CARGO_TARGET_DIR": None})
    timed = stopwatch.run(argv, timeout_s=building.COMMAND_S, cwd=ws.crate, env=env)
    if "Compiling glean_core" not in timed.output:
        raise CommandFailedError("cargo compiled nothing", why="it did not see the changed line")
    return timed.seconds


def nothing_changed(place: Place) -> Iterator[Dict[str, Side]]:
    """The whole command again; the round that does not count makes the wheels."""
    folder = place.scratch / "maturin of all"
    shutil.copytree(place.ws.crate, folder, ignore=shutil.ignore_patterns("target"))
    (folder / "pyproject.toml").write_text(building.PYPROJECT, encoding="utf-8")
    yield {
        "build": lambda: building.typed(place, "nox", "-s", "build"),
        "maturin": lambda: sum(_maturin(target, folder, place) for target in TARGETS),
    }


def _maturin(target: Target, folder: Path, place: Place) -> float:
    """Build the wheel of one target with maturin; return the seconds."""
    out = folder / "dist" / target.platform_tag
    argv: List[object] = [place.baselines.with_name("maturin"), "build", "--release", "--offline"]
    argv += ["--target", target.triple, *(["--zig"] if target.linking == "zig" else [])]
    # It is asked for no tag: what it would have to look for is not what is compared.
    argv += ["--auditwheel", "skip", "--interpreter", place.baselines]
    argv += ["--target-dir", folder / "target" / target.triple, "--out", out]
    env = runner.child_env({**cargo.cross_env(target, ws=place.ws), "CARGO_TARGET_DIR": None})
    seconds = stopwatch.run(argv, timeout_s=building.COMMAND_S, cwd=folder, env=env).seconds
    if not list(out.glob("*.whl")):
        raise MissingArtifactError(f"maturin made no wheel for {target.triple}")
    return seconds


def wheel_size(place: Place) -> Iterator[Dict[str, Side]]:
    """The wheels for 64-bit Linux, ours and glean-sdk's."""

    def ours() -> float:
        with place.ws.locked():
            return float(pipelines.make_wheels([find_target(SIZE_TAG)], place.ws)[0].path.stat().st_size)

    yield {
        "our Linux wheel": ours,
        "their Linux wheel": lambda: float(building.glean_sdk_wheel(place, _linux_tags()).stat().st_size),
    }


def _linux_tags() -> Sequence[str]:
    return [f"manylinux_2_{minor}_x86_64" for minor in (17, 28, 34)]


MEASURES: Dict[str, Measure] = {
    "one line, every platform": one_line_changed,
    "nothing changed, every platform": nothing_changed,
    "size on Linux": wheel_size,
}


def versions(place: Place) -> Dict[str, str]:
    """Return the versions of everything that takes part."""
    pinned = (place.ws.root / project.LINKER_REQUIREMENTS).read_text(encoding="utf-8").split()
    return {
        "Rust": toolchain.rust_for(find_target(ONE_TAG), place.ws).version,
        **dict(word.split("==") for word in pinned if "==" in word),
        **place.versions("maturin", "glean-sdk"),
    }
