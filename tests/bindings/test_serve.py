"""The collector `python -m glean_py serve`: what it takes, keeps, answers and refuses."""

import base64
import contextlib
import gzip
import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import uuid
import zlib
from pathlib import Path
from typing import Any, Dict

import pytest
from upload_programs import environment

from glean_py import __main__ as command_line
from glean_py.serve import Collector, command, server
from glean_py.serve.store import Store, StoreError

BODY: Dict[str, Any] = {
    "ping_info": {
        "seq": 3,
        "start_time": "2026-01-31T10:00+01:00",
        "end_time": "2026-01-31T11:00+01:00",
        "reason": "quit",
    },
    "client_info": {
        "app_build": "7",
        "app_display_version": "1.0",
        "architecture": "x86_64",
        "client_id": "0a1b2c3d-0000-4000-8000-0123456789ab",
        "first_run_date": "2026-01-31+01:00",
        "os": "Linux",
        "os_version": "6.1",
        "telemetry_sdk_build": "0.1.0",
    },
    "metrics": {
        "counter": {"app.starts": 2},
        "timing_distribution": {"app.load": {"sum": 30, "values": {"1": 1, "10": 2}}},
        "labeled_counter": {"app.menu": {"file": 1, "edit": 2}},
    },
    "events": [
        {"timestamp": 0, "category": "ui", "name": "click"},
        {"timestamp": 5, "category": "ui", "name": "click"},
    ],
}


@pytest.fixture
def collector():
    with Collector() as running:
        yield running


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.data = response.read()

    @property
    def json(self):
        return json.loads(self.data.decode("utf-8"))


def ask(collector, method, path, body=None, **headers):
    """Send one request and return the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", collector.endpoint.rpartition(":")[2], timeout=600)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def submit(collector, body=None, name="usage", application="my-app", document_id=None, **headers):
    """Submit a ping as Glean does."""
    data = body if isinstance(body, bytes) else json.dumps(BODY if body is None else body).encode("utf-8")
    path = f"/submit/{application}/{name}/1/{document_id or uuid.uuid4()}"
    return ask(collector, "POST", path, gzip.compress(data), Content_Encoding="gzip", **headers)


def talk(collector, data, *, is_ended=False):
    """Send bytes that may be no request, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", int(collector.endpoint.rpartition(":")[2])), 60) as sock:
        sock.sendall(data.replace(b"HERE", collector.endpoint[7:].encode()))
        if is_ended:
            sock.shutdown(socket.SHUT_WR)
        got = b""
        try:
            while True:
                more = sock.recv(65536)
                if not more:
                    return got
                got += more
        except ConnectionError:
            return got


# --- what it takes and tells ------------------------------------------------------------------------------------------


def test_a_ping_is_told_with_what_is_in_it(collector):
    answer = submit(collector, document_id="0000-1", X_Debug_ID="my-tag")
    assert (answer.status, answer.json) == (200, {"number": 1})
    (ping,) = ask(collector, "GET", "/api/pings").json["pings"]
    assert ping.pop("arrived_ms") == pytest.approx(time.time() * 1000, abs=600_000)
    violations = ping.pop("violations")
    assert violations == ([] if collector.checker.missing == "" else None)
    assert ping == {
        "number": 1,
        "document_id": "0000-1",
        "application": "my-app",
        "name": "usage",
        "client_id": BODY["client_info"]["client_id"],
        "tag": "my-tag",
        "reason": "quit",
        "seq": 3,
        "size": len(json.dumps(BODY)),
        "metrics": 4,
        "times": 1,
        "body": BODY,
    }
    one = ask(collector, "GET", "/api/pings/1").json
    assert one["body"] == BODY and one["headers"] == {"X-Debug-ID": "my-tag", "Content-Encoding": "gzip"}
    download = ask(collector, "GET", "/api/pings/1/body?download")
    assert download.data.decode() == json.dumps(BODY) and "0000-1.json" in download.headers["Content-Disposition"]


def test_the_body_stays_as_it_was_sent(collector):
    text = '{"metrics": {"quantity": {"a.b": 9223372036854775807}},  "events": [], "a": 1e3, "b": "\\ud800"}'
    assert submit(collector, text.encode()).status == 200
    assert ask(collector, "GET", "/api/pings/1/body").data.decode() == text


def test_the_same_document_is_kept_once(collector):
    for _ in range(3):
        submit(collector, document_id="same")
    (ping,) = collector.pings()
    assert ping["times"] == 3


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_list_of_large_pings_is_sent_ping_by_ping(collector, version):
    for number in range(6):
        submit(collector, {"a": str(number) * 2**22})
    request = f"GET /api/pings HTTP/{version}\r\nHost: {collector.endpoint[7:]}\r\nConnection: close\r\n\r\n"
    received, found = 0, ""
    tracemalloc.start()
    try:
        with socket.create_connection(("127.0.0.1", int(collector.endpoint.rpartition(":")[2])), 60) as sock:
            sock.sendall(request.encode())
            data = sock.recv(65536)
            while data:
                received += len(data)
                found = (found + data.decode())[-20:]
                data = sock.recv(65536)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A ping and its copies on the way, and not the six.
    assert received > 6 * 2**22 and most < 5 * 2**22, most
    assert found.endswith("]}" if version == "1.0" else "\r\n2\r\n]}\r\n0\r\n\r\n")


def test_a_store_that_fails_in_the_middle_leaves_a_list_without_an_end(collector, monkeypatch):
    submit(collector)
    text = collector.store.text
    submit(collector)

    def fail(number):
        if number == 2:
            raise StoreError("the store fails")
        return text(number)

    monkeypatch.setattr(collector.store, "text", fail)
    with pytest.raises(http.client.IncompleteRead):
        ask(collector, "GET", "/api/pings")


def test_filters(collector):
    submit(collector, name="one", X_Debug_ID="tag")
    submit(collector, name="two", application="other")
    submit(collector, {"metrics": {"string": {"app.word": "Grüße"}}}, name="three")
    for query, names in (
        ("", ["one", "two", "three"]),
        ("name=two", ["two"]),
        ("application=my-app", ["one", "three"]),
        ("client=" + BODY["client_info"]["client_id"], ["one", "two"]),
        ("tag=tag", ["one"]),
        ("metric=app.starts", ["one", "two"]),
        ("metric=ui.click", ["one", "two"]),
        ("metric=app", []),
        ("text=APP.WORD", ["three"]),
        ("text=%2Fsubmit%2Fother", ["two"]),
        ("since=1&name=one", []),
        ("newest=2", ["two", "three"]),
        ("newest=1&application=my-app&since=1", ["three"]),
        ("newest=1&text=app.", ["three"]),
        ("newest=9", ["one", "two", "three"]),
        ("since=2", ["three"]),
    ):
        answer = ask(collector, "GET", f"/api/pings?bodies=0&{query}").json
        assert [ping["name"] for ping in answer["pings"]] == names, query
        assert "body" not in json.dumps(answer)
    assert answer["since"] == 3


def test_waiting_ends_with_the_ping_or_the_deadline(collector):
    waiting = []
    thread = threading.Thread(target=lambda: waiting.append(ask(collector, "GET", "/api/pings?wait=2&timeout=60")))
    thread.start()
    submit(collector)
    submit(collector)
    thread.join(600)
    assert waiting[0].status == 200 and len(waiting[0].json["pings"]) == 2
    late = ask(collector, "GET", "/api/pings?name=never&wait=1&timeout=0")
    assert late.status == 504 and late.json["error"] == "0 of 1 pings arrived within 0 s"
    with pytest.raises(TimeoutError, match="0 of 1 pings 'never' arrived within 0 s; here are pings usage, and 0 were"):
        collector.wait_for_pings("never", timeout_s=0)


def test_clearing_forgets_and_numbers_go_on(collector):
    submit(collector)
    assert ask(collector, "DELETE", "/api/pings").status == 200
    submit(collector)
    assert [ping["number"] for ping in collector.pings()] == [2]


def test_changes_are_told_as_they_come(collector):
    position = ask(collector, "GET", "/api/status").json["position"]
    submit(collector)
    listed = ask(collector, "GET", "/api/pings?bodies=0").json["pings"]
    submit(collector, b"[]")
    collector.fail(status=503)
    collector.clear()
    changes = collector.changes(position, 0)
    assert [kind for _, kind, _ in changes] == ["ping", "refused", "faults", "cleared"]
    # Many are remembered, so they are no larger than a list needs.
    assert [json.loads(changes[0][2])] == listed
    assert collector.changes(changes[0][0], 0) == changes[1:]
    assert collector.changes(changes[-1][0], 0) == []
    for lost in ("", "other-1", position.replace("-0", "-99"), position.replace("-0", "-\xb2"), "1e"):
        assert [kind for _, kind, _ in collector.changes(lost, 0)] == ["reset"]


def test_a_ping_that_is_cleared_at_once_was_told_before(collector, monkeypatch):
    position, add = collector.position(), collector.store.add
    clearing = threading.Thread(target=collector.clear)

    def add_and_clear(*arguments):
        number = add(*arguments)
        clearing.start()
        clearing.join(0.3)
        return number

    monkeypatch.setattr(collector.store, "add", add_and_clear)
    submit(collector)
    clearing.join(600)
    changes = collector.changes(position, 0)
    assert [kind for _, kind, _ in changes] == ["ping", "cleared"] and json.loads(changes[0][2])["number"] == 1


def test_faults_change_while_nobody_counts_them(collector):
    failing = threading.Thread(target=collector.fail, kwargs={"status": 500})
    with collector._changed:
        failing.start()
        failing.join(0.3)
        assert collector.faults.status == 0
    failing.join(600)
    assert collector.faults.status == 500


def test_events_are_streamed(collector):
    port = int(collector.endpoint.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.sendall(f"GET /api/events HTTP/1.1\r\nHost: {collector.endpoint[7:]}\r\n\r\n".encode())
        lines = sock.makefile("rb")
        assert lines.readline() == b"HTTP/1.1 200 OK\r\n"
        while lines.readline() != b"\r\n":
            pass
        submit(collector)
        got = [lines.readline().partition(b": ")[2] for _ in range(3)]
    assert got[1] == b"ping\n" and json.loads(got[2].decode())["name"] == "usage"


def test_metrics_and_their_trend(collector):
    for number in (1, 5):
        submit(
            collector, {"metrics": {"counter": {"a.b": number}, "rate": {"a.r": {"numerator": 1, "denominator": 0}}}}
        )
    submit(collector)
    names = {entry["name"]: entry for entry in ask(collector, "GET", "/api/metrics").json["metrics"]}
    assert names["a.b"] == {"name": "a.b", "type": "counter", "pings": 2, "is_number": True}
    assert not names["a.r"]["is_number"]

    def values(metric):
        return [point["value"] for point in ask(collector, "GET", f"/api/trend?metric={metric}").json["points"]]

    assert values("a.b") == [1, 5]
    assert (values("app.load"), values("app.menu"), values("ui.click")) == ([10], [3], [2])


# --- what is wrong with a ping ----------------------------------------------------------------------------------------


def test_violations_are_explained(collector):
    if collector.checker.missing:
        pytest.skip(collector.checker.missing)
    body = json.loads(json.dumps(BODY))
    body["metrics"]["counter"] = {"app.starts": -1, "App": 1}
    body["metrics"]["string"] = {"a.b": "x" * 256}
    body["metrics"]["oddity"] = {}
    body["ping_info"]["seq"] = "three"
    del body["client_info"]["os"], body["client_info"]["architecture"]
    body["client_info"]["client_id"] = "c0ffee"
    body["events"] = []
    submit(collector, body)
    (ping,) = collector.pings()
    found = {violation["place"]: violation["what"] for violation in ping["violations"]}
    assert found == {
        "client_info": "lacks architecture, os",
        "client_info/client_id": 'has to look like a UUID in lower case; it is "c0ffee"',
        "events": "is empty; what is empty is left out of a ping",
        "metrics": "has names that no ping has here: oddity",
        "metrics/counter": 'has to look like category.name in lower case; it is "App"',
        "metrics/counter/app.starts": "has to be at least 0; it is -1",
        "metrics/string/a.b": f'has to have at most 255 characters; it has 256: "{"x" * 159}…',
        "ping_info/seq": 'has to be a whole number; it is "three"',
    }


def test_without_jsonschema_it_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with Collector() as collector:
        submit(collector)
        assert collector.pings()[0]["violations"] is None
        assert "pip install 'glean_py[serve]'" in ask(collector, "GET", "/api/status").json["unchecked"]


# glean_parser uses what jsonschema gives up.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("file", ["telemetry.py", "metrics.yaml"])
def test_a_registry_describes_metrics(file):
    if file.endswith(".yaml"):
        pytest.importorskip("glean_parser", reason="glean_parser is not installed, which reads YAML")
    path = Path(__file__).resolve().parent / "data" / file
    with Collector(registry=[path]) as collector:
        body = {"metrics": {"counter": {"expiry.never": 1, "new.one": 1}, "boolean": {"expiry.past": True}}}
        submit(collector, body, name="custom")
        submit(collector, body, name="other")
        first, second = (ask(collector, "GET", f"/api/pings/{number}").json["registry"] for number in (1, 2))
    assert first["expiry.never"]["description"] == "A flag." and first["expiry.never"]["problem"] == ""
    assert first["new.one"] == {"problem": "unknown: the registry has no such metric"}
    assert "its type is counter, not boolean" in first["expiry.past"]["problem"]
    assert second["expiry.never"]["problem"].startswith("unexpected: the registry sends it in custom, not in other")
    if file.endswith(".yaml"):
        assert first["expiry.never"]["expires"] == "never" and first["expiry.never"]["bugs"][0].startswith("https://")


# --- faults -----------------------------------------------------------------------------------------------------------


def test_faults_last_as_long_as_asked(collector):
    faults = ask(collector, "PUT", "/api/faults?retry-after=60&times=1").json
    assert faults == {"status": 503, "retry_after": 60, "delay": 0.0, "cut": False, "times": 1}
    answer = submit(collector)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
    assert submit(collector).status == 200
    ask(collector, "PUT", "/api/faults?cut&delay=0.01")
    with pytest.raises((ConnectionError, http.client.BadStatusLine)):
        submit(collector)
    assert ask(collector, "DELETE", "/api/faults").json["cut"] is False
    assert submit(collector).status == 200 and len(collector.pings()) == 2


@pytest.mark.parametrize(
    "query", ["status=9", "delay=x", "delay=nan", "delay=1e9", "typo=1", "retry-after=-1", "status", "times=1e3"]
)
def test_faults_that_are_none_are_refused(collector, query):
    answer = ask(collector, "PUT", f"/api/faults?{query}")
    assert answer.status == 400 and query.partition("=")[0] in answer.json["error"]
    assert submit(collector).status == 200


# --- what it refuses --------------------------------------------------------------------------------------------------

DEEP = b'{"a":' * 100 + b"1" + b"}" * 100


@pytest.mark.parametrize(
    "body, status, reason",
    [
        (b"{", 400, "no JSON"),
        (b"[]", 400, "object"),
        (b"\xff{}", 400, "UTF-8, from byte 0"),
        (b'{"a": NaN}', 400, "NaN"),
        (b'{"a": 1' + b"0" * 100_000 + b"}", 400, "digits"),
        (DEEP, 400, "deeper than 64"),
        (b'{"a":' * 100_000, 400, "deeper than 64"),
        (b" " * (16 * 2**20 + 1), 413, "16 MiB"),
    ],
    ids=["half", "list", "latin", "nan", "digits", "deep", "deeper", "bomb"],
)
def test_bodies_that_are_no_pings_are_refused(collector, body, status, reason):
    answer = submit(collector, body)
    assert answer.status == status and reason in answer.json["error"]
    assert collector.pings() == [] and collector.status()["refused"] == 1
    assert submit(collector).status == 200


def test_encodings_and_paths_that_are_none_are_refused(collector):
    good = "/submit/my-app/usage/1/0000"
    whole = gzip.compress(json.dumps(BODY).encode())
    for path, data, encoding, status in (
        (good, whole[:-9], "gzip", 400),
        (good, b"{}", "gzip", 400),
        (good, zlib.compress(b"{}"), "gzip", 400),
        (good, b"{}", "br", 415),
        ("/submit/my-app/usage/1", b"{}", "identity", 404),
        ("/submit/my-app/usage/x/0000", b"{}", "identity", 404),
        ("/submit/my-app/" + "u" * 101 + "/1/0000", b"{}", "identity", 404),
        ("/submit/my-app/usage/1/..%2F..%2Fetc", b"{}", "identity", 404),
        ("/", b"{}", "identity", 404),
    ):
        assert ask(collector, "POST", path, data, Content_Encoding=encoding).status == status, path
    assert ask(collector, "POST", good, b" " * (2**20 + 1)).status == 413
    assert ask(collector, "GET", "/../store.py").status == ask(collector, "GET", "/page.py").status == 404
    assert collector.pings() == []


def test_requests_that_other_sites_cause_are_refused(collector):
    ours = collector.endpoint[7:]
    submit(collector)
    for headers, status in (
        ({"Host": ours}, 200),
        ({"Host": ours.replace("127.0.0.1", "localhost")}, 200),
        ({"Host": ours, "Origin": f"http://{ours}"}, 200),
        # A name that leads here by somebody's DNS.
        ({"Host": ours.replace("127.0.0.1", "rebound.example")}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Host": ""}, 421),
        ({"Host": ours, "Origin": "https://example.org"}, 403),
        ({"Host": ours, "Origin": "null"}, 403),
        ({"Host": ours, "Origin": ours}, 403),
        ({"Host": ours, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": ours, "Sec-Fetch-Site": "same-site"}, 403),
    ):
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        for request in ("GET /api/pings", "DELETE /api/faults", "PUT /api/faults"):
            got = talk(collector, f"{request} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
            assert got.startswith(f"HTTP/1.1 {status} ".encode()), (request, headers, got)
    # Links of other sites to the page work.
    got = talk(collector, b"GET / HTTP/1.1\r\nHost: HERE\r\nSec-Fetch-Site: cross-site\r\nConnection: close\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "request_, status",
    [
        (b"POST /submit/a/b/1/c HTTP/1.1\r\nHost: HERE\r\n\r\n", 411),
        (b"POST /submit/a/b/1/c HTTP/1.1\r\nHost: HERE\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 411),
        (b"POST /submit/a/b/1/c HTTP/1.1\r\nHost: HERE\r\nContent-Length: -1\r\n\r\n", 411),
        (b"POST /submit/a/b/1/c HTTP/1.1\r\nHost: HERE\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /submit/a/b/1/c HTTP/1.1\r\nHost: HERE\r\nContent-Length: 99\r\n\r\n{}", 400),
        (b"GET / HTTP/1.1\r\nHost: HERE\r\nHost: HERE\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"PATCH / HTTP/1.1\r\nHost: HERE\r\n\r\n", 501),
        (b"\x16\x03\x01 not HTTP at all\r\n\r\n", 400),
        (b"POST /submit/a/b/1/c HTTP/1.1\r\nHost: HERE\r\nContent-Length: \xb2\r\n\r\n", 411),
        (b"POST /submit/a/b/1/c HTTP/1.1\r\nHost: HERE\r\nContent-Length: " + b"9" * 18 + b"\r\n\r\n", 413),
        (b"GET http://[ HTTP/1.1\r\nHost: HERE\r\n\r\n", 400),
        (b"GET /api/pings?since=-1 HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n", 400),
        (b"GET /api/pings?since=%C2%B2 HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n", 400),
        (
            b"GET /api/pings?since=" + b"0" * 20 + b"9" * 20 + b" HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n",
            400,
        ),
        (b"GET /api/pings/\xb2 HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n", 404),
        (b"PUT /api/faults?times=1" + b"0" * 400 + b" HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n", 400),
    ],
    ids=[
        *("no-length", "two", "negative", "chunked", "half", "hosts", "headers", "long", "method", "tls"),
        *("length", "vast-length", "address", "number", "digit", "vast-number", "no-ping", "vast-fault"),
    ],
)
def test_hostile_requests_are_refused(collector, request_, status, capsys):
    got = talk(collector, request_, is_ended=True)
    assert b" %d " % status in got.partition(b"\r\n")[0]
    assert submit(collector).status == 200
    assert capsys.readouterr().err == ""


def test_slow_requests_are_ended(monkeypatch):
    monkeypatch.setattr(server, "_REQUEST_S", 0.2)
    with Collector() as collector:
        stop = threading.Event()
        with socket.create_connection(("127.0.0.1", int(collector.endpoint.rpartition(":")[2])), 60) as sock:

            def drip():
                try:
                    # Each letter is in time, the request never is.
                    while not stop.wait(0.02):
                        sock.sendall(b"G")
                except OSError:
                    pass

            thread = threading.Thread(target=drip)
            thread.start()
            try:
                assert sock.recv(100) == b""
            except ConnectionError:
                pass
            stop.set()
            thread.join()


def test_connections_are_bounded(monkeypatch):
    monkeypatch.setattr(server, "_MAX_CONNECTIONS", 2)
    with Collector() as collector:
        address = ("127.0.0.1", int(collector.endpoint.rpartition(":")[2]))
        held = [socket.create_connection(address, 60) for _ in range(2)]
        try:
            assert talk(collector, b"").startswith(b"HTTP/1.1 503 ")
        finally:
            for sock in held:
                sock.close()
        is_served = False
        while not is_served:
            # Who comes too early is cut off, maybe in the middle of its request.
            with contextlib.suppress(OSError):
                is_served = submit(collector).status == 200


def test_every_answer_has_the_policy(collector):
    for path in ("/", "/api/status", "/nothing"):
        headers = ask(collector, "GET", path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_policy_lets_the_style_and_the_script_of_the_page_be_and_nothing_else(collector):
    answer = ask(collector, "GET", "/")
    page = answer.data.decode("utf-8")
    for kind, element in (("style", "<style>"), ("script", '<script type="module">')):
        text = page.split(element)[1].split(f"</{kind}>")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in answer.headers["Content-Security-Policy"]
    assert "style=" not in page and page.count("<script") == 2 and "\nimport " not in page and "\nexport " not in page


def first_of(collector, **headers):
    """Return what the page comes with."""
    page = ask(collector, "GET", "/", **headers).data.decode("utf-8")
    return page.split('<script type="application/json" id="first">')[1].split("</script>")[0]


def test_page_comes_with_the_newest_pings_and_no_markup_of_them(collector):
    for _ in range(51):
        submit(collector, {**BODY, "ping_info": {**BODY["ping_info"], "reason": "</script><script>alert(1)</script>"}})
    status, answer = json.loads(first_of(collector))
    assert status == json.loads(ask(collector, "GET", "/api/status").data)
    newest = json.loads(ask(collector, "GET", "/api/pings?bodies=0&newest=50").data)
    assert answer == {"position": newest["position"], "pings": newest["pings"]} and len(answer["pings"]) == 50
    assert "alert(1)" in first_of(collector) and "<" not in first_of(collector)


def test_page_that_another_site_led_to_comes_with_nothing(collector):
    submit(collector)
    for site in ("cross-site", "same-site"):
        assert first_of(collector, Sec_Fetch_Site=site) == "null"
    assert first_of(collector, Sec_Fetch_Site="none") != "null"


# --- what it keeps ----------------------------------------------------------------------------------------------------


def test_only_the_newest_are_kept():
    with Collector(keep=3) as collector:
        for name in "abcde":
            submit(collector, name=name)
        assert [ping["name"] for ping in collector.pings()] == ["c", "d", "e"]
        # Their metrics went with them.
        (entry,) = [each for each in collector.store.metrics() if each["name"] == "app.starts"]
        assert entry["pings"] == 3


def test_a_store_is_the_same_after_a_restart(tmp_path):
    file = str(tmp_path / "pings.sqlite")
    with Collector(store=file) as collector:
        submit(collector)
        before = collector.pings()
        with pytest.raises(StoreError, match="another collector has"):
            Collector(store=file)
    with Collector(store=file) as collector:
        assert collector.pings() == before
        submit(collector)
        assert [ping["number"] for ping in collector.pings()] == [1, 2]


def test_a_damaged_store_is_set_aside(tmp_path):
    file = tmp_path / "pings.sqlite"
    with Collector(store=str(file)) as collector:
        for _ in range(20):
            submit(collector)
    damaged = file.read_bytes()[:4096] + b"\xff" * 30_000
    for content in (b"no database", damaged):
        file.write_bytes(content)
        with Collector(store=str(file)) as collector:
            assert Path(collector.store.set_aside).read_bytes() == content
            assert submit(collector).status == 200 and len(collector.pings()) == 1


def test_a_database_of_another_program_is_left_alone(tmp_path):
    sqlite3 = pytest.importorskip("sqlite3")
    file = tmp_path / "other.sqlite"
    database = sqlite3.connect(str(file))
    database.execute("CREATE TABLE theirs (a)")
    database.commit()
    database.close()
    with pytest.raises(StoreError, match="of another program"):
        Store(str(file))
    with pytest.raises(StoreError, match="cannot be used"):
        Store(str(tmp_path / "missing" / "pings.sqlite"))


def test_a_full_disk_is_told_and_loses_no_ping_of_a_program(tmp_path, collector):
    # What SQLite does when the disk has no room for another page.
    (pages,) = collector.store._database.execute("PRAGMA page_count").fetchone()
    collector.store._database.execute(f"PRAGMA max_page_count = {pages}")
    answer = submit(collector, {"metrics": {"text": {"a.b": os.urandom(50_000).hex()}}})
    assert answer.status == 507 and "full" in answer.json["error"]
    collector.store._database.execute("PRAGMA max_page_count = 100000")
    assert submit(collector).status == 200 and len(collector.pings()) == 1


def test_a_disk_that_fails_is_told(collector, capsys):
    submit(collector)
    # What SQLite answers then is an error of the same kind.
    collector.store._database.execute("PRAGMA query_only = ON")
    answer = ask(collector, "DELETE", "/api/pings")
    assert answer.status == 507 and "the store fails: attempt to write" in answer.json["error"]
    collector.store._database.execute("PRAGMA query_only = OFF")
    assert len(collector.pings()) == 1 and capsys.readouterr().err == ""


# --- commands ---------------------------------------------------------------------------------------------------------


def start(*arguments, **options):
    argv = [sys.executable, "-u", "-W", "error", "-m", "glean_py", *map(str, arguments)]
    return subprocess.Popen(
        argv, env=environment(**options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )


@pytest.mark.slow
def test_serve_and_tail(tmp_path):
    """One collector from its first line to Ctrl-C, and what the terminal shows of it."""
    serving = start("serve", "--port", "0", "--store", tmp_path / "pings.sqlite")
    try:
        first = serving.stdout.readline().decode()
        endpoint = first.split()[5].rstrip("/")
        assert first.startswith("The page of this collector: http://127.0.0.1:")
        found = type("Found", (), {"endpoint": endpoint})
        submit(found, name="early\x1b[2J".replace("\x1b", "%1B"))
        tailing = start("tail", "--url", endpoint)
        try:
            assert b"my-app/early\\x1b[2J" in tailing.stdout.readline()
            submit(found, name="later", X_Debug_ID="my-tag")
            line = tailing.stdout.readline().decode()
            assert "#2  my-app/later  seq 3  quit  4 metrics" in line and "tag my-tag" in line
            second = start("serve", "--port", endpoint.rpartition(":")[2])
            _, said = second.communicate(timeout=600)
            assert second.returncode == 1
            port = int(endpoint.rpartition(":")[2])
            assert f"error: port {port} is taken by another collector, process {serving.pid}" in said.decode()
            assert "Next: python -m glean_py serve --port " in said.decode()
            third = start("serve", "--port", "0", "--store", tmp_path / "pings.sqlite")
            _, said = third.communicate(timeout=600)
            assert third.returncode == 1 and b"error: another collector has " in said
            if os.name == "posix":
                serving.send_signal(2)
                out, said = serving.communicate(timeout=600)
                assert (serving.returncode, said) == (0, b"") and b"the port is free again" in out
                _, said = tailing.communicate(timeout=600)
                assert (tailing.returncode, said) == (1, b"error: the collector is gone" + os.linesep.encode())
                Collector(port=port).close()
        finally:
            tailing.kill()
            tailing.communicate()
    finally:
        serving.kill()
        serving.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 200], ids=["short", "long"])
def test_tail_tells_each_ping_once(collector, monkeypatch, count):
    """Also where the list is long, and where a ping arrives before the list is asked for."""
    wide = "\U0001f600" * 200
    body = json.dumps({"client_info": {"client_id": wide}, "ping_info": {"reason": wide}}).encode()
    for number in range(count):
        collector.accept(f"/submit/my-app/usage/1/{number}", {"X-Debug-ID": wide}, body)
    ask_collector, told = command._ask, []

    def ask_and_submit(host, port, path, *limit):
        answer = ask_collector(host, port, path, *limit)
        if path == "/api/status":
            submit(collector)
        return answer

    def tell(ping, given):
        told.append(ping["number"])
        if len(told) == count + 1:
            submit(collector, name="last")
        if ping["name"] == "last":
            raise KeyboardInterrupt

    monkeypatch.setattr(command, "_ask", ask_and_submit)
    monkeypatch.setattr(command, "_print", tell)
    assert command_line.main(["tail", "--url", collector.endpoint]) == 0
    assert told == list(range(1, count + 3))


def test_tail_says_what_it_cannot_read(collector, monkeypatch, capsys):
    def half(handler, query):
        handler._send(200, b"[", "application/json")

    monkeypatch.setitem(server._ROUTES, ("GET", "/api/pings"), half)
    said = complain(capsys, "tail", "--url", collector.endpoint)
    assert "what the collector at http://" in said and "cannot be understood (JSONDecodeError: " in said


def complain(capsys, *arguments):
    """Run a command that cannot begin and return why."""
    assert command_line.main([str(argument) for argument in arguments]) == 1
    return capsys.readouterr().err


def test_what_keeps_serve_and_tail_from_beginning(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "_ASK_S", 0.1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        taken.settimeout(60)
        said = complain(capsys, "serve", "--port", port)
        by = "another program" if sys.platform != "linux" else f"process {os.getpid()} ("
        assert f"error: port {port} is taken by {by}" in said
    assert "error: no collector answers at" in complain(capsys, "tail", "--url", f"http://127.0.0.1:{port}")
    assert "is no address of a collector" in complain(capsys, "tail", "--url", "gopher://x")
    assert "no collector answers at" in complain(capsys, "tail", "--url", "http://a b")
    assert "cannot be listened on" in complain(capsys, "serve", "--host", "192.0.2.1", "--port", "0")
    assert "there is no file" in complain(capsys, "serve", "--port", "0", "--registry", tmp_path / "metrics.yaml")
    (tmp_path / "not.py").write_text("import os")
    assert "describes no metric" in complain(capsys, "serve", "--port", "0", "--registry", tmp_path / "not.py")
    for wrong in (["--port", "x"], ["--port", "99999"], ["--keep", "0"]):
        with pytest.raises(SystemExit) as ended:
            command_line.main(["serve", *wrong])
        assert ended.value.code == 2


def test_no_browser_is_said(monkeypatch, capsys):
    import webbrowser

    monkeypatch.setattr(webbrowser, "_tryorder", [])
    command._open_browser("http://127.0.0.1:8125")
    assert "no browser was found here; open http://127.0.0.1:8125/ in one" in capsys.readouterr().err
