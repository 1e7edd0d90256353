"""Start programs: the only module that imports subprocess.

Every program gets a deadline, a usable standard input and a process group of its own, so that Ctrl-C, SIGTERM and the
deadline end it with all its children. The last lines of what it printed are kept for the error. A block of `together`
that fails ends its programs, and no others.
"""

from __future__ import annotations

import collections
import contextvars
import ctypes
import functools
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    IO,
    TYPE_CHECKING,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    TextIO,
    Tuple,
    TypedDict,
    TypeVar,
)

from glean_steps import report, settings
from glean_steps.errors import CommandFailedError, DeadlineError, Interrupted, MissingToolError

if TYPE_CHECKING:
    from typing_extensions import Unpack

TAIL_LINES = 40
GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1

T = TypeVar("T")


@dataclass
class _Block:
    """A block of `together`: the programs that run in it, and whether it was ended."""

    running: List[subprocess.Popen[bytes]] = field(default_factory=list)
    ended: bool = False


# The blocks that this thread is in, the outermost first.
_blocks: contextvars.ContextVar[Tuple[_Block, ...]] = contextvars.ContextVar("blocks", default=())


@dataclass(frozen=True)
class Completed:
    """A program that ended.

    Attributes:
        argv: what was started.
        status: its exit status; negative is the number of the signal that ended it.
        stdout: what it wrote, decoded as UTF-8, standard error included unless `split_stderr` was asked for.
    """

    argv: Sequence[str]
    status: int
    stdout: str


# What `run` is, or a test's function that starts nothing and records what it was given.
Run = Callable[..., Completed]


class RunOptions(TypedDict, total=False):
    """How a program is started; `run` says what each means."""

    cwd: Optional[Path]
    env: Optional[Mapping[str, str]]
    check: bool
    quiet: bool
    split_stderr: bool
    detached: bool
    forward: bool
    echo: bool
    on_deadline: Optional[Callable[[], None]]


def run(argv: Sequence[object], *, timeout_s: float, **options: Unpack[RunOptions]) -> Completed:
    """Run a program to its end and return what it printed.

    Args:
        argv: the program and its arguments; never a shell line.
        timeout_s: the deadline in seconds; GLEAN_DEADLINE_FACTOR multiplies it.
        cwd: its working directory.
        env: its whole environment; the caller's own when absent.
        check: raise on a non-zero exit status; the default.
        quiet: do not pass its output on while it runs (the error still shows the last lines).
        split_stderr: keep standard error out of `Completed.stdout`; it is passed on and kept for the error.
        detached: let it write to a file, read for the error alone; for programs whose daemons would hold a pipe open.
        forward: pass its two outputs on to ours of the same name, for a program that the user asked for.
        echo: print the command line first, the default; questions about this machine are not worth a line.
        on_deadline: called after the process group was ended because of the deadline.

    Raises:
        MissingToolError: the program does not exist.
        CommandFailedError: non-zero exit status, with `check`.
        DeadlineError: not ended in time; it has been ended, with its process group.
        Interrupted: the block of `together` that it belongs to was ended.
    """
    cwd, forward, on_deadline = options.get("cwd"), options.get("forward"), options.get("on_deadline")
    timeout_s *= settings.DEADLINE_FACTOR.value()
    words = [os.fspath(word) if isinstance(word, os.PathLike) else str(word) for word in argv]
    if options.get("echo", True):
        report.command(words)
    sink = tempfile.TemporaryFile() if options.get("detached") else None
    go_on()
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env=options.get("env"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if sink is None else sink,
            stderr=subprocess.PIPE if options.get("split_stderr") or forward else subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise CommandFailedError(
                f"cannot start {words[0]}", why=f"its working directory {cwd} does not exist"
            ) from error
        raise MissingToolError(
            f"cannot start {words[0]}",
            why="there is no such program",
            fix="run `invoke doctor` for the line that installs what is missing",
        ) from error
    except OSError as error:
        raise CommandFailedError(f"cannot start {words[0]}", why=str(error), status=126) from error
    blocks = _blocks.get()
    for block in blocks:
        block.running.append(process)
    tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
    kept: List[str] = []
    screen = None if options.get("quiet") else report.stream()
    readers = []
    if process.stdout is not None:
        out = sys.stdout if forward else screen
        readers.append(_in_thread(_read, process.stdout, tail, None if forward else kept, out))
    if process.stderr is not None:
        readers.append(_in_thread(_read, process.stderr, tail, None, sys.stderr if forward else screen))
    try:
        go_on()  # A block that ended meanwhile did not know of this program.
        # With a timeout, `Popen.wait` looks only every 50 ms.
        waiter = _in_thread(process.wait)
        waiter.join(timeout_s)
        late = waiter.is_alive()
        if late:
            _end([process])
            if on_deadline is not None:
                on_deadline()
        go_on()
    except BaseException:
        _end([process])
        raise
    finally:
        for block in blocks:
            block.running.remove(process)
        # A grandchild that left the group can hold the pipe open for ever; what it prints is not waited for.
        for reader in readers:
            reader.join(timeout=2.0)
    if sink is not None:
        with sink:
            sink.seek(0)
            tail.extend(sink.read().decode("utf-8", "replace").splitlines())
    why = f"command: {shlex.join(words)}"
    if late:
        raise DeadlineError(
            f"{Path(words[0]).name} did not end within {timeout_s:g} s and was ended",
            why=why,
            fix="if the machine is just slow, give more time with GLEAN_DEADLINE_FACTOR=2",
            status=124,
            tail=tail,
        )
    if options.get("check", True) and process.returncode != 0:
        raise CommandFailedError(
            f"{Path(words[0]).name} failed with exit status {process.returncode}",
            why=why,
            fix="see its last lines below",
            status=process.returncode,
            tail=tail,
            output="".join(kept),
        )
    return Completed(words, process.returncode, "".join(kept))


@contextmanager
def together() -> Iterator[None]:
    """When an error leaves the block, end the programs that run in it; from then on none starts in it.

    What `side_by_side` does in threads belongs to the block, and so does a block inside.
    """
    own = _Block()
    token = _blocks.set((*_blocks.get(), own))
    try:
        yield
    except BaseException:
        own.ended = True
        _end(list(own.running))
        raise
    finally:
        _blocks.reset(token)


def go_on() -> None:
    """Return if what this thread does is still wanted.

    Raises:
        Interrupted: a block of `together` that this thread is in was ended.
    """
    if any(block.ended for block in _blocks.get()):
        raise Interrupted("ended with the others")


def side_by_side(calls: Sequence[Callable[[], T]], most: Optional[int] = None) -> List[T]:
    """Make calls in threads and return what they return; the first that fails ends the others, with their programs.

    Args:
        calls: each is made in a copy of this thread's context: its progress goes where this one's goes.
        most: how many at a time; as many as there are cores when absent.
    """
    # The pool waits for its threads, and they wait for their programs, so the block has to be inside.
    with ThreadPoolExecutor(max_workers=most or os.cpu_count()) as pool, together():
        futures = [pool.submit(contextvars.copy_context().run, call) for call in calls]
        for future in as_completed(futures):
            future.result()
        return [future.result() for future in futures]


def raise_on_sigterm() -> None:
    """Let SIGTERM unwind the stack like Ctrl-C does, so that children are ended and temporary files removed."""

    def unwind(*_: object) -> None:
        raise Interrupted("ended by SIGTERM")

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, unwind)


def _in_thread(work: Callable[..., object], *given: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=given, daemon=True)
    thread.start()
    return thread


def _read(pipe: IO[bytes], tail: collections.deque[str], kept: Optional[List[str]], screen: Optional[TextIO]) -> None:
    with pipe:
        for raw in pipe:
            text = raw.decode("utf-8", "replace")
            if kept is not None:
                kept.append(text)
            tail.append(text.rstrip("\r\n"))
            if screen is not None:
                screen.write(text)
                screen.flush()


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End programs with their whole process groups: SIGTERM, then SIGKILL after a grace period."""
    for process in processes:
        _signal_group(process.pid, signal.SIGTERM)
    limit = time.monotonic() + GRACE_S
    try:
        for process in processes:
            process.wait(timeout=max(0.0, limit - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
    finally:  # A second Ctrl-C cuts the grace short, not the end.
        for process in processes:
            _signal_group(process.pid, signal.SIGKILL)
        for process in processes:
            process.wait()


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


# Asks the kernel to end a child when its parent dies, so that kill -9 of a run leaves no program behind.
_die_with_parent: Optional[Callable[[], object]] = None
if sys.platform.startswith("linux"):
    _die_with_parent = functools.partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, signal.SIGTERM)


def child_env(changes: Optional[Mapping[str, Optional[str]]] = None) -> Dict[str, str]:
    """Return this process's environment with `changes` applied; a value of None removes the variable."""
    changed = {**os.environ, **(changes or {})}
    return {name: value for name, value in changed.items() if value is not None}
