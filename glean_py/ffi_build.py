"""Make the cffi module `glean_py._glean_ffi` from the C header; used by setup.py, not part of a wheel."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

# Not an import statement: cffi has no types of its own, and type checking shouldn't need a package of stubs.
cffi: Any = importlib.import_module("cffi")

HEADER = Path(__file__).resolve().parent.parent / "glean_core" / "include" / "glean.h"


def read_declarations(header: Path) -> str:
    """Return the header without what cffi doesn't read: `#include`, include guard and conditionals.

    `#define NAME <integer>` stays: cffi makes it an attribute of the library.
    """
    lines = []
    for line in header.read_text(encoding="utf-8").splitlines():
        words = line.split()
        is_constant = len(words) == 3 and words[0] == "#define"
        if is_constant or not line.startswith("#"):
            lines.append(line)
    return "\n".join(lines)


def write_module(target: Path, *, header: Path = HEADER) -> Path:
    """Write the module to `target` and return it. It is the same on every platform."""
    ffibuilder = cffi.FFI()
    ffibuilder.cdef(read_declarations(header))
    ffibuilder.set_source("glean_py._glean_ffi", None)
    ffibuilder.emit_python_code(str(target))
    return target


if __name__ == "__main__":
    write_module(Path(sys.argv[1]))
