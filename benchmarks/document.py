"""What the benchmark says: the table on standard output, docs/benchmarks.md, and the chart.

docs/benchmarks.json holds the figures of the last whole run of each part and of the last cold run; the document is made
from it alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from benchmarks import chart
from benchmarks.figures import Figures, Result, ratio_text, results, spread
from benchmarks.table import BUILD, CORE, PAGE, PLATFORMS, UPLOADS, Group
from glean_steps import report, workspace

FIGURES = Path("docs/benchmarks.json")
DOCUMENT = Path("docs/benchmarks.md")
CHART = Path("docs/benchmarks.svg")
COLD = "cold"
NO_PROFILE = "no profile yet; it belongs into `benchmarks/comparisons.toml`."
_HEADINGS = {
    CORE: "## The telemetry core",
    UPLOADS: "## Uploads",
    PAGE: "## The page of the collector",
    BUILD: "## Building",
    PLATFORMS: "## Building for every platform",
}
_COLUMNS = ("#", "ours", "baseline", "ours min / median / max", "baseline min / median / max", "ratio", "of medians")
_HEAD = """# Benchmarks

Written by `python3 bootstrap.py nox -s bench` from the figures in `benchmarks.json`; edit `benchmarks/`, not this file.
`-- --only core` measures one part, `-- --render` measures nothing and writes the document anew.

## Method

A round measures each side of a comparison once, one after the other, starting with another one each time; the first
round does not count. *Ratio* is ours over the baseline's: the median of the rounds' ratios, and the goal is judged by
it. *Of medians* is the ratio of the two medians; where the two differ much, the machine was not quiet. Less is better
everywhere. Each section says when it was taken: all figures of a section come from one run, those of two sections only
if both name the same moment.
"""
_CHART = "![The ratios of the comparisons with a goal, and how the cost grows](benchmarks.svg)"


def read(root: Path) -> Dict[str, Any]:
    """Return what the last whole runs stored, by part; nothing when there was none."""
    file = root / FIGURES
    stored: Dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return stored


def part_entry(circumstances: Mapping[str, Any], figures: Mapping[str, Figures]) -> Dict[str, Any]:
    """Return what is stored of a whole run of a part: nine significant digits of each figure, since more is noise."""
    shortened = {
        name: Figures({side: [float(f"{each:.9g}") for each in taken] for side, taken in group.taken.items()})
        for name, group in figures.items()
    }
    return {
        **circumstances,
        "groups": {name: {**asdict(shortened[name]), "failed": group.failed} for name, group in figures.items()},
    }


def write(root: Path, stored: Mapping[str, Any], groups: Sequence[Group]) -> None:
    """Write figures, document and chart."""
    workspace.write_text(root / FIGURES, json.dumps(stored, indent=1, ensure_ascii=False) + "\n")
    workspace.write_text(root / DOCUMENT, render(stored, groups))
    if CORE in stored:
        workspace.write_text(root / CHART, chart.render(part_results(stored, CORE, groups)))


def part_results(stored: Mapping[str, Any], part: str, groups: Sequence[Group]) -> List[Result]:
    """Return the stored results of one part, for the comparisons there are today."""
    figures = {name: Figures(**fields) for name, fields in stored[part]["groups"].items()}
    return results([group for group in groups if group.part == part], figures)


def render(stored: Mapping[str, Any], groups: Sequence[Group]) -> str:
    """Return docs/benchmarks.md."""
    sections = [_HEAD]
    for part, heading in _HEADINGS.items():
        body = _part(stored[part], part, part_results(stored, part, groups)) if part in stored else "not measured yet."
        sections.append(f"{heading}\n\n{body}\n")
    sections.append(f"## Cold run\n\n{_cold(stored[COLD]) if COLD in stored else _NO_COLD_RUN}\n")
    return "\n".join(sections)


def closing_table(measured: Sequence[Result]) -> report.Table:
    """Return the table for standard output."""
    table = report.Table("Benchmarks", (*_COLUMNS, "goal", "result"))
    table.rows = [_cells(result) for result in measured]
    table.notes = [f"{one.comparison.key}: {one.comparison.note}" for one in measured if one.comparison.note]
    return table


def _part(entry: Mapping[str, Any], part: str, measured: Sequence[Result]) -> str:
    """Return the section of one part, without its heading."""
    with_goal = [result for result in measured if result.goal is not None]
    growth = [result for result in measured if result.comparison.metrics]
    others = [result for result in measured if result.goal is None and not result.comparison.metrics]
    missed = [
        f"- {result.comparison.key}: {result.comparison.profile or NO_PROFILE}" for result in with_goal if result.missed
    ]
    lines = [
        f"Taken on {entry['date']}, in one run on one machine; rounds: {entry['rounds']}.",
        "",
        *(f"- {name}: {value}" for name, value in (*entry["machine"].items(), *entry["versions"].items())),
        "",
        *("### Goals", "", *([_CHART, ""] if part == CORE else []), *_markdown(with_goal), ""),
    ]
    if missed:
        lines += ["### Missed, and where the time goes", "", *missed, ""]
    for heading, chosen in (("### Without a goal", others), ("### Growth", growth)):
        lines += [heading, "", *_markdown(chosen), ""] if chosen else []
    return "\n".join(lines).rstrip()


_NO_COLD_RUN = "not measured: no cold run yet; `python3 bootstrap.py nox -s bench -- --cold` makes one."


def _cold(entry: Mapping[str, Any]) -> str:
    """Return the section on the cold run, without its heading."""
    if "failed" in entry:
        return f"not measured: {entry['failed']} ({entry['date']})"
    sizes = {name: report.human_size(size) for name, size in entry["disk"].items()}
    cells: List[Tuple[str, str]] = [
        ("time from the command to the finished wheels", f"{entry['seconds']:.0f} s"),
        ("peak resident memory of its largest process", report.human_size(entry["memory"])),
        *((f"disk, {name}", size) for name, size in sizes.items()),
    ]
    return "\n".join(
        [
            f"Taken on {entry['date']} by `python3 bootstrap.py nox -s bench -- --cold`, of commit {entry['commit']}: "
            "`build_windows` in a new clone with an empty cache, on a machine that has the system packages and cargo's "
            "registry.",
            "",
            "| what | figure |",
            "| --- | --: |",
            *(f"| {what} | {figure} |" for what, figure in cells),
        ]
    )


def _markdown(measured: Sequence[Result]) -> List[str]:
    lines = [
        f"| {' | '.join((*_COLUMNS, 'goal', 'result'))} |",
        "| --- | --- | --- | --: | --: | --: | --: | --: | --- |",
    ]
    lines += [
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in _cells(result))} |"
        for result in measured
    ]
    notes = [f"- {one.comparison.key}: {one.comparison.note}" for one in measured if one.comparison.note]
    return lines + ([""] + notes if notes else [])


def _cells(result: Result) -> List[str]:
    comparison = result.comparison
    goal = f"≤ {comparison.goal}" if comparison.goal else ""
    names = [comparison.key, comparison.what, comparison.baseline]
    if result.not_measured:
        return [*names, "not measured", "not measured", "", "", goal, result.verdict]
    spreads = [spread(result.ours, comparison.unit), spread(result.baseline, comparison.unit)]
    return [*names, *spreads, ratio_text(result.ratio), ratio_text(result.ratio_of_medians), goal, result.verdict]
