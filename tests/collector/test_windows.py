"""The collector in a Windows Python, looked at from here: programs and server there, the browser on this machine."""

import json
import re
import subprocess
from types import SimpleNamespace
from typing import Dict

import pytest
from playwright.sync_api import expect

from glean_py.serve import Collector

pytestmark = pytest.mark.windows
PROGRAM_S = 600
# What pytest has for standard error is a file without a name, which Python 3.7 in Wine takes for no stream.
STREAMS: Dict[str, int] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
PROGRAM = """
import sys
from pathlib import Path
from glean_py import Configuration, Glean
from glean_py.metrics import CommonMetricData, CounterMetricType, Lifetime, PingType

usage = PingType("usage", True, True, True, True, [], [], [])
starts = CounterMetricType(CommonMetricData(
    category="app", name="starts", send_in_pings=["usage"], lifetime=Lifetime.PING, disabled=False))
configuration = Configuration(enable_internal_pings=False)
Glean.initialize("my-app", "1.0", True, configuration, Path(sys.argv[1]))
starts.add(3)
usage.submit()
Glean.shutdown()
"""


@pytest.fixture
def windows_python(pytestconfig):
    """Return the command line that starts a Windows Python which has the package."""
    return json.loads(pytestconfig.getoption("--windows-python"))


def run_program(windows_python, folder, endpoint, monkeypatch):
    """Run a program of the Windows Python that sends copies of its pings to a collector."""
    monkeypatch.setenv("GLEAN_DEBUG_COLLECTOR", endpoint)
    argv = [*windows_python, "-c", PROGRAM, str(folder)]
    done = subprocess.run(argv, timeout=PROGRAM_S, check=False, **STREAMS)
    assert done.returncode == 0, done.stdout


def look(page):
    """Check that the page shows the ping of the program."""
    expect(page.locator("#list li")).to_have_count(1)
    page.locator("#list a").click()
    chips = page.get_by_role("list", name="About this ping")
    expect(chips.get_by_text("my-app", exact=True)).to_be_visible()
    expect(page.locator("dd", has_text="Windows").first).to_be_visible()
    expect(page.get_by_text("app.starts").first).to_be_visible()


def test_a_server_in_windows_python_shows_a_program_there(windows_python, tmp_path, open_page, monkeypatch):
    argv = [*windows_python, "-u", "-m", "glean_py", "serve", "--port", "0"]
    with subprocess.Popen(argv, **STREAMS) as server:
        try:
            assert server.stdout is not None
            found = re.search(rb"http://[\d.]+:\d+", server.stdout.readline())
            assert found, "the server said no address"
            endpoint = found.group(0).decode("ascii")
            page = open_page(SimpleNamespace(endpoint=endpoint))
            run_program(windows_python, tmp_path / "data", endpoint, monkeypatch)
            look(page)
        finally:
            server.kill()


def test_a_server_here_shows_a_program_in_windows_python(windows_python, tmp_path, open_page, monkeypatch):
    with Collector() as collector:
        page = open_page(collector)
        run_program(windows_python, tmp_path / "data", collector.endpoint, monkeypatch)
        look(page)
