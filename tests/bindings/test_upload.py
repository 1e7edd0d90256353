"""From `submit` to a server: what a running program sends, when, and what becomes of the ping."""

import json
import logging
import os
import signal
import sys
import threading
import time
import types
import zipfile
from pathlib import Path

import fault_server
import needs
import pytest
from children import Held
from conftest import describe, make_ping
from fault_server import FaultServer, answer
from upload_programs import accepted_ids, finish_program, run_program, start_program, waiting_ids

from glean_py import Configuration, Glean, _uniffi, testing
from glean_py.metrics import CounterMetricType, EventMetricType
from glean_py.net import BaseUploader, HttpClientUploader, PingUploadWorker, http_client, ping_upload_worker
from glean_py.net.ping_uploader import UploadResult


@pytest.fixture(autouse=True)
def direct_connections(monkeypatch):
    """No proxies, and the authority of the fault server is trusted."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("SSL_CERT_FILE", str(fault_server.AUTHORITY))
    monkeypatch.setattr(http_client._OfProcess, "current", http_client._Transport())


def start(data_dir, endpoint=None, **options):
    """Start Glean as programs do, without the pings that it makes by itself."""
    options.setdefault("enable_internal_pings", False)
    options.setdefault("allow_multiprocessing", False)
    configuration = Configuration(server_endpoint=endpoint, **options)
    Glean.initialize("glean-tests", "1.0", True, configuration, data_dir)
    return configuration


def start_test_mode(endpoint=None, **options):
    """Start Glean so that each ping is sent before `submit` returns."""
    options.setdefault("enable_internal_pings", False)
    testing.reset_glean(
        application_id="glean-tests",
        application_version="1.0",
        configuration=Configuration(server_endpoint=endpoint, **options),
    )
    return Glean._data_dir


def make_hollow(name="custom", **changes):
    return make_ping(name, send_if_empty=True, **changes)


def wait_until(condition):
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_submitted_ping_reaches_the_server_and_leaves_the_disk(stopped, tmp_path, tls):
    custom = make_ping()
    counter = CounterMetricType(describe("test.metric"))
    with FaultServer(tls=tls) as server:
        start(tmp_path, server.endpoint)
        counter.add(3)
        custom.submit(1)
        (request,) = server.wait_for_accepted(1)
        wait_until(lambda: not waiting_ids(tmp_path))
        Glean._reset()
    assert request.target == "/submit/glean-tests/custom/1/" + request.document_id
    assert request.body["metrics"] == {"counter": {"test.metric": 3}}
    assert request.body["ping_info"]["reason"] == "second"
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert request.headers["Content-Encoding"] == "gzip"
    assert request.headers["Content-Length"] == str(len(request.raw))
    assert request.headers["X-Telemetry-Agent"].startswith("Glean/")
    assert "(Python on " in request.headers["X-Telemetry-Agent"]
    assert request.headers["Date"].endswith(" GMT")
    assert "User-Agent" not in request.headers


def test_without_a_server_endpoint_nothing_leaves_until_one_is_set(stopped, tmp_path, caplog):
    custom = make_hollow()
    with caplog.at_level(logging.INFO, "glean_py"), FaultServer() as server:
        configuration = start(tmp_path)
        for _ in range(3):
            custom.submit()
        wait_until(lambda: len(waiting_ids(tmp_path)) == 3)
        (record,) = [record for record in caplog.records if "server_endpoint" in record.getMessage()]
        assert record.levelname == "INFO"
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("glean")]
        configuration.server_endpoint = server.endpoint
        server.wait_for_accepted(3)
        assert len(set(accepted_ids(server))) == 3


def test_endpoint_and_uploader_of_a_running_program_can_be_changed(stopped, tmp_path):
    custom = make_hollow()
    sent = threading.Event()

    class Uploader(BaseUploader):
        def upload(self, capable_request):
            sent.set()
            return UploadResult.HTTP_STATUS(200)

    with FaultServer() as first, FaultServer() as second:
        configuration = start(tmp_path, first.endpoint)
        custom.submit()
        first.wait_for_accepted(1)
        configuration.server_endpoint = second.endpoint
        custom.submit()
        second.wait_for_accepted(1)
        configuration.ping_uploader = Uploader()
        custom.submit()
        assert sent.wait(600)
        assert (len(first.requests), len(second.requests)) == (1, 1)


SUBMIT_WHEN_ASKED = """
start(shutdown_timeout_s=600)
print("started", flush=True)
while sys.stdin.readline() == "submit\\n":
    custom.submit()
    print("submitted", flush=True)
"""


@needs.posix
def test_a_ping_is_sent_by_the_process_that_submitted_it_if_the_one_that_made_it_is_busy(tmp_path):
    def start_submitter(server):
        program = start_program(tmp_path, server.endpoint, SUBMIT_WHEN_ASKED)
        assert program.stdout.readline() == b"started\n"
        return program

    def submit(program):
        program.stdin.write(b"submit\n")
        program.stdin.flush()
        assert program.stdout.readline() == b"submitted\n"

    with FaultServer(answer(200)) as server, FaultServer(fault_server.never_answer) as dead_server:
        idle = start_submitter(server)
        submit(idle)
        wait_until(lambda: server.accepted and not waiting_ids(tmp_path))
        busy = start_submitter(dead_server)
        while not dead_server.requests:
            # Whoever looks first sends it; the one with the good server is soon done with it, and asleep.
            sent = len(server.accepted)
            submit(busy)
            wait_until(lambda sent=sent: dead_server.requests or len(server.accepted) > sent)
        sent = len(server.accepted)
        with Held(tmp_path):
            submit(idle)
            os.kill(idle.pid, signal.SIGSTOP)
            os.waitpid(idle.pid, os.WUNTRACED)
        submit(busy)
        wait_until(lambda: len(waiting_ids(tmp_path)) == 3)
        os.kill(idle.pid, signal.SIGCONT)
        # Without a reason, a process looks for pings of others every ten minutes.
        server.wait_for_accepted(sent + 2, timeout_s=300)
        for program in (busy, idle):
            program.kill()
            finish_program(program, status=-signal.SIGKILL)


def test_what_waited_is_sent_by_the_next_start_oldest_first(stopped, tmp_path):
    custom = make_hollow()
    start(tmp_path)
    for _ in range(3):
        custom.submit()
    Glean._reset()
    with FaultServer() as server:
        start(tmp_path, server.endpoint)
        sequence = [request.body["ping_info"]["seq"] for request in server.wait_for_accepted(3)]
    assert sequence == [0, 1, 2]


class Scripted:
    """An uploader without any base class, which does one thing after the other."""

    def __init__(self, *results):
        self.results = list(results)
        self.requests = []

    def upload(self, capable_request):
        self.requests.append(capable_request.capable(lambda capabilities: True))
        result = self.results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return result


def test_an_uploader_of_the_program_needs_no_base_class_and_no_server_endpoint(stopped):
    custom = make_hollow()
    uploader = Scripted(UploadResult.HTTP_STATUS(200))
    data_dir = start_test_mode(ping_uploader=uploader)
    custom.submit()
    (request,) = uploader.requests
    assert request.url == "/submit/glean-tests/custom/1/" + request.doc_id
    assert waiting_ids(data_dir) == []


@pytest.mark.parametrize("result", [ValueError("broken"), SystemExit(3), None, 200, "sent"], ids=repr)
def test_an_uploader_that_raises_or_returns_nonsense_is_logged_and_the_ping_stays(stopped, caplog, result):
    custom = make_hollow()
    data_dir = start_test_mode(ping_uploader=Scripted(result, *[UploadResult.RECOVERABLE_FAILURE(0)] * 9))
    with caplog.at_level(logging.ERROR, "glean_py"):
        custom.submit()
    assert len(waiting_ids(data_dir)) == 1
    assert len([record for record in caplog.records if "uploader" in record.getMessage()]) == 1


@pytest.mark.parametrize("pause_s", ["120", float("nan"), [1]])
def test_a_pause_that_is_no_number_is_none(pause_s):
    _, status, pause_ms = ping_upload_worker._describe(UploadResult.HTTP_STATUS(503, pause_s))
    assert (status, pause_ms) == (503, ping_upload_worker.FOREVER_MS)


def test_an_uploader_that_wants_no_more_pings_keeps_those_that_wait(stopped):
    custom = make_hollow()
    uploader = Scripted(UploadResult.DONE(0), UploadResult.HTTP_STATUS(200), UploadResult.HTTP_STATUS(200))
    data_dir = start_test_mode(ping_uploader=uploader)
    custom.submit()
    assert len(waiting_ids(data_dir)) == 1
    custom.submit()
    assert waiting_ids(data_dir) == []


def test_an_uploader_that_never_returns_holds_nobody_but_its_thread(stopped, tmp_path):
    class Uploader(BaseUploader):
        def upload(self, capable_request):
            is_called.set()
            may_return.wait(600)
            return UploadResult.HTTP_STATUS(200)

    is_called, may_return = threading.Event(), threading.Event()
    custom = make_hollow()
    counter = CounterMetricType(describe())
    start(tmp_path, ping_uploader=Uploader(), shutdown_timeout_s=0.1)
    custom.submit()
    assert is_called.wait(600)
    counter.add()
    assert counter.test_get_value() == 1
    Glean.shutdown()
    # What was being sent waits for the next start.
    assert len(waiting_ids(tmp_path)) == 1
    may_return.set()


def test_an_end_while_the_thread_still_imports_is_an_end(stopped, tmp_path, monkeypatch):
    class Uploader(BaseUploader):
        def upload(self, capable_request):
            is_called.set()
            may_return.wait(600)
            return UploadResult.HTTP_STATUS(200)

    is_called, may_return = threading.Event(), threading.Event()
    custom = make_hollow()
    start(tmp_path, ping_uploader=Uploader(), shutdown_timeout_s=0.1)
    custom.submit()
    assert is_called.wait(600)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "glean_py.net.http_client", types.ModuleType("half imported"))
        Glean.shutdown()
    may_return.set()


def test_an_end_waits_for_the_module_that_the_thread_imports(tmp_path):
    """A thread that imports while the interpreter ends crashes it, before Python 3.13; it imports no other module."""
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    (tmp_path / "truststore.py").write_text(
        f"import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(0.5)\nopen({str(ended)!r}, 'w').close()\n"
    )
    code = f"""
sys.path.insert(0, {str(tmp_path)!r})
start(shutdown_timeout_s=0.01)
wait_until(lambda: os.path.exists({str(begun)!r}))
"""
    with FaultServer() as server:
        run_program(tmp_path / "data", server.endpoint, code)
    assert ended.exists()


def test_no_module_of_a_zip_file_is_seen_half_imported(tmp_path):
    """As the embeddable Pythons of Windows are one: before Python 3.10 a thread's import hides nothing there."""
    library, package = tmp_path / "library.zip", Path(json.__file__)
    # An embeddable Python has its own in one already, and no PYTHONPATH.
    if package.is_file():
        with zipfile.ZipFile(library, "w") as archive:
            archive.write(os.__file__, "os.py")
            for file in package.parent.glob("*.py"):
                slow = "__import__('time').sleep(0.2)\n" if file == package else ""
                archive.writestr(f"json/{file.name}", slow + file.read_text(encoding="utf-8"))
    code = """
start()
while "json" not in sys.modules:
    pass
import json
print(json.loads("1"))
"""
    with FaultServer() as server:
        printed = run_program(tmp_path / "data", server.endpoint, code, env={"PYTHONPATH": str(library)})
    assert printed.split() == ["1"]


def test_a_ping_that_asks_for_a_capability_goes_to_who_has_it(stopped, tmp_path):
    capable = make_hollow("capable", uploader_capabilities=["one", "two"])
    file = tmp_path / "ping"
    data_dir = start_test_mode(ping_uploader=testing._RecordingUploader(file, ["two", "one"]))
    capable.submit()
    assert file.read_text("utf-8").startswith("/submit/glean-tests/capable/1/")
    file.unlink()
    with FaultServer() as server:
        data_dir = start_test_mode(server.endpoint)
        capable.submit()
        assert waiting_ids(data_dir) == []
        assert server.connections == 0


def test_a_recording_uploader_writes_the_ping_and_keeps_others_in_memory(stopped, tmp_path, monkeypatch):
    monkeypatch.setattr(testing._RecordingUploader, "_filtered_pings", [])
    custom, other = make_ping(), make_hollow("other")
    counter = CounterMetricType(describe("test.metric"))
    file = tmp_path / "ping"
    start_test_mode(
        "https://server.example", ping_uploader=testing._RecordingUploader(str(file), filter_string="other")
    )
    counter.add()
    custom.submit()
    path, text, end = file.read_text("utf-8").split("\n")
    assert path.startswith("/submit/glean-tests/custom/1/")
    assert json.loads(text)["metrics"] == {"counter": {"test.metric": 1}}
    assert end == ""
    other.submit()
    assert file.read_text("utf-8").startswith(path)
    ((other_path, other_text),) = testing._RecordingUploader._filtered_pings
    assert "/other/" in other_path
    assert json.loads(other_text)["ping_info"]["seq"] == 0


# What a server does, and whether the ping stays; docs/uploads.md has this table.
OUTCOMES = {
    "200": (answer(200), False, "sent"),
    "201": (answer(201), False, "sent"),
    "204": (answer(204), False, "sent"),
    "wrong length": (fault_server.wrong_length, False, "sent"),
    "400": (answer(400), False, "status_code_4xx"),
    "404": (answer(404), False, "status_code_4xx"),
    "413": (answer(413), False, "status_code_4xx"),
    "408": (answer(408), True, "status_code_4xx"),
    "429": (answer(429), True, "status_code_4xx"),
    "500": (answer(500), True, "status_code_5xx"),
    "503": (answer(503), True, "status_code_5xx"),
    "301": (answer(301, Location="/elsewhere"), True, "status_code_unknown"),
    "304": (answer(304), True, "status_code_unknown"),
    "garbage": (fault_server.garbage, True, "recoverable"),
    "no answer": (fault_server.nothing, True, "recoverable"),
    "reset": (fault_server.reset_mid_body, True, "recoverable"),
    "endless header": (fault_server.endless_header, True, "recoverable"),
    "never answers": (fault_server.never_answer, True, "recoverable"),
    "byte by byte": (fault_server.one_byte_at_a_time(0.05), True, "recoverable"),
    "answer lost": (fault_server.lost_answer, True, "recoverable"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault, stays, label", OUTCOMES.values(), ids=list(OUTCOMES))
def test_each_outcome_keeps_or_removes_the_ping_and_is_counted(stopped, monkeypatch, fault, stays, label):
    monkeypatch.setattr(HttpClientUploader, "_DEFAULT_TIMEOUT", 0.2)
    monkeypatch.setattr(HttpClientUploader, "_TOTAL_TIMEOUT", 0.5)
    custom = make_hollow()
    with FaultServer(fault) as server:
        data_dir = start_test_mode(server.endpoint, enable_internal_pings=True)
        custom.submit()
        assert bool(waiting_ids(data_dir)) == stays
        assert set(accepted_ids(server)) | set(waiting_ids(data_dir)) or label == "status_code_4xx"
        # A second one may follow at once, the third waits: three failures in a row are a reason for a pause.
        assert 1 <= len(server.requests) + server.connections <= 6
    failures = _read_labeled("glean.upload", "ping_upload_failure")
    assert set(failures) == (set() if label == "sent" else {label})


def _read_labeled(category, name):
    """Return what a labeled counter of the built-in metrics holds."""
    from glean_py import _builtins

    found = _builtins.metrics
    for part in category.split("."):
        found = getattr(found, part)
    return getattr(found, name).test_get_value()


def test_after_three_failures_uploads_pause_and_then_go_on(stopped, tmp_path):
    custom = make_hollow()
    with FaultServer(answer(500)) as server:
        start(tmp_path, server.endpoint)
        custom.submit()
        server.wait_for(lambda server: len(server.requests) == 3)
        Glean._reset()
        (document_id,) = waiting_ids(tmp_path)
        assert len(server.requests) == 3
        server.faults = [answer(200)]
        # The pause takes a minute or more; without what the file says there is none.
        (tmp_path / "uploads.json").unlink()
        start(tmp_path, server.endpoint)
        server.wait_for_accepted(1)
        wait_until(lambda: not waiting_ids(tmp_path))
    assert accepted_ids(server) == [document_id]
    assert {request.document_id for request in server.requests} == {document_id}


def test_a_lost_answer_is_the_one_reason_for_a_second_copy_with_the_same_id(stopped, tmp_path):
    custom = make_hollow()
    with FaultServer(fault_server.lost_answer, answer(200)) as server:
        start(tmp_path, server.endpoint)
        custom.submit()
        server.wait_for_accepted(2)
        wait_until(lambda: not waiting_ids(tmp_path))
        custom.submit()
        first, second, third = (
            accepted_ids(server)
            if len(server.accepted) > 2
            else [request.document_id for request in server.wait_for_accepted(3)]
        )
    assert first == second != third
    assert server.accepted[0].raw == server.accepted[1].raw


def test_a_deletion_request_goes_first_and_other_pings_do_not_go_at_all(stopped, tmp_path):
    custom = make_hollow()
    start(tmp_path)
    custom.submit()
    Glean.set_collection_enabled(False)
    wait_until(lambda: waiting_ids(tmp_path, "deletion_request"))
    with FaultServer() as server:
        Glean.configuration.server_endpoint = server.endpoint
        (request,) = server.wait_for_accepted(1)
        wait_until(lambda: not waiting_ids(tmp_path, "deletion_request"))
        assert request.name == "deletion-request"
        assert len(server.requests) == 1


def test_the_debugging_methods_mark_log_and_control(stopped, tmp_path, caplog):
    heard = []

    class Listener(_uniffi.GleanEventListener):
        def on_event_recorded(self, id):
            heard.append(id)

    custom = make_ping()
    event = EventMetricType(describe("test.event"), [])
    counter = CounterMetricType(describe("test.metric"))
    assert Glean.set_debug_view_tag("my-tag") is True
    assert Glean.set_source_tags(["one", "two"]) is True
    with FaultServer() as server, caplog.at_level(logging.INFO, "glean_py"):
        start_test_mode(server.endpoint)
        assert Glean.set_debug_view_tag("no tag!") is False
        Glean.set_debug_view_tag("my-tag")
        Glean.set_source_tags(["one", "two"])
        Glean.set_log_pings(False)
        Glean.register_event_listener("listener", Listener())
        Glean.apply_server_knobs_config('{"metrics_enabled": {"test.metric": false}}')
        counter.add()
        event.record()
        Glean.unregister_event_listener("listener")
        event.record()
        custom.submit()
        assert "test.event" not in caplog.text.replace("\\", "")
        Glean.set_log_pings(True)
        event.record()
        custom.submit()
        assert '"custom"' in caplog.text or "event" in caplog.text
        first, second = server.accepted
    assert heard == ["test.event"]
    assert first.headers["X-Debug-ID"] == "my-tag"
    assert first.headers["X-Source-Tags"] == "one,two"
    assert "metrics" not in first.body
    assert [len(request.body["events"]) for request in (first, second)] == [2, 1]


def test_no_body_no_client_id_and_no_password_is_logged(stopped, tmp_path, caplog):
    custom = make_ping()
    counter = CounterMetricType(describe("test.secret_metric"))
    Glean.set_log_pings(False)
    with caplog.at_level(logging.DEBUG), FaultServer(fault_server.nothing, fault_server.garbage) as server:
        endpoint = server.endpoint.replace("://", "://user:password@")
        start(tmp_path, endpoint)
        for _ in range(2):
            counter.add()
            custom.submit()
        server.wait_for(lambda server: len(server.requests) >= 3)
        client_id = (tmp_path / "client_id.txt").read_text()
        Glean._reset()
    for secret in ("password", client_id, "secret_metric"):
        assert secret not in caplog.text


def test_the_worker_of_peers_sends_when_it_is_called(stopped):
    custom = make_hollow()
    uploader = Scripted(*[UploadResult.RECOVERABLE_FAILURE(0)] + [UploadResult.HTTP_STATUS(200)] * 5)
    data_dir = start_test_mode()
    custom.submit()
    assert len(waiting_ids(data_dir)) == 1
    Glean.configuration._ping_uploader = uploader
    work = PingUploadWorker._process()
    with pytest.raises(RuntimeError):
        assert work.returncode is None
    work.wait()
    assert work.returncode == 0
    assert PingUploadWorker._test_process_sync() is True
    assert PingUploadWorker.process(testing_mode=True) is None
    assert waiting_ids(data_dir) == []
    assert len(uploader.requests) == 2


def test_tasks_can_be_fetched_one_by_one(stopped):
    custom = make_hollow()
    assert _uniffi.glean_get_upload_task().is_done()
    data_dir = start_test_mode()
    assert _uniffi.glean_get_upload_task().is_DONE()
    custom.submit()
    task = _uniffi.glean_get_upload_task()
    assert isinstance(task, _uniffi.PingUploadTask.UPLOAD)
    assert isinstance(task, _uniffi.PingUploadTask)
    assert task.is_upload() and not task.is_wait()
    request = task.request
    assert request.path == "/submit/glean-tests/custom/1/" + request.document_id
    assert (request.ping_name, request.uploader_capabilities) == ("custom", [])
    result = _uniffi.UploadResult.HTTP_STATUS(200)
    action = _uniffi.glean_process_ping_upload_response(request.document_id, result)
    assert action is _uniffi.UploadTaskAction.NEXT
    assert waiting_ids(data_dir) == []
    # Nobody was given a ping of this name.
    _uniffi.glean_process_ping_upload_response("5a3f1c2e-0000-4000-8000-000000000001", result)
