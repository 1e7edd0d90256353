"""Fuzzing of the core: cargo-fuzz builds the fuzz targets of the crate, each one runs for a bounded time."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from glean_steps import cargo, project, report, runner, settings, system, toolchain
from glean_steps.prerequisites import Probe
from glean_steps.suites import Result
from glean_steps.workspace import Workspace

DEFAULT_SECONDS = 60
BUILD_S = 1800.0
# What a target may take beside its time: reading the corpus of former runs, and the last input.
SLACK_S = 300.0
SANITIZERS = ("address", "none")
# Found by measuring: the targets need up to 500 MB with the address sanitizer, and no input takes a second.
LIMITS = ("-rss_limit_mb=2048", "-timeout=20", "-max_len=16384")

CXX_COMPILER = system.Tool(name="c++", why="builds libFuzzer", packages=(("g++",),), programs=("c++",))


@dataclass(frozen=True)
class Programs:
    """The built fuzz targets, as a prerequisite.

    Attributes:
        targets: their names.
        sanitizer: `address` or `none`; the best there is when empty.
    """

    targets: Tuple[str, ...]
    sanitizer: str = ""
    name: str = "fuzz targets"

    def probe(self, ws: Workspace) -> Probe:
        """Say what building them lacks."""
        absent = tuple(tool.name for tool in system.missing([system.C_COMPILER]))
        return Probe("built by cargo-fuzz", missing=absent, later="builds the fuzz targets")

    def ensure(self, ws: Workspace) -> Dict[str, Path]:
        """Return their programs by name, building them if need be."""
        with ws.locked():
            return build(self.targets, self.sanitizer, ws)


def targets(ws: Workspace) -> List[str]:
    """Return the names of the fuzz targets, in the order of the manifest."""
    return project.fuzz_targets((ws.crate / project.FUZZ_MANIFEST).read_text(encoding="utf-8"))


def build(names: Sequence[str], sanitizer: str, ws: Workspace) -> Dict[str, Path]:
    """Build the targets and return their programs by name.

    A stable compiler does it: `RUSTC_BOOTSTRAP` lets it take the flags of a sanitizer.
    """
    manifest = ws.crate / project.FUZZ_MANIFEST
    program = toolchain.cargo_program("cargo-fuzz", manifest, ws)
    rust = toolchain.host_rust(ws)
    system.require([system.C_COMPILER, CXX_COMPILER], ws)
    runtimes = (toolchain.machine_sysroot(rust) / "lib" / "rustlib" / rust.host / "lib").glob("librustc-*_rt.asan.*")
    sanitizer = sanitizer or ("address" if any(runtimes) else "none")
    folder = cargo.target_dir(ws=ws) / "fuzz"
    with report.step(f"build the fuzz targets (sanitizer: {sanitizer})"):
        changes = {"CARGO": str(rust.cargo), "RUSTC": str(rust.rustc), "RUSTC_BOOTSTRAP": "1"}
        if settings.OFFLINE.value():
            changes["CARGO_NET_OFFLINE"] = "true"
        env = runner.child_env(changes)
        for name in names:
            argv: List[object] = [program, "fuzz", "build", "--sanitizer", sanitizer]
            argv += ["--target", rust.host, "--target-dir", folder, name]
            ws.run(argv, timeout_s=BUILD_S, cwd=ws.crate, env=env)
    return {
        name: toolchain.made_file(
            folder / rust.host / "release" / name,
            f"no fuzz target {name} after building it",
            by="cargo-fuzz",
            fix=f"check {manifest}",
        )
        for name in names
    }


def run_target(name: str, program: Path, seconds: int, ws: Workspace) -> Result:
    """Run one target; what it found before is tried first, so a finding stays one until it is mended."""
    home = ws.state / "fuzz" / name
    folders = {kind: home / kind for kind in ("corpus", "seeds", "findings", "empty")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    before = set(folders["findings"].iterdir())
    argv: List[object] = [program, folders["corpus"], folders["seeds"], folders["findings"]]
    argv += [f"-max_total_time={seconds}", f"-artifact_prefix={folders['findings']}{os.sep}", *LIMITS]
    argv += ["-print_final_stats=1"]
    env = runner.child_env({project.FUZZ_SEEDS: str(folders["seeds"]), "RUST_BACKTRACE": "1"})
    # In an empty folder: one that is made in the working directory by mistake is seen.
    done = ws.run(argv, timeout_s=seconds + SLACK_S, cwd=folders["empty"], env=env, check=False, quiet=True)
    inputs = _stat(done.stdout, "number_of_executed_units")
    result = Result("", notes=[f"{inputs} inputs in {seconds} s, {_stat(done.stdout, 'peak_rss_mb')} MB"])
    if done.status == 0:
        result.passed = 1
    else:
        result.failed = 1
        report.say("\n".join(done.stdout.splitlines()[-runner.TAIL_LINES :]))
        new = sorted(set(folders["findings"].iterdir()) - before) or sorted(before)
        result.notes.append(f"ended with exit status {done.status}: {_reason(done.stdout)}")
        result.notes += [f"the input is {path}; again: {program} {path}" for path in new[:3]]
    left = sorted(path.name for path in folders["empty"].iterdir())
    if left:
        result.failed = 1
        result.notes.append(f"it wrote to the working directory: {', '.join(left)}")
    return result


def _stat(output: str, name: str) -> str:
    """Return one of the closing numbers of libFuzzer."""
    found = re.findall(rf"^stat::{name}:\s*(\d+)", output, re.MULTILINE)
    return found[-1] if found else "?"


def _reason(output: str) -> str:
    """Return the line that says best what went wrong."""
    lines = output.splitlines()
    for place, line in enumerate(lines):
        if "panicked at" in line:
            return " ".join(lines[place : place + 2])[:300]
    return next((line for line in lines if "ERROR: " in line or "SUMMARY: " in line), "it said nothing")[:300]
