"""The tutorial, walked from its empty folder to its last command; `--pictures FOLDER` keeps what the browser showed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
COMMAND_S = 600


class Walk:
    """A folder, the commands of the page, and the collector that they start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        blocks = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        self.commands = [line for kind, code in blocks if kind == "sh" for line in code.splitlines()]
        self.files = {}
        for _, code in blocks:
            name = re.match(r"# (\S+\.\w+)\n", code)
            if name:
                self.files[name.group(1)] = code
        self.endpoint = ""
        self.serving = None
        # The page writes `python`.
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
        self.env = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
        self.env.pop("DO_NOT_TRACK", None)

    def save(self) -> None:
        """Write the files of the page; its port may be somebody's here."""
        for name, code in self.files.items():
            (self.folder / name).write_text(self.adapt(code), encoding="utf-8")

    def adapt(self, text: str) -> str:
        return text.replace("http://127.0.0.1:8125", self.endpoint)

    def take(self, beginning: str) -> str:
        """Return the next command of the page, which has to be this one."""
        command = self.commands.pop(0)
        assert command.startswith(beginning), command
        return command

    def run(self, beginning: str, status: int = 0) -> str:
        command = self.take(beginning)
        return self.call(command, status)

    def call(self, command: str, status: int = 0) -> str:
        argv = self.adapt(command).split()
        done = subprocess.run(argv, cwd=self.folder, env=self.env, timeout=COMMAND_S, capture_output=True, check=False)
        assert done.returncode in (status, 0), (command, done.stderr)
        return done.stdout.decode("utf-8")

    def serve(self, command: str) -> None:
        port = self.endpoint.rpartition(":")[2] or "0"
        argv = [*command.split(), "--port", port]
        self.serving = subprocess.Popen(argv, cwd=self.folder, env=self.env, stdout=subprocess.PIPE)
        first = self.serving.stdout.readline().decode("utf-8")
        self.endpoint = first.split()[5].rstrip("/")

    def end_serving(self) -> None:
        if self.serving is not None:
            self.serving.send_signal(signal.SIGINT)
            out, _ = self.serving.communicate(timeout=COMMAND_S)
            assert self.serving.returncode == 0 and b"the port is free again" in out
            self.serving = None


@pytest.fixture
def walk(tmp_path):
    walking = Walk(tmp_path)
    yield walking
    if walking.serving is not None:
        walking.serving.kill()
        walking.serving.communicate()


def test_the_tutorial_can_be_walked(walk, open_page, pytestconfig):
    pictures = pytestconfig.getoption("--pictures")

    def picture(name):
        if pictures is not None:
            page.screenshot(path=pictures / f"{name}.png")

    walk.take("python -m pip install")
    walk.save()
    walk.run("python -m glean_py compile")
    serve = walk.take("python -m glean_py serve")
    walk.serve(serve)
    walk.save()
    # A server that is gone is part of the tutorial.
    page = open_page(walk, is_quiet=False)
    page.set_viewport_size({"width": 1160, "height": 900})
    expect(page.get_by_role("heading", name="Waiting for the first ping")).to_be_visible()
    picture("waiting")
    walk.run("python count.py")
    expect(page.locator("#list li")).to_have_count(1)
    page.locator("#list a").click()
    for text in ("✓ valid", "How many files were counted. Expires: never.", "3 in total"):
        expect(page.locator("#main").get_by_text(text)).to_be_visible()
    expect(page.locator(".card.note")).to_have_count(0)
    page.locator("#list").evaluate(
        "list => list.querySelectorAll('.new').forEach((each) => each.classList.remove('new'))"
    )
    picture("ping")

    walk.end_serving()
    expect(page.locator(".live.off")).to_be_visible()
    walk.run("python count.py")
    walk.run("python count.py")
    status = walk.run("python -m glean_py status")
    assert re.search(r"^waiting: [12] pings?, ", status, re.MULTILINE), status
    walk.serve(serve)
    expect(page.locator(".live.on")).to_be_visible()
    send = walk.take("python -m glean_py send")
    end = time.monotonic() + COMMAND_S
    # After failures there is a pause of a minute at most.
    while "0 pings left" not in walk.call(send, status=1):
        assert time.monotonic() < end
        time.sleep(1)
    expect(page.locator("#list li")).to_have_count(3)
    assert page.locator("#list small", has_text="×").count() == 0
    page.goto(f"{walk.endpoint}/#/trend/count.files")
    expect(page.get_by_role("group", name="count.files over 3 pings")).to_be_visible()
    picture("trend")

    walk.run("python count.py --no-telemetry")
    expect(page.locator("#list b").first).to_contain_text("deletion-request")
    assert "collection: off, by the program" in walk.call("python -m glean_py status data")
    assert walk.commands == []
