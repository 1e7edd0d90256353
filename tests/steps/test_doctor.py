"""glean_steps.doctor: what it says about machines that lack something, and that looking changes nothing."""

from __future__ import annotations

import re
import shlex
import socket
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import pytest

from glean_steps import doctor, errors, interpreters, pins, runner, system, toolchain, wine
from glean_steps.runner import Completed
from glean_steps.system import Tool
from glean_steps.targets import TARGETS
from glean_steps.toolchain import Compiler
from glean_steps.workspace import Workspace

AMD64, WIN32 = TARGETS
Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """Make a machine up: which tools it has, its Rust targets, its CPythons, and whether it may install packages."""

    def make_up(
        *,
        lacks: Sequence[str] = (),
        rust_targets: Sequence[str] = (AMD64.triple, WIN32.triple),
        rust: bool = True,
        sources: bool = False,
        rustup: bool = False,
        pythons: Sequence[str] = ("3.7.16",),
        wine32: bool = True,
        root: bool = True,
        unshare: bool = True,
    ) -> None:
        sysroot = tmp_path / "rust"
        for triple in rust_targets:
            folder = sysroot / "lib" / "rustlib" / triple / "lib"
            folder.mkdir(parents=True)
            (folder / "libstd-1.rlib").touch()
        for name in ("std", "vendor") if sources else ():
            (sysroot / "lib" / "rustlib" / "src" / "rust" / "library" / name).mkdir(parents=True)
        cargo, rustc, rustdoc = (sysroot / "bin" / name for name in ("cargo", "rustc", "rustdoc"))
        compiler = Compiler(cargo, rustc, rustdoc, sysroot, "release: 1.90.0\nhost: x86_64-unknown-linux-gnu\n")
        found = [compiler] if rust else []
        cpythons: Dict[str, interpreters.CPython] = {}
        for version in pythons:
            stdlib = tmp_path / version
            (stdlib / "ensurepip").mkdir(parents=True)
            python = interpreters.CPython(version, False, Path("/usr/bin/python"), stdlib)
            cpythons[python.minor] = python

        def find(tool: Tool) -> Optional[Path]:
            return None if tool.name in lacks else Path("/usr/bin", tool.name)

        def find_program(name: str, folders: Sequence[str] = ()) -> Optional[Path]:
            return Path("/usr/bin", name) if name != "rustup" or rustup else None

        monkeypatch.setattr(system, "find", find)
        monkeypatch.setattr(system, "find_program", find_program)
        monkeypatch.setattr(system, "is_root", lambda: root)
        monkeypatch.setattr(system, "_has_lists", lambda: True)
        monkeypatch.setattr(system, "_choose", lambda tool, run: tool.packages[0])
        monkeypatch.setattr(toolchain, "_find_compilers", lambda ws, run: (found, [] if rust else ["rustc is 1.60"]))
        monkeypatch.setattr(interpreters, "find_all", lambda *, run=runner.run: cpythons)
        monkeypatch.setattr(wine, "has_wine32", lambda: wine32)
        monkeypatch.setattr(doctor, "_may_unshare", lambda machine: unshare)

    return make_up


def ask(argv: Sequence[object], **options: Any) -> Completed:
    """Answer every program that the doctor asks, without starting any."""
    return Completed([str(word) for word in argv], 0, "version 9.9\n", 0.0)


def examine(ws: Workspace, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the doctor's exit status and what it printed."""
    status = doctor.run(ws=ws, ask=ask)
    return status, capsys.readouterr().out


def lanes(text: str) -> Dict[str, str]:
    """Return the verdict of each lane in the printed table."""
    table = text.partition("Lanes of")[2].partition("\n\n")[0].splitlines()[3:]
    return dict(re.split(r"  +", line, maxsplit=1) for line in table)


def test_a_machine_that_has_everything_can_run_the_main_job(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    machine()
    status, text = examine(ws, capsys)
    assert status == 0
    assert "\nmissing:" not in text
    assert lanes(text)["Rust, Wine amd64"] == "will run"
    assert lanes(text)["Python, native 3.7.16"] == "will run"
    assert lanes(text)["Python, Wine 3.7.9 win32"].startswith("will run")
    assert text.rstrip().splitlines()[-1].startswith("nox -s build_windows: will run")


def test_every_lane_of_the_test_command_is_there(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    machine()
    named = set(lanes(examine(ws, capsys)[1]))
    table = pins.load()
    assert {f"Rust, Wine {target.arch}" for target in TARGETS} | {"Rust, native", "differential", "steps"} <= named
    assert {f"Python, Wine {table.default_python} {target.arch}" for target in TARGETS} <= named
    assert {f"Python, Wine {version} {arch}" for version, arch in table.tested} <= named
    assert {f"Python, native 3.{number}" for number in range(8, 15)} <= named


def test_install_never_gives_one_line_with_every_missing_package(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLEAN_INSTALL", "never")
    absent = ("cc", "mingw-amd64", "mingw-win32", "wine", "debootstrap", "unshare")
    machine(lacks=absent, rust=False, rust_targets=(), wine32=False)
    status, text = examine(ws, capsys)
    assert status == errors.MissingToolError.exit_code == 14
    (line,) = [line for line in text.splitlines() if line.startswith("  fix: ")]
    wanted = [package for tool in system.tools(*absent, "rust", "rust-sources") for package in tool.packages[0]]
    assert "apt-get install" in line
    assert set(wanted) <= set(shlex.split(line))
    assert "GLEAN_INSTALL=never" in text


def test_what_is_not_needed_is_not_in_the_line(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(lacks=("mingw-win32", "debootstrap"))
    _, text = examine(ws, capsys)
    (line,) = [line for line in text.splitlines() if line.startswith("  fix: ")]
    assert line == "  fix: apt-get install -y gcc-mingw-w64-i686"
    assert "not here, and not needed now" in text


def test_root_is_told_what_will_be_installed_and_the_status_is_0(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(lacks=("mingw-win32",))
    status, text = examine(ws, capsys)
    assert status == 0
    assert "will run after installing mingw-win32 (done automatically as root)" in lanes(text)["Rust, Wine win32"]
    assert lanes(text)["Rust, Wine amd64"] == "will run"


def test_a_user_who_may_not_install_gets_status_14_and_a_line_with_sudo(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(lacks=("mingw-win32",), root=False)
    status, text = examine(ws, capsys)
    assert status == 14
    assert "  fix: sudo apt-get install -y gcc-mingw-w64-i686" in text.splitlines()
    assert "installing packages needs root" in text


def test_a_user_without_32_bit_wine_gets_the_line_that_adds_the_architecture(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(lacks=("mingw-amd64",), root=False, wine32=False)
    status, text = examine(ws, capsys)
    assert status == 14
    (line,) = [line for line in text.splitlines() if line.startswith("  fix: ")]
    assert line.startswith("  fix: sudo dpkg --add-architecture i386 && sudo apt-get update; sudo apt-get install -y ")
    assert {"gcc-mingw-w64-x86-64", "wine32:i386"} <= set(shlex.split(line))
    assert lanes(text)["Rust, Wine win32"].startswith("will not run: there is no 32-bit Wine")


def test_root_makes_a_private_32_bit_wine_and_a_finished_one_is_named(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(wine32=False)
    assert "it first gets a 32-bit Wine" in lanes(examine(ws, capsys)[1])["Rust, Wine win32"]
    root = ws.cache / "wine32-root" / f"{system.os_release().get('VERSION_CODENAME', '')}-2"
    root.mkdir(parents=True)
    (root / ".complete").touch()
    text = examine(ws, capsys)[1]
    assert lanes(text)["Rust, Wine win32"] == "will run"
    assert f"private 32-bit root, {root}" in text


def test_a_container_that_forbids_mounts_cannot_have_a_private_32_bit_wine(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(wine32=False, unshare=False)
    status, text = examine(ws, capsys)
    assert status == 14
    assert "does not allow mounts" in lanes(text)["Rust, Wine win32"]
    assert lanes(text)["Rust, Wine amd64"] == "will run"


def test_each_way_to_a_standard_library_is_told_apart(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(rust_targets=(AMD64.triple,), sources=True)
    status, text = examine(ws, capsys)
    assert status == 0
    assert "standard library already in" in text
    assert "built once from" in text
    assert "it first builds a standard library" in lanes(text)["Rust, Wine win32"]


def test_rustup_is_named_where_it_would_be_asked_and_not_after_it_failed(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(rust_targets=(), rustup=True)
    status, text = examine(ws, capsys)
    assert status == 0
    assert "`rustup target add`, where its server is in reach" in text
    stamps = ws.state / "stamps"
    stamps.mkdir(parents=True)
    (stamps / f"rust-rustup-{AMD64.triple}+{WIN32.triple}.json").write_text("{}")
    text = examine(ws, capsys)[1]
    assert "rustup target add" not in text
    assert "missing: rust-sources" in text


def test_a_compiler_that_is_too_old_is_shown_as_such(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(rust=False, rust_targets=())
    assert "rustc is 1.60, too old" in examine(ws, capsys)[1]


def test_a_windows_python_can_come_from_the_cache_a_server_or_a_host_python(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(pythons=("3.7.16", "3.11.2"))
    row = pins.find_python("3.8.10")
    zipped = pins.embeddable(row, "win32", pins.load())
    assert zipped is not None
    cached = ws.cache / "downloads" / zipped.digest / zipped.name
    cached.parent.mkdir(parents=True)
    cached.touch()
    table = examine(ws, capsys)[1].partition("Windows Pythons")[2].partition("\n\n")[0]
    rows = {line.split()[0]: line for line in table.splitlines()[3:]}
    assert "zip in the cache" in rows["3.8.10"]
    assert "else rebuilt (3.11.9) with the CPython 3.11.2 here" in rows["3.11.9"]
    assert "is in reach" in rows["3.9.13"]
    assert "rebuilt" not in rows["3.9.13"]


def test_offline_a_windows_python_that_is_not_in_the_cache_keeps_its_lanes_from_running(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    machine()
    status, text = examine(ws, capsys)
    assert status == 14
    assert "GLEAN_OFFLINE is set" in lanes(text)["Python, Wine 3.7.9 amd64"]
    assert "run once without GLEAN_OFFLINE" in lanes(text)["Python, Wine 3.7.9 amd64"]
    assert lanes(text)["Rust, Wine amd64"] == "will run"


def test_the_comparison_needs_glean_sdk_which_is_fetched_once(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine()
    assert "it first installs glean-sdk" in lanes(examine(ws, capsys)[1])["differential"]
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    assert "GLEAN_OFFLINE is set and glean-sdk is not installed" in lanes(examine(ws, capsys)[1])["differential"]
    for name in ("differential", "differential-ours"):
        program = ws.state / "venvs" / name / "bin" / "python"
        program.parent.mkdir(parents=True)
        program.touch()
    monkeypatch.delenv("GLEAN_OFFLINE")
    assert lanes(examine(ws, capsys)[1])["differential"] == "will run"


def test_a_python_without_ensurepip_names_the_package_that_brings_it(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    machine(pythons=("3.11.2",))
    (tmp_path / "3.11.2" / "ensurepip").rmdir()
    verdict = lanes(examine(ws, capsys)[1])["Python, native 3.11.2"]
    assert verdict.startswith("will not run: ")
    assert verdict.endswith("apt-get install -y python3.11-venv")


def test_settings_in_force_are_listed_and_one_that_nobody_reads_is_pointed_out(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine()
    monkeypatch.setenv("GLEAN_QUIET", "1")
    monkeypatch.setenv("GLEAN_OFLINE", "1")
    monkeypatch.setenv("GLEAN_WINDOWS_PYTHON", "2.7")
    status, text = examine(ws, capsys)
    settings = text.partition("Settings in force")[2]
    assert "GLEAN_QUIET" in settings
    assert re.search(r"GLEAN_OFLINE +1 +unknown", settings)
    assert status == 14
    assert "unknown Windows Python '2.7'" in lanes(text)["Python, Wine 2.7 amd64"]


def test_looking_changes_nothing_and_needs_no_network(
    ws: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the machine as it is: whatever it has and lacks, no file appears and no connection is tried."""

    def refuse(*arguments: object) -> None:
        raise AssertionError("the doctor used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("GLEAN_INSTALL", "never")
    started: List[List[str]] = []

    def watched(argv: Sequence[object], **options: Any) -> Completed:
        started.append([str(word) for word in argv])
        return runner.run(argv, **options)

    assert doctor.run(ws=ws, ask=watched) in (0, 14)
    assert "Lanes of" in capsys.readouterr().out
    assert not ws.cache.exists()
    assert list(ws.root.iterdir()) == []
    changing = {"install", "update", "add", "--add-architecture", "wineboot", "debootstrap"}
    assert [argv for argv in started if changing & set(argv[1:])] == []


def test_the_list_of_variables_is_that_of_the_sources_and_of_the_documentation(checkout: Path) -> None:
    sources = [*(checkout / "glean_steps").rglob("*.py"), *(checkout / "glean_py").rglob("*.py")]
    sources += [checkout / name for name in ("setup.py", "bootstrap.py", "noxfile.py", "tasks.py")]
    sources = [source for source in sources if source.name != "doctor.py"]
    quoted = re.compile(r'"(GLEAN_[A-Z0-9_]+)"')
    read = {name for source in sources for name in quoted.findall(source.read_text(encoding="utf-8"))}
    c_names = {name for name in read if f"{name} " in (checkout / "glean_core/include/glean.h").read_text()}
    c_names.add("GLEAN_PARSER_VERSION")  # A name of the package, not of a variable.
    assert read - c_names == set(doctor.VARIABLES) | doctor.INTERNAL_VARIABLES
    documented = re.findall(r"^\| `(GLEAN_\w+)", (checkout / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(doctor.VARIABLES)


def test_sizes_and_free_space_are_told_of_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert doctor.folder_size(tmp_path) == 5
    assert doctor.folder_size(tmp_path / "absent") == 0
    assert doctor.free_space(tmp_path / "absent" / "deeper") > 0


def test_a_disk_without_room_is_pointed_out(
    machine: Machine, ws: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine()
    assert "may not fit" not in examine(ws, capsys)[1] or doctor.free_space(ws.root) < 4_000_000_000
    monkeypatch.setattr(doctor, "free_space", lambda folder: 1_000_000)
    assert "that may not fit" in examine(ws, capsys)[1]


def test_the_task_ends_with_the_doctors_status(checkout: Path) -> None:
    argv = [sys.executable, "-B", "-m", "invoke", "doctor"]
    env = runner.child_env({"GLEAN_INSTALL": "never", "GLEAN_WINDOWS_PYTHON": "2.7"})
    done = runner.run(argv, timeout_s=60, cwd=checkout, env=env, check=False, quiet=True)
    assert done.status == 14
    assert "nox -s build_windows: will not run: unknown Windows Python '2.7'" in done.stdout
