"""How one ping is sent: `HttpClientUploader` against servers that behave in every way that servers do."""

import email.utils
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from typing import List

import fault_server
import needs
import pytest
from fault_server import FaultServer, answer

from glean_py.net import HttpClientUploader, http_client
from glean_py.net.ping_upload_worker import PingRequest
from glean_py.net.ping_uploader import CapablePingUploadRequest, PingUploadRequest, UploadResult

PATH = "/submit/glean-tests/custom/1/5a3f1c2e-0000-4000-8000-000000000001"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def fresh_transport(monkeypatch):
    """No proxies, the authority of these tests, and no connection left by another test."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    # On Windows and macOS they may be set for the whole system.
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(fault_server.AUTHORITY))
    monkeypatch.setattr(http_client._OfProcess, "current", http_client._Transport())
    yield
    http_client.current().rest()


def make_request(endpoint, path=PATH, body=b"body", **changes):
    request = PingRequest(
        document_id=path.rpartition("/")[2],
        path=path,
        body=body,
        headers={
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "X-Debug-ID": "tag",
        },
        body_has_info_sections=True,
        ping_name="custom",
        uploader_capabilities=changes.get("capabilities", []),
    )
    return CapablePingUploadRequest(PingUploadRequest(request, endpoint))


def send(endpoint, **changes):
    return HttpClientUploader.upload(make_request(endpoint, **changes))


def test_a_ping_is_one_post_request_with_the_headers_that_it_came_with():
    with FaultServer() as server:
        assert send(server.endpoint + "/base?key=1&path=") == UploadResult.HTTP_STATUS(200)
        (request,) = server.accepted
    assert (request.method, request.version) == ("POST", "HTTP/1.1")
    assert request.target == "/base?key=1&path=" + PATH
    assert request.raw == b"body"
    assert request.headers == {
        "Host": f"127.0.0.1:{server.port}",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Content-Length": "4",
        "X-Debug-ID": "tag",
    }


@pytest.mark.parametrize("status", [200, 204, 301, 307, 400, 404, 408, 413, 429, 500, 503, 599])
def test_the_status_of_the_answer_is_the_result(status):
    with FaultServer(answer(status, b"", Location="/elsewhere")) as server:
        assert send(server.endpoint) == UploadResult.HTTP_STATUS(status)
        # Redirects are not followed.
        assert len(server.requests) == 1


def test_a_server_says_how_long_it_wants_to_be_left_alone():
    def ask(text):
        with FaultServer(answer(503, Retry_After=text)) as server:
            return send(server.endpoint).retry_after_s

    assert ask("120") == 120
    assert ask("9" * 400) == 999999999
    assert 3000 < ask(email.utils.formatdate(time.time() + 3600, usegmt=True)) <= 3600
    assert ask("Sun, 06 Nov 1994 08:49:37 GMT") == 0
    assert [ask(text) for text in ("soon", "-5", "1.5", "Sun, 99 Nov 99999 99:99:99 GMT", "\xb2")] == [None] * 5


def test_connections_are_used_for_several_pings_and_https_is_verified():
    with FaultServer(tls=True) as server:
        for _ in range(3):
            assert send(server.endpoint) == UploadResult.HTTP_STATUS(200)
        assert (server.connections, len(server.accepted)) == (1, 3)
        http_client.current().rest()
        assert send(server.endpoint) == UploadResult.HTTP_STATUS(200)
        assert server.connections == 2


def test_a_connection_that_the_server_ended_meanwhile_is_no_failure():
    def once(connection):
        answer(200)(connection)

    for tls in (False, True):
        with FaultServer(once, tls=tls) as server:
            for _ in range(3):
                assert send(server.endpoint) == UploadResult.HTTP_STATUS(200)
            assert (server.connections, len(server.accepted)) == (3, 3)


FAULTS = {
    "cut in the TLS handshake": (fault_server.cut_in_handshake, True),
    "reset in the body": (fault_server.reset_mid_body, False),
    "reset in the body of TLS": (fault_server.reset_mid_body, True),
    "garbage": (fault_server.garbage, False),
    "end without an answer": (fault_server.nothing, False),
    "end without an answer in TLS": (fault_server.nothing, True),
    "answer lost": (fault_server.lost_answer, False),
    "header without an end": (fault_server.endless_header, False),
}


@pytest.mark.parametrize("fault, tls", FAULTS.values(), ids=list(FAULTS))
def test_what_a_broken_server_does_is_a_failure_that_may_pass(fault, tls):
    with FaultServer(fault, answer(200), tls=tls) as server:
        assert send(server.endpoint, body=b"x" * 1000000) == UploadResult.RECOVERABLE_FAILURE(0)
        assert send(server.endpoint) == UploadResult.HTTP_STATUS(200)


def test_an_answer_shorter_than_announced_is_an_answer():
    with FaultServer(fault_server.wrong_length, answer(200)) as server:
        assert [send(server.endpoint) for _ in range(2)] == [UploadResult.HTTP_STATUS(200)] * 2
        assert server.connections == 2


def test_a_server_that_is_not_there_is_a_failure_that_may_pass():
    endpoint, placeholder = fault_server.refusing_endpoint()
    with placeholder:
        assert send(endpoint) == UploadResult.RECOVERABLE_FAILURE(0)
    # A name that never exists, by RFC 2606.
    assert send("http://glean.invalid") == UploadResult.RECOVERABLE_FAILURE(0)


def test_a_certificate_that_is_not_trusted_is_told_once_and_the_ping_stays(monkeypatch, caplog):
    monkeypatch.delenv("SSL_CERT_FILE")
    with FaultServer(tls=True) as server:
        for _ in range(2):
            assert send(server.endpoint) == UploadResult.RECOVERABLE_FAILURE(0)
        assert server.accepted == []
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "certificate" in record.getMessage()


def test_a_certificate_for_another_name_is_not_trusted(monkeypatch):
    with FaultServer(tls=True) as server:
        found = socket.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert send(f"https://other.example:{server.port}") == UploadResult.RECOVERABLE_FAILURE(0)
        assert send(f"https://localhost:{server.port}") == UploadResult.HTTP_STATUS(200)


@pytest.mark.parametrize("fault", [fault_server.never_read, fault_server.never_answer], ids=["reads", "answers"])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_server_that_never_does_its_part_is_left_after_a_while(monkeypatch, fault, tls):
    monkeypatch.setattr(HttpClientUploader, "_DEFAULT_TIMEOUT", 0.3)
    with FaultServer(fault, tls=tls) as server:
        assert send(server.endpoint, body=b"x" * 3000000) == UploadResult.RECOVERABLE_FAILURE(0)


@pytest.mark.slow
def test_a_server_that_sends_byte_by_byte_is_left_when_the_whole_request_took_too_long(monkeypatch):
    monkeypatch.setattr(HttpClientUploader, "_TOTAL_TIMEOUT", 1.0)
    with FaultServer(fault_server.one_byte_at_a_time(0.05)) as server:
        assert send(server.endpoint) == UploadResult.RECOVERABLE_FAILURE(0)


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1", "no-scheme.example", "http://", "http://127.0.0.1:port", "http://[::1"]
)
def test_what_is_no_address_can_never_be_sent_to(url):
    assert send(url) == UploadResult.UNRECOVERABLE_FAILURE(0)


def test_without_a_server_endpoint_a_ping_stays():
    assert send("") == UploadResult.RECOVERABLE_FAILURE(0)


def test_a_ping_that_needs_a_capability_is_refused():
    assert send("http://127.0.0.1:9", capabilities=["os_name"]) == UploadResult.INCAPABLE(0)


def test_a_user_in_the_address_is_proven_by_a_header():
    with FaultServer() as server:
        assert send(f"http://a%20b:c%3Ad@127.0.0.1:{server.port}") == UploadResult.HTTP_STATUS(200)
        (request,) = server.accepted
    assert request.headers["Authorization"] == "Basic YSBiOmM6ZA=="
    assert request.headers["Host"] == f"127.0.0.1:{server.port}"


def test_http_goes_through_a_proxy(monkeypatch):
    with FaultServer() as proxy:
        monkeypatch.setenv("no_proxy", "localhost")
        monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{proxy.port}")
        assert send("http://server.example:8080/base?x=1") == UploadResult.HTTP_STATUS(200)
        (request,) = proxy.accepted
    assert request.target == "http://server.example:8080/base?x=1" + PATH
    assert request.headers["Host"] == "server.example:8080"
    assert request.headers["Proxy-Authorization"] == "Basic dXNlcjpzZWNyZXQ="


def tunnel_to(server):
    """Return what a proxy does that connects to this server, whatever it is asked for."""

    def fault(connection):
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.socket.recv(1)
        connection.server.note(connection.server.requests, head.decode())
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", server.port)) as other:
            back = threading.Thread(target=copy, args=(other, connection.socket), daemon=True)
            back.start()
            copy(connection.socket, other)
            back.join(600)

    return fault


def copy(source, target):
    try:
        for data in iter(lambda: source.recv(65536), b""):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One of the two went away.
        pass


def test_https_goes_through_a_tunnel_of_the_proxy(monkeypatch):
    with FaultServer(tls=True) as server, FaultServer(tunnel_to(server)) as proxy:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("https_proxy", f"http://user:secret@127.0.0.1:{proxy.port}")
        assert send(f"https://localhost:{server.port}") == UploadResult.HTTP_STATUS(200)
        (request,) = server.accepted
        assert request.target == PATH
        assert "Proxy-Authorization" not in request.headers
        line, *headers = proxy.requests[0].splitlines()
    assert line == f"CONNECT localhost:{server.port} HTTP/1.1"
    assert "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=" in headers


@pytest.mark.parametrize("proxy", ["refuses", "socks5://127.0.0.1:9", "https://127.0.0.1:9"])
def test_a_proxy_that_is_of_no_use_is_not_gone_round(monkeypatch, proxy):
    with FaultServer(tls=True) as server, FaultServer(answer(407)) as refusing:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("https_proxy", refusing.endpoint if proxy == "refuses" else proxy)
        assert send(f"https://localhost:{server.port}") == UploadResult.RECOVERABLE_FAILURE(0)
        assert server.connections == 0


def test_no_proxy_names_hosts_and_ports_that_are_reached_directly(monkeypatch):
    with FaultServer() as server, FaultServer(answer(500)) as proxy:
        monkeypatch.setenv("all_proxy", proxy.endpoint)
        for excepted, status in (
            ("127.0.0.1", 200),
            (f"127.0.0.1:{server.port}", 200),
            ("127.0.0.1:1", 500),
            ("example.org", 500),
            ("*", 200),
        ):
            monkeypatch.setenv("no_proxy", excepted)
            assert send(server.endpoint) == UploadResult.HTTP_STATUS(status), excepted


def test_proxies_of_a_forked_process_on_macos_come_from_the_environment_alone(monkeypatch):
    def crash(*_):
        raise AssertionError("this crashes in a forked process on macOS")

    from urllib import request

    monkeypatch.setattr(request, "getproxies", crash)
    monkeypatch.setattr(request, "proxy_bypass", crash)
    monkeypatch.setattr(sys, "platform", "darwin")
    http_client.current().is_forked = True
    with FaultServer() as server:
        assert send(server.endpoint) == UploadResult.HTTP_STATUS(200)
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("http_proxy", server.endpoint)
        assert send("http://server.example") == UploadResult.HTTP_STATUS(200)


def test_authorities_of_truststore_are_used_if_it_is_installed(monkeypatch, tmp_path):
    # A stand-in: the package itself asks the system, which doesn't know the authority of these tests.
    (tmp_path / "truststore.py").write_text(
        "import os, ssl\n"
        "class SSLContext(ssl.SSLContext):\n"
        "    def __init__(self, protocol):\n"
        "        self.load_verify_locations(os.environ['TEST_AUTHORITY'])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("TEST_AUTHORITY", str(fault_server.AUTHORITY))
    monkeypatch.delitem(sys.modules, "truststore", raising=False)
    with FaultServer(tls=True) as server:
        assert send(server.endpoint) == UploadResult.HTTP_STATUS(200)
    del sys.modules["truststore"]


@pytest.mark.parametrize("fault", [fault_server.never_answer, fault_server.never_read], ids=["answer", "handshake"])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_stop_cuts_the_request_and_no_other_begins_before_the_next_start(fault, tls):
    results = []
    with FaultServer(fault, answer(200), tls=tls) as server:
        thread = threading.Thread(target=lambda: results.append(send(server.endpoint)), daemon=True)
        thread.start()
        server.wait_for(lambda server: server.connections)
        http_client.current().stop()
        thread.join(600)
        assert results == [UploadResult.RECOVERABLE_FAILURE(0)]
        assert send(server.endpoint) == UploadResult.RECOVERABLE_FAILURE(0)
        assert server.connections == 1
        http_client.current().start()
        assert send(server.endpoint) == UploadResult.HTTP_STATUS(200)


def test_a_stop_while_tls_takes_a_socket_over_is_a_stop(monkeypatch):
    create = ssl.SSLSocket._create  # type: ignore[attr-defined]
    stops: List[str] = []

    def stop_in_between(*arguments, **options):
        wrapped = create(*arguments, **options)
        http_client.current().stop()
        stops.append("it did not raise")
        return wrapped

    with FaultServer(tls=True) as server:
        monkeypatch.setattr(ssl.SSLSocket, "_create", stop_in_between)
        assert send(server.endpoint) == UploadResult.RECOVERABLE_FAILURE(0)
        assert server.requests == [] and stops


def test_nothing_for_the_network_is_imported_before_the_first_ping(tmp_path):
    code = (
        "import sys, glean_py; from glean_py import net, testing; from pathlib import Path\n"
        "glean_py.Glean.initialize('glean-tests', '1.0', True, data_dir=Path(sys.argv[1]))\n"
        "print(sorted({'ssl', 'socket', 'http.client', 'urllib.request', 'subprocess'} & set(sys.modules)))\n"
    )
    argv = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}", str(tmp_path)]
    out = subprocess.check_output(argv, timeout=600, stdin=subprocess.DEVNULL, cwd=str(tmp_path))
    assert out.decode().split() == ["[]"]


def test_a_result_is_an_object_of_its_class_and_of_the_common_one():
    results = [
        UploadResult.RECOVERABLE_FAILURE(0),
        UploadResult.UNRECOVERABLE_FAILURE(0),
        UploadResult.INCAPABLE(0),
        UploadResult.HTTP_STATUS(code=200),
        UploadResult.DONE(0),
    ]
    for result in results:
        name = type(result).__name__
        assert isinstance(result, UploadResult)
        assert [other for other in results if getattr(other, "is_" + name)()] == [result]
        assert getattr(result, "is_" + name.lower())()
    assert repr(results[1]) == "UploadResult.UNRECOVERABLE_FAILURE(unused=0)"
    assert vars(results[3]) == {"code": 200, "retry_after_s": None}


def test_what_is_sent_is_handed_over_to_who_can_do_what_it_asks_for():
    capable = make_request("https://server.example", capabilities=["one"])
    assert capable.capable(lambda capabilities: capabilities != ["one"]) is None
    request = capable.capable(lambda capabilities: capabilities == ["one"])
    assert request.url == "https://server.example" + PATH
    assert request.doc_id == PATH.rpartition("/")[2]
    assert (request.body, request.headers["X-Debug-ID"]) == (b"body", "tag")


@needs.fork
def test_a_forked_process_leaves_the_connection_of_its_parent_alone():
    with FaultServer(tls=True) as server:
        assert send(server.endpoint) == UploadResult.HTTP_STATUS(200)
        child = os.fork()
        if child == 0:
            status = 9
            try:
                status = 0 if send(server.endpoint) == UploadResult.HTTP_STATUS(200) else 1
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert send(server.endpoint) == UploadResult.HTTP_STATUS(200)
        assert (server.connections, len(server.accepted)) == (2, 3)
