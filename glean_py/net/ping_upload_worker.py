"""Sending what waits: the loop between the core, which says what is next, and the uploader of the program."""

from __future__ import annotations

import enum
import os

from glean_py import _ffi
from glean_py._bases import Value
from glean_py._json_text import flag, integer, optional, quote, to_object
from glean_py._util import get_debug_collector
from glean_py.net import http_client
from glean_py.net.http_client import HttpClientUploader
from glean_py.net.ping_uploader import CapablePingUploadRequest, PingUploadRequest, UploadResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple, Type, Union

    from glean_py._process_dispatcher import _SyncWorkWrapper
    from glean_py.config import Configuration

__all__ = ["CapablePingUploadRequest", "PingUploadWorker"]

FOREVER_MS = 2**64 - 1
"""What the core says when nothing changes by itself."""
_AFTER_A_BREAK_MS = 60_000
# How long copies for a collector of the developer hold back pings that have a server.
_COPIES_S = 2.0
# How often a process of its own opens a directory at most: what it cannot send is there each time.
_LOOKS = 3
NO_ENDPOINT = "-"
"""Stands for the server endpoint where none is needed, as for an uploader of the program's own."""
_ERROR = 40


class PingRequest(Value):
    """A ping to be sent, as the core hands it out."""

    def __init__(
        self,
        *,
        document_id: str,
        path: str,
        body: Union[bytes, List[int]],
        headers: Dict[str, str],
        body_has_info_sections: bool,
        ping_name: str,
        uploader_capabilities: List[str],
    ) -> None:
        self.document_id = document_id
        self.path = path
        self.body = body
        self.headers = headers
        self.body_has_info_sections = body_has_info_sections
        self.ping_name = ping_name
        self.uploader_capabilities = uploader_capabilities


class PingUploadTask(Value):
    """What is to be done next: an object of one of the classes `UPLOAD`, `WAIT` and `DONE`."""

    UPLOAD: Type[_Upload]
    WAIT: Type[_Wait]
    DONE: Type[_Done]

    def is_upload(self) -> bool:
        """Return whether there is a ping to send."""
        return isinstance(self, _Upload)

    def is_wait(self) -> bool:
        """Return whether to ask again later."""
        return isinstance(self, _Wait)

    def is_done(self) -> bool:
        """Return whether there is nothing to send."""
        return isinstance(self, _Done)

    is_UPLOAD = is_upload
    is_WAIT = is_wait
    is_DONE = is_done


class _Upload(PingUploadTask):
    def __init__(self, request: PingRequest) -> None:
        self.request = request


class _Wait(PingUploadTask):
    """`time` is in milliseconds."""

    def __init__(self, time: int) -> None:
        self.time = time


class _Done(PingUploadTask):
    """`time` is in milliseconds: when there may be something to send without a new ping."""

    def __init__(self, unused: int = 0, time: int = FOREVER_MS) -> None:
        self.unused = unused
        self.time = time


PingUploadTask.UPLOAD, PingUploadTask.WAIT, PingUploadTask.DONE = _Upload, _Wait, _Done


class UploadTaskAction(enum.Enum):
    """Whether to ask for the next task after a result."""

    NEXT = 0
    END = 1


def get_upload_task(endpoint: str) -> Union[_Upload, _Wait, _Done]:
    """Return what is to be done next. A ping that is handed out is this process's until its result is reported.

    Args:
        endpoint: where pings are going; if it is empty, there is nothing to do.
    """
    task = _ffi.ffi.new("GleanUploadTask *")
    server = endpoint.encode("utf-8", "replace")
    try:
        _ffi.finish(_ffi.lib.glean_upload_next(server, len(server), task))
        if task.kind == _ffi.lib.GLEAN_UPLOAD_WAIT:
            return _Wait(int(task.ms))
        if task.kind != _ffi.lib.GLEAN_UPLOAD_SEND:
            return _Done(0, int(task.ms) or FOREVER_MS)
        path = _ffi.copy_bytes(task.url)[len(server) :].decode("utf-8")
        return _Upload(
            PingRequest(
                document_id=_ffi.copy_bytes(task.document_id).decode("utf-8"),
                path=path,
                body=_ffi.copy_bytes(task.body),
                headers=_from_json(task.headers),
                body_has_info_sections=True,
                ping_name=(path.split("/") + [""] * 3)[3],
                uploader_capabilities=_from_json(task.capabilities),
            )
        )
    finally:
        _ffi.lib.glean_upload_task_free(task)


def process_ping_upload_response(document_id: str, result: UploadResult) -> UploadTaskAction:
    """Tell the core what came of a ping, and return whether to go on."""
    code, status, retry_after_ms = _describe(result)
    name = document_id.encode()
    is_over = _ffi.ffi.new("uint8_t *")
    _ffi.finish(_ffi.lib.glean_upload_report(name, len(name), code, status, retry_after_ms, is_over))
    return UploadTaskAction.END if is_over[0] else UploadTaskAction.NEXT


def _describe(result: UploadResult) -> Tuple[int, int, int]:
    """Return result, status and wanted pause in ms, as the core takes them."""
    lib = _ffi.lib
    if isinstance(result, UploadResult.HTTP_STATUS):
        # What an uploader of the program says may be anything; NaN compares with nothing.
        pause_s = result.retry_after_s
        is_status = isinstance(result.code, int) and 0 <= result.code < 2**32
        is_pause = isinstance(pause_s, (int, float)) and pause_s == pause_s
        pause_ms = int(min(max(pause_s or 0, 0), 10**9) * 1000) if is_pause else FOREVER_MS
        return int(lib.GLEAN_UPLOAD_HTTP_STATUS), result.code if is_status else 0, pause_ms
    codes: Dict[type, int] = {
        UploadResult.UNRECOVERABLE_FAILURE: lib.GLEAN_UPLOAD_UNRECOVERABLE_FAILURE,
        UploadResult.INCAPABLE: lib.GLEAN_UPLOAD_INCAPABLE,
        UploadResult.DONE: lib.GLEAN_UPLOAD_STOPPED,
    }
    return codes.get(type(result), lib.GLEAN_UPLOAD_RECOVERABLE_FAILURE), 0, FOREVER_MS


def _from_json(buffer: Any) -> Any:
    import json

    return json.loads(_ffi.copy_bytes(buffer).decode("utf-8"))


def find_endpoint(configuration: Configuration) -> str:
    """Return where pings are going now; empty if nowhere."""
    endpoint = configuration.server_endpoint
    if endpoint:
        return str(endpoint)
    return "" if isinstance(configuration.ping_uploader, HttpClientUploader) else NO_ENDPOINT


def send_waiting(
    configuration: Configuration, is_stopped: Callable[[], bool], data_dir: str = "", *, are_copies_last: bool = False
) -> Union[_Wait, _Done]:
    """Send one ping after the other and return the first task that isn't an upload.

    Endpoint and uploader are read anew for each ping.

    Args:
        configuration: says where to, and by which uploader.
        is_stopped: asked before each ping; if true, `DONE` is returned.
        data_dir: where pings wait, if Glean doesn't run in this process.
        are_copies_last: copies for a collector of the developer wait until a ping fails; of the others, the caller
            sends them.
    """
    copying = _Copying(configuration, is_stopped, data_dir, _COPIES_S if find_endpoint(configuration) else float("inf"))
    try:
        if are_copies_last:
            return _send_until_done(configuration, is_stopped, copying, are_copies_last)
        # First, as a server may be slow; and once more, for what came meanwhile and has no server.
        copying.send()
        task = _send_until_done(configuration, is_stopped, copying, are_copies_last)
        pause_ms = 0 if is_stopped() else copying.send()
        if not 0 < pause_ms < task.time:
            return task
        return _Done(0, pause_ms) if isinstance(task, _Done) else _Wait(pause_ms)
    finally:
        http_client.rest()


def _send_until_done(
    configuration: Configuration, is_stopped: Callable[[], bool], copying: _Copying, are_copies_last: bool
) -> Union[_Wait, _Done]:
    while not is_stopped():
        endpoint = find_endpoint(configuration)
        task = get_upload_task(endpoint)
        if not isinstance(task, _Upload):
            if isinstance(task, _Wait) and task.time == 0:
                continue
            return task
        copying.add(task.request, is_late=are_copies_last)
        request = PingUploadRequest(task.request, "" if endpoint is NO_ENDPOINT else endpoint)
        result = _upload(configuration.ping_uploader, CapablePingUploadRequest(request))
        if is_stopped() and isinstance(result, UploadResult.RECOVERABLE_FAILURE):
            # The request was cut off, which says nothing about the server.
            result = UploadResult.DONE(0)
        if process_ping_upload_response(request.doc_id, result) is UploadTaskAction.END:
            return _Done(0, _AFTER_A_BREAK_MS)
        if are_copies_last and getattr(result, "code", 0) not in range(200, 300):
            # The next ping may take all the time that there is.
            copying.send()
    return _Done(0, FOREVER_MS)


class _Copying:
    """Copies for a collector of the developer, where they are asked for.

    Args:
        configuration: says where the pings themselves go; where a copy goes is asked anew for each.
        is_stopped: asked before each copy.
        data_dir: where pings wait, if Glean doesn't run in this process.
        limit_s: no copy begins after copies took so many seconds.
    """

    def __init__(
        self, configuration: Configuration, is_stopped: Callable[[], bool], data_dir: str, limit_s: float
    ) -> None:
        self._configuration = configuration
        self._is_stopped = is_stopped
        self._data_dir = data_dir
        self._limit_s = limit_s
        self._turn: Any = None

    def _find(self) -> Any:
        """Return the module that sends copies, where they are asked for and the pings themselves go elsewhere."""
        if not get_debug_collector():
            return None
        from glean_py.net import debug_collector

        address = debug_collector.find_collector()
        if not address or address == str(self._configuration.server_endpoint).rstrip("/"):
            return None
        self._turn = self._turn or debug_collector.Turn(self._is_stopped, self._limit_s)
        return debug_collector

    def add(self, ping: PingRequest, *, is_late: bool) -> None:
        """Send a copy of a ping that is sent next; with `is_late`, or if there is no time, `send` does so."""
        collector = self._find()
        if collector is not None:
            collector.send_copy_or_keep(ping, collector.Turn(self._is_stopped, 0.0) if is_late else self._turn)

    def send(self) -> int:
        """Send copies of what waits; return the milliseconds until there is more to do, 0 if there is not."""
        collector = self._find()
        if collector is None:
            return 0
        from glean_py.glean import Glean

        if not self._data_dir:
            # Makes files of the pings that were submitted.
            get_upload_task("")
        return int(collector.send_copies(self._data_dir or Glean._data_path, self._turn))


def _upload(uploader: Any, request: CapablePingUploadRequest) -> UploadResult:
    """Let the uploader send a ping; what it does wrong is logged, and the ping stays."""
    try:
        result = (uploader.do_upload if hasattr(uploader, "do_upload") else uploader.upload)(request)
    except BaseException:
        # Also what would end a thread: this one is not the uploader's.
        _ffi.log_exception("the ping uploader failed, and the ping stays")
        return UploadResult.RECOVERABLE_FAILURE(0)
    if not isinstance(result, UploadResult):
        _ffi.log(_ERROR, f"the ping uploader returned {type(result).__name__}, not an UploadResult; the ping stays")
        return UploadResult.RECOVERABLE_FAILURE(0)
    return result


class PingUploadWorker:
    """Sends what waits. Programs need not call it: each ping is sent as soon as it was submitted."""

    @classmethod
    def process(cls, testing_mode: bool = False) -> None:
        """Send what waits in the upload thread; with `testing_mode`, in this thread, before this returns."""
        from glean_py import _upload_thread

        if testing_mode:
            cls._test_process_sync()
        else:
            _upload_thread.wake()

    @classmethod
    def _process(cls, testing_mode: bool = False) -> _SyncWorkWrapper:
        """Send what waits in this thread, and return an object like a process that has done it."""
        from glean_py._process_dispatcher import _SyncWorkWrapper

        return _SyncWorkWrapper(cls._test_process_sync, ())

    @classmethod
    def _test_process_sync(cls) -> bool:
        """Send what waits, in this thread; return whether nothing is left that could be sent now."""
        from glean_py.glean import Glean

        return send_waiting(Glean._configuration, lambda: False).is_done()


def open_directory(
    data_dir: Union[str, os.PathLike[str]], application_id: str, limits: Dict[str, Optional[int]], *, is_exclusive: bool
) -> int:
    """Get ready to send what waits in a directory, in a process where Glean doesn't run; return the status."""
    settings = to_object(
        {
            "data_dir": quote(os.path.abspath(os.fsdecode(data_dir))),
            "application_id": quote(application_id),
            "max_pending_pings_count": optional(_u64, limits.get("max_pending_pings_count")),
            "max_pending_pings_directory_size": optional(_u64, limits.get("max_pending_pings_directory_size")),
            "is_exclusive": flag(is_exclusive),
        }
    )
    return int(_ffi.lib.glean_upload_open(settings, len(settings)))


def _u64(number: int) -> str:
    return integer(number, "u64")


def _process(data_dir: str, application_id: str, configuration: Dict[str, Any]) -> bool:
    """Send what waits in a directory, in a process of its own; return whether nothing is left to send now.

    Args:
        data_dir: the data directory of a Glean that has ended.
        application_id: as for `Glean.initialize`.
        configuration: `server_endpoint` and the limits of what may wait.
    """
    from time import monotonic

    from glean_py.config import Configuration

    # The process ends by force when its own deadline is over; by then a request that begins in time is done.
    end = monotonic() + 30

    def is_over(in_s: float = 0.0) -> bool:
        return monotonic() + in_s > end

    sending = Configuration(server_endpoint=configuration["server_endpoint"])
    is_done = False
    # A program that ends and sees this process at work starts none; what it gave back may come behind the last look.
    for look in range(_LOOKS):
        opened = open_directory(data_dir, application_id, configuration, is_exclusive=True)
        if not _ffi.is_status(opened, _ffi.lib.GLEAN_OK):
            # Another process sends, or the directory is gone.
            if look == 0:
                return False
            break
        is_done = _send_all(sending, is_over, data_dir)
        if is_over() or not _is_left(data_dir, application_id, configuration):
            break
    # Another process may send meanwhile.
    _Copying(sending, is_over, data_dir, float("inf")).send()
    return is_done


def _send_all(sending: Configuration, is_over: Callable[..., bool], data_dir: str) -> bool:
    """Send what waits in a directory that was opened, and leave it; return whether nothing is left to send now."""
    woken = _ffi.ffi.new("uint8_t *")
    try:
        while True:
            task = send_waiting(sending, is_over, data_dir, are_copies_last=True)
            if not isinstance(task, _Wait) or is_over(task.time / 1000):
                return task.is_done()
            _ffi.lib.glean_upload_wait(task.time, woken)
    finally:
        _ffi.finish(_ffi.lib.glean_upload_close())


def _is_left(data_dir: str, application_id: str, configuration: Dict[str, Any]) -> bool:
    """Return whether a ping waits that nobody is sending."""
    opened = open_directory(data_dir, application_id, configuration, is_exclusive=False)
    if not _ffi.is_status(opened, _ffi.lib.GLEAN_OK):
        return False
    try:
        found = _ffi.peek_uploads()
        return found is not None and found["waiting"] > 0
    finally:
        _ffi.finish(_ffi.lib.glean_upload_close())
