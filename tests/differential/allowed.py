"""The differences to the peer that are wanted. Each row names the row of docs/compatibility.md that says why.

A difference that no row allows fails the tests; so does a row that docs/compatibility.md does not have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Sequence, Set, Tuple

from compare import ABSENT, Difference, identifier, operations

Json = Any


@dataclass(frozen=True)
class Row:
    """One kind of difference.

    Attributes:
        id: the row of docs/compatibility.md.
        allows: whether it explains a difference that a program led to.
    """

    id: str
    allows: Callable[[Json, Difference], bool]


def explain(program: Json, found: Sequence[Difference]) -> Tuple[List[Difference], Set[str]]:
    """Return the differences that no row allows, and the ids of the rows that allowed the others."""
    unexplained: List[Difference] = []
    used: Set[str] = set()
    for difference in found:
        row = next((row for row in ROWS if row.allows(program, difference)), None)
        if row is None:
            unexplained.append(difference)
        else:
            used.add(row.id)
    # A ping that is there on one side only is removed there only, and takes its part of what is sent once.
    is_one_sided = any(
        "wrote" in one.path[1:2] and len(one.path) <= 3 and ABSENT in (one.peer, one.ours)
        for one in found
        if one not in unexplained
    )
    if is_one_sided:
        unexplained = [one for one in unexplained if not _follows_from_a_ping(one)]
    return unexplained, used


def _follows_from_a_ping(difference: Difference) -> bool:
    is_once = "client_info" in difference.path and ABSENT in (difference.peer, difference.ours)
    return difference.path[1:2] == ("removed",) or is_once


# --- helpers ----------------------------------------------------------------------------------------------------------


def _metrics(program: Json, ids: Iterable[str]) -> List[Json]:
    wanted = set(ids)
    return [metric for metric in program["metrics"] if metric["id"] in wanted]


def _touches(program: Json, difference: Difference, ids: Set[str]) -> bool:
    """Return whether a difference is about these metrics: their values, their errors, which pings have them."""
    if not ids:
        return False
    if difference.operation and difference.operation.get("on") in ids:
        return True
    metrics = _metrics(program, ids)
    names = {identifier(metric["common"]) for metric in metrics}
    if names & set(difference.path):
        return True
    # A section, or a ping, that has nothing but this on one side, is not there on the other.
    sides = [side for side in (difference.peer, difference.ours) if side != ABSENT]
    if len(sides) == 1 and any(_mentions(sides[0], name) for name in names):
        return True
    pings = {ping for metric in metrics for ping in metric["common"]["send_in_pings"]} | {"metrics"}
    return any(part == ping or part.endswith(f" {ping} 1") for part in difference.path for ping in pings) and (
        "seq" in difference.path or "pings_submitted" in str(difference.path)
    )


def _mentions(value: Json, name: str) -> bool:
    if isinstance(value, dict):
        return name in value or any(_mentions(item, name) for item in value.values())
    return isinstance(value, list) and any(_mentions(item, name) for item in value)


def _recorded(program: Json, kind: str, fits: Callable[[Json], bool]) -> Set[str]:
    """Return the metrics of a type that some operation with fitting arguments records to."""
    ids = {metric["id"] for metric in program["metrics"] if metric["type"] in (kind, f"labeled_{kind}")}
    return {
        operation["on"]
        for operation in operations(program)
        if operation.get("on") in ids and any(fits(argument) for argument in operation.get("args", ()))
    }


def _is_later(difference: Difference) -> bool:
    """Return whether a difference is in a run behind the first one."""
    return not difference.path[0].startswith("0:")


def _follows_a_run_without_collection(program: Json, difference: Difference) -> bool:
    return program["segments"][0].get("upload_enabled") is False and _is_later(difference)


def _starts_a_session(program: Json) -> bool:
    functions = {operation.get("fn") for operation in operations(program)}
    return bool(functions & {"session_start", "handle_client_active"})


# --- the rows ---------------------------------------------------------------------------------------------------------


def _is_url_without_colon(program: Json, difference: Difference) -> bool:
    return _touches(
        program, difference, _recorded(program, "url", lambda text: isinstance(text, str) and ":" not in text)
    )


def _is_uuid_of_a_ping(program: Json, difference: Difference) -> bool:
    operation = difference.operation or {}
    uuids = {metric["id"] for metric in program["metrics"] if metric["type"] == "uuid"}
    return operation.get("do") == "get" and operation.get("on") in uuids and operation.get("ping") is not None


_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)$")


def _offset(text: Json) -> int:
    found = _OFFSET.search(text) if isinstance(text, str) else None
    if found is None:
        return 10**6
    minutes = int(found.group(2)) * 60 + int(found.group(3))
    return -minutes if found.group(1) == "-" else minutes


def _is_western_offset(program: Json, difference: Difference) -> bool:
    return _offset(difference.peer) - _offset(difference.ours) == 24 * 60


def _is_fraction_of_a_datetime(program: Json, difference: Difference) -> bool:
    kinds = {metric["id"]: metric["type"] for metric in program["metrics"]}
    operation = difference.operation or {}
    return (
        operation.get("do") == "get"
        and kinds.get(operation.get("on", "")) == "datetime"
        and difference.path[-1] == "datetime"
        and _OFFSET.sub("", str(difference.peer)).partition(".")[0]
        == _OFFSET.sub("", str(difference.ours)).partition(".")[0]
    )


_COARSE = ("SECOND", "MINUTE", "HOUR", "DAY")


def _is_coarse_sample(program: Json, difference: Difference) -> bool:
    coarse = {
        metric["id"]
        for metric in program["metrics"]
        if metric["type"].endswith("timing_distribution") and metric["options"]["time_unit"] in _COARSE
    }
    return _touches(program, difference, coarse)


def _is_error_of_reading_a_dual_label(program: Json, difference: Difference) -> bool:
    dual = {metric["id"] for metric in program["metrics"] if metric["type"] == "dual_labeled_counter"}
    names = {identifier(metric["common"]) for metric in _metrics(program, dual)}
    is_about = (difference.operation or {}).get("on") in dual or bool(names & set(difference.path))
    is_count = "errors" == (difference.operation or {}).get("do") or "glean.error.invalid_label" in difference.path
    if is_count and is_about:
        return _number(difference.peer) > _number(difference.ours)
    return (
        difference.ours == ABSENT
        and any(_mentions(difference.peer, name) for name in names)
        and ("glean.error.invalid_label" in {*difference.path, *_keys(difference.peer)})
    )


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0


_EXPERIMENTATION = "glean.client.annotation.experimentation_id"


def _is_experimentation_id(program: Json, difference: Difference) -> bool:
    """Upstream forgets the id from the second run on, and in a first one without collection."""
    if _EXPERIMENTATION in difference.path and difference.peer == ABSENT:
        return True
    if (difference.operation or {}).get("fn") == "test_get_experimentation_id":
        return True
    is_used = any("experimentation_id" in segment["config"] for segment in program["segments"])
    return is_used and difference.peer == ABSENT and _mentions(difference.ours, _EXPERIMENTATION)


def _is_left_from_a_former_life(program: Json, difference: Difference) -> bool:
    """Upstream keeps what was set or cleared before a start, and a running duration, for later starts of a process."""
    is_later = _is_later(difference)
    cleared = {
        operation["fn"].replace("clear_", "")
        for segment in program["segments"]
        for operation in segment["before"]
        if operation.get("fn") in ("clear_attribution", "clear_distribution")
    }
    is_cleared_again = difference.peer == ABSENT and any(
        part in difference.path or _mentions(difference.ours, part) for part in cleared
    )
    function = (difference.operation or {}).get("fn", "")
    is_cleared_again |= difference.peer is None and function.replace("test_get_", "") in cleared
    return is_later and (
        is_cleared_again
        or function == "glean_get_debug_view_tag"
        or "headers" in difference.path
        or "glean.baseline.duration" in difference.path
        or _mentions(difference.peer, "glean.baseline.duration")
        or _mentions(difference.ours, "glean.baseline.duration")
    )


def _keys(value: Json) -> Set[str]:
    if not isinstance(value, dict):
        return set()
    return {*value}.union(*(_keys(item) for item in value.values()))


def _is_tag_of_20(program: Json, difference: Difference) -> bool:
    is_set = any(
        operation.get("fn") in ("glean_set_debug_view_tag", "glean_set_source_tags")
        and "x" * 20 in str(operation["args"])
        for operation in operations(program)
    )
    return is_set and ("headers" in difference.path or "debug_view_tag" in str(difference.operation))


def _is_dual_value(program: Json, difference: Difference) -> bool:
    """Upstream lists the labels that were asked for, each with the count of what they share."""
    operation = difference.operation or {}
    dual = {metric["id"] for metric in program["metrics"] if metric["type"] == "dual_labeled_counter"}
    return operation.get("do") == "get" and operation.get("on") in dual


def _is_method_of_a_labeled_one(program: Json, difference: Difference) -> bool:
    """Upstream's `metric[label]` lacks what its Python classes add to those of the binding."""
    operation = difference.operation or {}
    kinds = {metric["id"]: metric["type"] for metric in program["metrics"]}
    misses = {
        metric
        for metric, kind in kinds.items()
        for one in operations(program)
        if one.get("on") == metric
        and (
            (kind == "labeled_timing_distribution" and one["do"] == "measure")
            or (kind == "labeled_string" and one.get("args") == [None])
        )
    }
    if "raised" in difference.path:
        return operation.get("on") in misses and difference.peer in ("AttributeError", "TypeError")
    return _touches(program, difference, misses)


def _is_error_per_ping(program: Json, difference: Difference) -> bool:
    """Upstream counts an error of a distribution once for each of its pings that is enabled: often, or not at all."""
    distributions = [metric for metric in program["metrics"] if metric["type"].endswith("_distribution")]
    ids = {metric["id"] for metric in distributions}
    names = {identifier(metric["common"]) for metric in distributions}
    operation = difference.operation or {}
    counts = {"glean.error.invalid_value", "glean.error.invalid_overflow"}
    both = (difference.peer, difference.ours)
    if operation.get("do") == "errors" or counts & set(difference.path) and names & set(difference.path):
        is_about = operation.get("on") in ids or bool(names & set(difference.path))
        return is_about and _number(difference.ours) > 0
    is_mentioned = any(_mentions(side, name) for side in both for name in names)
    return difference.peer == ABSENT and is_mentioned and bool(counts & {*difference.path, *_keys(difference.ours)})


def _is_date_of_a_run_without_collection(program: Json, difference: Difference) -> bool:
    return difference.path[-1] == "first_run_date" and difference.peer == ABSENT


def _is_answer_of_a_setter(program: Json, difference: Difference) -> bool:
    function = (difference.operation or {}).get("fn")
    return function in ("glean_set_debug_view_tag", "glean_set_source_tags") and difference.path[-1] == "returned"


def _is_tag_before_one_that_is_none(program: Json, difference: Difference) -> bool:
    """Upstream looks at tags set before a start only then, when the last ones have replaced the others."""
    names = {"X-Debug-ID": "glean_set_debug_view_tag", "X-Source-Tags": "glean_set_source_tags"}
    setters = [name for header, name in names.items() if header in difference.path]
    calls = [operation.get("fn") for segment in program["segments"] for operation in segment["before"]]
    return difference.peer == ABSENT and any(calls.count(setter) > 1 for setter in setters)


def _is_sum_that_no_ping_can_hold(program: Json, difference: Difference) -> bool:
    return difference.path[-1] == "sum" and _number(difference.peer) < 0 and difference.ours == 2**63 - 1


def _is_error_of_a_disabled_metric(program: Json, difference: Difference) -> bool:
    """Upstream records some errors of metrics that are disabled."""
    disabled = {
        metric["id"]
        for metric in program["metrics"]
        if metric["type"] in ("timespan", "object") and metric["common"]["disabled"]
    }
    # An error alone makes a ping, whose number is one more then.
    is_sent = (
        disabled
        and difference.ours in (ABSENT, 0, False)
        and "pings_submitted" in f"{difference.path}{difference.peer}"
    )
    is_sent = is_sent or (disabled and "seq" in difference.path and _number(difference.peer) > _number(difference.ours))
    is_sent = is_sent or (
        disabled and (difference.operation or {}).get("do") == "submit_by_name" and difference.peer is True
    )
    if is_sent and {operation.get("on") for operation in operations(program)} & disabled:
        return True
    errors = {"glean.error.invalid_state", "glean.error.invalid_value"} & {*difference.path, *_keys(difference.peer)}
    is_read = (difference.operation or {}).get("do") == "errors"
    return (bool(errors) or is_read) and difference.ours in (ABSENT, 0) and _touches(program, difference, disabled)


def _is_acceleration_factor(program: Json, difference: Difference) -> bool:
    return difference.path[-1] == "events_ping_acceleration_factor" and difference.ours == ABSENT


def _is_after_a_run_without_collection(program: Json, difference: Difference) -> bool:
    """For upstream the first run is the first one with collection, so what such a run left is not cleared after it."""
    lasting = {identifier(m["common"]) for m in program["metrics"] if m["common"]["lifetime"] == "APPLICATION"}
    lasting |= {"server_knobs_config", "experiments", "app_channel", *(m["id"] for m in program["metrics"])}
    is_left = bool(lasting & set(difference.path)) or any(_mentions(difference.peer, name) for name in lasting)
    operation = difference.operation or {}
    is_read = operation.get("do") == "get" or operation.get("fn") in (
        "test_get_experiment_data",
        "test_is_experiment_active",
    )
    # An experiment that is there, where ours raises.
    is_left |= "raised" in difference.path and difference.peer == ABSENT
    # A sum, or a list, of both runs.
    is_more = _number(difference.peer) > _number(difference.ours) or len(str(difference.peer)) > len(
        str(difference.ours)
    )
    return (
        _follows_a_run_without_collection(program, difference)
        and (difference.ours == ABSENT or is_more or "raised" in difference.path)
        and (is_left or is_read)
    )


def _is_dirty_start_of_a_first_run(program: Json, difference: Difference) -> bool:
    """A first run has no unclean end before it, and for upstream the first one with collection is the first."""
    said = f"{difference.path}{difference.ours}"
    is_consequence = "seq" in difference.path or "pings_submitted" in said or difference.peer == ABSENT
    return (
        _follows_a_run_without_collection(program, difference)
        and "baseline" in said
        and is_consequence
        and any(operation.get("fn") == "handle_client_active" for operation in operations(program))
    )


def _is_huge_size(program: Json, difference: Difference) -> bool:
    """Upstream shifts bits out of sizes that no machine has."""
    huge = {
        operation["on"]
        for operation in operations(program)
        for metric in _metrics(program, {operation.get("on", "")})
        if metric["type"].endswith("memory_distribution") and metric["options"]["memory_unit"] != "BYTE"
        for argument in operation.get("args", ())
        for sample in (argument if isinstance(argument, list) else [argument])
        if isinstance(sample, int) and sample >= 2**33
    }
    return _touches(program, difference, huge)


def _is_session_from_before(program: Json, difference: Difference) -> bool:
    """Upstream's session starts when the call is taken from the queue, after events that were recorded after it."""
    is_early = any(
        operation.get("fn") in ("handle_client_active", "handle_client_inactive", "session_start", "session_end")
        for segment in program["segments"]
        for operation in (*segment["before"], *(() if segment.get("test_mode", True) else segment["ops"]))
    )
    return is_early and "events" in difference.path


def _is_channel_of_the_start(program: Json, difference: Difference) -> bool:
    """Upstream goes back to the channel of the start when collection is switched on."""
    done = {operation["do"] for operation in operations(program)}
    is_health = difference.peer == ABSENT and (difference.operation or {}).get("ping") == "health"
    return {"channel", "collection"} <= done and (is_health or difference.path[-1] == "app_channel")


def _is_file_of_a_ping_made_later(program: Json, difference: Difference) -> bool:
    is_made_later = any(ping.get("when") == "after" for ping in program["pings"])
    return is_made_later and difference.path[1:2] == ("removed",)


def _is_error_of_a_dropped_event(program: Json, difference: Difference) -> bool:
    """Upstream counts what it cut before it came to a key that isn't allowed, in the order of a hash map."""
    events = {metric["id"]: metric for metric in program["metrics"] if metric["type"] == "event"}
    ids = {
        operation["on"]
        for operation in operations(program)
        if operation.get("on") in events
        for argument in operation.get("args", ())
        if isinstance(argument, dict)
        and set(argument.get("pairs", {})) - set(events[operation["on"]]["options"]["allowed_extra_keys"])
    }
    is_read = (difference.operation or {}).get("do") == "errors"
    is_about = is_read or "invalid_overflow" in f"{difference.path}{difference.peer}"
    return is_about and difference.ours in (ABSENT, 0) and _touches(program, difference, ids)


def _is_session_without_collection(program: Json, difference: Difference) -> bool:
    """Upstream starts sessions while collection is off, and sends the end of them."""
    is_off = any(operation["do"] == "collection" and not operation["enabled"] for operation in operations(program))
    is_off |= any(segment.get("upload_enabled") is False for segment in program["segments"])
    said = f"{difference.path}{difference.peer}"
    is_consequence = "events" in said and (
        difference.ours == ABSENT or "seq" in difference.path or "pings_submitted" in said
    )
    return (
        is_off
        and _starts_a_session(program)
        and _is_later(difference)
        and ("session_end" in said or "session" in difference.path or is_consequence)
    )


def _is_start_with_room_for_one_event(program: Json, difference: Difference) -> bool:
    """Upstream counts the end of a broken-off session, not the events before it: one event may fill the ping alone."""
    is_small = any(segment["config"].get("max_events") == 1 for segment in program["segments"])
    is_about = "events" in f"{difference.path}" or "pings_submitted" in f"{difference.path}"
    return is_small and is_about and _starts_a_session(program)


def _is_fact_about_the_machine(program: Json, difference: Difference) -> bool:
    """Upstream says nothing about the machine's locale, and that the version of its system is unknown."""
    unsaid = {"os_version": "Unknown", "locale": ABSENT}
    return difference.path[-2:-1] == ("client_info",) and unsaid.get(difference.path[-1]) == difference.peer


ROWS: Sequence[Row] = (
    Row("C3", _is_uuid_of_a_ping),
    Row("C4", _is_tag_of_20),
    Row("C8", _is_url_without_colon),
    Row("C10", _is_coarse_sample),
    Row("C10", _is_huge_size),
    Row("C11", _is_western_offset),
    Row("C12", _is_fraction_of_a_datetime),
    Row("C23", _is_experimentation_id),
    Row("C26", _is_error_of_reading_a_dual_label),
    Row("C28", _is_answer_of_a_setter),
    Row("C28", _is_tag_before_one_that_is_none),
    Row("C40", _is_sum_that_no_ping_can_hold),
    Row("C30", _is_dual_value),
    Row("C31", _is_method_of_a_labeled_one),
    Row("C32", _is_date_of_a_run_without_collection),
    Row("C33", _is_error_per_ping),
    Row("C19", _is_acceleration_factor),
    Row("C32", _is_after_a_run_without_collection),
    Row("C32", _is_dirty_start_of_a_first_run),
    Row("C36", _is_session_from_before),
    Row("C34", _is_error_of_a_disabled_metric),
    Row("C29", _is_file_of_a_ping_made_later),
    Row("C35", _is_channel_of_the_start),
    Row("C46", _is_session_without_collection),
    Row("C56", _is_error_of_a_dropped_event),
    Row("C57", _is_start_with_room_for_one_event),
    Row("C71", _is_fact_about_the_machine),
    Row("C27", _is_left_from_a_former_life),
)
BY_ID: Dict[str, Row] = {row.id: row for row in ROWS}
