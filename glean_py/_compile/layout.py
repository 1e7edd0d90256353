"""Literals, docstrings and lists in Python source, laid out as the formatters ruff and black leave them.

Both keep a list with one item per line and a comma after the last, however long their lines may be. What is on one line
here fits into 88 characters, their default, if it can be divided at all.
"""

from __future__ import annotations

import textwrap
from typing import List, Sequence

WIDTH = 88
LONGEST = 120
INDENT = " " * 4


def quote(text: str) -> str:
    """Return a literal, in double quotes unless the text has some."""
    return repr(text) if '"' in text else f'"{_escape(text)}"'


def explode(before: str, opening: str, items: Sequence[str], closing: str, after: str = "") -> List[str]:
    """Return a bracketed list on one line, or with one item per line if it is too long for that."""
    whole = f"{before}{opening}{', '.join(items)}{closing}{after}"
    if len(whole) <= WIDTH or not items:
        return [whole]
    margin = before[: len(before) - len(before.lstrip())]
    return [before + opening, *(f"{margin}{INDENT}{item}," for item in items), margin + closing + after]


def docstring(text: str, depth: int) -> List[str]:
    """Return the lines of a docstring; none for an empty text."""
    margin = INDENT * depth
    # splitlines() would also split where Python's own lines don't end.
    first, _, rest = text.expandtabs().strip().partition("\n")
    lines = [line.rstrip() for line in [first, *(textwrap.dedent(rest).split("\n") if rest else [])]]
    if not any(lines):
        return []
    prefix = "r" if _can_be_raw(lines) else ""
    if not prefix:
        lines = [_escape(line).replace('"""', '\\"\\"\\"') for line in lines]
    if lines[0].startswith('"'):
        lines[0] = f" {lines[0]}"
    opened = f'{margin}{prefix}"""{lines[0]}'
    if len(lines) > 1:
        return [opened, *(margin + line if line else "" for line in lines[1:]), f'{margin}"""']
    return [opened + (' """' if lines[0].endswith(('"', "\\")) else '"""')]


def _can_be_raw(lines: Sequence[str]) -> bool:
    has_backslash = any("\\" in line for line in lines)
    return has_backslash and all(line.isprintable() and '"""' not in line for line in lines)


def _escape(text: str) -> str:
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_escape_character(character) for character in text)


def _escape_character(character: str) -> str:
    if character.isprintable() and character != "\\":
        return character
    return character.encode("unicode_escape").decode("ascii")
