"""A host that removes our files, closes our descriptors, or has files that another version wrote."""

import contextlib
import os
import shutil

import needs
import pytest
from children import IS_WINDOWS, count, run, start, total_sent

pytestmark = pytest.mark.core

# Does what it is told: `add N` records, `send` submits and waits, `value` tells what is stored, `end` ends.
OBEDIENT = """
initialize()
say("started")
while True:
    words = hear().split()
    if words[0] == "add":
        for _ in range(int(words[1])):
            counter.add()
    elif words[0] == "send":
        custom.submit()
        counter.test_get_value()
    elif words[0] == "value":
        counter.test_get_value()
    else:
        break
    say("done")
"""


def obedient(data_dir, code=OBEDIENT):
    child = start(data_dir, code)
    assert child.hear() == "started"
    return child


def tidy_up(data_dir, what):
    """Remove what a tidy-up takes for useless. Windows keeps open files, and a thread may make one meanwhile."""
    db = data_dir / "db"
    if what == "folder":
        shutil.rmtree(str(db), ignore_errors=True)
        return
    if what == "base":
        (db / "base").unlink()
        return
    for file in db.glob("*.lock"):
        if what == "locks" or file.name != "glean.lock":
            try:
                file.unlink()
            except OSError:
                assert IS_WINDOWS


@pytest.mark.parametrize("is_killed", [False, True], ids=["ending", "killed"])
@pytest.mark.parametrize("what", ["lock of the process", "locks"])
def test_a_living_process_whose_locks_are_removed_counts_once(tmp_path, what, is_killed):
    data_dir = tmp_path / "data"
    with obedient(data_dir) as first:
        first.ask("add 5")
        first.ask("value")
        first.ask("add 5")
        tidy_up(data_dir, what)
        # Another process comes, and goes.
        with obedient(data_dir) as other:
            other.ask("add 100")
            other.ask("send")
            other.ask("add 100")
            first.ask("add 10")
            first.ask("send")
            first.ask("add 10")
            other.ask("send")
            other.say("end")
            other.finish()
        tidy_up(data_dir, what)
        first.ask("add 10")
        if is_killed:
            first.kill()
        else:
            first.say("end")
            first.finish()
    assert count(data_dir) == 240


@pytest.mark.parametrize("is_killed", [False, True], ids=["ending", "killed"])
@pytest.mark.parametrize("what", ["folder", "base"])
def test_a_living_process_whose_values_are_removed_counts_nothing_twice(tmp_path, what, is_killed):
    """Lost may be what the removed files held, and what is recorded before somebody finds out."""
    data_dir = tmp_path / "data"
    with obedient(data_dir) as first:
        first.ask("add 5")
        first.ask("send")
        first.ask("add 5")
        tidy_up(data_dir, what)
        with obedient(data_dir) as other:
            other.ask("add 1000")
            other.ask("send")
            # This process finds out at the latest when it is asked.
            first.ask("value")
            first.ask("add 10000")
            first.ask("send")
            first.ask("add 10000")
            other.ask("add 1000")
            other.say("end")
            other.finish()
        if is_killed:
            # A getter waits until no call is in memory only.
            first.ask("value")
            first.kill()
        else:
            first.say("end")
            first.finish()
    assert 22005 <= count(data_dir) <= 22010


@pytest.mark.parametrize("ends", ["ending", "killed", "forking"])
@needs.posix
def test_a_host_that_closes_all_descriptors_keeps_what_it_opens_then(tmp_path, ends):
    """As programs do that become daemons."""
    data_dir = tmp_path / "data"
    code = """
    initialize()
    counter.add(5)
    counter.test_get_value()
    counter.add(5)
    os.closerange(3, 256)
    own = [open(str(DATA_DIR.parent / f"own{number}"), "w+") for number in range(20)]
    identities = [os.fstat(file.fileno()).st_ino for file in own]
    for file in own:
        file.write("the host's own")
        file.flush()
    if sys.argv[2] == "forking":
        child = os.fork()
        if child:
            os._exit(os.waitpid(child, 0)[1] >> 8)
    # Enough for new segments.
    for number in range(2000):
        counter.add()
        counter.add(0)
        custom.set_enabled(True)
    custom.submit()
    counter.test_get_value()
    counter.add(100)
    say("recorded")
    hear()
    if sys.argv[2] != "killed":
        Glean.shutdown()
    for file, identity in zip(own, identities):
        assert os.fstat(file.fileno()).st_ino == identity
        file.seek(0)
        assert file.read() == "the host's own"
    say("checked")
    hear()
    """
    with start(data_dir, code.replace("sys.argv[2]", repr(ends))) as child:
        assert child.hear() == "recorded"
        # Another process finds it living.
        run(data_dir, "initialize()\ncounter.add(1000)\ncustom.submit()\ncounter.test_get_value()")
        assert child.ask("check") == "checked"
        if ends == "killed":
            child.kill()
        else:
            child.finish()
    for number in range(20):
        assert (tmp_path / f"own{number}").read_text() == "the host's own"
    assert count(data_dir) == 3110


@needs.linux
def test_a_host_without_standard_streams_gets_none_of_our_files_for_them(tmp_path):
    data_dir = tmp_path / "data"
    code = """
    import fcntl
    lowest = os.open(str(DATA_DIR.parent / "told"), os.O_WRONLY | os.O_CREAT)
    told = os.fdopen(fcntl.fcntl(lowest, fcntl.F_DUPFD, 10), "w")
    os.close(lowest)
    initialize()
    counter.add(5)
    custom.submit()
    counter.test_get_value()
    counter.add(2)
    for number in range(3):
        try:
            os.write(number, b"a message of a library")
        except OSError:
            pass
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + name)
        except OSError:
            continue
        if str(DATA_DIR) + "/" in target and int(name) < 3:
            told.write(f"{name} is {target}\\n")
    told.write("end\\n")
    """
    closing = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    with start(data_dir, code, prefix=closing) as child:
        child.wait()
    assert (tmp_path / "told").read_text() == "end\n"
    for file in data_dir.rglob("*"):
        assert not file.is_file() or b"a message of a library" not in file.read_bytes()
    assert count(data_dir) == 7


def test_a_journal_of_another_format_is_kept_for_a_version_that_reads_it(tmp_path):
    data_dir = tmp_path / "data"
    with obedient(data_dir) as child:
        # The base with the client id is saved by now, and none is until there is a ping.
        child.ask("value")
        child.ask("add 100")
        child.kill()
    (journal,) = (data_dir / "db").glob("*.log")
    content = journal.read_bytes()
    assert content[:7] == b"GLEANL0", "the first bytes of a journal name its format"
    journal.write_bytes(b"GLEANL99" + content[8:])
    code = """
    import logging
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="logged: %(message)s")
    initialize()
    counter.add(5)
    custom.submit()
    counter.test_get_value()
    """
    said = run(data_dir, code)
    assert total_sent(data_dir) == 5
    assert any(line.startswith("logged: ") and journal.name in line for line in said), said
    kept = [file for file in data_dir.rglob("*") if file.is_file() and file.read_bytes()[8:] == content[8:]]
    assert len(kept) == 1, f"{journal.name} is gone"
    # The version that wrote it comes back.
    kept[0].unlink()
    journal.write_bytes(content)
    assert count(data_dir) == 105


@pytest.mark.parametrize("ends", ["exit", "shutdown"])
def test_an_end_cuts_no_file_that_others_may_have_mapped(tmp_path, ends):
    data_dir = tmp_path / "data"
    end = "Glean.shutdown()\n" if ends == "shutdown" else ""
    with obedient(data_dir, OBEDIENT + end) as child:
        child.ask("add 100")
        child.ask("send")
        child.ask("add 10")
        # On Windows a file that somebody has open cannot be cut in any case.
        with contextlib.ExitStack() as opened:
            journals = [opened.enter_context(file.open("rb")) for file in (data_dir / "db").glob("*.log")]
            assert journals
            sizes = [os.fstat(file.fileno()).st_size for file in journals]
            child.say("end")
            child.finish()
            assert [os.fstat(file.fileno()).st_size for file in journals] == sizes
    assert count(data_dir) == 110
