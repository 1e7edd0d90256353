"""The environment of a cross build, the build, and the crate's tests.

A cross build is an ordinary cargo call in an environment: `cross_env` computes it, everything else applies it.
"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from glean_steps import library, project, report, runner, settings, system, toolchain, workspace, zig
from glean_steps.errors import MissingArtifactError, MissingToolError
from glean_steps.runner import Completed
from glean_steps.targets import HOST, TARGETS, Target
from glean_steps.toolchain import Rust
from glean_steps.workspace import Workspace

FETCH_S = 900.0
BUILD_S = 3600.0
TEST_S = 3600.0
QUERY_S = 60.0
_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class _Linking:
    """How cargo is called so that a linker links for a target.

    Attributes:
        build, test: the program with its subcommand.
        triple: how that program is given the target; empty when it is not.
        env: variables that tell it the linker.
        flags: of rustc.
    """

    build: Tuple[object, ...]
    test: Tuple[object, ...]
    triple: str
    env: Mapping[str, str]
    flags: Tuple[str, ...] = ()


def _mingw(target: Target, rust: Rust, ws: Workspace) -> _Linking:
    """Debian's cross compiler for Windows."""
    under = target.triple.replace("-", "_")
    env = {
        f"CARGO_TARGET_{target.env_name}_LINKER": target.linker,
        f"CC_{under}": target.linker,
        f"AR_{under}": target.dlltool.replace("dlltool", "ar"),
    }
    return _Linking((rust.cargo, "build"), (rust.cargo, "test"), target.triple, env, _MINGW_FLAGS)


def _zig(target: Target, rust: Rust, ws: Workspace) -> _Linking:
    """zig, with the symbols of the oldest glibc that the target promises."""
    program = zig.Zig().ensure(ws)
    triple = f"{target.triple}.{target.glibc}".rstrip(".")
    return _Linking((program, "zigbuild"), (program, "test"), triple, zig.env(ws))


def _host(target: Target, rust: Rust, ws: Workspace) -> _Linking:
    """The C compiler of this machine, as cargo finds it."""
    return _Linking((rust.cargo, "build"), (rust.cargo, "test"), "", {})


_LINKING: Mapping[str, Callable[[Target, Rust, Workspace], _Linking]] = {"mingw": _mingw, "zig": _zig, "host": _host}
# No DLL of the compiler beside the library, and the same bytes on every day.
_MINGW_FLAGS = ("-Clink-arg=-static-libgcc", "-Clink-arg=-Wl,--no-insert-timestamp")


def cross_env(target: Target, *, ws: Workspace) -> Dict[str, str]:
    """Return the changes to the environment that make cargo build for `target`.

    What the caller already set stays out of it and so wins. Flags are merged: the caller's first, ours after.
    """
    return _build_env(target, toolchain.rust_for(target, ws), ws)


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
    for target in wanted:
        _LINKING[target.linking](target, rusts[target.triple], ws)  # What is missing is made once, before the threads.

    def build(target: Target) -> Path:
        rust = rusts[target.triple]
        linking = _LINKING[target.linking](target, rust, ws)
        argv = [*linking.build, "--package", project.LIBRARY_PACKAGE, "--release", *_common_arguments(target, ws)]
        argv += ["--target", linking.triple] if linking.triple else []
        ws.run(argv, timeout_s=BUILD_S, cwd=ws.crate, env=runner.child_env(_build_env(target, rust, ws)))
        built = _artifact(target_dir(target, ws=ws) / target.triple / "release" / target.library, target)
        for step in _AFTER_LINKING.get(target.library_format, ()):
            step(built)
        return built

    with report.step(f"build the core library for {', '.join(target.platform_tag for target in wanted)}"):
        for rust in list(rusts.values())[:1]:
            _fetch_first(rust, ws)
        # The link-time optimisation that ends a build uses one core, so two builds at once take little more than one.
        built = runner.side_by_side([partial(build, target) for target in wanted])
    return {target.triple: path for target, path in zip(wanted, built)}


def build_crate(manifest: Path, target: Target, into: Path, *, ws: Workspace) -> Dict[str, Path]:
    """Build another crate for a target into a target folder; return the sources of what it needs, by name.

    Raises:
        CommandFailedError: cargo failed; holds its exit status and last lines.
        MissingToolError: there is no Rust or no linker for the target, and none may be installed.
    """
    rust = toolchain.prepare([target], ws)[target.triple]
    linking = _LINKING[target.linking](target, rust, ws)
    which = _pinned(manifest)
    env = runner.child_env(_build_env(target, rust, ws))
    built = ["--release", "--target-dir", into, "--target", linking.triple]
    ws.run([*linking.build, *which, *built], timeout_s=BUILD_S, cwd=manifest.parent, env=env, quiet=True)
    argv = [rust.cargo, "metadata", "--format-version=1", *which]
    listed = ws.run(argv, timeout_s=QUERY_S, cwd=manifest.parent, env=env, quiet=True, split_stderr=True).stdout
    return {package["name"]: Path(package["manifest_path"]).parent for package in json.loads(listed)["packages"]}


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
        target: what they are built for.
        runner_argv: the program, with its arguments, that runs a test program of the target.
        arguments: passed on to `cargo test`.
        env: more changes to the environment, such as WINEPREFIX; None removes a variable.
        check: raise when a test failed.

    Raises:
        CommandFailedError: with `check`, a test failed or did not build; holds cargo's exit status and last lines.
    """
    rust = toolchain.rust_for(target, ws)
    linking = _LINKING[target.linking](target, rust, ws)
    changes = _build_env(target, rust, ws)
    argv: List[object] = [*linking.test, *_common_arguments(target, ws)]
    argv += ["--target", linking.triple] if linking.triple else []
    if runner_argv is not None:
        words = [str(word) for word in runner_argv]
        argv += ["--config", f"target.{target.triple}.runner={_toml(words)}"]
    argv += arguments
    whole_env = runner.child_env({**changes, **(env or {})})
    return ws.run(argv, timeout_s=TEST_S, cwd=ws.crate, env=whole_env, check=check)


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


def _common_arguments(target: Target, ws: Workspace) -> List[object]:
    return [*_pinned(ws.crate / "Cargo.toml"), "--target-dir", target_dir(target, ws=ws)]


def _pinned(manifest: Path) -> List[object]:
    """Return the arguments for a crate whose dependencies are those of its Cargo.lock."""
    offline = ["--offline"] if settings.OFFLINE.value() else []
    return ["--locked", *offline, "--manifest-path", manifest]


def _clear_times(path: Path) -> None:
    data = path.read_bytes()
    if library.clear_times(data) != data:
        path.write_bytes(library.clear_times(data))


# By container format: what is done to a library that is linked. zig takes no option that leaves out the time.
_AFTER_LINKING: Mapping[str, Tuple[Callable[[Path], None], ...]] = {"pe": (_clear_times,)}


def _artifact(path: Path, target: Target) -> Path:
    if not path.is_file():
        raise MissingArtifactError(
            f"no {path.name} after building for {target.triple or 'this machine'}",
            why=f"cargo succeeded but {path} does not exist",
            fix=f'check that the crate {project.LIBRARY_PACKAGE} has crate-type = ["cdylib"]',
        )
    return path


def _build_env(target: Target, rust: Rust, ws: Workspace) -> Dict[str, str]:
    """Return the changes for a build: the compiler, the linker, and no paths of the machine in the library."""
    linking = _LINKING[target.linking](target, rust, ws)
    changes = {
        "CARGO": str(rust.cargo),
        "RUSTC": str(rust.rustc),
        "RUSTDOC": str(rust.rustdoc),
        **linking.env,
        **dict(target.environment),
    }
    kept = {name: value for name, value in changes.items() if not os.environ.get(name)}
    ours = [*_sysroot_flags(rust), *linking.flags, *target.flags]
    for_target = f"CARGO_TARGET_{target.env_name}_RUSTFLAGS"
    kept.update(_flags("RUSTFLAGS", [*ours, *project.RUST_FLAGS, *_path_flags(rust, ws)], ws, for_target))
    if ours:
        kept.update(_flags("RUSTDOCFLAGS", ours, ws))  # rustdoc replaces no paths outside nightly.
    return kept


def _sysroot_flags(rust: Rust) -> List[str]:
    return ["--sysroot", str(rust.sysroot)] if rust.sysroot else []


def _path_flags(rust: Rust, ws: Workspace) -> List[str]:
    """Return flags that replace the paths of this machine, which panic messages would carry into the library."""
    home = _cargo_home()
    sources = (rust.sysroot or toolchain.machine_sysroot(rust)) / "lib" / "rustlib" / "src" / "rust"
    moved = [(home, "/cargo"), (ws.root, project.REMAPPED_ROOT), (sources, f"/rustc/{rust.version}")]
    # The folder of a registry is named after its host, which differs where a mirror is used; the last match counts.
    moved += [(folder, "/cargo/registry") for folder in registries()]
    return [f"--remap-path-prefix={path}={name}" for path, name in moved]


def _cargo_home() -> Path:
    return Path(os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo"))


def registries() -> List[Path]:
    return sorted(path for path in (_cargo_home() / "registry" / "src").glob("*") if path.is_dir())


def _fetch_first(rust: Rust, ws: Workspace) -> None:
    """Fetch the crates on a machine that never did, since the flags name the folder that they come to."""
    if not registries() and not settings.OFFLINE.value():
        argv = [rust.cargo, "fetch", "--locked", "--manifest-path", ws.crate / "Cargo.toml"]
        env = runner.child_env({"RUSTC": str(rust.rustc)})
        ws.run(argv, timeout_s=FETCH_S, cwd=ws.crate, env=env)


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


def _toml(words: Sequence[str]) -> str:
    """Return an array of strings in TOML; JSON's form of one is TOML's too."""
    return json.dumps(list(words), ensure_ascii=False)


def _shell_word(value: str) -> str:
    if _SEPARATOR not in value:
        return shlex.quote(value)
    escaped = value.replace("\\", "\\\\").replace(_SEPARATOR, "\\0037")
    return f'"$(printf %b {shlex.quote(escaped)})"'
