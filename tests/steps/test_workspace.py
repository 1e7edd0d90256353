"""glean_steps.workspace: locks between real processes, files that appear whole or not at all, stamps."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable

import pytest

from glean_steps import settings, workspace
from glean_steps.errors import DiskError
from glean_steps.workspace import Stamp

# How long a test waits for what has to happen anyway, on however slow a machine; nothing is asserted about it.
PATIENCE_S = 600.0

HOLD = """\
import sys; from pathlib import Path; from glean_steps import workspace
with workspace.lock(Path(sys.argv[1]), "the other run"):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(checkout: Path) -> Start:
    """Start a Python that runs some code with pipes to and from it."""

    def started(code: str, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-B", "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(checkout)},
        )

    return started


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def dead_pid() -> int:
    """Return the id of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(timeout=PATIENCE_S)
    return ended.pid


# --- where things live ------------------------------------------------------------------------------------------------


def test_the_cache_is_where_it_was_put(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLEAN_CACHE", str(tmp_path / "mine"))
    assert settings.cache() == tmp_path / "mine"
    monkeypatch.delenv("GLEAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert settings.cache() == tmp_path / "xdg/glean-steps"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert settings.cache() == tmp_path / "home/.cache/glean-steps"


def test_here_is_this_checkout(checkout: Path) -> None:
    here = workspace.here()
    assert here.root == checkout
    assert (here.state, here.dist, here.crate) == (checkout / ".glean", checkout / "dist", checkout / "glean_core")


# --- locks ------------------------------------------------------------------------------------------------------------


def test_a_lock_waits_for_its_holder_and_says_who_it_is(start: Start, tmp_path: Path) -> None:
    holder = start(HOLD, tmp_path / "lock")
    assert line(holder) == "held"
    waiter = start(HOLD.replace("the other run", "the waiting run"), tmp_path / "lock")
    assert waiter.stderr is not None
    said = waiter.stderr.readline()
    assert f"waiting for process {holder.pid} (the other run, since " in said and str(tmp_path / "lock") in said
    assert waiter.poll() is None
    assert holder.communicate("\n", timeout=PATIENCE_S)[0] == "released\n"
    assert line(waiter) == "held"
    waiter.communicate("\n", timeout=PATIENCE_S)


def test_a_lock_dies_with_its_holder(start: Start, tmp_path: Path) -> None:
    holder = start(HOLD, tmp_path / "lock")
    assert line(holder) == "held"
    holder.kill()
    holder.communicate(timeout=PATIENCE_S)
    with workspace.lock(tmp_path / "lock", "the next run"):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_lock_is_not_inherited_by_programs_that_outlive_its_holder(start: Start, tmp_path: Path) -> None:
    """A wineserver goes on after its run."""
    code = HOLD.replace(
        '    print("held"',
        "    import subprocess\n"
        '    daemon = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=-3, stderr=-3)\n'
        '    print(daemon.pid, flush=True)\n    print("held"',
    )
    holder = start(code, tmp_path / "lock")
    daemon = int(line(holder))
    try:
        assert line(holder) == "held"
        holder.kill()
        holder.communicate(timeout=PATIENCE_S)
        with workspace.lock(tmp_path / "lock", "the next run"):
            os.kill(daemon, 0)
    finally:
        os.kill(daemon, 9)


def test_a_lock_may_be_taken_again_inside_itself(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with workspace.lock(path, "outer"):
        with workspace.lock(path, "inner"):
            pass
        waiter = start(HOLD, path)
        assert waiter.stderr is not None and "waiting for" in waiter.stderr.readline()
    assert line(waiter) == "held"
    waiter.communicate("\n", timeout=PATIENCE_S)


def test_a_lock_keeps_threads_apart(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(20):
            with workspace.lock(tmp_path / "lock", "a thread"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80 and max(most) == 1


def test_a_lock_is_released_by_an_error(start: Start, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), workspace.lock(tmp_path / "lock", "this run"):
        raise RuntimeError
    other = start(HOLD, tmp_path / "lock")
    assert line(other) == "held"
    other.communicate("\n", timeout=PATIENCE_S)


def test_different_locks_do_not_wait_for_each_other(start: Start, tmp_path: Path) -> None:
    holder = start(HOLD, tmp_path / "one")
    assert line(holder) == "held"
    with workspace.lock(tmp_path / "other", "this run"):
        pass
    holder.communicate("\n", timeout=PATIENCE_S)


def test_the_checkouts_lock_is_in_its_state(ws: workspace.Workspace) -> None:
    with ws.locked():
        assert json.loads((ws.state / "lock").read_text())["pid"] == os.getpid()


def test_a_lock_that_cannot_be_made_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="cannot write"), workspace.lock(tmp_path / "file/lock", "this run"):
        pass


# --- files and folders ------------------------------------------------------------------------------------------------


def test_a_new_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    with workspace.new_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists() and temporary.parent == path.parent
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_new_folder_replaces_the_old_one_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    (path / "old").mkdir(parents=True)
    with workspace.new_folder(path) as temporary:
        (temporary / "new").write_text("")
        assert (path / "old").exists()
    assert [each.name for each in path.iterdir()] == ["new"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert list(tmp_path.glob("*folder*")) + list(tmp_path.glob(".folder*")) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "here" / "file"
    workspace.write_text(path, "old")
    with pytest.raises(error), workspace.new_file(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_folder_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "here" / "folder"
    (path / "old").mkdir(parents=True)
    with pytest.raises(error), workspace.new_folder(path) as temporary:
        (temporary / "half").write_text("")
        raise error
    assert [each.name for each in path.iterdir()] == ["old"] and list(path.parent.iterdir()) == [path]


def test_what_a_disk_refuses_is_a_disk_error_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(DiskError) as caught, workspace.new_file(tmp_path / "file"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(tmp_path / "file") in caught.value.what
    assert "No space left" in caught.value.why and "GLEAN_CACHE" in caught.value.fix
    assert caught.value.exit_code == 18


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO])
def test_every_refusal_of_a_disk_says_what_to_do(number: int, tmp_path: Path) -> None:
    error = workspace.disk_error(OSError(number, os.strerror(number)), tmp_path)
    assert error.fix and f"errno {number}" in error.why


def test_what_killed_runs_left_is_swept_and_what_living_ones_write_is_not(tmp_path: Path) -> None:
    path, pid = tmp_path / "thing", dead_pid()
    (tmp_path / f".thing.aaa.{pid}.part").mkdir()
    (tmp_path / f".thing.aaa.{pid}.part" / "content").write_text("")
    (tmp_path / f".thing.bbb.{pid}.part").write_text("")
    living = [
        tmp_path / f".thing.ccc.{os.getpid()}.part",
        tmp_path / f".other.ddd.{pid}.part",
        tmp_path / ".thing.part",
    ]
    for each in living:
        each.write_text("")
    with workspace.new_folder(path):
        pass
    left = {each for each in tmp_path.iterdir() if each.name.endswith(".part")}
    assert left == set(living)


@pytest.mark.parametrize("make", ["new_file", "new_folder"])
def test_a_killed_run_leaves_something_that_the_next_run_sweeps(start: Start, tmp_path: Path, make: str) -> None:
    code = (
        "import sys; from pathlib import Path; from glean_steps import workspace\n"
        f"with workspace.{make}(Path(sys.argv[1])) as temporary:\n"
        "    print(temporary, flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    path = tmp_path / "here" / "thing"
    killed = start(code, path)
    temporary = Path(line(killed))
    killed.kill()
    killed.communicate(timeout=PATIENCE_S)
    assert temporary.exists() and not path.exists()
    start(code, path).communicate("\n", timeout=PATIENCE_S)
    assert list(path.parent.iterdir()) == [path]


# --- fingerprints and stamps ------------------------------------------------------------------------------------------


def test_a_fingerprint_changes_with_whatever_shapes_a_result(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.py").write_text("a")

    def now() -> str:
        return workspace.fingerprint("1.0", {"b": 1, "a": 2}, folder, tmp_path / "single")

    seen = [now()]
    changes: list[Callable[[], object]] = [
        lambda: (folder / "a.py").write_text("b"),
        lambda: (folder / "sub/new.rs").write_text(""),
        lambda: (folder / "a.py").rename(folder / "c.py"),
        (folder / "c.py").unlink,
        lambda: (tmp_path / "single").write_text(""),
        lambda: (tmp_path / "single").write_text("x"),
    ]
    for change in changes:
        change()
        seen.append(now())
    assert len(set(seen)) == len(seen)
    assert workspace.fingerprint("1.0") != workspace.fingerprint("1.1")
    assert workspace.fingerprint("a", "b") != workspace.fingerprint("ab")


def test_a_fingerprint_ignores_what_does_not_shape_a_result(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.py").write_text("a")
    before = workspace.fingerprint(folder, {"a": 1, "b": 2})
    os.utime(folder / "a.py", (1, 1))
    for name in ("__pycache__/a.pyc", "target/debug/x", "glean_core.dll", "a.pyc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    assert workspace.fingerprint(folder, {"b": 2, "a": 1}) == before


def test_a_stamp_is_current_until_key_or_files_change(tmp_path: Path) -> None:
    made, stamp = tmp_path / "made", Stamp(tmp_path / "stamps" / "step.json")
    assert not stamp.is_current("key") and stamp.facts() == {}
    made.write_text("made")
    stamp.write("key", files=[made], facts={"name": "made", "seconds": 1.5})
    assert stamp.is_current("key") and not stamp.is_current("other key")
    assert stamp.facts() == {"name": "made", "seconds": 1.5}
    made.write_text("cut")
    assert not stamp.is_current("key")
    stamp.write("key", files=[made])
    assert stamp.is_current("key")
    os.utime(made, (1, 1))
    assert not stamp.is_current("key"), "another file of the same size"
    stamp.write("key", files=[made])
    made.unlink()
    assert not stamp.is_current("key")


def test_a_stamp_over_a_file_that_was_never_made_is_not_current(tmp_path: Path) -> None:
    stamp = Stamp(tmp_path / "step.json")
    stamp.write("key", files=[tmp_path / "never"])
    assert not stamp.is_current("key")


def test_a_forgotten_stamp_is_not_current(tmp_path: Path) -> None:
    stamp = Stamp(tmp_path / "step.json")
    stamp.write("key")
    assert stamp.is_current("key")
    stamp.forget()
    stamp.forget()
    assert not stamp.is_current("key")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"key": 1}', "\x00"])
def test_a_damaged_stamp_only_means_that_the_step_runs_again(content: str, tmp_path: Path) -> None:
    stamp = Stamp(tmp_path / "step.json")
    stamp.path.write_text(content)
    assert not stamp.is_current("key")
    assert stamp.facts() == {}
    stamp.write("key")
    assert stamp.is_current("key")


def test_a_hash_is_that_of_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    expected = subprocess.run(
        ["sha256sum", tmp_path / "file"], capture_output=True, text=True, check=True, timeout=1800
    )
    assert workspace.file_sha256(tmp_path / "file") == expected.stdout.split()[0]


def test_what_is_mounted_below_a_folder_is_found(tmp_path: Path) -> None:
    table, below = tmp_path / "mountinfo", tmp_path / "a root"
    lines = [
        f"1 2 0:1 / {str(point).replace(' ', chr(92) + '040')} rw - tmpfs x rw"
        for point in (Path("/"), below / "home", below, tmp_path / "a roots" / "x")
    ]
    table.write_text("\n".join(lines))
    assert workspace.mounts_below(below, table) == [str(below / "home")]
