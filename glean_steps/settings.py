"""Every `GLEAN_*` variable: its type, default and meaning. Nothing else reads one from the environment.

`check` validates all of them when a command starts; the tables of CONTRIBUTING.md and of `invoke doctor` are made of
the same entries.
"""

from __future__ import annotations

import difflib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Generic, List, Tuple, TypeVar

from glean_steps.errors import SettingError

T = TypeVar("T")


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One variable.

    Attributes:
        name: the variable.
        parse: makes a value of its text; a ValueError says what the text should be.
        default: the value when the variable is unset or empty.
        meaning: what it does, for tables.
    """

    name: str
    parse: Callable[[str], T]
    default: T
    meaning: str

    def value(self) -> T:
        """Return the value in force.

        Raises:
            SettingError: the variable holds a text that is no such value.
        """
        text = os.environ.get(self.name, "")
        if not text:
            return self.default
        try:
            return self.parse(text)
        except ValueError as error:
            raise SettingError(
                f"{self.name}={text!r} cannot be used", why=str(error), fix=f"correct or unset it: {self.meaning}"
            ) from None


def _flag(text: str) -> bool:
    return text != "0"


def _folder(text: str) -> Path:
    return Path(text).expanduser().resolve()


def _positive(text: str, wanted: str = "a positive number") -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"it is not {wanted}")
    return number


def _seconds(text: str) -> float:
    return _positive(text, "a positive number of seconds")


def _never(text: str) -> str:
    if text != "never":
        raise ValueError("it is none of: never")
    return text


CACHE = Setting(
    "GLEAN_CACHE",
    _folder,
    None,
    "folder of downloads, standard libraries and the 32-bit Wine root; `glean-steps` in the user's cache when unset",
)
DEADLINE_FACTOR = Setting("GLEAN_DEADLINE_FACTOR", _positive, 1.0, "multiplies the deadline of every program")
FETCH_TIMEOUT = Setting(
    "GLEAN_FETCH_TIMEOUT", _seconds, 0.0, "seconds that a connection or a read may take; 10 and 30 when unset"
)
GET_PIP_MIRROR = Setting("GLEAN_GET_PIP_MIRROR", str, "", "base URL of get-pip.py")
INSTALL = Setting("GLEAN_INSTALL", _never, "", "`never` forbids installing system packages")
OFFLINE = Setting("GLEAN_OFFLINE", _flag, False, "anything but empty and `0` forbids the network")
PYTHON_MIRROR = Setting("GLEAN_PYTHON_MIRROR", str, "", "base URL of the embeddable Windows Pythons")
QUIET = Setting("GLEAN_QUIET", _flag, False, "`1` keeps command lines out of the log")
WINDOWS_PYTHON = Setting("GLEAN_WINDOWS_PYTHON", str, "", "the Windows Python to prove and test with, such as `3.13`")
WINE_TIMEOUT = Setting(
    "GLEAN_WINE_TIMEOUT", _seconds, 3600.0, "seconds that `invoke wine-run` may take; 3600 when unset"
)


def entries() -> Tuple[Setting[object], ...]:
    """Return every variable of the project, by name."""
    from glean_steps import project, targets

    own: List[Setting[object]] = [each for each in globals().values() if isinstance(each, Setting)]
    own += [
        Setting(target.build_variable, _flag, False, f"`1` asks setup.py for the library of {target.triple}")
        for target in targets.TARGETS
        if target.build_variable
    ]
    own += [Setting(name, str, "", meaning) for name, (_, meaning) in project.VARIABLES.items()]
    return tuple(sorted(own, key=lambda each: each.name))


def check() -> List[str]:
    """Validate every variable; return a line about each `GLEAN_*` variable that nobody reads.

    Raises:
        SettingError: names the first one with a value that cannot be used.
    """
    known = {entry.name: entry for entry in entries()}
    for entry in known.values():
        entry.value()
    unknown = []
    for name in sorted(os.environ):
        if name.startswith("GLEAN_") and name not in known and name not in INTERNAL:
            near = difflib.get_close_matches(name, known, 1)
            unknown.append(f"{name} is set, but nothing reads it" + (f"; {near[0]}?" if near else ""))
    return unknown


# Set by one program of the project for another that it starts, never by a user.
INTERNAL = frozenset({"GLEAN_BOOTSTRAP_PID", "GLEAN_BENCH_RUN", "GLEAN_FUZZ_SEEDS"})


def cache() -> Path:
    """Return the user's cache: GLEAN_CACHE, else `glean-steps` below XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return CACHE.value() or Path(base).resolve() / "glean-steps"
