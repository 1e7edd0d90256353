"""What the benchmark says: the table on standard output, and docs/benchmarks.md.

The document has a section for each part, and one on the cold run. A run that measures a part whole writes its section
anew and leaves the others as they are; each says when it was taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Mapping, Sequence

from glean_steps import report
from glean_steps.bench.figures import Result, goal_text, key_order, ratio_text, spread
from glean_steps.bench.group import BUILD, CORE

COLD = "## Cold run"
NO_COLD_RUN = "not measured: no cold run yet; `python3 bootstrap.py nox -s bench -- --cold` makes one."
HEADINGS: Mapping[str, str] = {CORE: "## The telemetry core", BUILD: "## Building"}
NO_PROFILE = "no profile yet; `glean_steps/bench/profiles.py` is where it is written."
GROWTH = "21"
_CHART = {CORE: "![The ratios of the rows with a goal, and how the cost grows](benchmarks.svg)"}
_COLUMNS = ("row", "ours", "peer", "ours min / median / max", "peer min / median / max", "ratio", "of medians", "goal")
_HEAD = """# Benchmarks

Written by `python3 bootstrap.py nox -s bench`; edit `glean_steps/bench/`, not this file. `-- --only core` measures one
part and writes its section anew; `-- --render` writes the sections anew from the figures of the last whole runs, which
are in `benchmarks.json`.

## Method

A round measures each side of a comparison once, one after the other, starting with another one each time; the first
round does not count. *Ratio* is ours over the peer's: the median of the rounds' ratios, and the goal is judged by it.
*Of medians* is the ratio of the two medians; where the two differ much, the machine was not quiet. Less is better
everywhere. Each section says when it was taken: all figures of a section come from one run, those of two sections only
if both name the same moment.
"""


@dataclass(frozen=True)
class Circumstances:
    """What a reader needs to judge the figures.

    Attributes:
        date: when they were taken.
        rounds: how many rounds.
        machine: facts about the machine, by name.
        versions: versions of everything that took part, by name.
    """

    date: str
    rounds: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]


def closing_table(results: Sequence[Result]) -> report.Table:
    """Return the table for standard output."""
    ordered = _ordered(results)
    table = report.Table("Benchmarks", (*_COLUMNS, "result"))
    table.rows = [[*_cells(result), result.verdict] for result in ordered]
    for result in ordered:
        table.notes += [f"{result.row.key}: {note}" for note in result.notes]
    return table


def render_part(part: str, results: Sequence[Result], circumstances: Circumstances, profiles: Mapping[str, str]) -> str:
    """Return the section of one part.

    Args:
        part: which one.
        results: of every row of the part.
        circumstances: of the run that measured them.
        profiles: where the time goes, by row; shown for rows that missed their goal.
    """
    ordered = _ordered(results)
    with_goal = [result for result in ordered if result.row.goal is not None]
    growth = [result for result in ordered if result.row.key.split(".")[0] == GROWTH]
    others = [result for result in ordered if result.row.goal is None and result not in growth]
    lines = [
        HEADINGS[part],
        "",
        f"Taken on {circumstances.date}, in one run on one machine, in {circumstances.rounds} "
        f"round{'s' if circumstances.rounds != 1 else ''}.",
        "",
        *_bullets(circumstances.machine),
        "",
        *_bullets(circumstances.versions),
        "",
        "### Goals",
        "",
        *([_CHART[part], ""] if part in _CHART else []),
        *_markdown(with_goal),
        "",
        *_missed(with_goal, profiles),
    ]
    for heading, rows in (("### Without a goal", others), ("### Growth", growth)):
        lines += [heading, "", *_markdown(rows), ""] if rows else []
    return "\n".join(lines).rstrip()


def assemble(sections: Mapping[str, str], before: str = "") -> str:
    """Return docs/benchmarks.md.

    Args:
        sections: by their headings, those that are new.
        before: the document as it was; its other sections are kept.
    """
    headings = [*HEADINGS.values(), COLD]
    texts = [sections.get(heading) or kept_section(before, heading) for heading in headings]
    return "\n".join([_HEAD, *(f"{text.strip()}\n" for text in texts if text)])


def kept_section(text: str, heading: str) -> str:
    """Return a section of an earlier document, or what stands there until there is one."""
    found = re.search(rf"^{re.escape(heading)}$.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found:
        return found.group(0).strip()
    return f"{heading}\n\n{NO_COLD_RUN if heading == COLD else 'not measured yet.'}"


def _missed(results: Sequence[Result], profiles: Mapping[str, str]) -> List[str]:
    """Return where the time goes in the rows that missed their goal."""
    missed = [
        result.row.key
        for result in results
        if not result.not_measured and result.row.goal is not None and result.ratio > result.row.goal
    ]
    if not missed:
        return []
    texts = [f"- {key}: {' '.join(profiles.get(key, NO_PROFILE).split())}" for key in missed]
    return ["### Missed, and where the time goes", "", *texts, ""]


def _ordered(results: Sequence[Result]) -> List[Result]:
    return sorted(results, key=lambda result: key_order(result.row.key))


def _markdown(results: Sequence[Result]) -> List[str]:
    lines = [f"| {' | '.join((*_COLUMNS, 'result'))} |", "| --- | --- | --- | --: | --: | --: | --: | --: | --- |"]
    lines += [f"| {' | '.join(_escaped(cell) for cell in (*_cells(result), result.verdict))} |" for result in results]
    notes = [f"- {result.row.key}: {note}" for result in results for note in result.notes]
    return lines + ([""] + notes if notes else [])


def _cells(result: Result) -> List[str]:
    row = result.row
    goal = goal_text(row.goal)
    if result.not_measured:
        return [row.key, row.what, row.peer, "not measured", "not measured", "", "", goal]
    figures = [spread(result.ours, row.unit), spread(result.theirs, row.unit)]
    return [row.key, row.what, row.peer, *figures, ratio_text(result.ratio), ratio_text(result.ratio_of_medians), goal]


def _bullets(facts: Mapping[str, str]) -> List[str]:
    return [f"- {name}: {value}" for name, value in facts.items()]


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
