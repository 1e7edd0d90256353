"""Nothing is recorded, made, deleted or sent against the user's wish."""

import logging
import subprocess
import sys

import needs
import pytest
from children import wait_until
from conftest import describe, make_ping
from fault_server import FaultServer
from upload_programs import environment, run_program, waiting_ids

from glean_py import Configuration, Glean
from glean_py.metrics import CounterMetricType

RECORD = """
start()
custom.submit()
counter = CounterMetricType(CommonMetricData(
    category="test", name="metric", send_in_pings=["custom"], lifetime=Lifetime.PING, disabled=False))
counter.add()
Glean.handle_client_active()
Glean.set_collection_enabled(False)
Glean.set_collection_enabled(True)
custom.submit()
Glean.shutdown()
"""


def snapshot(folder):
    """Return each file of a folder with its contents and when it was changed."""
    return {str(file): (file.stat().st_mtime, file.is_file() and file.read_bytes()) for file in folder.rglob("*")}


def test_do_not_track_freezes_everything(tmp_path):
    data_dir = tmp_path / "data"
    with FaultServer() as server:
        run_program(data_dir, server.endpoint, RECORD, env={"DO_NOT_TRACK": "1"}, cwd=str(tmp_path))
        assert not data_dir.exists()
        # A data directory with a client id and a waiting ping.
        run_program(data_dir, "", "start()\ncustom.submit()")
        before = snapshot(data_dir)
        assert len(waiting_ids(data_dir)) == 1
        run_program(data_dir, server.endpoint, RECORD, env={"DO_NOT_TRACK": "yes"})
        assert snapshot(data_dir) == before
        assert server.connections == 0
        # The wish ends, and the client is the same.
        run_program(data_dir, server.endpoint, "start()\nwait_until(lambda: not files())", env={"DO_NOT_TRACK": "0"})
        (request,) = server.accepted
        assert request.body["client_info"]["client_id"] == (data_dir / "client_id.txt").read_text()


@pytest.mark.parametrize("wish", ["", "0", "false", "No", "OFF"])
def test_what_means_no_is_no_wish(stopped, tmp_path, monkeypatch, wish):
    monkeypatch.setenv("DO_NOT_TRACK", wish)
    Glean.initialize("glean-tests", "1.0", True, Configuration(), tmp_path / "data")
    wait_until((tmp_path / "data").exists, "the data directory")


@pytest.mark.parametrize("wish", ["1", "true", "yes", "on", "2", "please"])
def test_anything_else_is_one_and_is_told_once(stopped, tmp_path, monkeypatch, caplog, wish):
    monkeypatch.setenv("DO_NOT_TRACK", wish)
    custom = make_ping()
    counter = CounterMetricType(describe())
    with caplog.at_level(logging.INFO, "glean_py"):
        Glean.initialize("glean-tests", "1.0", True, Configuration(server_endpoint="https://server"), tmp_path / "data")
        counter.add()
        custom.submit()
        Glean.shutdown()
    (record,) = caplog.records
    assert (record.levelname, "DO_NOT_TRACK" in record.getMessage()) == ("INFO", True)
    assert not (tmp_path / "data").exists()


def test_children_inherit_the_wish(tmp_path):
    child = tmp_path / "child.py"
    child.write_text(
        "import sys\nfrom pathlib import Path\nfrom glean_py import Glean\n"
        "Glean.initialize('glean-tests', '1.0', True, data_dir=Path(sys.argv[1]))\n"
    )
    code = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))"
    argv = [sys.executable, "-c", code, str(child), str(tmp_path / "data")]
    subprocess.run(argv, env=environment(DO_NOT_TRACK="1"), check=True, timeout=600, stdin=subprocess.DEVNULL)
    assert not (tmp_path / "data").exists()


@needs.posix
def test_do_not_track_works_where_nothing_can_be_written(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    try:
        out = run_program(closed / "data", "https://server", RECORD, env={"DO_NOT_TRACK": "1"})
    finally:
        closed.chmod(0o700)
    assert (out, list(closed.iterdir())) == ("", [])


def test_what_was_recorded_before_consent_is_never_sent(stopped, tmp_path):
    custom = make_ping()
    counter = CounterMetricType(describe("test.metric"))
    counter.add(100)
    with FaultServer() as server:
        configuration = Configuration(server_endpoint=server.endpoint, enable_internal_pings=False)
        Glean.initialize("glean-tests", "1.0", False, configuration, tmp_path)
        counter.add(10)
        custom.submit()
        Glean.set_collection_enabled(True)
        counter.add(1)
        custom.submit()
        (request,) = server.wait_for_accepted(1)
        Glean._reset()
    assert request.body["metrics"]["counter"] == {"test.metric": 1}
    assert len(server.requests) == 1


def test_with_collection_off_a_waiting_ping_is_gone_from_disk_and_queue(stopped, tmp_path):
    custom = make_ping()
    counter = CounterMetricType(describe("test.metric"))
    configuration = Configuration(enable_internal_pings=False)
    Glean.initialize("glean-tests", "1.0", True, configuration, tmp_path)
    counter.add()
    custom.submit()
    counter.add()
    Glean.set_collection_enabled(False)
    with FaultServer() as server:
        configuration.server_endpoint = server.endpoint
        (request,) = server.wait_for_accepted(1)
        Glean._reset()
    assert [request.name for request in server.requests] == ["deletion-request"]
    assert waiting_ids(tmp_path) == waiting_ids(tmp_path, "deletion_request") == []
