"""GLEAN_DEBUG_COLLECTOR: a collector gets a copy of each ping, whatever becomes of the ping itself."""

import json
import socket

import needs
import pytest
from conftest import describe, make_ping
from fault_server import FaultServer, answer, answer_late, never_answer
from upload_programs import accepted_ids, finish_program, run_program, start_program, waiting_ids

from glean_py import Configuration, _ffi, testing
from glean_py.metrics import CounterMetricType
from glean_py.net import debug_collector, http_client
from glean_py.net.ping_upload_worker import get_upload_task
from glean_py.serve import Collector
from glean_py.serve.store import Filter

# A busy machine gets all the time it needs.
SUBMIT = "start(shutdown_timeout_s=600)\nfor _ in range(3):\n    custom.submit()\n"


@pytest.fixture
def collector():
    with Collector() as running:
        yield running


def copying(collector, **more):
    return {"env": dict(more, GLEAN_DEBUG_COLLECTOR=collector if isinstance(collector, str) else collector.endpoint)}


def ids(collector):
    return sorted(ping["document_id"] for ping in collector.pings())


def test_a_program_without_a_server_is_seen(tmp_path, collector):
    run_program(tmp_path, "", SUBMIT, **copying(collector))
    assert len(ids(collector)) == 3 and ids(collector) == waiting_ids(tmp_path)
    ping = collector.pings()[0]
    assert (ping["application"], ping["name"], ping["times"]) == ("glean-tests", "custom", 1)
    file = next(file for file in (tmp_path / "pending_pings").iterdir() if file.name == ping["document_id"])
    assert ping["body"] == json.loads(file.read_text(encoding="utf-8").splitlines()[1])
    # What the next start finds is copied again, and is the same ping there.
    run_program(tmp_path, "", "start(shutdown_timeout_s=600)", **copying(collector))
    assert [ping["times"] for ping in collector.pings()] == [1, 1, 1]


def test_while_it_runs_too(tmp_path, collector):
    code = "start()\ncustom.submit()\nprint('submitted', flush=True)\nsys.stdin.read()"
    program = start_program(tmp_path, "", code, **copying(collector))
    try:
        collector.wait_for_pings("custom", timeout_s=600)
    finally:
        finish_program(program)


def test_server_and_collector_get_the_same(tmp_path, collector):
    with FaultServer() as server:
        run_program(tmp_path, server.endpoint, SUBMIT, **copying(collector, GLEAN_DEBUG_VIEW_TAG="my-tag"))
        # One whose answer was lost arrives twice.
        server.wait_for(lambda server: len(set(accepted_ids(server))) == 3)
        accepted = list(server.accepted)
        collector.wait_for_pings("custom", 3, timeout_s=600)
    bodies = {request.document_id: request.body for request in accepted}
    assert sorted(bodies) == ids(collector)
    for ping in collector.pings():
        assert (ping["body"], ping["times"], ping["tag"]) == (bodies[ping["document_id"]], 1, "my-tag")


@pytest.mark.slow
@pytest.mark.parametrize("fault", [answer(503), never_answer], ids=["failing", "silent"])
def test_a_server_that_fails_hides_nothing(tmp_path, collector, fault):
    with FaultServer(fault) as server:
        run_program(tmp_path, server.endpoint, SUBMIT, **copying(collector))
        # A copy that took too long is made at the next start, once nobody waits for the server any more.
        while not collector.wait(Filter(name="custom"), 3, 1.0):
            run_program(tmp_path, server.endpoint, "start(shutdown_timeout_s=600)", **copying(collector))
        assert ids(collector) == waiting_ids(tmp_path) and len(ids(collector)) == 3


@pytest.mark.parametrize("fault", [answer(503), never_answer, None], ids=["failing", "silent", "nobody"])
def test_a_collector_that_fails_changes_nothing_and_is_left_alone(tmp_path, fault):
    with FaultServer() as server, FaultServer(fault or answer(200)) as other:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            address = other.endpoint if fault else f"http://127.0.0.1:{nobody.getsockname()[1]}"
            run_program(
                tmp_path,
                server.endpoint,
                "start(shutdown_timeout_s=600)\nfor _ in range(9):\n    custom.submit()",
                **copying(address),
            )
            assert len(server.wait_for_accepted(9)) == 9
        # After a failure there is a pause, in each of the two processes that send.
        assert len(other.requests) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("is_quick_to_end", [False, True], ids=["running", "ending"])
def test_a_slow_collector_holds_nothing_back(tmp_path, is_quick_to_end):
    run_program(tmp_path, "", SUBMIT * 2)
    waiting = waiting_ids(tmp_path)
    copies = []

    def take(connection):
        is_served = answer(200)(connection)
        copies.append(len(slow.requests))
        return is_served

    with FaultServer(take) as server, FaultServer(answer_late(1)) as slow:
        code = "start()" if is_quick_to_end else "start()\nsys.stdin.read()"
        program = start_program(tmp_path, server.endpoint, code, **copying(slow.endpoint))
        try:
            server.wait_for_accepted(6)
            slow.wait_for(lambda _: set(accepted_ids(slow)) == set(waiting))
        finally:
            finish_program(program)
    # Two seconds of copies went first at most, and none at the end; each gets one.
    assert sorted(accepted_ids(server)) == waiting and max(copies[:6]) <= 3, copies


def test_a_stop_ends_copying(tmp_path, collector, monkeypatch):
    run_program(tmp_path, "", SUBMIT)
    monkeypatch.setenv("GLEAN_DEBUG_COLLECTOR", collector.endpoint)
    http_client.start()
    turn = debug_collector.Turn(lambda: len(collector.pings()) == 1, 60)
    assert debug_collector.send_copies(str(tmp_path), turn) == 1 and len(collector.pings()) == 1
    turn = debug_collector.Turn(lambda: False, 60)
    assert debug_collector.send_copies(str(tmp_path), turn) == 0 and ids(collector) == waiting_ids(tmp_path)


def test_a_pause_is_for_one_collector(tmp_path, collector, monkeypatch):
    run_program(tmp_path, "", SUBMIT)
    http_client.start()
    turn = debug_collector.Turn(lambda: False, 60)
    with FaultServer(answer(503)) as failing:
        monkeypatch.setenv("GLEAN_DEBUG_COLLECTOR", failing.endpoint)
        assert 0 < debug_collector.send_copies(str(tmp_path), turn) <= 1000
        monkeypatch.setattr(debug_collector._Copies, "not_before", 1e12)
        monkeypatch.setenv("GLEAN_DEBUG_COLLECTOR", collector.endpoint)
        assert debug_collector.send_copies(str(tmp_path), turn) == 0
    assert ids(collector) == waiting_ids(tmp_path) and len(failing.requests) == 1


def test_a_proxy_is_no_way_to_this_machine(tmp_path, collector):
    with FaultServer() as proxy:
        proxies = {"http_proxy": proxy.endpoint, "HTTP_PROXY": proxy.endpoint, "no_proxy": ""}
        run_program(tmp_path, "", SUBMIT, **copying(collector, **proxies))
        assert len(ids(collector)) == 3 and proxy.connections == 0


def test_nothing_is_copied_of_who_does_not_want_to_be_tracked(tmp_path, collector):
    run_program(tmp_path, "", SUBMIT)
    run_program(tmp_path, "", SUBMIT, **copying(collector, DO_NOT_TRACK="1"))
    assert len(waiting_ids(tmp_path)) == 3 and ids(collector) == []


@needs.fork
def test_forked_processes_send_their_own(tmp_path, collector):
    code = """
start(shutdown_timeout_s=600)
custom.submit()
child = os.fork()
custom.submit()
if child == 0:
    Glean.shutdown()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    run_program(tmp_path, "", code, **copying(collector))
    assert len(ids(collector)) == 3 and ids(collector) == waiting_ids(tmp_path)


def test_the_collector_may_be_the_server(tmp_path, collector):
    # An end may cut off a request that was taken, and the ping is sent once more. So it comes when all is answered.
    code = f"{SUBMIT}sys.stdin.read()\nwait_until(lambda: not files())"
    program = start_program(tmp_path, collector.endpoint, code, **copying(collector))
    try:
        collector.wait_for_pings("custom", 3, timeout_s=600)
    finally:
        finish_program(program)
    assert [ping["times"] for ping in collector.pings()] == [1, 1, 1]


def test_without_a_server_the_thread_sleeps_after_a_ping(ping):
    CounterMetricType(describe("test.counter")).add()
    ping.submit(0)
    assert get_upload_task("").is_done()
    is_woken = _ffi.ffi.new("uint8_t *", 1)
    # Work that the ping caused may still wake it, but that ends.
    for _ in range(1000):
        _ffi.lib.glean_upload_wait(1, is_woken)
        if not is_woken[0]:
            break
    assert is_woken[0] == 0


def test_only_this_machine_and_https(monkeypatch, caplog):
    for text, address in (
        ("1", "http://127.0.0.1:8125"),
        ("true", "http://127.0.0.1:8125"),
        ("http://localhost:9000/", "http://localhost:9000"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        ("https://collector.example", "https://collector.example"),
        ("", ""),
        ("0", ""),
        ("off", ""),
    ):
        monkeypatch.setenv("GLEAN_DEBUG_COLLECTOR", text)
        assert debug_collector.find_collector() == address, text
    assert caplog.records == []
    for text in (
        "http://192.0.2.1",
        "http://collector.example",
        "http://127.0.0.1.example",
        "ftp://127.0.0.1",
        "https://",
        "x",
        "http://[",
        "http://127.0.0.1:x",
    ):
        monkeypatch.setattr(debug_collector._Copies, "is_told", False)
        monkeypatch.setenv("GLEAN_DEBUG_COLLECTOR", text)
        assert debug_collector.find_collector() == debug_collector.find_collector() == "", text
        (record,) = caplog.records
        assert record.levelname == "WARNING" and "nothing is copied" in record.getMessage()
        caplog.clear()


def test_the_fixture_sees_what_a_test_submits(glean_collector, stopped):
    custom = make_ping(send_if_empty=True)
    testing.reset_glean(application_id="glean-tests", application_version="1.0")
    custom.submit(0)
    (ping,) = glean_collector.wait_for_pings("custom")
    assert ping["reason"] == "first" and ping["body"]["ping_info"]["reason"] == "first"
    glean_collector.clear()
    assert glean_collector.pings() == []
    # As the server of a program, it can fail; Glean tries again.
    testing.reset_glean(
        application_id="glean-tests",
        application_version="1.0",
        configuration=Configuration(server_endpoint=glean_collector.endpoint, enable_internal_pings=False),
    )
    glean_collector.fail(status=503, times=1)
    custom.submit(1)
    assert len(glean_collector.wait_for_pings("custom")) == 1 and glean_collector.faults.status == 0


def test_the_fixture_is_seen_by_a_glean_that_runs(ping, glean_collector):
    CounterMetricType(describe("test.counter")).add()
    ping.submit(0)
    assert glean_collector.wait_for_pings("custom")[0]["reason"] == "first"


def test_a_free_port_each(glean_collector):
    with Collector() as other:
        assert other.endpoint != glean_collector.endpoint
        with socket.create_connection(("127.0.0.1", int(other.endpoint.rpartition(":")[2])), 60):
            pass


def test_a_collector_that_is_switched_off_starts_no_thread(tmp_path):
    code = "start()\ncustom.submit()\nprint('glean_py._upload_thread' in sys.modules)"
    assert run_program(tmp_path, "", code, **copying("0")).split() == ["False"]
