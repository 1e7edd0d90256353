"""Copies of pings for a collector of the developer, where `GLEAN_DEBUG_COLLECTOR` asks for them.

The thread that sends pings sends the copies as well. What a collector does or doesn't do changes nothing for the pings
themselves: a copy has two seconds, and after failures there are none for a while.
"""

from __future__ import annotations

from time import monotonic

from glean_py import _ffi
from glean_py._util import get_debug_collector
from glean_py.net import http_client
from glean_py.net.ping_uploader import PingUploadRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Set

    from glean_py.net.ping_upload_worker import PingRequest

# Where `python -m glean_py serve` listens.
_DEFAULT = "http://127.0.0.1:8125"
_COPY_S = 2.0
_MOST_PAUSE_S = 60.0
# How many document ids are remembered, so that what waits is copied once.
_MOST_REMEMBERED = 10_000
_WARNING, _DEBUG = 30, 10


class _Copies:
    """What this process has sent, and when it may try again."""

    sent: Set[str] = set()
    is_told = False
    pause_s = 0.0
    not_before = 0.0


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


def send_copy(ping: PingRequest) -> bool:
    """Send a copy of a ping, unless it was sent; return whether the collector has it, or none is wanted."""
    address = find_collector()
    if not address or ping.document_id in _Copies.sent:
        return True
    if monotonic() < _Copies.not_before:
        return False
    request = PingUploadRequest(ping, address)
    # The collector doesn't count it as one more arrival of the ping itself.
    request.headers = {**request.headers, "X-Debug-Copy": "1"}
    try:
        result = http_client.copies().post(request, _COPY_S, _COPY_S)
        status = getattr(result, "code", 0)
        problem = f"it answers {status}" if status >= 500 else ""
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        _Copies.pause_s = min(_MOST_PAUSE_S, max(1.0, _Copies.pause_s * 2))
        _Copies.not_before = monotonic() + _Copies.pause_s
        _ffi.log(_DEBUG, f"no copy of a ping was sent to the collector at {address}: {problem}")
        return False
    _Copies.pause_s = _Copies.not_before = 0.0
    if len(_Copies.sent) >= _MOST_REMEMBERED:
        _Copies.sent.clear()
    _Copies.sent.add(ping.document_id)
    return True


def send_copies(data_dir: str) -> int:
    """Send copies of what waits in a data directory.

    Returns:
        The milliseconds of the pause after a failure; 0 if all was sent.
    """
    path = data_dir.encode("utf-8", "surrogateescape")
    out = _ffi.ffi.new("GleanBuffer *")
    is_pausing = monotonic() < _Copies.not_before
    if not is_pausing and _ffi.is_status(_ffi.lib.glean_inspect(path, len(path), 1, out), _ffi.lib.GLEAN_OK):
        found = _ffi.take_json(out)
        for ping in [] if found["do_not_track"] else found["waiting"]:
            # One that is being removed has no body any more.
            if ping["body"] is not None and not send_copy(_to_request(ping)):
                break
    return max(0, int((_Copies.not_before - monotonic()) * 1000))


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
