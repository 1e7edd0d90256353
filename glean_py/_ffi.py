"""The one way into the core: loads the library, owns every conversion, turns statuses into exceptions.

Other modules call `lib.glean_*` and hand the status to `check` (getters) or `record` (recording calls).
"""

from __future__ import annotations

import importlib
import logging
import operator
import struct
import sys
import threading
from pathlib import Path
from typing import Any, List, Optional, Sequence

ABI_VERSION = 1
_LIBRARY_NAMES = {"win32": "glean_core.dll", "darwin": "libglean_core.dylib"}
_REINSTALL = "install the wheel for this platform again: python -m pip install --force-reinstall glean_py"

logger = logging.getLogger("glean_py")


def _library_path() -> Path:
    return Path(__file__).resolve().parent / _LIBRARY_NAMES.get(sys.platform, "libglean_core.so")


def _load_declarations() -> Any:
    try:
        return importlib.import_module("glean_py._glean_ffi").ffi
    except ImportError as error:
        raise ImportError(
            f"glean_py cannot load its declarations of the C interface ({error}); they are made when a wheel is "
            f"built, and need cffi. To fix it, {_REINSTALL}; don't import glean_py from its source folder."
        ) from error


def _load_library(ffi: Any, path: Path) -> Any:
    """Load the library and check that it speaks this version of the interface.

    Raises:
        ImportError: missing, made for another platform, or of another version; says which, and what to do.
    """
    if not path.is_file():
        raise ImportError(f"glean_py has no library: {path} does not exist. To fix it, {_REINSTALL}.")
    try:
        # Absolute, as Windows refuses to load "./name.dll".
        library = ffi.dlopen(str(path))
    except OSError as error:
        bits = struct.calcsize("P") * 8
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


def _pending_messages() -> Any:
    """Return a pointer to the number of waiting log messages: reading it needs no call."""
    out = ffi.new("uint32_t const **")
    status = lib.glean_log_pending(out)
    return out[0] if status == 0 else ffi.new("uint32_t *")


_pending = _pending_messages()
_draining = threading.local()
_OK: int = lib.GLEAN_OK
_NO_VALUE: int = lib.GLEAN_NO_VALUE
_NOT_INITIALIZED: int = lib.GLEAN_NOT_INITIALIZED
_FORKED: int = lib.GLEAN_FORKED


class _ForkWarning:
    """Remembers that the warning about a forked process was logged: once per process is enough."""

    is_logged = False


def record(status: int) -> None:
    """Finish a recording call: forward log messages; trouble is logged, never raised into the host program."""
    if status or _pending[0]:
        _finish_recording(status)


def check(status: int) -> bool:
    """Finish a call that returns something; `False` if there is nothing to return.

    Raises:
        RuntimeError: the call failed; says which and why.
    """
    # Read before anything else calls the core: a logging handler may.
    message = "" if status in (_OK, _NO_VALUE) else last_error()
    if _pending[0]:
        drain_log()
    if message:
        raise RuntimeError(message)
    return status == _OK


def _finish_recording(status: int) -> None:
    # Read before anything else calls the core: a logging handler may.
    message = "" if status == _OK else last_error()
    drain_log()
    if status == _OK:
        return
    if status == _FORKED:
        if not _ForkWarning.is_logged:
            _ForkWarning.is_logged = True
            logger.warning("%s", message)
    elif status == _NOT_INITIALIZED:
        logger.debug("%s", message)
    else:
        logger.error("%s", message)


def drain_log() -> None:
    """Hand the waiting log messages of the core to the logger `glean_py`."""
    if getattr(_draining, "is_active", False):
        # A logging handler records something itself: the outer call goes on with its messages.
        return
    _draining.is_active = True
    try:
        level = ffi.new("int32_t *")
        buffer = ffi.new("GleanBuffer *")
        while _pending[0] and lib.glean_log_next(level, buffer) == _OK:
            logger.log(level[0], "%s", take_text(buffer))
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
        # `unpack` refuses NULL, which is what an empty buffer holds.
        data: bytes = bytes(ffi.buffer(buffer.data, buffer.len)) if buffer.len else b""
        return data.decode("utf-8")
    finally:
        lib.glean_buffer_free(buffer)


def to_utf8(text: str) -> bytes:
    """Return the text as the core takes it, together with `len()` of the result.

    Raises:
        TypeError: not a `str`.
        UnicodeEncodeError: the text has a lone surrogate.
    """
    if not isinstance(text, str):
        raise TypeError(f"a str is needed, not {type(text).__name__}")
    return text.encode("utf-8")


def to_i32(number: int) -> int:
    """Return the number if a C `int32_t` holds it.

    Raises:
        TypeError: not an integer.
        ValueError: out of range.
    """
    number = operator.index(number)
    if not -(2**31) <= number < 2**31:
        raise ValueError(f"{number} doesn't fit into 32 bits: -2147483648 to 2147483647 does")
    return number


class Arguments:
    """Fields of a C struct, and the memory they point to; kept until the call is over."""

    def __init__(self) -> None:
        self._memory: List[Any] = []

    def text(self, text: Optional[str]) -> Any:
        """Return a `GleanString`; the one of `None` has NULL data."""
        if text is None:
            return {"data": NULL, "len": 0}
        data = to_utf8(text)
        pointer = ffi.from_buffer("uint8_t[]", data)
        self._memory.append(pointer)
        return {"data": pointer, "len": len(data)}

    def texts(self, texts: Sequence[str]) -> Any:
        """Return an array of `GleanString`."""
        array = ffi.new("GleanString[]", [self.text(text) for text in texts])
        self._memory.append(array)
        return array


def create(type_name: str, struct_type: str, fields: Any) -> int:
    """Make a metric or a ping and return its handle.

    Raises:
        RuntimeError: the core refuses it; says why.
    """
    out = ffi.new("uint64_t *")
    check(getattr(lib, f"glean_{type_name}_new")(ffi.new(struct_type, fields), out))
    return int(out[0])


def destroy(type_name: str, handle: int) -> None:
    """Release a handle; what was recorded stays."""
    getattr(lib, f"glean_{type_name}_destroy")(handle)


def get_value(type_name: str, handle: int, ping_name: Optional[str], out: Any) -> bool:
    """Fill `out` with the stored value; `False` if there is none.

    Raises:
        RuntimeError: Glean doesn't run.
    """
    function = getattr(lib, f"glean_{type_name}_test_get_value")
    if ping_name is None:
        return check(function(handle, NULL, 0, out))
    data = to_utf8(ping_name)
    return check(function(handle, data, len(data), out))


def count_errors(type_name: str, handle: int, error: int) -> int:
    """Return how many errors of one kind a metric has.

    Raises:
        RuntimeError: Glean doesn't run.
    """
    out = ffi.new("int32_t *")
    check(getattr(lib, f"glean_{type_name}_test_get_num_recorded_errors")(handle, error, out))
    return int(out[0])
