"""Fixtures that any test of a step can use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from glean_steps import workspace


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the caller's settings and cache out of the tests, and the tests out of the cache."""
    for name in list(os.environ):
        if name.startswith("GLEAN_") or name == "SOURCE_DATE_EPOCH":
            monkeypatch.delenv(name)
    monkeypatch.setenv("GLEAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def checkout() -> Path:
    """The folder of the project itself; tests only read it."""
    return ROOT


@pytest.fixture
def ws(tmp_path: Path) -> workspace.Workspace:
    """An empty workspace of the test's own."""
    root = tmp_path / "checkout"
    root.mkdir()
    return workspace.Workspace(root=root, cache=tmp_path / "cache")
