"""A browser, a collector of the installed package, and pings, for the tests of the page."""

import gzip
import json
import shutil
import signal
import urllib.request
import uuid
from pathlib import Path
from typing import Any, Dict

import pytest
from playwright.sync_api import expect, sync_playwright

from glean_py.serve import Collector

WAIT_MS = 60_000
expect.set_options(timeout=WAIT_MS)
# A shell that starts programs in the background lets them ignore Ctrl-C, and so would the programs of tests.
signal.signal(signal.SIGINT, signal.default_int_handler)
CLIENT = "0a1b2c3d-0000-4000-8000-0123456789ab"


def pytest_addoption(parser):
    parser.addoption("--chromium", default=shutil.which("chromium"), help="the browser; the one on PATH")
    parser.addoption("--pictures", type=Path, help="a folder for the pictures of the tutorial")
    parser.addoption(
        "--windows-python", help="the command line of a Windows Python, as JSON: run the tests with it alone"
    )


def pytest_configure(config):
    """Declare the mark of tests with a Windows Python."""
    config.addinivalue_line("markers", "windows: needs --windows-python")


def pytest_collection_modifyitems(config, items):
    """Choose the tests with a Windows Python, or the others."""
    is_wanted = config.getoption("--windows-python") is not None
    left = [item for item in items if (item.get_closest_marker("windows") is not None) != is_wanted]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def browser(pytestconfig):
    """Start the browser; names of another site lead here, as an attacker's DNS would say."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=pytestconfig.getoption("--chromium"),
            # The sandbox of a container takes none of its own.
            args=["--no-sandbox", "--host-resolver-rules=MAP rebound.example 127.0.0.1"],
        )
        yield running
        running.close()


@pytest.fixture
def collector():
    """Start a collector on a free port."""
    with Collector() as running:
        yield running


@pytest.fixture
def open_page(browser):
    """Return a function that opens the page of a collector; what its console says at the end has to be nothing."""
    contexts, said = [], []

    def open_it(collector, view="", *, is_dark=False, is_phone=False, is_quiet=True):
        context = browser.new_context(
            viewport={"width": 390, "height": 844} if is_phone else {"width": 1280, "height": 860},
            color_scheme="dark" if is_dark else "light",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        if is_quiet:
            page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.goto(f"{collector.endpoint}/{view}")
        page.wait_for_selector(".live.on")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert said == []


def make_body(**changes) -> Dict[str, Any]:
    """Return the body of a valid ping."""
    body: Dict[str, Any] = {
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
            "client_id": CLIENT,
            "first_run_date": "2026-01-31+01:00",
            "os": "Linux",
            "os_version": "6.1",
            "telemetry_sdk_build": "0.1.0",
        },
        "metrics": {
            "counter": {"app.starts": 2},
            "quantity": {"app.memory": 9223372036854775807},
            "timing_distribution": {"app.load": {"sum": 4_000_000, "values": {"900000": 3, "1100000": 1}}},
            "labeled_counter": {"app.menu": {"file": 1, "edit": 20}},
        },
        "events": [
            {"timestamp": 0, "category": "ui", "name": "click", "extra": {"where": "menu"}},
            {"timestamp": 1500, "category": "ui", "name": "scroll"},
            {"timestamp": 90_000, "category": "ui", "name": "click"},
        ],
    }
    body.update(changes)
    return body


def submit(collector, body=None, name="usage", application="my-app", **headers):
    """Submit a ping as Glean does."""
    data = json.dumps(make_body() if body is None else body, separators=(",", ":")).encode("utf-8")
    request = urllib.request.Request(
        f"{collector.endpoint}/submit/{application}/{name}/1/{uuid.uuid4()}",
        gzip.compress(data, 1),
        {"Content-Encoding": "gzip", **{key.replace("_", "-"): value for key, value in headers.items()}},
    )
    with urllib.request.urlopen(request, timeout=600) as response:
        assert response.status == 200
