"""The uploader that programs have by default: HTTP and HTTPS with the standard library alone.

Modules for the network are imported when the first ping is sent: they take longer than everything else here.
"""

from __future__ import annotations

import os
import sys
from io import BufferedReader, RawIOBase
from time import monotonic, time

from glean_py import _ffi
from glean_py._util import get_debug_collector, native_thread
from glean_py.net.base_uploader import BaseUploader
from glean_py.net.ping_uploader import UploadResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from http.client import HTTPConnection, HTTPResponse
    from typing import Any, Callable, Dict, List, Optional, Set, Tuple
    from urllib.parse import SplitResult

    from glean_py.net.ping_uploader import CapablePingUploadRequest, PingUploadRequest

__all__ = ["HttpClientUploader"]

_PORTS = {"http": 80, "https": 443}
# What is read of an answer so that its connection can be used again; nobody needs the text.
_MOST_ANSWER_BYTES = 65536
# How `ssl` calls the end of a connection, by name: the module is imported later.
_TLS_ENDS = ("SSLEOFError", "SSLZeroReturnError")
_DEBUG, _WARNING = 10, 30

# What is imported where it is used, all of it. What others need comes before them: the end of a program waits for one.
_NEEDED = (
    *("base64", "random", "socket", "urllib.parse", "email.utils", "email.parser", "encodings.idna", "ssl"),
    *("http.client", "json", "logging", "tempfile", "urllib.request", "truststore"),
)


class HttpClientUploader(BaseUploader):
    """Sends a ping as one POST request.

    Proxies come from the environment, and on Windows and macOS from the system; `NO_PROXY` is honoured. HTTPS trusts
    the authorities that the system trusts: those of `truststore` if that package is installed, else of OpenSSL.
    Redirects are not followed.
    """

    # Of connecting, of a TLS handshake, and of each wait for the server, in seconds.
    _DEFAULT_TIMEOUT: float = 10
    # Of a whole request. It ends before another process may take the ping over, 60 s after it was begun.
    _TOTAL_TIMEOUT: float = 30

    @classmethod
    def upload(cls, capable_request: CapablePingUploadRequest) -> UploadResult:
        """Send one ping and return what came of it; never raises for what a network or a server does.

        A ping that needs a capability is refused. What has neither scheme nor host, because no server endpoint is set,
        stays; another scheme than `http` and `https`, or a malformed address, can never be delivered.
        """
        request = capable_request.capable(lambda capabilities: not capabilities)
        if request is None:
            return UploadResult.INCAPABLE(0)
        try:
            return current().post(request, cls._DEFAULT_TIMEOUT, cls._TOTAL_TIMEOUT)
        except _UnusableAddress as error:
            _ffi.log(_WARNING, f"pings cannot be sent: {error}")
            return UploadResult.UNRECOVERABLE_FAILURE(0)
        except Exception as error:
            # DNS, sockets, TLS, HTTP, proxies, and whatever a module of the host program has patched in.
            current().explain(error)
            return UploadResult.RECOVERABLE_FAILURE(0)


class _UnusableAddress(Exception):
    """A request can never be sent to this address."""


class _Stopped(OSError):
    """The connection was cut by `stop`."""


class _Transport:
    """Sends requests one after the other over one connection that is kept open in between.

    `stop` may be called from any thread. What a fork copies is dropped unused: see `after_fork`.
    """

    def __init__(self, *, uses_proxies: bool = True) -> None:
        self._uses_proxies = uses_proxies
        # Held for moments only, never while something waits for the network.
        self._lock = native_thread("allocate_lock")()
        self._sockets: Set[_DeadlineSocket] = set()
        self._is_stopped = False
        self._kept: Optional[Tuple[Tuple[Any, ...], HTTPConnection]] = None
        self._context: Optional[ssl.SSLContext] = None
        self.is_loading = False
        self._is_distrust_logged = False
        self.is_forked = False
        self.pid = os.getpid()

    def post(self, request: PingUploadRequest, phase_s: float, total_s: float) -> UploadResult:
        """Send a request and return the answer, an `HTTP_STATUS`; `phase_s` and `total_s` limit it.

        Raises:
            _UnusableAddress: it cannot be sent to such an address.
            OSError, http.client.HTTPException: it was not delivered, or nobody knows.
        """
        from urllib.parse import urlsplit

        try:
            address = urlsplit(request.url)
            scheme, host, port = address.scheme, address.hostname, address.port
        except ValueError:
            # What Python says of it may have a part of a password.
            raise _UnusableAddress("the server endpoint is no address") from None
        if not scheme and not host and address.path.startswith("/"):
            raise OSError("no server endpoint is set")
        if scheme not in _PORTS or not host:
            raise _UnusableAddress(f"the server endpoint has to begin with https:// or http://, not {scheme}://")
        proxy = self._find_proxy(scheme, host, port) if self._uses_proxies else None
        deadline = _Deadline(phase_s, monotonic() + total_s)
        target = (address.path or "/") + (f"?{address.query}" if address.query else "")
        headers = dict(request.headers)
        if address.username is not None:
            headers["Authorization"] = _basic(address)
        if proxy is not None and scheme == "http":
            target = f"http://{address.netloc.rpartition('@')[2]}{target}"
            if proxy.username is not None:
                headers["Proxy-Authorization"] = _basic(proxy)
        key = (scheme, host, port, None if proxy is None else proxy.netloc)
        connection = self._take_kept(key)
        if connection is not None:
            connection.sock.deadline = deadline  # type: ignore[union-attr]  # It is one of ours.
            try:
                return self._exchange(key, connection, target, request.body, headers)
            except OSError as error:
                # A server may end a connection that waits, which shows when it is used; that is no failure.
                if not isinstance(error, ConnectionError) and type(error).__name__ not in _TLS_ENDS:
                    raise
        return self._exchange(key, self._connect(key, proxy, deadline), target, request.body, headers)

    def _exchange(
        self, key: Tuple[Any, ...], connection: HTTPConnection, target: str, body: bytes, headers: Dict[str, str]
    ) -> UploadResult:
        is_reusable = False
        try:
            connection.request("POST", target, body=body, headers=headers)
            response = connection.getresponse()
            result = UploadResult.HTTP_STATUS(response.status, _retry_after_s(response))
            is_reusable = self._finish(response)
            return result
        finally:
            if is_reusable:
                self._kept = (key, connection)
            else:
                connection.close()

    def _finish(self, response: HTTPResponse) -> bool:
        """Read what is left of an answer; tell whether the connection can be used again."""
        try:
            response.read(_MOST_ANSWER_BYTES)
        except Exception:
            # The status says what came of the ping, whatever follows it.
            return False
        return response.isclosed() and not response.will_close and not self._is_stopped

    def _take_kept(self, key: Tuple[Any, ...]) -> Optional[HTTPConnection]:
        kept, self._kept = self._kept, None
        if kept is None:
            return None
        if kept[0] == key:
            return kept[1]
        kept[1].close()
        return None

    def _connect(self, key: Tuple[Any, ...], proxy: Optional[SplitResult], deadline: _Deadline) -> HTTPConnection:
        """Connect to the server, or through a proxy to it."""
        from http.client import HTTPConnection

        scheme, host, port, _ = key
        first = (host, port or _PORTS[scheme])
        if proxy is not None:
            if proxy.scheme != "http":
                raise OSError(f"a proxy with {proxy.scheme}:// isn't supported, only http://")
            first = (proxy.hostname, proxy.port or 80)
        sock = self._open(first, deadline)
        try:
            if scheme == "https":
                if proxy is not None:
                    _tunnel(sock, host, port or _PORTS[scheme], proxy)
                sock.start_tls(self._tls_context(), host)
        except BaseException:
            sock.close()
            raise
        connection = HTTPConnection(host, port or _PORTS[scheme])
        # Writes the port of the header `Host` only where it isn't the usual one.
        connection.default_port = _PORTS[scheme]
        connection.auto_open = 0
        connection.sock = sock
        return connection

    def _open(self, address: Tuple[str, int], deadline: _Deadline) -> _DeadlineSocket:
        # It has no deadline of its own but that of the system's resolver.
        import socket

        problem: Optional[OSError] = None
        for family, kind, protocol, _, target in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            sock = _DeadlineSocket(self, socket.socket(family, kind, protocol), deadline)
            try:
                self._add(sock)
                sock.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(target)
                return sock
            except OSError as error:
                problem = error
                sock.close()
        raise problem or OSError(f"{address[0]} has no address")

    def _tls_context(self) -> ssl.SSLContext:
        """Return what all connections verify servers with; made once, because making it is what crashes at exit."""
        if self._context is None:
            self.is_loading = True
            try:
                self._context = _make_context()
            finally:
                self.is_loading = False
        return self._context

    def _find_proxy(self, scheme: str, host: str, port: Optional[int]) -> Optional[SplitResult]:
        from urllib import request
        from urllib.parse import urlsplit

        # What macOS offers for it crashes in a forked process.
        is_environment_alone = sys.platform == "darwin" and self.is_forked
        proxies: Dict[str, str] = request.getproxies_environment() if is_environment_alone else request.getproxies()
        is_bypassed = getattr(request, "proxy_bypass_environment" if is_environment_alone else "proxy_bypass")
        found = proxies.get(scheme) or proxies.get("all")
        where = f"[{host}]" if ":" in host else host
        if not found:
            return None
        with_port = f"{where}:{port or _PORTS[scheme]}"
        for name in (where, with_port):
            if is_bypassed(name):
                return None
        return urlsplit(found if "://" in found else f"http://{found}")

    def _add(self, sock: _DeadlineSocket) -> None:
        with self._lock:
            if self._is_stopped:
                raise _Stopped("uploads were stopped")
            self._sockets.add(sock)

    def _close(self, sock: _DeadlineSocket) -> None:
        # Under the lock: `stop` must not shut down whatever gets the same descriptor next.
        with self._lock:
            self._sockets.discard(sock)
            sock.sock.close()

    def stop(self) -> None:
        """Cut every connection and let no new one begin, until `start`; a thread that waits for one wakes up."""
        with self._lock:
            self._is_stopped = True
            for sock in self._sockets:
                sock.shut_down()

    def start(self) -> None:
        """Allow connections."""
        self._is_stopped = False

    def rest(self) -> None:
        """Close the connection that is kept open; called by the thread that sends, when there is nothing to send."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept[1].close()

    def close_copies(self) -> None:
        """Close the copies of sockets that a forked process has, right after the fork.

        Not when they are collected: by then the program may have opened something else under their numbers.
        """
        for sock in self._sockets:
            try:
                os.close(sock.sock.detach())
            except OSError:
                pass

    def explain(self, error: Exception) -> None:
        """Log why a ping was not sent; a certificate that isn't trusted as a warning, once, as somebody has to act."""
        if isinstance(error, _Stopped):
            return
        kind = type(error).__name__
        if kind == "SSLCertVerificationError" and not self._is_distrust_logged:
            self._is_distrust_logged = True
            _ffi.log(_WARNING, f"pings wait, because the certificate of the server isn't trusted: {error}")
        else:
            _ffi.log(_DEBUG, f"a ping was not sent: {kind}: {error}")


class _Deadline:
    """Two limits of a request: of each wait, and of everything."""

    def __init__(self, phase_s: float, end: float) -> None:
        self._phase_s = phase_s
        self._end = end

    def remaining_s(self) -> float:
        """Return how long the next wait may take.

        Raises:
            OSError: there is no time left.
        """
        rest = self._end - monotonic()
        if rest <= 0:
            raise OSError("the request took too long altogether")
        return min(rest, self._phase_s)


class _DeadlineSocket:
    """A socket whose every wait ends at a deadline; as much of one as `http.client` uses."""

    def __init__(self, transport: _Transport, sock: Any, deadline: _Deadline) -> None:
        self._transport = transport
        self.sock = sock
        self.deadline = deadline

    def connect(self, address: Any) -> None:
        """Connect."""
        self._wait()
        self.sock.connect(address)

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Speak TLS from here on, with a server that proves to be `host`."""
        self._wait()
        wrapped = context.wrap_socket(self.sock, server_hostname=host, do_handshake_on_connect=False)
        self.sock = wrapped
        if self._transport._is_stopped:
            raise _Stopped("uploads were stopped")
        self._wait()
        wrapped.do_handshake()

    def sendall(self, data: Any) -> None:
        """Send everything."""
        view = memoryview(data)
        while view:
            self._wait()
            view = view[self.sock.send(view[:16384]) :]

    def recv_into(self, buffer: Any) -> int:
        """Receive what is there."""
        self._wait()
        return int(self.sock.recv_into(buffer))

    def makefile(self, mode: str) -> Any:
        """Return a reader, as `http.client` wants one for an answer."""
        return BufferedReader(_Reader(self))

    def close(self) -> None:
        """Close it."""
        self._transport._close(self)

    def shut_down(self) -> None:
        """Wake up who waits for it."""
        import _socket

        try:
            # The bare descriptor: a thread is inside of what TLS, or gevent, made of it.
            bare = _socket.socket(fileno=self.sock.fileno())
        except (OSError, ValueError):
            # It has no descriptor while TLS takes it over; `start_tls` looks for a stop right after.
            return
        try:
            bare.shutdown(_socket.SHUT_RDWR)
        except OSError:
            pass
        finally:
            bare.detach()

    def _wait(self) -> None:
        """Make the next wait end in time."""
        self.sock.settimeout(self.deadline.remaining_s())
        if self._transport._is_stopped:
            raise _Stopped("uploads were stopped")


class _Reader(RawIOBase):
    """What a `BufferedReader` reads from; closing it leaves the socket open."""

    def __init__(self, sock: _DeadlineSocket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Receive what is there."""
        return self._sock.recv_into(buffer)


def _tunnel(sock: _DeadlineSocket, host: str, port: int, proxy: SplitResult) -> None:
    """Ask a proxy for a connection to a server.

    Raises:
        OSError: it refuses.
    """
    from http.client import HTTPResponse

    name = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii")
    lines = [f"CONNECT {name}:{port} HTTP/1.1", f"Host: {name}:{port}"]
    if proxy.username is not None:
        lines.append(f"Proxy-Authorization: {_basic(proxy)}")
    sock.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    response = HTTPResponse(sock, method="CONNECT")  # type: ignore[arg-type]
    response.begin()
    if response.status != 200:
        raise OSError(f"the proxy refuses to connect to the server: {response.status} {response.reason}")


def _basic(address: SplitResult) -> str:
    """Return the header that proves the user of an address."""
    from base64 import b64encode
    from urllib.parse import unquote

    user = f"{unquote(address.username or '')}:{unquote(address.password or '')}"
    return f"Basic {b64encode(user.encode()).decode('ascii')}"


def _make_context() -> ssl.SSLContext:
    import ssl

    try:
        import truststore  # type: ignore[import-not-found,unused-ignore]

        # On Windows and macOS an older one verifies before the handshake, when there is nothing to verify yet.
        is_usable = sys.platform == "linux" or hasattr(truststore.SSLContext, "sslsocket_class")
    except Exception:
        # It isn't installed, or doesn't serve this Python.
        is_usable = False
    if not is_usable:
        return ssl.create_default_context()
    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return context


def _retry_after_s(response: HTTPResponse) -> Optional[float]:
    """Return how long a server wants to be left alone, in seconds; it says seconds or a date."""
    text = response.getheader("Retry-After", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    from email.utils import mktime_tz, parsedate_tz

    try:
        return max(0.0, mktime_tz(parsedate_tz(text)) - time())  # type: ignore[arg-type]
    except Exception:
        # No date, or one that no clock has.
        return None


class _OfProcess:
    """The transports of this process: one for pings, one for copies of them."""

    current = _Transport()
    copies = _Transport(uses_proxies=False)
    # What forks left. It is kept: a thread of the parent may have been in the middle of it, and a descriptor that is
    # closed when it is collected may be somebody else's by then.
    left: List[_Transport] = []

    @classmethod
    def renew(cls) -> None:
        """Make them for a process that was forked."""
        cls.left += [cls.current, cls.copies]
        cls.current, cls.copies = _Transport(), _Transport(uses_proxies=False)
        cls.current.is_forked = cls.copies.is_forked = True

    @classmethod
    def after_fork(cls) -> None:
        """Leave the connections to the parent."""
        for transport in (cls.current, cls.copies):
            transport.close_copies()
        cls.renew()


def current() -> _Transport:
    """Return the transport of this process for pings."""
    if _OfProcess.current.pid != os.getpid():
        # A fork in C, without Python's hooks.
        _OfProcess.renew()
    return _OfProcess.current


def copies() -> _Transport:
    """Return the transport of this process for copies of pings."""
    current()
    return _OfProcess.copies


def start() -> None:
    """Allow connections."""
    current().start()
    copies().start()


def load(is_stopped: Callable[[], bool] = bool) -> bool:
    """Import what a request may need, so that none imports while it is on its way; return whether all is there."""
    for name in _NEEDED:
        if is_stopped():
            # Whoever ends the program needs the interpreter for himself.
            return False
        try:
            __import__(name)
        except Exception:
            # Not installed, or not for this Python. Whoever cannot do without it says so.
            pass
    if get_debug_collector():
        from glean_py.net import debug_collector

        debug_collector.find_collector()
    return True


def stop() -> None:
    """Cut every connection, see `_Transport.stop`."""
    current().stop()
    copies().stop()


def is_loading() -> bool:
    """Return whether OpenSSL reads authorities now, which nothing can cut short."""
    return current().is_loading or copies().is_loading


def rest() -> None:
    """Close connections that are kept open, see `_Transport.rest`."""
    current().rest()
    copies().rest()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_OfProcess.after_fork)
