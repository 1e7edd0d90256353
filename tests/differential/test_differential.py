"""Random programs under glean-sdk and under glean_py: the same answers, the same pings, field by field."""

from __future__ import annotations

import copy
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence, Set, Tuple

import allowed
import compare
import jsonschema
import programs
import pytest
from shrinking import shrink
from sides import Side, run_both

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "bindings"))
from schema import check_ping, load  # noqa: E402 - the folder of the schema has to be found first

Json = Any
REGRESSIONS = HERE / "regressions.json"
DOCUMENT = HERE.parents[1] / "docs" / "compatibility.md"
SHOWN = 5


@pytest.fixture(scope="session")
def answers(request: pytest.FixtureRequest, sides: Tuple[Side, Side]) -> List[Tuple[Json, Json, Json]]:
    """Every program with what the peer and what glean_py made of it."""
    chosen = json.loads(REGRESSIONS.read_text(encoding="utf-8")) if REGRESSIONS.exists() else []
    count, first = request.config.getoption("--count"), request.config.getoption("--first-seed")
    chosen += programs.generate(count, first)
    peer, ours = run_both(sides, list(enumerate(chosen)))
    return list(zip(chosen, peer, ours))


def unexplained(program: Json, peer: Json, ours: Json) -> List[compare.Difference]:
    return allowed.explain(program, compare.differences(program, peer, ours))[0]


def test_both_packages_answer_the_same(answers: Sequence[Tuple[Json, Json, Json]], sides: Tuple[Side, Side]) -> None:
    number = len(answers)

    def fails(program: Json) -> bool:
        nonlocal number
        number += 1
        peer, ours = run_both(sides, [(number, program)])
        return bool(unexplained(program, peer[0], ours[0]))

    failed, fleeting = [], 0
    for program, peer, ours in answers:
        if unexplained(program, peer, ours):
            # Midnight, or a very slow moment, may come between the two.
            if fails(program):
                failed.append(program)
            else:
                fleeting += 1
    print(f"{len(answers)} programs, {len(failed)} differ, {fleeting} differed once")
    told = []
    for program in failed[:SHOWN]:
        small = shrink(program, fails)
        peer, ours = run_both(sides, [(number + 1, small)])
        number += 1
        said = "\n".join(f"  {difference}" for difference in unexplained(small, peer[0], ours[0])[:10])
        told.append(f"{json.dumps(small)}\n{said}")
    assert not failed, (
        f"{len(failed)} of {len(answers)} programs differ; replay one with tests/differential/replay.py:\n"
        + "\n\n".join(told)
    )
    assert fleeting <= max(1, len(answers) // 50)


def test_no_process_of_ours_dies(answers: object, sides: Tuple[Side, Side]) -> None:
    assert sides[1].deaths == []


def test_every_ping_is_valid(answers: Sequence[Tuple[Json, Json, Json]]) -> None:
    # The tests of the package have a checker of their own, since jsonschema is not for every Python.
    validator = jsonschema.Draft7Validator(load())
    checked = 0
    broken: Dict[str, str] = {}
    for _program, _, ours in answers:
        for step in ours["outcome"]:
            for document in step.get("wrote", ()):
                checked += 1
                assert validator.is_valid(document["body"]) == (check_ping(document["body"]) == [])
                for error in check_ping(document["body"]):
                    broken.setdefault(re.sub(r"\d+", "N", error), f"{error} in {json.dumps(document['body'])[:2000]}")
                assert document["is_named_after_its_id"]
    assert not broken, "\n".join(broken.values())
    assert checked > len(answers)


def test_the_comparison_notices_every_change(answers: Sequence[Tuple[Json, Json, Json]]) -> None:
    """A comparison that overlooks what is wrong would pass as well: change one thing in each outcome."""
    seen = 0
    for program, peer, _ in answers[:60]:
        for place, step in enumerate(peer["outcome"]):
            changes: List[Tuple[List[Any], Json]] = []
            for number, document in enumerate(step.get("wrote", ())):
                changes.append((["wrote", number, "path"], "/submit/other/other/1"))
                changes.append((["wrote", number, "meta", "ping_name"], "other"))
                if "ping_info" in document["body"]:
                    changes.append((["wrote", number, "body", "ping_info", "seq"], 4711))
                changes.append((["wrote", number, "body", "metrics"], {"counter": {"made.up": 1}}))
            if step.get("returned") is not None and (step.get("op") or {}).get("fn") != "generate_and_set":
                changes.append((["returned"], "made up"))
            changes.append((["raised"], "MadeUpError"))
            for path, value in changes[:3]:
                changed = copy.deepcopy(peer)
                target = changed["outcome"][place]
                for key in path[:-1]:
                    target = target[key]
                target[path[-1]] = value
                assert compare.differences(program, peer, changed), f"overlooked {path} in {step}"
                seen += 1
    assert seen > 100


def test_the_programs_use_everything(answers: Sequence[Tuple[Json, Json, Json]]) -> None:
    kinds: Set[str] = set()
    done: Set[str] = set()
    reasons: Set[str] = set()
    for program, peer, _ in answers:
        kinds |= {metric["type"] for metric in program["metrics"]}
        done |= {operation["do"] for operation in compare.operations(program)}
        for step in peer["outcome"]:
            reasons |= {str(doc["body"].get("ping_info", {}).get("reason")) for doc in step.get("wrote", ())}
    assert kinds >= set(programs.TYPES) or len(answers) < 50
    wanted = {"record", "get", "errors", "submit", "knobs", "experiment", "set_ping_enabled", "collection", "timer"}
    assert done >= wanted or len(answers) < 50
    wanted = {
        "startup",
        "active",
        "inactive",
        "at_init",
        "set_upload_enabled",
        "max_capacity",
        "dirty_startup",
        "pre_init",
    }
    assert reasons >= wanted or len(answers) < 100


def test_every_allowed_difference_is_documented() -> None:
    if not DOCUMENT.exists():
        pytest.skip("docs/compatibility.md is not beside these tests")
    rows = set(re.findall(r"^\|\s*(C\d+)\s*\|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
    assert {row.id for row in allowed.ROWS} <= rows


def test_nothing_is_left_behind(answers: object, sides: Tuple[Side, Side]) -> None:
    for side in sides:
        side.end()
        assert [entry for entry in os.listdir(side.folder) if entry != "stderr"] == []
        assert not any("left a process" in death for death in side.deaths)
