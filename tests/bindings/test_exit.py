"""How programs end while pings wait: in time, whatever the server does, and without losing one.

`GLEAN_TEST_EXITS` says how often a program ends in the middle of an upload; the usual number is small.
"""

import os
import signal
import sys
import time

import fault_server
import needs
import pytest
from fault_server import FaultServer, answer_late
from upload_programs import accepted_ids, run_program, start_program, waiting_ids

from glean_py.net import ping_upload_worker

ENDS = {
    "atexit": "",
    "shutdown": "Glean.shutdown()",
    "twice": "Glean.shutdown(); Glean.shutdown(); Glean._reset()",
    "at an exit handler": "import atexit; atexit.register(Glean.shutdown)",
}
SUBMIT = """
start(shutdown_timeout_s=0.5, allow_multiprocessing={})
custom.submit()
"""
FAULTS = {
    "never reads": fault_server.never_read,
    "never answers": fault_server.never_answer,
    "byte by byte": fault_server.one_byte_at_a_time(0.2),
}
# A process takes seconds under Wine, where one fault and one way to end stand for all.
CASES = [("never answers", "atexit")] if sys.platform == "win32" else [(fault, end) for fault in FAULTS for end in ENDS]


def wait_until(condition):
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@pytest.mark.parametrize("fault, end", CASES)
def test_a_program_ends_although_the_server_never_does_its_part(tmp_path, fault, end):
    with FaultServer(FAULTS[fault], tls=fault != "byte by byte") as server:
        run_program(tmp_path, server.endpoint, SUBMIT.format(False) + ENDS[end])
        (document_id,) = waiting_ids(tmp_path)
    # What was cut off is no failure of the server: the next start sends it at once.
    with FaultServer() as server:
        run_program(tmp_path, server.endpoint, "start()\nwait_until(lambda: not files())")
        assert accepted_ids(server) == [document_id]


def test_an_endpoint_may_be_anything_that_has_a_text(tmp_path):
    code = """
endpoint = type("Address", (), {"__str__": lambda self, text=endpoint: text})()
start()
custom.submit()
Glean.shutdown()
"""
    with FaultServer(answer_late(1.0)) as server:
        run_program(tmp_path, server.endpoint, code)
        server.wait_for_accepted(1)


def test_a_program_ends_although_the_server_is_not_there(tmp_path):
    endpoint, placeholder = fault_server.refusing_endpoint()
    with placeholder:
        run_program(tmp_path, endpoint, SUBMIT.format(False))
        run_program(tmp_path, endpoint, SUBMIT.format(True))
    assert len(waiting_ids(tmp_path)) == 2


@pytest.mark.parametrize("end", ["", "Glean.shutdown()"], ids=["atexit", "shutdown"])
def test_without_a_process_of_its_own_a_program_waits_for_the_answer_while_there_is_time(tmp_path, end):
    code = "start(shutdown_timeout_s=600, allow_multiprocessing=False)\nfor _ in range(3):\n    custom.submit()\n"
    with FaultServer(answer_late(0.2)) as server:
        run_program(tmp_path, server.endpoint, code + end)
        assert len(accepted_ids(server)) == len(set(accepted_ids(server))) == 3
    assert waiting_ids(tmp_path) == []


# A program that ends when it is told to: when the server has its request, for example.
# The request is in flight however long the test takes: one that gave up would be sent again, and the end would cut it
# when the server has taken it.
IN_FLIGHT = """
from glean_py.net import HttpClientUploader

HttpClientUploader._DEFAULT_TIMEOUT = HttpClientUploader._TOTAL_TIMEOUT = 600
start(shutdown_timeout_s=600)
custom.submit()
print('submitted', flush=True)
sys.stdin.readline()
"""


def end_program(process):
    """Tell a program to end, and check how it does."""
    out, err = process.communicate(b"end\n", timeout=600)
    assert (process.returncode, out.split(), err) == (0, [b"submitted"], b"")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", "Glean.shutdown()"], ids=["atexit", "shutdown"])
def test_a_process_of_its_own_sends_what_waits_while_nobody_waits_for_it(tmp_path, end):
    # The program's own request is never answered, and its output is read to the end: neither waits for the process.
    with FaultServer(fault_server.never_answer, answer_late(1)) as server:
        program = start_program(tmp_path, server.endpoint, IN_FLIGHT + end)
        server.wait_for(lambda server: server.requests)
        (document_id,) = waiting_ids(tmp_path)
        end_program(program)
        server.wait_for_accepted(1)
        assert accepted_ids(server) == [document_id]
        wait_until(lambda: waiting_ids(tmp_path) == [])


@pytest.mark.slow
def test_the_process_that_sends_is_one_and_ends_with_its_work(tmp_path):
    with FaultServer(*[fault_server.never_answer] * 3, answer_late(1)) as server:
        programs = []
        for count in (1, 2, 3):
            # One after the other: a program that starts sends what it finds, and its own ping waits behind that.
            programs.append(start_program(tmp_path, server.endpoint, IN_FLIGHT))
            server.wait_for(lambda server, count=count: len(server.requests) == count)
        for program in programs:
            end_program(program)
        # Before that, a look at the folder may come while the last file is renamed, and see none.
        server.wait_for_accepted(3)
        wait_until(lambda: waiting_ids(tmp_path) == [])
        assert len(accepted_ids(server)) == len(set(accepted_ids(server))) == 3
    if sys.platform == "linux":
        wait_until(lambda: processes_in(tmp_path) == [])


@pytest.mark.core
def test_what_is_given_back_behind_the_last_look_of_the_process_that_sends_is_sent(tmp_path, stopped, monkeypatch):
    """The program that gives it back saw that process at work, and started none."""
    code = "start()\nfor _ in range(2):\n    custom.submit()\nGlean.shutdown()"
    run_program(tmp_path, "", code)
    first, late = waiting_ids(tmp_path)
    (tmp_path / "pending_pings" / late).rename(tmp_path / late)
    send_all = ping_upload_worker._send_all

    def send_and_give_back(*arguments):
        is_done = send_all(*arguments)
        if (tmp_path / late).exists():
            (tmp_path / late).rename(tmp_path / "pending_pings" / late)
        return is_done

    monkeypatch.setattr(ping_upload_worker, "_send_all", send_and_give_back)
    with FaultServer() as server:
        assert ping_upload_worker._process(str(tmp_path), "glean-tests", {"server_endpoint": server.endpoint})
        assert accepted_ids(server) == [first, late]
    assert waiting_ids(tmp_path) == []


def processes_in(directory):
    """Return the processes whose working directory this is."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.readlink(f"/proc/{name}/cwd") == str(directory):
                found.append(name)
        except OSError:
            # It has ended meanwhile, or is somebody else's.
            pass
    return found


def test_no_process_is_started_when_there_is_nothing_to_send(tmp_path):
    code = """
from glean_py._process_dispatcher import ProcessDispatcher
Glean.shutdown()
assert ProcessDispatcher._last_process is None
"""
    with FaultServer() as server:
        program = start_program(tmp_path, server.endpoint, IN_FLIGHT + code)
        # Before that, a look at the folder may come while the file is renamed, and see none.
        server.wait_for_accepted(1)
        wait_until(lambda: waiting_ids(tmp_path) == [])
        end_program(program)
        assert len(server.accepted) == 1


@pytest.mark.parametrize(
    "how",
    [
        "os._exit(3)",
        "os.kill(os.getpid(), 15)",
        # In Windows the program after it is another process, which nobody waits for.
        pytest.param("os.execv(sys.executable, [sys.executable, '-c', ''])", marks=needs.posix),
    ],
)
def test_an_end_that_runs_no_exit_handlers_loses_nothing(tmp_path, how):
    expected = {"os._exit(3)": 3, "os.kill(os.getpid(), 15)": -signal.SIGTERM}.get(how, 0)
    if sys.platform == "win32" and "kill" in how:
        expected = 15
    with FaultServer(fault_server.never_answer) as server:
        code = "start()\ncustom.submit()\nprint('submitted', flush=True)\n" + how
        assert run_program(tmp_path, server.endpoint, code, status=expected).split() == ["submitted"]
    # A ping that was being sent is that process's for a minute; its file says until when.
    for file in (tmp_path / "pending_pings").glob("*.sending-*"):
        file.rename(file.with_name(file.name.partition(".")[0]))
    with FaultServer() as server:
        run_program(tmp_path, server.endpoint, "start(shutdown_timeout_s=600, allow_multiprocessing=False)")
        assert len(accepted_ids(server)) == 1
    assert waiting_ids(tmp_path) == []


@pytest.mark.slow
def test_the_middle_of_an_upload_is_a_safe_moment_to_end(tmp_path):
    # TLS in a thread while the interpreter goes is what crashes others.
    ends = int(os.environ.get("GLEAN_TEST_EXITS", "2" if sys.platform == "win32" else "8"))
    # What waits may become more than is usually kept.
    options = "allow_multiprocessing=False, max_pending_pings_count=1_000_000"
    code = f"start(shutdown_timeout_s={{}}, {options})\n" + "custom.submit()\n" * 5 + "time.sleep({})"
    with FaultServer(answer_late(0.05), tls=True) as server:
        for number in range(ends):
            run_program(tmp_path, server.endpoint, code.format(number % 5 * 0.02, number % 7 * 0.02))
    assert len(set(accepted_ids(server)) | set(waiting_ids(tmp_path))) == 5 * ends


def test_a_program_without_standard_streams_sends_as_well(tmp_path):
    # As a windowed PyInstaller program, or one below pythonw.
    code = "sys.stdin = sys.stdout = sys.stderr = None\nstart(allow_multiprocessing=False)\ncustom.submit()"
    with FaultServer() as server:
        out = run_program(tmp_path, server.endpoint, code)
        assert (out, len(server.accepted)) == ("", 1)


def test_getters_and_recordings_do_not_wait_for_the_network(tmp_path):
    code = """
counter = CounterMetricType(CommonMetricData(
    category="test", name="metric", send_in_pings=["custom"], lifetime=Lifetime.PING, disabled=False))
start(shutdown_timeout_s=0.1, allow_multiprocessing=False)
custom.submit()
print("submitted", flush=True)
sys.stdin.readline()
for _ in range(1000):
    counter.add()
print(counter.test_get_value(), Glean.configuration.server_endpoint == endpoint)
Glean.set_experiment_active("id", "branch")
"""
    with FaultServer(fault_server.never_answer) as server:
        program = start_program(tmp_path, server.endpoint, code)
        assert program.stdout.readline().split() == [b"submitted"]
        server.wait_for(lambda server: server.requests)
        out, err = program.communicate(b"go on\n", timeout=600)
        assert (program.returncode, out.split(), err) == (0, [b"1000", b"True"], b"")


@needs.posix
def test_ctrl_c_ends_the_wait_for_the_server(tmp_path):
    code = "start(shutdown_timeout_s=600, allow_multiprocessing=False)\ncustom.submit()\nprint('end', flush=True)"
    with FaultServer(fault_server.never_answer) as server:
        program = start_program(tmp_path, server.endpoint, code)
        assert program.stdout.readline().split() == [b"end"]
        server.wait_for(lambda server: server.requests)
        while program.poll() is None:
            program.send_signal(signal.SIGINT)
            time.sleep(0.2)
        program.communicate(timeout=600)
    assert len(waiting_ids(tmp_path)) == 1


@needs.linux
def test_the_upload_thread_takes_no_signals(tmp_path):
    code = """
start()
custom.submit()
wait_until(lambda: not files() and (data_dir / "pending_pings").exists())
blocked = []
for task in os.listdir("/proc/self/task"):
    try:
        status = (Path("/proc/self/task") / task / "status").read_text()
    except OSError:
        # It ended meanwhile.
        continue
    mask = int([line for line in status.splitlines() if line.startswith("SigBlk")][0].split()[1], 16)
    if int(task) != os.getpid():
        blocked.append(bool(mask & 1 << 14) and bool(mask & 1 << 1))
print(any(blocked))
"""
    with FaultServer() as server:
        assert run_program(tmp_path, server.endpoint, code).split() == ["True"]


def test_the_main_thread_of_the_program_stays_the_main_thread(tmp_path):
    # Whichever thread imports `threading` first is the main one for it.
    code = """
start()
custom.submit()
wait_until(lambda: not files() and (data_dir / "pending_pings").exists())
import threading
print(threading.main_thread() is threading.current_thread())
"""
    with FaultServer() as server:
        assert run_program(tmp_path, server.endpoint, code).split() == ["True"]
