"""Programs from PyPI that run an application in processes of their own; each is skipped if it isn't installed."""

import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from fault_server import FaultServer, never_answer
from upload_programs import PROGRAM_S, accepted_ids, environment, waiting_ids

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
SERVERS = {
    "gunicorn": ["-m", "gunicorn", "--preload", "--workers", "2", "--bind", "127.0.0.1:{port}", "application:wsgi"],
    "uvicorn": ["-m", "uvicorn", "--workers", "2", "--lifespan", "off", "--port", "{port}", "application:asgi"],
}


def free_port():
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        return placeholder.getsockname()[1]


def ask(port, program):
    """Return what the application answers, once it does."""
    deadline = time.monotonic() + 60
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            return opener.open(f"http://127.0.0.1:{port}", timeout=30).read()
        except OSError:
            assert program.poll() is None, "the program ended"
            assert time.monotonic() < deadline, "the program does not answer"
            time.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="these programs fork")
@pytest.mark.parametrize("name", list(SERVERS))
def test_the_processes_of_a_server_send_what_their_requests_submit(tmp_path, name):
    pytest.importorskip(name, reason=f"{name} isn't installed")
    (tmp_path / "application.py").write_text(APPLICATION)
    port = free_port()
    with FaultServer() as server:
        env = environment(TEST_ENDPOINT=server.endpoint, TEST_DATA=str(tmp_path / "data"), PYTHONPATH=str(tmp_path))
        argv = [sys.executable, *[word.format(port=port) for word in SERVERS[name]]]
        with open(str(tmp_path / "log"), "wb") as log:
            program = subprocess.Popen(
                argv, env=env, cwd=str(tmp_path), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        try:
            processes = {ask(port, program) for _ in range(12)}
            assert str(program.pid).encode() not in processes
            server.wait_for(lambda server: len(set(accepted_ids(server)) | set(waiting_ids(tmp_path / "data"))) == 12)
            server.wait_for_accepted(8)
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(60)
        assert len(accepted_ids(server)) == len(set(accepted_ids(server)))


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


@pytest.mark.parametrize("windowed", [False, True], ids=["console", "windowed"])
def test_a_program_of_pyinstaller_runs_its_main_once(tmp_path, windowed):
    pytest.importorskip("PyInstaller", reason="PyInstaller isn't installed")
    (tmp_path / "host.py").write_text(HOST)
    argv = [sys.executable, "-m", "PyInstaller", "--onefile", "--collect-all", "glean_py", "--log-level", "ERROR"]
    argv += ["--hidden-import", "_cffi_backend", *(["--windowed"] if windowed else []), "host.py"]
    subprocess.run(argv, cwd=str(tmp_path), env=environment(), check=True, timeout=300, stdin=subprocess.DEVNULL)
    program = next((tmp_path / "dist").iterdir())
    with FaultServer(never_answer) as server:
        argv = [str(program), str(tmp_path / "data"), server.endpoint]
        for _ in range(2):
            # While the second one unpacks itself, another run of the first one would have begun.
            subprocess.run(argv, env=environment(), check=True, timeout=PROGRAM_S, stdin=subprocess.DEVNULL)
        assert (tmp_path / "data.runs").read_text() == "run\n" * 2
        assert server.connections <= 2
    assert len(waiting_ids(tmp_path / "data")) == 2
