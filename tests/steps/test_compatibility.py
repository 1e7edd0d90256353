"""docs/compatibility.md: each difference has a test, and what is marked as a difference elsewhere has a row."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
VECTORS = json.loads((ROOT / "tests" / "vectors.json").read_text(encoding="utf-8"))
FOLDERS = (
    "tests/bindings",
    "tests/steps",
    "tests/differential",
    "glean_core/tests",
    "glean_core/tests/core",
    "glean_core/src",
)
LINES = [line for line in PAGE.splitlines() if re.match(r"\| C\d", line)]
CELLS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES]


def rows() -> dict[str, list[str]]:
    """Return the tests of each row by its number."""
    return {cells[0]: re.findall(r"`([^`]+?::[^`]+)`", cells[-1]) for cells in CELLS}


def is_there(reference: str) -> bool:
    """Return whether there is a test that the page calls `file::name`."""
    file, name = reference.split("::")
    if file == "vectors.json":
        return name in {vector["name"] for vector in VECTORS}
    text = next(path.read_text(encoding="utf-8") for folder in FOLDERS if (path := ROOT / folder / file).is_file())
    return re.search(rf"\b(def|fn) {re.escape(name)}\(", text) is not None


def test_every_row_is_whole_and_numbered_once() -> None:
    assert len(CELLS) > 30
    assert all(len(cells) == 5 and all(cells) for cells in CELLS)
    numbers = [cells[0] for cells in CELLS]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(("number", "references"), rows().items(), ids=rows())
def test_every_row_has_a_test_that_is_there(number: str, references: list[str]) -> None:
    assert references, f"{number} names no test"
    assert [reference for reference in references if not is_there(reference)] == []


def test_a_test_that_is_not_there_is_noticed() -> None:
    assert is_there("test_differences.py::test_a_running_duration_ends_with_the_run")
    assert is_there("events.rs::only_marks_are_no_events")
    assert not is_there("test_differences.py::test_a_running_duration")
    assert not is_there("vectors.json::nothing")


def test_every_vector_that_differs_has_a_row_that_names_it() -> None:
    named = rows()
    differing = {vector["name"]: vector["differs"] for vector in VECTORS if "differs" in vector}
    assert {name for name, number in differing.items() if f"vectors.json::{name}" not in named.get(number, [])} == set()


def test_every_difference_that_random_programs_may_find_has_a_row() -> None:
    allowed = (ROOT / "tests" / "differential" / "allowed.py").read_text(encoding="utf-8")
    assert set(re.findall(r'Row\("(C\d+)"', allowed)) <= set(rows())
