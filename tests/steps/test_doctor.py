"""glean_steps.doctor: what the probes of the prerequisites say on machines of several kinds, and what follows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from glean_steps import catalog, doctor, environments, interpreters, system, toolchain, windows_python, wine
from glean_steps.prerequisites import Probe
from glean_steps.suites import Suite
from glean_steps.targets import WINDOWS
from glean_steps.workspace import Workspace

AMD64, WIN32 = WINDOWS[:2]


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of a Debian machine who may not install anything."""
    monkeypatch.setattr(system, "is_root", lambda: False)
    monkeypatch.setattr(system, "why_not_installed", lambda: "installing packages needs root")


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "find", lambda tool: None)
    monkeypatch.setattr(system, "find_program", lambda name, folders=(): None)
    monkeypatch.setattr(wine, "has_wine32", lambda: False)
    monkeypatch.setattr(toolchain, "find_compilers", lambda ws: ([], ["/usr/bin/rustc is 1.63.0"]))
    monkeypatch.setattr(interpreters, "find_all", lambda ws: {})


@pytest.mark.usefixtures("user", "nothing_here")
def test_bare_machine_of_a_user_gets_one_line_for_every_package_and_exit_14(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: f"/bin/{name}" if "apt-get" in name else None)
    assert doctor.run(Workspace(checkout, tmp_path / "cache")) == 14
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("  fix: ")]
    for package in ("gcc", "cargo", "gcc-mingw-w64-x86-64", "gcc-mingw-w64-i686", "wine64"):
        assert f" {package}" in line
    assert "not done automatically: installing packages needs root" in out
    assert out.rstrip().splitlines()[-1].startswith("nox -s build_windows: will not run: ")
    assert "there is no 32-bit Wine, and a private one needs root" in out


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_here")
def test_root_is_told_what_will_be_installed(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "is_root", lambda: True)
    monkeypatch.setattr(system, "why_not_installed", lambda: "")
    monkeypatch.setattr(wine, "_may_unshare", lambda ws: True)
    assert doctor.run(Workspace(checkout, tmp_path / "cache")) in (0, 14)
    assert "done automatically by the commands that need it" in capsys.readouterr().out


@pytest.mark.slow
def test_every_suite_of_the_test_command_has_a_verdict(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ws = Workspace(checkout, tmp_path / "cache")
    doctor.run(ws)
    out = capsys.readouterr().out
    for suite in catalog.tests(ws):
        assert f"\n{suite.name} " in out


def test_verdicts() -> None:
    assert doctor.verdict([Probe("here")]) == "will run"
    assert (
        doctor.verdict([Probe("x", later="builds it"), Probe("y", later="builds it")]) == "will run; it first builds it"
    )
    assert doctor.verdict([Probe("x", why="no Wine", fix="install it")]) == "will not run: no Wine → install it"


@pytest.mark.usefixtures("user")
def test_missing_package_blocks_a_user_and_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    probes = [Probe("x", missing=("wine",))]
    assert doctor.verdict(probes) == "will not run: missing wine → the line at the end" and not doctor.can_run(probes)
    monkeypatch.setattr(system, "why_not_installed", lambda: "")
    assert doctor.verdict(probes) == "will run after installing wine (done automatically as root)"


@pytest.mark.slow
def test_probing_changes_nothing_and_asks_no_server(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(Path(__file__).parents[2] / "requirements", ws.root / "requirements")
    before = sorted(ws.root.rglob("*"))
    needs = [
        *doctor.main_job(),
        toolchain.HostRust(),
        environments.Environment("3.11", "requirements/tests.txt", "3.11"),
        environments.NativeWheel(),
        windows_python.Environment("3.8", WIN32),
    ]
    monkeypatch.setattr("socket.socket", lambda *_, **__: pytest.fail("a server was asked"))
    assert all(isinstance(need.probe(ws), Probe) and need.name for need in needs)
    assert sorted(ws.root.rglob("*")) == before


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize(("row", "text"), [("3.7", "zip, if"), ("3.13", "zip, if")])
def test_windows_python_comes_from_a_zip_where_its_server_is_in_reach(ws: Workspace, row: str, text: str) -> None:
    assert text in windows_python.Environment(row, AMD64).probe(ws).text


def test_offline_and_an_empty_cache_leave_no_windows_python(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    probe = windows_python.Environment(None, AMD64).probe(ws)
    assert "GLEAN_OFFLINE is set" in probe.why and probe.fix == "run once without GLEAN_OFFLINE"


def test_unknown_variable_and_settings_in_force_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GLEAN_QUIET", "1")
    monkeypatch.setenv("GLEAN_OFLINE", "1")
    doctor._settings_table().print()
    out = capsys.readouterr().out
    assert "GLEAN_QUIET" in out and "GLEAN_OFLINE is set, but nothing reads it; GLEAN_OFFLINE?" in out


def test_space_is_that_of_the_disk_that_holds_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    (tmp_path / "link").symlink_to("/")
    assert 1000 <= doctor.folder_size(tmp_path) < 2000
    assert doctor.free_space(tmp_path / "not" / "there" / "yet") == doctor.free_space(tmp_path)


def test_suite_names_are_unique(ws: Workspace) -> None:
    names = [suite.name for suite in catalog.tests(ws)]
    assert len(set(names)) == len(names) and isinstance(catalog.miri(), Suite)
