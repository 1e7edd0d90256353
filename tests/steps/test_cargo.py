"""The environment of a cross build, the build itself, and what happens when cargo fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import pytest

from glean_steps import cargo, settings, system, targets, toolchain
from glean_steps.errors import CommandFailedError, MissingArtifactError, UnknownTargetError
from glean_steps.runner import Completed
from glean_steps.targets import WINDOWS, Target
from glean_steps.toolchain import Rust
from glean_steps.workspace import Workspace

AMD64, WIN32 = WINDOWS[:2]
SEPARATOR = "\x1f"
FLAGS = "CARGO_ENCODED_RUSTFLAGS"


class Cargo:
    """Stands in for `runner.run`: records, and leaves the library that the real cargo would leave."""

    def __init__(self, *, leaves_library: bool = True) -> None:
        self.calls: List[List[str]] = []
        self.envs: List[Dict[str, str]] = []
        self._leaves_library = leaves_library

    def __call__(self, argv: Sequence[object], **options: Any) -> Completed:
        words = [str(word) for word in argv]
        self.calls.append(words)
        self.envs.append(dict(options.get("env") or {}))
        if "build" in words and self._leaves_library:
            folder = Path(words[words.index("--target-dir") + 1])
            if "--target" in words:
                folder /= words[words.index("--target") + 1]
            (folder / "release").mkdir(parents=True, exist_ok=True)
            for name in ("glean_core.dll", "libglean_core.so", "libglean_core.dylib"):
                (folder / "release" / name).touch()
        return Completed(words, 0, "")


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with a space and a letter beyond ASCII in its path, where Rust is ready."""
    for name in list(os.environ):
        if re.match(r"CARGO|RUST(C|DOC|FLAGS)|(CC|AR)_", name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "cargo home"))
    (tmp_path / "cargo home" / "registry" / "src" / "a-registry").mkdir(parents=True)
    made = Workspace(root=tmp_path / "a chéckout", cache=tmp_path / "a cäche")
    (made.crate / "src").mkdir(parents=True)

    def ready(wanted: Sequence[Target], ws: Workspace, run: Any = None) -> Dict[str, Rust]:
        return {target.triple: rust_in(made, target.triple or None) for target in wanted}

    monkeypatch.setattr(toolchain, "prepare", ready)
    monkeypatch.setattr(toolchain, "host_rust", lambda ws, run=None: rust_in(made, None))
    monkeypatch.setattr(system, "require", lambda tools, run=None: None)
    return made


def rust_in(ws: Workspace, triple: Optional[str]) -> Rust:
    programs = [Path("/rust/bin") / name for name in ("cargo", "rustc", "rustdoc")]
    sysroot = ws.cache / "sysroots" / triple if triple else None
    return Rust(programs[0], programs[1], programs[2], sysroot, "made by a test", "1.90.0", "")


def flags(ws: Workspace, target: Target = AMD64) -> List[str]:
    return cargo.cross_env(target, ws=ws)[FLAGS].split(SEPARATOR)


def test_the_environment_names_compiler_linker_and_sysroot(ws: Workspace) -> None:
    env = cargo.cross_env(WIN32, ws=ws)
    assert env["RUSTC"] == "/rust/bin/rustc"
    assert env["CARGO_TARGET_I686_PC_WINDOWS_GNU_LINKER"] == "i686-w64-mingw32-gcc"
    assert env["CC_i686_pc_windows_gnu"] == "i686-w64-mingw32-gcc"
    assert env["AR_i686_pc_windows_gnu"] == "i686-w64-mingw32-ar"
    for name in (FLAGS, "CARGO_ENCODED_RUSTDOCFLAGS"):
        words = env[name].split(SEPARATOR)
        assert words[:2] == ["--sysroot", str(ws.cache / "sysroots" / WIN32.triple)]
        assert "-Clink-arg=-static-libgcc" in words
        assert "-Clink-arg=-Wl,--no-insert-timestamp" in words


def test_paths_of_the_machine_are_replaced_for_rustc_alone(ws: Workspace) -> None:
    env = cargo.cross_env(AMD64, ws=ws)
    words = env[FLAGS].split(SEPARATOR)
    assert f"--remap-path-prefix={ws.root}=/glean" in words
    home = os.environ["CARGO_HOME"]
    assert words.index(f"--remap-path-prefix={home}=/cargo") < words.index(
        f"--remap-path-prefix={home}/registry/src/a-registry=/cargo/registry"
    )
    assert "--remap-path-prefix" not in env["CARGO_ENCODED_RUSTDOCFLAGS"]


def test_what_the_caller_set_wins(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", "my-linker")
    env = cargo.cross_env(AMD64, ws=ws)
    assert "CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER" not in env
    assert "CC_x86_64_pc_windows_gnu" in env


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUSTFLAGS", "-Cdebuginfo=1 -Ctarget-cpu=native"),
        (FLAGS, f"-Cdebuginfo=1{SEPARATOR}-Ctarget-cpu=native"),
        ("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS", "-Cdebuginfo=1 -Ctarget-cpu=native"),
    ],
)
def test_the_callers_flags_come_before_ours(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert flags(ws)[:3] == ["-Cdebuginfo=1", "-Ctarget-cpu=native", "--sysroot"]


def test_a_sysroot_of_the_caller_is_kept_because_rustc_takes_one(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUSTFLAGS", "--sysroot /mine")
    assert flags(ws).count("--sysroot") == 1
    assert flags(ws)[:2] == ["--sysroot", "/mine"]


def test_the_printed_environment_survives_a_shell_and_a_second_target(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = cargo.cross_env(AMD64, ws=ws)
    text = cargo.print_env(AMD64, ws=ws)
    assert SEPARATOR not in text
    for shell in ("sh", "bash"):
        script = f'eval "$1"; {shell} -c true; python3 -c "import json, os; print(json.dumps(dict(os.environ)))"'
        done = subprocess.run(
            [shell, "-c", script, shell, text], capture_output=True, text=True, check=True, timeout=1800
        )
        seen = json.loads(done.stdout)
        assert {name: seen[name] for name in wanted} == wanted
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    assert flags(ws, AMD64) == wanted[FLAGS].split(SEPARATOR)  # Nothing twice.
    assert str(ws.cache / "sysroots" / AMD64.triple) not in flags(ws, WIN32)
    run = Cargo()
    cargo.test_crate(ws=replace(ws, start=run))
    assert "link-arg" not in run.envs[0][FLAGS]


def test_a_library_is_built_locked_and_alone(ws: Workspace) -> None:
    run = Cargo()
    library = cargo.build_libraries([AMD64], ws=replace(ws, start=run))[AMD64.triple]
    assert library.is_file() and library.name == "glean_core.dll"
    [call] = run.calls
    assert call[:4] == ["/rust/bin/cargo", "build", "--package", "glean_core_cdylib"]
    assert {"--release", "--locked"} < set(call)
    assert "--offline" not in call
    assert run.envs[0]["RUSTC"] == "/rust/bin/rustc"


def test_offline_reaches_cargo(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    run = Cargo()
    cargo.build_libraries([AMD64], ws=replace(ws, start=run))[AMD64.triple]
    assert "--offline" in run.calls[0]


def test_both_targets_are_built_in_folders_of_their_own(ws: Workspace) -> None:
    run = Cargo()
    built = cargo.build_libraries(WINDOWS, ws=replace(ws, start=run))
    assert set(built) == {target.triple for target in WINDOWS}
    assert len({call[call.index("--target-dir") + 1] for call in run.calls}) == 2


def test_a_target_folder_of_the_caller_is_used(ws: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CARGO_TARGET_DIR", str(tmp_path / "elsewhere"))
    assert tmp_path / "elsewhere" in cargo.build_libraries([AMD64], ws=replace(ws, start=Cargo()))[AMD64.triple].parents


def test_checkout_with_a_space_in_its_path_is_built_in_the_cache(ws: Workspace, tmp_path: Path) -> None:
    spaced = replace(ws, root=tmp_path / "a check out", cache=tmp_path / "cache")
    folder = cargo.target_dir(AMD64, ws=spaced)
    assert spaced.cache in folder.parents and " " not in str(folder)
    assert folder != cargo.target_dir(AMD64, ws=replace(spaced, root=tmp_path / "another one"))


def test_checkout_whose_path_would_change_the_order_of_imports_is_built_in_the_cache(ws: Workspace) -> None:
    late = replace(ws, root=Path("/var/checkout"), cache=Path("/opt/cache"))
    assert late.cache in cargo.target_dir(AMD64, ws=late).parents
    early = replace(late, root=Path("/opt/checkout"))
    assert early.root in cargo.target_dir(AMD64, ws=early).parents
    assert late.root in cargo.target_dir(ws=late).parents


def test_a_machine_without_crates_fetches_before_it_builds(ws: Workspace) -> None:
    (Path(os.environ["CARGO_HOME"]) / "registry" / "src" / "a-registry").rmdir()
    run = Cargo()
    cargo.build_libraries([AMD64], ws=replace(ws, start=run))[AMD64.triple]
    assert [call[1] for call in run.calls] == ["fetch", "build"]
    assert "--locked" in run.calls[0]


def test_a_library_that_is_not_there_is_an_error_of_its_own(ws: Workspace) -> None:
    with pytest.raises(MissingArtifactError, match=r"glean_core\.") as caught:
        cargo.build_libraries([AMD64], ws=replace(ws, start=Cargo(leaves_library=False)))[AMD64.triple]
    assert caught.value.exit_code == 22


def test_tests_of_a_target_run_through_the_runner_whatever_its_path(ws: Workspace) -> None:
    run = Cargo()
    argv = [Path("/opt/a wïne/bin/wine"), '-o"k']
    cargo.test_crate(
        AMD64, ws=replace(ws, start=run), runner_argv=argv, env={"WINEPREFIX": "/p"}, arguments=["--", "-q"]
    )
    [call] = run.calls
    assert call[:3] == ["/rust/bin/cargo", "test", "--locked"]
    assert call[-2:] == ["--", "-q"]
    setting = call[call.index("--config") + 1]
    assert setting == 'target.x86_64-pc-windows-gnu.runner=["/opt/a wïne/bin/wine", "-o\\"k"]'
    assert run.envs[0]["WINEPREFIX"] == "/p"


def test_tests_of_this_machine_need_no_target(ws: Workspace) -> None:
    run = Cargo()
    cargo.test_crate(ws=replace(ws, start=run))
    assert "--target" not in run.calls[0]


def test_an_unknown_target_lists_the_known_ones() -> None:
    with pytest.raises(UnknownTargetError, match="no-such-target"):
        targets.find_target("no-such-target")


# --- with the real cargo ----------------------------------------------------------------------------------------------

LIBRARY = """
#[unsafe(no_mangle)]
pub extern "C" fn glean_add(a: i32, b: i32) -> i32 {
    std::panic::catch_unwind(|| { if a == 13 { panic!("unlucky") } a + b }).unwrap_or(-1)
}
"""
MANIFEST = """[package]
name = "glean_core"
version = "0.0.0"
edition = "2024"
[workspace]
members = ["cdylib"]
[profile.release]
lto = "fat"
codegen-units = 1
strip = true
"""
CDYLIB = """[package]
name = "glean_core_cdylib"
version = "0.0.0"
edition = "2024"
[lib]
name = "glean_core"
crate-type = ["cdylib"]
[dependencies]
core_library = { package = "glean_core", path = ".." }
"""
LOCK = """version = 4

[[package]]
name = "glean_core"
version = "0.0.0"

[[package]]
name = "glean_core_cdylib"
version = "0.0.0"
dependencies = ["glean_core"]
"""


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Workspace]]:
    """Make workspaces with a small crate; they share this user's cache, so that std is not built for a test."""
    monkeypatch.delenv("GLEAN_CACHE")
    workspaces: List[Workspace] = []

    def make(name: str) -> Workspace:
        made = Workspace(root=tmp_path / name, cache=settings.cache())
        workspaces.append(made)
        (made.crate / "src").mkdir(parents=True)
        (made.crate / "src" / "lib.rs").write_text(LIBRARY)
        (made.crate / "Cargo.toml").write_text(MANIFEST)
        (made.crate / "cdylib" / "src").mkdir(parents=True)
        (made.crate / "cdylib" / "src" / "lib.rs").write_text("pub use core_library::*;\n")
        (made.crate / "cdylib" / "Cargo.toml").write_text(CDYLIB)
        (made.crate / "Cargo.lock").write_text(LOCK)
        return made

    yield make
    for ws in workspaces:
        for target in WINDOWS:
            folder = cargo.target_dir(target, ws=ws)
            if ws.cache in folder.parents:
                shutil.rmtree(folder.parent.parent, ignore_errors=True)


@pytest.mark.slow
def test_two_checkouts_give_the_same_bytes_with_system_libraries_alone(real: Callable[[str], Workspace]) -> None:
    first, second = real("öne checkout"), real("another")
    built = cargo.build_libraries(WINDOWS, ws=first)
    again = cargo.build_libraries(WINDOWS, ws=second)
    for target in WINDOWS:
        library = built[target.triple].read_bytes()
        assert library == again[target.triple].read_bytes(), target.triple
        listing = subprocess.run(
            [target.linker.replace("gcc", "objdump"), "-p", built[target.triple]],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        imported = {name.lower() for name in re.findall(r"DLL Name: (\S+)", listing)}
        system_dlls = {"kernel32.dll", "ntdll.dll", "bcryptprimitives.dll", "msvcrt.dll", "userenv.dll", "ws2_32.dll"}
        assert {name for name in imported if not name.startswith("api-ms-win-")} <= system_dlls
        assert str(first.root).encode() not in library
        assert len(library) < 600_000


@pytest.mark.slow
def test_a_cargo_that_fails_hands_back_its_exit_status_and_its_last_lines(real: Callable[[str], Workspace]) -> None:
    ws = real("broken")
    (ws.crate / "src" / "lib.rs").write_text("this is no Rust\n")
    with pytest.raises(CommandFailedError) as caught:
        cargo.build_libraries(WINDOWS, ws=ws)
    assert caught.value.status == 101
    assert "could not compile `glean_core`" in str(caught.value)


@pytest.mark.slow
def test_a_lock_file_that_is_out_of_date_stops_the_build(real: Callable[[str], Workspace]) -> None:
    ws = real("unlocked")
    (ws.crate / "Cargo.lock").unlink()
    with pytest.raises(CommandFailedError, match="--locked"):
        cargo.build_libraries([AMD64], ws=ws)[AMD64.triple]
