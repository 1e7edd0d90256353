"""glean_steps.release: what keeps a version from being released, what is written, uploads to an index on loopback."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from glean_steps import pipelines, release, reproduce, settings, workspace
from glean_steps.environments import Environment
from glean_steps.errors import ReleaseError
from glean_steps.targets import HOST, find_target
from glean_steps.workspace import Workspace

VERSION = "1.5"
ROOT = Path(__file__).resolve().parents[2]
CHECKOUT = Workspace(ROOT, settings.cache())
METADATA = f"""\
Metadata-Version: 2.1
Name: glean_py
Version: {VERSION}
Summary: A package of a test
Description-Content-Type: text/markdown

A package of a test.
"""
LOCK = '[[package]]\nname = "memmap2"\nversion = "0.9.5"\nsource = "registry"\nchecksum = "fd3f"\n'


def git(ws: Workspace, *words: str) -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    argv = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org", *words]
    return subprocess.run(argv, cwd=ws.root, env=env, capture_output=True, text=True, check=True).stdout.strip()


def wheel(path: Path) -> None:
    """Write a small wheel that pip takes."""
    info, tag = f"glean_py-{VERSION}.dist-info", "-".join(path.stem.split("-")[-3:])
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("glean_py/__init__.py", f"tag = {tag!r}\n")
        out.writestr(f"{info}/METADATA", METADATA)
        out.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        out.writestr(f"{info}/RECORD", "")


@pytest.fixture
def ready(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A repository whose version can be released; its files are small ones."""
    (ws.crate).mkdir()
    (ws.crate / "Cargo.toml").write_text(f'[package]\nversion = "{VERSION}"\n')
    (ws.crate / "Cargo.lock").write_text(LOCK)
    (ws.root / "CHANGELOG.md").write_text(f"# Changelog\n\n## [{VERSION}] – 2026-01-02\n")
    (ws.root / "glean_steps").mkdir()
    (ws.root / "glean_steps" / "pins.toml").write_text("")
    (ws.root / ".gitignore").write_text("/dist/\n/.glean/\n")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "all"), ("tag", f"v{VERSION}")):
        git(ws, *words)
    ws.dist.mkdir()
    for name in release.names(VERSION):
        if name.endswith(".whl"):
            wheel(ws.dist / name)
            continue
        with tarfile.open(ws.dist / name, "w:gz") as out:
            for inner, text in (("PKG-INFO", METADATA), ("setup.py", "")):
                member = tarfile.TarInfo(f"glean_py-{VERSION}/{inner}")
                member.size = len(text)
                out.addfile(member, io.BytesIO(text.encode()))
    digests = {path.name: workspace.file_sha256(path) for path in ws.dist.iterdir()}
    ws.stamp(reproduce.STAMP).write(reproduce.STAMP, facts=digests)
    monkeypatch.setattr(pipelines, "up_to_date", lambda targets, ws: dict(digests))
    return ws


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Python that has twine and pypiserver, in the environment of the checkout itself."""
    with monkeypatch.context() as inner:
        inner.delenv("GLEAN_CACHE")
        made = release._ENVIRONMENT.ensure(CHECKOUT)
    monkeypatch.setattr(Environment, "ensure", lambda self, ws: made)
    monkeypatch.setattr(release, "_other_auditor", lambda *_: None)  # The small wheels hold no library.
    for name, value in (("TWINE_USERNAME", "somebody"), ("TWINE_PASSWORD", "secret")):
        monkeypatch.setenv(name, value)
    return made


def faults(ws: Workspace) -> list[str]:
    return [*release.source_faults(ws, VERSION), *release.file_faults(ws, VERSION)]


# What auditwheel 6 says, shortened.
SAID = (
    'x.whl is consistent with the following platform tag: "{tag}". The wheel references libc.so.6 with versions {found}'
)


@pytest.mark.parametrize(
    ("tag", "found", "is_agreed"),
    [
        ("manylinux_2_19_ppc64le", "{'GLIBC_2.18', 'GLIBC_2.17'}", True),
        # It has no 2.19 of its own.
        ("manylinux_2_24_ppc64le", "{'GLIBC_2.18', 'GLIBC_2.17'}", True),
        ("manylinux_2_24_ppc64le", "{'GLIBC_2.20', 'GLIBC_2.17'}", False),
        ("linux_ppc64le", "{'GLIBC_2.17'}", False),
        ("manylinux_2_24_ppc64le", "{}", False),
    ],
)
def test_auditwheel_agrees_if_no_symbol_is_newer_than_the_tag(tag: str, found: str, is_agreed: bool) -> None:
    said = SAID.format(tag=tag, found=found)
    assert release.agrees(said, find_target("manylinux_2_19_ppc64le")) is is_agreed


def test_release_in_order_has_no_faults(ready: Workspace) -> None:
    assert faults(ready) == []


def test_each_disagreement_about_the_version_is_named(ready: Workspace) -> None:
    (ready.crate / "Cargo.toml").write_text('[package]\nversion = "1.4"\n')
    (ready.root / "CHANGELOG.md").write_text(f"## [{VERSION}] – unreleased\n")
    git(ready, "commit", "-qam", "later")
    (ready.root / "new").touch()
    found = "\n".join(faults(ready))
    for part in (
        "clean: new",
        "has the version 1.4",
        f"the tag v{VERSION} is at ",
        "CHANGELOG.md has no heading",
    ):
        assert part in found


def test_files_that_are_missing_strange_changed_or_not_reproduced_are_named(ready: Workspace) -> None:
    first, second, third, *_ = [name for name in release.names(VERSION) if name.endswith(".whl")]
    (ready.dist / first).unlink()
    (ready.dist / "glean_py-1.4-py3-none-win32.whl").touch()
    with zipfile.ZipFile(ready.dist / second, "a") as out:
        out.writestr("late", "")
    facts = ready.stamp(reproduce.STAMP).facts()
    ready.stamp(reproduce.STAMP).write(reproduce.STAMP, facts={**facts, third: "another"})
    assert [line.split(" ", 1) for line in faults(ready)] == [
        [first, "is missing; make it: nox -s build"],
        ["glean_py-1.4-py3-none-win32.whl", "is no file of this release; move it out of dist/"],
        [second, "is not the one that was audited and proven from these sources; run nox -s build"],
        [third, "was not reproduced; run nox -s reproduce"],
    ]


def test_refused_release_exits_30_and_writes_nothing(ready: Workspace) -> None:
    git(ready, "tag", "-d", f"v{VERSION}")
    with pytest.raises(ReleaseError, match="1 findings") as caught:
        release.run(ready, VERSION, publish=False)
    assert caught.value.exit_code == 30 and f"the tag v{VERSION} is missing" in caught.value.why
    assert not (ready.dist / release.SUMS).exists()


def test_provenance_names_the_commit_and_every_material_with_its_hash(ready: Workspace) -> None:
    statement = release.provenance({"a.whl": "12"}, VERSION, ready)
    assert statement["subject"] == [{"name": "a.whl", "digest": {"sha256": "12"}}]
    materials = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert materials[0]["digest"] == {"gitCommit": git(ready, "rev-parse", "HEAD")}
    assert {"uri": "pkg:cargo/memmap2@0.9.5", "digest": {"sha256": "fd3f"}} in materials
    assert all(material["digest"] for material in materials)


# --- uploads ----------------------------------------------------------------------------------------------------------


@contextmanager
def index(python: Path, folder: Path) -> Iterator[str]:
    """Run pypiserver on loopback for the block; yield its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [
        str(python),
        "-m",
        "pypiserver",
        "run",
        "-i",
        "127.0.0.1",
        "-p",
        str(port),
        "-P",
        ".",
        "-a",
        ".",
        str(folder),
    ]
    server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            assert server.poll() is None, "pypiserver ended"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=1800)


@pytest.mark.slow
def test_release_is_published_once_and_installed_from_the_index(
    ready: Workspace, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with index(python, shelf) as url:
        monkeypatch.setenv("TWINE_REPOSITORY_URL", url)
        files = release.run(ready, VERSION, publish=True)
        assert sorted(path.name for path in shelf.iterdir()) == [path.name for path in files] == release.names(VERSION)
        sums = (ready.dist / release.SUMS).read_text().splitlines()
        assert sums == [f"{workspace.file_sha256(shelf / name)}  {name}" for name in release.names(VERSION)]
        statement = json.loads((ready.dist / release.provenance_name(VERSION)).read_text())
        assert [each["name"] for each in statement["subject"]] == release.names(VERSION)

        argv = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--index-url", f"{url}/simple", "--isolated"]
        argv += ["--target", str(tmp_path / "there"), "--no-cache-dir", "glean_py"]
        subprocess.run(argv, check=True, timeout=1800)
        assert HOST.machine in (tmp_path / "there" / "glean_py" / "__init__.py").read_text()

        for stamp in (ready.state / "stamps").glob("uploaded-*"):
            stamp.unlink()
        with pytest.raises(ReleaseError, match=f"0 of {len(files)} files are there") as caught:
            release.run(ready, VERSION, publish=True)
        assert "the index has it already" in caught.value.why and "published once" in caught.value.fix


def test_what_one_index_has_is_uploaded_to_another(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.whl").write_text("a wheel")
    sent: list[Any] = []
    monkeypatch.setattr(release, "_twine", lambda python, words, ws: sent.append(words[-1]))
    for url in ("https://test.index", "https://index", "https://index"):
        monkeypatch.setenv("TWINE_REPOSITORY_URL", url)
        release.upload([tmp_path / "a.whl"], Path("python"), ws)
    assert len(sent) == 2


class _Cut(ThreadingHTTPServer):
    """An index that hangs up in the middle of one upload."""

    daemon_threads = True
    cut_at = 3
    taken: list[str]


class _Handler(BaseHTTPRequestHandler):
    server: _Cut

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if len(self.server.taken) == self.server.cut_at:
            self.server.cut_at = -1
            self.connection.close()
            return
        self.server.taken.append(body.partition(b'filename="')[2].partition(b'"')[0].decode())
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""


@pytest.mark.slow
def test_upload_that_is_cut_goes_on_where_it_stopped(
    ready: Workspace, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [ready.dist / name for name in release.names(VERSION)][:5]
    with _Cut(("127.0.0.1", 0), _Handler) as server:
        server.taken = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("TWINE_REPOSITORY_URL", f"http://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(ReleaseError, match="3 of 5 files are there") as caught:
            release.upload(files, python, ready)
        assert "goes on where it stopped" in caught.value.fix
        release.upload(files, python, ready)
        server.shutdown()
    assert server.taken == [path.name for path in files]
