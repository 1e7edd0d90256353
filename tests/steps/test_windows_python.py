"""glean_steps.windows_python: archives from servers on loopback and from the cache, into real Pythons under Wine."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import windows

from glean_steps import interpreters, pins, windows_python, wine, workspace
from glean_steps.errors import (
    CommandFailedError,
    DownloadError,
    MissingToolError,
    OfflineError,
    UnsafeArchiveError,
    WrongHashError,
)
from glean_steps.pins import PythonRow, WheelPin
from glean_steps.workspace import Workspace

AMD64, WIN32 = windows.AMD64, windows.WIN32
ROW = windows.PYTHON
VERSION = windows.EXACT
ZIP = f"python-{VERSION}-embed-amd64.zip"

# What takes get-pip's place, whose server cannot be asked from everywhere: it takes the same arguments and does with
# them what the real one does with the pip that it carries inside.
GET_PIP_STAND_IN = """\
import glob, os, sys
options = sys.argv[1:]
folder = options[options.index("--find-links") + 1]
requirement, = [word for word in options if word.startswith("pip==")]
assert {"--no-setuptools", "--no-wheel", "--no-index"} <= set(options), options
wheel, = glob.glob(os.path.join(folder, "pip-*.whl"))
sys.path.insert(0, wheel)
from pip._internal.cli.main import main
flags = [word for word in options if word not in ("--no-setuptools", "--no-wheel", requirement)]
with open("get-pip-was-here", "w") as out:
    out.write(requirement)
sys.exit(main(["install", requirement, *flags]))
"""


# --- small parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(
    "lines",
    [
        ["python37.zip", ".", "", "# Uncomment to run site.main() automatically", "#import site"],
        ["python37.zip", ".", "", "# import site"],
        ["python37.zip", "."],
        ["python37.zip", ".", "import site"],
        ["python37.zip", ".", "  import site  "],
    ],
    ids=["commented", "commented with a space", "absent", "open", "open with spaces"],
)
def test_site_is_opened_once_whatever_the_line_ends_are(lines: list[str], end: str, tmp_path: Path) -> None:
    pth = tmp_path / "python37._pth"
    pth.write_bytes((end.join(lines) + end).encode())
    windows_python.open_site(pth)
    once = pth.read_bytes()
    opened = [line.strip() for line in once.decode().splitlines()]
    assert opened.count("import site") == 1 and opened[:2] == ["python37.zip", "."]
    assert once.count(b"\n") in (0, once.count(b"\r\n")) or end == "\n", "line ends of two kinds"
    windows_python.open_site(pth)
    assert pth.read_bytes() == once


def test_a_pth_without_a_last_line_end_is_opened_too(tmp_path: Path) -> None:
    pth = tmp_path / "python37._pth"
    pth.write_bytes(b"python37.zip\r\n.\r\n#import site")
    windows_python.open_site(pth)
    assert pth.read_bytes().split() == [b"python37.zip", b".", b"import", b"site"]


REQUIREMENTS = """\
# made by a tool
cffi==1.15.1 ; python_full_version < '3.8' \\
    --hash=sha256:aaaa \\
    --hash=sha256:bbbb
cffi==2.1.1 ; python_full_version >= '3.8' \\
    --hash=sha256:cccc
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:dddd
pexpect==4.9 ; sys_platform != 'win32' --hash=sha256:eeee
nt-only==1 ; os_name == 'nt' and platform_system == 'Windows' --hash=sha256:ffff
pypy-only==1 ; implementation_name == 'pypy' --hash=sha256:1111
pytest==7.4.4 --hash=sha256:2222  # via nobody
"""


@pytest.mark.parametrize(("version", "cffi"), [("3.7.9", "cffi==1.15.1"), ("3.14", "cffi==2.1.1")])
def test_requirements_are_chosen_for_the_windows_python_and_lose_their_markers(version: str, cffi: str) -> None:
    selected = windows_python.select_requirements(REQUIREMENTS, pins.find_python(version))
    names = [line.split(" ")[0] for line in selected.splitlines()]
    assert names == [cffi, "colorama==0.4.6", "nt-only==1", "pytest==7.4.4"]
    assert ";" not in selected and selected.count("--hash=sha256:") == (5 if version == "3.7.9" else 4)
    assert "cffi==1.15.1 --hash=sha256:aaaa --hash=sha256:bbbb" in selected or version == "3.14"


def test_another_runtime_makes_a_windows_python_anew(ws: Workspace, checkout: Path) -> None:
    here, row = replace(ws, root=checkout), pins.load().pythons[0]
    other = {arch: replace(pin, sha256="0" * 64) for arch, pin in row.runtime.items()}
    rows = [row, replace(row, runtime=other), replace(row, runtime_version="3.0.0")]
    assert other and len({windows_python.ready_key(each, here) for each in rows}) == 3


@pytest.mark.parametrize("row", pins.load().pythons, ids=lambda row: row.version)
def test_the_real_requirements_hold_for_every_windows_python(row: PythonRow, checkout: Path) -> None:
    selected = windows_python.select_requirements((checkout / "requirements" / "tests.txt").read_text(), row)
    names = [line.split("==")[0] for line in selected.splitlines()]
    assert {"cffi", "pycparser", "pytest", "colorama"} <= set(names)
    assert len(names) == len(set(names)), "two versions of one project"
    assert all("--hash=sha256:" in line for line in selected.splitlines())


# --- the archive ------------------------------------------------------------------------------------------------------


class Handler(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Mirror:
    """A real server on loopback for the files of a folder; `asked` holds the paths of its requests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.asked: list[str] = []
        self._server.asked = self.asked  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def put(self, path: str, content: bytes) -> str:
        """Serve a file; return its SHA-256."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    made = Mirror(tmp_path / "mirror")
    monkeypatch.setenv("GLEAN_PYTHON_MIRROR", f"{made.url}/python")
    monkeypatch.setenv("GLEAN_GET_PIP_MIRROR", made.url)
    yield made
    made.close()


Pin = Callable[..., PythonRow]


@pytest.fixture
def pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pin:
    """Write a pins.toml of the test's own with one row and let the steps read that one."""
    original = pins.load

    def write(sha256: str = "", *, get_pip: str = "", runtime: str = "", pip: WheelPin = ROW.pip) -> PythonRow:
        rows = [
            f'default_python = "{VERSION}"',
            *('[mirrors]\npython = "http://192.0.2.1/"', 'get_pip = "http://192.0.2.1/"'),
            '[runtime]\nproject = "panda3d"\nversion = "1.10.16"',
            '[musl_python]\nversion = "3.13.5"\npath = "pool/python.tar.xz"\nsha256 = "00"',
            f'[[python]]\nversion = "{VERSION}"',
            *([f'sha256.amd64 = "{sha256}"'] if sha256 else []),
            *([f'runtime.version = "{VERSION}"\nruntime.amd64 = "{runtime}"'] if runtime else []),
            *([f'get_pip.path = "pip/3.7/get-pip.py"\nget_pip.sha256 = "{get_pip}"'] if get_pip else []),
            f'pip.version = "{pip.version}"\npip.sha256 = "{pip.sha256}"',
        ]
        table = tmp_path / "pins.toml"
        table.write_text("\n".join(rows) + "\n")
        monkeypatch.setattr(pins, "load", lambda: original(table))
        return pins.find_python(VERSION, original(table))

    return write


@pytest.fixture(scope="module")
def rebuilt() -> Path:
    """The archive of the embeddable layout that any run on a machine like this one has put into the cache."""
    return windows.rebuilt_python()


@pytest.fixture
def borrowed(built: windows.Built, tmp_path: Path) -> Workspace:
    """A workspace with the finished prefixes of another and a cache with all that is costly but no downloads."""
    root = tmp_path / "own checkout"
    (root / ".glean").mkdir(parents=True)
    (root / ".glean" / "prefix").symlink_to(built.checkout.ws.state / "prefix")
    shutil.copytree(built.checkout.ws.root / "requirements", root / "requirements")
    return Workspace(root, windows.borrowed_cache(tmp_path / "cache", "downloads/nothing", "rebuilt-pythons/nothing"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> windows.Built:
    return windows.built_checkout(tmp_path_factory)


def nothing_was_downloaded(ws: Workspace) -> bool:
    return not [path for path in (ws.cache / "downloads").rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.wine
@pytest.mark.slow
def test_an_embeddable_zip_with_a_stand_in_for_get_pip_becomes_a_python_that_runs(
    borrowed: Workspace, mirror: Mirror, pin: Pin, rebuilt: Path
) -> None:
    """From a server to a Python under Wine: verified, unpacked, site opened, pip in it, dependencies in it."""
    row = pin(
        mirror.put(f"python/{VERSION}/{ZIP}", rebuilt.read_bytes()),
        get_pip=mirror.put("pip/3.7/get-pip.py", GET_PIP_STAND_IN.encode()),
    )
    python = windows_python.ensure(row, AMD64, borrowed)
    assert (python.version, python.provider) == (VERSION, "embeddable zip")
    assert mirror.asked == [f"/python/{VERSION}/{ZIP}", "/pip/3.7/get-pip.py"]
    assert (python.home / "get-pip-was-here").read_text() == f"pip=={ROW.pip.version}"
    assert "import site" in (python.home / f"python{ROW.digits}._pth").read_text().splitlines()
    assert not (python.home / "bootstrap_packages.py").exists()
    with wine.session(AMD64, borrowed) as warm:
        said = warm.run(
            [
                python.executable,
                "-c",
                "import cffi, pip, pytest, sys; print(sys.version, pip.__version__, cffi.__file__)",
            ],
            timeout_s=600,
            split_stderr=True,
        ).stdout
    assert said.startswith(f"{VERSION} ") and f" {ROW.pip.version} " in said and "site-packages" in said
    # Up to date: neither server nor Wine is asked again; and what was made before is open already.
    assert windows_python.ensure(row, AMD64, borrowed) == python
    assert len(mirror.asked) == 2


def test_a_zip_with_another_hash_shows_both_and_is_not_replaced_by_another_source(
    ws: Workspace, mirror: Mirror, pin: Pin
) -> None:
    """A server that hands out something else is no server that is out of reach."""
    found = mirror.put(f"python/{VERSION}/{ZIP}", b"something else")
    wanted = "12" * 32
    with pytest.raises(WrongHashError) as caught:
        windows_python.obtain_archive(pin(wanted, runtime="34" * 32), AMD64, ws)
    assert caught.value.exit_code == 16 and found in caught.value.why and wanted in caught.value.why
    assert nothing_was_downloaded(ws)


@pytest.mark.wine
def test_a_hostile_zip_with_the_right_hash_writes_nothing(borrowed: Workspace, mirror: Mirror, pin: Pin) -> None:
    packed = mirror.folder / "hostile.zip"
    with zipfile.ZipFile(packed, "w") as out:
        out.writestr(f"python{ROW.digits}._pth", f"python{ROW.digits}.zip\n")
        out.writestr("../../../evil.exe", "MZ")
    row = pin(mirror.put(f"python/{VERSION}/{ZIP}", packed.read_bytes()))
    with pytest.raises(UnsafeArchiveError, match=ZIP) as caught:
        windows_python.ensure(row, AMD64, borrowed)
    assert caught.value.exit_code == 17 and "../../../evil.exe" in caught.value.why
    assert list(borrowed.root.parent.rglob("evil*")) == []
    assert list((borrowed.state / "python").glob("*")) == []


def test_a_python_without_any_hash_is_refused_and_its_server_not_asked(ws: Workspace, mirror: Mirror, pin: Pin) -> None:
    with pytest.raises(DownloadError, match=f"no Windows Python {re.escape(VERSION)} for amd64") as caught:
        windows_python.obtain_archive(pin(), AMD64, ws)
    assert "what cannot be verified is refused" in caught.value.why and mirror.asked == []


@pytest.mark.parametrize("answer", ["404", "closed port"])
def test_where_the_server_fails_the_runtime_wheel_is_tried_and_both_reasons_are_told(
    ws: Workspace, mirror: Mirror, pin: Pin, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "find_all", lambda ws: {})
    if answer == "closed port":
        mirror.close()
        monkeypatch.setattr(windows_python.fetch, "patience", lambda: windows_python.fetch.Patience(backoff_s=0.01))
    with pytest.raises(DownloadError, match="no Windows Python") as caught:
        windows_python.obtain_archive(pin("12" * 32, runtime="34" * 32), AMD64, ws)
    assert caught.value.exit_code == 15
    assert ZIP in caught.value.why and f"no CPython {ROW.minor} on this machine" in caught.value.why
    assert "GLEAN_PYTHON_MIRROR" in caught.value.fix
    remembered = list((ws.state / "stamps").glob("unreachable-*")) if (ws.state / "stamps").exists() else []
    assert bool(remembered) == (answer == "closed port"), "a server that answers is in reach"


def test_offline_with_an_empty_cache_names_the_file_that_is_missing(
    ws: Workspace, mirror: Mirror, pin: Pin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    with pytest.raises(OfflineError) as caught:
        windows_python.obtain_archive(pin("12" * 32, runtime="34" * 32), AMD64, ws)
    assert caught.value.exit_code == 21 and ZIP in caught.value.why and "panda3d" in caught.value.why
    assert mirror.asked == []


def test_a_python_that_was_asked_for_is_never_replaced_by_another(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for making one, which can only make 3.9."""
    made: list[str] = []

    def ensure(row: PythonRow, target: Any, ws: Workspace, **options: Any) -> Any:
        made.append(row.version)
        if row.minor != "3.9":
            raise DownloadError(f"no Windows Python {row.version}", why="it is out of reach")
        return windows_python.WindowsPython(row.version, "amd64", Path("home"), "stand-in")

    monkeypatch.setattr(windows_python, "ensure", ensure)
    assert windows_python.choose(None, AMD64, ws).version == "3.9.13", "the default may be"
    assert made == ["3.7.9", "3.8.10", "3.9.13"]
    with pytest.raises(DownloadError, match=r"3\.11\.9"):
        windows_python.choose("3.11", AMD64, ws)
    monkeypatch.setenv("GLEAN_WINDOWS_PYTHON", "3.12")
    with pytest.raises(DownloadError, match=r"3\.12\.10"):
        windows_python.choose(None, AMD64, ws)


# --- the rebuilt one --------------------------------------------------------------------------------------------------


@pytest.fixture
def damaged_cache(tmp_path: Path, rebuilt: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose cache has copies of the rebuilt archives; nothing can be fetched."""
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    root = tmp_path / "checkout"
    root.mkdir()
    return Workspace(root, windows.borrowed_cache(tmp_path / "cache", f"rebuilt-pythons/python-{ROW.minor}.*-amd64*"))


def test_a_rebuilt_archive_is_found_again_without_network_or_host_python(
    damaged_cache: Workspace, rebuilt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "find_all", lambda ws: pytest.fail("a host Python was looked for"))
    path, version, provider = windows_python.obtain_archive(ROW, AMD64, damaged_cache)
    assert (path.name, version) == (rebuilt.name, VERSION) and provider.startswith("rebuilt from panda3d ")


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["a byte", "cut", "no hash"])
def test_a_damaged_rebuilt_archive_is_noticed_and_made_again(
    damaged_cache: Workspace, rebuilt: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if ROW.minor not in interpreters.find_all(damaged_cache):
        pytest.skip(f"no CPython {ROW.minor} on this machine, whose standard library it needs")
    path = damaged_cache.cache / "rebuilt-pythons" / rebuilt.name
    content = bytearray(path.read_bytes())
    if damage == "a byte":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.with_suffix(".sha256").unlink()
    again, version, _ = windows_python.obtain_archive(ROW, AMD64, damaged_cache)
    assert version == VERSION and again == path
    with zipfile.ZipFile(again) as new, zipfile.ZipFile(rebuilt) as old:
        assert new.testzip() is None
        assert [member.filename for member in new.infolist()] == [member.filename for member in old.infolist()]
        assert new.read(f"python{ROW.digits}.dll") == old.read(f"python{ROW.digits}.dll")
    err = capfd.readouterr().err
    assert f"rebuild Windows Python {VERSION} amd64" in err
    assert damage == "no hash" or "is damaged; it will be made again" in err


def test_a_runtime_wheel_without_the_library_is_told(ws: Workspace, tmp_path: Path) -> None:
    wheel = tmp_path / "panda3d.whl"
    with zipfile.ZipFile(wheel, "w") as out:
        out.writestr("deploy_libs/other.dll", "MZ")
    host = interpreters.CPython("3.7.16", False, Path("python3.7"), tmp_path)
    with pytest.raises(MissingToolError, match=rf"carries no python{ROW.digits}\.dll"):
        windows_python._rebuild(wheel, ROW, AMD64, host, tmp_path / "out.zip", ws)
    assert not list(tmp_path.glob(".parts-*"))


# --- pinned wheels and dependencies: the real pip of this machine, and a folder in place of an index ------------------


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip asks instead of any index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def tiny_wheel(folder: Path, name: str, text: str = "") -> str:
    """Write a wheel; return its SHA-256."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr(f"{name}.py", text)
        out.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        out.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_pinned_wheel_is_fetched_once_and_again_when_it_is_damaged(
    ws: Workspace, index: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pin = WheelPin("tiny", "1.0", tiny_wheel(index, "tiny"))
    path = windows_python.download_wheel(pin, ROW, AMD64, ws)
    assert workspace.file_sha256(path) == pin.sha256 and path.is_relative_to(ws.cache)
    (index / path.name).rename(index / "aside")
    assert windows_python.download_wheel(pin, ROW, AMD64, ws) == path, "pip was asked again"
    path.write_bytes(path.read_bytes()[:-1])
    (index / "aside").rename(index / path.name)
    assert windows_python.download_wheel(pin, ROW, AMD64, ws) == path
    assert workspace.file_sha256(path) == pin.sha256
    assert f"{path} is damaged" in capfd.readouterr().err


def test_a_pinned_wheel_with_another_hash_shows_both_and_never_reaches_the_cache(ws: Workspace, index: Path) -> None:
    found, wanted = tiny_wheel(index, "tiny", "evil = True\n"), "12" * 32
    with pytest.raises(WrongHashError, match="tiny") as caught:
        windows_python.download_wheel(WheelPin("tiny", "1.0", wanted), ROW, AMD64, ws)
    assert caught.value.exit_code == 16
    assert found in caught.value.why and wanted in caught.value.why
    assert list((ws.cache / "wheels").rglob("*.whl")) == []


def test_a_wheel_that_no_index_has_shows_pips_last_lines(ws: Workspace, index: Path) -> None:
    with pytest.raises(CommandFailedError) as caught:
        windows_python.download_wheel(WheelPin("absent", "1.0", "12" * 32), ROW, AMD64, ws)
    assert caught.value.exit_code == 19 and caught.value.status == 1
    assert any("No matching distribution found for absent==1.0" in line for line in caught.value.tail)


def test_offline_a_pinned_wheel_that_is_missing_is_named(
    ws: Workspace, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    with pytest.raises(OfflineError) as caught:
        windows_python.download_wheel(WheelPin("tiny", "1.0", tiny_wheel(index, "tiny")), ROW, AMD64, ws)
    assert caught.value.exit_code == 21 and "tiny" in caught.value.why


@pytest.fixture
def two_dependencies(ws: Workspace, index: Path) -> Workspace:
    (ws.root / "requirements").mkdir()
    hashes = {name: tiny_wheel(index, name) for name in ("first", "second")}
    (ws.root / "requirements" / "tests.txt").write_text(
        "".join(f"{name}==1.0 --hash=sha256:{value}\n" for name, value in hashes.items())
        + "never==1.0 ; sys_platform == 'linux' --hash=sha256:00\n"
    )
    return ws


@pytest.mark.parametrize("damage", ["a byte", "a file less", "a file more"])
def test_a_damaged_dependency_wheel_is_noticed_and_fetched_again(
    two_dependencies: Workspace, index: Path, damage: str
) -> None:
    ws = two_dependencies
    wheels = windows_python.dependency_wheels(ROW, AMD64, ws)
    assert [path.name.split("-")[0] for path in wheels] == ["first", "second"]
    before = [workspace.file_sha256(path) for path in wheels]
    damages: dict[str, Callable[[], object]] = {
        "a byte": lambda: wheels[1].write_bytes(b"P" + wheels[1].read_bytes()[1:-1] + b"\x01"),
        "a file less": wheels[0].unlink,
        "a file more": lambda: wheels[0].with_name("third-1.0-py3-none-any.whl").write_bytes(b"PK"),
    }
    damages[damage]()
    again = windows_python.dependency_wheels(ROW, AMD64, ws)
    assert again == wheels and [workspace.file_sha256(path) for path in again] == before


def test_dependencies_that_are_whole_are_neither_asked_for_nor_locked(
    two_dependencies: Workspace, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache on a disk that cannot be written still serves."""
    wheels = windows_python.dependency_wheels(ROW, AMD64, two_dependencies)
    monkeypatch.setattr(windows_python.workspace, "lock", lambda *_: pytest.fail("a lock was taken"))
    fail: Any = lambda *_, **__: pytest.fail("a program was started")  # noqa: E731
    assert windows_python.dependency_wheels(ROW, AMD64, replace(two_dependencies, start=fail)) == wheels


@pytest.mark.slow
def test_each_python_and_architecture_has_dependencies_of_its_own(two_dependencies: Workspace) -> None:
    folders = {
        windows_python.dependency_wheels(row, target, two_dependencies)[0].parent
        for row in (ROW, replace(ROW, version="3.8.10"))
        for target in (AMD64, WIN32)
    }
    assert len(folders) == 4


# --- pip under Wine ---------------------------------------------------------------------------------------------------


@pytest.mark.wine
def test_a_broken_wheel_ends_the_windows_pip_with_its_status_and_last_lines(
    built: windows.Built, tmp_path: Path
) -> None:
    ws = built.checkout.ws
    broken = tmp_path / "broken-1.0-py3-none-any.whl"
    broken.write_bytes(b"PK\x03\x04 no archive at all")
    with wine.session(AMD64, ws) as warm:
        python = windows_python.choose(None, AMD64, ws)
        with pytest.raises(CommandFailedError, match="failed with exit status 1") as caught:
            windows_python.pip_install(python, warm, [broken])
    assert caught.value.exit_code == 19 and caught.value.status == 1
    assert any("broken-1.0" in line for line in caught.value.tail), caught.value.tail
