"""The arithmetic of a comparison: ratios, their median, the verdict. Knows nothing of how figures are taken."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from benchmarks.table import Comparison, Group


@dataclass(frozen=True)
class Figures:
    """What a group's sides took, round by round, and why some could not be measured; both by the name of the side."""

    taken: Dict[str, List[float]] = field(default_factory=dict)
    failed: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """The figures of both sides of one comparison, or why there are none."""

    comparison: Comparison
    ours: Sequence[float] = ()
    baseline: Sequence[float] = ()
    not_measured: str = ""

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios: a round that something disturbed does not move it."""
        if len(self.ours) != len(self.baseline) or not self.ours:
            raise ValueError(f"{len(self.ours)} figures cannot be compared with {len(self.baseline)}")
        return statistics.median(one / other for one, other in zip(self.ours, self.baseline))

    @property
    def ratio_of_medians(self) -> float:
        """The ratio of the two medians; far from `ratio`, it says that the machine was not quiet."""
        return statistics.median(self.ours) / statistics.median(self.baseline)

    @property
    def goal(self) -> Optional[float]:
        """The goal as a number, or None."""
        return None if self.comparison.goal is None else float(Fraction(self.comparison.goal))

    @property
    def missed(self) -> bool:
        """Whether it was measured and is above its goal."""
        return not self.not_measured and self.goal is not None and self.ratio > self.goal

    @property
    def verdict(self) -> str:
        """`met` or `missed` with the distance to the goal in percent of the goal, or why there is no verdict."""
        if self.not_measured:
            return f"not measured: {self.not_measured}"
        if self.goal is None:
            return "no goal"
        away = abs(self.ratio - self.goal) / self.goal * 100
        text = f"{away:.0f} %" if away >= 1 or self.ratio == self.goal else "less than 1 %"
        return f"missed, {text} above" if self.missed else f"met, {text} below"


def results(groups: Sequence[Group], figures: Mapping[str, Figures]) -> List[Result]:
    """Return a result for each comparison of the groups that have figures, in the order of their keys."""
    made = []
    for group in groups:
        here = figures.get(group.name, Figures())
        for comparison in group.comparisons:
            ours, baseline = comparison.sides
            why = here.failed.get(ours) or here.failed.get(baseline, "")
            if not why and not (ours in here.taken and baseline in here.taken):
                why = "it is newer than the last whole run"
            if why:
                made.append(Result(comparison, not_measured=why))
            else:
                made.append(Result(comparison, here.taken[ours], here.taken[baseline]))
    return sorted(made, key=lambda result: key_order(result.comparison.key))


# A figure that is too small for its unit is shown in the next smaller one, and the other way round.
_LARGER = {"ns": "us", "us": "ms", "ms": "s"}


def spread(figures: Sequence[float], unit: str) -> str:
    """Return `min / median / max`, with the unit once."""
    three = [min(figures), statistics.median(figures), max(figures)]
    if unit == "bytes":
        return " / ".join(f"{each:,.0f}" for each in (three[1:2] if three[0] == three[2] else three)) + " bytes"
    if unit == "s" and three[1] < 0.1:
        three, unit = [each * 1e6 for each in three], "us"
    while unit in _LARGER and three[1] >= 1000:
        three, unit = [each / 1000 for each in three], _LARGER[unit]
    digits = 1 if three[1] >= 10 else 2 if three[1] >= 1 else 3
    return " / ".join(f"{each:.{digits}f}" for each in three) + (" µs" if unit == "us" else f" {unit}")


def ratio_text(ratio: float) -> str:
    """Return a ratio with three significant figures."""
    if ratio < 0.001:
        return f"{ratio:.2g}"
    return f"{ratio:.4f}" if ratio < 0.1 else f"{ratio:.3f}" if ratio < 1 else f"{ratio:.2f}"


def key_order(key: str) -> Tuple[int, ...]:
    """Return what sorts comparisons by their keys: 8.2 comes before 8.10 and before 9."""
    return tuple(int(part) for part in key.split("."))
