"""Where things live, who may write there, and how a step knows that it is up to date."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ContextManager, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set

from glean_steps import project, report, runner, settings
from glean_steps.errors import DiskError

if TYPE_CHECKING:
    from typing_extensions import Unpack

_held: Set[Path] = set()
_mutexes: Dict[Path, threading.RLock] = {}
_mutexes_guard = threading.Lock()


@dataclass(frozen=True)
class Workspace:
    """What every step is given: the folders of one checkout and of the user's cache, and how programs are started.

    Attributes:
        root: the checkout.
        cache: costly things that never change once made, shared by all checkouts of a user.
        start: starts programs, each with a deadline; a test gives another function.
    """

    root: Path
    cache: Path
    start: runner.Run = runner.run

    def run(
        self, argv: Sequence[object], *, timeout_s: float, **options: Unpack[runner.RunOptions]
    ) -> runner.Completed:
        """Run a program to its end, as `runner.run` does."""
        return self.start(argv, timeout_s=timeout_s, **options)

    def locked(self) -> ContextManager[None]:
        """Hold the lock that lets one run at a time write to this checkout."""
        program = Path(sys.argv[0])
        name = program.parent.name if program.name == "__main__.py" else program.name
        # On one line, however many an argument has: it is read in the middle of a sentence.
        words = " ".join([name, *sys.argv[1:]]).split()
        return lock(self.state / "lock", " ".join(words))

    def stamp(self, name: str) -> Stamp:
        """Return the record of a step of this checkout."""
        return Stamp(self.state / "stamps" / f"{name}.json")

    @property
    def state(self) -> Path:
        """What runs write to; private to the checkout."""
        return self.root / ".glean"

    @property
    def dist(self) -> Path:
        """Finished wheels, each audited and proven."""
        return self.root / "dist"

    @property
    def crate(self) -> Path:
        """The Rust crate."""
        return self.root / project.CRATE


def here() -> Workspace:
    """Return the workspace of the checkout that this file belongs to."""
    return Workspace(root=Path(__file__).resolve().parents[1], cache=settings.cache())


# --- locks ------------------------------------------------------------------------------------------------------------


@contextmanager
def lock(path: Path, what: str) -> Iterator[None]:
    """Hold an exclusive lock on `path` for the block; wait for whoever holds it and say for whom.

    The lock belongs to the open file, so the kernel releases it when the process dies, however it dies. The same thread
    may take it again inside the block; another thread of the process waits like another process does.

    Args:
        path: the lock file; made when absent and never removed.
        what: what this run is, for the one that waits.
    """
    with _mutexes_guard:
        mutex = _mutexes.setdefault(path, threading.RLock())
    with mutex:
        if path in _held:
            yield
            return
        with _disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            with _disk(path):
                _wait_for_lock(descriptor, path)
                os.ftruncate(descriptor, 0)
                holder = {"pid": os.getpid(), "what": what, "since": time.strftime("%Y-%m-%d %H:%M:%S")}
                os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            _held.add(path)
            yield
        finally:
            _held.discard(path)
            os.close(descriptor)


def _wait_for_lock(descriptor: int, path: Path) -> None:
    said = float("-inf")
    while True:
        runner.go_on()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        now = time.monotonic()
        if now - said >= 30:
            report.say(f"waiting for {_holder(path)} to end; it holds {path}")
            said = now
        time.sleep(0.1)


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"process {holder['pid']} ({holder['what']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"


# --- files ------------------------------------------------------------------------------------------------------------


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turn what a disk refuses into a DiskError that names the path."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> DiskError:
    """Return the DiskError for an OSError met at `path`."""
    fixes = {
        errno.ENOSPC: "free some space, or point GLEAN_CACHE at another disk",
        errno.EDQUOT: "free some of your quota, or point GLEAN_CACHE at another disk",
        errno.EROFS: "use a checkout and a GLEAN_CACHE on a disk that can be written",
        errno.EACCES: "use a checkout and a GLEAN_CACHE that you may write to",
        errno.EPERM: "use a checkout and a GLEAN_CACHE that you may write to",
    }
    return DiskError(
        f"cannot write {path}",
        why=f"{error.strerror or error} (errno {error.errno})",
        fix=fixes.get(error.errno or 0, "check the disk and the path"),
    )


def new_file(path: Path) -> ContextManager[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an error."""
    return _new(path, is_folder=False)


def new_folder(path: Path) -> ContextManager[Path]:
    """Yield a temporary folder beside `path`; rename it to `path`, in place of what was there, at the end."""
    return _new(path, is_folder=True)


@contextmanager
def _new(path: Path, *, is_folder: bool) -> Iterator[Path]:
    prefix, suffix = f".{path.name}.", f".{os.getpid()}.part"
    with _disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, prefix)
        if is_folder:
            temporary = Path(tempfile.mkdtemp(suffix, prefix, path.parent))
        else:
            descriptor, name = tempfile.mkstemp(suffix, prefix, path.parent)
            os.close(descriptor)
            temporary = Path(name)
    try:
        with _disk(path):
            yield temporary
            os.chmod(temporary, 0o755 if is_folder else 0o644)
            if is_folder and path.exists():
                shutil.rmtree(path)
            os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


def sweep(folder: Path, prefix: str) -> None:
    """Remove unfinished files and folders of processes that no longer live, left behind by kill -9 or a power cut."""
    for left in folder.glob(f"{glob.escape(prefix)}*.part"):
        owner = left.name.split(".")[-2]
        if owner.isdecimal() and not Path("/proc", owner).exists():
            _remove(left)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def mounts_below(folder: Path, table: Path = Path("/proc/self/mountinfo")) -> List[str]:
    """Return where something is mounted below a folder."""
    try:
        lines = table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []  # Not Linux.
    # Spaces and the like are written as a backslash and three octal digits.
    points = [re.sub(r"\\(\d{3})", lambda octal: chr(int(octal.group(1), 8)), line.split()[4]) for line in lines]
    return [point for point in points if folder.resolve() in Path(point).parents]


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _source_files(folder: Path) -> List[Path]:
    """Return the files below a folder in a fixed order, without caches and what was built."""
    ignored = {"__pycache__", "target", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    found: List[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in ignored)
        found.extend(Path(parent, name) for name in sorted(names) if not name.endswith((".pyc", ".so", ".dll")))
    return found


def fingerprint(*parts: object) -> str:
    """Return one SHA-256 over values and files: a Path counts by name and content, a folder by its source files."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            files = _source_files(part) if part.is_dir() else [part]
            for file in files:
                name = file.relative_to(part).as_posix() if part.is_dir() else file.name
                digest.update(f"file {name}\0".encode())
                digest.update(file.read_bytes() if file.exists() else b"absent")
                digest.update(b"\0")
        else:
            digest.update(f"value {json.dumps(part, sort_keys=True, default=str)}\0".encode())
    return digest.hexdigest()


# --- stamps -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stamp:
    """The record of a finished step: what shaped it, what it made, and what it found out.

    A step is up to date when its stamp has the same key and every file it made is still the one it made.
    """

    path: Path

    def is_current(self, key: str) -> bool:
        """Return whether the step was finished with this key and its files are unchanged."""
        record = self._read()
        if record.get("key") != key:
            return False
        files: Mapping[str, List[int]] = record.get("files", {})
        return all(signature(Path(name)) == tuple(seen) for name, seen in files.items())

    def facts(self) -> Dict[str, Any]:
        """Return what the step found out when it was last finished; empty when it never was."""
        return dict(self._read().get("facts", {}))

    def write(self, key: str, *, files: Iterable[Path] = (), facts: Optional[Mapping[str, Any]] = None) -> None:
        """Record that the step is finished."""
        record = {
            "key": key,
            "files": {str(file): list(signature(file) or ()) for file in files},
            "facts": dict(facts or {}),
        }
        write_text(self.path, json.dumps(record, indent=1, sort_keys=True))

    def forget(self) -> None:
        """Remove the record, so that the step runs again."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> Dict[str, Any]:
        try:
            record = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}


def signature(path: Path) -> Optional[tuple[int, int]]:
    """Return size and modification time: enough to notice a file that was replaced, cut or removed, at no cost."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns)


def now() -> float:
    """Return the wall-clock time in seconds since 1970, for stamps that age."""
    return time.time()
