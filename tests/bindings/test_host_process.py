"""What the process that Glean lives in keeps: its signals, its forks, its exits."""

import os
import signal
from textwrap import dedent

import needs
import pytest
from children import Held, count, run, start, total_sent, wait_until

# Keeps a thread of Glean at work for as long as somebody holds the lock of the directory.
WITH_A_THREAD = """
initialize()
counter.test_get_value()
say("started")
hear()
counter.add()
custom.submit()
"""


@needs.linux
def test_a_signal_that_the_host_waits_for_reaches_it(tmp_path):
    data_dir = tmp_path / "data"
    code = """
    import signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    say("waiting")
    for _ in range(2):
        got = signal.sigtimedwait({signal.SIGTERM, signal.SIGUSR1}, 60)
        say("nothing" if got is None else got.si_signo)
    """
    with start(data_dir, WITH_A_THREAD + dedent(code)) as child:
        child.hear()
        with Held(data_dir):
            assert child.ask("go") == "waiting"
            os.kill(child.pid, signal.SIGTERM)
            assert child.hear() == str(int(signal.SIGTERM))
            os.kill(child.pid, signal.SIGUSR1)
            assert child.hear() == str(int(signal.SIGUSR1))
        child.finish()


def signals_of(status, field):
    """Return the set of signals in a field of /proc/<id>/status."""
    (line,) = [line for line in status.splitlines() if line.startswith(field + ":")]
    mask = int(line.split()[1], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def signals_that_nobody_blocks():
    """Return SIGKILL, SIGSTOP, and those that the C library, or an emulator, keeps for itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set(range(1, 65)) - set(range(32, signal.SIGRTMIN)))
    try:
        with open("/proc/thread-self/status") as status:
            return set(range(1, 65)) - signals_of(status.read(), "SigBlk")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@needs.linux
def test_no_thread_of_ours_takes_a_signal(tmp_path):
    data_dir = tmp_path / "data"
    with start(data_dir, WITH_A_THREAD + "say('recorded')\nhear()\n") as child:
        child.hear()
        with Held(data_dir):
            assert child.ask("go") == "recorded"
            tasks = f"/proc/{child.pid}/task"
            threads = [thread for thread in os.listdir(tasks) if int(thread) != child.pid]
            assert threads, "no thread waits for the lock, so this test shows nothing"
            never = signals_that_nobody_blocks()
            # Raised by what a thread does itself; blocking them changes nothing.
            own = {
                signal.SIGBUS,
                signal.SIGFPE,
                signal.SIGILL,
                signal.SIGSEGV,
                signal.SIGTRAP,
                signal.SIGSYS,
                signal.SIGABRT,
            }
            for thread in threads:
                with open(f"{tasks}/{thread}/status") as status:
                    taken = set(range(1, 65)) - signals_of(status.read(), "SigBlk") - never - own
                assert taken == set()
        child.say("end")
        child.finish()


@needs.linux
@pytest.mark.parametrize("action", ["default", "ignored", "handled"])
def test_signal_handlers_of_the_host_stay_as_they_are(tmp_path, action):
    code = """
    import ctypes, signal
    chosen = {"default": signal.SIG_DFL, "ignored": signal.SIG_IGN, "handled": lambda *_: None}[ACTION]
    for number in [signal.SIGBUS, signal.SIGSEGV, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD, signal.SIGUSR1]:
        signal.signal(number, chosen)

    def actions():
        # The handler, and the flags behind a mask of 128 bytes.
        found = []
        for number in range(1, 32):
            space = ctypes.create_string_buffer(256)
            ctypes.CDLL(None).sigaction(number, None, space)
            found.append(space.raw[:8] + space.raw[136:140])
        return found

    before = actions()
    initialize()
    counter.add()
    custom.submit()
    counter.test_get_value()
    Glean.shutdown()
    say([number + 1 for number, (old, new) in enumerate(zip(before, actions())) if old != new])
    """
    assert run(tmp_path / "data", f"ACTION = {action!r}\n" + dedent(code)) == ["[]"]


def test_what_the_last_exit_handlers_record_is_there_at_the_next_start(tmp_path):
    data_dir = tmp_path / "data"
    code = """
    import atexit

    @atexit.register
    def last():
        counter.add(100)
        custom.submit()
        counter.add(10)

    initialize()
    counter.add()
    """
    run(data_dir, code)
    run(data_dir, "initialize()\ncounter.test_get_value()")
    assert total_sent(data_dir) == 101
    assert count(data_dir) == 111


def test_what_exit_handlers_record_after_a_shutdown_is_dropped(tmp_path):
    """Who said that nothing is to be recorded any more, is obeyed."""
    data_dir = tmp_path / "data"
    run(data_dir, "import atexit\natexit.register(counter.add)\ninitialize()\ncounter.add(5)\nGlean.shutdown()")
    assert count(data_dir) == 5


@pytest.mark.slow
@needs.linux
def test_generations_of_forks_inherit_nothing_but_the_last_one(tmp_path):
    data_dir = tmp_path / "data"
    code = """
    def inherited():
        own = str(DATA_DIR) + "/"
        descriptors = 0
        for name in os.listdir("/proc/self/fd"):
            try:
                descriptors += own in os.readlink("/proc/self/fd/" + name)
            except OSError:
                pass
        with open("/proc/self/maps") as maps:
            return descriptors, sum(own in line for line in maps)

    initialize()
    for generation in range(30):
        counter.add()
        if generation % 3 == 0:
            custom.submit()
        if generation % 5 == 0:
            counter.test_get_value()
        if generation in (3, 29):
            # Some are Glean's own and come and go; on a busy machine they go late. What was inherited stays.
            fewest, deadline = inherited(), time.monotonic() + 60
            for look in range(10_000):
                fewest = tuple(map(min, fewest, inherited()))
                is_enough = generation == 3 or all(now <= then + 1 for now, then in zip(fewest, third))
                if look >= 100 and is_enough or time.monotonic() > deadline:
                    break
                time.sleep(0.01)
            third = fewest
            say(*fewest)
        child = os.fork()
        if child:
            status = os.waitpid(child, 0)[1]
            Glean._reset()
            os._exit(status >> 8)
    """
    third, last = [[int(word) for word in line.split()] for line in run(data_dir, code)]
    assert last[0] <= third[0] + 1
    assert last[1] <= third[1] + 1
    assert count(data_dir) == 30


@needs.fork
def test_children_that_never_record_hold_nothing_of_their_parent(tmp_path):
    """A server whose workers outlive it: its next start finds no trace of a living process."""
    data_dir = tmp_path / "data"
    code = """
    initialize()
    counter.add(5)
    worker = os.fork()
    if worker == 0:
        os.close(0)
        os.close(1)
        time.sleep(600)
        os._exit(0)
    say(worker)
    """
    with start(data_dir, code) as child:
        worker = int(child.hear())
        try:
            child.finish()
            assert count(data_dir) == 5
            # Files of a process that is over go.
            assert list((data_dir / "db").glob("*.lock")) in ([], [data_dir / "db" / "glean.lock"])
        finally:
            os.kill(worker, signal.SIGKILL)


@needs.fork
@needs.linux
def test_a_process_at_rest_has_no_thread_so_that_python_does_not_warn_of_a_fork(tmp_path):
    data_dir = tmp_path / "data"
    code = """
    import warnings
    warnings.simplefilter("error")
    initialize()
    counter.add()
    custom.submit()
    counter.test_get_value()
    say("recorded")
    hear()
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    counter.add()
    """
    with start(data_dir, code) as child:
        assert child.hear() == "recorded"
        wait_until(
            lambda: len(os.listdir(f"/proc/{child.pid}/task")) == 1, "the end of Glean's thread", child, within_s=30
        )
        child.say("fork")
        child.finish()
    assert count(data_dir) == 2
