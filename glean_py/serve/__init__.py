"""A collector for the pings of programs under development: `python -m glean_py serve`, and `Collector` in tests."""

from __future__ import annotations

from glean_py.serve.collector import Collector

__all__ = ["Collector"]

DEFAULT_PORT = 8125
