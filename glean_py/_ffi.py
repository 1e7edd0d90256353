"""The one way into the core: loads the library, owns what crosses its interface, turns statuses into log or exception.

Recording calls bind their C function where they are defined and call it directly; any status but 0 goes to `finish`.
Getters hand theirs to `check`. Texts cross as pointer and length of UTF-8, structures as JSON (`_json_text`).
"""

from __future__ import annotations

import os
import sys
from _thread import _local

from glean_py._json_text import not_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from typing import Any, Callable, Optional, Set

ABI_VERSION = 3
_LIBRARY_NAMES = {"win32": "glean_core.dll", "darwin": "libglean_core.dylib"}
_REINSTALL = "install the wheel for this platform again: python -m pip install --force-reinstall glean_py"


def _library_path() -> str:
    return os.path.join(
        os.path.dirname(os.path.abspath(__file__)), _LIBRARY_NAMES.get(sys.platform, "libglean_core.so")
    )


def _load_declarations() -> Any:
    try:
        # By itself, to tell what it is that cannot be imported.
        __import__("_cffi_backend")
    except ImportError as error:
        raise _explain_cffi(error) from error
    try:
        from glean_py._glean_ffi import ffi  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise ImportError(
            f"glean_py cannot load its declarations of the C interface ({error}); they are made when a wheel is "
            f"built. To fix it, {_REINSTALL}; don't import glean_py from its source folder."
        ) from error
    return ffi


def _explain_cffi(error: ImportError) -> ImportError:
    """Return an error that says why cffi cannot be imported here and what to do."""
    if "subinterpreter" in str(error):
        return ImportError(
            "glean_py doesn't work in a subinterpreter with a lock of its own (PEP 684), because cffi, which it calls "
            f"its library through, cannot be imported there: {error}. Import it in the main interpreter and record "
            "there, or make a subinterpreter that shares its lock: the configuration 'legacy'."
        )
    import sysconfig

    reason = f"glean_py needs cffi, which cannot be imported: {error}. To fix it, python -m pip install cffi"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        reason += "; of the free-threaded builds of CPython it supports 3.14t and newer, not 3.13t"
    return ImportError(f"{reason}.")


def _load_library(ffi: Any, path: str) -> Any:
    """Load the library and check that it speaks this version of the interface.

    Raises:
        ImportError: missing, made for another platform, or of another version; says which, and what to do.
    """
    if not os.path.isfile(path):
        raise ImportError(f"glean_py has no library: {path} does not exist. To fix it, {_REINSTALL}.")
    # Threads of the core may outlive the interpreter's last reference to the library, so it is never unloaded.
    flags = getattr(os, "RTLD_NOW", 0) | getattr(os, "RTLD_NODELETE", 0)
    try:
        # Absolute, as Windows refuses to load "./name.dll".
        library = ffi.dlopen(os.path.abspath(path), flags)
    except OSError as error:
        bits = 64 if sys.maxsize > 2**32 else 32
        raise ImportError(
            f"glean_py cannot load {path} into this {bits}-bit Python on {sys.platform}: {error}. "
            f"The library is damaged or was made for another platform. To fix it, {_REINSTALL}."
        ) from error
    out = ffi.new("uint32_t *")
    try:
        status = library.glean_abi_version(out)
    except AttributeError as error:
        raise ImportError(f"{path} is no library of Glean: {error}. To fix it, {_REINSTALL}.") from error
    if status != 0 or out[0] != ABI_VERSION:
        raise ImportError(
            f"{path} has version {out[0]} of the C interface, but this glean_py needs {ABI_VERSION}: "
            f"library and Python files come from different releases. To fix it, {_REINSTALL}."
        )
    return library


ffi: Any = _load_declarations()
lib: Any = _load_library(ffi, _library_path())
NULL: Any = ffi.NULL

_LOGGED: int = lib.GLEAN_LOGGED
# What a status says besides "log messages wait".
_CODE: int = ~_LOGGED
_OK: int = lib.GLEAN_OK
_NO_VALUE: int = lib.GLEAN_NO_VALUE
_NOT_INITIALIZED: int = lib.GLEAN_NOT_INITIALIZED

# Levels of `logging`, which is imported when there is something to log.
_DEBUG, _WARNING, _ERROR = 10, 30, 40

# What is called after a call that may have made a ping.
after_submission: Optional[Callable[[], object]] = None

_draining = _local()
# Kinds of failures that were logged already.
_reported: Set[int] = set()


def finish(status: int) -> None:
    """Finish a recording call whose status isn't 0: nothing is raised into the host program.

    Waiting log messages are forwarded. A failure is logged once per kind, as a program that misses the core would
    otherwise log one for every call.
    """
    code = status & _CODE
    is_news = code not in _reported and code != _OK
    # Read before anything else calls the core: a logging handler may.
    message = last_error() if is_news else ""
    if status & _LOGGED:
        drain_log()
    if is_news:
        _reported.add(code)
        log(_DEBUG if code == _NOT_INITIALIZED else _ERROR, message)


def forget_failures() -> None:
    """Make the next failure of each kind be logged again."""
    _reported.clear()


def check(status: int) -> bool:
    """Finish a call that returns something; `False` if there is nothing to return.

    Raises:
        RuntimeError: the call failed; says which and why.
    """
    code = status & _CODE
    # Read before anything else calls the core: a logging handler may.
    message = "" if code in (_OK, _NO_VALUE) else last_error()
    if status & _LOGGED:
        drain_log()
    if code not in (_OK, _NO_VALUE):
        raise RuntimeError(message)
    return code == _OK


def is_status(status: int, code: int) -> bool:
    """Forward waiting log messages and return whether a call returned this, for calls whose failures the core logs."""
    drain_log()
    return status & _CODE == code


def finish_submission(status: int) -> None:
    """Finish a call that may have made a ping, and let whoever sends pings know."""
    if status:
        finish(status)
    # Read once: another thread may be ending uploads.
    note = after_submission
    if note is not None:
        note()


def setup_logging() -> None:
    """Do nothing: a call that leaves log messages behind forwards them itself. Exists because peers have it."""


def log_level() -> int:
    """Return the level from which on the logger `glean_py` wants messages."""
    # If nobody imported it, nobody configured it.
    return int(_logger().getEffectiveLevel()) if "logging" in sys.modules else _WARNING


def _logger() -> logging.Logger:
    import logging

    logger = logging.getLogger("glean_py")
    if not logger.handlers:
        # Without any handler, `logging` would print warnings to the host program's stderr.
        logger.addHandler(logging.NullHandler())
        # So that levels and handlers which a program sets for glean-sdk's logger count here as well.
        logger.parent = logging.getLogger("glean")
    return logger


def log(level: int, message: str, *, is_exception: bool = False) -> None:
    """Log a message; never raises."""
    try:
        _logger().log(level, "%s", message, exc_info=is_exception)
    except Exception:
        # A filter of the host program failed, or the interpreter goes down and has no `logging` any more.
        pass


def log_exception(what: str) -> None:
    """Log the exception that is being handled, which came from code of the host program."""
    log(_ERROR, what, is_exception=True)


def drain_log() -> None:
    """Hand the waiting log messages of the core to the logger `glean_py`."""
    if getattr(_draining, "is_active", False):
        # A logging handler records something itself: the outer call goes on with its messages.
        return
    _draining.is_active = True
    try:
        level = ffi.new("int32_t *")
        buffer = ffi.new("GleanBuffer *")
        while lib.glean_log_next(level, buffer) & _CODE == _OK:
            log(level[0], take_text(buffer))
    finally:
        _draining.is_active = False


def last_error() -> str:
    """Return why the last failed call of this thread failed."""
    buffer = ffi.new("GleanBuffer *")
    lib.glean_last_error(buffer)
    return take_text(buffer)


def library_version() -> str:
    """Return the version of the core, for example `0.1.0`."""
    buffer = ffi.new("GleanBuffer *")
    check(lib.glean_version(buffer))
    return take_text(buffer)


def take_text(buffer: Any) -> str:
    """Copy the text out of a `GleanBuffer` and free it."""
    try:
        return copy_bytes(buffer).decode("utf-8")
    finally:
        lib.glean_buffer_free(buffer)


def copy_bytes(buffer: Any) -> bytes:
    """Copy what is in a `GleanBuffer` that somebody else frees."""
    return bytes(ffi.buffer(buffer.data, buffer.len)) if buffer.len else b""


def take_json(buffer: Any) -> Any:
    """Decode the JSON in a `GleanBuffer` and free it."""
    import json

    return json.loads(take_text(buffer))


def to_utf8(text: str) -> bytes:
    """Return the text as the core takes it, together with `len()` of the result.

    Raises:
        TypeError: not a `str`.
        UnicodeEncodeError: the text has a lone surrogate.
    """
    if not isinstance(text, str):
        raise not_text(text)
    return text.encode("utf-8")


def make(new: Any, description: bytes) -> int:
    """Make a metric or a ping from its description in JSON and return its handle.

    Raises:
        RuntimeError: the core refuses it; says why.
    """
    out = ffi.new("uint64_t *")
    status = new(description, len(description), out)
    if status:
        check(status)
    return int(out[0])


def read_json(getter: Any, *arguments: Any) -> Optional[Any]:
    """Call a getter that fills a `GleanBuffer` with JSON and return what it holds; `None` if there is nothing.

    Raises:
        RuntimeError: the call failed; says which and why.
    """
    out = ffi.new("GleanBuffer *")
    return take_json(out) if check(getter(*arguments, out)) else None


def peek_uploads() -> Optional[Any]:
    """Return what somebody has to know who could start a process that sends pings; `None` if the core failed."""
    out = ffi.new("GleanBuffer *")
    return take_json(out) if is_status(lib.glean_upload_peek(out), _OK) else None


def read_text(getter: Any) -> Optional[str]:
    """Call a getter that fills a `GleanBuffer` with text and return it; `None` if there is nothing.

    Raises:
        RuntimeError: the call failed; says which and why.
    """
    out = ffi.new("GleanBuffer *")
    return take_text(out) if check(getter(out)) else None


def record(function: Any, data: Optional[bytes]) -> None:
    """Call a function that takes a text, or NULL for none, and finish the call."""
    finish(function(NULL, 0) if data is None else function(data, len(data)))
