"""Glean for Python: telemetry for Python applications through one Rust core. A program starts it once::

    from pathlib import Path

    import glean_py as glean

    glean.Glean.initialize("my-app", "1.0", True, data_dir=Path("telemetry"))

Metrics and pings are in `glean_py.metrics`, what sends them in `glean_py.net`, helpers for tests in `glean_py.testing`.
Log messages go to the logger `glean_py`.
"""

from __future__ import annotations

from glean_py import _ffi
from glean_py.config import Configuration, SessionMode
from glean_py.glean import Glean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from glean_py import metrics as metrics
    from glean_py import net as net
    from glean_py import testing as testing
    from glean_py._loader import GLEAN_PARSER_VERSION as GLEAN_PARSER_VERSION
    from glean_py._loader import load_metrics, load_pings

__version__ = _ffi.library_version()
__author__ = "The Glean for Python developers"
__email__ = ""

__all__ = [
    "Configuration",
    "Glean",
    "SessionMode",
    "__author__",
    "__email__",
    "__version__",
    "load_metrics",
    "load_pings",
]

# What is imported when it is used: reading YAML needs modules that take longer to import than all the rest.
_LOADED = ("load_metrics", "load_pings", "GLEAN_PARSER_VERSION")
_MODULES = ("_builtins", "_loader", "_uniffi", "_util", "metrics", "net", "testing")

# Type checkers read the imports above; with this they would take every name for granted.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import what was asked for."""
        from importlib import import_module

        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name not in _LOADED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}._loader"), name)
        globals()[name] = value
        return value

    def __dir__() -> List[str]:
        """Return the names that `__getattr__` knows as well."""
        return sorted({*globals(), *_LOADED, *_MODULES})
