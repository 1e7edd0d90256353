"""Programs from PyPI that host an application: servers that fork, cooperative threads, frozen programs."""

import contextlib
import ctypes.util
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path

import pytest
from fault_server import FaultServer, answer_late, never_answer
from upload_programs import PROGRAM_S, accepted_ids, environment, finish_program, start_program, waiting_ids

# Starts Glean before the processes are made, and submits a ping for each request.
APPLICATION = """
import os
from pathlib import Path
from glean_py import Configuration, Glean
from glean_py.metrics import PingType
custom = PingType("custom", True, True, True, True, [], [], [])
configuration = Configuration(server_endpoint=os.environ["TEST_ENDPOINT"], enable_internal_pings=False)
Glean.initialize("glean-tests", "1.0", True, configuration, Path(os.environ["TEST_DATA"]))
def wsgi(environ, start_response):
    custom.submit()
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
async def asgi(scope, receive, send):
    if scope["type"] == "http":
        custom.submit()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""
# Started by the configuration of the how-to page.
WORKER = """
from glean_py.metrics import PingType
custom = PingType("custom", True, True, True, True, [], [], [])
def wsgi(environ, start_response):
    with open("submitted", "a") as submitted:
        submitted.write("x")
    custom.submit()
    start_response("200 OK", [])
    return [b"done"]
"""
DOCS = Path(__file__).resolve().parents[2] / "docs"
SERVERS = {
    "gunicorn": ["-m", "gunicorn", "--preload", "--workers", "2", "--bind", "127.0.0.1:{port}", "application:wsgi"],
    "uvicorn": ["-m", "uvicorn", "--workers", "2", "--lifespan", "off", "--port", "{port}", "application:asgi"],
}


def free_port():
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        return placeholder.getsockname()[1]


def code_of(page, language):
    """Return the first example of a how-to page in a language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return text.partition(f"```{language}\n")[2].partition("```")[0]


def ask(port, program):
    """Return what the application answers, once it does."""
    deadline = time.monotonic() + 60
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            return opener.open(f"http://127.0.0.1:{port}", timeout=600).read()
        except OSError:
            assert program.poll() is None, "the program ended"
            assert time.monotonic() < deadline, "the program does not answer"
            time.sleep(0.05)


@contextlib.contextmanager
def serving(tmp_path, argv, env, end=signal.SIGTERM):
    """Run a server whose log is kept, and end it."""
    with open(str(tmp_path / "log"), "wb") as log:
        program = subprocess.Popen(argv, env=env, cwd=str(tmp_path), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield program
    finally:
        program.send_signal(end)
        program.wait(PROGRAM_S)


@pytest.mark.parametrize("name", list(SERVERS))
def test_the_processes_of_a_server_send_what_their_requests_submit(tmp_path, name):
    (tmp_path / "application.py").write_text(APPLICATION)
    port = free_port()
    with FaultServer() as server:
        env = environment(TEST_ENDPOINT=server.endpoint, TEST_DATA=str(tmp_path / "data"), PYTHONPATH=str(tmp_path))
        argv = [sys.executable, *[word.format(port=port) for word in SERVERS[name]]]
        with serving(tmp_path, argv, env) as program:
            processes = {ask(port, program) for _ in range(12)}
            assert str(program.pid).encode() not in processes
            server.wait_for(lambda server: len(set(accepted_ids(server)) | set(waiting_ids(tmp_path / "data"))) == 12)
            server.wait_for_accepted(8)
        assert len(accepted_ids(server)) == len(set(accepted_ids(server)))


def test_gunicorn_with_the_configuration_of_the_how_to_page(tmp_path):
    """Each worker starts Glean for itself, and its end loses nothing."""
    (tmp_path / "application.py").write_text(WORKER)
    port = free_port()
    with FaultServer() as server:
        configuration = code_of("web-workers.md", "python")
        for example, here in (
            ("https://telemetry.example.org", server.endpoint),
            ("/var/lib/my-service/telemetry", str(tmp_path / "data")),
        ):
            assert example in configuration
            configuration = configuration.replace(example, here)
        (tmp_path / "gunicorn.conf.py").write_text(configuration)
        argv = [sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", f"127.0.0.1:{port}", "application:wsgi"]
        with serving(tmp_path, argv, environment(PYTHONPATH=str(tmp_path))) as program:
            for _ in range(12):
                ask(port, program)
            # What a worker got before it could bind the port is asked again.
            submitted = (tmp_path / "submitted").stat().st_size
        assert submitted >= 12
        # Beside those that Glean makes by itself.
        sent = [request.document_id for request in server.accepted if request.name == "custom"]
        waiting = [file for file in (tmp_path / "data" / "pending_pings").iterdir() if b"/custom/" in file.read_bytes()]
        assert len(set(sent)) + len(waiting) == submitted


def test_under_gevent_the_upload_thread_is_a_thread(tmp_path):
    code = """
import gevent
ticks = []
def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.01)
gevent.spawn(tick)
start(allow_multiprocessing=False, shutdown_timeout_s=0.2)
custom.submit()
while files() or not (data_dir / "pending_pings").exists():
    gevent.sleep(0.01)
print(len(ticks) > 5)
"""
    before = "from gevent import monkey; monkey.patch_all()\n"
    with FaultServer(answer_late(1.0), never_answer) as server:
        process = start_program(tmp_path, server.endpoint, before + code)
        assert finish_program(process).split() == ["True"]
        assert len(accepted_ids(server)) == 1


HOST = """
import os, sys, time
from pathlib import Path
with open(sys.argv[1] + ".runs", "a") as runs:
    runs.write("run\\n")
from glean_py import Configuration, Glean
from glean_py.metrics import PingType
custom = PingType("custom", True, True, True, True, [], [], [])
configuration = Configuration(server_endpoint=sys.argv[2], enable_internal_pings=False, shutdown_timeout_s=0.5)
Glean.initialize("glean-tests", "1.0", True, configuration, Path(sys.argv[1]))
custom.submit()
"""


def test_a_program_of_pyinstaller_runs_its_main_once(tmp_path):
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and ctypes.util.find_library(version) is None:
        pytest.skip(f"PyInstaller needs the shared library of this Python: apt install lib{version}")
    (tmp_path / "host.py").write_text(HOST)
    command = shlex.split(code_of("frozen-programs.md", "sh"))
    assert (command[0], command[-1]) == ("pyinstaller", "app.py")
    argv = [sys.executable, "-m", "PyInstaller", "--onefile", "--log-level", "ERROR", *command[1:-1], "host.py"]
    subprocess.run(argv, cwd=str(tmp_path), env=environment(), check=True, timeout=600, stdin=subprocess.DEVNULL)
    program = next((tmp_path / "dist").iterdir())
    with FaultServer(never_answer) as server:
        argv = [str(program), str(tmp_path / "data"), server.endpoint]
        for _ in range(2):
            # While the second one unpacks itself, another run of the first one would have begun.
            subprocess.run(argv, env=environment(), check=True, timeout=PROGRAM_S, stdin=subprocess.DEVNULL)
        assert (tmp_path / "data.runs").read_text() == "run\n" * 2
        assert server.connections <= 2
    assert len(waiting_ids(tmp_path / "data")) == 2
