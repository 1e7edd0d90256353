"""The environment of a cross build, the build, and the crate's tests.

A cross build is an ordinary cargo call in an environment: `cross_env` computes it, everything else applies it.
"""

from __future__ import annotations

import json
import os
import shlex
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

from glean_steps import library, project, report, runner, settings, system, toolchain, workspace, zig
from glean_steps.errors import MissingToolError
from glean_steps.runner import Completed
from glean_steps.targets import HOST, TARGETS, Target
from glean_steps.toolchain import Rust
from glean_steps.workspace import Workspace

FETCH_S = 900.0
BUILD_S = 3600.0
TEST_S = 3600.0
METADATA_S = 300.0
QUERY_S = 60.0
_SEPARATOR = "\x1f"
# No DLL of the compiler beside the library, and the same bytes on every day.
_MINGW_FLAGS = ("-Clink-arg=-static-libgcc", "-Clink-arg=-Wl,--no-insert-timestamp")


def cross_env(target: Target, *, ws: Workspace) -> Dict[str, str]:
    """Return the changes to the environment that make cargo build for `target`, and no path of this machine in it.

    What the caller already set stays out of it and so wins. Flags are merged: the caller's first, ours after.
    """
    rust = toolchain.rust_for(target, ws)
    changes = {"CARGO": str(rust.cargo), "RUSTC": str(rust.rustc), "RUSTDOC": str(rust.rustdoc)}
    flags = list(target.flags)
    if target.linking == "zig":
        zig.Zig().ensure(ws)
        changes.update(zig.env(ws))
    elif target.linking == "mingw":
        under = target.triple.replace("-", "_")
        changes[f"CARGO_TARGET_{target.env_name}_LINKER"] = changes[f"CC_{under}"] = target.linker
        changes[f"AR_{under}"] = target.dlltool.replace("dlltool", "ar")
        flags = [*_MINGW_FLAGS, *flags]
    changes.update(target.environment)
    kept = {name: value for name, value in changes.items() if not os.environ.get(name)}
    sysroot = ["--sysroot", str(rust.sysroot)] if rust.sysroot else []
    ours = [*sysroot, *flags]
    for_target = f"CARGO_TARGET_{target.env_name}_RUSTFLAGS"
    kept.update(_flags("RUSTFLAGS", [*ours, *project.RUST_FLAGS, *_path_flags(rust, ws)], ws, for_target))
    if ours:
        kept.update(_flags("RUSTDOCFLAGS", ours, ws))  # rustdoc replaces no paths outside nightly.
    return kept


def print_env(target: Target, *, ws: Workspace) -> str:
    """Return `cross_env` as lines that a POSIX shell can `eval`, the separator of flags written so that it is seen."""
    changes = cross_env(target, ws=ws)
    return "".join(f"export {name}={_shell_word(value)}\n" for name, value in sorted(changes.items()))


def target_dir(target: Target = HOST, *, ws: Workspace) -> Path:
    """Return cargo's target folder: CARGO_TARGET_DIR, else the crate's own.

    Each cross target has one of its own in there: cargo locks a target folder whole, so two builds would wait for each
    other.
    """
    chosen = os.environ.get("CARGO_TARGET_DIR")
    base = Path(chosen).absolute() if chosen else ws.crate / "target"
    # mingw's dlltool starts the assembler with a temporary file whose path it does not quote; and its linker sorts what
    # is imported by the paths of files, of which some are in here and the others below /usr.
    if " " in str(base) or (target.dlltool and not chosen and str(base) > "/usr"):
        base = ws.cache / "targets" / workspace.fingerprint(str(base))[:12]
    return base / "cross" / target.triple if target.triple else base


def build_libraries(targets: Iterable[Target], *, ws: Workspace) -> Dict[str, Path]:
    """Build the core library for all `targets` at once; return the paths by triple.

    Raises:
        CommandFailedError: cargo failed; holds its exit status and last lines.
        MissingArtifactError: cargo succeeded but the library is not there.
        MissingToolError: there is no Rust or no linker for the target, and none may be installed.
    """
    wanted = list(targets)
    rusts = toolchain.prepare(wanted, ws)
    if any(target.linking == "zig" for target in wanted):
        zig.Zig().ensure(ws)  # What is missing is made once, before the threads.

    def build(target: Target) -> Path:
        folder = target_dir(target, ws=ws)
        argv = [*_cargo("build", target, ws), "--package", project.LIBRARY_PACKAGE, "--release"]
        argv += _arguments(target, ws.crate / "Cargo.toml", folder)
        ws.run(argv, timeout_s=BUILD_S, cwd=ws.crate, env=runner.child_env(cross_env(target, ws=ws)))
        built = toolchain.made_file(
            folder / target.triple / "release" / target.library,
            f"no {target.library} after building for {target.triple or 'this machine'}",
            fix=f'check that the crate {project.LIBRARY_PACKAGE} has crate-type = ["cdylib"]',
        )
        if target.library_format == "pe":  # zig takes no option that leaves out the time.
            data = built.read_bytes()
            cleared = library.clear_times(data)
            if cleared != data:
                built.write_bytes(cleared)
        return built

    with report.step(f"build the core library for {', '.join(target.platform_tag for target in wanted)}"):
        if rusts and not registries() and not settings.OFFLINE.value():
            # A machine without any crates fetches them first, since the flags name the folder that they come to.
            rust = next(iter(rusts.values()))
            fetch = [rust.cargo, "fetch", *_pinned(ws.crate / "Cargo.toml")]
            ws.run(fetch, timeout_s=FETCH_S, cwd=ws.crate, env=runner.child_env({"RUSTC": str(rust.rustc)}))
        # The link-time optimisation that ends a build uses one core, so two builds at once take little more than one.
        built = runner.side_by_side([partial(build, target) for target in wanted])
    return {target.triple: path for target, path in zip(wanted, built)}


def build_crate(manifest: Path, target: Target, into: Path, *, ws: Workspace) -> Dict[str, Path]:
    """Build another crate for a target into a target folder; return the sources of what it needs, by name.

    Raises:
        CommandFailedError: cargo failed; holds its exit status and last lines.
        MissingToolError: there is no Rust or no linker for the target, and none may be installed.
    """
    argv = [*_cargo("build", target, ws), "--release", *_arguments(target, manifest, into)]
    env = runner.child_env(cross_env(target, ws=ws))
    ws.run(argv, timeout_s=BUILD_S, cwd=manifest.parent, env=env, quiet=True)
    packages = metadata(manifest, target, ws=ws)["packages"]
    return {package["name"]: Path(package["manifest_path"]).parent for package in packages}


def metadata(manifest: Path, target: Target, *arguments: str, ws: Workspace) -> Any:
    """Return what `cargo metadata` says of a crate whose dependencies are those of its Cargo.lock."""
    rust = toolchain.rust_for(target, ws)
    argv = [rust.cargo, "metadata", "--format-version=1", *_pinned(manifest), *arguments]
    env = runner.child_env({"RUSTC": str(rust.rustc)})
    cwd = manifest.parent
    done = ws.run(argv, timeout_s=METADATA_S, cwd=cwd, env=env, quiet=True, echo=False, split_stderr=True)
    return json.loads(done.stdout)


def test_crate(
    target: Target = HOST,
    *,
    ws: Workspace,
    runner_argv: Optional[Sequence[object]] = None,
    arguments: Sequence[str] = (),
    env: Optional[Mapping[str, Optional[str]]] = None,
    check: bool = True,
) -> Completed:
    """Run the crate's tests on this machine, or those of a target through a runner such as Wine.

    Args:
        runner_argv: the program, with its arguments, that runs a test program of the target.
        arguments: passed on to `cargo test`.
        env: more changes to the environment, such as WINEPREFIX; None removes a variable.

    Raises:
        CommandFailedError: with `check`, a test failed or did not build; holds cargo's exit status and last lines.
    """
    manifest = ws.crate / "Cargo.toml"
    argv = [*_cargo("test", target, ws), *_arguments(target, manifest, target_dir(target, ws=ws))]
    if runner_argv is not None:
        words = json.dumps([str(word) for word in runner_argv], ensure_ascii=False)  # JSON's form is TOML's too.
        argv += ["--config", f"target.{target.triple}.runner={words}"]
    whole_env = runner.child_env({**cross_env(target, ws=ws), **(env or {})})
    return ws.run([*argv, *arguments], timeout_s=TEST_S, cwd=ws.crate, env=whole_env, check=check)


def miri(ws: Workspace) -> Completed:
    """Run the crate's tests for Miri with the nightly toolchain.

    Raises:
        MissingToolError: there is no nightly toolchain with Miri here.
    """
    rustup = system.find_program("cargo", system.RUSTUP_FOLDERS)
    argv = [rustup or "cargo", "+nightly", "miri", "test", "--manifest-path", ws.crate / "Cargo.toml"]
    found = ws.run([*argv[:3], "--version"], timeout_s=QUERY_S, check=False, quiet=True, echo=False)
    if found.status != 0:
        raise MissingToolError(
            "no Miri",
            why="there is no nightly Rust with the component miri here",
            fix="rustup toolchain install nightly --component miri",
        )
    env = runner.child_env({"RUSTC": None, "CARGO": None, "MIRIFLAGS": "-Zmiri-disable-isolation"})
    target = ["--target-dir", target_dir(ws=ws) / "miri"]
    return ws.run([*argv, "--lib", project.MIRI_TESTS, *target], timeout_s=TEST_S, cwd=ws.crate, env=env, check=False)


# pytest takes an imported function of this name for a test.
test_crate.__test__ = False  # type: ignore[attr-defined]


def _cargo(subcommand: str, target: Target, ws: Workspace) -> List[object]:
    """Return the program that links for a target, with its subcommand for `build` or `test`."""
    if target.linking == "zig":
        return [zig.Zig().ensure(ws), "zigbuild" if subcommand == "build" else subcommand]
    return [toolchain.rust_for(target, ws).cargo, subcommand]


def _arguments(target: Target, manifest: Path, folder: Path) -> List[object]:
    """Return the arguments of a build or test of a crate in a target folder."""
    # zig is told the oldest glibc that the target promises.
    triple = f"{target.triple}.{target.glibc}".rstrip(".")
    return [*_pinned(manifest), "--target-dir", folder, *(("--target", triple) if triple else ())]


def _pinned(manifest: Path) -> List[object]:
    """Return the arguments for a crate whose dependencies are those of its Cargo.lock."""
    offline = ["--offline"] if settings.OFFLINE.value() else []
    return ["--locked", *offline, "--manifest-path", manifest]


def _path_flags(rust: Rust, ws: Workspace) -> List[str]:
    """Return flags that replace the paths of this machine, which panic messages would carry into the library."""
    sources = (rust.sysroot or toolchain.machine_sysroot(rust)) / "lib" / "rustlib" / "src" / "rust"
    moved = [(toolchain.cargo_home(), "/cargo"), (ws.root, project.REMAPPED_ROOT), (sources, f"/rustc/{rust.version}")]
    # The folder of a registry is named after its host, which differs where a mirror is used; the last match counts.
    moved += [(folder, "/cargo/registry") for folder in registries()]
    return [f"--remap-path-prefix={path}={name}" for path, name in moved]


def registries() -> List[Path]:
    """Return the folders of the crates of each registry."""
    return sorted(path for path in (toolchain.cargo_home() / "registry" / "src").glob("*") if path.is_dir())


def _flags(name: str, ours: Sequence[str], ws: Workspace, *more: str) -> Dict[str, str]:
    """Return cargo's encoded form of a flags variable: the caller's flags, wherever they are set, then ours."""
    theirs = [flag for flag in os.environ.get(f"CARGO_ENCODED_{name}", "").split(_SEPARATOR) if flag]
    for variable in (name, *more):
        theirs = theirs or os.environ.get(variable, "").split()
    # Whoever evaluates `print_env` and builds from that shell hands our own flags back to us, maybe another target's.
    known = {*ours, *_MINGW_FLAGS, *(flag for target in TARGETS for flag in target.flags)}
    sysroots = str(ws.cache / "sysroots") + os.sep
    foreign: List[str] = []
    words = iter(theirs)
    for word in words:
        if word == "--sysroot":
            value = next(words, "")
            foreign += [] if value.startswith(sysroots) else [word, value]
        elif word not in known:
            foreign.append(word)
    own = list(ours)
    if any(word == "--sysroot" or word.startswith("--sysroot=") for word in foreign) and own[:1] == ["--sysroot"]:
        own = own[2:]  # rustc takes the option once.
    return {f"CARGO_ENCODED_{name}": _SEPARATOR.join([*foreign, *own])}


def _shell_word(value: str) -> str:
    if _SEPARATOR not in value:
        return shlex.quote(value)
    escaped = value.replace("\\", "\\\\").replace(_SEPARATOR, "\\0037")
    return f'"$(printf %b {shlex.quote(escaped)})"'
