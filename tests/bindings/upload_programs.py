"""Programs that the tests of uploads run, and what they leave on disk."""

import os
import subprocess
import sys
from pathlib import Path

import fault_server

# A program that hangs says where, and fails.
PREPARE = """
import faulthandler
faulthandler.dump_traceback_later(600, exit=True)
import os, sys, time
from pathlib import Path
from glean_py import Configuration, Glean
from glean_py.metrics import CommonMetricData, CounterMetricType, Lifetime, PingType, StringMetricType
data_dir, endpoint = Path(sys.argv[1]), sys.argv[2]
custom = PingType("custom", True, True, True, True, [], [], [])
def start(application_id="glean-tests", **options):
    options.setdefault("enable_internal_pings", False)
    configuration = Configuration(server_endpoint=endpoint, **options)
    Glean.initialize(application_id, "1.0", True, configuration, data_dir)
    return configuration
def files():
    return [file for file in (data_dir / "pending_pings").glob("*")]
def wait_until(condition):
    while not condition():
        time.sleep(0.01)
"""
PROGRAM_S = 600


def environment(**changes):
    """Return the environment of a program: no proxies, and the authority of the fault server is trusted."""
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    env.update({"SSL_CERT_FILE": str(fault_server.AUTHORITY), "no_proxy": "*"})
    env.update(changes)
    return env


def start_program(data_dir, endpoint, code, env=None, **options):
    """Start a Python program that may call `start()`; its output can be read."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    argv = [sys.executable, "-c", PREPARE + code, str(data_dir), endpoint]
    return subprocess.Popen(argv, env=environment(**(env or {})), stdin=subprocess.PIPE, **options)


def finish_program(process, status=0):
    """Wait for a program, check how it ended, and return what it printed."""
    try:
        out, err = process.communicate(timeout=PROGRAM_S)
    except subprocess.TimeoutExpired:
        # Its children hold the pipes as well.
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.kill()
        process.wait()
        raise
    assert process.returncode == status, (out, err)
    return out.decode("utf-8")


def run_program(data_dir, endpoint, code, status=0, **options):
    """Run a Python program to its end and return what it printed."""
    return finish_program(start_program(data_dir, endpoint, code, **options), status)


def waiting_ids(data_dir, folder="pending_pings"):
    """Return the document ids of the pings on disk, those that are being sent among them."""
    return sorted(file.name.partition(".")[0] for file in (Path(str(data_dir)) / folder).glob("*"))


def accepted_ids(server):
    """Return the document ids that a fault server took."""
    return [request.document_id for request in server.accepted]
