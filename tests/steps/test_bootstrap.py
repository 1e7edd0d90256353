"""The private tool environment: made once, whole, by one run at a time, and left alone when it is up to date."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, List, Optional, Sequence

import pytest

from glean_steps import runner, system
from glean_steps.errors import CommandFailedError, MissingToolError, OfflineError
from glean_steps.runner import Completed


@pytest.fixture
def project(checkout: Path, tmp_path: Path) -> Path:
    """A checkout with a space and a letter beyond ASCII in its path, whose tool environment needs no package."""
    root = tmp_path / "a chéckout"
    (root / "requirements").mkdir(parents=True)
    shutil.copy(checkout / "bootstrap.py", root)
    shutil.copytree(checkout / "glean_steps", root / "glean_steps", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "requirements" / "tools.txt").write_text("# nothing\n")
    return root


@pytest.fixture
def bootstrap(project: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """bootstrap.py of that checkout as a module, whose programs are recorded instead of started."""
    spec = importlib.util.spec_from_file_location("bootstrap_under_test", project / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(project: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "bootstrap.py", *argv],
        cwd=project,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


@pytest.mark.slow
def test_a_program_of_the_environment_runs_with_its_folder_first_on_the_path(project: Path) -> None:
    code = "import os, sys; print(sys.prefix); print(os.environ['PATH'].split(os.pathsep)[0]); print(sys.argv[1:])"
    first = start(project, "python", "-c", code, "ä b", "")
    assert first.returncode == 0, first.stderr
    prefix, path, arguments = first.stdout.splitlines()
    assert Path(prefix).parent == project / ".glean" / "tools"
    assert Path(path) == Path(prefix) / "bin"
    assert arguments == "['ä b', '']"
    again = start(project, "python", "-c", code)
    assert again.stderr == ""  # Up to date: nothing is said and nothing is made.
    assert again.stdout.splitlines()[0] == prefix


@pytest.mark.slow
def test_the_exit_status_is_that_of_the_program(project: Path) -> None:
    assert start(project, "python", "-c", "raise SystemExit(37)").returncode == 37


@pytest.mark.slow
def test_an_unknown_program_is_named(project: Path) -> None:
    done = start(project, "no-such-program")
    assert done.returncode == 27
    assert "no program 'no-such-program'" in done.stderr


def test_without_arguments_it_says_how_it_is_used(project: Path) -> None:
    done = start(project)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_offline_says_what_is_missing(project: Path) -> None:
    done = start(project, "nox", GLEAN_OFFLINE="1")
    assert done.returncode == OfflineError.exit_code == 21
    assert "requirements/tools.txt" in done.stderr


@pytest.mark.slow
def test_a_failing_pip_shows_its_last_lines_and_leaves_no_environment(project: Path) -> None:
    (project / "requirements" / "tools.txt").write_text("glean-no-such-package==1 --hash=sha256:" + "0" * 64 + "\n")
    done = start(project, "nox", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(project))
    assert done.returncode == CommandFailedError.exit_code == 19
    assert "glean-no-such-package" in done.stderr.partition("last lines:")[2]
    assert not [path for path in (project / ".glean" / "tools").iterdir() if path.is_dir()]


@pytest.mark.slow
def test_a_run_that_was_killed_midway_is_made_good_by_the_next(project: Path) -> None:
    process = subprocess.Popen([sys.executable, "bootstrap.py", "python", "-V"], cwd=project, stderr=subprocess.DEVNULL)
    tools = project / ".glean" / "tools"
    limit = time.monotonic() + 60
    while not list(tools.glob("*/pyvenv.cfg")) and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(tools.glob("*/complete"))
    assert start(project, "python", "-V").returncode == 0
    assert list(tools.glob("*/complete"))


@pytest.mark.slow
def test_of_two_runs_at_once_one_makes_it_and_the_other_waits(project: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "bootstrap.py", "python", "-V"], cwd=project, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = "".join(process.communicate(timeout=1800)[1] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert said.count("-m venv") == 1


@pytest.mark.slow
def test_an_environment_of_another_key_goes_when_a_new_one_is_ready_unless_it_is_in_use(project: Path) -> None:
    tools = project / ".glean" / "tools"
    for name in ("unused", "used"):
        (tools / name).mkdir(parents=True)
        (tools / name / "complete").touch()
    with open(tools / "used.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert start(project, "python", "-V").returncode == 0
    assert not (tools / "unused").exists()
    assert (tools / "used" / "complete").exists()


def test_changed_requirements_another_place_and_another_recipe_give_another_environment(
    project: Path, bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [bootstrap.environment_path()]
    monkeypatch.setattr(bootstrap, "RECIPE", "another")
    keys.append(bootstrap.environment_path())
    monkeypatch.setattr(bootstrap, "ROOT", "/elsewhere")
    keys.append(bootstrap.environment_path())
    (project / "requirements" / "tools.txt").write_text("other\n")
    keys.append(bootstrap.environment_path())
    assert len(set(keys)) == 4


class Programs:
    """Stands in for `runner.run`: fails what contains one of the given words."""

    def __init__(self, *failing: str) -> None:
        self.calls: List[List[str]] = []
        self._failing = failing

    def __call__(self, argv: Sequence[object], **options: Any) -> Completed:
        words = [str(word) for word in argv]
        self.calls.append(words)
        if any(word in words for word in self._failing):
            raise CommandFailedError("it failed", tail=["for this reason"])
        return Completed(words, 0, "")


def no_modules(monkeypatch: pytest.MonkeyPatch, *absent: str) -> None:
    found = importlib.util.find_spec

    def find_spec(name: str, package: Optional[str] = None) -> Any:
        return None if name in absent else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def no_programs(monkeypatch: pytest.MonkeyPatch, present: Dict[str, str]) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: present.get(name))


@pytest.mark.parametrize("program", ["virtualenv", "uv"])
def test_without_ensurepip_another_maker_of_environments_is_used(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    no_modules(monkeypatch, "ensurepip", "virtualenv", "pip")
    no_programs(monkeypatch, {program: f"/bin/{program}"})
    run = Programs()
    monkeypatch.setattr(runner, "run", run)
    pip = bootstrap._make_virtual_environment("/env")
    assert run.calls[0][0] == f"/bin/{program}"
    assert pip == ["/env/bin/python", "-m", "pip"]


def test_a_way_that_fails_gives_way_to_the_next(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_modules(monkeypatch, "virtualenv", "pip")
    no_programs(monkeypatch, {"uv": "/bin/uv"})
    run = Programs("venv")
    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr(system, "require", lambda tools, ws: None)
    with pytest.raises(CommandFailedError):
        bootstrap._make_virtual_environment("/no/env")
    assert "venv did not work here: it failed: for this reason" in capsys.readouterr().err


def test_where_nothing_may_be_installed_one_line_names_the_packages_of_the_whole_project(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_modules(monkeypatch, "ensurepip", "virtualenv", "pip")
    no_programs(monkeypatch, {"apt-get": "/bin/apt-get"})
    monkeypatch.setenv("GLEAN_INSTALL", "never")
    monkeypatch.setattr(system, "is_root", lambda: False)
    monkeypatch.setattr(system, "_has_lists", lambda: True)
    monkeypatch.setattr(system, "os_release", lambda: {"ID": "debian"})
    with pytest.raises(MissingToolError) as caught:
        bootstrap._make_virtual_environment("/env")
    assert caught.value.fix.startswith("sudo apt-get install -y ")
    assert "\n" not in caught.value.fix
    packages = caught.value.fix.split()[4:]
    assert {"gcc-mingw-w64-x86-64", "gcc-mingw-w64-i686", "wine", "rustc-web"} <= set(packages)
    assert any(re.fullmatch(r"python3(\.\d+)?-venv", package) for package in packages)


def test_settings_of_pip_that_would_install_elsewhere_are_answered(bootstrap: ModuleType) -> None:
    assert bootstrap._PIP_ENV["PIP_USER"] == "0"
    assert not {"PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT"} & set(bootstrap._PIP_ENV)


def test_ensure_does_nothing_where_the_libraries_can_be_imported(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "NEEDED", ("os", "sys"))
    monkeypatch.setattr(bootstrap, "from_environment", pytest.fail)
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/nox"])
    bootstrap.ensure()


def test_ensure_starts_the_same_command_again_from_the_environment(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "NEEDED", ("glean_no_such_module",))
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/nox", "-f", "noxfile.py", "-s", "tests", "--", "-f", "x"])
    started: List[List[str]] = []
    monkeypatch.setattr(bootstrap, "from_environment", started.append)
    bootstrap.ensure()
    noxfile = os.path.join(bootstrap.ROOT, "noxfile.py")
    assert started == [["python", "-m", "nox", "-f", noxfile, "-s", "tests", "--", "-f", "x"]]
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/inv", "doctor"])
    bootstrap.ensure()
    assert started[1] == ["python", "-m", "invoke", "doctor"]


def test_ensure_does_not_go_round_in_circles(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "NEEDED", ("glean_no_such_module",))
    monkeypatch.setenv(bootstrap.GUARD, str(os.getpid()))
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/nox"])
    with pytest.raises(SystemExit, match="glean_no_such_module"):
        bootstrap.ensure()


def test_ensure_leaves_a_program_alone_that_is_neither_nox_nor_invoke(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "NEEDED", ("glean_no_such_module",))
    monkeypatch.setattr(bootstrap, "from_environment", pytest.fail)
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/editor"])
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    bootstrap.ensure()


def test_a_python_that_is_too_old_is_told_so(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 8, 20, "final", 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.9 or newer, this is 3\.8"):
        runpy.run_path(str(checkout / "bootstrap.py"))


def test_every_pinned_tool_has_a_version_and_hashes_and_no_host_is_named(checkout: Path) -> None:
    text = (checkout / "requirements" / "tools.txt").read_text(encoding="utf-8")
    joined = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    assert len(joined) > 50
    for line in joined:
        assert re.match(r"[a-z0-9-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", line), line
    assert "://" not in text


def test_everything_that_ensure_asks_for_is_among_the_requirements(checkout: Path, bootstrap: ModuleType) -> None:
    lines = (checkout / "requirements" / "tools.in").read_text().splitlines()
    wanted = {re.split("[;<=>]", line)[0].strip() for line in lines}
    assert set(bootstrap.NEEDED) <= wanted
