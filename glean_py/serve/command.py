"""The commands `serve` and `tail`."""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional, Tuple
from urllib.parse import urlsplit

from glean_py.serve import DEFAULT_PORT

if TYPE_CHECKING:
    import argparse

_ASK_S = 5.0
# Of the answer of what may be no collector.
_MAX_STATUS_BYTES = 2**20
# The collector sends something every 15 s.
_SILENCE_S = 60.0


class CommandError(Exception):
    """A command cannot be carried out; says why and what to do."""


def serve(given: argparse.Namespace) -> int:
    """Serve until the user interrupts.

    Raises:
        CommandError: it cannot begin.
    """
    from glean_py.serve.collector import Collector
    from glean_py.serve.registry import RegistryError
    from glean_py.serve.store import StoreError

    store = "" if given.store is None else os.fspath(given.store)
    try:
        collector = Collector(
            host=given.host, port=given.port, keep=given.keep, store=store, registry=given.registry or ()
        )
    except (RegistryError, StoreError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(_explain_port(given.host, given.port, error)) from None
    try:
        _greet(collector)
        if given.open:
            threading.Thread(target=_open_browser, args=(collector.endpoint,), daemon=True).start()
        collector.serve()
    except KeyboardInterrupt:
        print("\nended; the port is free again", flush=True)
    finally:
        collector.close()
    return 0


def _greet(collector: Any) -> None:
    own = collector.endpoint == f"http://127.0.0.1:{DEFAULT_PORT}"
    print(f"The page of this collector: {collector.endpoint}/   (Ctrl-C ends it)")
    print(f"  any program with glean_py:  GLEAN_DEBUG_COLLECTOR={'1' if own else collector.endpoint}")
    print(f'  any program with Glean:     server_endpoint="{collector.endpoint}"')
    if collector.store.set_aside:
        print(
            f"warning: {collector.store.path} was damaged; it is {collector.store.set_aside} now, and a new one begins"
        )
    if collector.checker.missing:
        print(f"note: {collector.checker.missing}")
    if not collector.is_local:
        print("warning: other machines can reach it, and read every ping")
    sys.stdout.flush()


def _open_browser(address: str) -> None:
    import webbrowser

    try:
        is_open = webbrowser.open(address)
    except webbrowser.Error:
        is_open = False
    if not is_open:
        print(f"warning: no browser was found here; open {address}/ in one", file=sys.stderr, flush=True)


def _explain_port(host: str, port: int, error: OSError) -> str:
    import errno

    # Windows says of a port that somebody has for himself that it is forbidden.
    if error.errno not in (errno.EADDRINUSE, errno.EACCES) or (error.errno == errno.EACCES and port < 1024):
        return f"{host}:{port} cannot be listened on: {error.strerror or error}; choose another --host or --port"
    return (
        f"port {port} is taken by {_owner(host, port)}. Next: python -m glean_py serve --port {_free_port(host, port)}"
    )


def _owner(host: str, port: int) -> str:
    try:
        status = _ask(host, port, "/api/status", _MAX_STATUS_BYTES)
    except (OSError, ValueError, http.client.HTTPException):
        found = _process_of(port)
        return f"process {found[0]} ({found[1]})" if found else "another program"
    if isinstance(status, dict) and status.get("collector") == "glean_py":
        return f"another collector, process {status.get('process')}: see http://{host}:{port}/"
    return "another program"


def _process_of(port: int) -> Optional[Tuple[int, str]]:
    """Return number and name of the process that listens on a port, where Linux tells it."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
                sockets.add(f"socket:[{fields[9]}]")
    for file in Path("/proc").glob("[0-9]*/fd/*") if sockets else ():
        try:
            if os.readlink(str(file)) in sockets:
                process = file.parents[1]
                return int(process.name), (process / "comm").read_text().strip()
        except OSError:
            # It was closed, its process ended, or is somebody else's.
            continue
    return None


def _free_port(host: str, port: int) -> int:
    import socket

    for other in range(port + 1, min(port + 100, 65536)):
        with socket.socket() as probe:
            try:
                probe.bind((host, other))
            except OSError:
                continue
            return other
    return 0


def _ask(host: str, port: int, path: str, most: Optional[int] = None) -> Any:
    """Return the JSON that is answered, of which `most` bytes are read.

    Raises:
        OSError, http.client.HTTPException: there is no answer.
        ValueError: it is no JSON.
    """
    connection = http.client.HTTPConnection(host, port, timeout=_ASK_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return json.loads(response.read(most))
    finally:
        connection.close()


def tail(given: argparse.Namespace) -> int:
    """Print the pings of a collector as lines, those that are there and those that come.

    Raises:
        CommandError: there is no collector, or it ended.
    """
    url = urlsplit(given.url)
    try:
        host, port = url.hostname or "", url.port or 80
    except ValueError:
        host, port = "", 0
    if url.scheme != "http" or not host:
        raise CommandError(f"{given.url} is no address of a collector, as http://127.0.0.1:{DEFAULT_PORT} is one")
    is_found = False
    connection: Optional[http.client.HTTPConnection] = None
    try:
        status = _ask(host, port, "/api/status", _MAX_STATUS_BYTES)
        if status.get("collector") != "glean_py":
            raise CommandError(f"what answers at {given.url} is no collector of glean_py")
        is_found = True
        found = _ask(host, port, "/api/pings?bodies=0")
        for ping in found["pings"]:
            _print(ping, given)
        connection = http.client.HTTPConnection(host, port, timeout=_SILENCE_S)
        connection.request("GET", f"/api/events?since={found['position']}")
        for kind, content in _events(connection.getresponse()):
            if kind == "ping":
                _print(content, given)
            elif kind == "refused":
                print(f"refused with {content['status']}: {_plain(content['reason'])}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Whoever read this has enough. Python would complain once more when it closes its output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, KeyError, AttributeError, http.client.HTTPException) as error:
        if is_found and not isinstance(error, (OSError, http.client.HTTPException)):
            what = f"{type(error).__name__}: {error}"
            raise CommandError(f"what the collector at {given.url} answers cannot be understood ({what})") from None
        if is_found:
            raise CommandError("the collector is gone") from None
        raise CommandError(
            f"no collector answers at {given.url} ({error}). Next: python -m glean_py serve"
            + ("" if port == DEFAULT_PORT else f" --port {port}")
        ) from None
    finally:
        if connection is not None:
            connection.close()
    raise CommandError("the collector is gone")


def _events(response: Any) -> Iterator[Tuple[str, Any]]:
    """Return server-sent events, as their kinds and contents."""
    kind = ""
    for line in response:
        name, _, value = line.decode("utf-8").rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def _print(ping: Dict[str, Any], given: argparse.Namespace) -> None:
    if given.name and ping["name"] != given.name:
        return
    if given.json:
        print(json.dumps(ping), flush=True)
        return
    violations = ping["violations"]
    parts = [
        time.strftime("%H:%M:%S", time.localtime(ping["arrived_ms"] / 1000)),
        f"#{ping['number']}",
        f"{ping['application']}/{ping['name']}",
        "" if ping["seq"] is None else f"seq {ping['seq']}",
        ping["reason"],
        f"{ping['metrics']} metrics, {ping['size']} bytes",
        f"client {ping['client_id'][:8]}" if ping["client_id"] else "no client",
        f"tag {ping['tag']}" if ping["tag"] else "",
        "not checked" if violations is None else f"{len(violations)} violations" if violations else "valid",
        f"arrived {ping['times']} times" if ping["times"] > 1 else "",
    ]
    print("  ".join(_plain(part) for part in parts if part), flush=True)
    for violation in violations or ():
        print(f"    {_plain(violation['place'])}: {_plain(violation['what'])}", flush=True)


def _plain(text: str) -> str:
    """Return a text that a terminal prints and doesn't obey, in whatever encoding it has."""
    encoding = sys.stdout.encoding or "ascii"
    printable = re.sub(r"[^ -~\xa1-\U0010ffff]", lambda found: repr(found.group())[1:-1], text)
    return printable.encode(encoding, "backslashreplace").decode(encoding)
