"""glean_steps.any_wheel: the matrix, what each cell says, and a real wheel with its own tests in a Windows Python."""

from __future__ import annotations

import argparse
import base64
import hashlib
import zipfile
from pathlib import Path

import pytest
import windows

from glean_steps import any_wheel, commands, errors, suites, windows_python, wine
from glean_steps.errors import CommandFailedError, NotProvableError, SettingError
from glean_steps.suites import Result, Suite
from glean_steps.targets import WINDOWS
from glean_steps.workspace import Workspace

AMD64 = WINDOWS[0]
COMMAND = next(command for command in commands.SESSIONS if command.name == "test_wheel")


def pure_wheel(folder: Path, tag: str = "py3-none-any", source: str = "VALUE = 42\n") -> Path:
    """Write a wheel that holds one module."""
    files = {
        "small.py": source,
        "small-1.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: small\nVersion: 1.5\n",
        "small-1.5.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    rows = []
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        rows.append(f"{name},sha256={digest},{len(text)}")
    files["small-1.5.dist-info/RECORD"] = "\n".join([*rows, "small-1.5.dist-info/RECORD,,"]) + "\n"
    path = folder / f"small-1.5-{tag}.whl"
    with zipfile.ZipFile(path, "w") as out:
        for name, text in files.items():
            out.writestr(name, text)
    return path


def test_every_python_and_architecture_is_a_cell_of_the_matrix(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With a stand-in for the cells themselves."""

    def cell(given: argparse.Namespace, version: str, target: object) -> Suite:
        def run(ws: Workspace) -> Result:
            if target is not AMD64:
                raise NotProvableError("there is no wheel of small for win32", why="the index has others only")
            return Result("", passed=1, failed=int(version.startswith("3.12")))

        return Suite(f"{version} {target}", run)

    monkeypatch.setattr(any_wheel, "_cell", cell)
    given = COMMAND.parse(["small", "--python", "3.12,3.13", "--arch", "amd64,win32", "--", "-k", "name"])
    with pytest.raises(errors.TestsFailedError):
        any_wheel.run(ws, given)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["amd64", "FAILED", "passed"] in rows and ["win32", "not", "run", "not", "run"] in rows
    assert given.remainder == ["-k", "name"]


@pytest.mark.parametrize("words", [["gone-1-py3-none-any.whl"], ["small", "--tests", "/no/such/folder"]])
def test_file_that_is_not_there_is_refused(ws: Workspace, words: list[str]) -> None:
    with pytest.raises(SettingError, match="there is no "):
        any_wheel.run(ws, COMMAND.parse(words))


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("Skipping link: No binaries permitted: https://index/small-1.0.tar.gz", "publishes sources only"),
        ("Skipping link: not compatible: small-1.0-cp39-cp39-win32.whl", "such as small-1.0-cp39-cp39-win32.whl"),
        ("WARNING: Retrying after connection broken by 'OSError(22)': /simple/small/", "out of reach: OSError(22)"),
        ("ERROR: 404", "the index knows no project or version small"),
    ],
)
def test_what_the_index_has_in_place_of_a_wheel_is_told(log: str, says: str) -> None:
    assert says in any_wheel._offers(CommandFailedError("x", output=log), "small")


def test_wheel_without_anything_to_import_has_not_passed(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(any_wheel.audit, "modules", lambda wheel: [])
    monkeypatch.setattr(any_wheel, "_pip", lambda *_: None)
    (tmp_path / "drive_c" / "windows" / "system32").mkdir(parents=True)
    python = windows_python.WindowsPython("3.13.1", "amd64", tmp_path, "")
    given = COMMAND.parse([str(pure_wheel(tmp_path))])
    warm = wine.Wine(ws, wine.Provider("", ""), tmp_path, AMD64)
    result = any_wheel.test(given, python, warm)
    assert result.failed == 1 and "import: no module found to import" in result.notes


# --- in a real Windows Python -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return windows.built_checkout(tmp_path_factory).checkout.ws


def cell(path: Path, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setenv("GLEAN_CACHE", str(ws.cache))
    return suites.run_one(any_wheel._cell(COMMAND.parse([str(path)]), windows.PYTHON.version, AMD64), ws)


@pytest.mark.wine
@pytest.mark.slow
def test_wheel_is_installed_and_imported_in_a_python_without_other_packages(
    real: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = cell(pure_wheel(tmp_path), real, monkeypatch)
    assert (result.passed, result.failed) == (3, 0), result.notes
    assert list(real.state.glob("wheel-*")) == []


@pytest.mark.wine
@pytest.mark.slow
def test_import_that_fails_is_a_failure_with_its_last_line(
    real: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pure_wheel(tmp_path, source="raise OSError('no such DLL')\n")
    result = cell(path, real, monkeypatch)
    assert result.failed == 1 and "import small: OSError: no such DLL" in result.notes


@pytest.mark.wine
@pytest.mark.slow
def test_wheel_of_another_python_is_not_run(real: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = cell(pure_wheel(tmp_path, "cp36-cp36m-win_amd64"), real, monkeypatch)
    assert "is not for Python" in result.not_run


def test_system_dlls_hold_no_runtime_of_a_compiler(tmp_path: Path) -> None:
    folder = tmp_path / "drive_c" / "windows" / "system32"
    folder.mkdir(parents=True)
    for name in ("KERNEL32.dll", "msvcp140.dll", "vcruntime140.dll", "ucrtbase.dll"):
        (folder / name).touch()
    assert any_wheel.system_dlls(tmp_path) == ["kernel32.dll", "ucrtbase.dll"]
