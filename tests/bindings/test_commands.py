"""`python -m glean_py status | show | send | purge`: what somebody sees and does without the program."""

import json
import os
import subprocess
import sys

import pytest
from fault_server import FaultServer, answer, never_answer
from upload_programs import accepted_ids, environment, run_program, start_program, waiting_ids

from glean_py import __main__ as command_line


def run_command(*arguments, status=0, env=None):
    """Run a command in a process of its own and return what it printed."""
    argv = [sys.executable, "-W", "error", "-m", "glean_py", *[str(argument) for argument in arguments]]
    done = subprocess.run(
        argv,
        env=environment(**(env or {})),
        cwd=os.path.dirname(sys.executable),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
        check=False,
    )
    out = done.stdout.decode("utf-8")
    assert done.returncode == status, out
    return out


def see(capsys, *arguments, status=0):
    """Run a command that changes nothing in this process and return what it printed."""
    assert command_line.main([str(argument) for argument in arguments]) == status
    printed = capsys.readouterr()
    return printed.out if status == 0 else printed.err


@pytest.fixture
def waiting(tmp_path):
    """A data directory in which three pings wait."""
    run_program(tmp_path, "", "start()\nfor _ in range(3):\n    custom.submit()")
    assert len(waiting_ids(tmp_path)) == 3
    return tmp_path


def snapshot(folder):
    return {str(file): (file.stat().st_mtime, file.is_file() and file.read_bytes()) for file in folder.rglob("*")}


def test_status_tells_what_waits_and_changes_nothing(waiting, capsys):
    before = snapshot(waiting)
    lines = see(capsys, "status", waiting).splitlines()
    assert lines[0] == "collection: on, by the program"
    assert lines[1] == "client id: " + (waiting / "client_id.txt").read_text()
    assert lines[2].startswith("waiting: 3 pings, ")
    assert sorted(line.split()[2] for line in lines[3:6]) == waiting_ids(waiting)
    assert lines[6:] == ["back-off: none", "last results: none"]
    assert snapshot(waiting) == before


def test_status_tells_which_switch_turned_collection_off(waiting, capsys, monkeypatch):
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    assert see(capsys, "status", waiting).startswith("collection: off, by DO_NOT_TRACK in the environment\n")
    monkeypatch.delenv("DO_NOT_TRACK")
    run_program(waiting, "", "start()\nGlean.set_collection_enabled(False)\nGlean.shutdown()")
    out = see(capsys, "status", waiting)
    assert out.startswith("collection: off, by the program\nclient id: none\nwaiting: 1 ping,")
    assert "deletion-request" in out


def test_show_prints_what_would_be_sent(waiting, capsys):
    shown = json.loads(see(capsys, "show", waiting))
    assert sorted(ping["document_id"] for ping in shown["waiting"]) == waiting_ids(waiting)
    assert {ping["ping"] for ping in shown["waiting"]} == {"custom"}
    assert sorted(ping["body"]["ping_info"]["seq"] for ping in shown["waiting"]) == [0, 1, 2]
    assert shown["waiting"][0]["path"].startswith("/submit/glean-tests/custom/1/")


def test_send_sends_what_waits_and_tells_what_came_of_it(waiting, capsys):
    ids = waiting_ids(waiting)
    with FaultServer(answer(200), answer(404)) as server:
        out = run_command("send", waiting, "--endpoint", server.endpoint)
        assert sorted(line.split()[0] for line in out.splitlines()[:3]) == ids
        assert out.splitlines()[3] == "0 pings left"
        assert accepted_ids(server)[0] in ids
    assert waiting_ids(waiting) == []
    results = see(capsys, "status", waiting)
    assert "custom  200" in results


def test_send_tells_what_is_left_and_fails(waiting):
    with FaultServer(answer(503)) as server:
        out = run_command("send", waiting, "--endpoint", server.endpoint, status=1)
    assert out.replace("\r\n", "\n").count("  custom  503\n") == 3
    assert out.splitlines()[-1].startswith("3 pings left; after failures there is a pause until ")
    assert len(waiting_ids(waiting)) == 3


def test_send_respects_the_wish_of_the_user(waiting):
    with FaultServer() as server:
        out = run_command("send", waiting, "--endpoint", server.endpoint, status=1, env={"DO_NOT_TRACK": "1"})
        assert "DO_NOT_TRACK" in out
        assert server.connections == 0


def test_purge_deletes_pings_but_no_requests_for_deletion(waiting, capsys):
    run_program(waiting, "", "start()\nGlean.set_collection_enabled(False)\nGlean.set_collection_enabled(True)\n")
    run_program(waiting, "", "start()\ncustom.submit()")
    assert see(capsys, "purge", waiting) == "1 ping deleted\n"
    assert waiting_ids(waiting) == []
    assert len(waiting_ids(waiting, "deletion_request")) == 1
    assert see(capsys, "purge", waiting) == "0 pings deleted\n"


def test_commands_work_beside_a_running_program(tmp_path, capsys):
    code = "start(shutdown_timeout_s=0.1)\ncustom.submit()\ncustom.submit()\nsys.stdin.readline()\ncustom.submit()"
    with FaultServer(never_answer) as server:
        program = start_program(tmp_path, server.endpoint, code)
        server.wait_for(lambda server: server.requests)
        assert "waiting: 2 pings" in see(capsys, "status", tmp_path)
        assert len(json.loads(see(capsys, "show", tmp_path))["waiting"]) == 2
        run_command("purge", tmp_path)
        program.communicate(b"end\n", timeout=600)
        assert program.returncode == 0


@pytest.mark.parametrize("command", [("status",), ("show",), ("purge",), ("send", "--endpoint", "https://server")])
def test_a_directory_of_something_else_is_refused_and_left_alone(tmp_path, capsys, command):
    (tmp_path / "file").write_text("text")
    for directory in (tmp_path, tmp_path / "missing"):
        message = see(capsys, command[0], directory, *command[1:], status=1)
        assert message.startswith(f"error: {directory} is no data directory of Glean")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
