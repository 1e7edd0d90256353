"""What the command line does with a data directory: status, show, send, purge."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List

from glean_py import _ffi

if TYPE_CHECKING:
    import argparse

    from glean_py.net.ping_uploader import CapablePingUploadRequest, UploadResult


class CommandError(Exception):
    """A command cannot be carried out; says why and what to do."""


def _status(given: argparse.Namespace) -> int:
    found = _inspect(given.directory, with_bodies=False)
    print(f"collection: {_describe_collection(found)}")
    print(f"client id: {found['client_id'] or 'none'}")
    waiting = found["waiting"]
    print(f"waiting: {_count(len(waiting), 'ping')}, {sum(ping['size_bytes'] for ping in waiting)} bytes")
    for ping in waiting:
        print(f"  {_at(ping['modified_ms'])}  {ping['document_id']}  {ping['ping']}")
    print(f"back-off: {_describe_backoff(found['backoff'])}")
    print("last results:" if found["results"] else "last results: none")
    for result in found["results"]:
        print(f"  {_at(result['at_ms'])}  {result['document_id']}  {result['ping']}  {result['result']}")
    if found["damage"]:
        print(f"damage: {found['damage']}")
    return 0


def _show(given: argparse.Namespace) -> int:
    print(json.dumps(_inspect(given.directory, with_bodies=True), indent=2))
    return 0


def _send(given: argparse.Namespace) -> int:
    from glean_py.config import Configuration
    from glean_py.net import ping_upload_worker as worker
    from glean_py.net.base_uploader import BaseUploader
    from glean_py.net.http_client import HttpClientUploader

    if _inspect(given.directory, with_bodies=False)["do_not_track"]:
        raise CommandError("nothing is sent, because DO_NOT_TRACK is set in the environment; unset it to send")

    class Telling(BaseUploader):
        """Sends as programs do, and prints what came of it."""

        def upload(self, capable_request: CapablePingUploadRequest) -> UploadResult:
            result = HttpClientUploader.upload(capable_request)
            request = capable_request.capable(lambda _: True)
            assert request is not None, "it can do everything"
            name = str(getattr(result, "code", None) or type(result).__name__.lower().replace("_", " "))
            print(f"{request.doc_id}  {request.url.split('/')[-3]}  {name}", flush=True)
            return result

    status = worker.open_directory(given.directory, "glean", {}, is_exclusive=True)
    if not _ffi.is_status(status, _ffi.lib.GLEAN_OK):
        raise CommandError(f"what waits in {given.directory} cannot be sent now: {_ffi.last_error()}")
    sending = Configuration(server_endpoint=given.endpoint, ping_uploader=Telling())
    is_woken = _ffi.ffi.new("uint8_t *")
    try:
        while True:
            task = worker.send_waiting(sending, lambda: False)
            if task.is_done():
                break
            _ffi.lib.glean_upload_wait(task.time, is_woken)
    finally:
        _ffi.finish(_ffi.lib.glean_upload_close())
    found = _inspect(given.directory, with_bodies=False)
    left, pause_ms = len(found["waiting"]), found["backoff"]["not_before_ms"]
    print(
        f"{_count(left, 'ping')} left"
        + (f"; after failures there is a pause until {_at(pause_ms)}" if pause_ms else "")
    )
    return 1 if left else 0


def _purge(given: argparse.Namespace) -> int:
    _inspect(given.directory, with_bodies=False)
    removed = _ffi.ffi.new("uint64_t *")
    path = _to_path(given.directory)
    _check(_ffi.lib.glean_purge(path, len(path), removed), given.directory)
    print(f"{_count(removed[0], 'ping')} deleted")
    return 0


COMMANDS: Dict[str, Callable[[argparse.Namespace], int]] = {
    "status": _status,
    "show": _show,
    "send": _send,
    "purge": _purge,
}


def _inspect(directory: os.PathLike[str], *, with_bodies: bool) -> Any:
    """Return what is known of a data directory; nothing is changed there."""
    out = _ffi.ffi.new("GleanBuffer *")
    path = _to_path(directory)
    _check(_ffi.lib.glean_inspect(path, len(path), 1 if with_bodies else 0, out), directory)
    return _ffi.take_json(out)


def _to_path(directory: os.PathLike[str]) -> bytes:
    return os.path.abspath(directory).encode("utf-8", "surrogateescape")


def _check(status: int, directory: os.PathLike[str]) -> None:
    """Raise a `CommandError` unless a call worked."""
    try:
        if _ffi.check(status):
            return
    except RuntimeError as error:
        raise CommandError(f"{directory} cannot be read: {error}") from None
    raise CommandError(f"{directory} is no data directory of Glean; give the data_dir that the program has")


def _describe_collection(found: Dict[str, Any]) -> str:
    if found["do_not_track"]:
        return "off, by DO_NOT_TRACK in the environment"
    words = {True: "on, by the program", False: "off, by the program", None: "unknown, the program never started"}
    return words[found["collection_enabled"]]


def _describe_backoff(backoff: Dict[str, Any]) -> str:
    if not backoff["failures"]:
        return "none"
    failures = _count(backoff["failures"], "failure")
    if backoff["not_before_ms"] is None:
        return f"{failures} so far"
    return f"{failures}, next attempt at {_at(backoff['not_before_ms'])}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _at(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000))


__all__: List[str] = ["COMMANDS", "CommandError"]
