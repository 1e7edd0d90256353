"""The HTTP server of the collector: submissions, the API, changes as they come, and the page."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Tuple
from urllib.parse import parse_qsl, urlsplit

from glean_py.serve.document import Document
from glean_py.serve.store import Filter, StoreError
from glean_py.serve.submission import MAX_COMPRESSED_BYTES, Refusal, whole_number

if TYPE_CHECKING:
    from glean_py.serve.collector import Collector

_MAX_CONNECTIONS = 64
_MAX_WATCHERS = 16
# For reading a whole request, and for each write.
_REQUEST_S = 20.0
_HEARTBEAT_S = 15.0
# What is still read of a request that was refused, so that its client reads the answer before the connection ends.
_MAX_REST_BYTES = 2**21
# How many pings the page has from the beginning; ROWS_AT_ONCE in page.js.
_FIRST_PINGS = 50
_PAGE = Path(__file__).resolve().parent / "page"
_POLICY = (
    "default-src 'none'; {}; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)


class Server(ThreadingHTTPServer):
    """Listens for a collector; a thread for each connection, of which there are 64 at most."""

    daemon_threads = True
    request_queue_size = 128
    # On Windows it would let a second server have the same port.
    allow_reuse_address = os.name == "posix"

    def __init__(self, collector: Collector, host: str, port: int) -> None:
        self.collector = collector
        self._lock = threading.Lock()
        self._is_closed = False
        # Sockets, and when the request that is being read has to be over.
        self._deadlines: Dict[socket.socket, Optional[float]] = {}
        self.watchers = threading.BoundedSemaphore(_MAX_WATCHERS)
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self.address_family = family
        super().__init__((str(address[0]), port), Handler)
        self._names = {"localhost", host.lower()}
        port = self.server_port
        self.is_local = ipaddress.ip_address(str(self.server_address[0]).partition("%")[0]).is_loopback
        self.endpoint = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self.document = Document(_PAGE)
        self.policy = _POLICY.format(self.document.policy)
        self.icon = (_PAGE / "icon.svg").read_bytes()

    def server_bind(self) -> None:
        """Take the port; the name of this machine is asked of nobody, which can take long."""
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        elif self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, unless there are too many."""
        with self._lock:
            is_full = len(self._deadlines) >= _MAX_CONNECTIONS
            if not is_full:
                self._deadlines[request] = monotonic() + _REQUEST_S
        if is_full:
            request.settimeout(0.1)
            request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def limit(self, request: socket.socket, seconds: Optional[float]) -> None:
        """Let a connection end unless something happens in time; `None` for no limit."""
        with self._lock:
            if request in self._deadlines:
                self._deadlines[request] = None if seconds is None else monotonic() + seconds

    def service_actions(self) -> None:
        """End the connections whose time is up; called by the loop every now and then."""
        now = monotonic()
        with self._lock:
            for request, deadline in self._deadlines.items():
                if deadline is not None and now > deadline:
                    _end(request)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        with self._lock:
            self._deadlines.pop(request, None)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Give the port back and end every connection."""
        self._is_closed = True
        super().server_close()
        with self._lock:
            for request in self._deadlines:
                _end(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say where an error happened, and nothing of what a ping has; clients that go away are none."""
        error = sys.exc_info()[1]
        trace = error.__traceback__ if error is not None else None
        if isinstance(error, OSError) or trace is None or self._is_closed:
            return
        while trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        print(f"error in the collector, please report it: {type(error).__name__} at {place}", file=sys.stderr)

    def knows(self, host: str) -> bool:
        """Return whether a header `Host` is one of ours.

        A page of another site reaches a server here by a name of its own that leads to this address; it has no
        influence on the header, which says that name.
        """
        name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
        name, port = (name, port) if port.isdigit() else (host, "80")
        if port != str(self.server_port):
            return False
        try:
            ipaddress.ip_address(name[1:-1] if name.startswith("[") else name)
        except ValueError:
            return name.lower() in self._names
        return True


def _end(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Handler(BaseHTTPRequestHandler):
    """Serves one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    # Of each wait for the client.
    timeout = _REQUEST_S
    # Header and body are two writes, and the second would wait for the client to confirm the first.
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        """Read one request, within a deadline, and answer it."""
        self.server.limit(self.connection, _REQUEST_S)
        super().handle_one_request()

    def do_GET(self) -> None:
        """Answer a request that changes nothing."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Take a ping."""
        self._answer("POST")

    def do_PUT(self) -> None:
        """Take a ping, or change faults."""
        self._answer("PUT")

    def do_DELETE(self) -> None:
        """Clear pings or faults."""
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        is_submission = False
        try:
            try:
                url = urlsplit(self.path)
            except ValueError:
                raise Refusal(400, "this is no address of anything") from None
            is_submission = url.path.startswith("/submit/")
            self._check_sender(url.path)
            data = self._read_body(method)
            self.server.limit(self.connection, None)
            if is_submission and method in ("POST", "PUT"):
                self._submit(url.path, data)
                return
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            route = _ROUTES.get((method, url.path.rstrip("/") or "/"))
            if route is not None:
                route(self, query)
            elif method == "GET" and url.path.startswith("/api/pings/"):
                self._one_ping(url.path.split("/")[3:], query)
            else:
                raise Refusal(404, f"there is no {method} {url.path[:100]}")
        except (Refusal, StoreError) as error:
            refusal = error if isinstance(error, Refusal) else Refusal(507, str(error))
            if is_submission:
                self.server.collector.note_refusal(refusal)
            self._refuse(refusal)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _check_sender(self, path: str) -> None:
        """Refuse what pages of other sites make a browser send.

        Raises:
            Refusal: such a request, or one for another host.
        """
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not self.server.knows(hosts[0]):
            raise Refusal(421, f"the header Host has to name {self.server.endpoint[7:]}")
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{hosts[0]}":
            raise Refusal(403, "requests of pages of other sites are refused")
        if self._is_foreign() and path not in ("/", "/icon.svg"):
            raise Refusal(403, "requests of pages of other sites are refused")

    def _is_foreign(self) -> bool:
        return self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")

    def _read_body(self, method: str) -> bytes:
        if self.headers.get("Transfer-Encoding") is not None:
            raise Refusal(411, "a request has to say its Content-Length")
        lengths = self.headers.get_all("Content-Length") or []
        if not lengths and method != "POST":
            return b""
        length = whole_number(lengths[0]) if len(lengths) == 1 else None
        if length is None:
            raise Refusal(411, "a request has to say its Content-Length, once, as a number")
        if length > MAX_COMPRESSED_BYTES:
            raise Refusal(413, f"the body has more than {MAX_COMPRESSED_BYTES >> 20} MiB")
        data = self.rfile.read(length)
        if len(data) < length:
            raise Refusal(400, "the body ended too early")
        return data

    # --- answers ------------------------------------------------------------------------------------------------------

    def _submit(self, path: str, data: bytes) -> None:
        collector = self.server.collector
        faults = collector.take_faults()
        if faults.delay:
            time.sleep(faults.delay)
        if faults.cut:
            # An end without an answer: the client cannot tell whether the ping was taken.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        if faults.status:
            headers = [("Retry-After", str(faults.retry_after))] if faults.retry_after else []
            self._send_json({"error": "a fault that somebody asked for"}, faults.status, headers)
            return
        number = collector.accept(path, self.headers, data)
        self._send_json({"number": number})

    def _page(self, query: Dict[str, str]) -> None:
        first = None
        # A page of another site may lead here, and must not get anything by that.
        if not self._is_foreign():
            collector = self.server.collector
            # What is wrong with the store, the page is told when it asks.
            with contextlib.suppress(StoreError):
                status = collector.status()
                position, pings = collector.find(Filter(newest=_FIRST_PINGS))
                first = [status, {"position": position, "pings": pings}]
        self._send(200, self.server.document.content(first), "text/html; charset=utf-8")

    def _icon(self, query: Dict[str, str]) -> None:
        self._send(200, self.server.icon, "image/svg+xml")

    def _list(self, query: Dict[str, str]) -> None:
        collector = self.server.collector
        wanted = Filter(
            **{
                name: query[name]
                for name in ("name", "application", "client", "tag", "metric", "text")
                if name in query
            },
            since=_number(query, "since", 0, 10**18 - 1),
            newest=_number(query, "newest", 0, 10**6),
        )
        count = _number(query, "wait", 0, 10**6)
        timeout_s = _number(query, "timeout", 10, 300)
        status = 200
        if count and not collector.wait(wanted._replace(newest=0), count, timeout_s):
            status = 504
        position, found = collector.find(wanted)
        answer: Dict[str, Any] = {"position": position, "since": found[-1]["number"] if found else wanted.since}
        if status != 200:
            answer["error"] = f"{len(found)} of {count} pings arrived within {timeout_s} s"
        if query.get("bodies") == "0":
            self._send_json({**answer, "pings": found}, status)
            return
        self._send_parts(status, self._with_bodies(answer, found))

    def _with_bodies(self, answer: Dict[str, Any], found: List[Dict[str, Any]]) -> Iterator[str]:
        """Return the JSON of a list in parts, none of them empty: all bodies at once may be larger than the memory."""
        yield json.dumps(answer)[:-1] + ', "pings": ['
        for place, summary in enumerate(found):
            yield f'{", " if place else ""}{json.dumps(summary)[:-1]}, "body": '
            yield self.server.collector.store.text(summary["number"]) or "null"
            yield "}"
        yield "]}"

    def _one_ping(self, rest: List[str], query: Dict[str, str]) -> None:
        collector = self.server.collector
        number = whole_number(rest[0]) or 0
        found = collector.store.get(number)
        text = collector.store.text(number) if found is not None else None
        if found is None or text is None or rest[1:] not in ([], ["body"]):
            raise Refusal(404, f"there is no ping {rest[0][:20]}; only the newest {collector.store.keep} are kept")
        if rest[1:]:
            name = f'attachment; filename="{found["document_id"]}.json"'
            headers = [("Content-Disposition", name)] if "download" in query else []
            self._send(200, text.encode("utf-8"), "application/json", headers)
            return
        found["registry"] = collector.registry.describe(found["name"], found.pop("names"))
        if query.get("bodies") == "0":
            self._send_json(found)
        else:
            self._send(200, _join(found, text).encode("utf-8"), "application/json")

    def _clear(self, query: Dict[str, str]) -> None:
        self.server.collector.clear()
        self._send_json({})

    def _status(self, query: Dict[str, str]) -> None:
        self._send_json(self.server.collector.status())

    def _metrics(self, query: Dict[str, str]) -> None:
        self._send_json({"metrics": self.server.collector.store.metrics()})

    def _trend(self, query: Dict[str, str]) -> None:
        points = self.server.collector.store.trend(query.get("metric", ""), query.get("application", ""))
        self._send_json({"points": list(points)})

    def _faults(self, query: Dict[str, str]) -> None:
        self._send_json(self.server.collector.faults._asdict())

    def _set_faults(self, query: Dict[str, str]) -> None:
        values: Dict[str, Any] = {}
        for name, text in query.items():
            try:
                values[name.replace("-", "_")] = _FAULTS[name](text)
            except (KeyError, ValueError):
                known = ", ".join(_FAULTS)
                raise Refusal(
                    400, f"{name[:40]}={text[:40]} is no fault; there are {known}, all but cut numbers"
                ) from None
        self.server.collector.fail(**values)
        self._faults(query)

    def _clear_faults(self, query: Dict[str, str]) -> None:
        self.server.collector.fail()
        self._faults(query)

    def _watch(self, query: Dict[str, str]) -> None:
        """Send changes as they come, as server-sent events."""
        if not self.server.watchers.acquire(blocking=False):
            raise Refusal(503, f"{_MAX_WATCHERS} already watch; close a page or a tail")
        try:
            self.close_connection = True
            self.send_response(200)
            self._send_headers("text/event-stream", [("Connection", "close")])
            position = self.headers.get("Last-Event-ID") or query.get("since") or self.server.collector.position()
            while True:
                changes = self.server.collector.changes(position, _HEARTBEAT_S)
                for position, kind, content in changes:
                    self.wfile.write(f"id: {position}\nevent: {kind}\ndata: {content}\n\n".encode())
                if not changes:
                    self.wfile.write(b": still here\n\n")
        finally:
            self.server.watchers.release()

    # --- writing ------------------------------------------------------------------------------------------------------

    def _send_json(self, content: Any, status: int = 200, headers: Any = ()) -> None:
        self._send(status, json.dumps(content).encode("utf-8"), "application/json", headers)

    def _send(self, status: int, content: bytes, kind: str, headers: Any = ()) -> None:
        self.send_response(status)
        self._send_headers(kind, [("Content-Length", str(len(content))), *headers])
        self.wfile.write(content)

    def _send_parts(self, status: int, parts: Iterator[str]) -> None:
        """Send JSON of which only a part is in memory."""
        is_chunked = self.request_version != "HTTP/1.0"
        self.close_connection = self.close_connection or not is_chunked
        self.send_response(status)
        how = ("Transfer-Encoding", "chunked") if is_chunked else ("Connection", "close")
        self._send_headers("application/json", [how])
        try:
            for part in parts:
                data = part.encode("utf-8")
                self.wfile.write(b"%x\r\n" % len(data) if is_chunked else b"")
                self.wfile.write(data)
                self.wfile.write(b"\r\n" if is_chunked else b"")
                # The next one may be large as well.
                del part, data
        except StoreError:
            # It is too late for a status; without its end nobody takes it for all there is.
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n" if is_chunked else b"")

    def _send_headers(self, kind: str, headers: List[Tuple[str, str]]) -> None:
        policy = ("Content-Security-Policy", self.server.policy)
        for name, value in (("Content-Type", kind), *headers, policy, *_HEADERS):
            self.send_header(name, value)
        self.end_headers()

    def _refuse(self, refusal: Refusal) -> None:
        """Say why, and end the connection: what follows of the request is read and forgotten."""
        self.close_connection = True
        self._send_json({"error": refusal.reason}, refusal.status, [("Connection", "close")])
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.server.limit(self.connection, 1.0)
        rest = _MAX_REST_BYTES
        while rest > 0:
            data = self.rfile.read1(65536)
            if not data:
                return
            rest -= len(data)

    def send_error(self, code: int, message: Optional[str] = None, explain: Optional[str] = None) -> None:
        """Answer what is no HTTP, or a method that nothing here has."""
        self.close_connection = True
        # What is no HTTP at all would get an answer without headers.
        self.request_version = self.protocol_version
        self.server.limit(self.connection, 1.0)
        self._send_json({"error": "no such request is served here"}, code, [("Connection", "close")])

    def version_string(self) -> str:
        """Return what the header `Server` says."""
        return "glean_py"

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: paths have document ids."""


def _join(summary: Dict[str, Any], text: str) -> str:
    """Return the JSON of a ping with its body as it was submitted."""
    return f'{json.dumps(summary)[:-1]}, "body": {text}}}'


def _number(query: Dict[str, str], name: str, default: int, most: int) -> int:
    number = whole_number(query.get(name, str(default)))
    if number is None or number > most:
        raise Refusal(400, f"{name} has to be a number from 0 to {most}")
    return number


def _count(text: str) -> int:
    """Return a whole number.

    Raises:
        ValueError: it is none.
    """
    number = whole_number(text)
    if number is None:
        raise ValueError(text)
    return number


_FAULTS: Dict[str, Callable[[str], Any]] = {
    "status": _count,
    "retry-after": _count,
    "delay": float,
    "cut": lambda text: text not in ("0", "false"),
    "times": _count,
}
_ROUTES: Dict[Tuple[str, str], Any] = {
    ("DELETE", "/api/faults"): Handler._clear_faults,
    ("DELETE", "/api/pings"): Handler._clear,
    ("GET", "/"): Handler._page,
    ("GET", "/icon.svg"): Handler._icon,
    ("GET", "/api/events"): Handler._watch,
    ("GET", "/api/faults"): Handler._faults,
    ("GET", "/api/metrics"): Handler._metrics,
    ("GET", "/api/pings"): Handler._list,
    ("GET", "/api/status"): Handler._status,
    ("GET", "/api/trend"): Handler._trend,
    ("PUT", "/api/faults"): Handler._set_faults,
}
