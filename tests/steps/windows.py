"""A checkout of the tests' own with real Windows wheels, prefixes and Pythons in it; made once per test run.

Its path holds a space and letters outside ASCII. It is a copy of this checkout's sources, committed or not, with its
own state, `dist/` and cargo folder, and with the user's real cache, which the tests never damage: those that need a
damaged one make a `borrowed_cache`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from glean_steps import fetch, pins, settings, system, windows_python, wine
from glean_steps.errors import NotProvableError
from glean_steps.targets import WINDOWS, Target
from glean_steps.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
AMD64, WIN32 = WINDOWS[:2]

# The user's own cache; taken before a fixture hides it.
CACHE = settings.cache()

# How long a test waits for what has to happen anyway, on however busy a machine; nothing is asserted about it.
PATIENCE_S = 1800.0

# Every program that a test starts inherits this variable, so that those it leaves behind can be found.
MARK = "GLEANING_TEST"
RUN = uuid.uuid4().hex

_made: dict[str, object] = {}
_started: list[Running] = []


@dataclass
class Ended:
    """A program that ended: its exit status and all that it printed."""

    status: int
    out: str
    err: str


@dataclass
class Running:
    """A program that runs; what it writes to standard error can be waited for.

    Attributes:
        process: the program, leader of a session of its own.
        lines: what it wrote to standard error.
        out: what it wrote to standard output.
    """

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    out: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stderr, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stdout, self.out), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], into: list[str]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    into.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def until(self, text: str) -> None:
        """Wait until a line on standard error holds `text`."""

        def said() -> bool:
            return any(text in line for line in self.lines) or not self._readers[0].is_alive()

        with self._changed:
            self._changed.wait_for(said, timeout=PATIENCE_S)
        assert any(text in line for line in self.lines), f"it never said {text!r}:\n" + "".join(self.lines)

    def send(self, number: signal.Signals) -> None:
        """Signal the program; Ctrl-C reaches its whole process group, as a terminal sends it."""
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def end(self) -> Ended:
        """Wait for its end."""
        status = self.process.wait(timeout=PATIENCE_S)
        for reader in self._readers:
            reader.join(timeout=5)
        return Ended(status, "".join(self.out), "".join(self.lines))


# How checkouts of the tests build: what is looked at here is the steps, not how good the code is that they make.
QUICK = {
    "CARGO_PROFILE_RELEASE_LTO": "off",
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
}


@dataclass(frozen=True)
class Checkout:
    """A copy of this checkout.

    Attributes:
        ws: its workspace.
        target_dir: where its cargo builds.
    """

    ws: Workspace
    target_dir: Path

    def env(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment for a command of this checkout: nobody's settings but those given."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("GLEAN_")}
        env.pop("SOURCE_DATE_EPOCH", None)
        env |= {"GLEAN_CACHE": str(self.ws.cache), "CARGO_TARGET_DIR": str(self.target_dir), MARK: RUN, **QUICK}
        return env | dict(changes or {})

    def start(self, *words: object, env: Mapping[str, str] | None = None, before: Sequence[object] = ()) -> Running:
        """Start `nox …` or `invoke …` in this checkout with the Python that runs the tests.

        Args:
            words: the program and its arguments.
            env: changes to its environment.
            before: what to put before the command line, such as `unshare --net`.
        """
        running = Running(
            subprocess.Popen(
                [str(word) for word in (*before, sys.executable, "-m", *words)],
                cwd=self.ws.root,
                env=self.env(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
                # A shell that started the tests in the background may have turned Ctrl-C off for all of them.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
            )
        )
        _started.append(running)
        return running

    def run(self, *words: object, env: Mapping[str, str] | None = None, before: Sequence[object] = ()) -> Ended:
        """Run `nox …` or `invoke …` in this checkout to its end."""
        return self.start(*words, env=env, before=before).end()

    @contextmanager
    def changed(self, path: str, change: Callable[[str], str]) -> Iterator[None]:
        """Change one source file for the block."""
        file = self.ws.root / path
        before = file.read_bytes()
        file.write_text(change(before.decode()))
        try:
            yield
        finally:
            file.write_bytes(before)


@dataclass(frozen=True)
class Built:
    """The checkout after its first `nox -s build_windows`.

    Attributes:
        checkout: where it was run.
        first: that run.
        offline: whether it had neither network nor permission to use it; if not, `why_online` says why.
    """

    checkout: Checkout
    first: Ended
    offline: bool
    why_online: str


def need_wine(target: Target = AMD64) -> None:
    """Skip the test, and say why, where no Wine runs the target's programs."""
    if sys.platform != "linux":
        pytest.skip("Wine is used on Linux only")
    if system.find(system.WINE) is None:
        pytest.skip("no Wine on this machine: `invoke doctor` says how to get it")
    key = f"wine {target.arch}"
    if key not in _made:
        _made[key] = ""
        try:
            wine.provider_for(target, Workspace(ROOT, CACHE))
        except NotProvableError as error:
            _made[key] = error.why
    if _made[key]:
        pytest.skip(f"no Wine here runs {target.arch} programs: {_made[key]}")


def own_checkout(factory: pytest.TempPathFactory) -> Checkout:
    """Return the copy of this checkout, making it when this is the first test that needs it."""
    if "checkout" not in _made:
        folder = factory.mktemp("checkout")
        root = folder / "Größe 世界"
        copy_sources(root)
        _made["checkout"] = Checkout(Workspace(root, CACHE), folder / "target")
    made = _made["checkout"]
    assert isinstance(made, Checkout)
    return made


def built_checkout(factory: pytest.TempPathFactory) -> Built:
    """Return the copy of this checkout with both wheels built and proven.

    Where the cache is warm and this is root, that first run has no network at all; where it is not warm, one run with
    network fills it, and one without follows.
    """
    need_wine()
    need_wine(WIN32)
    if "built" not in _made:
        checkout = own_checkout(factory)
        why = why_no_namespaces()
        if why:
            first = checkout.run("nox", "-s", "build_windows")
        else:
            first = _offline_run(checkout)
            if first.status != 0:
                online = checkout.run("nox", "-s", "build_windows")
                if online.status == 0:
                    for left in (checkout.ws.state, checkout.ws.dist, checkout.target_dir):
                        shutil.rmtree(left)
                    first = _offline_run(checkout)
        _made["built"] = Built(checkout, first, not why, why)
    made = _made["built"]
    assert isinstance(made, Built)
    assert made.first.status == 0, made.first.err
    return made


def _offline_run(checkout: Checkout) -> Ended:
    return checkout.run("nox", "-s", "build_windows", env={"GLEAN_OFFLINE": "1"}, before=["unshare", "--net"])


def why_no_namespaces() -> str:
    """Return why a test cannot have a network or mounts of its own here, or "" when it can."""
    if os.geteuid() != 0:
        return "a namespace without network, or a mount, needs root"
    done = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip()


def copy_sources(into: Path) -> None:
    """Copy the sources of this checkout, committed or not, and nothing that runs made."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, os.fsdecode(listed).split("\0")):
        source, target = ROOT / name, into / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def borrowed_cache(folder: Path, *copied: str) -> Path:
    """Return a cache that refers to the user's own but for the top-level folders `copied`, which a test may damage.

    A folder to copy is given as `name`, or as `name/pattern` when only some of its entries are needed.
    """
    folder.mkdir()
    own = {entry.partition("/")[0]: entry.partition("/")[2] or "*" for entry in copied}
    for entry in CACHE.iterdir():
        if entry.name not in own:
            (folder / entry.name).symlink_to(entry)
            continue
        (folder / entry.name).mkdir()
        for each in entry.glob(own[entry.name]):
            target = folder / entry.name / each.name
            if each.is_dir():
                shutil.copytree(each, target)
            else:
                shutil.copy2(each, target)
    return folder


def _rebuilt(row: pins.PythonRow) -> Path | None:
    return windows_python.remembered_rebuild(row, AMD64, Workspace(ROOT, CACHE))


def _exact(row: pins.PythonRow) -> str:
    """Return the exact version of a Windows Python that the cache has, or "" when it has none."""
    zipped = pins.embeddable(row, AMD64.arch, pins.load())
    if zipped is not None and fetch.cache_path(zipped, CACHE).is_file():
        return row.version
    return row.runtime_version if _rebuilt(row) else ""


def _row() -> pins.PythonRow:
    """Return the Windows Python that this machine has in its cache: the default one, else the first."""
    rows = [pins.find_python(), *pins.load().pythons]
    return next((row for row in rows if _exact(row)), rows[0])


# What the tests work with where a Python is needed, and its exact version: a rebuilt one's may differ in the last part.
PYTHON = _row()
EXACT = _exact(PYTHON) or PYTHON.version


def rebuilt_python() -> Path:
    """Return the archive of that Python for amd64 that was rebuilt into the user's cache; skip where there is none."""
    found = _rebuilt(PYTHON)
    if found is None:
        pytest.skip(f"the cache has no rebuilt Python {PYTHON.version}, as where its server is in reach")
    return found


def left_behind() -> list[str]:
    """Return the command lines of all living programs that the tests of this run started."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            if f"{MARK}={RUN}".encode() not in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                continue
            command = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if command:  # A program that ended and was not collected yet has none.
                found.append(f"{entry}: {command}")
        except OSError:
            continue
    return found


def end_left_behind() -> None:
    """End every program that the tests of this run started, by its id."""
    for line in left_behind():
        try:
            os.kill(int(line.partition(":")[0]), signal.SIGKILL)
        except ProcessLookupError:
            pass  # It ended by itself.
    for running in _started:
        running.process.wait(timeout=PATIENCE_S)
    until(lambda: left_behind() == [])


def until(true: Callable[[], bool], *, seconds: float = PATIENCE_S) -> bool:
    """Wait until something is true; return whether it ever was."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if true():
            return True
        time.sleep(0.02)
    return True if true() else False
