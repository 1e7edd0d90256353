"""Small helpers without a place of their own."""

from __future__ import annotations

import _thread
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generic, Optional, Tuple, TypeVar

    T = TypeVar("T")
else:
    # `typing` costs more than all of this package: at run time, generic classes need nothing but the brackets.
    class Generic:
        """Accepts type arguments and forgets them."""

        def __class_getitem__(cls, item):
            """Return the class itself."""
            return cls

    T = None

__all__ = [
    "Generic",
    "T",
    "classproperty",
    "get_architecture",
    "get_debug_collector",
    "get_locale_tag",
    "get_os_version",
    "get_windows_build_number",
    "native_thread",
]


class classproperty(Generic[T]):
    """A property of the class itself: `Glean.configuration`."""

    def __init__(self, f: Callable[[Any], T]) -> None:
        self._getter = f
        self.__doc__ = f.__doc__

    def __get__(self, instance: object, owner: type) -> T:
        return self._getter(owner)


def get_debug_collector() -> str:
    """Return what `GLEAN_DEBUG_COLLECTOR` asks for: an address, `on`, or nothing."""
    text = os.environ.get("GLEAN_DEBUG_COLLECTOR", "").strip()
    if text.lower() in ("", "0", "false", "no", "off"):
        return ""
    return "on" if text.lower() in ("1", "true", "yes", "on") else text


def native_thread(name: str) -> Any:
    """Return something of `_thread` as it was before gevent or eventlet replaced it.

    What waits in the core would stop all of their green threads.
    """
    import sys

    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None:
        return gevent.get_original("_thread", name)
    eventlet = sys.modules.get("eventlet.patcher")
    return getattr(eventlet.original("_thread") if eventlet is not None else _thread, name)


def get_locale_tag() -> str:
    """Return the locale of the user as a language tag like `de-DE`; `und` if it is unknown."""
    names = [os.environ.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG", "LANGUAGE")]
    plain = next(filter(None, names), "C").partition(".")[0]
    if os.name == "posix" and plain in ("C", "POSIX"):
        return "und"
    language, _, country = plain.partition("_")
    if os.name == "posix" and language.isalpha() and len(language) == 2 and country.isalpha() and len(country) == 2:
        # Most say it plainly, and `locale` takes longer to import than all of this package.
        return f"{language}-{country}"
    import locale
    import warnings

    with warnings.catch_warnings():
        # What `getlocale` returns depends on `setlocale`; only its deprecated sibling asks the environment.
        warnings.simplefilter("ignore", DeprecationWarning)
        name = getattr(locale, "getdefaultlocale", locale.getlocale)()[0]
    return "und" if name in (None, "C") else str(name).replace("_", "-")


def get_os_version() -> str:
    """Return the version of the kernel, of Windows like `10.0`; `Unknown` if the system hides it."""
    if hasattr(os, "uname"):
        return os.uname().release or "Unknown"
    return "{}.{}".format(*_windows_version())


def get_windows_build_number() -> Optional[int]:
    """Return the build of Windows, 19045 for example; `None` elsewhere."""
    return None if hasattr(os, "uname") else _windows_version()[2]


def _windows_version() -> Tuple[int, int, int]:
    import sys

    # What `GetVersion` says depends on the manifest of the program; this is what the system itself says.
    version: Tuple[int, int, int] = sys.getwindowsversion().platform_version  # type: ignore[attr-defined,unused-ignore]
    return version


def get_architecture() -> str:
    """Return the architecture of the device, also where this program was made for another one; `Unknown` if hidden.

    Not by `platform`, whose import takes longer than starting.
    """
    if hasattr(os, "uname"):
        system = os.uname()
        # Rosetta says x86_64, but the kernel is named after what it runs on.
        is_translated = system.sysname == "Darwin" and "ARM64" in system.version
        return "arm64" if is_translated else system.machine or "Unknown"
    return _windows_architecture() or "Unknown"


def _windows_architecture() -> str:
    import winreg

    key = r"SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
    try:
        # The environment of an emulated program has the emulated one.
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:  # type: ignore[attr-defined,unused-ignore]
            return str(winreg.QueryValueEx(opened, "PROCESSOR_ARCHITECTURE")[0])  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        name = "PROCESSOR_ARCHITECTURE"
        return os.environ.get("PROCESSOR_ARCHITEW6432") or os.environ.get(name, "")
