"""glean_steps.roots and zig: how they are made, found again and refused; programs are recorded."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import windows

from glean_steps import doctor, environments, foreign, interpreters, prove, roots, runner, system, targets, zig
from glean_steps.errors import (
    CommandFailedError,
    DeadlineError,
    MissingToolError,
    NotProvableError,
    OfflineError,
    ProofError,
)
from glean_steps.workspace import Workspace

S390X = targets.find_target("manylinux_2_17_s390x")
MAC = targets.find_target("macosx_11_0_arm64")


class Debian:
    """Stands in for the programs: an archive that has some releases, and what mmdebstrap leaves."""

    def __init__(self, refuses: dict[str, str]) -> None:
        self.refuses = refuses
        self.calls: list[list[str]] = []

    def __call__(self, argv: Sequence[object], **options: Any) -> runner.Completed:
        words = [str(word) for word in argv]
        self.calls.append(words)
        out = ""
        if words[0] == "apt-get":
            out = "http://archive.example/debian main Packages bookworm\n"
        elif words[0] == "mmdebstrap":
            suite, folder = words[-3], Path(words[-2])
            if suite in self.refuses:
                tail = ["I: starting", f"E: {self.refuses[suite]}"]
                raise CommandFailedError("mmdebstrap failed", status=25, tail=tail)
            (folder / "usr" / "bin").mkdir(parents=True)
            (folder / "usr" / "bin" / "python3.11").touch()
            (folder / "lib64").mkdir()
            (folder / "lib64" / "ld64.so.2").symlink_to("/lib/there/ld64.so.2")
            (folder / "dev").mkdir()
        elif words[0].endswith("-static"):
            out = '["3.11.2", "s390x"]' if "-c" in words else "qemu-s390x version 7.2 (Debian)"
        return runner.Completed(words, 0, out)


@pytest.fixture
def debian(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Workspace, Debian]]:
    monkeypatch.setattr(system, "require", lambda tools, ws: None)
    monkeypatch.setattr(system, "os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"})
    monkeypatch.setattr(system, "find_program", lambda name, folders=(): Path("/usr/bin", name))

    def make(**refuses: str) -> tuple[Workspace, Debian]:
        start = Debian(refuses)
        return replace(ws, start=start), start

    return make


def test_root_is_made_once_and_its_links_stay_inside(debian: Callable[..., tuple[Workspace, Debian]]) -> None:
    ws, start = debian()
    folder = roots.for_target(S390X).ensure(ws)
    assert folder == roots.for_target(S390X).ensure(ws) and folder.parent == ws.cache / "roots"
    (made,) = (call for call in start.calls if call[0] == "mmdebstrap")
    assert {"--arch=s390x", "--variant=extract"} < set(made) and made[-1] == "http://archive.example/debian"
    assert os.readlink(folder / "root" / "lib64" / "ld64.so.2") == "../lib/there/ld64.so.2"
    assert not (folder / "root" / "dev").exists()


def test_release_without_the_architecture_gives_way_to_the_next_one(
    debian: Callable[..., tuple[Workspace, Debian]],
) -> None:
    ws, _ = debian(bookworm="no packages for s390x")
    assert "trixie" in roots.for_target(S390X).ensure(ws).name


def test_half_made_root_is_no_root(debian: Callable[..., tuple[Workspace, Debian]]) -> None:
    ws, start = debian()
    folder = roots.for_target(S390X).ensure(ws)
    (folder / ".complete").unlink()
    assert roots.for_target(S390X).ensure(ws) == folder and (folder / ".complete").exists()
    assert sum(call[0] == "mmdebstrap" for call in start.calls) == 2


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("Release file for http://archive.example is expired", "not older than its index says"),
        ("must be root or be able to unshare", "run it as root"),
        ("404 Not Found", "the archive is the one of this machine's apt"),
    ],
)
def test_root_that_cannot_be_made_says_why_for_each_release(
    debian: Callable[..., tuple[Workspace, Debian]], said: str, fix: str
) -> None:
    ws, _ = debian(bookworm=said, trixie=said)
    with pytest.raises(NotProvableError, match="no Debian for s390x") as caught:
        roots.for_target(S390X).ensure(ws)
    assert caught.value.exit_code == 28 and fix in caught.value.fix
    assert caught.value.why == f"bookworm: E: {said}; trixie: E: {said}"
    assert [path.name for path in (ws.cache / "roots").iterdir() if path.is_dir()] == []


def test_offline_no_root_is_made(
    debian: Callable[..., tuple[Workspace, Debian]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, _ = debian()
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    with pytest.raises(OfflineError, match="Debian for s390x is not in the cache"):
        roots.for_target(S390X).ensure(ws)
    assert "forbids" in roots.for_target(S390X).probe(ws).why


def test_python_of_another_architecture_runs_under_qemu(debian: Callable[..., tuple[Workspace, Debian]]) -> None:
    ws, _ = debian()
    python = foreign.python_for(S390X, ws)
    assert (python.how, python.version, python.where) == ("qemu", "3.11.2", "qemu-s390x version 7.2")
    assert python.argv[0] == "/usr/bin/qemu-s390x-static" and python.env["QEMU_LD_PREFIX"].endswith("/root")


def test_machine_of_an_architecture_uses_itself(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(S390X, machine=platform.machine())
    newest = interpreters.CPython("3.13.1", False, Path("/usr/bin/python3.13"), Path("/usr/lib"))
    monkeypatch.setattr(environments, "newest_python", lambda ws: newest)
    monkeypatch.setattr(environments.Environment, "ensure", lambda self, ws: Path("/venv/bin/python"))
    python = foreign.python_for(own, ws)
    assert (python.how, python.argv, python.version) == ("native", ("/venv/bin/python",), "3.13.1")


def test_kernel_that_does_not_know_qemu_is_reported_with_the_line_that_tells_it(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roots, "_BINFMT", tmp_path / "binfmt_misc")
    monkeypatch.setattr(system, "is_root", lambda: False)
    with pytest.raises(NotProvableError, match="cannot start others") as caught:
        roots.know_qemu(S390X, ws)
    assert "mount -t binfmt_misc" in caught.value.fix and "qemu-s390x.conf" in caught.value.fix


def test_program_that_hangs_under_qemu_is_ended_with_what_it_started(ws: Workspace, tmp_path: Path) -> None:
    """The proof's runner, with a program that starts another one and waits for ever."""
    child = tmp_path / "child"
    code = (
        "import subprocess, sys, time; "
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, "
        f"file=open({str(child)!r}, 'w'), flush=True); time.sleep(600)"
    )
    with pytest.raises(DeadlineError) as caught:
        ws.run([sys.executable, "-c", code], timeout_s=3, quiet=True)
    assert caught.value.exit_code == 20
    if child.exists() and child.read_text().strip():
        stat = Path("/proc", child.read_text().strip(), "stat")
        assert windows.until(lambda: not stat.exists() or stat.read_text().split()[2] == "Z")


def test_wheel_of_a_target_that_nothing_runs_is_never_called_proven(ws: Workspace) -> None:
    (place,) = prove.WAYS[MAC.proof].prepare([MAC], None, ws).values()
    proof = place.prove(Path("a.whl"), ws)
    assert (proof.how, proof.python) == ("static only: nothing here runs macOS", "")


def test_each_proof_is_listed_with_what_it_needs(
    debian: Callable[..., tuple[Workspace, Debian]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, _ = debian()
    monkeypatch.setattr(system, "missing", list)
    monkeypatch.setattr(system, "why_not_installed", lambda: "installing packages needs root")
    table = {tag: (text, verdict) for tag, text, verdict in doctor._proof_table(ws).rows}
    assert set(table) == {target.platform_tag for target in targets.TARGETS}
    text, verdict = table["macosx_11_0_arm64"]
    assert text == "static only" and "will not run: nothing here runs macOS" in verdict
    assert "will not run: missing qemu, mmdebstrap" in table["manylinux_2_17_s390x"][1]


def test_proof_of_another_processor_than_the_tags_is_refused() -> None:
    shown = {"machine": "x86_64", "package": "/tmp/site-packages/glean_py"}
    found = prove.check(shown, Path("g-1-x.whl"), S390X, {"machine": "s390x"}, "/tmp/site-packages")
    assert "machine is 'x86_64', not 's390x'" in found


@pytest.mark.parametrize("damage", ["zig", "cargo-zigbuild", "version"])
def test_missing_or_other_zig_is_named_with_what_to_remove(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    home = ws.state / "venvs" / "zig"
    packages = home / "lib" / "python3.11" / "site-packages"
    for name in ("ziglang-0.17.1.dist-info", "cargo_zigbuild-0.24.1.dist-info", "ziglang"):
        (packages / name).mkdir(parents=True)
    programs = {"zig": packages / "ziglang" / "zig", "cargo-zigbuild": home / "bin" / "cargo-zigbuild"}
    (home / "bin").mkdir()
    for path in programs.values():
        path.touch(mode=0o755)
    (ws.root / "requirements").mkdir()
    (ws.root / "requirements" / "zig.txt").write_text("cargo-zigbuild==0.24.1 \\\nziglang==0.17.1 \\\n")
    monkeypatch.setattr(environments.Environment, "ensure", lambda self, ws: home / "bin" / "python")
    assert zig.Zig().ensure(ws) == programs["cargo-zigbuild"]
    if damage == "version":
        (packages / "ziglang-0.17.1.dist-info").rename(packages / "ziglang-0.16.0.dist-info")
    else:
        programs[damage].unlink()
    with pytest.raises(MissingToolError, match="the environment of zig lacks") as caught:
        zig.Zig().ensure(ws)
    assert caught.value.exit_code == 14 and f"rm -r {home}" in caught.value.fix


def test_proof_that_hands_back_nothing_says_how_to_run_it_again(ws: Workspace) -> None:
    (ws.root / "tests" / "bindings").mkdir(parents=True)
    (ws.root / "tests" / "bindings" / "prove_wheel.py").write_text("")
    python = foreign.Python((sys.executable,), dict(os.environ), platform.python_version(), "native", "here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foreign, "install", lambda *_: None)
        with pytest.raises(ProofError, match="handed back no ping") as caught:
            prove.prove_on_linux(S390X, python, Path("glean_py-1.whl"), ws)
    assert "it printed nothing" in caught.value.why
