"""Reads what a program submits, within bounds: whatever is wrong with it is a `Refusal`, never another error."""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from email.message import Message
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union
from urllib.parse import unquote

MAX_COMPRESSED_BYTES = 2**20
MAX_BYTES = 16 * 2**20
MAX_DEPTH = 64
# Of the rows that one ping gets in the index of metrics, and of the letters of a name there.
_MAX_INDEXED = 2000
_MAX_NAME = 200
_MAX_DIGITS = 40
_GZIP = 31
Headers = Union[Dict[str, str], Message]
_PATH = re.compile(r"/submit/([^/]{1,100})/([^/]{1,100})/(\d{1,5})/([A-Za-z0-9_-]{1,64})/?")
# What a ping says beside its body, by the names of the headers.
_HEADERS = ("User-Agent", "X-Telemetry-Agent", "Date", "X-Debug-ID", "X-Source-Tags", "Content-Encoding")
_ADVICE = "Glean submits to /submit/<application>/<ping>/<version>/<document id>: server_endpoint has no path"


class Refusal(Exception):
    """A request is refused with an HTTP status; the text says why and what to do."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Metric(NamedTuple):
    """One metric of a ping; `value` is the number that a trend shows: a total, a mean, a ratio, a count."""

    type: str
    name: str
    value: Optional[float]


class Submission(NamedTuple):
    """A ping that was submitted; texts that it should have and hasn't are empty, `seq` is `None`.

    A copy is one that `GLEAN_DEBUG_COLLECTOR` asked for.
    """

    path: str
    document_id: str
    application: str
    name: str
    headers: Dict[str, str]
    text: str
    body: Dict[str, Any]
    client_id: str
    tag: str
    reason: str
    seq: Optional[int]
    metrics: List[Metric]
    is_copy: bool


def whole_number(text: str) -> Optional[int]:
    """Return the number that a text is, of 18 digits at most, which SQLite can store; `None` if it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def read(path: str, headers: Headers, data: bytes) -> Submission:
    """Read a ping that was submitted.

    Args:
        path: the path of the request.
        headers: those of the request, found whatever the case of their names.
        data: its body.

    Raises:
        Refusal: it is no ping, or too much.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        raise Refusal(404, f"this is no path of a ping. {_ADVICE}")
    application, name, _, document_id = found.groups()
    text = _inflate(headers.get("Content-Encoding") or "identity", data)
    body = _parse(text)
    info, client = _dict(body.get("ping_info")), _dict(body.get("client_info"))
    seq = info.get("seq")
    return Submission(
        path=path,
        document_id=document_id,
        application=_clean(unquote(application)),
        name=_clean(unquote(name)),
        headers={each: _clean(headers[each])[:500] for each in _HEADERS if headers.get(each)},
        text=text,
        body=body,
        client_id=_text(client.get("client_id")),
        tag=_text(headers.get("X-Debug-ID")),
        reason=_text(info.get("reason")),
        seq=seq if isinstance(seq, int) and not isinstance(seq, bool) and 0 <= seq < 2**63 else None,
        metrics=[metric for metric, _ in zip(_metrics(body), range(_MAX_INDEXED))],
        is_copy=headers.get("X-Debug-Copy") is not None,
    )


def _inflate(encoding: str, data: bytes) -> str:
    if encoding.lower() == "gzip":
        inflater = zlib.decompressobj(_GZIP)
        try:
            data = inflater.decompress(data, MAX_BYTES + 1)
        except zlib.error:
            raise Refusal(400, "the body is no gzip, though Content-Encoding says so") from None
        if not inflater.eof and len(data) <= MAX_BYTES:
            raise Refusal(400, "the gzip ends too early")
    elif encoding.lower() != "identity":
        raise Refusal(415, "Content-Encoding has to be gzip, or not there")
    if len(data) > MAX_BYTES:
        raise Refusal(413, f"the body has more than {MAX_BYTES >> 20} MiB when it is inflated")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"the body is no UTF-8, from byte {error.start} on") from None


def _parse(text: str) -> Dict[str, Any]:
    try:
        body = json.loads(text, parse_int=_integer, parse_constant=_constant)
    except RecursionError:
        raise Refusal(400, f"the body is nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise Refusal(400, f"the body is no JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(body, dict):
        raise Refusal(400, "the body has to be a JSON object")
    level: List[Any] = [body]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return body
    raise Refusal(400, f"the body is nested deeper than {MAX_DEPTH} levels")


def _integer(digits: str) -> int:
    # Python takes minutes for one of a million digits.
    if len(digits) > _MAX_DIGITS:
        raise Refusal(400, f"the body has a number of more than {_MAX_DIGITS} digits")
    return int(digits)


def _constant(word: str) -> None:
    raise Refusal(400, f"the body has {word}, which is no JSON")


def _metrics(body: Dict[str, Any]) -> Iterator[Metric]:
    for kind, values in _dict(body.get("metrics")).items():
        for name, value in _dict(values).items():
            yield Metric(_text(kind), _text(name), _number(value))
    events = body.get("events")
    names = [
        (_text(event.get("category")), _text(event.get("name")))
        for event in (events if isinstance(events, list) else [])
        if isinstance(event, dict)
    ]
    for (category, name), count in Counter(names).items():
        yield Metric("event", f"{category}.{name}" if category else name, count)


def _number(value: Any) -> Optional[float]:
    """Return what a trend shows of a value: totals of labels, means of distributions, ratios of rates."""
    if isinstance(value, (bool, int, float)):
        return _float(value)
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("values"), dict):
        return _divide(value.get("sum"), _total(value["values"]))
    if "denominator" in value:
        return _divide(value.get("numerator"), value["denominator"])
    if "time_unit" in value:
        return _float(value.get("value"))
    return _total(value)


def _total(value: Any) -> Optional[float]:
    if not isinstance(value, dict):
        return _float(value)
    parts: List[Tuple[Optional[float]]] = [(_total(each),) for each in value.values()]
    numbers = [part for (part,) in parts if part is not None]
    return sum(numbers) if numbers and len(numbers) == len(parts) else None


def _divide(upper: Any, lower: Any) -> Optional[float]:
    first, second = _float(upper), _float(lower)
    return first / second if first is not None and second else None


def _float(value: Any) -> Optional[float]:
    return float(value) if isinstance(value, (bool, int, float)) else None


def _dict(value: Any) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return _clean(value)[:_MAX_NAME] if isinstance(value, str) else ""


def _clean(text: str) -> str:
    """Return a text that UTF-8 can spell."""
    return text.encode("utf-8", "replace").decode("utf-8")
