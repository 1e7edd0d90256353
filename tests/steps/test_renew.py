"""glean_steps.renew against a real server on loopback; the package index is pip's recorded or real answer."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, List, Sequence
from unittest import mock

import pytest

from glean_steps import fetch, pins, renew, roots
from glean_steps.errors import OfflineError, SettingError, WrongHashError
from glean_steps.fetch import Patience
from glean_steps.renew import Finding
from glean_steps.runner import Completed
from glean_steps.workspace import Workspace

QUICK = Patience(connect_s=5.0, read_s=5.0, total_s=20.0, attempts=2, backoff_s=0.01)
ZIP = b"the embeddable zip"
SCRIPT = b"print('get-pip')"
SOURCES = b"the sources"
OLD_PIP = "0" * 64
NEW_PIP = "f" * 64
RUNTIME = "a" * 64


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Server(ThreadingHTTPServer):
    """A server of files; `files` maps a path to its content, `asked` holds every path that was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: Dict[str, bytes] = {}
        self.asked: List[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    serving = Server()
    serving.files["/3.7.9/python-3.7.9-embed-amd64.zip"] = ZIP
    serving.files["/pip/3.7/get-pip.py"] = SCRIPT
    serving.files["/pool/python3.13_3.13.5.orig.tar.xz"] = SOURCES
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield serving
    serving.shutdown()
    serving.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "patience", lambda: QUICK)


def write_pins(folder: Path, base: str) -> Path:
    """Write a small file of pins: two Pythons, comments in places where an editor of the file must not lose them."""
    hashed = f'sha256.amd64 = "{sha256(ZIP)}"'
    path = folder / "pins.toml"
    path.write_text(
        f"""# A comment at the top.
default_python = "3.7.9"

[mirrors]
python = "{base}"   # a comment behind a value
get_pip = "{base}"

[runtime]
project = "carrier"
version = "1.0"

[musl_python]
version = "3.13.5"
path = "pool/python3.13_3.13.5.orig.tar.xz"
sha256 = "{sha256(SOURCES)}"

[[python]]
version = "3.7.9"
{hashed}
runtime.version = "3.7.9"
runtime.amd64 = "{RUNTIME}"
get_pip.path = "pip/3.7/get-pip.py"
get_pip.sha256 = "{sha256(SCRIPT)}"
# The last pip for this Python.
pip.version = "24.0"  # 24.0, you see
pip.sha256 = "{OLD_PIP}"

[[python]]
version = "3.13.16"
pip.version = "26.3"
pip.sha256 = "{OLD_PIP}"
""",
        encoding="utf-8",
    )
    return path


class Index:
    """Answers as pip does: `wheels` maps a requirement to version and hash; others do not exist."""

    def __init__(self) -> None:
        self.wheels = {
            "carrier==1.0": ("1.0", RUNTIME),
            "pip==24.0": ("24.0", OLD_PIP),
            "pip==26.3": ("26.3", OLD_PIP),
        }
        self.newest = {"3.7": ("24.0", OLD_PIP), "3.13": ("26.3", OLD_PIP)}
        self.calls: List[List[str]] = []

    def __call__(self, argv: Sequence[object], **options: Any) -> Completed:
        words = [str(word) for word in argv]
        self.calls.append(words)
        requirement, minor = words[-1], words[words.index("--python-version") + 1]
        answer = self.newest[minor] if requirement == "pip" else self.wheels.get(requirement)
        if answer is None:
            return Completed(words, 1, f"ERROR: No matching distribution found for {requirement}\n")
        version, digest = answer
        info = {"url": "https://index.example/wheel", "archive_info": {"hashes": {"sha256": digest} if digest else {}}}
        item = {"metadata": {"name": requirement.split("==")[0], "version": version}, "download_info": info}
        Path(words[words.index("--report") + 1]).write_text(json.dumps({"install": [item]}))
        return Completed(words, 0, "")


def renewed(
    ws: Workspace, path: Path, index: Index, *, write: bool = False, archive: str = "http://127.0.0.1:9"
) -> Dict[str, Finding]:
    with mock.patch.object(roots, "mirror", return_value=archive):
        found = renew.run(replace(ws, start=index), write=write, path=path)
    return {finding.row: finding for finding in found}


def test_pins_that_are_right_are_called_right_and_nothing_is_written(
    ws: Workspace, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pins(tmp_path, server.url)
    before = path.read_bytes()
    found = renewed(ws, path, Index(), write=True, archive=server.url)
    assert {finding.verdict for finding in found.values()} == {"right"}
    assert set(found) == {
        "CPython 3.13.5, sources",
        "python-3.7.9-embed-amd64.zip",
        "get-pip.py for 3.7",
        "pip for 3.7.9",
        "carrier 1.0 for 3.7 amd64",
        "pip for 3.13.16",
    }
    assert path.read_bytes() == before
    out = capsys.readouterr().out
    assert all(heading in out for heading in ("row", "pinned", "found", "verdict"))


@pytest.mark.parametrize(
    "changed",
    ["/3.7.9/python-3.7.9-embed-amd64.zip", "/pip/3.7/get-pip.py", "/pool/python3.13_3.13.5.orig.tar.xz"],
)
def test_a_file_that_changed_under_its_name_is_an_alarm_with_both_hashes(
    ws: Workspace, tmp_path: Path, server: Server, changed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pins(tmp_path, server.url)
    pinned, server.files[changed] = sha256(server.files[changed]), b"something else"
    before = path.read_bytes()
    index = Index()
    index.newest["3.13"] = ("99.0", NEW_PIP)
    with pytest.raises(WrongHashError) as caught:
        renewed(ws, path, index, write=True, archive=server.url)
    assert caught.value.exit_code == 16
    assert pinned in caught.value.why
    assert sha256(b"something else") in caught.value.why
    assert "CHANGED" in capsys.readouterr().out
    assert path.read_bytes() == before, "an alarm writes nothing, not even what is unrelated to it"


@pytest.mark.parametrize("requirement", ["carrier==1.0", "pip==24.0"])
def test_a_wheel_that_changed_on_the_index_is_an_alarm_with_both_hashes(
    ws: Workspace, tmp_path: Path, server: Server, requirement: str
) -> None:
    index = Index()
    version, pinned = index.wheels[requirement]
    index.wheels[requirement] = (version, NEW_PIP)
    with pytest.raises(WrongHashError) as caught:
        renewed(ws, write_pins(tmp_path, server.url), index)
    assert pinned in caught.value.why
    assert NEW_PIP in caught.value.why


def test_a_server_out_of_reach_keeps_its_pins_and_is_tried_once(ws: Workspace, tmp_path: Path, server: Server) -> None:
    path = write_pins(tmp_path, "http://127.0.0.1:9")
    found = renewed(ws, path, Index())
    assert found["python-3.7.9-embed-amd64.zip"].verdict == "kept: out of reach (127.0.0.1:9)"
    assert found["get-pip.py for 3.7"].verdict == "kept: out of reach (127.0.0.1:9)"
    assert found["pip for 3.7.9"].verdict == "right"


def test_a_file_that_a_server_does_not_have_keeps_its_pin_while_others_are_checked(
    ws: Workspace, tmp_path: Path, server: Server
) -> None:
    del server.files["/3.7.9/python-3.7.9-embed-amd64.zip"]
    found = renewed(ws, write_pins(tmp_path, server.url), Index())
    assert "HTTP 404" in found["python-3.7.9-embed-amd64.zip"].verdict
    assert found["get-pip.py for 3.7"].verdict == "right"


def test_a_mirror_is_asked_in_place_of_the_pinned_one(
    ws: Workspace, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLEAN_PYTHON_MIRROR", server.url)
    monkeypatch.setenv("GLEAN_GET_PIP_MIRROR", server.url)
    found = renewed(ws, write_pins(tmp_path, "http://127.0.0.1:9"), Index())
    assert found["python-3.7.9-embed-amd64.zip"].verdict == "right"
    assert found["get-pip.py for 3.7"].verdict == "right"


def test_what_the_index_lacks_or_does_not_hash_keeps_its_pin(ws: Workspace, tmp_path: Path, server: Server) -> None:
    index = Index()
    del index.wheels["carrier==1.0"]
    index.wheels["pip==24.0"] = ("24.0", "")
    found = renewed(ws, write_pins(tmp_path, server.url), index)
    assert found["carrier 1.0 for 3.7 amd64"].verdict == "kept: No matching distribution found for carrier==1.0"
    assert found["pip for 3.7.9"].verdict == "kept: the index tells no hash"


def test_a_newer_pip_is_offered_and_only_written_when_asked_to(
    ws: Workspace, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pins(tmp_path, server.url)
    before = path.read_text(encoding="utf-8")
    index = Index()
    index.newest["3.13"] = ("99.0", NEW_PIP)
    assert renewed(ws, path, index)["pip for 3.13.16"].verdict == "newer: 99.0"
    assert path.read_text(encoding="utf-8") == before
    assert "--write" in capsys.readouterr().out

    renewed(ws, path, index, write=True)
    wanted = before.replace('"26.3"', '"99.0"')
    head, tail = wanted.rsplit(OLD_PIP, 1)
    assert path.read_text(encoding="utf-8") == head + NEW_PIP + tail
    assert [row.pip.version for row in pins.load(path).pythons] == ["24.0", "99.0"]
    assert list(tmp_path.glob(".pins*")) == []


def test_writing_keeps_a_comment_behind_the_value(tmp_path: Path) -> None:
    path = write_pins(tmp_path, "http://nowhere")
    renew.write_pips(path, {"3.7.9": pins.WheelPin("pip", "24.1", NEW_PIP)})
    assert 'pip.version = "24.1"  # 24.0, you see\n' in path.read_text(encoding="utf-8")
    assert "# The last pip for this Python.\n" in path.read_text(encoding="utf-8")


def test_the_projects_own_pins_can_be_written_and_read_again(checkout: Path, tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    path.write_bytes((checkout / "glean_steps" / "pins.toml").read_bytes())
    before = path.read_text(encoding="utf-8").splitlines()
    newer = {version: pins.WheelPin("pip", "99.0", NEW_PIP) for version in pins.all_versions()}
    renew.write_pips(path, newer)
    after = path.read_text(encoding="utf-8").splitlines()
    assert {row.pip for row in pins.load(path).pythons} == {pins.WheelPin("pip", "99.0", NEW_PIP)}
    assert len(after) == len(before)
    assert all(new == old or new.startswith("pip.") for new, old in zip(after, before))


def test_a_row_of_another_layout_is_left_alone_and_named(tmp_path: Path) -> None:
    path = write_pins(tmp_path, "http://nowhere")
    text = path.read_text(encoding="utf-8")
    text = text.replace(
        f'pip.version = "26.3"\npip.sha256 = "{OLD_PIP}"', f'pip = {{version = "26.3", sha256 = "{OLD_PIP}"}}'
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingError, match="cannot write") as caught:
        renew.write_pips(path, {"3.13.16": pins.WheelPin("pip", "99.0", NEW_PIP)})
    assert "pip.sha256 of Python 3.13.16" in caught.value.why
    assert path.read_text(encoding="utf-8") == text


def test_offline_nothing_is_asked(
    ws: Workspace, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    index = Index()
    with pytest.raises(OfflineError):
        renewed(ws, write_pins(tmp_path, server.url), index)
    assert server.asked == []
    assert index.calls == []


def small_wheel(version: str, requires_python: str) -> bytes:
    """Return a wheel that calls itself pip, with nothing in it but what an installer reads."""
    packed = io.BytesIO()
    info = f"pip-{version}.dist-info"
    with zipfile.ZipFile(packed, "w") as wheel:
        metadata = f"Metadata-Version: 2.1\nName: pip\nVersion: {version}\nRequires-Python: {requires_python}\n"
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return packed.getvalue()


@pytest.mark.slow
def test_the_real_pip_tells_version_and_hash_of_what_that_windows_python_can_run(
    ws: Workspace, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index on loopback has one pip for Python 3.7 and a newer one that wants 3.10."""
    for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_EXTRA_INDEX_URL", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    links = []
    digests = {}
    for version, wants in (("24.0", ">=3.7"), ("26.3", ">=3.10")):
        content = small_wheel(version, wants)
        digests[version] = sha256(content)
        server.files[f"/simple/pip/pip-{version}-py3-none-any.whl"] = content
        escaped = wants.replace(">", "&gt;")
        name = f"pip-{version}-py3-none-any.whl"
        links.append(f'<a href="{name}#sha256={digests[version]}" data-requires-python="{escaped}">{name}</a>')
    server.files["/simple/pip/"] = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()
    path = write_pins(tmp_path, server.url)
    text = path.read_text(encoding="utf-8").replace(f'pip.sha256 = "{OLD_PIP}"', f'pip.sha256 = "{digests["24.0"]}"', 1)
    text = text.replace('pip.version = "26.3"', 'pip.version = "24.0"').replace(OLD_PIP, digests["24.0"])
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(roots, "mirror", lambda ws: server.url)
    found = {one.row: one for one in renew.run(ws, write=True, path=path)}
    assert found["pip for 3.7.9"].verdict == "right"
    assert found["pip for 3.13.16"].verdict == "newer: 26.3"
    assert found["carrier 1.0 for 3.7 amd64"].verdict.startswith("kept: ")
    assert [(row.pip.version, row.pip.sha256) for row in pins.load(path).pythons] == [
        ("24.0", digests["24.0"]),
        ("26.3", digests["26.3"]),
    ]
