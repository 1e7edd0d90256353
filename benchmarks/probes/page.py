"""How soon the page of the collector is there, and how long it keeps the browser busy. Needs playwright."""

from __future__ import annotations

import gzip
import json
import re
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List

from playwright.sync_api import Page, sync_playwright

PINGS = 500
MORE = 20
PING_BYTES = 100_000
LOADS = 5
WAIT_S = 60.0
# Notes when the list is shown first, and each task of more than 50 ms, which is what browsers call a long one.
_WATCH = """
new MutationObserver(() => {
  if (!window.shownMs && document.querySelector("#list li")) window.shownMs = performance.now();
}).observe(document, {childList: true, subtree: true});
window.tasksMs = [];
new PerformanceObserver((list) => list.getEntries().forEach((task) => window.tasksMs.push(task.duration)))
  .observe({type: "longtask", buffered: true});
"""


def make_ping(number: int) -> bytes:
    """Return a ping of `PING_BYTES`, most of it events, compressed."""
    event: Dict[str, Any] = {"category": "ui", "name": "click", "extra": {"where": "somewhere in a menu"}}
    events: List[Dict[str, Any]] = [{"timestamp": place, **event} for place in range(PING_BYTES // 100)]
    time = "2026-01-31T10:00+01:00"
    body = {
        "ping_info": {"seq": number, "start_time": time, "end_time": time},
        "client_info": {"app_build": "7", "telemetry_sdk_build": "0.1.0"},
        "metrics": {"counter": {"app.starts": number}},
        "events": events,
    }
    return gzip.compress(json.dumps(body).encode("utf-8"), 1)


@contextmanager
def collector() -> Iterator[str]:
    """Yield the endpoint of a collector in a process of its own, as a user starts it."""
    argv = [sys.executable, "-I", "-m", "glean_py", "serve", "--port", "0", "--keep", str(PINGS)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://[^/ ]+", process.stdout.readline())
            if found is None:
                raise SystemExit("the collector did not say where it is")
            yield found.group()
        finally:
            process.terminate()


def submit(endpoint: str, first: int, count: int) -> None:
    """Submit so many pings."""
    for number in range(first, first + count):
        address = f"{endpoint}/submit/bench/usage/1/{uuid.uuid4()}"
        request = urllib.request.Request(address, make_ping(number), {"Content-Encoding": "gzip"})
        urllib.request.urlopen(request, timeout=60).close()


def wait_until(page: Page, condition: str) -> None:
    """Wait until an expression of JavaScript is true. The page's policy forbids the waiting that the browser offers."""
    limit = time.monotonic() + WAIT_S
    while not page.evaluate(condition):
        if time.monotonic() > limit:
            raise SystemExit(f"{condition} was not true within {WAIT_S:.0f} s")
        # Each look keeps the browser from what is measured.
        time.sleep(0.2)


def measure(chromium: str) -> Dict[str, float]:
    """Return the milliseconds until the list is shown, and of the longest tasks while pings come and are looked at."""
    with collector() as endpoint, sync_playwright() as playwright:
        submit(endpoint, 0, PINGS)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_init_script(_WATCH)
        shown: List[float] = []
        for _ in range(LOADS):
            page.goto(f"{endpoint}/")
            wait_until(page, "window.shownMs")
            shown.append(page.evaluate("window.shownMs"))
        page.wait_for_selector(".live.on")
        page.evaluate("window.tasksMs = []")
        submit(endpoint, PINGS, MORE)
        wait_until(page, f"document.title.includes({PINGS})")
        page.get_by_label("Search in pings", exact=True).fill("nothing has this")
        wait_until(page, "document.querySelectorAll('#list li').length === 0")
        page.get_by_role("button", name="Show all").click()
        page.wait_for_selector("#list li")
        longest = max([0.0, *page.evaluate("window.tasksMs")])
        page.evaluate("window.tasksMs = []")
        page.locator("#list a").first.click()
        page.get_by_role("img", name="Timeline").first.wait_for()
        opening = max([0.0, *page.evaluate("window.tasksMs")])
        browser.close()
    return {"shown": statistics.median(shown), "longest task": longest, "opening": opening}


if __name__ == "__main__":
    print("\n" + json.dumps(measure(sys.argv[1])), flush=True)
