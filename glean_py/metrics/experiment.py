"""Experiments."""

from __future__ import annotations

from glean_py.metrics.common import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional


class RecordedExperiment(Value):
    """An experiment that is active.

    Args:
        branch: the branch this client is in.
        extra: what was said besides.
    """

    def __init__(self, *, branch: str, extra: Optional[Dict[str, str]]) -> None:
        self.branch = branch
        self.extra = extra
