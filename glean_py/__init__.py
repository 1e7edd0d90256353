"""Glean for Python: telemetry for Python applications through one Rust core.

    import glean_py as glean

    glean.Glean.initialize("my-app", "1.0", True, data_dir=Path("telemetry"))

Metrics and pings are in `glean_py.metrics`, helpers for tests in `glean_py.testing`. Log messages go to the logger
`glean_py`.
"""

from __future__ import annotations

from glean_py import _ffi
from glean_py.config import Configuration, SessionMode
from glean_py.glean import Glean

__version__ = _ffi.library_version()
__author__ = "The Glean for Python developers"

__all__ = ["Configuration", "Glean", "SessionMode", "__author__", "__version__"]
