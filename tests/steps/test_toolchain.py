"""Which Rust builds a target: what is here already, then rustup, then a standard library built once."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import pytest

from glean_steps import system, toolchain
from glean_steps.errors import CommandFailedError, MissingToolError
from glean_steps.runner import Completed
from glean_steps.targets import TARGETS, WINDOWS, Target
from glean_steps.toolchain import Rust
from glean_steps.workspace import Workspace

AMD64, WIN32 = WINDOWS[:2]
HOST = "x86_64-unknown-linux-gnu"


class FakeRust:
    """A machine with one compiler of our making: programs are files, their answers come from here.

    `run` answers rustc's and the linker's questions, and stands in for cargo by leaving what a std build leaves.
    """

    def __init__(self, root: Path, *, version: str = "1.90.0", sources: bool = True) -> None:
        self.sysroot = root / "rust"
        self.version = version
        self.calls: List[List[str]] = []
        self.envs: List[Dict[str, str]] = []
        self.rustup_status = 1
        self.cargo_fails = False
        for name in ("cargo", "rustc", "rustdoc"):
            program = self.sysroot / "bin" / name
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text("#!/bin/sh\nexit 1\n")
            program.chmod(0o755)
        self.add_std(HOST)
        if sources:
            library = self.sysroot / "lib" / "rustlib" / "src" / "rust" / "library"
            for name in ("std", "vendor", "rtstartup"):
                (library / name).mkdir(parents=True)

    def add_std(self, triple: str) -> None:
        std = self.sysroot / "lib" / "rustlib" / triple / "lib"
        std.mkdir(parents=True)
        (std / "libstd-1.rlib").write_text("std")

    def run(self, argv: Sequence[object], **options: Any) -> Completed:
        words = [str(word) for word in argv]
        self.calls.append(words)
        self.envs.append(dict(options.get("env") or {}))
        status, text = self._answer(words)
        if status and options.get("check", True):
            raise CommandFailedError("it failed", status=status, tail=[text])
        return Completed(words, status, text)

    def _answer(self, words: List[str]) -> tuple[int, str]:
        name = Path(words[0]).name
        if name == "rustc" and "-vV" in words:
            return 0, f"rustc {self.version}\nhost: {HOST}\nrelease: {self.version}\n"
        if name == "rustc" and "sysroot" in words:
            return 0, f"{self.sysroot}\n"
        if name == "rustc" and "--emit=obj" in words:
            Path(words[words.index("-o") + 1]).write_text("object")
        if name == "rustup":
            if self.rustup_status == 0:
                for triple in words[3:]:
                    self.add_std(triple)
            return self.rustup_status, "info: looking\nerror: could not download file\nthread panicked\n"
        if name == "cargo":
            if self.cargo_fails:
                return 101, "error: could not compile `core`"
            target_dir = Path(words[words.index("--target-dir") + 1])
            for index, word in enumerate(words):
                if word == "--target":
                    deps = target_dir / words[index + 1] / "release" / "deps"
                    deps.mkdir(parents=True)
                    for library in ("libstd-2.rlib", "libcore-3.rlib", "libempty-4.rlib"):
                        (deps / library).write_text(f"{library} for {words[index + 1]}")
        return 0, "12-win32\n"

    def started(self, name: str) -> List[List[str]]:
        return [call for call in self.calls if Path(call[0]).name == name]


@pytest.fixture
def rust(tmp_path: Path, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> FakeRust:
    return only(FakeRust(tmp_path), tmp_path, ws, monkeypatch)


def only(fake: FakeRust, home: Path, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> FakeRust:
    """Let the fake compiler be all there is: no other folders, no rustup, no installing, and every linker here."""
    for name in ("RUSTC", "CARGO", "CARGO_HOME", "RUSTUP_TOOLCHAIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("RUSTUP_HOME", str(home / "rustup-home"))
    monkeypatch.setattr(toolchain, "_program_folders", lambda: [fake.sysroot / "bin"])
    monkeypatch.setattr(system, "require", lambda tools, run=None: None)
    monkeypatch.setattr(system, "find_program", lambda name, folders=(): None)
    ws.crate.mkdir()
    (ws.crate / "Cargo.toml").write_text('[package]\nrust-version = "1.85"\n')
    return fake


def with_rustup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "find_program", lambda name, folders=(): Path("/bin/rustup"))


def test_a_standard_library_that_is_here_is_used(rust: FakeRust, ws: Workspace) -> None:
    rust.add_std(AMD64.triple)
    found = toolchain.rust_for(AMD64, replace(ws, start=rust.run))
    assert found.sysroot is None
    assert found.version == "1.90.0"
    assert found.cargo == rust.sysroot / "bin" / "cargo"
    assert rust.started("cargo") == []


def test_an_up_to_date_call_starts_no_program(rust: FakeRust, ws: Workspace) -> None:
    first = toolchain.prepare(WINDOWS, replace(ws, start=rust.run))
    rust.calls.clear()
    started = time.perf_counter()
    assert toolchain.prepare(WINDOWS, replace(ws, start=rust.run)) == first
    assert rust.calls == []
    assert time.perf_counter() - started < 0.2


def test_rustup_comes_before_building(rust: FakeRust, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with_rustup(monkeypatch)
    rust.rustup_status = 0
    found = toolchain.prepare(WINDOWS, replace(ws, start=rust.run))
    assert rust.started("rustup") == [["/bin/rustup", "target", "add", AMD64.triple, WIN32.triple]]
    assert {item.provider for item in found.values()} == {"standard library added by rustup"}
    assert rust.started("cargo") == []


def test_a_rustup_that_fails_is_explained_in_one_line_and_not_asked_again(
    rust: FakeRust, ws: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_rustup(monkeypatch)
    toolchain.rust_for(AMD64, replace(ws, start=rust.run))
    assert "(error: could not download file)" in capsys.readouterr().err
    (ws.state / "stamps" / f"rust-{AMD64.triple}.json").unlink()
    toolchain.rust_for(AMD64, replace(ws, start=rust.run))
    assert len(rust.started("rustup")) == 1


def test_a_rustup_without_its_server_leaves_every_target_at_once_to_the_sources(
    rust: FakeRust, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_rustup(monkeypatch)
    crossed = [target for target in TARGETS if target.triple not in ("", HOST)]
    found = toolchain.prepare(crossed, replace(ws, start=rust.run))
    assert all("standard library built in" in found[target.triple].provider for target in crossed)
    for target in crossed:
        ws.stamp(f"rust-{target.triple}").forget()
    toolchain.prepare(crossed, replace(ws, start=rust.run))
    assert len(rust.started("rustup")) == 1


@pytest.mark.parametrize("setting", ["GLEAN_OFFLINE", "RUSTC"])
def test_rustup_is_not_asked_when_offline_or_when_the_caller_chose_a_compiler(
    rust: FakeRust, ws: Workspace, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    with_rustup(monkeypatch)
    monkeypatch.setenv(setting, str(rust.sysroot / "bin" / "rustc"))
    toolchain.rust_for(AMD64, replace(ws, start=rust.run))
    assert rust.started("rustup") == []


def test_both_targets_are_built_in_one_cargo_call_without_network(rust: FakeRust, ws: Workspace) -> None:
    found = toolchain.prepare(WINDOWS, replace(ws, start=rust.run))
    [call] = rust.started("cargo")
    assert call.count("--target") == 2
    assert "--offline" in call
    assert "-Zbuild-std=std,panic_unwind,panic_abort,test" in call
    assert any(word.startswith("source.std-vendor.directory=") for word in call)
    env = rust.envs[rust.calls.index(call)]
    assert env["RUSTC_BOOTSTRAP"] == "1"
    assert "-Cembed-bitcode=yes" in env["CARGO_ENCODED_RUSTFLAGS"].split("\x1f")
    assert str(ws.root) not in json.dumps([call, env.get("CARGO_ENCODED_RUSTFLAGS")])
    for target in WINDOWS:
        sysroot = found[target.triple].sysroot
        assert sysroot is not None and sysroot.parent == ws.cache / "sysroots"
        names = {file.name for file in (sysroot / "lib" / "rustlib" / target.triple / "lib").iterdir()}
        assert names == {"libstd-2.rlib", "libcore-3.rlib", *(f"{name}.o" for name in target.startup_objects)}
        assert (sysroot / "lib" / "rustlib" / HOST / "lib" / "libstd-1.rlib").exists()
        assert (sysroot / "lib" / "rustlib" / "src" / "rust" / "library").is_dir()
    assert not list((ws.cache / "sysroots").glob("*.part"))


def test_the_callers_rust_settings_do_not_reach_a_std_build(
    rust: FakeRust, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_PROFILE_RELEASE_LTO", "RUSTC_WORKSPACE_WRAPPER"):
        monkeypatch.setenv(name, "the caller's")
    toolchain.rust_for(AMD64, replace(ws, start=rust.run))
    env = rust.envs[rust.calls.index(rust.started("cargo")[0])]
    assert "the caller's" not in env.values()


@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_a_damaged_entry_is_made_again(rust: FakeRust, ws: Workspace, damage: str) -> None:
    sysroot = toolchain.rust_for(AMD64, replace(ws, start=rust.run)).sysroot
    assert sysroot is not None
    library = sysroot / "lib" / "rustlib" / AMD64.triple / "lib" / "libstd-2.rlib"
    whole = library.read_text()
    library.unlink()
    if damage == "cut":
        library.write_text(whole[:3])
    assert toolchain.rust_for(AMD64, replace(ws, start=rust.run)).sysroot == sysroot
    assert library.read_text() == whole
    assert len(rust.started("cargo")) == 2


def test_another_checkout_uses_the_same_entry(rust: FakeRust, ws: Workspace, tmp_path: Path) -> None:
    first = toolchain.rust_for(AMD64, replace(ws, start=rust.run))
    other = Workspace(root=tmp_path / "öther checkout", cache=ws.cache)
    other.root.mkdir()
    assert toolchain.rust_for(AMD64, replace(other, start=rust.run)) == first
    assert len(rust.started("cargo")) == 1


def test_what_a_killed_build_left_is_swept_and_the_build_made_again(rust: FakeRust, ws: Workspace) -> None:
    rust.cargo_fails = True
    with pytest.raises(CommandFailedError, match="it failed") as caught:
        toolchain.rust_for(AMD64, replace(ws, start=rust.run))
    assert caught.value.status == 101
    left = ws.cache / "sysroots" / ".build.left.999999999.part"
    left.mkdir(parents=True)
    rust.cargo_fails = False
    assert toolchain.rust_for(AMD64, replace(ws, start=rust.run)).sysroot is not None
    assert not left.exists()


def test_another_compiler_or_linker_gives_another_entry(rust: FakeRust, ws: Workspace) -> None:
    first = toolchain.rust_for(AMD64, replace(ws, start=rust.run)).sysroot
    rust.version = "1.91.0"
    os.utime(rust.sysroot / "bin" / "rustc", (1, 1))
    second = toolchain.rust_for(AMD64, replace(ws, start=rust.run)).sysroot
    assert first != second


def test_a_compiler_older_than_the_crate_asks_for_is_named(
    tmp_path: Path, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = only(FakeRust(tmp_path, version="1.63.0"), tmp_path, ws, monkeypatch)
    old.add_std(AMD64.triple)
    monkeypatch.setattr(system, "install", lambda tools, run=None: "nothing newer was found")
    calls: List[Callable[[], Rust]] = [
        lambda: toolchain.rust_for(AMD64, replace(ws, start=old.run)),
        lambda: toolchain.host_rust(replace(ws, start=old.run)),
    ]
    for call in calls:
        with pytest.raises(MissingToolError) as caught:
            call()
        assert "needs Rust 1.85 or newer" in caught.value.why
        assert "is 1.63.0" in caught.value.why
        assert "apt-get install -y" in caught.value.fix


def test_without_sources_the_packages_that_bring_them_are_named(
    tmp_path: Path, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = only(FakeRust(tmp_path, sources=False), tmp_path, ws, monkeypatch)
    monkeypatch.setenv("GLEAN_INSTALL", "never")
    with pytest.raises(MissingToolError) as caught:
        toolchain.rust_for(AMD64, replace(ws, start=bare.run))
    assert "GLEAN_INSTALL=never" in caught.value.why
    assert "apt-get install -y" in caught.value.fix


def test_a_compiler_that_does_not_work_is_passed_over(
    rust: FakeRust, ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    monkeypatch.setattr(toolchain, "_program_folders", lambda: [broken, rust.sysroot / "bin"])

    def run(argv: Sequence[object], **options: Any) -> Completed:
        if str(argv[0]).startswith(str(broken)):
            return Completed([], 1, "error: no default toolchain")
        return rust.run(argv, **options)

    assert toolchain.host_rust(replace(ws, start=run)).rustc == rust.sysroot / "bin" / "rustc"


def test_each_target_is_known_by_its_own_stamp(rust: FakeRust, ws: Workspace) -> None:
    toolchain.rust_for(AMD64, replace(ws, start=rust.run))
    rust.calls.clear()
    toolchain.prepare(WINDOWS, replace(ws, start=rust.run))
    [call] = rust.started("cargo")
    assert call[-2:] == ["--target", WIN32.triple]


def test_a_changed_row_is_decided_anew(rust: FakeRust, ws: Workspace) -> None:
    toolchain.rust_for(AMD64, replace(ws, start=rust.run))
    rust.calls.clear()
    changed: Optional[Target] = dataclasses.replace(AMD64, linker="another-gcc")
    assert changed is not None
    toolchain.rust_for(changed, replace(ws, start=rust.run))
    assert ["another-gcc", "-dumpversion"] in rust.calls


@pytest.mark.slow
def test_a_std_build_that_is_killed_leaves_nothing_behind_for_the_next_run(ws: Workspace, checkout: Path) -> None:
    """Kills a real build as soon as cargo works, then looks at what the next run would find."""
    import signal
    import subprocess
    import sys

    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from glean_steps import targets, toolchain, workspace\n"
        "ws = workspace.Workspace(Path(sys.argv[2]), Path(sys.argv[3]))\n"
        "toolchain._built([targets.WINDOWS[0]], [], ws)\n"
    )
    if not any(compiler.sources for compiler in toolchain.find_compilers(ws)[0]):
        pytest.skip("this machine cannot build std: no Rust sources")
    process = subprocess.Popen([sys.executable, "-c", code, str(checkout), str(ws.root), str(ws.cache)])
    sysroots = ws.cache / "sysroots"
    limit = time.monotonic() + 600
    while not list(sysroots.glob(".build.*/target/*/release")) and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    assert process.poll() is None, "the build ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not [path for path in sysroots.glob(f"{AMD64.triple}-*") if path.is_dir()]
    limit = time.monotonic() + 600
    while _writers(sysroots) and time.monotonic() < limit:
        time.sleep(0.1)
    assert _writers(sysroots) == []  # cargo and rustc end with the run that started them.
    from glean_steps import workspace

    workspace.sweep(sysroots, ".build.")
    assert not list(sysroots.glob(".build.*"))


def _writers(folder: Path) -> List[str]:
    """Return the command lines of processes that name `folder`."""
    found: List[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found
