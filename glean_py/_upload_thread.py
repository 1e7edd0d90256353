"""The thread that sends pings: at most one in a process, and none while there is nowhere to send them."""

from __future__ import annotations

import os
import sys
from _thread import get_ident
from time import monotonic

from glean_py import _ffi
from glean_py._util import native_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional

    from glean_py.config import Configuration

# How long a thread may take that was told to stop, unless it imports. One that needs longer waits for a name server, or
# for an uploader of the program that doesn't return; neither does harm when the interpreter ends.
_JOIN_S = 0.05
# How often it looks for what other processes left: forked ones that ended before they could send it, for example.
_LOOK_MS = 600_000
# How long the end of a program waits for a server that is quick, before a process of its own sends what is left.
_MOMENT_S = 0.01
# How long it sends nothing after an error that is none of a server.
_AFTER_ERROR_MS = 60_000
# How long a fork waits for the thread to import what it needs, which takes some 30 ms; an end waits for one module.
_IMPORT_S = 2.0


class _Imports:
    """What the thread imports, before anything else: a fork waits for that, and never for the network.

    A module that a thread is importing while its process forks can be imported by nobody in the child: the lock of the
    module has no owner there. Such a child sends nothing, and its end waits for nothing.
    """

    lock = native_thread("allocate_lock")()
    holder = 0
    is_done = False
    is_running = False
    is_stuck = False
    is_broken = False

    @classmethod
    def run(cls, is_stopped: Callable[[], bool] = bool) -> None:
        """Import everything that the thread needs, once, unless it is told to stop."""
        if cls.is_done:
            return
        with cls.lock:
            cls.is_running = True
            try:
                from glean_py.net import http_client, ping_upload_worker  # noqa: F401

                cls.is_done = http_client.load(is_stopped)
            finally:
                cls.is_running = cls.is_stuck = False

    @classmethod
    def before_fork(cls) -> None:
        """Wait for the thread, once."""
        if cls.lock.acquire(True, 0 if cls.is_stuck else _IMPORT_S):
            cls.holder = get_ident()
        else:
            cls.is_stuck = cls.is_running

    @classmethod
    def after_in_parent(cls) -> None:
        """Let the thread go on."""
        if cls.holder == get_ident():
            cls.holder = 0
            cls.lock.release()

    @classmethod
    def after_in_child(cls) -> None:
        """Begin anew, unless modules are missing for good."""
        cls.is_broken = cls.is_broken or cls.is_running
        cls.is_running = cls.is_stuck = False
        cls.holder = 0
        cls.lock = native_thread("allocate_lock")()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_Imports.before_fork,
        after_in_parent=_Imports.after_in_parent,
        after_in_child=_Imports.after_in_child,
    )


class _UploadThread:
    """A thread that sends what waits, sleeps in the core until there is more, and ends when it is told to."""

    current: Optional[_UploadThread] = None
    # What forks copied, with locks in whatever state.
    copies: List[_UploadThread] = []

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.pid = os.getpid()
        # Forked processes that have this object and started a thread of their own.
        self.heirs: Dict[int, object] = {}
        self._is_finishing = False
        self._is_stopped = False
        self._running = native_thread("allocate_lock")()

    def start(self) -> bool:
        """Start it; `False` if this process gets no thread any more."""
        if _Imports.is_broken:
            return False
        # Whatever thread imports it first is the main one for it, and the new thread would be.
        import threading  # noqa: F401

        if not _hides_unfinished_modules():
            try:
                _Imports.run()
            except Exception:
                # The thread meets it again, and says so.
                pass
        self._running.acquire()
        try:
            _start_without_signals(self._run)
        except RuntimeError:
            # The interpreter ends, or the system has no more. What waits is sent by the next process.
            self._running.release()
            return False
        return True

    def finish(self, moment: float, deadline: float) -> bool:
        """Let it send what waits until `moment`, then cut it off; return whether it ended.

        Args:
            moment, deadline: on the clock of `monotonic`; what cannot be cut off has until `deadline`,
                an import two seconds at least.
        """
        self._is_finishing = True
        _ffi.lib.glean_upload_wake()
        has_ended = False
        try:
            has_ended = self._running.acquire(True, max(0.0, moment - monotonic()))
        finally:
            # Also when the user interrupts.
            if not has_ended:
                has_ended = self._stop(deadline)
        return has_ended

    def _stop(self, deadline: float) -> bool:
        self._is_stopped = True
        # While the thread still imports it, there is a module, but nothing in it.
        http_client = sys.modules.get("glean_py.net.http_client")
        stop, is_loading = getattr(http_client, "stop", None), getattr(http_client, "is_loading", None)
        if stop is not None:
            stop()
        _ffi.lib.glean_upload_wake()
        # Nothing cuts off an import, nor OpenSSL while it reads authorities, and a process that ends meanwhile crashes:
        # it takes away the lock of imports. The thread ends behind the module that it is importing.
        is_exit_unsafe = not _Imports.is_done or (is_loading is not None and is_loading())
        limit_s = max(_IMPORT_S, deadline - monotonic()) if is_exit_unsafe else _JOIN_S
        has_ended = self._running.acquire(True, limit_s)
        return bool(has_ended)

    def _run(self) -> None:
        try:
            _Imports.run(lambda: self._is_stopped)
            from glean_py.net import http_client, ping_upload_worker

            http_client.start()
            is_woken = _ffi.ffi.new("uint8_t *")
            has_failed = False
            while not self._is_stopped:
                try:
                    rest_ms = ping_upload_worker.send_waiting(self.configuration, lambda: self._is_stopped).time
                except Exception:
                    if not has_failed:
                        _ffi.log_exception("pings wait a minute, because of an error inside Glean, please report it")
                    has_failed, rest_ms = True, _AFTER_ERROR_MS
                _ffi.drain_log()
                if self._is_finishing:
                    break
                _ffi.lib.glean_upload_wait(min(rest_ms, _LOOK_MS), is_woken)
        except BaseException:
            # Nobody else would hear of it, and `threading.excepthook` is the host program's.
            _ffi.log_exception("no pings are sent any more, because of an error inside Glean, please report it")
        finally:
            self._running.release()


def _hides_unfinished_modules() -> bool:
    """Return whether a thread that imports a module waits for another one that is importing it.

    Modules in a zip file, as those of an embeddable Python, are seen half imported before Python 3.10.
    """
    return hasattr(getattr(os.__spec__, "loader", None), "exec_module")


def start(configuration: Configuration) -> None:
    """Start the thread of this process; if it runs, let it look for work."""
    thread = _UploadThread.current
    if thread is not None and thread.pid == os.getpid() and thread.configuration is configuration:
        _ffi.lib.glean_upload_wake()
        return
    if thread is not None:
        _UploadThread.copies.append(thread)
    thread = _UploadThread(configuration)
    _UploadThread.current = thread if thread.start() else None


def wake() -> None:
    """Let the thread look for work."""
    if _UploadThread.current is not None:
        start(_UploadThread.current.configuration)


def note_submission() -> None:
    """See to it that this process has its thread: one that was forked starts it when it submits for the first time."""
    thread = _UploadThread.current
    if thread is None or thread.pid == os.getpid():
        return
    # Two threads of a child may submit for the first time at once. The dictionary decides, so that none waits.
    first = object()
    if thread.heirs.setdefault(os.getpid(), first) is first:
        start(thread.configuration)


def end(data_dir: str, application_id: str, deadline: float, may_hand_over: bool) -> None:
    """Send what waits until `deadline`, on the clock of `monotonic`, and end the thread of this process.

    With `may_hand_over`, a process of its own sends what is left after a moment, where such a process can be started.
    """
    thread, _UploadThread.current = _UploadThread.current, None
    if thread is None:
        return
    if thread.pid != os.getpid():
        _UploadThread.copies.append(thread)
        return
    configuration = thread.configuration
    may_hand_over = may_hand_over and bool(configuration.server_endpoint) and _is_default_uploader(configuration)
    if may_hand_over:
        from glean_py import _process_dispatcher

        may_hand_over = _process_dispatcher.find_python() is not None
    moment = deadline
    if may_hand_over:
        # A thread that still imports what it needs is no quicker than a process.
        moment = min(deadline, monotonic() + (_MOMENT_S if _Imports.is_done else 0))
    has_ended = thread.finish(moment, deadline)
    # After that deadline the disk or the thread hangs, and whoever looks at what waits would hang as well.
    if not may_hand_over or monotonic() >= deadline:
        return
    found = _ffi.peek_uploads()
    if found is None:
        return
    # What a thread that is still busy is sending is given back when uploads are closed.
    is_sending = not has_ended and found["retry_ms"] is not None
    if not (found["waiting"] or is_sending):
        return
    # A process that sends looks once more before it ends, but only what is given back by now is surely there then.
    if found["is_exclusive_taken"] and not is_sending:
        return
    _ffi.finish(_ffi.lib.glean_upload_close())
    settings = {
        "server_endpoint": str(configuration.server_endpoint),
        "max_pending_pings_count": configuration.max_pending_pings_count,
        "max_pending_pings_directory_size": configuration.max_pending_pings_directory_size,
    }
    # By its name: the thread may be importing it.
    function = ("glean_py.net.ping_upload_worker", "_process")
    _process_dispatcher.ProcessDispatcher.start(function, (data_dir, application_id, settings), cwd=data_dir)


def _is_default_uploader(configuration: Configuration) -> bool:
    """Return whether another process has the same uploader: the default one, which is described by its class."""
    uploader = configuration._ping_uploader
    if uploader is None:
        return True
    from glean_py.net.http_client import HttpClientUploader

    return type(uploader) is HttpClientUploader


# A thread causes these itself, so they have to reach it.
_OWN_SIGNALS = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")


def _start_without_signals(function: Callable[[], None]) -> None:
    """Start a thread that takes no signals: they are for the threads of the host program."""
    import signal

    start_new_thread = native_thread("start_new_thread")
    if not hasattr(signal, "pthread_sigmask"):
        # Windows has none that a thread could take.
        start_new_thread(function, ())
        return
    own = {getattr(signal, name, 0) for name in _OWN_SIGNALS}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set(range(1, 32)) - own)
    try:
        start_new_thread(function, ())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
