"""glean_steps.fetch against real servers on loopback that misbehave in each way that servers do."""

from __future__ import annotations

import contextvars
import errno
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Callable

import pytest

from glean_steps import fetch, runner, settings
from glean_steps.errors import DiskError, DownloadError, Interrupted, OfflineError, SettingError, WrongHashError
from glean_steps.fetch import Download, Patience

CONTENT = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(10_000))
BLOCK = 1 << 16  # What the client writes at a time: it continues at a multiple of it.
QUICK = Patience(connect_s=5.0, read_s=5.0, total_s=60.0, attempts=4, backoff_s=0.01)
IMPATIENT = Patience(connect_s=0.3, read_s=0.3, total_s=60.0, attempts=2, backoff_s=0.01)

Behave = Callable[["Handler", int], None]


class Server(ThreadingHTTPServer):
    """A server whose answers a test chooses; `requests` holds (path, Range header) of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave: Behave = lambda handler, number: handler.whole()
        self.requests: list[tuple[str, str]] = []
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what some of the tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range", "")))
        self.close_connection = True
        self.server.behave(self, len(self.server.requests))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def status(self, status: int) -> None:
        self.head(status, 0)

    def whole(self, content: bytes = CONTENT) -> None:
        self.head(200, len(content))
        self.wfile.write(content)

    def start(self) -> int:
        """Return where the client wants to continue."""
        wanted = self.headers.get("Range", "")
        return int(wanted[len("bytes=") :].rstrip("-")) if wanted else 0

    def rest(self, upto: int = len(CONTENT)) -> None:
        """Answer as a server that can continue, and close the connection after byte `upto` of the file."""
        start = self.start()
        if start >= len(CONTENT):
            self.head(416, 0, Content_Range=f"bytes */{len(CONTENT)}")
        elif start:
            last = len(CONTENT) - 1
            self.head(206, len(CONTENT) - start, Content_Range=f"bytes {start}-{last}/{len(CONTENT)}")
            self.wfile.write(CONTENT[start:upto])
        else:
            self.head(200, len(CONTENT))
            self.wfile.write(CONTENT[:upto])


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[[], Server]]:
    servers: list[Server] = []

    def start() -> Server:
        server = Server()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stopping.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(serve: Callable[[], Server]) -> Server:
    return serve()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def wanted(server: Server, content: bytes = CONTENT) -> Download:
    return Download("file.bin", f"{server.url}/some/file.bin", hashlib.sha256(content).hexdigest())


def place(download: Download, cache: Path) -> Path:
    return cache / "downloads" / download.digest / download.name


# --- the cache --------------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_once_and_then_comes_from_the_cache(server: Server, cache: Path) -> None:
    first = fetch.fetch(wanted(server), cache, patient=QUICK)
    assert first == place(wanted(server), cache) and first.read_bytes() == CONTENT
    assert fetch.fetch(wanted(server), cache, patient=QUICK) == first
    assert len(server.requests) == 1
    assert [path.name for path in first.parent.iterdir()] == ["file.bin"]


def test_a_damaged_file_in_the_cache_is_noticed_and_fetched_again(
    server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch.fetch(wanted(server), cache, patient=QUICK)
    path.write_bytes(CONTENT[:-1] + b"!")
    assert fetch.fetch(wanted(server), cache, patient=QUICK).read_bytes() == CONTENT
    assert len(server.requests) == 2
    assert f"{path} is damaged" in capsys.readouterr().err


def test_threads_that_want_the_same_file_fetch_it_once(server: Server, cache: Path) -> None:
    meeting = threading.Barrier(4)
    found: list[bytes] = []

    def want() -> None:
        meeting.wait(timeout=600)
        found.append(fetch.fetch(wanted(server), cache, patient=QUICK).read_bytes())

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 4
    assert len(server.requests) == 1


# --- servers that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_status_that_will_not_heal_is_not_retried(server: Server, cache: Path, status: int) -> None:
    server.behave = lambda handler, number: handler.status(status)
    with pytest.raises(DownloadError, match=f"answered HTTP {status}"):
        fetch.fetch(wanted(server), cache, patient=QUICK)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
def test_a_status_that_may_heal_is_retried(server: Server, cache: Path, status: int) -> None:
    server.behave = lambda handler, number: handler.status(status) if number < 3 else handler.whole()
    assert fetch.fetch(wanted(server), cache, patient=QUICK).read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_a_server_that_never_heals_is_given_up_on_and_each_attempt_told(server: Server, cache: Path) -> None:
    server.behave = lambda handler, number: handler.status(500)
    with pytest.raises(DownloadError) as caught:
        fetch.fetch(wanted(server), cache, patient=QUICK)
    assert len(server.requests) == QUICK.attempts
    assert f"{QUICK.attempts} attempts: HTTP 500" in caught.value.why
    assert server.url in caught.value.why
    assert not place(wanted(server), cache).exists()


def test_a_server_that_does_not_answer_is_given_up_on(server: Server, cache: Path) -> None:
    server.behave = lambda handler, number: hang(server)
    with pytest.raises(DownloadError, match="timed out"):
        fetch.fetch(wanted(server), cache, patient=IMPATIENT)
    assert len(server.requests) == IMPATIENT.attempts


def test_a_server_that_stops_answering_half_way_is_continued(server: Server, cache: Path) -> None:
    half = len(CONTENT) // 2

    def behave(handler: Handler, number: int) -> None:
        if number == 1:
            handler.head(200, len(CONTENT))
            handler.wfile.write(CONTENT[:half])
            handler.wfile.flush()
            hang(server)
        else:
            handler.rest()

    server.behave = behave
    patient = Patience(connect_s=5.0, read_s=0.5, total_s=60.0, attempts=8, backoff_s=0.01)
    assert fetch.fetch(wanted(server), cache, patient=patient).read_bytes() == CONTENT
    assert server.requests[1][1].startswith("bytes=") and server.requests[1][1] != "bytes=0-"


def test_a_port_where_nobody_listens_is_told(cache: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    download = Download("file.bin", f"http://127.0.0.1:{port}/file.bin", "0" * 64)
    with pytest.raises(DownloadError, match="refused"):
        fetch.fetch(download, cache, patient=IMPATIENT)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/file", "file:///etc/passwd", "no url", "http://"])
def test_an_url_that_cannot_be_used_is_not_retried(cache: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="http or https"):
        fetch.fetch(Download("file.bin", url, "0" * 64), cache, patient=QUICK)


def test_a_download_that_takes_too_long_altogether_is_ended(server: Server, cache: Path) -> None:
    server.behave = lambda handler, number: handler.rest()
    with pytest.raises(DownloadError, match="too slow"):
        fetch.fetch(wanted(server), cache, patient=Patience(total_s=-1.0))


# --- continuing -------------------------------------------------------------------------------------------------------


def test_a_download_ends_with_the_run_that_it_belongs_to(server: Server, cache: Path) -> None:
    with pytest.raises(KeyboardInterrupt), runner.together():
        context = contextvars.copy_context()
        raise KeyboardInterrupt
    with pytest.raises(Interrupted):
        context.run(fetch.fetch_into, wanted(server), cache / "part", QUICK)
    assert server.requests == []


def hang(server: Server) -> None:
    """Say nothing until the test is over."""
    server.stopping.wait(timeout=1800)


def cut_at(*ends: int) -> Behave:
    """Return a behaviour that closes the connection after these bytes of the file, one for each request."""

    def behave(handler: Handler, number: int) -> None:
        handler.rest(ends[number - 1] if number <= len(ends) else len(CONTENT))

    return behave


def test_a_download_that_stops_half_way_continues_where_it_stopped(server: Server, cache: Path) -> None:
    server.behave = cut_at(BLOCK, 3 * BLOCK)
    assert fetch.fetch(wanted(server), cache, patient=QUICK).read_bytes() == CONTENT
    assert [wants for _, wants in server.requests] == ["", f"bytes={BLOCK}-", f"bytes={3 * BLOCK}-"]


def test_the_next_run_continues_what_an_earlier_one_left(server: Server, cache: Path) -> None:
    once = Patience(attempts=1, backoff_s=0.01)
    server.behave = cut_at(BLOCK)
    with pytest.raises(DownloadError, match="run it again"):
        fetch.fetch(wanted(server), cache, patient=once)
    assert fetch.fetch(wanted(server), cache, patient=once).read_bytes() == CONTENT
    assert [wants for _, wants in server.requests] == ["", f"bytes={BLOCK}-"]


def test_a_server_that_cannot_continue_starts_over(server: Server, cache: Path) -> None:
    def behave(handler: Handler, number: int) -> None:
        handler.head(200, len(CONTENT))  # Whatever the Range header asked for.
        handler.wfile.write(CONTENT[:BLOCK] if number == 1 else CONTENT)

    server.behave = behave
    assert fetch.fetch(wanted(server), cache, patient=QUICK).read_bytes() == CONTENT
    assert [wants for _, wants in server.requests] == ["", f"bytes={BLOCK}-"]


def test_a_server_that_continues_elsewhere_is_not_believed(server: Server, cache: Path) -> None:
    def behave(handler: Handler, number: int) -> None:
        if number == 2:
            handler.head(206, len(CONTENT), Content_Range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
            handler.wfile.write(CONTENT)
        else:
            handler.rest(BLOCK if number == 1 else len(CONTENT))

    server.behave = behave
    assert fetch.fetch(wanted(server), cache, patient=QUICK).read_bytes() == CONTENT
    assert [wants for _, wants in server.requests] == ["", f"bytes={BLOCK}-", ""]


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more", b"wrong from the start", b""])
def test_whatever_an_earlier_run_left_the_right_file_comes_out(server: Server, cache: Path, left: bytes) -> None:
    part = place(wanted(server), cache).with_name("file.bin.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(left)
    server.behave = lambda handler, number: handler.rest()
    assert fetch.fetch(wanted(server), cache, patient=QUICK).read_bytes() == CONTENT
    assert not part.exists()


# --- the wrong file ---------------------------------------------------------------------------------------------------


def test_a_wrong_file_shows_both_hashes_and_never_reaches_the_cache(server: Server, cache: Path) -> None:
    server.behave = lambda handler, number: handler.whole(b"something else")
    download = wanted(server)
    with pytest.raises(WrongHashError) as caught:
        fetch.fetch(download, cache, patient=QUICK)
    assert download.digest in caught.value.why
    assert hashlib.sha256(b"something else").hexdigest() in caught.value.why
    assert list(place(download, cache).parent.iterdir()) == []
    assert fetch.cached(download, cache) is None
    assert len(server.requests) == 1


def test_a_compressed_answer_is_not_unpacked_behind_our_back(server: Server, cache: Path) -> None:
    """The pinned hash is that of the file, so the client asks for it as it is."""
    asked: list[str] = []

    def behave(handler: Handler, number: int) -> None:
        asked.append(handler.headers.get("Accept-Encoding", ""))
        handler.whole()

    server.behave = behave
    fetch.fetch(wanted(server), cache, patient=QUICK)
    assert asked == ["identity"]


# --- disks ------------------------------------------------------------------------------------------------------------


def test_a_file_in_place_of_the_cache_folder_is_a_disk_error(server: Server, cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(DiskError, match="cannot write"):
        fetch.fetch(wanted(server), cache, patient=QUICK)
    assert server.requests == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB; needs root and a kernel that lets it mount."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk to fill")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"this machine does not let root mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True, timeout=600)


def test_a_full_disk_is_told_and_leaves_no_file_behind_its_final_name(server: Server, small_disk: Path) -> None:
    with pytest.raises(DiskError) as caught:
        fetch.fetch(wanted(server), small_disk / "cache", patient=QUICK)
    assert f"errno {errno.ENOSPC}" in caught.value.why and "GLEAN_CACHE" in caught.value.fix
    assert not place(wanted(server), small_disk / "cache").exists()


def test_a_read_only_disk_is_told(server: Server, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True, timeout=600)
    with pytest.raises(DiskError) as caught:
        fetch.fetch(wanted(server), small_disk / "cache", patient=QUICK)
    assert f"errno {errno.EROFS}" in caught.value.why
    assert server.requests == []


def test_a_right_file_on_a_read_only_disk_is_used(server: Server, small_disk: Path) -> None:
    content = CONTENT[:1000]
    server.behave = lambda handler, number: handler.whole(content)
    path = fetch.fetch(wanted(server, content), small_disk, patient=QUICK)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True, timeout=600)
    assert fetch.fetch(wanted(server, content), small_disk, patient=QUICK) == path


def test_a_damaged_file_on_a_read_only_disk_is_told(server: Server, small_disk: Path) -> None:
    download = wanted(server)
    place(download, small_disk).parent.mkdir(parents=True)
    place(download, small_disk).write_bytes(b"damaged")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True, timeout=600)
    with pytest.raises(DiskError):
        fetch.fetch(download, small_disk, patient=QUICK)


def test_a_file_size_limit_is_told_like_a_full_disk(server: Server, cache: Path, checkout: Path) -> None:
    """The part of a full disk that needs no root: writing fails in the middle, in a process of its own."""
    download = wanted(server)
    script = (
        "import resource, signal, sys; from pathlib import Path; from glean_steps import errors, fetch\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    fetch.fetch(fetch.Download(*sys.argv[1:4]), Path(sys.argv[4]))\n"
        "except errors.DiskError as error:\n"
        "    print(error)\n"
        "    raise SystemExit(error.exit_code)\n"
    )
    argv = [sys.executable, "-B", "-c", script, download.name, download.url, download.digest, str(cache)]
    env = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=1800, env=env, check=False)
    assert done.returncode == 18, done.stderr
    assert f"errno {errno.EFBIG}" in done.stdout and "file.bin.part" in done.stdout


# --- offline, settings, proxies ---------------------------------------------------------------------------------------


def test_offline_asks_nobody_and_names_the_file(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    with pytest.raises(OfflineError) as caught:
        fetch.fetch(wanted(server), cache, patient=QUICK)
    assert server.requests == []
    assert "file.bin" in caught.value.what
    assert str(place(wanted(server), cache)) in caught.value.fix
    assert not cache.exists()


def test_offline_uses_what_the_cache_has(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch.fetch(wanted(server), cache, patient=QUICK)
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    assert fetch.fetch(wanted(server), cache) == path
    assert len(server.requests) == 1


@pytest.mark.parametrize(("value", "offline"), [("", False), ("0", False), ("1", True), ("yes", True)])
def test_offline_is_a_switch(value: str, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_OFFLINE", value)
    assert settings.OFFLINE.value() is offline


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])
def test_a_proxy_is_honoured(
    serve: Callable[[], Server], cache: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The file's own host does not exist: only the proxy can have delivered it."""
    proxy = serve()
    monkeypatch.setenv(variable, proxy.url)
    url = "http://nowhere.invalid/file.bin"
    download = Download("file.bin", url, hashlib.sha256(CONTENT).hexdigest())
    assert fetch.fetch(download, cache, patient=QUICK).read_bytes() == CONTENT
    assert [path for path, _ in proxy.requests] == [url]


def test_no_proxy_is_honoured(serve: Callable[[], Server], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, proxy = serve(), serve()
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    fetch.fetch(wanted(server), cache, patient=QUICK)
    assert (len(server.requests), proxy.requests) == (1, [])


def test_the_patience_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_FETCH_TIMEOUT", "2.5")
    assert (fetch.patience().connect_s, fetch.patience().read_s) == (2.5, 2.5)


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_a_patience_that_cannot_be_used_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_FETCH_TIMEOUT", value)
    with pytest.raises(SettingError, match="GLEAN_FETCH_TIMEOUT"):
        fetch.patience()


def test_a_name_that_has_no_address_is_not_asked_for_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`.invalid` never resolves (RFC 2606); a real look-up says so, wherever a name server answers at all."""
    try:
        socket.getaddrinfo("nowhere.invalid", 80)
    except socket.gaierror as error:
        if error.errno != socket.EAI_NONAME:
            pytest.skip(f"no name server answers here: {error}")
    unknown = fetch.Download("file.bin", "http://nowhere.invalid/file.bin", "0" * 64)
    with pytest.raises(DownloadError, match=r"could not fetch file\.bin"):
        fetch.fetch(unknown, tmp_path)
    assert "attempt" not in capsys.readouterr().err
