"""Write the module of the empty functions as glean_py's own is written: `python -I floor.py MODULE`; needs cffi."""

from __future__ import annotations

import importlib
import sys
from typing import Any

# Not an import statement: cffi has no types of its own.
cffi: Any = importlib.import_module("cffi")


def main(module: str) -> None:
    """Write the module."""
    builder = cffi.FFI()
    builder.cdef("int32_t bench_empty(uint64_t handle, int32_t amount); void bench_empty_no_argument(void);")
    builder.set_source("_bench_floor", None)
    builder.emit_python_code(module)


if __name__ == "__main__":
    main(sys.argv[1])
