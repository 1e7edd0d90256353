"""The comparisons on the wheels of all platforms: one changed line, nothing changed, and size."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List

from benchmarks import building
from benchmarks.place import Measure, Place, Side, change_a_line
from glean_steps import cargo, project, runner, toolchain, zig
from glean_steps.targets import TARGETS, Target, find_target
from glean_steps.workspace import Workspace

# One whose processor is not that of most machines.
ONE_TAG = "manylinux_2_17_aarch64"
SIZE_TAG = "manylinux_2_17_x86_64"


def one_line_changed(place: Place) -> Iterator[Dict[str, Side]]:
    """A copy of the checkout whose library has changed since the last build."""
    copy = place.copy
    folder = place.scratch / "bare"

    def bare(*targets: Target) -> float:
        change_a_line(copy.crate / "src")
        return sum(_bare_build(target, folder, copy) for target in targets)

    one = find_target(ONE_TAG)
    yield {
        "one wheel": lambda: building.packed_after_a_change([one], copy),
        "one bare build": lambda: bare(one),
        "all wheels": lambda: building.packed_after_a_change(TARGETS, copy),
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
    return building.compiled(argv, env, ws)


def nothing_changed(place: Place) -> Iterator[Dict[str, Side]]:
    """The whole command again; the round that does not count makes the wheels."""
    yield {"build": lambda: building.typed(place, "nox", "-s", "build"), "maturin": building.maturin(TARGETS, place)}


def wheel_size(place: Place) -> Iterator[Dict[str, Side]]:
    """The wheels for 64-bit Linux, ours and glean-sdk's."""
    tags = [f"manylinux_2_{minor}_x86_64" for minor in (17, 28, 34)]
    ours, theirs = building.wheel_sizes(find_target(SIZE_TAG), tags, place)
    yield {"our Linux wheel": ours, "their Linux wheel": theirs}


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
