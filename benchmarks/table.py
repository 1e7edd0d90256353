"""The comparisons of comparisons.toml, as typed entries."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

TABLE = Path(__file__).with_name("comparisons.toml")
CORE, UPLOADS, PAGE, BUILD, PLATFORMS = "core", "uploads", "page", "build", "platforms"
GROWTH = "21"
ENDS = "22"


@dataclass(frozen=True)
class Comparison:
    """One comparison; comparisons.toml says what the fields mean.

    Attributes:
        metrics: with how many metrics it was taken, in the comparisons that show how the cost grows; else 0.
    """

    key: str
    what: str
    baseline: str
    sides: Tuple[str, str]
    unit: str = "s"
    goal: Optional[str] = None
    label: str = ""
    note: str = ""
    profile: str = ""
    metrics: int = 0


@dataclass(frozen=True)
class Group:
    """Comparisons that share their preparation and their rounds.

    Attributes:
        part: the section of the document that shows them, such as `core`.
        once: one round is enough, since the figures do not vary.
    """

    name: str
    part: str
    comparisons: Tuple[Comparison, ...]
    once: bool = False


def load() -> Tuple[Group, ...]:
    """Return all groups, in the order of the file."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    with open(TABLE, "rb") as stream:
        entries: Sequence[Dict[str, Any]] = tomllib.load(stream)["group"]
    return tuple(_group(entry) for entry in entries)


def _group(entry: Dict[str, Any]) -> Group:
    comparisons = tuple(
        Comparison(**{**fields, "sides": tuple(fields["sides"])}) for fields in entry.get("comparison", ())
    )
    grown = tuple(_growth(entry)) if "metrics" in entry else ()
    ends = tuple(_ends(entry)) if "servers" in entry else ()
    return Group(entry["name"], entry["part"], comparisons + grown + ends, entry.get("once", False))


def _ends(entry: Dict[str, Any]) -> Iterator[Comparison]:
    """Return the comparisons of each end of a program with each other package, and with a bare interpreter."""
    number = 0
    for server, said in entry["servers"].items():
        for way, called in entry["ways"].items():
            for other in (*entry["others"], ""):
                number += 1
                what = f"{called}, {said}" if other else f"{called}, {said}, over a bare interpreter"
                cell = f"{server}, {way}"
                sides = (f"glean_py, {cell}", f"{other}, {cell}") if other else (f"over bare, {cell}", "0.1 s")
                note = entry["note"] if number == 1 else ""
                yield Comparison(
                    f"{ENDS}.{number}", what, other or "0.1 s", sides, goal="1", note=note, profile=entry["profile"]
                )


def _growth(entry: Dict[str, Any]) -> Iterator[Comparison]:
    """Return the comparisons of each figure with more and more metrics; the last one has ours as its baseline."""
    *_, less, most = entry["metrics"]
    number = 0
    for figure in entry["figures"]:
        for metrics in entry["metrics"]:
            number += 1
            ours, theirs = (f"{package}, {metrics}, {figure['name']}" for package in ("glean_py", "glean-sdk"))
            made = Comparison(
                f"{GROWTH}.{number}",
                f"{metrics:,} metrics: {figure['what']}",
                "glean-sdk",
                (ours, theirs),
                figure["unit"],
                label=figure["label"],
                note=entry["note"] if number == 1 else "",
                metrics=metrics,
            )
            if metrics == most:
                sides = (ours, f"glean_py, {less}, {figure['name']}")
                made = replace(made, baseline=f"ours with {less:,} metrics", sides=sides)
            yield made
