"""glean_steps.musl: when a CPython for musl is built, found again and refused; its build is a stand-in.

`nox -s test_platforms` builds a real one and runs the Python suite in it.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glean_steps import environments, fetch, foreign, musl, pins, prove, roots, runner, system, targets
from glean_steps.errors import CommandFailedError, NotProvableError, OfflineError
from glean_steps.targets import Target
from glean_steps.workspace import Workspace

OWN = replace(targets.find_target("musllinux_1_2_x86_64"), machine=platform.machine())
OTHER = replace(targets.find_target("musllinux_1_2_aarch64"), machine="sparc", qemu="sparc")

Build = Callable[..., Path]


@pytest.fixture
def builds(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[Target]:
    """What was built, by stand-ins for the root with musl, for the fetched sources, and for the build itself."""
    done: list[Target] = []

    def build(self: musl.MuslPython, scratch: Path, sources: Path, loader: Path, ws: Workspace) -> Path:
        done.append(self.target)
        assert loader.name == f"ld-musl-{self.target.machine}.so.1" and sources.name.endswith(".orig.tar.xz")
        program = scratch / "out" / "usr" / "bin" / "python3.13"
        program.parent.mkdir(parents=True)
        program.symlink_to(sys.executable)
        return scratch / "out" / "usr"

    monkeypatch.setattr(musl.MuslPython, "_build", build)
    monkeypatch.setattr(roots.Root, "ensure", lambda self, ws: ws.cache / "roots" / self.arch)
    monkeypatch.setattr(roots, "know_qemu", lambda target, ws: None)
    monkeypatch.setattr(roots, "mirror", lambda ws: "http://archive.example/debian")
    monkeypatch.setattr(system, "require", lambda tools, ws: None)
    monkeypatch.setattr(system, "missing", lambda tools: [])
    monkeypatch.setattr(system, "os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"})
    monkeypatch.setattr(fetch, "fetch", lambda download, cache: cache / download.name)
    shutil.copytree(Path(__file__).parents[2] / "requirements" / "musl", ws.root / "requirements" / "musl")
    return done


def test_it_is_built_once_and_again_when_a_library_of_it_changes(ws: Workspace, builds: list[Target]) -> None:
    wanted = musl.MuslPython(OWN)
    assert "some ten minutes" in wanted.probe(ws).later
    program = wanted.ensure(ws)
    assert program == wanted.ensure(ws) and program.exists() and builds == [OWN]
    assert wanted.probe(ws).text == str(program.parents[2]) and not wanted.probe(ws).later
    lock = ws.root / "requirements" / "musl" / "Cargo.lock"
    lock.write_text(lock.read_text() + "\n")
    assert wanted.ensure(ws) != program and len(builds) == 2


def test_half_of_one_is_none(ws: Workspace, builds: list[Target], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Path:
        raise CommandFailedError("make failed", status=2)

    with monkeypatch.context() as patch:
        patch.setattr(musl.MuslPython, "_build", fail)
        with pytest.raises(CommandFailedError):
            musl.MuslPython(OWN).ensure(ws)
    assert [path.name for path in (ws.cache / "musl-pythons").iterdir() if path.is_dir()] == []
    assert musl.MuslPython(OWN).ensure(ws).exists() and builds == [OWN]


def test_where_its_loader_cannot_be_had_the_reason_is_that_of_the_root(
    ws: Workspace, builds: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "os_release", lambda: {"ID": "fedora"})
    found = foreign.probe(OTHER, ws)
    assert "musl for arm64 is made of Debian's packages" in found.why and found.text.startswith("musl, qemu-sparc, ")
    monkeypatch.undo()
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    with pytest.raises(OfflineError, match="musl for arm64 is not in the cache"):
        musl.MuslPython(OTHER).ensure(ws)
    assert builds == []


def test_python_of_this_machine_proves_without_qemu_and_says_musl(ws: Workspace, builds: list[Target]) -> None:
    python = foreign.python_for(OWN, ws)
    assert (python.how, python.version, python.where) == ("musl", platform.python_version(), "this machine")
    assert python.argv == (str(musl.MuslPython(OWN).ensure(ws)),) and "QEMU_LD_PREFIX" not in python.env
    assert python.is_bare
    assert set(prove.WAYS[OWN.proof].prepare([OWN], None, ws)) == {OWN}


def test_python_of_another_processor_runs_under_qemu_and_has_to_be_of_it(
    ws: Workspace, builds: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = '["3.13.5", "sparc"]'

    def start(argv: Any, **options: Any) -> runner.Completed:
        words = [str(word) for word in argv]
        return runner.Completed(words, 0, said if "-c" in words else "qemu-sparc version 7.2 (Debian)")

    monkeypatch.setattr(system, "find_program", lambda name, folders=(): Path("/usr/bin", name))
    recorded = replace(ws, start=start)
    python = foreign.python_for(OTHER, recorded)
    assert (python.how, python.where) == ("musl, qemu", "qemu-sparc version 7.2")
    assert python.argv == ("/usr/bin/qemu-sparc-static", str(musl.MuslPython(OTHER).ensure(ws)))
    said = '["3.13.5", "x86_64"]'
    with pytest.raises(NotProvableError, match="says that it is x86_64, not sparc"):
        foreign.python_for(OTHER, recorded)


def test_compilers_link_for_musl_and_name_a_loader_whose_path_has_spaces(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """zig is a stand-in that prints its arguments."""
    echo = tmp_path / "a zig"
    echo.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    echo.chmod(0o755)
    monkeypatch.setattr(musl.zig, "program", lambda ws: echo)
    folder = musl._compilers("sparc-linux-musl", Path("/the cache/ld-musl-sparc.so.1"), tmp_path, ws)
    argv = [str(folder / "cc"), "-o", "a b", "c.c"]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=600).stdout.splitlines()
    assert said[0] == "cc" and said[said.index("-target") + 1] == "sparc-linux-musl"
    assert "-Wl,--dynamic-linker=/the cache/ld-musl-sparc.so.1" in said and said[-3:] == ["-o", "a b", "c.c"]


def test_modules_are_named_as_those_of_packages_for_musl(tmp_path: Path) -> None:
    makefile = tmp_path / "Makefile"
    makefile.write_text("VERSION=\t3.13\nSOABI=\t\tcpython-313\nEXT_SUFFIX=\t.cpython-313.so\nA=\tcpython-313\n")
    musl._name_modules(makefile, "sparc-linux-musl")
    named = "cpython-313-sparc-linux-musl"
    assert makefile.read_text() == f"VERSION=\t3.13\nSOABI=\t\t{named}\nEXT_SUFFIX=\t.{named}.so\nA=\tcpython-313\n"


def test_what_the_wheel_depends_on_comes_first_and_by_tags_of_musl_alone(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def start(argv: Any, **options: Any) -> runner.Completed:
        asked.extend(str(word) for word in argv)
        return runner.Completed([], 0, "")

    python = foreign.Python(("python",), environments.clean_env(), "3.13.5", "musl", "this machine", is_bare=True)
    foreign.install(tmp_path / "a.whl", OWN, python, tmp_path, replace(ws, start=start))
    assert [word for word in asked if "linux" in word] == [OWN.platform_tag] * 2
    assert asked.index("--require-hashes") < asked.index(str(tmp_path / "a.whl"))


def test_its_sources_are_pinned_below_the_archive() -> None:
    download = pins.load().musl_python.download("http://archive.example/debian/")
    assert download.url == f"http://archive.example/debian/{pins.load().musl_python.path}"
    assert pins.load().musl_python.version in download.name and len(download.digest) == 64
