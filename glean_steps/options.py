"""Options of sessions and tasks: one table of them, parsed by argparse, an unknown one ends with exit code 27."""

from __future__ import annotations

import argparse
from typing import Any, List, Mapping, NoReturn, Sequence

from glean_steps import pins, targets
from glean_steps.errors import SettingError


class _Parser(argparse.ArgumentParser):
    """Raises in place of printing and exiting, and takes no abbreviations."""

    def error(self, message: str) -> NoReturn:
        options = [name for action in self._actions for name in action.option_strings or [str(action.metavar)]]
        raise SettingError(
            f"{self.prog}: {message}",
            why="it takes " + (", ".join(options) or "no options"),
            fix=self.format_usage().strip(),
        )


def natural(text: str) -> int:
    """Return a whole number from 1 on."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def number(text: str) -> int:
    """Return a whole number from 0 on."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def words(text: str) -> List[str]:
    """Return the words of a list such as `a,b`."""
    return [word for word in text.split(",") if word]


def _python(text: str) -> str:
    pins.find_python(text)  # Reject an unknown version before anything is made.
    return text


def pythons(text: str) -> List[str]:
    """Return the versions of a list such as `3.12,3.13`."""
    return [_python(word) for word in words(text)]


def arches(text: str) -> List[targets.Target]:
    """Return the targets of a list of architectures."""
    return [targets.target_for_arch(word) for word in words(text)]


Option = Mapping[str, Any]

# What an option takes, wherever it appears.
PYTHON: Option = {
    "type": _python,
    "help": "Windows Python, such as 3.13 or 3.7.9; the default one of pins.toml when absent",
}
ARCH: Option = {
    "dest": "target",
    "metavar": "ARCH",
    "type": targets.target_for_arch,
    "default": targets.WINDOWS[0],
    "help": "Windows architecture: amd64 or win32; amd64 when absent",
}
TARGET: Option = {"type": targets.find_target, "help": "target triple or platform tag, such as win32; all when absent"}
WHEEL: Option = {"dest": "path", "metavar": "WHEEL", "help": "a wheel file"}


def target_or(default: targets.Target) -> Option:
    """Return the option for one target, with a default."""
    return {**TARGET, "default": default, "help": f"target triple or platform tag; {default.triple} when absent"}


def flag(meaning: str) -> Option:
    """Return an option that takes no value."""
    return {"action": "store_true", "help": meaning}


def parse(command: str, options: Mapping[str, Option], words: Sequence[str]) -> argparse.Namespace:
    """Return the values of a command's options.

    Args:
        command: what the user calls, for messages.
        options: by name, such as `--python` or `NAME`; the arguments of `add_argument`.
        words: what stands behind the command.

    Raises:
        SettingError: an unknown option, a missing or wrong value; says which options there are.
        UnknownTargetError, UnknownArchitectureError, UnknownPythonError: lists the valid ones.
    """
    parser = _Parser(prog=command, add_help=False, allow_abbrev=False)
    for name, option in options.items():
        parser.add_argument(name, **option)
    return parser.parse_args(list(words))
