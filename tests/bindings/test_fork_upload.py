"""Forked processes send their own pings, over connections of their own, and none of their parent's twice."""

import sys

import needs
import pytest
from fault_server import FaultServer, answer, answer_late
from upload_programs import PREPARE, accepted_ids, environment, finish_program, run_program, start_program, waiting_ids

pytestmark = needs.fork

FORK = """
def fork(code, fork=os.fork):
    child = fork()
    if child == 0:
        status = 99
        try:
            code()
            status = 0
        finally:
            os._exit(status)
    return child
def wait_for(child):
    assert os.waitpid(child, 0)[1] == 0, "the child failed"
def is_sent():
    return not files() and (data_dir / "pending_pings").exists()
def ids():
    return {file.name.partition(".")[0] for file in files()}
def count_accepted():
    return os.path.getsize(os.environ["TALLY"])
def send():
    # A ping may be made and sent between two looks into the folder, so the server has to tell.
    others, accepted = ids(), count_accepted()
    custom.submit()
    wait_until(lambda: count_accepted() > accepted and not ids() - others)
"""


def start_forking(data_dir, server, code):
    """Start a program whose children have to end properly, and may call `send()`."""
    return start_program(data_dir, server.endpoint, FORK + code, env={"TALLY": str(server.keep_tally(data_dir))})


def run_forking(data_dir, server, code):
    """Run such a program to its end and return what it printed."""
    return finish_program(start_forking(data_dir, server, code))


def bare_fork():
    """Return code that forks in C, without Python's hooks, as uWSGI does."""
    return "import ctypes\nfork_in_c = ctypes.PyDLL(None).fork\n"


FORKS = {"os.fork": "fork_in_c = os.fork\n", "in C": bare_fork()}


@pytest.mark.parametrize("prepare", FORKS.values(), ids=list(FORKS))
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_forked_process_sends_what_it_submits(tmp_path, prepare, tls):
    code = """
start(allow_multiprocessing=False)
send()
for _ in range(2):
    # A fork in C while a thread waits for Python's own lock leaves that lock to nobody: let ours be at rest.
    time.sleep(0.2)
    wait_for(fork(send, fork_in_c))
send()
"""
    with FaultServer(tls=tls) as server:
        run_forking(tmp_path, server, prepare + code)
        assert len(accepted_ids(server)) == len(set(accepted_ids(server))) == 4


def test_threads_of_a_forked_process_that_submit_at_once_start_one_upload_thread(tmp_path):
    code = """
import threading
from glean_py import _upload_thread
start(allow_multiprocessing=False)
send()
started = []
begin = _upload_thread._UploadThread.start
def begin_slowly(self):
    started.append(self)
    time.sleep(0.1)
    return begin(self)
_upload_thread._UploadThread.start = begin_slowly
def submit_at_once():
    together = threading.Barrier(4)
    def submit():
        together.wait(600)
        custom.submit()
    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(is_sent)
    assert len(started) == 1, started
time.sleep(0.2)
wait_for(fork(submit_at_once))
"""
    with FaultServer() as server:
        run_forking(tmp_path, server, code)
        assert len(accepted_ids(server)) == len(set(accepted_ids(server))) == 5


@pytest.mark.slow
def test_a_fork_in_the_middle_of_an_upload_sends_nothing_twice(tmp_path):
    code = """
start(allow_multiprocessing=False)
custom.submit()
sys.stdin.readline()
for _ in range(3):
    wait_for(fork(send))
wait_until(is_sent)
"""
    with FaultServer(answer_late(3), answer(200), tls=True) as server:
        program = start_forking(tmp_path, server, code)
        server.wait_for_accepted(1)
        program.stdin.write(b"go on\n")
        program.stdin.flush()
        finish_program(program)
        assert len(accepted_ids(server)) == len(set(accepted_ids(server))) == 4


def test_a_process_that_is_forked_before_anything_is_sent_sends(tmp_path):
    code = """
start(allow_multiprocessing=False)
wait_for(fork(send))
"""
    with FaultServer() as server:
        run_forking(tmp_path, server, code)
        assert len(accepted_ids(server)) == 1


def test_a_forked_process_that_ends_at_once_leaves_its_ping_to_others(tmp_path):
    # As workers of RQ do.
    code = """
start(allow_multiprocessing=False)
for _ in range(3):
    wait_for(fork(custom.submit))
"""
    with FaultServer() as server:
        run_forking(tmp_path, server, code)
        run_program(tmp_path, server.endpoint, "start()\nGlean.shutdown()\ntime.sleep(0.2)")
        run_program(tmp_path, server.endpoint, "start()\ncustom.submit()\nwait_until(lambda: not files())")
    assert len(set(accepted_ids(server)) | set(waiting_ids(tmp_path))) == 4


def test_a_forked_process_may_close_every_descriptor(tmp_path):
    # As celery does. What is opened next gets the number of the parent's connection.
    code = """
start(allow_multiprocessing=False)
custom.submit()
wait_until(is_sent)
def close_all():
    os.closerange(3, 512)
    mine = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
    send()
    for descriptor in mine:
        os.fstat(descriptor)
wait_for(fork(close_all))
"""
    with FaultServer() as server:
        run_forking(tmp_path, server, code)
        assert len(set(accepted_ids(server))) == 2


def test_a_forked_process_cannot_become_another_application(tmp_path):
    code = """
import logging
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
start()
def become_another():
    start("other-application")
    send()
    start("glean-tests")
    sys.stdout.flush()
wait_for(fork(become_another))
"""
    with FaultServer() as server:
        (line,) = run_forking(tmp_path, server, code).splitlines()
        (request,) = server.accepted
    assert line.startswith("WARNING initialize('other-application') changes nothing")
    assert request.target.startswith("/submit/glean-tests/")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_send(tmp_path, method):
    script = tmp_path / "program.py"
    script.write_text(
        PREPARE
        + """
import multiprocessing
def submit(number):
    start()
    custom.submit()
    wait_until(lambda: (data_dir / "pending_pings").exists())
    return number
if __name__ == "__main__":
    if sys.argv[3] == "fork":
        start()
    with multiprocessing.get_context(sys.argv[3]).Pool(2) as pool:
        print(sum(pool.map(submit, range(4))))
        pool.close()
        pool.join()
    start()
    Glean.shutdown()
"""
    )
    import subprocess

    with FaultServer() as server:
        argv = [sys.executable, str(script), str(tmp_path / "data"), server.endpoint, method]
        process = subprocess.Popen(argv, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert finish_program(process).split() == ["6"]
        # A worker may end before its ping is made, or in the middle of sending it; the next start does what is left.
        run_program(tmp_path / "data", server.endpoint, "start(shutdown_timeout_s=600, allow_multiprocessing=False)")
        assert len(set(accepted_ids(server)) | set(waiting_ids(tmp_path / "data"))) == 4


def test_a_fork_while_a_name_is_looked_up_starts_anew(tmp_path):
    code = """
import socket
import threading
real, is_asked, may_answer = socket.getaddrinfo, threading.Event(), threading.Event()
def look_up(*arguments, **options):
    if threading.main_thread().ident != os.getpid() and not is_asked.is_set():
        is_asked.set()
        may_answer.wait(600)
    return real(*arguments, **options)
socket.getaddrinfo = look_up
start(allow_multiprocessing=False)
custom.submit()
is_asked.wait(600)
wait_for(fork(send))
may_answer.set()
wait_until(is_sent)
"""
    with FaultServer() as server:
        run_forking(tmp_path, server, code)
        assert len(accepted_ids(server)) == len(set(accepted_ids(server))) == 2


# The upload thread does not get on with its imports before `go_on` is set.
SLOW_IMPORT = """
import importlib.machinery
import threading
begun, go_on = threading.Event(), threading.Event()
class Slow(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "http.client":
            return None
        spec = super().find_spec(name, path, target)
        execute = spec.loader.exec_module
        # Not in here: Python forks nothing while it looks for a module.
        spec.loader.exec_module = lambda module: (begun.set(), go_on.wait(600), execute(module))
        return spec
sys.meta_path.insert(0, Slow)
start(allow_multiprocessing=False)
assert begun.wait(600)
"""


def test_a_fork_waits_for_the_imports_of_the_upload_thread(tmp_path):
    """A module that is half imported stays so in a child: the lock of the module has no owner there."""
    code = """
threading.Timer(0.2, go_on.set).start()
wait_for(fork(send))
"""
    with FaultServer() as server:
        run_forking(tmp_path, server, SLOW_IMPORT + code)
        assert len(accepted_ids(server)) == 1


@pytest.mark.slow
def test_a_child_without_imports_ends_and_leaves_its_ping_to_others(tmp_path):
    """As when a disk stands still."""
    code = """
def submit_and_end():
    custom.submit()
    Glean.shutdown()
    Glean._end_process()
wait_for(fork(submit_and_end))
# Others wait no more.
wait_for(fork(submit_and_end))
assert count_accepted() == 0
go_on.set()
send()
wait_until(is_sent)
"""
    with FaultServer() as server:
        run_forking(tmp_path, server, SLOW_IMPORT + code)
        assert len(accepted_ids(server)) == len(set(accepted_ids(server))) == 3


def test_a_request_imports_nothing(tmp_path):
    """What the upload thread imports later could be half imported in a child."""
    code = """
import signal
from glean_py import _upload_thread
from glean_py.net import http_client, ping_upload_worker
http_client.load()
before = set(sys.modules)
start(allow_multiprocessing=False)
custom.submit()
wait_until(lambda: (data_dir / "pending_pings").exists() and not files())
print(*sorted(set(sys.modules) - before))
"""
    with FaultServer(answer(200), tls=True) as server:
        assert run_program(tmp_path, server.endpoint, code).split() == []
