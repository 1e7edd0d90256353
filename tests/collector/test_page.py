"""The page of the collector in a browser: what somebody sees, does, and is safe from."""

import http.server
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import CLIENT, make_body, submit
from playwright.sync_api import expect

from glean_py.serve import Collector


def names(page):
    """Return the names of the pings in the list, the newest first."""
    return page.locator("#list b").evaluate_all("found => found.map((each) => each.firstChild.textContent)")


def test_pings_appear_as_they_come(collector, open_page):
    page = open_page(collector)
    expect(page.get_by_role("heading", name="Waiting for the first ping")).to_be_visible()
    expect(page.get_by_text(f"GLEAN_DEBUG_COLLECTOR={collector.endpoint} python your_program.py")).to_be_visible()
    submit(collector, name="first")
    expect(page.locator("#list li")).to_have_count(1)
    expect(page).to_have_title("(1) Glean collector")
    expect(page.locator("#said")).to_have_text("ping first arrived")
    submit(collector, name="second")
    expect(page.locator("#list li")).to_have_count(2)
    assert names(page) == ["second", "first"]
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#list li")).to_have_count(0)
    assert collector.pings() == []


def test_page_that_another_site_led_to_asks_for_what_it_shows(collector, open_page):
    submit(collector, name="first")
    with Collector() as other:
        page = open_page(other)
        with page.expect_request(f"{collector.endpoint}/api/status"):
            page.evaluate("address => { location.href = address; }", f"{collector.endpoint}/")
        expect(page.locator("#list li")).to_have_count(1)
    assert names(page) == ["first"]
    with page.expect_response(f"{collector.endpoint}/") as answer:
        page.reload()
    expect(page.locator("#list li")).to_have_count(1)
    assert '"first"' in answer.value.text()


def test_filters(collector, open_page):
    submit(collector, name="one", X_Debug_ID="my-tag")
    submit(collector, name="two", application="other")
    submit(collector, {"metrics": {"string": {"app.word": "needle"}}}, name="three")
    page = open_page(collector)
    page.get_by_text("More filters").click()
    for label, value, left in (
        ("Ping", "two", ["two"]),
        ("Application", "my-app", ["three", "one"]),
        ("Client", CLIENT, ["two", "one"]),
        ("Debug tag", "my-tag", ["one"]),
    ):
        page.get_by_label(label, exact=True).select_option(value)
        expect(page.locator("#list li")).to_have_count(len(left))
        assert names(page) == left
        page.get_by_role("button", name="Show all").click()
        expect(page.locator("#list li")).to_have_count(3)
    for label, value, left in (("Metric", "app.starts", ["two", "one"]), ("Search in pings", "NEEDLE", ["three"])):
        page.get_by_label(label, exact=True).fill(value)
        expect(page.locator("#count")).to_have_text(f"{len(left)} of 3 pings")
        assert names(page) == left
        # What arrives is filtered as well.
        submit(collector, {"metrics": {"string": {"app.other": "hay"}}}, name="hay")
        expect(page.locator("#count")).to_have_text(f"{len(left)} of 4 pings")
        page.get_by_role("button", name="Show all").click()
        page.get_by_role("button", name="Clear").click()
        expect(page.locator("#list li")).to_have_count(0)
        submit(collector, name="one")
        submit(collector, name="two")
        submit(collector, {"metrics": {"string": {"app.word": "needle"}}}, name="three")
        expect(page.locator("#list li")).to_have_count(3)


def test_one_ping(collector, open_page):
    submit(collector, X_Debug_ID="my-tag")
    page = open_page(collector)
    page.locator("#list a").click()
    chips = page.get_by_role("list", name="About this ping")
    for text in ("✓ valid", "my-app", "reason quit", "seq 3", "tag my-tag"):
        expect(chips.get_by_text(text, exact=True)).to_be_visible()
    expect(page.locator("dd", has_text=CLIENT)).to_be_visible()
    # A number that JavaScript alone would round.
    expect(page.get_by_text("9,223,372,036,854,775,807")).to_be_visible()
    histogram = page.get_by_role("img", name="Histogram of app.load")
    expect(histogram.locator("rect")).to_have_count(2)
    expect(histogram.locator("title").first).to_have_text("900 µs to 1.1 ms: 3")
    expect(page.get_by_text("1 ms on average")).to_be_visible()
    bars = page.get_by_role("img", name="Bars of app.menu")
    widths = bars.locator("rect").evaluate_all("all => all.map((bar) => Number(bar.getAttribute('width')))")
    assert widths[0] == pytest.approx(20 * widths[1], rel=0.01)
    timeline = page.get_by_role("img", name="Timeline of 3 events over 90 s")
    expect(timeline.locator("circle")).to_have_count(3)
    expect(page.get_by_role("region", name="Events as a table")).to_contain_text("where: menu")
    assert json.loads(page.get_by_label("The ping as JSON").text_content()) == make_body()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert json.loads(Path(download.value.path()).read_text(encoding="utf-8")) == make_body()
    command = page.locator("pre.command").text_content()
    assert download.value.suggested_filename in command and 'X-Debug-ID: my-tag"' in command


def test_the_command_sends_it_again(collector, open_page, tmp_path):
    if subprocess.run(["curl", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no curl")
    submit(collector, application="%24%28touch%20here%29'%60%22")
    page = open_page(collector, "#/ping/1")
    command = page.locator("pre.command").text_content()
    (tmp_path / f"{collector.pings()[0]['document_id']}.json").write_text(json.dumps(make_body()), encoding="utf-8")
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True, timeout=600)
    expect(page.locator("#list small")).to_contain_text("2×")
    assert len(list(tmp_path.iterdir())) == 1


def test_violations_are_explained(collector, open_page):
    body = make_body()
    body["metrics"]["counter"]["app.starts"] = -4
    submit(collector, body)
    page = open_page(collector)
    expect(page.locator("#list .verdict")).to_have_text("✕ 1 violation")
    page.locator("#list a").click()
    problem = page.locator(".card.wrong li")
    expect(problem).to_have_text("metrics/counter/app.starts" + "has to be at least 0; it is -4")


# glean_parser uses what jsonschema gives up.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_registry_explains_metrics(open_page, tmp_path):
    registry = tmp_path / "metrics.yaml"
    registry.write_text(
        "$schema: moz://mozilla.org/schemas/glean/metrics/2-0-0\n"
        "app:\n  starts:\n    type: counter\n    description: How often it started.\n    send_in_pings: [usage]\n"
        "    bugs: [https://example.org/bugs/1]\n    data_reviews: [https://example.org/1]\n"
        "    notification_emails: [you@example.org]\n    expires: never\n",
        encoding="utf-8",
    )
    with Collector(registry=[registry]) as collector:
        submit(collector)
        page = open_page(collector, "#/ping/1")
        expect(page.get_by_text("How often it started. Expires: never.")).to_be_visible()
        link = page.get_by_role("link", name="example.org/bugs/1")
        assert link.get_attribute("href") == "https://example.org/bugs/1"
        expect(page.locator(".card.note")).to_contain_text("app.load")
        expect(page.locator(".card.note")).not_to_contain_text("app.starts")


def test_a_trend_leads_to_its_pings(collector, open_page):
    for number in (3, 9, 6):
        submit(collector, {"metrics": {"counter": {"app.starts": number}}})
    page = open_page(collector)
    page.get_by_role("link", name="Trend").click()
    page.get_by_label("Metric of the trend").select_option("app.starts")
    points = page.get_by_role("group", name="app.starts over 3 pings").locator("a")
    expect(points).to_have_count(3)
    heights = points.locator("circle").evaluate_all("all => all.map((point) => Number(point.getAttribute('cy')))")
    assert heights[1] < heights[2] < heights[0]
    points.nth(1).click()
    expect(page.locator("#list a[aria-current]")).to_have_attribute("data-number", "2")


def test_faults_are_asked_for_on_the_page(collector, open_page):
    page = open_page(collector)
    page.get_by_role("button", name="Faults").click()
    page.get_by_label("HTTP status").fill("503")
    page.get_by_label("Retry-After, seconds").fill("60")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".banner")).to_contain_text("Submissions fail, as asked: status 503, Retry-After 60 s.")
    assert collector.faults.status == 503 and collector.faults.retry_after == 60
    page.locator(".banner").get_by_role("button", name="No faults").click()
    expect(page.locator(".banner")).to_have_count(0)
    submit(collector)


def test_refusals_are_told(collector, open_page):
    page = open_page(collector)
    with pytest.raises(OSError, match="400"):
        submit(collector, [])
    expect(page.locator(".banner")).to_contain_text(
        "1 submission refused; the last with 400: the body has to be a JSON"
    )


def test_a_restart_with_a_store(open_page, tmp_path):
    file = str(tmp_path / "pings.sqlite")
    with Collector(store=file) as collector:
        port = int(collector.endpoint.rpartition(":")[2])
        submit(collector)
        # What a browser says of a server that is gone is no error of the page.
        page = open_page(collector, "#/ping/1", is_quiet=False)
        expect(page.locator("#list li")).to_have_count(1)
    expect(page.locator(".live.off")).to_have_text("not running: python -m glean_py serve")
    with Collector(store=file, port=port) as collector:
        expect(page.locator(".live.on")).to_be_visible()
        submit(collector)
        expect(page.locator("#list li")).to_have_count(2)


def test_the_keyboard_is_enough(collector, open_page):
    for name in ("first", "second", "third"):
        submit(collector, name=name)
    page = open_page(collector)
    expect(page.locator("#list li")).to_have_count(3)
    heading = page.locator("#main h2")
    for key, shown in (
        ("j", "third"),
        ("j", "second"),
        ("ArrowDown", "first"),
        ("k", "second"),
        ("Escape", "3 pings"),
    ):
        page.keyboard.press(key)
        expect(heading).to_have_text(shown)
    page.keyboard.press("/")
    expect(page.get_by_label("Search in pings")).to_be_focused()
    page.keyboard.type("second")
    expect(page.locator("#list li")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.get_by_label("Search in pings")).not_to_be_focused()


def test_a_phone_shows_one_thing_at_a_time(collector, open_page):
    submit(collector)
    page = open_page(collector, is_phone=True)
    page.locator("#list a").click()
    expect(page.locator("#main h2")).to_have_text("usage")
    expect(page.locator("#list")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("link", name="All pings").click()
    expect(page.locator("#list a")).to_be_visible()


def test_colours_follow_the_system_or_a_choice(collector, open_page):
    def brightness(page):
        red, green, blue = re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]
        return int(red) + int(green) + int(blue)

    dark, light = open_page(collector, is_dark=True), open_page(collector)
    assert brightness(dark) < 150 < 600 < brightness(light)
    light.get_by_role("button", name="Colours").click()
    light.get_by_role("button", name="Colours: light").click()
    assert brightness(light) < 150
    light.reload()
    light.wait_for_selector(".live.on")
    assert brightness(light) < 150


@pytest.mark.parametrize("is_other", [False, True], ids=["light desk", "dark phone"])
def test_accessibility(collector, open_page, is_other):
    def check(what):
        found = Axe().run(page)
        assert found.violations_count == 0, f"{what}: {found.generate_report()}"

    page = open_page(collector, is_dark=is_other, is_phone=is_other)
    check("empty")
    body = make_body()
    body["metrics"]["counter"]["Wrong"] = -1
    submit(collector, body)
    submit(collector)
    expect(page.locator("#list li")).to_have_count(2)
    # The colours of what is new fade.
    page.emulate_media(reduced_motion="reduce")
    check("list")
    for view in ("ping/1", "ping/2", "trend/app.starts"):
        page.goto(f"{collector.endpoint}/#/{view}")
        expect(page.locator("#main h2")).to_be_visible()
        expect(page.locator("#main svg").first).to_be_visible()
        check(view)
    page.get_by_role("button", name="Faults").click()
    check("faults")


# --- hostile ----------------------------------------------------------------------------------------------------------

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'`${alert(3)}"


def test_markup_in_every_field_is_text(collector, open_page):
    metrics = {
        "counter": {MARKUP: 1},
        MARKUP: {MARKUP: MARKUP},
        "string": {MARKUP: MARKUP},
        "url": {MARKUP: "javascript:alert(4)"},
        "string_list": {MARKUP: [MARKUP]},
        "labeled_counter": {MARKUP: {MARKUP: 1}},
        "labeled_string": {MARKUP: {MARKUP: MARKUP}},
        "timing_distribution": {MARKUP: {"sum": MARKUP, "values": {MARKUP: 1, "1": 1}}},
        "timespan": {MARKUP: {"value": 1, "time_unit": MARKUP}},
        "rate": {MARKUP: {"numerator": MARKUP, "denominator": MARKUP}},
        "object": {MARKUP: {MARKUP: [MARKUP]}},
    }
    event = {"timestamp": MARKUP, "category": MARKUP, "name": MARKUP, "extra": {MARKUP: MARKUP}}
    body = {
        "ping_info": {MARKUP: MARKUP, "reason": MARKUP, "seq": MARKUP},
        "client_info": {"client_id": MARKUP, MARKUP: {MARKUP: MARKUP}},
        "metrics": metrics,
        "events": [event, MARKUP],
    }
    quoted = "%3Cscript%3Ealert(5)%3C%2Fscript%3E"
    page = open_page(collector)
    submit(collector, body, name=quoted, application=quoted, X_Debug_ID=MARKUP)
    expect(page.locator("#list b")).to_contain_text("<script>alert(5)</script>")
    page.locator("#list a").click()
    expect(page.get_by_role("heading", name="<script>alert(5)</script>")).to_be_visible()
    assert page.locator("#main").text_content().count(MARKUP) > 20
    assert page.locator("#main img, #main script, a[href^='javascript']").count() == 0
    page.goto(f"{collector.endpoint}/#/trend/{quoted}")
    expect(page.get_by_text("No ping here has a number")).to_be_visible()


@pytest.mark.parametrize(
    "body",
    [
        {"metrics": 1, "events": {}, "ping_info": [], "client_info": None},
        {"metrics": {"counter": [1], "string": {"a": None}, "timing_distribution": {"b": {"values": [1]}, "c": 1}}},
        {"metrics": {"labeled_counter": {"a": []}, "rate": {"b": {}}, "timespan": {"c": {}}, "datetime": {"d": 1e300}}},
        {"metrics": {"object": {"a": json.loads("[" * 60 + "]" * 60)}}},
        {},
    ],
    ids=["scalars", "wrong", "empty", "deep", "nothing"],
)
def test_shapes_that_no_ping_has_are_shown(collector, open_page, body):
    submit(collector, body)
    page = open_page(collector, "#/ping/1")
    expect(page.locator("#main h2")).to_have_text("usage")
    expect(page.get_by_label("The ping as JSON")).to_be_visible()


def test_a_million_events_leave_the_page_usable(collector, open_page):
    # As many as fit into a body.
    body = {"events": [{"name": "b"}] * 1_000_000, "metrics": {}}
    body["metrics"]["counter"] = {f"a.b{number}": number for number in range(50_000)}
    body["metrics"]["labeled_counter"] = {"a.labels": {f"l{number}": 1 for number in range(20_000)}}
    body["metrics"]["custom_distribution"] = {
        "a.many": {"sum": 1, "values": {str(number): 1 for number in range(50_000)}}
    }
    submit(collector, body)
    page = open_page(collector, "#/ping/1")
    expect(page.locator("#main h2")).to_have_text("usage")
    assert page.locator("*").count() < 20_000
    expect(page.get_by_text("This ping is too large to be checked")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#main h2")).to_have_text("1 ping")


def test_five_hundred_large_pings(collector, open_page):
    body = make_body()
    body["metrics"]["text"] = {"app.log": "line of a log\n" * 7_500}
    for number in range(510):
        submit(collector, {**body, "ping_info": {**body["ping_info"], "seq": number}})
    page = open_page(collector)
    expect(page.locator("#list li")).to_have_count(500)
    for _ in range(3):
        page.keyboard.press("j")
    expect(page.locator("#list a[aria-current]")).to_have_count(1)
    page.get_by_label("Search in pings").fill('"seq": 77,')
    expect(page.locator("#list li")).to_have_count(1)


def test_other_sites_get_nothing(collector, browser):
    """A page of another origin, and one that an attacker's DNS gave the address of the collector."""
    submit(collector)

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>other</title>")

        def log_message(self, format, *args):
            pass

    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{other.server_port}/")
        for method, path, mode in (
            ("GET", "/api/pings", "cors"),
            ("GET", "/api/pings", "no-cors"),
            ("DELETE", "/api/pings", "cors"),
            ("POST", "/submit/my-app/usage/1/0000", "no-cors"),
        ):
            script = """async ([url, method, mode]) => {
                const body = method === "POST" ? "{}" : undefined;
                try { return await (await fetch(url, {method, mode, body})).text(); }
                catch (error) { return ""; }
            }"""
            assert page.evaluate(script, [f"{collector.endpoint}{path}", method, mode]) == ""
        assert len(collector.pings()) == 1
        port = collector.endpoint.rpartition(":")[2]
        answer = page.goto(f"http://rebound.example:{port}/api/pings")
        assert answer.status == 421 and "usage" not in page.content()
        answer = page.goto(f"http://rebound.example:{port}/")
        assert answer.status == 421
    finally:
        context.close()
        other.shutdown()
        other.server_close()


# --- both packages ----------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from pathlib import Path
import {package} as glean
from {package} import metrics
ping = metrics.PingType("usage", True, True, True, True, [], ["quit"], [])
def describe(name):
    return metrics.CommonMetricData(
        category="app", name=name, send_in_pings=["usage"], lifetime=metrics.Lifetime.PING, disabled=False)
if __name__ == "__main__":
    glean.Glean.initialize("my-app", "1.0", True, data_dir=Path(sys.argv[2]), configuration=glean.Configuration(
        server_endpoint=sys.argv[1], enable_internal_pings=False))
    metrics.CounterMetricType(describe("starts")).add(2)
    linear = metrics.HistogramType.LINEAR
    metrics.CustomDistributionMetricType(describe("sizes"), 1, 100, 10, linear).accumulate_samples([5, 50])
    metrics.EventMetricType(describe("clicked"), []).record(None)
    ping.submit(0)
    glean.Glean.shutdown()
"""


def test_both_packages_look_the_same(collector, open_page, tmp_path):
    seen = []
    page = open_page(collector)
    for number, package in enumerate(["glean", "glean_py"], 1):
        program = tmp_path / f"{package}_program.py"
        program.write_text(PROGRAM.format(package=package), encoding="utf-8")
        argv = [sys.executable, str(program), collector.endpoint, str(tmp_path / package)]
        subprocess.run(argv, check=True, timeout=600, cwd=tmp_path)
        expect(page.locator("#list li")).to_have_count(number)
        page.goto(f"{collector.endpoint}/#/ping/{number}")
        expect(page.locator("#list a[aria-current]")).to_have_attribute("data-number", str(number))
        expect(page.get_by_role("img", name="Histogram of app.sizes")).to_be_visible()
        # What was recorded: not what each package says of itself and of the system, nor the JSON and the command.
        shown = page.locator("#main .card").all_text_contents()[2:-2]
        seen.append([re.sub(r"[0-9a-f-]{36}|20\d\d-[\dT:.+-]+|\d{13}", "", text) for text in shown])
    assert seen[0] == seen[1]
