"""Compares what two packages made of a program, field by field, with everything that may differ replaced."""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

Json = Any
Path = Tuple[str, ...]

_DATE = re.compile(r"^(\d{4}-\d\d-\d\d)(T[0-9:.]+)?(Z|[+-]\d\d:\d\d)$")
_DIGIT = re.compile(r"\d")
ABSENT = "<absent>"


@dataclass(frozen=True)
class Difference:
    """One field that the two sides disagree on.

    Attributes:
        path: where it is, from the label of the step on.
        peer, ours: what each side has there; `<absent>` for nothing.
        operation: what was done in that step; None for a start or an end.
    """

    path: Path
    peer: Json
    ours: Json
    operation: Optional[Json] = None

    def __str__(self) -> str:
        said = "" if self.operation is None else f"  after {_short(self.operation)}"
        return f"{' / '.join(self.path)}{said}\n      peer: {_short(self.peer)}\n      ours: {_short(self.ours)}"


def _short(value: Json) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) < 600 else f"{text[:280]} … {text[-280:]} ({len(text)} characters)"


def differences(program: Json, peer: Json, ours: Json) -> List[Difference]:
    """Return every difference between the answers of the two sides to a program."""
    left, right = _Normal(program, peer), _Normal(program, ours)
    found = _diff((), left.answer(), right.answer())
    return [replace(one, operation=left.operations.get(one.path[0])) for one in found]


def _diff(path: Path, left: Json, right: Json) -> Iterator[Difference]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            yield from _diff((*path, key), left.get(key, ABSENT), right.get(key, ABSENT))
    elif isinstance(left, list) and isinstance(right, list):
        for place in range(max(len(left), len(right))):
            one = left[place] if place < len(left) else ABSENT
            other = right[place] if place < len(right) else ABSENT
            yield from _diff((*path, str(place)), one, other)
    elif left != right or isinstance(left, bool) != isinstance(right, bool):
        yield Difference(path, left, right)


# --- what may differ --------------------------------------------------------------------------------------------------


def normal(program: Json, answer: Json) -> Json:
    """Return an answer without what may differ between two runs: times, ids, sizes, the version."""
    return _Normal(program, answer).answer()


class _Normal:
    def __init__(self, program: Json, answer: Json) -> None:
        self.version = str(answer.get("version", ""))
        self.timed = timed_metrics(program)
        self.names: Dict[str, Dict[str, str]] = {}
        self.operations: Dict[str, Json] = {}
        self._answer = answer

    def answer(self) -> Json:
        made: Dict[str, Json] = {}
        for step in self._answer["outcome"]:
            label = step["label"]
            while label in made:
                label += "'"
            made[label] = self.step(step)
            self.operations[label] = step.get("op")
        if "died" in self._answer:
            made["died"] = True
        return made

    def step(self, step: Json) -> Json:
        operation = step.get("op") or {}
        clean = {key: value for key, value in step.items() if key not in ("label", "op")}
        if "returned" in clean and operation.get("on") in self.timed:
            clean["returned"] = timeless(clean["returned"])
        if "returned" in clean and operation.get("fn") == "generate_and_set":
            clean["returned"] = self.rename("generated", clean["returned"])
        # By name where they can be told apart, so that one ping too many does not shift all others.
        if "wrote" in clean:
            documents: Dict[str, Json] = {}
            for document in clean["wrote"]:
                name = document["folder"] + document["path"].replace("/", " ")
                while name in documents:
                    name += "'"
                documents[name] = self.document(document)
            clean["wrote"] = documents
        return self.clean(clean, "")

    def document(self, document: Json) -> Json:
        body = dict(document["body"])
        if "client_info" in body:
            body["client_info"] = self.timeless_values(body["client_info"])
        if "metrics" in body:
            body["metrics"] = {kind: self.timeless_values(values) for kind, values in body["metrics"].items()}
        return {**document, "body": body}

    def timeless_values(self, values: Json) -> Json:
        is_timed = self.timed | _ALWAYS_TIMED
        return {name: timeless(value) if name in is_timed else value for name, value in values.items()}

    def clean(self, value: Json, key: str) -> Json:
        if isinstance(value, dict):
            return {name: self.clean(item, name) for name, item in value.items()}
        if isinstance(value, list):
            if value and all(isinstance(item, dict) and "timestamp" in item for item in value):
                value = without_times(value)
            return [self.clean(item, key) for item in value]
        if isinstance(value, str):
            if key in ("client_id", "session_id", "generated"):
                return self.rename(key, value)
            if value in self.names.get("generated", {}):
                return self.names["generated"][value]
            if key == "glean_timestamp" and value.isdigit():
                return "<milliseconds>"
            if key == "telemetry_sdk_build" and value == self.version:
                return "<version>"
            return without_digits(value)
        return value

    def rename(self, kind: str, value: str) -> str:
        """Return the same name for the same id, so that relations between ids are compared."""
        names = self.names.setdefault(kind, {})
        return names.setdefault(value, f"<{kind} {len(names) + 1}>")


# Their values are sizes and durations.
_ALWAYS_TIMED = {
    "glean.database.size",
    "glean.baseline.duration",
    "glean.validation.shutdown_dispatcher_wait",
    "glean.validation.shutdown_wait",
    "glean.health.data_directory_info",
}


def timed_metrics(program: Json) -> Set[str]:
    """Return ids and identifiers of the metrics that measure time in this program."""
    measured = {
        operation["on"]
        for operation in operations(program)
        if operation["do"] in ("timer", "measure") or operation.get("fn") in ("stop", "start")
    }
    measured |= {
        operation["on"]
        for operation in operations(program)
        if operation.get("fn") == "set" and operation.get("args") in ([], [None])
    }
    found = set(measured)
    for metric in program["metrics"]:
        if metric["id"] in measured:
            found.add(identifier(metric["common"]))
    return found


def operations(program: Json) -> List[Json]:
    """Return all operations of a program, in their order."""
    return [
        operation
        for segment in program["segments"]
        for operation in (*segment.get("before", ()), *segment.get("ops", ()))
    ]


def identifier(common: Json) -> str:
    return ".".join(part for part in (common["category"], common["name"]) if part)


def timeless(value: Json) -> Json:
    """Return a value without what a clock said: the shape stays, and how many samples there were."""
    if isinstance(value, dict) and "values" in value and "sum" in value:
        return {"count": sum(value["values"].values()), "keys": sorted(value)}
    if isinstance(value, dict) and "time_unit" in value:
        return {"value": "<duration>", "time_unit": value["time_unit"]}
    if isinstance(value, dict) and "datetime" in value:
        return {**value, "datetime": without_moment(re.sub(r"\.\d+", "", value["datetime"]))}
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items()}
    if isinstance(value, int) and not isinstance(value, bool):
        return "<number>"
    if isinstance(value, list):
        return "<list>"
    if isinstance(value, str) and _DATE.match(value):
        # As many digits as the clock of each side has.
        return without_moment(re.sub(r"\.\d{6,9}", ".dddddd", value))
    return value


def without_moment(text: str) -> str:
    """Return a date with all digits masked but those of its offset."""
    moment, offset = text[:-6], text[-6:]
    return _DIGIT.sub("d", moment) + offset


def without_times(events: Sequence[Json]) -> List[Json]:
    """Return events without timestamps, unless they are not in order or the first one is 0."""
    times = [event["timestamp"] for event in events]
    made = []
    for place, event in enumerate(events):
        is_ordered = place == 0 or times[place] >= times[place - 1]
        said: Json = ("<later>" if is_ordered else "<back>") if place or times[0] > 10_000 else times[0]
        made.append({**event, "timestamp": said})
    return made


def without_digits(text: str) -> str:
    """Return a date of about now with its digits masked; any other text as it is."""
    found = _DATE.match(text)
    if found is None:
        return text
    try:
        day = datetime.date(*map(int, found.group(1).split("-")))
    except ValueError:
        return text
    if abs((day - datetime.date.today()).days) > 2:
        return text
    return _DIGIT.sub("d", found.group(1) + (found.group(2) or "")) + found.group(3)
