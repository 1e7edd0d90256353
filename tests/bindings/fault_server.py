"""A server on loopback that fails in every way that servers do; each connection gets the next fault of its list."""

import gzip
import json
import socket
import ssl
import struct
import threading
from pathlib import Path

TLS = Path(__file__).resolve().parent / "data" / "tls"
AUTHORITY = TLS / "authority.pem"
# So that a test that fails cannot leave a thread behind that waits for ever.
PATIENCE_S = 600


class Request:
    """One request that was read to its end."""

    def __init__(self, line, headers, body):
        self.method, self.target, self.version = line.split(" ")
        self.headers = headers
        self.raw = body

    @property
    def document_id(self):
        return self.target.rpartition("/")[2]

    @property
    def name(self):
        return self.target.split("/")[-3]

    @property
    def body(self):
        return json.loads(gzip.decompress(self.raw).decode("utf-8"))


class FaultServer:
    """Serves until it is closed. `faults` are functions of a connection; the last one stays for all that follow.

    Attributes:
        requests: what was read to its end.
        accepted: those of them that the server took, whether the client heard of it or not.
        connections: how many there were.
        scheme: `http` or `https`.
    """

    def __init__(self, *faults, tls=False):
        self.faults = list(faults) or [answer(200)]
        self.requests = []
        self.accepted = []
        self.connections = 0
        self.scheme = "https" if tls else "http"
        self.changed = threading.Condition()
        self.is_closed = threading.Event()
        self._tally = None
        self._context = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(str(TLS / "server.pem"))
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.is_closed.set()
        self._listener.close()

    @property
    def endpoint(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def keep_tally(self, folder):
        """Return a file beside `folder` that gets a byte for each accepted ping, for processes that can't ask."""
        self._tally = Path(f"{folder}.tally")
        self._tally.touch()
        return self._tally

    def wait_for(self, condition, timeout_s=600):
        """Wait until `condition(server)` is true and return what it returned."""
        with self.changed:
            found = self.changed.wait_for(lambda: condition(self), timeout_s)
        seen = f"{self.connections} connections, {len(self.requests)} requests, {len(self.accepted)} accepted pings"
        assert found, f"the server saw {seen}"
        return found

    def wait_for_accepted(self, count, timeout_s=600):
        """Wait for so many accepted pings and return all."""
        self.wait_for(lambda server: len(server.accepted) >= count, timeout_s)
        return list(self.accepted)

    def note(self, collection, request):
        """Add a request to a list, and wake who waits for it."""
        with self.changed:
            collection.append(request)
            self.changed.notify_all()

    def note_accepted(self, request):
        """Add a request to the accepted ones."""
        self.note(self.accepted, request)
        if self._tally is not None:
            with self.changed, open(str(self._tally), "ab") as tally:
                tally.write(b".")

    def _accept(self):
        while not self.is_closed.is_set():
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with self.changed:
                self.connections += 1
                fault = self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]
                self.changed.notify_all()
            threading.Thread(target=self._serve, args=(plain, fault), daemon=True).start()

    def _serve(self, plain, fault):
        plain.settimeout(PATIENCE_S)
        connection = Connection(self, plain)
        try:
            if not getattr(fault, "is_before_tls", False) and self._context is not None:
                connection.socket = self._context.wrap_socket(plain, server_side=True)
            while fault(connection):
                pass
        except (OSError, ValueError):
            # The client went away, which is its right.
            pass
        finally:
            connection.socket.close()


class Connection:
    """One connection, with what faults do to it."""

    def __init__(self, server, plain):
        self.server = server
        self.socket = plain

    def read_request(self, limit=None):
        """Read one request, or `limit` bytes of it; `None` at the end of the stream."""
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = self.socket.recv(limit or 65536)
            if not chunk or limit:
                return None
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = dict(field.split(": ", 1) for field in fields)
        while len(body) < int(headers.get("Content-Length", 0)):
            body += self.socket.recv(65536)
        request = Request(line, headers, body)
        self.server.note(self.server.requests, request)
        return request

    def accept(self, request):
        """Take a ping."""
        self.server.note_accepted(request)

    def send(self, data):
        self.socket.sendall(data)

    def wait_for_end(self):
        """Wait until the client goes away or the server is closed."""
        self.socket.settimeout(0.05)
        while not self.server.is_closed.is_set():
            try:
                if not self.socket.recv(65536):
                    return
            except socket.timeout:
                pass

    def reset(self):
        """End the connection with a reset, as a machine does that restarts."""
        # The two fields of `struct linger`, which are narrower in Windows.
        kind = "hh" if hasattr(socket, "SIO_RCVALL") else "ii"
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(kind, 1, 0))
        self.socket.close()


def answer(status, body=b"", **headers):
    """Answer with this status; 2xx takes the ping. Further requests of the connection get the same."""

    def fault(connection):
        request = connection.read_request()
        if request is None:
            return False
        if 200 <= status < 300:
            connection.accept(request)
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
        lines += ["{}: {}".format(name.replace("_", "-"), value) for name, value in headers.items()]
        connection.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return True

    return fault


def answer_late(delay_s):
    """Take the ping and say so after a while."""

    def fault(connection):
        request = connection.read_request()
        if request is None:
            return False
        connection.accept(request)
        connection.server.is_closed.wait(delay_s)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    return fault


def never_answer(connection):
    """Read the request and say nothing."""
    connection.read_request()
    connection.wait_for_end()


def never_read(connection):
    """Take the connection and neither read nor speak, not even TLS."""
    connection.server.is_closed.wait(PATIENCE_S)


never_read.is_before_tls = True  # type: ignore[attr-defined]


def one_byte_at_a_time(interval_s=1.0):
    """Answer byte by byte, without an end."""

    def fault(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nX-Padding: ")
        while not connection.server.is_closed.wait(interval_s):
            connection.send(b"x")

    return fault


def cut_in_handshake(connection):
    """Read the beginning of the TLS handshake, then reset."""
    connection.read_request(limit=16)
    connection.reset()


cut_in_handshake.is_before_tls = True  # type: ignore[attr-defined]


def reset_mid_body(connection):
    """Read the first bytes of the request, then reset."""
    connection.read_request(limit=64)
    connection.reset()


def garbage(connection):
    """Answer with what is no HTTP."""
    connection.read_request()
    connection.send(b"\x00\xffthis is no HTTP\r\n\r\n")


def nothing(connection):
    """Read the request, then end the connection."""
    connection.read_request()


def endless_header(connection):
    """Answer with a header without an end."""
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.send(b"x" * 65536)


def wrong_length(connection):
    """Take the ping, but send less of the answer than announced."""
    request = connection.read_request()
    connection.accept(request)
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")


def lost_answer(connection):
    """Take the ping, but end the connection before the answer."""
    request = connection.read_request()
    if request is not None:
        connection.accept(request)


def refusing_endpoint():
    """Return a server endpoint where nobody listens, and the socket that keeps the port so while it is there."""
    placeholder = socket.socket()
    placeholder.bind(("127.0.0.1", 0))
    return f"http://127.0.0.1:{placeholder.getsockname()[1]}", placeholder
