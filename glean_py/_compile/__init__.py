"""Writes a Python module for the metrics and pings of YAML files: `python -m glean_py compile`."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Sequence, Union

from glean_py import _definitions
from glean_py._compile.module import CompileError, render

__all__ = ["CompileError", "Outcome", "compile_files", "relative_name"]

_DIFFERENCE_LINES = 40


class Outcome(NamedTuple):
    """What came of a compilation: whether the module is as it should be, whether it was written, how it differed."""

    is_current: bool
    is_written: bool
    difference: str


def compile_files(
    paths: Sequence[Path],
    output: Path,
    config: Dict[str, Any],
    *,
    options: Sequence[Union[str, Path]] = (),
    check: bool = False,
) -> Outcome:
    """Write the module for YAML files, or only compare it with what is there.

    Args:
        paths: files with metrics and pings.
        output: the module; replaced as a whole, and left alone if nothing changes.
        config: options of the parser.
        options: the words on the command line that led to `config`, files among them as paths.
        check: write nothing.

    Raises:
        CompileError: the files define nothing that can be in a module, or a name that no attribute can have.
        ModuleNotFoundError, OSError, TypeError, ValueError: the files cannot be read, as for `load_metrics`, or the
            module cannot be written.
    """
    # A link stays one: what it points to is replaced.
    target = Path(os.path.realpath(str(output)))
    definitions = _definitions.read(paths, config)
    names = [relative_name(path, target) for path in paths]
    words = [relative_name(word, target) if isinstance(word, Path) else word for word in options]
    text = render(definitions, names, target.name, words)
    try:
        compile(text, str(target), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise CompileError(
            f"the module for {', '.join(names)} would be none that Python reads ({error}); this is a defect of "
            "glean_py: please report it with these files"
        ) from error
    data = text.encode("utf-8")
    present = target.read_bytes() if target.exists() else None
    if present == data:
        return Outcome(True, False, "")
    difference = _difference(present, text, output)
    if check:
        return Outcome(False, False, difference)
    _replace(target, data)
    return Outcome(True, True, difference)


def relative_name(path: Path, target: Path) -> str:
    """Return a file's name as seen from the folder of `target`; the bare name if they have no folder in common."""
    start = os.path.dirname(os.path.realpath(str(target)))
    absolute = os.path.realpath(str(path))
    try:
        shared = os.path.commonpath([start, absolute])
    except ValueError:
        # On different drives.
        return os.path.basename(absolute)
    if os.path.dirname(shared) == shared:
        return os.path.basename(absolute)
    return os.path.relpath(absolute, start).replace(os.sep, "/")


def _difference(present: Optional[bytes], text: str, output: Path) -> str:
    if present is None:
        return f"{output} does not exist"
    old = present.decode("utf-8", "replace").splitlines()
    lines = list(difflib.unified_diff(old, text.splitlines(), str(output), "compiled now", lineterm="", n=1))
    if not lines:
        return f"{output} differs in its line ends"
    if len(lines) > _DIFFERENCE_LINES:
        lines[_DIFFERENCE_LINES:] = [f"… and {len(lines) - _DIFFERENCE_LINES} more lines"]
    return "\n".join(lines)


def _replace(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        if target.exists():
            os.chmod(str(temporary), target.stat().st_mode & 0o777)
        os.replace(str(temporary), str(target))
    except BaseException:
        if temporary.exists():
            temporary.unlink()
        raise
