"""glean_steps.wheel: real builds of a small checkout, retagged by the real `wheel tags`."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import stat
import sys
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest
import windows

from glean_steps import runner, targets, wheel
from glean_steps.errors import AuditError, CommandFailedError, MissingArtifactError
from glean_steps.workspace import Workspace

X64, X86 = targets.find_target("win_amd64"), targets.find_target("win32")

# What the project's own setup.py does, as small as it can be: the library comes from GLEAN_CORE_LIBRARY, the platform
# tag is this machine's, and the folders are of this process alone.
SETUP = """\
import atexit, os, shutil, tempfile
from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.dist import Distribution

class BinaryDistribution(Distribution):
    def has_ext_modules(self):
        return True

class Wheel(bdist_wheel):
    def get_tag(self):
        return ("py3", "none", super().get_tag()[2])

class Build(build_py):
    def run(self):
        super().run()
        library = os.environ.get("GLEAN_CORE_LIBRARY")
        asked = [name for name in os.environ if name.startswith("GLEAN_PYTHON_")]
        if asked not in ([], ["GLEAN_PYTHON_TARGET"]):
            raise SystemExit(f"asked for {asked}")
        target = os.path.join(self.build_lib, "glean_py", "glean_core.dll")
        if library:
            shutil.copyfile(library, target)
            print("packed for", *asked)

scratch = tempfile.mkdtemp()
atexit.register(shutil.rmtree, scratch, ignore_errors=True)
setup(
    distclass=BinaryDistribution,
    cmdclass={"bdist_wheel": Wheel, "build_py": Build},
    options={
        "build": {"build_base": scratch},
        "egg_info": {"egg_base": scratch},
        "bdist_wheel": {"bdist_dir": scratch + "/b"},
    },
)
"""

PYPROJECT = """\
[build-system]
requires = ["setuptools>=70.1"]
build-backend = "setuptools.build_meta"

[project]
name = "small"
version = "1.5"
requires-python = ">=3.7"
dependencies = ["cffi"]

[tool.setuptools]
packages = ["glean_py"]
"""


MANIFEST = """\
[package]
name = "glean_core"
version = "1.5.0"
edition = "2021"
[workspace]
members = ["cdylib"]
"""
CDYLIB = """\
[package]
name = "glean_core_cdylib"
version = "0.0.0"
edition = "2021"
[dependencies]
glean_core = { path = ".." }
"""
LOCK = """\
version = 4

[[package]]
name = "glean_core"
version = "1.5.0"

[[package]]
name = "glean_core_cdylib"
version = "0.0.0"
dependencies = ["glean_core"]
"""


@pytest.fixture
def checkout_of_its_own(ws: Workspace) -> Workspace:
    (ws.root / "glean_py").mkdir()
    (ws.root / "glean_py/__init__.py").write_text("x = 1\n")
    (ws.root / "setup.py").write_text(SETUP)
    (ws.root / "pyproject.toml").write_text(PYPROJECT)
    for folder, text in ((".", MANIFEST), ("cdylib", CDYLIB)):
        (ws.crate / folder / "src").mkdir(parents=True)
        (ws.crate / folder / "src" / "lib.rs").write_text("")
        (ws.crate / folder / "Cargo.toml").write_text(text)
    (ws.crate / "Cargo.lock").write_text(LOCK)
    # The user's own cache: in an empty one, a machine without rustup would build a standard library for each test.
    return replace(ws, cache=windows.CACHE)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "target" / "glean_core.dll"
    path.parent.mkdir()
    path.write_bytes(b"MZ" + b"".join(hashlib.sha256(bytes([n])).hexdigest().encode() for n in range(250)) * 4)
    return path


class Recorder:
    """Stands in for runner.run: remembers what it was asked, does what it is told."""

    def __init__(self, act: Callable[[Sequence[str]], str] = lambda argv: "") -> None:
        self.act = act
        self.calls: list[tuple[list[str], dict[str, str]]] = []

    def __call__(self, argv: Sequence[object], **options: Any) -> runner.Completed:
        words = [str(word) for word in argv]
        self.calls.append((words, dict(options.get("env") or {})))
        return runner.Completed(words, 0, self.act(words))


def test_a_packed_wheel_has_the_library_and_the_tag_of_this_machine(
    checkout_of_its_own: Workspace, library: Path
) -> None:
    packed = wheel.pack(library, X64, ws=checkout_of_its_own)
    assert packed.parent == checkout_of_its_own.state / "wheels/win_amd64"
    assert packed.name.startswith("small-1.5-py3-none-linux_")
    assert zipfile.ZipFile(packed).read("glean_py/glean_core.dll") == library.read_bytes()


def test_packing_leaves_nothing_in_the_checkout_but_its_state(checkout_of_its_own: Workspace, library: Path) -> None:
    before = {path.name for path in checkout_of_its_own.root.iterdir()}
    wheel.pack_and_retag(library, X64, ws=checkout_of_its_own)
    assert {path.name for path in checkout_of_its_own.root.iterdir()} == before | {".glean"}
    left = [path.name for path in (checkout_of_its_own.state / "wheels").rglob("*") if path.is_file()]
    assert left == ["small-1.5-py3-none-win_amd64.whl"]


@pytest.mark.parametrize("target", targets.WINDOWS, ids=lambda target: target.platform_tag)
def test_a_retagged_wheel_has_its_tag_in_name_and_metadata(
    checkout_of_its_own: Workspace, library: Path, target: targets.Target
) -> None:
    made = wheel.pack_and_retag(library, target, ws=checkout_of_its_own)
    assert made.name == f"small-1.5-py3-none-{target.platform_tag}.whl"
    lines = zipfile.ZipFile(made).read("small-1.5.dist-info/WHEEL").decode().splitlines()
    assert [line for line in lines if line.startswith("Tag:")] == [f"Tag: py3-none-{target.platform_tag}"]
    assert "Root-Is-Purelib: false" in lines


@pytest.mark.slow
def test_two_targets_can_be_packed_at_the_same_time(checkout_of_its_own: Workspace, library: Path) -> None:
    other = library.with_name("other.dll")
    other.write_bytes(b"MZ other")
    made: dict[str, Path] = {}

    def make(target: targets.Target, source: Path) -> None:
        made[target.platform_tag] = wheel.pack_and_retag(source, target, ws=checkout_of_its_own)

    threads = [threading.Thread(target=make, args=pair) for pair in ((X64, library), (X86, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    inside = {tag: zipfile.ZipFile(path).read("glean_py/glean_core.dll") for tag, path in made.items()}
    assert inside == {"win_amd64": library.read_bytes(), "win32": b"MZ other"}


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes(
    checkout_of_its_own: Workspace, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = wheel.pack_and_retag(library, X64, ws=checkout_of_its_own).read_bytes()
    for path in checkout_of_its_own.root.rglob("*.py"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
        path.chmod(0o600)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    umask = os.umask(0o077)
    try:
        second = wheel.pack_and_retag(library, X64, ws=checkout_of_its_own).read_bytes()
    finally:
        os.umask(umask)
    assert first == second


@pytest.mark.slow
def test_another_library_gives_other_bytes(checkout_of_its_own: Workspace, library: Path) -> None:
    first = wheel.pack_and_retag(library, X64, ws=checkout_of_its_own).read_bytes()
    library.write_bytes(library.read_bytes() + b"!")
    assert wheel.pack_and_retag(library, X64, ws=checkout_of_its_own).read_bytes() != first


def test_a_callers_own_epoch_wins(
    checkout_of_its_own: Workspace, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    made = wheel.pack_and_retag(library, X64, ws=checkout_of_its_own)
    assert {member.date_time for member in zipfile.ZipFile(made).infolist()} == {(2020, 9, 13, 12, 26, 40)}


def test_every_member_has_the_mode_date_and_order_that_packing_gives(
    checkout_of_its_own: Workspace, library: Path
) -> None:
    members = zipfile.ZipFile(wheel.pack_and_retag(library, X64, ws=checkout_of_its_own)).infolist()
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    assert {member.external_attr >> 16 for member in members} == {stat.S_IFREG | 0o644}
    names = [member.filename for member in members]
    assert names[0].startswith("glean_py/") and names[-1] == "small-1.5.dist-info/RECORD"


def test_the_record_is_right_after_repacking(checkout_of_its_own: Workspace, library: Path) -> None:
    archive = zipfile.ZipFile(wheel.pack_and_retag(library, X64, ws=checkout_of_its_own))
    rows = list(csv.reader(io.StringIO(archive.read("small-1.5.dist-info/RECORD").decode())))
    assert sorted(row[0] for row in rows) == sorted(archive.namelist())
    for name, digest, size in rows:
        if not name.endswith("/RECORD"):
            data = archive.read(name)
            hashed = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert (digest, size) == ("sha256=" + hashed, str(len(data)))


def test_repacking_makes_a_wheel_smaller_and_changes_no_content(tmp_path: Path) -> None:
    data = Path(zipfile.__file__).read_bytes()
    path = tmp_path / "small-1.5-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        out.writestr("small-1.5.dist-info/RECORD", "")
        out.writestr("b.dll", data)
        out.writestr("a.py", "")
        out.writestr("ä 世界.py", "two\n")
    before = path.stat().st_size
    wheel.repack(path, {})
    # Even so with a line in RECORD for each file.
    assert path.stat().st_size < before
    archive = zipfile.ZipFile(path)
    assert archive.namelist() == ["a.py", "b.dll", "ä 世界.py", "small-1.5.dist-info/RECORD"]
    assert archive.testzip() is None and archive.read("b.dll") == data
    assert archive.read("a.py") == b"" and archive.read("ä 世界.py") == b"two\n"
    assert [member.flag_bits & 0x800 for member in archive.infolist()] == [0x800] * 4


def test_only_the_asked_targets_variable_reaches_the_build(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(X64.build_variable, "1")
    env = wheel.build_env(library, X86)
    assert env["GLEAN_PYTHON_TARGET"] == X86.triple and X64.build_variable not in env
    assert env["GLEAN_CORE_LIBRARY"] == str(library)
    assert os.path.isabs(env["GLEAN_CORE_LIBRARY"])


def test_the_checkout_itself_is_not_on_the_path_of_the_build(checkout_of_its_own: Workspace, library: Path) -> None:
    """A front end keeps it off, so that a build cannot import what it will not have elsewhere."""
    (checkout_of_its_own.root / "setuptools").mkdir()
    (checkout_of_its_own.root / "setuptools/__init__.py").write_text("raise SystemExit('the wrong setuptools')")
    wheel.pack(library, X64, ws=checkout_of_its_own)


def test_a_missing_library_is_named(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match=r"glean_core\.dll does not exist"):
        wheel.pack(tmp_path / "glean_core.dll", X64, ws=replace(ws, start=Recorder()))


def test_a_build_that_fails_shows_its_last_lines_and_leaves_nothing(
    checkout_of_its_own: Workspace, library: Path
) -> None:
    (checkout_of_its_own.root / "setup.py").write_text("raise SystemExit('setup.py says no')")
    with pytest.raises(CommandFailedError, match="setup.py says no"):
        wheel.pack(library, X64, ws=checkout_of_its_own)
    assert list((checkout_of_its_own.state / "wheels").iterdir()) == []


def test_a_build_that_makes_nothing_is_an_error(ws: Workspace, library: Path) -> None:
    with pytest.raises(MissingArtifactError, match="it made nothing"):
        wheel.pack(library, X64, ws=replace(ws, start=Recorder()))


@pytest.mark.parametrize("says", ["", "small-1.5-py3-none-win32.whl", "small-1.5-py3-none-win_amd64.whl"])
def test_a_retag_with_another_result_is_refused(tmp_path: Path, says: str) -> None:
    """The last case says the right name without making the file."""
    with pytest.raises(MissingArtifactError, match=r"did not make small-1\.5-py3-none-win_amd64\.whl"):
        wheel.retag(
            tmp_path / "small-1.5-py3-none-linux_x86_64.whl",
            X64,
            Workspace(tmp_path, tmp_path, Recorder(lambda argv: says + "\n")),
        )


def test_a_retag_goes_through_the_wheel_command(tmp_path: Path) -> None:
    recorder = Recorder()
    with pytest.raises(MissingArtifactError):
        wheel.retag(tmp_path / "small-1.5-cp311-cp311-linux_x86_64.whl", X86, Workspace(tmp_path, tmp_path, recorder))
    words = recorder.calls[0][0]
    assert words[:4] == [sys.executable, "-m", "wheel", "tags"]
    pairs = dict(zip(words, words[1:]))
    assert (pairs["--python-tag"], pairs["--abi-tag"], pairs["--platform-tag"]) == ("py3", "none", "win32")
    assert "--remove" in words


def test_a_wheel_that_already_has_its_tag_is_kept(checkout_of_its_own: Workspace, library: Path) -> None:
    made = wheel.pack_and_retag(library, X64, ws=checkout_of_its_own)
    content = made.read_bytes()
    assert wheel.retag(made, X64, checkout_of_its_own).read_bytes() == content


def test_a_damaged_wheel_cannot_be_retagged(tmp_path: Path) -> None:
    path = tmp_path / "small-1.5-py3-none-linux_x86_64.whl"
    path.write_bytes(b"no archive")
    with pytest.raises(CommandFailedError):
        wheel.retag(path, X64, Workspace(tmp_path, tmp_path))


@pytest.mark.parametrize(
    ("name", "tagged"),
    [
        ("small-1.5-cp311-cp311-linux_x86_64.whl", "small-1.5-py3-none-win_amd64.whl"),
        ("small-1.5-7-py3-none-any.whl", "small-1.5-7-py3-none-win_amd64.whl"),
    ],
)
def test_a_tagged_name_keeps_name_version_and_build(name: str, tagged: str) -> None:
    assert wheel.tagged_name(name, X64) == tagged


@pytest.mark.parametrize(
    "name", ["small.whl", "small-1.5-py3-none-any.zip", "small-1.5-py3-none-.whl", "a-b-c-d-e-f-g.whl"]
)
def test_what_is_no_wheels_name_cannot_be_tagged(name: str) -> None:
    with pytest.raises(AuditError, match="not a wheel's file name"):
        wheel.tagged_name(name, X64)


@pytest.mark.slow
def test_native_wheel_is_made_by_the_same_steps_once_until_something_changes(
    checkout_of_its_own: Workspace, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[list[targets.Target]] = []

    def build(wanted: Sequence[targets.Target], *, ws: Workspace) -> dict[str, Path]:
        built.append(list(wanted))
        return {target.triple: library for target in wanted}

    monkeypatch.setenv(X64.build_variable, "1")
    monkeypatch.setenv("GLEAN_CORE_LIBRARY", "/nowhere.dll")
    monkeypatch.setattr(wheel.cargo, "build_libraries", build)
    first = wheel.native_wheel(checkout_of_its_own)
    assert built == [[targets.HOST]] and first.name == f"small-1.5-py3-none-{targets.HOST.platform_tag}.whl"
    assert {member.date_time for member in zipfile.ZipFile(first).infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert first == wheel.native_wheel(checkout_of_its_own) and len(built) == 1
    (checkout_of_its_own.root / "glean_py/__init__.py").write_text("x = 2\n")
    wheel.native_wheel(checkout_of_its_own)
    assert len(built) == 2
    first.unlink()
    wheel.native_wheel(checkout_of_its_own)
    assert len(built) == 3
    monkeypatch.setenv("RUSTFLAGS", "-Ctarget-cpu=native")
    wheel.native_wheel(checkout_of_its_own)
    assert len(built) == 4


def test_source_distribution_has_the_same_bytes_for_everybody(checkout_of_its_own: Workspace) -> None:
    first = wheel.sdist(checkout_of_its_own).read_bytes()
    for path in checkout_of_its_own.root.rglob("*.py"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
        path.chmod(0o600)
    umask = os.umask(0o077)
    try:
        again = wheel.sdist(checkout_of_its_own)
    finally:
        os.umask(umask)
    assert again.read_bytes() == first
    assert "small-1.5/setup.py" in wheel.sdist_files(again)


def test_added_files_are_in_record_and_licences_in_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "small-1.5-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("small-1.5.dist-info/METADATA", "Name: small\nLicense-File: LICENSE\n\nText.\n")
        out.writestr("small-1.5.dist-info/RECORD", "")
    wheel.repack(path, {"licenses/MORE.txt": b"more", "sboms/a.json": b"{}"})
    opened = zipfile.ZipFile(path)
    metadata = opened.read("small-1.5.dist-info/METADATA").decode()
    assert metadata == "Name: small\nLicense-File: LICENSE\nLicense-File: MORE.txt\n\nText.\n"
    record = opened.read("small-1.5.dist-info/RECORD").decode()
    assert sorted(line.split(",")[0] for line in record.splitlines()) == sorted(opened.namelist())
