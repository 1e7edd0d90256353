"""The plugin that pytest finds by itself: the fixture `glean_collector`."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from glean_py.serve import Collector


@pytest.fixture
def glean_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A `glean_py.serve.Collector` on a free port, which gets a copy of each ping of this process and its children."""
    from glean_py import Glean
    from glean_py.serve import Collector

    with Collector() as collector:
        monkeypatch.setenv("GLEAN_DEBUG_COLLECTOR", collector.endpoint)
        # One that another fixture started before.
        Glean._start_uploads()
        yield collector
