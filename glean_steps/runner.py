"""Start programs: the only module that imports subprocess.

Every program gets a deadline, a usable standard input and a process group of its own, so that Ctrl-C, SIGTERM and the
deadline end it with all its children. The last lines of what it printed are kept for the error. A block of `together`
that fails ends its programs, and no others.
"""

from __future__ import annotations

import collections
import contextvars
import ctypes
import os
import select
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
from types import FrameType
from typing import (
    IO,
    TYPE_CHECKING,
    Callable,
    Deque,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Set,
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
    """A block of `together`: the process groups that run in it, and whether it was ended."""

    groups: Set[int] = field(default_factory=set)
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


class RunOptions(TypedDict, total=False):
    """How a program is started; `run` says what each means."""

    cwd: Optional[Path]
    env: Optional[Mapping[str, str]]
    stdin: Optional[str]
    check: bool
    quiet: bool
    split_stderr: bool
    detached: bool
    forward: bool
    echo: bool
    on_deadline: Optional[Callable[[], None]]


class Run(Protocol):
    """The signature of `run`; a test starts nothing and records what it was given."""

    def __call__(self, argv: Sequence[object], *, timeout_s: float, **options: Unpack[RunOptions]) -> Completed: ...


def run(argv: Sequence[object], *, timeout_s: float, **options: Unpack[RunOptions]) -> Completed:
    """Run a program to its end and return what it printed.

    Args:
        argv: the program and its arguments; never a shell line.
        timeout_s: the deadline in seconds; GLEAN_DEADLINE_FACTOR multiplies it.
        cwd: its working directory.
        env: its whole environment; the caller's own when absent.
        stdin: text for its standard input; an empty input when absent.
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
    cwd, env, stdin = options.get("cwd"), options.get("env"), options.get("stdin")
    split_stderr, forward = options.get("split_stderr", False), options.get("forward", False)
    on_deadline = options.get("on_deadline")
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
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE if sink is None else sink,
            stderr=subprocess.PIPE if split_stderr or forward else subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent if _prctl is not None else None,
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
        block.groups.add(process.pid)
    output = _Output(tail=collections.deque(maxlen=TAIL_LINES))
    screen = None if options.get("quiet") else report.stream()
    readers = []
    if process.stdout is not None:
        readers.append(_reader(process.stdout, output, keep=not forward, to=sys.stdout if forward else screen))
    if process.stderr is not None:
        readers.append(_reader(process.stderr, output, keep=False, to=sys.stderr if forward else screen))
    late = False
    try:
        go_on()  # A block that ended meanwhile did not know of this program.
        if stdin is not None and process.stdin is not None:
            _writer(process.stdin, stdin)
        if not _ends_within(process, timeout_s):
            late = True
            _end_group(process)
            if on_deadline is not None:
                on_deadline()
        go_on()
    except BaseException:
        _end_group(process)
        raise
    finally:
        for block in blocks:
            block.groups.discard(process.pid)
        # A grandchild that left the group can hold the pipe open for ever; what it prints is not waited for.
        for reader in readers:
            reader.join(timeout=2.0)
    if sink is not None:
        with sink:
            sink.seek(0)
            output.tail.extend(sink.read().decode("utf-8", "replace").splitlines())
    tail = list(output.tail)
    line = shlex.join(words)
    if late:
        raise DeadlineError(
            f"{Path(words[0]).name} did not end within {timeout_s:g} s and was ended",
            why=f"command: {line}",
            fix="if the machine is just slow, give more time with GLEAN_DEADLINE_FACTOR=2",
            status=124,
            tail=tail,
        )
    if options.get("check", True) and process.returncode != 0:
        raise CommandFailedError(
            f"{Path(words[0]).name} failed with exit status {process.returncode}",
            why=f"command: {line}",
            fix="see its last lines below",
            status=process.returncode,
            tail=tail,
            output="".join(output.kept),
        )
    return Completed(words, process.returncode, "".join(output.kept))


def _ends_within(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Wait for a program; return whether it ended in time. `Popen.wait` looks only every 50 ms."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # Not Linux, or a kernel before 5.3.
        try:
            process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(max(0.0, timeout_s) * 1000):
            return False
    finally:
        os.close(descriptor)
    process.wait()
    return True


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
        _end_groups(list(own.groups))
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


def _end_groups(groups: Sequence[int]) -> None:
    for group in groups:
        _signal_group(group, signal.SIGTERM)
    limit = time.monotonic() + GRACE_S
    try:
        while time.monotonic() < limit and any(_group_lives(group) for group in groups):
            time.sleep(0.05)
    finally:  # A second Ctrl-C cuts the grace short, not the end.
        for group in groups:
            _signal_group(group, signal.SIGKILL)


def raise_on_sigterm() -> None:
    """Let SIGTERM unwind the stack like Ctrl-C does, so that children are ended and temporary files removed."""

    def unwind(signum: int, frame: Optional[FrameType]) -> None:
        raise Interrupted("ended by SIGTERM")

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, unwind)


@dataclass
class _Output:
    tail: Deque[str]
    kept: List[str] = field(default_factory=list)


def _writer(pipe: IO[bytes], text: str) -> None:
    """Write a program's standard input beside it, so that one that does not read it still meets its deadline."""

    def write() -> None:
        try:
            with pipe:
                pipe.write(text.encode())
        except BrokenPipeError:
            pass  # It ended without reading; its exit status tells the rest.

    threading.Thread(target=write, daemon=True).start()


def _reader(pipe: IO[bytes], output: _Output, *, keep: bool, to: Optional[TextIO]) -> threading.Thread:
    def read() -> None:
        with pipe:
            for raw in pipe:
                text = raw.decode("utf-8", "replace")
                if keep:
                    output.kept.append(text)
                output.tail.append(text.rstrip("\r\n"))
                if to is not None:
                    to.write(text)
                    to.flush()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a program with its whole process group: SIGTERM, then SIGKILL after a grace period."""
    _signal_group(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:  # A second Ctrl-C cuts the grace short, not the end.
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _load_prctl() -> Optional[Callable[..., int]]:
    if not sys.platform.startswith("linux"):
        return None
    prctl: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    return prctl


_prctl = _load_prctl()


def _die_with_parent() -> None:
    """Ask the kernel to end this child when its parent dies, so that kill -9 of a run leaves no program behind."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def child_env(changes: Optional[Mapping[str, Optional[str]]] = None) -> Dict[str, str]:
    """Return this process's environment with `changes` applied; a value of None removes the variable."""
    env = dict(os.environ)
    for name, value in (changes or {}).items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env
