"""Copies of pings for a collector of the developer, where `GLEAN_DEBUG_COLLECTOR` asks for them.

The thread that sends pings sends the copies as well. What a collector does or doesn't do changes nothing for the pings
themselves: a copy has two seconds, all copies before the next ping have little more, and after failures there are none
for a while.
"""

from __future__ import annotations

from time import monotonic

from glean_py import _ffi
from glean_py._util import get_debug_collector
from glean_py.net import http_client
from glean_py.net.ping_uploader import PingUploadRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Set

    from glean_py.net.ping_upload_worker import PingRequest

# Where `python -m glean_py serve` listens.
_DEFAULT = "http://127.0.0.1:8125"
_COPY_S = 2.0
_MOST_PAUSE_S = 60.0
# How many document ids are remembered, so that what waits is copied once.
_MOST_REMEMBERED = 10_000
# How many pings are kept for their copies after they were sent.
_MOST_LATE = 250
_WARNING, _DEBUG = 30, 10


class _Copies:
    """What this process has sent, and when it may try again."""

    sent: Set[str] = set()
    # Pings that were sent, and had no time for a copy.
    late: Dict[str, PingRequest] = {}
    is_told = False
    # Of the pause: the collector it is for, its length, and when it ends.
    address = ""
    pause_s = 0.0
    not_before = 0.0

    @classmethod
    def is_pausing(cls, address: str) -> bool:
        """Return whether the collector at an address is left alone after a failure; one with another address is not."""
        if address != cls.address:
            cls.address = address
            cls.pause_s = cls.not_before = 0.0
        return monotonic() < cls.not_before


def find_collector() -> str:
    """Return where copies go; empty if nowhere. An address that is neither of this machine nor https is told once."""
    wanted = get_debug_collector()
    address = _DEFAULT if wanted == "on" else wanted.rstrip("/")
    if not address or _is_safe(address):
        return address
    if not _Copies.is_told:
        _Copies.is_told = True
        _ffi.log(
            _WARNING,
            "GLEAN_DEBUG_COLLECTOR has to be 1, http:// with an address of this machine or https://; nothing is copied",
        )
    return ""


def _is_safe(address: str) -> bool:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme != "http" or not host:
        return parts.scheme == "https" and bool(host)
    if host == "localhost":
        return True
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Turn:
    """The time that copies may take before the pings themselves go on.

    Args:
        is_stopped: asked before each copy; if true, there is no time any more.
        limit_s: no copy begins after copies took so many seconds.
    """

    def __init__(self, is_stopped: Callable[[], bool], limit_s: float) -> None:
        self._is_stopped = is_stopped
        self.rest_s = limit_s

    def is_over(self) -> bool:
        """Return whether no copy may begin any more."""
        return self.rest_s <= 0 or self._is_stopped()


def send_copy(ping: PingRequest, turn: Turn) -> bool:
    """Send a copy of a ping, unless it was sent; return whether the collector has it, or none is wanted."""
    address = find_collector()
    if not address or ping.document_id in _Copies.sent:
        return True
    if _Copies.is_pausing(address) or turn.is_over():
        return False
    request = PingUploadRequest(ping, address)
    # The collector doesn't count it as one more arrival of the ping itself.
    request.headers = {**request.headers, "X-Debug-Copy": "1"}
    begin = monotonic()
    try:
        result = http_client.copies().post(request, _COPY_S, _COPY_S)
        status = getattr(result, "code", 0)
        problem = f"it answers {status}" if status >= 500 else ""
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    turn.rest_s -= monotonic() - begin
    if problem:
        _Copies.pause_s = min(_MOST_PAUSE_S, max(1.0, _Copies.pause_s * 2))
        _Copies.not_before = monotonic() + _Copies.pause_s
        # Nothing is kept for a collector that may not be there.
        _Copies.late.clear()
        _ffi.log(_DEBUG, f"no copy of a ping was sent to the collector at {address}: {problem}")
        return False
    _Copies.pause_s = _Copies.not_before = 0.0
    if len(_Copies.sent) >= _MOST_REMEMBERED:
        _Copies.sent.clear()
    _Copies.sent.add(ping.document_id)
    return True


def send_copy_or_keep(ping: PingRequest, turn: Turn) -> None:
    """Send a copy of a ping that is sent next; if there is no time for it, `send_copies` does so later."""
    if not send_copy(ping, turn) and monotonic() >= _Copies.not_before and len(_Copies.late) < _MOST_LATE:
        _Copies.late[ping.document_id] = ping


def send_copies(data_dir: str, turn: Turn) -> int:
    """Send copies of what waits in a data directory, and of what was sent without one.

    Returns:
        The milliseconds until there is more to do: of the pause after a failure, or 1 if the time was up; 0 if all was
        sent.
    """
    is_all = not _Copies.is_pausing(find_collector()) and not turn.is_over() and _send_all(data_dir, turn)
    return 0 if is_all else max(1, int((_Copies.not_before - monotonic()) * 1000))


def _send_all(data_dir: str, turn: Turn) -> bool:
    """Send copies until one fails or the time is up; return whether all were sent."""
    for ping in list(_Copies.late.values()):
        if not send_copy(ping, turn):
            return False
        _Copies.late.pop(ping.document_id, None)
    path = data_dir.encode("utf-8", "surrogateescape")
    out = _ffi.ffi.new("GleanBuffer *")
    if _ffi.is_status(_ffi.lib.glean_inspect(path, len(path), 1, out), _ffi.lib.GLEAN_OK):
        found = _ffi.take_json(out)
        for waiting in [] if found["do_not_track"] else found["waiting"]:
            # One that is being removed has no body any more.
            if waiting["body"] is not None and not send_copy(_to_request(waiting), turn):
                return False
    return True


def _to_request(ping: Dict[str, Any]) -> PingRequest:
    import json

    from glean_py.net.ping_upload_worker import PingRequest

    return PingRequest(
        document_id=ping["document_id"],
        path=ping["path"],
        body=json.dumps(ping["body"]).encode("ascii"),
        headers=ping["headers"],
        body_has_info_sections=True,
        ping_name=ping["ping"],
        uploader_capabilities=[],
    )
