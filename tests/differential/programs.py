"""Programs of Glean operations, drawn by hypothesis; plain JSON, which driver.py runs under either package."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

Json = Any
Strategy = st.SearchStrategy[Json]

OWN_PINGS = ("own-one", "own-two", "own-three")
BUILT_IN = ("metrics", "baseline", "events", "health", "deletion-request")
REASONS = ("first", "second")


def generate(count: int, first_seed: int) -> List[Json]:
    """Return `count` programs; the same ones for the same seed."""
    made: Dict[str, Json] = {}
    number = first_seed * 1_000_000
    while len(made) < count:

        @seed(number)
        @settings(
            max_examples=100,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(programs())
        def collect(program: Json) -> None:
            # hypothesis likes to vary what it has drawn before; a program that only has other values is left out.
            made.setdefault(_shape(program), program)

        collect()
        number += 1
    return list(made.values())[:count]


def _shape(program: Json) -> str:
    steps = [
        [(step["do"], step.get("on"), step.get("fn")) for step in (*segment["before"], *segment["ops"])]
        for segment in program["segments"]
    ]
    return repr((steps, [segment["config"] for segment in program["segments"]]))


# --- values -----------------------------------------------------------------------------------------------------------


def repeated(text: str, times: int) -> Json:
    return {"$": "repeat", "text": text, "times": times}


def lengths(limit: int) -> Strategy:
    """Texts of about `limit` bytes, with characters that a cut could fall into."""
    return st.sampled_from(
        [
            *(repeated("x", limit + more) for more in (-1, 0, 1, 50)),
            *(repeated("é", limit // 2 + more) for more in (0, 1)),
            *(repeated("日", limit // 3 + more) for more in (0, 1)),
            *(repeated("\U0001f600", limit // 4 + more) for more in (0, 1)),
        ]
    )


SHORT = st.sampled_from(["", "a", "value", "Some Text", "é", "nul\0inside", '"quotes"\n\t\\', "\u2028", "\x1e", "日本"])
ANY_TEXT = st.text(max_size=6)
NOT_TEXT = st.sampled_from([5, True, "\ud800", {"$": "bytes", "text": "b"}, ["a"]])


def texts(limit: int) -> Strategy:
    return st.one_of(SHORT, SHORT, ANY_TEXT, lengths(limit))


SMALL = st.integers(0, 20)
EDGES = st.sampled_from(
    [0, -1, 1, 127, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32, 2**40, 2**40 + 1, 2**53 + 1, 2**63 - 1, 2**63]
    + [-(2**63), -(2**63) - 1, 2**64, 2**70, 600_000_000_000, 600_000_000_001]
)
NOT_NUMBER: Strategy = st.sampled_from(
    [None, "1", True, {"$": "number", "name": "half"}, {"$": "number", "name": "one"}, []]
)
NUMBERS = st.one_of(SMALL, SMALL, SMALL, SMALL, EDGES, EDGES, NOT_NUMBER)
SAMPLES = st.lists(
    st.one_of(SMALL, st.integers(0, 100_000), st.sampled_from([-1, -5, 2**40 + 1, 6 * 10**11 + 1])), max_size=5
)
ANY_SAMPLES = st.one_of(SAMPLES, SAMPLES, SAMPLES, st.sampled_from([None, 5, ["a"], [2**63], [True], []]))

LABELS = st.one_of(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["a", "b", "", "L A/b", "é", "__other__", "a.b", "l1", "l15", "l16", "nul\0"]),
    lengths(111),
    st.sampled_from([None, 5, "\ud800"]).map(lambda label: label) | st.sampled_from(["a\x1eb", "\x1e"]),
)

URLS = st.one_of(
    st.sampled_from(["https://example.org/a?b#c", "x:", "about:blank", "DATA:x", "a+b-c.d:e", "https://"]),
    st.sampled_from(["", ":", "data:x", "1a:b", "é:x", "a b:c", "-a:b", "ht tp://x", "//host/path", "a_b:c", " a:b"]),
    st.sampled_from(["colonless", "a.b"]),
    st.sampled_from([None, 5]),
    st.sampled_from([{"$": "repeat", "text": "a:", "times": n} for n in (4095, 4096, 4097)]),
    st.sampled_from([{"$": "repeat", "text": "b:é", "times": n} for n in (2048, 2049)]),
)

_UUID = "c0ffeeaa-1234-4abc-8def-0123456789ab"
UUIDS = st.sampled_from(
    [
        *(
            _UUID,
            _UUID.upper(),
            _UUID.replace("-", ""),
            "{" + _UUID + "}",
            "urn:uuid:" + _UUID,
            {"$": "uuid", "text": _UUID},
        ),
        *("00000000-0000-0000-0000-000000000000", "", "nonsense", _UUID[:-1], _UUID + "0", " " + _UUID, 5, None),
        *("URN:UUID:" + _UUID, "{" + _UUID, _UUID.replace("-", "", 1), "{" + _UUID.replace("-", "") + "}"),
        *("c0ffeeaa12344abc-8def-0123456789ab", "c0ffeeaa-1234-4abc-8def-0123456789ag"),
    ]
)


def _datetimes() -> Strategy:
    fields = st.sampled_from(
        [
            [2021, 3, 4, 5, 6, 7, 123456],
            [2021, 3, 4, 5, 6, 7, 123000],
            [2021, 12, 31, 23, 59, 59, 999999],
            [1969, 12, 31, 23, 59, 59, 1],
            [1970, 1, 1, 0, 0, 0, 0],
            [1, 1, 2, 0, 0, 0, 0],
            [9999, 12, 30, 23, 59, 59, 999999],
            [2000, 2, 29, 12, 0, 0, 500],
            [2040, 1, 19, 3, 14, 8, 10],
        ]
    )
    offset = st.sampled_from([None, None, 0, 60, 330, 345, 840, 1439])
    west = st.sampled_from([-300, -210, -1, -1439])
    known = st.builds(
        lambda f, o: {"$": "datetime", "fields": f, "offset_minutes": o},
        fields,
        st.one_of(offset, offset, offset, west),
    )
    return st.one_of(known, known, known, st.none(), st.sampled_from(["2021", 5]))


OBJECTS = st.sampled_from(
    [
        *('{"a": 1}', "[]", "{}", '[1, "two", {"b": null, "c": [true]}]', '"text"', "3", "null", "1.5", "true"),
        *('{"a": 1, "a": 2}', "18446744073709551615", "18446744073709551616", "-9223372036854775809", "1e3", "1.0"),
        *("-0", "1e400", "NaN", "Infinity", "", "{", '{"a": 1} x', "'a'", '"\\ud800"', '"\\u0000"', "\ufeff{}"),
        *(
            '{"z": 1, "a": 2, "\\u00e9": "\\u2028"}',
            " [1] ",
            "[1,]",
            "01",
            '"\n"',
            "0.1",
            "1e-7",
            "123456789.123456789",
        ),
        *("9007199254740993", "3.0e10", "1E400", "-1", "1e16", "12345678901234567890.5"),
    ]
)
NESTED = st.sampled_from([100, 126, 127, 128, 129, 500]).map(lambda n: "[" * n + "]" * n)


def _extras() -> Strategy:
    values = st.one_of(SHORT, ANY_TEXT, lengths(500), NOT_TEXT)
    keys = st.sampled_from(["k", "k", "k", "n", "n", "unknown", "", "glean_timestamp"])
    pairs = st.dictionaries(keys, values, max_size=2).map(lambda pairs: {"$": "extras", "pairs": pairs})
    return st.one_of(pairs, pairs, st.none(), st.sampled_from([5, "text"]))


def _expanded(pairs: Json) -> Json:
    """Extras are handed over as they are, so what stands for a long text is written out."""
    if not isinstance(pairs, dict) or "pairs" not in pairs:
        return pairs
    written = {}
    for key, value in pairs["pairs"].items():
        is_repeated = isinstance(value, dict) and value.get("$") == "repeat"
        written[key] = value["text"] * value["times"] if is_repeated else value
        if isinstance(value, dict) and not is_repeated:
            written[key] = 5
    return {"$": "extras", "pairs": written}


# --- metrics ----------------------------------------------------------------------------------------------------------

TIME_UNITS = ("NANOSECOND", "MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY")
MEMORY_UNITS = ("BYTE", "KILOBYTE", "MEGABYTE", "GIGABYTE")


def _one(function: str, *arguments: Strategy) -> Callable[[str], Strategy]:
    return lambda on: st.tuples(*arguments).map(
        lambda drawn: {"do": "record", "on": on, "fn": function, "args": list(drawn)}
    )


def _timers(on: str) -> Strategy:
    return st.builds(
        lambda fn, slot: {"do": "timer", "on": on, "fn": fn, "slot": slot},
        st.sampled_from(["start", "start", "stop_and_accumulate", "stop_and_accumulate", "cancel"]),
        st.integers(0, 1),
    )


def _measure(on: str) -> Strategy:
    return st.booleans().map(lambda raises: {"do": "measure", "on": on, "raises": raises})


def _unknown_timer(on: str) -> Strategy:
    return st.builds(
        lambda fn, number: {"do": "record", "on": on, "fn": fn, "args": [{"$": "timer", "id": number}]},
        st.sampled_from(["stop_and_accumulate", "cancel"]),
        st.sampled_from([0, 99, 2**64 - 1]),
    )


def _many(function: str, arguments: Sequence[Json], counts: Sequence[int]) -> Callable[[str], Strategy]:
    return lambda on: st.sampled_from(counts).map(
        lambda count: {"do": "many", "on": on, "fn": function, "args": list(arguments), "count": count}
    )


RECORDINGS: Dict[str, Sequence[Callable[[str], Strategy]]] = {
    "boolean": [_one("set", st.sampled_from([True, False, True, False, 1, 0, "text", "", None]))],
    "counter": [_one("add", NUMBERS), _one("add")],
    "quantity": [_one("set", NUMBERS)],
    "string": [_one("set", st.one_of(texts(255), texts(255), st.none(), NOT_TEXT))],
    "text": [_one("set", st.one_of(texts(204_800), SHORT, NOT_TEXT))],
    "url": [_one("set", URLS)],
    "string_list": [
        _one("add", st.one_of(texts(100), NOT_TEXT)),
        _one("set", st.one_of(st.lists(texts(100), max_size=4), st.sampled_from([None, 5, ["a", 5], []]))),
        _many("add", ["x"], [99, 100, 101]),
        _one("set", st.sampled_from([99, 100, 101]).map(lambda count: ["y"] * count)),
    ],
    "uuid": [_one("set", UUIDS), _one("set", UUIDS), _one("generate_and_set")],
    "datetime": [_one("set", _datetimes()), _one("set", _datetimes()), _one("set")],
    "timespan": [
        _one("start"),
        _one("stop"),
        _one("cancel"),
        _measure,
        _one("set_raw_nanos", NUMBERS),
        _one("set_raw_nanos", st.integers(0, 10**15)),
    ],
    "timing_distribution": [
        *(_timers, _timers, _measure, _unknown_timer),
        *(_one("accumulate_samples", ANY_SAMPLES), _one("accumulate_single_sample", NUMBERS)),
    ],
    "memory_distribution": [_one("accumulate", NUMBERS), _one("accumulate_samples", ANY_SAMPLES)],
    "custom_distribution": [_one("accumulate_samples", ANY_SAMPLES), _one("accumulate_single_sample", NUMBERS)],
    "event": [
        _many("record", [], [2, 5]),
        _one("record"),
        _one("record", _extras().map(_expanded)),
        _one("record", _extras().map(_expanded)),
    ],
    "object": [
        _one("set", OBJECTS.map(lambda text: {"$": "object", "text": text})),
        _one("set", st.one_of(OBJECTS, NESTED).map(lambda text: {"$": "object", "text": text})),
        _one("set", st.sampled_from([5, None, "text"])),
    ],
    "rate": [_one("add_to_numerator", NUMBERS), _one("add_to_denominator", NUMBERS)],
    "numerator": [_one("add_to_numerator", NUMBERS)],
    "denominator": [_one("add", NUMBERS)],
}
LABELED = (
    "boolean",
    "counter",
    "quantity",
    "string",
    "timing_distribution",
    "memory_distribution",
    "custom_distribution",
)
TYPES = (*RECORDINGS, *(f"labeled_{inner}" for inner in LABELED), "dual_labeled_counter")


def _options(kind: str) -> Strategy:
    inner = kind[len("labeled_") :] if kind.startswith("labeled_") else kind
    options: Dict[str, Strategy] = {}
    if inner in ("timespan", "timing_distribution", "datetime"):
        # Samples of seconds and more overflow in glean-sdk; those units are left to tests of our own.
        units = TIME_UNITS if inner != "timing_distribution" else (*TIME_UNITS[:3], *TIME_UNITS[:3], *TIME_UNITS)
        options["time_unit"] = st.sampled_from(units)
    if inner == "memory_distribution":
        options["memory_unit"] = st.sampled_from(MEMORY_UNITS)
    if inner == "custom_distribution":
        options["range_min"] = st.sampled_from([0, 1, 3])
        options["range_max"] = st.sampled_from([10, 77, 2500, 60000])
        options["bucket_count"] = st.sampled_from([3, 9, 13, 100])
        options["histogram_type"] = st.sampled_from(["LINEAR", "EXPONENTIAL"])
    if inner == "event":
        options["allowed_extra_keys"] = st.sampled_from([["k", "n"], ["k", "n"], [], ["k"]])
    if kind.startswith("labeled_"):
        options["labels"] = st.sampled_from([None, None, ["a", "b"], []])
    if kind == "dual_labeled_counter":
        options["keys"] = st.sampled_from([None, None, ["a", "b"]])
        options["categories"] = st.sampled_from([None, None, ["a", "b"]])
    return st.fixed_dictionaries(options)


def _commons(name: str, kind: str, own: Sequence[str], has_sessions: bool) -> Strategy:
    stores = st.lists(
        st.sampled_from([*own, *own, *own, "metrics", "baseline", "events", "health", "deletion-request", "unknown"]),
        min_size=1,
        max_size=3,
        unique=True,
    )
    odd = st.sampled_from([["all-pings"], ["glean_client_info"], ["metrics", "all-pings"]])
    if kind == "event":
        # Enough of them in one store make a ping.
        stores = st.one_of(stores, st.just(["events"]), st.just(["events", own[0]]))
    else:
        stores = st.one_of(*[stores] * 12, odd)
    return st.fixed_dictionaries(
        {
            "category": st.sampled_from(["test", "test", "test.deep", ""]),
            "name": st.just(name),
            "send_in_pings": stores,
            "lifetime": st.sampled_from(["PING", "PING", "PING", "APPLICATION", "USER"]),
            "disabled": st.sampled_from([False] * 9 + [True]),
            "in_session": st.booleans() if has_sessions else st.sampled_from([False] * 6 + [True]),
        }
    )


@st.composite
def _metrics(draw: st.DrawFn, own: Sequence[str], has_sessions: bool) -> List[Json]:
    made: List[Json] = []
    kinds = st.lists(st.sampled_from(TYPES + ("event",) * 6 if has_sessions else TYPES), min_size=1, max_size=6)
    for number, kind in enumerate(draw(kinds)):
        name = f"{kind}_{number}"
        metric = {
            "id": name,
            "type": kind,
            "common": draw(_commons(name, kind, own, has_sessions)),
            "options": draw(_options(kind)),
        }
        if kind == "denominator":
            numerators = [other["common"] for other in made if other["type"] == "numerator"]
            metric["numerators"] = numerators[: draw(st.integers(0, 2))]
        made.append(metric)
    return made


@st.composite
def _pings(draw: st.DrawFn) -> List[Json]:
    names = OWN_PINGS[: draw(st.integers(1, 3))]
    flags = {flag: draw(st.integers(0, 9)) for flag in ("client", "empty", "precise", "info", "enabled", "follows")}
    made = []
    for place, name in enumerate(names):
        changes = flags if place == 0 else {flag: draw(st.integers(0, 5)) for flag in flags}
        others = [*(other for other in OWN_PINGS if other > name), "baseline"]
        made.append(
            {
                "name": name,
                "when": draw(st.sampled_from(["before", "before", "after"])),
                "fields": {
                    "include_client_id": changes["client"] != 3,
                    "send_if_empty": changes["empty"] in (3, 4),
                    "precise_timestamps": changes["precise"] != 3,
                    "include_info_sections": changes["info"] != 3,
                    "schedules_pings": draw(st.sampled_from([[], [], [], [others[0]], others, ["unknown"]])),
                    "reason_codes": draw(st.sampled_from([list(REASONS), list(REASONS), [], ["first"]])),
                    "uploader_capabilities": draw(st.sampled_from([[], [], [], ["one"], ["b", "a"]])),
                    "enabled": changes["enabled"] != 3,
                    "follows_collection_enabled": changes["follows"] != 3,
                },
            }
        )
    return made


# --- operations -------------------------------------------------------------------------------------------------------


def _is_no_label(label: Json) -> bool:
    return label in (None, 5, "\ud800")


def _recordings(metric: Json) -> Strategy:
    on, kind = metric["id"], metric["type"]
    if kind == "dual_labeled_counter":
        # With two wrong ones each package finds its own first.
        paths = st.tuples(LABELS, LABELS).filter(lambda pair: sum(_is_no_label(part) for part in pair) < 2).map(list)
        fill = st.builds(
            lambda count, where: {"do": "fill", "on": on, "count": count, "where": where},
            st.sampled_from([15, 16, 17]),
            st.integers(0, 1),
        )
        counted = st.builds(lambda operation, path: {**operation, "path": path}, _one("add", SMALL)(on), paths)
        return st.one_of(counted, counted, counted, fill)
    if not kind.startswith("labeled_"):
        return st.one_of(*[make(on) for make in RECORDINGS[kind]])
    inner = st.one_of(*[make(on) for make in RECORDINGS[kind[len("labeled_") :]]])
    labeled = st.builds(lambda operation, label: {**operation, "path": [label]}, inner, LABELS)
    fill = st.sampled_from([15, 16, 17, 20]).map(lambda count: {"do": "fill", "on": on, "count": count})
    return st.one_of(labeled, labeled, labeled, labeled, fill)


def _getters(metric: Json) -> Strategy:
    pings = st.sampled_from([None, *metric["common"]["send_in_pings"], "metrics", "nowhere"])
    get = pings.map(lambda ping: {"do": "get", "on": metric["id"], "ping": ping})
    return st.one_of(get, get, st.just({"do": "errors", "on": metric["id"]}))


def _submissions(pings: Sequence[Json]) -> Strategy:
    own = st.sampled_from([ping["name"] for ping in pings])
    indexes = st.sampled_from([None, None, None, 0, 1, -1, 5, "first", True])
    texts_ = st.sampled_from([None, None, "first", "second", "active", "nonsense", ""])
    return st.one_of(
        *[st.builds(lambda ping, reason: {"do": "submit", "ping": ping, "reason": reason}, own, indexes)] * 4,
        st.builds(lambda ping, reason: {"do": "submit_watched", "ping": ping, "reason": reason}, own, indexes),
        st.builds(
            lambda ping, reason, sync: {"do": "submit_by_name", "ping": ping, "reason": reason, "sync": sync},
            st.one_of(own, st.sampled_from([*BUILT_IN, "unknown"])),
            texts_,
            st.booleans(),
        ),
        st.builds(
            lambda ping, reason: {"do": "submit", "ping": ping, "reason": reason}, st.sampled_from(BUILT_IN), texts_
        ),
    )


EXPERIMENT_IDS = st.one_of(st.sampled_from(["exp", "exp", "other", ""]), lengths(100))
_SHORT_TEXTS = st.one_of(SHORT, lengths(100))


def _experiments() -> Strategy:
    extras = st.one_of(
        st.none(),
        st.dictionaries(st.sampled_from(["a", "b", "", "x" * 101]), st.sampled_from(["v", "", "y" * 101]), max_size=3),
    )
    active = st.builds(
        lambda name, branch, extra: {
            "do": "experiment",
            "id": name,
            "branch": branch,
            "extra": extra,
        },
        EXPERIMENT_IDS,
        _SHORT_TEXTS,
        extras,
    )
    full = st.sampled_from([19, 20]).map(
        lambda count: {
            "do": "experiment",
            "id": "full",
            "branch": "b",
            "extra": {f"k{number}": "v" for number in range(count)},
        }
    )
    end = EXPERIMENT_IDS.map(lambda name: {"do": "glean", "fn": "set_experiment_inactive", "args": [name]})
    return st.one_of(active, active, active, full, end)


def _knobs(metrics: Sequence[Json], pings: Sequence[Json]) -> Strategy:
    names = [".".join(filter(None, (m["common"]["category"], m["common"]["name"]))) for m in metrics]
    names += ["glean.sessions_seen", "glean.validation.pings_submitted", "unknown.metric"]
    own = [ping["name"] for ping in pings]
    config = st.fixed_dictionaries(
        {},
        optional={
            "metrics_enabled": st.dictionaries(st.sampled_from(names), st.booleans(), max_size=3),
            "pings_enabled": st.dictionaries(
                st.sampled_from([*own, "baseline", "metrics", "unknown"]), st.booleans(), max_size=2
            ),
            "event_threshold": st.sampled_from([0, 1, 2, 5, 100, None]),
            "session_sample_rate": st.sampled_from([0.0, 1.0, 5, -1, None]),
            "events_ping_acceleration_factor": st.sampled_from([1, 2, 3, None]),
            "unknown_key": st.just(1),
        },
    )
    odd = st.sampled_from(
        ["", "{", "[1]", "null", "{}", '{"metrics_enabled": 5}', '{"event_threshold": -1}', '{"event_threshold": "5"}']
        + ['{"metrics_enabled": {"a": "b"}}', '{"event_threshold": 4294967296}', '{"session_sample_rate": "x"}']
    )
    return st.one_of(config, config, config, odd).map(lambda drawn: {"do": "knobs", "config": drawn})


def _rare(pings: Sequence[Json]) -> Strategy:
    tags = st.sampled_from(["tag", "A-9", "x" * 19, "", "x" * 21, "under_score", "glean-x", "tag2"])
    fields = st.dictionaries(
        st.sampled_from(["source", "medium", "campaign", "term", "content"]),
        st.one_of(SHORT, lengths(255), st.none()),
        max_size=3,
    )
    return st.one_of(
        tags.map(lambda tag: {"do": "binding", "fn": "glean_set_debug_view_tag", "args": [tag]}),
        st.lists(tags, max_size=6).map(lambda many: {"do": "binding", "fn": "glean_set_source_tags", "args": [many]}),
        fields.map(lambda drawn: {"do": "attribution", "fields": drawn}),
        st.one_of(SHORT, st.none()).map(lambda name: {"do": "distribution", "name": name}),
        st.sampled_from(["clear_attribution", "clear_distribution"]).map(lambda fn: {"do": "glean", "fn": fn}),
    )


def _running_only() -> Strategy:
    """What has to wait for `initialize`, or would wait for it forever."""
    # Asked about a long id, the peer records an error (C26).
    names = st.sampled_from(["exp", "other", "", "nobody"])
    return st.one_of(
        names.map(lambda name: {"do": "glean", "fn": "test_is_experiment_active", "args": [name]}),
        names.map(lambda name: {"do": "glean", "fn": "test_get_experiment_data", "args": [name]}),
        st.just({"do": "glean", "fn": "test_get_experimentation_id"}),
        st.just({"do": "glean", "fn": "test_get_attribution"}),
        st.just({"do": "glean", "fn": "test_get_distribution"}),
        st.just({"do": "registered"}),
        st.just({"do": "binding", "fn": "glean_persist_ping_lifetime_data"}),
        st.just({"do": "binding", "fn": "glean_get_debug_view_tag"}),
        st.booleans().map(lambda flag: {"do": "binding", "fn": "glean_set_dirty_flag", "args": [flag]}),
        st.sampled_from(["next", "", "x" * 60, None]).map(lambda channel: {"do": "channel", "channel": channel}),
    )


def _switches(pings: Sequence[Json]) -> Strategy:
    own = st.sampled_from([ping["name"] for ping in pings])
    return st.one_of(
        st.booleans().map(lambda on: {"do": "collection", "enabled": on}),
        st.booleans().map(lambda on: {"do": "collection", "enabled": on}),
        st.builds(lambda ping, on: {"do": "set_ping_enabled", "ping": ping, "enabled": on}, own, st.booleans()),
    )


def _activity() -> Strategy:
    return st.one_of(
        st.sampled_from(["handle_client_active", "handle_client_inactive"]).map(lambda fn: {"do": "glean", "fn": fn}),
        st.just({"do": "glean", "fn": "session_start"}),
        st.sampled_from([[], ["quit"], [""], [None]]).map(
            lambda args: {"do": "glean", "fn": "session_end", "args": args}
        ),
    )


TOPICS = ("activity", "experiment", "knobs", "rare", "submit", "switch")


@st.composite
def _segments(draw: st.DrawFn, metrics: Sequence[Json], pings: Sequence[Json], chosen: Sequence[str]) -> List[Json]:
    record = st.one_of(*[_recordings(metric) for metric in metrics])
    get = st.one_of(*[_getters(metric) for metric in metrics])
    topics = {
        "submit": _submissions(pings),
        "switch": _switches(pings),
        "activity": _activity(),
        "experiment": _experiments(),
        "knobs": _knobs(metrics, pings),
        "rare": _rare(pings),
    }
    others = [topics[name] for name in chosen]
    early = st.one_of(record, record, record, topics["submit"], *others)
    late = st.one_of(
        *[record] * 5, get, topics["submit"], *others, *others, *([_running_only()] if len(chosen) > 2 else [])
    )
    config = draw(_configs())
    made = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 2, 3]))):
        if draw(st.integers(0, 4)) == 4:
            # The peer's own pings stay as a reset found them.
            internal = config.get("enable_internal_pings", True)
            config = {**draw(_configs()), "enable_internal_pings": internal}
        segment: Dict[str, Json] = {"config": config, "before": draw(st.lists(early, max_size=3))}
        segment["ops"] = draw(st.lists(late, max_size=12))
        segment["end"] = draw(st.sampled_from(["reset"] * 40 + ["shutdown"] * 12 + ["kill"] * 2 + ["exit"]))
        if draw(st.integers(0, 11)) == 11:
            segment["upload_enabled"] = False
        # Killed without it, each package has come as far as it has.
        if draw(st.integers(0, 7)) == 7 and segment["end"] != "kill":
            segment["test_mode"] = False
        if draw(st.integers(0, 9)) == 9:
            segment["build_id"] = draw(st.sampled_from([None, "18"]))
            segment["application_version"] = draw(st.sampled_from([None, "2.0", ""]))
            segment["application_id"] = draw(st.sampled_from(["Some App", "a..b", "é-x", "org.MOZILLA_app"]))
        made.append(segment)
    return made


def _configs() -> Strategy:
    return st.fixed_dictionaries(
        {},
        optional={
            "max_events": st.sampled_from([1, 2, 3, 5, 500]),
            "enable_event_timestamps": st.booleans(),
            "experimentation_id": st.sampled_from(["an-id", "", "x" * 300]),
            "enable_internal_pings": st.booleans(),
            "session_mode": st.sampled_from(["AUTO", "LIFECYCLE", "MANUAL"]),
            "session_sample_rate": st.sampled_from([0.0, 1.0, 1.0, 2.0, -1.0]),
            "session_inactivity_timeout_ms": st.sampled_from([0, 1, 1_800_000]),
            "events_ping_acceleration_factor": st.sampled_from([1, 2, 3]),
            "channel": st.sampled_from(["beta", "", "x" * 300]),
        },
    ).flatmap(lambda drawn: st.sampled_from([{}, drawn, drawn]))


_OPENING = ("glean_set_dirty_flag", "handle_client_active", "handle_client_inactive", "session_start", "session_end")


@st.composite
def programs(draw: st.DrawFn) -> Json:
    """Draw a program."""
    pings = draw(_pings())
    # What a program is about besides recording; all at once would rarely get deep into anything.
    topics = draw(st.lists(st.sampled_from(TOPICS), max_size=3, unique=True))
    metrics = draw(_metrics([ping["name"] for ping in pings], "activity" in topics))
    segments = draw(_segments(metrics, pings, topics))
    if any(segment["end"] in ("reset", "shutdown") for segment in segments[:-1]):
        # The peer forgets a ping that was made after `initialize` when it is reset; here it stays (C29).
        pings = [{**ping, "when": "before"} for ping in pings]
        # It remembers what was switched before `initialize` for the next start, too (C27).
        for segment in segments:
            segment["before"] = [step for step in segment["before"] if step["do"] != "set_ping_enabled"]
    if any(segment["config"].get("enable_internal_pings") is False for segment in segments):
        # With the channel the peer loads its own pings, and switches them on by that (C35).
        for segment in segments:
            segment["ops"] = [operation for operation in segment["ops"] if operation["do"] != "channel"]
    if len(segments) > 1:
        # How many pings the factor has counted is not known to the next process.
        for segment in segments:
            segment["config"] = {k: v for k, v in segment["config"].items() if k != "events_ping_acceleration_factor"}
    if len(segments) > 1 and segments[0].get("upload_enabled") is False:
        # For the peer the next run is the first one, and a first run ends nothing that was open (C32).
        for part in ("before", "ops"):
            segments[0][part] = [step for step in segments[0][part] if step.get("fn") not in _OPENING]
    if any("experimentation_id" in segment["config"] for segment in segments):
        # Where the peer has forgotten that id (C23), a ping with capabilities has no content and does not come.
        pings = [{**ping, "fields": {**ping["fields"], "uploader_capabilities": []}} for ping in pings]
    return {"pings": pings, "metrics": metrics, "segments": segments}
