"""The figures of the last whole run of each part, in docs/benchmarks.json, so that the document can be made anew."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Sequence

from glean_steps import workspace
from glean_steps.bench.document import Circumstances
from glean_steps.bench.figures import Result, Row
from glean_steps.bench.group import Group

FILE = "docs/benchmarks.json"


def save(file: Path, part: str, circumstances: Circumstances, results: Sequence[Result]) -> None:
    """Put the figures of one part in the place of its earlier ones."""
    told = _read(file)
    told[part] = {
        **asdict(circumstances),
        "rows": {
            result.row.key: {
                "ours": [_short(figure) for figure in result.ours],
                "theirs": [_short(figure) for figure in result.theirs],
                "not_measured": result.not_measured,
            }
            for result in results
        },
    }
    workspace.write_text(file, json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def parts(file: Path) -> List[str]:
    """Return the parts that have figures."""
    return list(_read(file))


def load(file: Path, part: str, groups: Sequence[Group]) -> tuple[Circumstances, List[Result]]:
    """Return the figures of one part with the rows and notes of today; a row that is new was not measured."""
    told = _read(file)[part]
    results = []
    for group in groups:
        for row in group.rows:
            if group.part == part:
                results.append(_result(row, group, told["rows"].get(row.key)))
    return Circumstances(**{name: told[name] for name in ("date", "rounds", "machine", "versions")}), results


def _result(row: Row, group: Group, figures: Any) -> Result:
    notes = [text for key, text in group.notes if key == row.key]
    if figures is None:
        return Result(row, not_measured="the row is newer than the last whole run", notes=notes)
    return Result(row, tuple(figures["ours"]), tuple(figures["theirs"]), figures["not_measured"], notes)


def _short(figure: float) -> float:
    """Return nine digits that count: more is noise."""
    return float(f"{figure:.9g}")


def _read(file: Path) -> Dict[str, Any]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return told if isinstance(told, dict) else {}
