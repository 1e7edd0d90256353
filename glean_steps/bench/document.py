"""What the benchmark says: the table on standard output, and docs/benchmarks.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Mapping, Sequence

from glean_steps import report
from glean_steps.bench.figures import Result, ratio_text, spread

COLD = "## Cold run"
NO_COLD_RUN = "not measured: no cold run yet; `python3 bootstrap.py nox -s bench -- --cold` makes one."
_COLUMNS = ("row", "ours", "peer", "ours min / median / max", "peer min / median / max", "ratio", "of medians", "goal")


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
    table = report.Table("Benchmarks", (*_COLUMNS, "result"))
    table.rows = [[*_cells(result), result.verdict] for result in results]
    for result in results:
        table.notes += [f"{result.row.key}: {note}" for note in result.notes]
    return table


def render(results: Sequence[Result], circumstances: Circumstances, cold: str) -> str:
    """Return docs/benchmarks.md.

    Args:
        results: of every row.
        circumstances: of this run.
        cold: the section on the cold run, which may be an earlier one.
    """
    with_goal = [result for result in results if result.row.goal is not None]
    without = [result for result in results if result.row.goal is None]
    lines = [
        "# Benchmarks",
        "",
        "Written by `python3 bootstrap.py nox -s bench`; edit `glean_steps/bench/`, not this file.",
        "",
        "## Method",
        "",
        f"Taken on {circumstances.date}, all in one run on one machine, in {circumstances.rounds} "
        f"round{'s' if circumstances.rounds != 1 else ''} after one that does not count. A round measures each side of "
        "a comparison once, one after the other, starting with another one each time. *Ratio* is ours over the peer's: "
        "the median of the rounds' ratios, and the goal is judged by it. *Of medians* is the ratio of the two medians; "
        "where the two differ much, the machine was not quiet. Less is better everywhere.",
        "",
        *_bullets(circumstances.machine),
        "",
        *_bullets(circumstances.versions),
        "",
        "## Goals",
        "",
        *_markdown(with_goal),
        "",
        "## Without a goal",
        "",
        *_markdown(without),
        "",
        cold.strip(),
    ]
    return "\n".join(lines) + "\n"


def kept_cold_section(text: str) -> str:
    """Return the section on the cold run of an earlier document, or one that says that there was none."""
    found = re.search(rf"^{COLD}$.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group(0).strip() if found else f"{COLD}\n\n{NO_COLD_RUN}"


def replace_cold_section(text: str, section: str) -> str:
    """Return a document with another section on the cold run, all else as it was."""
    start = re.search(rf"^{COLD}$.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if start is None:
        return f"{text.rstrip()}\n\n{section.strip()}\n"
    after = text[start.end() :]
    return text[: start.start()] + section.strip() + "\n" + (f"\n{after}" if after else "")


def _markdown(results: Sequence[Result]) -> List[str]:
    lines = [f"| {' | '.join((*_COLUMNS, 'result'))} |", "| --- | --- | --- | --: | --: | --: | --: | --: | --- |"]
    lines += [f"| {' | '.join(_escaped(cell) for cell in (*_cells(result), result.verdict))} |" for result in results]
    notes = [f"- {result.row.key}: {note}" for result in results for note in result.notes]
    return lines + ([""] + notes if notes else [])


def _cells(result: Result) -> List[str]:
    row = result.row
    goal = "" if row.goal is None else f"≤ {row.goal:g}"
    if result.not_measured:
        return [row.key, row.what, row.peer, "not measured", "not measured", "", "", goal]
    figures = [spread(result.ours, row.unit), spread(result.theirs, row.unit)]
    return [row.key, row.what, row.peer, *figures, ratio_text(result.ratio), ratio_text(result.ratio_of_medians), goal]


def _bullets(facts: Mapping[str, str]) -> List[str]:
    return [f"- {name}: {value}" for name, value in facts.items()]


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
