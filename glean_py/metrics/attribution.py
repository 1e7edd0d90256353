"""Where the application was got from: attribution and distribution."""

from __future__ import annotations

from glean_py.metrics.common import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional


class AttributionMetrics(Value):
    """How a user came to the application.

    Args:
        source: the site or program that led here.
        medium: the kind of link, such as `cpc`.
        campaign: the campaign it belongs to.
        term: what was searched for.
        content: which of several links it was.
    """

    def __init__(
        self,
        *,
        source: Optional[str] = None,
        medium: Optional[str] = None,
        campaign: Optional[str] = None,
        term: Optional[str] = None,
        content: Optional[str] = None,
    ) -> None:
        self.source = source
        self.medium = medium
        self.campaign = campaign
        self.term = term
        self.content = content


class DistributionMetrics(Value):
    """The distribution of the application.

    Args:
        name: its name.
    """

    def __init__(self, *, name: Optional[str] = None) -> None:
        self.name = name
