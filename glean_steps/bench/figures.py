"""The arithmetic of a comparison: ratios, their median, the verdict. Knows nothing of what was measured."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import List, Optional, Sequence, Tuple


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        key: what `--only` calls it; `2.1` belongs to `2`.
        what: what is measured of ours.
        peer: what it is compared with.
        ours, theirs: names of the two sides in the group that measures them.
        unit: what the figures are in: `s`, `us`, `ns` or `bytes`.
        goal: the largest ratio that meets the goal; None where there is none.
        label: a short name for the chart.
    """

    key: str
    what: str
    peer: str
    ours: str
    theirs: str
    unit: str = "s"
    goal: Optional[float] = None
    label: str = ""


@dataclass(frozen=True)
class Result:
    """What came of one comparison: the figures of both sides, round by round, or why there are none."""

    row: Row
    ours: Sequence[float] = ()
    theirs: Sequence[float] = ()
    not_measured: str = ""
    notes: List[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios: a round that something disturbed does not move it."""
        return median_ratio(self.ours, self.theirs)

    @property
    def ratio_of_medians(self) -> float:
        """The ratio of the two medians; far from `ratio`, it says that the machine was not quiet."""
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def verdict(self) -> str:
        """Whether the goal is met, and by how much."""
        return f"not measured: {self.not_measured}" if self.not_measured else verdict(self.ratio, self.row.goal)


# A figure that is too small for seconds is told in the next smaller units.
_LARGER = {"ns": "us", "us": "ms", "ms": "s"}


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of figures that were taken in the same round."""
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"{len(ours)} figures cannot be compared with {len(theirs)}")
    return statistics.median(one / other for one, other in zip(ours, theirs))


def verdict(ratio: float, goal: Optional[float]) -> str:
    """Return `met` or `missed` with the distance to the goal in percent of the goal; `no goal` where there is none."""
    if goal is None:
        return "no goal"
    away = abs(ratio - goal) / goal * 100
    text = f"{away:.0f} %" if away >= 1 or ratio == goal else "less than 1 %"
    return f"met, {text} below" if ratio <= goal else f"missed, {text} above"


def spread(figures: Sequence[float], unit: str) -> str:
    """Return `min / median / max`, with the unit once."""
    three = (min(figures), statistics.median(figures), max(figures))
    if unit == "bytes":
        return (
            f"{three[1]:,.0f} bytes"
            if three[0] == three[2]
            else " / ".join(f"{each:,.0f}" for each in three) + " bytes"
        )
    if unit in _LARGER and three[1] >= 1000:
        three, unit = (three[0] / 1000, three[1] / 1000, three[2] / 1000), _LARGER[unit]
        return spread(three, unit)
    if unit == "s" and three[1] < 0.1:
        return spread([each * 1e6 for each in three], "us")
    digits = 1 if three[1] >= 10 else 2 if three[1] >= 1 else 3
    return " / ".join(f"{each:.{digits}f}" for each in three) + (" µs" if unit == "us" else f" {unit}")


def ratio_text(ratio: float) -> str:
    """Return a ratio with three figures that count."""
    if ratio < 0.001:
        return f"{ratio:.2g}"
    return f"{ratio:.4f}" if ratio < 0.1 else f"{ratio:.3f}" if ratio < 1 else f"{ratio:.2f}"


def goal_text(goal: Optional[float]) -> str:
    """Return a goal as it is written: `≤ 1/20` where it is such a part."""
    if goal is None:
        return ""
    parts = round(1 / goal)
    is_part = parts > 1 and abs(1 / goal - parts) < 1e-9
    return f"≤ 1/{parts}" if is_part else f"≤ {goal:g}"


def key_order(key: str) -> Tuple[int, ...]:
    """Return what sorts rows by their keys: 8.2 comes before 8.10 and before 9."""
    return tuple(int(part) for part in key.split("."))


def order_of_round(names: Sequence[str], number: int) -> Tuple[str, ...]:
    """Return the sides in the order of one round: turned by one each time, so that none is always first."""
    start = number % len(names) if names else 0
    return (*names[start:], *names[:start])
