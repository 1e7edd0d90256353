"""glean_steps.interpreters: the CPythons of this machine, and programs of that name that are none."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from glean_steps import interpreters
from glean_steps.workspace import Workspace


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH; what this machine has elsewhere is not looked at."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(interpreters.glob, "glob", lambda pattern: own_glob(pattern, tmp_path))
    return folder


WS = Workspace(Path("/checkout"), Path("/cache"))
real_glob = interpreters.glob.glob


def own_glob(pattern: str, folder: Path) -> list[str]:
    """Match below the test's folder alone."""
    return real_glob(pattern) if pattern.startswith(f"{folder}/") else []


def stand_in(path: Path, **changes: object) -> Path:
    """Write a program that answers like an interpreter would."""
    answer = {
        "implementation": "CPython",
        "version": "3.9.1",
        "free_threaded": False,
        "stdlib": "/lib",
        "executable": str(path),
        "base": "/",
        **changes,
    }
    return script(path, f"printf '%s' '{json.dumps(answer)}'")


def script(path: Path, line: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_this_machines_pythons_are_found_and_tell_the_truth() -> None:
    found = interpreters.find_all(WS)
    assert found, "this very test runs in one"
    for minor, python in found.items():
        assert python.minor == minor and python.version.startswith(minor.rstrip("t") + ".")
        assert (python.stdlib / "os.py").is_file()
        assert os.access(python.executable, os.X_OK)
        assert interpreters.OLDEST <= tuple(int(n) for n in python.version.split(".")[:2]) <= interpreters.NEWEST
    order = [int(minor.split(".")[1].rstrip("t")) for minor in found]
    assert order == sorted(order)


def test_a_real_interpreter_on_the_path_is_found_under_any_link(bin_folder: Path) -> None:
    name = "python{}.{}".format(*sys.version_info[:2])
    (bin_folder / name).symlink_to(os.path.realpath(sys.executable))
    (only,) = interpreters.find_all(WS).values()
    assert only.version == sys.version.split()[0] and only.executable == bin_folder / name


def test_a_stand_in_is_taken_for_what_it_says(bin_folder: Path) -> None:
    stand_in(bin_folder / "python3.9")
    assert interpreters.find_all(WS) == {
        "3.9": interpreters.CPython("3.9.1", False, bin_folder / "python3.9", Path("/lib"))
    }


def test_a_free_threaded_stand_in_counts_apart_from_the_usual_one(bin_folder: Path) -> None:
    stand_in(bin_folder / "python3.13", version="3.13.1")
    stand_in(bin_folder / "python3.13t", version="3.13.1", free_threaded=True)
    found = interpreters.find_all(WS)
    assert list(found) == ["3.13", "3.13t"] and found["3.13t"].free_threaded


def test_stand_ins_that_are_not_cpython_or_too_old_or_too_new_are_passed_over(bin_folder: Path) -> None:
    stand_in(bin_folder / "python3.9", implementation="PyPy")
    stand_in(bin_folder / "python3.8", version="3.6.15")
    stand_in(bin_folder / "python3.14", version="3.15.0")
    assert interpreters.find_all(WS) == {}


@pytest.mark.parametrize("line", ["exit 1", "echo no json", "kill -9 $$", "printf '{'"])
def test_a_program_that_does_not_work_is_passed_over(bin_folder: Path, line: str) -> None:
    script(bin_folder / "python3.9", line)
    stand_in(bin_folder / "python3.10", version="3.10.2")
    assert list(interpreters.find_all(WS)) == ["3.10"]


def test_a_program_that_cannot_be_started_is_passed_over(bin_folder: Path) -> None:
    script(bin_folder / "python3.9", "").write_text("#!/no/such/interpreter\n")
    assert interpreters.find_all(WS) == {}


def test_pyenvs_versions_are_found_and_its_shims_are_not_asked(bin_folder: Path, tmp_path: Path) -> None:
    """A shim answers for whichever version is chosen in the folder one happens to be in."""
    asked = tmp_path / "asked"
    shims = tmp_path / "pyenv" / "shims"
    script(shims / "python3.9", f": > '{asked}'")
    os.environ["PATH"] = f"{shims}:{bin_folder}"
    stand_in(tmp_path / "pyenv" / "versions" / "3.9.18" / "bin" / "python3.9", version="3.9.18")
    assert interpreters.find_all(WS)["3.9"].version == "3.9.18"
    assert not asked.exists()


def test_the_one_on_the_path_wins_over_others_of_its_minor_version(bin_folder: Path, tmp_path: Path) -> None:
    stand_in(bin_folder / "python3.9", version="3.9.2")
    stand_in(tmp_path / "pyenv" / "versions" / "3.9.18" / "bin" / "python3.9", version="3.9.18")
    assert interpreters.find_all(WS)["3.9"].version == "3.9.2"


def test_a_program_with_two_names_is_asked_once(bin_folder: Path, tmp_path: Path) -> None:
    count = tmp_path / "count"
    real = script(tmp_path / "real" / "python", f"echo x >> '{count}'; exit 1")
    for name in ("python3.9", "python3.10"):
        (bin_folder / name).symlink_to(real)
    assert interpreters.find_all(WS) == {}
    assert count.read_text() == "x\n"
