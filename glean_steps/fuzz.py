"""Fuzzing of the core: cargo-fuzz builds the targets of glean_core/fuzz, each one runs for a bounded time."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from glean_steps import cargo, fetch, report, runner, suites, system, toolchain, workspace
from glean_steps.errors import MissingArtifactError, SettingError, StepError
from glean_steps.runner import Run
from glean_steps.toolchain import Rust
from glean_steps.workspace import Workspace

DEFAULT_SECONDS = 60
BUILD_S = 1800.0
QUERY_S = 60.0
# What a target may take beside its time: reading the corpus of former runs, and the last input.
SLACK_S = 300.0
SANITIZERS = ("address", "none")
# Found by measuring: the targets need up to 500 MB with the address sanitizer, and no input takes a second.
LIMITS = ("-rss_limit_mb=2048", "-timeout=20", "-max_len=16384")

CXX_COMPILER = system.Tool(
    name="c++",
    why="builds libFuzzer",
    packages=(("g++",),),
    programs=("c++",),
)


@dataclass(frozen=True)
class Options:
    """What stands after `--`.

    Attributes:
        seconds: how long each target runs.
        targets: which ones; all when empty.
        sanitizer: `address` or `none`; the best there is when empty.
    """

    seconds: int = DEFAULT_SECONDS
    targets: Sequence[str] = ()
    sanitizer: str = ""


def run_all(
    arguments: Sequence[str] = (), *, ws: Optional[Workspace] = None, run: Run = runner.run
) -> List[suites.LaneResult]:
    """Build the targets and run each one; print the closing table.

    `--seconds N` is the time of each, `--target NAME` chooses one and may repeat, `--sanitizer` is address or none.

    Raises:
        TestsFailedError: a target found something, or none could run.
    """
    ws = ws or workspace.here()
    options = parse(arguments, targets(ws))
    chosen = list(options.targets) or targets(ws)
    programs: Dict[str, Path] = {}
    problem: List[StepError] = []
    with workspace.checkout_lock(ws):
        try:
            programs = build(chosen, options.sanitizer, ws, run=run)
        except StepError as error:
            problem.append(error)

    def result(name: str) -> suites.LaneResult:
        if problem:
            raise problem[0]
        return _run_target(name, programs[name], options.seconds, ws, run)

    return suites.finish([suites._lane(f"fuzz, {name}", lambda name=name: result(name)) for name in chosen])  # type: ignore[misc]


def parse(arguments: Sequence[str], known: Sequence[str]) -> Options:
    """Return the options of a command line.

    Raises:
        SettingError: an option or a target that there is not, or a time that is no number.
    """
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    options = Options()
    for name, value in zip(words[::2], [*words[1::2], ""]):
        if name == "--seconds" and value.isdigit() and int(value) > 0:
            options = Options(int(value), options.targets, options.sanitizer)
        elif name == "--target" and value in known:
            options = Options(options.seconds, (*options.targets, value), options.sanitizer)
        elif name == "--sanitizer" and value in SANITIZERS:
            options = Options(options.seconds, options.targets, value)
        else:
            raise SettingError(
                f"fuzzing does not know {name} {value}".rstrip(),
                why=f"it takes --seconds N, --target of {', '.join(known)}, and --sanitizer of {', '.join(SANITIZERS)}",
                fix="python3 bootstrap.py nox -s fuzz -- --seconds 600 --target journal",
            )
    return options


def targets(ws: Workspace) -> List[str]:
    """Return the names of the fuzz targets, in the order of the manifest."""
    return re.findall(r'^path = "fuzz_targets/(\w+)\.rs"$', _manifest(ws), re.MULTILINE)


def build(names: Sequence[str], sanitizer: str, ws: Workspace, *, run: Run = runner.run) -> Dict[str, Path]:
    """Build the targets and return their programs by name.

    A stable compiler does it: `RUSTC_BOOTSTRAP` lets it take the flags of a sanitizer.
    """
    program = cargo_fuzz(ws, run=run)
    rust = toolchain.host_rust(ws, run=run)
    system.require([system.C_COMPILER, CXX_COMPILER], run=run)
    verbose = run([rust.rustc, "-vV"], timeout_s=runner.deadline(QUERY_S), quiet=True, echo=False).stdout
    triple = verbose.partition("host: ")[2].partition("\n")[0].strip()
    sanitizer = sanitizer or best_sanitizer(rust, triple)
    folder = cargo.target_dir(ws=ws) / "fuzz"
    with report.step(f"build the fuzz targets (sanitizer: {sanitizer})"):
        env = runner.child_env(_cargo_env(rust))
        for name in names:
            argv: List[object] = [program, "fuzz", "build", "--sanitizer", sanitizer]
            argv += ["--target", triple, "--target-dir", folder, name]
            run(argv, timeout_s=runner.deadline(BUILD_S), cwd=ws.crate, env=env)
    made = {name: folder / triple / "release" / name for name in names}
    for path in made.values():
        if not path.is_file():
            raise MissingArtifactError(
                f"no fuzz target {path.name} after building it",
                why=f"cargo-fuzz succeeded but {path} does not exist",
                fix="check glean_core/fuzz/Cargo.toml",
            )
    return made


def best_sanitizer(rust: Rust, triple: str) -> str:
    """Return `address` where the compiler came with what that needs, else `none`."""
    folder = toolchain.machine_sysroot(rust) / "lib" / "rustlib" / triple / "lib"
    return "address" if any(folder.glob("librustc-*_rt.asan.*")) else "none"


def cargo_fuzz(ws: Workspace, *, run: Run = runner.run) -> Path:
    """Return the pinned cargo-fuzz from the cache, installing it there when it is missing (once, about a minute)."""
    return toolchain.cargo_program("cargo-fuzz", pinned_version(ws), ws, run=run)


def pinned_version(ws: Workspace) -> str:
    """Return the version in the comment `# cargo-fuzz-version: X` of the fuzz manifest.

    Raises:
        SettingError: there is no such comment.
    """
    found = re.search(r"^#\s*cargo-fuzz-version:\s*([0-9][0-9A-Za-z.+-]*)\s*$", _manifest(ws), re.MULTILINE)
    if found is None:
        raise SettingError(
            "cargo-fuzz has no pinned version",
            why="glean_core/fuzz/Cargo.toml has no line such as `# cargo-fuzz-version: 0.13.2`",
            fix="add the line",
        )
    return found.group(1)


def _manifest(ws: Workspace) -> str:
    path = ws.crate / "fuzz" / "Cargo.toml"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingError("cannot read the fuzz manifest", why=str(error), fix=f"put it back at {path}") from error


def _cargo_env(rust: Rust) -> Dict[str, Optional[str]]:
    env: Dict[str, Optional[str]] = {"CARGO": str(rust.cargo), "RUSTC": str(rust.rustc), "RUSTC_BOOTSTRAP": "1"}
    if fetch.is_offline():
        env["CARGO_NET_OFFLINE"] = "true"
    return env


def _run_target(name: str, program: Path, seconds: int, ws: Workspace, run: Run) -> suites.LaneResult:
    """Run one target; what it found before is tried first, so a finding stays one until it is mended."""
    home = ws.state / "fuzz" / name
    folders = {kind: home / kind for kind in ("corpus", "seeds", "findings", "empty")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    before = set(folders["findings"].iterdir())
    argv: List[object] = [program, folders["corpus"], folders["seeds"], folders["findings"]]
    argv += [f"-max_total_time={seconds}", f"-artifact_prefix={folders['findings']}{os.sep}", *LIMITS]
    argv += ["-print_final_stats=1"]
    env = runner.child_env({"GLEAN_FUZZ_SEEDS": str(folders["seeds"]), "RUST_BACKTRACE": "1"})
    deadline = runner.deadline(seconds + SLACK_S)
    # In an empty folder: one that is made in the working directory by mistake is seen.
    done = run(argv, timeout_s=deadline, cwd=folders["empty"], env=env, check=False, quiet=True)
    inputs = _stat(done.stdout, "number_of_executed_units")
    result = suites.LaneResult("", notes=[f"{inputs} inputs in {seconds} s, {_stat(done.stdout, 'peak_rss_mb')} MB"])
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
