"""Draws docs/benchmarks.svg, the same each time: ratios with their goals, and how the cost grows."""

from __future__ import annotations

import math
import statistics
from typing import Dict, List, Sequence, Tuple
from xml.sax.saxutils import escape

from benchmarks.figures import Result, ratio_text, spread

_WIDTH = 920
_LABEL, _PLOT_LEFT, _PLOT_RIGHT = 16, 380, 740
_BAR = 24
_INK, _SOFT, _GRID = "#1f2328", "#59636e", "#d1d9e0"
_MET, _MISSED, _BASELINE = "#2a6fbb", "#c2410c", "#8b949e"
_PAPER = "#ffffff"
# Each colour in the dark.
_DARK = {
    _INK: "#e6edf3",
    _SOFT: "#9198a1",
    _GRID: "#3d444d",
    _MET: "#58a6ff",
    _MISSED: "#f0883e",
    _BASELINE: "#8b949e",
    _PAPER: "#131416",
}

Point = Tuple[float, float]


def render(results: Sequence[Result]) -> str:
    """Return the chart as SVG; what was not measured is left out."""
    measured = [result for result in results if not result.not_measured]
    ratios, height = _ratios([result for result in measured if result.goal is not None], 56)
    grown = [one for one in measured if one.comparison.metrics and min((*one.ours, *one.baseline)) > 0]
    growth, height = _growth(grown, height)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
            f'height="{height}" font-family="system-ui, sans-serif" font-size="12" role="img" '
            'aria-label="Benchmarks of the telemetry core">',
            f"<style>@media (prefers-color-scheme: dark) {{ {_dark_rules()} }}</style>",
            f'<rect width="{_WIDTH}" height="{height}" fill="{_PAPER}"/>',
            *ratios,
            *growth,
            "</svg>",
            "",
        ]
    )


# --- ratios -----------------------------------------------------------------------------------------------------------


def _ratios(results: Sequence[Result], top: int) -> Tuple[List[str], int]:
    """Draw a bar for each ratio on a logarithmic axis, and a mark at its goal; return the lines and where they end."""
    lines = [
        _text(_LABEL, 24, "Ours over the baseline: less is better", size=15, weight="600"),
        _text(_LABEL, 42, "median of the rounds' ratios; the thin mark is the goal", colour=_SOFT),
    ]
    if not results:
        return lines, top
    figures = [figure for result in results for figure in (result.ratio, result.goal or 1.0)]
    low, high = math.floor(math.log10(min(figures))), max(0.3, math.log10(max(figures)) + 0.15)
    bottom = top + len(results) * _BAR

    def across(ratio: float) -> float:
        return _PLOT_LEFT + (math.log10(ratio) - low) / (high - low) * (_PLOT_RIGHT - _PLOT_LEFT)

    for power in range(low, math.floor(high) + 1):
        x = across(10.0**power)
        lines.append(_line(x, top, x, bottom, _GRID))
        lines.append(_text(x, bottom + 15, f"{10.0**power:g}", colour=_SOFT, anchor="middle"))
    for number, result in enumerate(results):
        y = top + number * _BAR
        goal, comparison = across(result.goal or 1.0), result.comparison
        colour, verdict = (_MISSED, ", missed") if result.missed else (_MET, "")
        end = max(across(result.ratio), _PLOT_LEFT + 1)
        text = f"{ratio_text(result.ratio)} (≤ {comparison.goal}{verdict})"
        lines += [
            _text(_LABEL, y + 16, f"{comparison.key}  {comparison.label or comparison.what}"),
            f'<rect x="{_PLOT_LEFT}" y="{y + 5}" width="{end - _PLOT_LEFT:.1f}" height="14" rx="2" fill="{colour}"/>',
            _line(goal, y + 2, goal, y + 22, _INK, width=2),
            _text(_PLOT_RIGHT + 10, y + 16, text, colour=colour),
        ]
    return lines, bottom + 40


# --- growth -----------------------------------------------------------------------------------------------------------


def _growth(results: Sequence[Result], top: int) -> Tuple[List[str], int]:
    """Draw a small plot for each figure: number of metrics across, figure up, both logarithmic."""
    plots = _plots(results)
    if not plots:
        return [], top
    lines = [
        _text(_LABEL, top + 10, "How the cost grows with the number of metrics", size=15, weight="600"),
        f'<circle cx="{_LABEL + 5}" cy="{top + 26}" r="4" fill="{_MET}"/>',
        _text(_LABEL + 16, top + 30, "ours", colour=_SOFT),
        f'<circle cx="{_LABEL + 65}" cy="{top + 26}" r="4" fill="{_BASELINE}"/>',
        _text(_LABEL + 76, top + 30, "glean-sdk", colour=_SOFT),
    ]
    width, height, gap = 190, 150, 36
    for number, (title, unit, ours, theirs) in enumerate(plots):
        left = _LABEL + number * (width + gap)
        lines += _plot(left, top + 74, width, height, title, unit, ours, theirs)
    return lines, top + 74 + height + 34


def _plot(
    left: int, top: int, width: int, height: int, title: str, unit: str, ours: List[Point], theirs: List[Point]
) -> List[str]:
    points = [*ours, *theirs]
    xs, ys = [math.log10(x) for x, _ in points], [math.log10(y) for _, y in points]
    low, high = min(ys) - 0.45, max(ys) + 0.35
    span = max(max(xs) - min(xs), 1.0)

    def place(point: Point) -> Tuple[float, float]:
        across = left + 14 + (math.log10(point[0]) - min(xs)) / span * (width - 28)
        return across, top + height - (math.log10(point[1]) - low) / (high - low) * height

    lines = [
        _text(left, top - 10, title, weight="600"),
        _line(left, top + height, left + width, top + height, _GRID),
    ]
    for x in sorted({x for x, _ in points}):
        lines.append(_text(place((x, points[0][1]))[0], top + height + 16, f"{x:,.0f}", colour=_SOFT, anchor="middle"))
    for series, other, colour in ((theirs, ours, _BASELINE), (ours, theirs, _MET)):
        placed = [place(point) for point in series]
        above = dict(other)
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (metrics, value) in zip(placed, series):
            # The smaller of two figures has its text below, out of the way of the other one's.
            text_y = y + 15 if above.get(metrics, 0.0) > value else y - 8
            lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
            lines.append(_text(x, text_y, _value(value, unit), colour=colour, size=10, anchor="middle"))
    return lines


def _plots(results: Sequence[Result]) -> List[Tuple[str, str, List[Point], List[Point]]]:
    """Return title, unit and the points of both sides for each figure."""
    plots: Dict[str, Tuple[str, str, List[Point], List[Point]]] = {}
    for result in results:
        comparison = result.comparison
        _, _, ours, theirs = plots.setdefault(comparison.label, (comparison.label, comparison.unit, [], []))
        ours.append((comparison.metrics, statistics.median(result.ours)))
        # With the most metrics, ours is compared with itself.
        if comparison.baseline == "glean-sdk":
            theirs.append((comparison.metrics, statistics.median(result.baseline)))
    return list(plots.values())


def _value(figure: float, unit: str) -> str:
    """Return a figure for a label: the middle one of its spread, large sizes in MB."""
    if unit == "bytes":
        return f"{figure / 1e6:.1f} MB" if figure >= 1e6 else f"{figure / 1e3:.0f} kB"
    return spread([figure], unit).split(" / ")[-1]


def _dark_rules() -> str:
    """Return the rules that give each colour its place in the dark."""
    pairs = [(part, light, dark) for light, dark in _DARK.items() for part in ("fill", "stroke")]
    return " ".join(f'[{part}="{light}"] {{ {part}: {dark} }}' for part, light, dark in pairs)


# --- SVG --------------------------------------------------------------------------------------------------------------


def _text(
    x: float, y: float, text: str, *, colour: str = _INK, size: int = 12, weight: str = "", anchor: str = ""
) -> str:
    more = (f' font-weight="{weight}"' if weight else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}"{more}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: int = 1) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'
