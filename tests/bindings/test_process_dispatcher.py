"""Where a process of its own may be started to send what waits, and how that process lives."""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fault_server import FaultServer, answer_late, never_answer
from upload_programs import PREPARE, PROGRAM_S, environment, run_program, waiting_ids

from glean_py import _process_dispatcher
from glean_py._process_dispatcher import ProcessDispatcher, _SyncWorkWrapper

HELPER = Path(_process_dispatcher.__file__).parent / "_subprocess" / "_process_dispatcher_helper.py"


@pytest.fixture(autouse=True)
def no_process(monkeypatch):
    """No process of another test; and this one is no child of a container's first process, whatever runs the tests."""
    monkeypatch.setattr(os, "getppid", lambda: 2)
    monkeypatch.delenv("SYSTEMD_EXEC_PID", raising=False)
    ProcessDispatcher._wait_for_last_process()
    yield
    ProcessDispatcher._wait_for_last_process()


NOTING = """
import json, os
from pathlib import Path
def write_note(path, text):
    Path(path).write_text(json.dumps([text, os.getcwd(), os.environ.get("_GLEAN_PY_CHILD")]), "utf-8")
    return True
"""


@pytest.fixture
def importable(monkeypatch, tmp_path):
    """A function of a module that another process can import: it writes a file and returns True."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "noting.py").write_text(NOTING, "utf-8")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    yield importlib.import_module("noting").write_note
    del sys.modules["noting"]


def test_a_function_runs_in_a_process_of_its_own(importable, tmp_path):
    file = tmp_path / "note"
    process = ProcessDispatcher.dispatch(importable, (str(file), "caf\u00e9 \U0001f600"), cwd=str(tmp_path))
    assert not isinstance(process, _SyncWorkWrapper)
    ProcessDispatcher._wait_for_last_process()
    assert process.returncode == 0
    text, cwd, guard = json.loads(file.read_text("utf-8"))
    assert (text, os.path.realpath(cwd)) == ("caf\u00e9 \U0001f600", os.path.realpath(str(tmp_path)))
    # In that process no other is started.
    assert guard == "1"


@pytest.mark.slow
def test_while_a_process_runs_no_other_is_started(importable, tmp_path):
    first = ProcessDispatcher.dispatch(time.sleep, (1,))
    assert ProcessDispatcher.dispatch(importable, (str(tmp_path / "note"), "x")) is first
    ProcessDispatcher._wait_for_last_process()
    # `sleep` returns None, which is no success.
    assert first.returncode == 1
    assert not (tmp_path / "note").exists()


def test_where_no_process_can_be_started_the_work_is_done_here(importable, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    work = ProcessDispatcher.dispatch(importable, (str(tmp_path / "note"), "here"))
    assert isinstance(work, _SyncWorkWrapper)
    with pytest.raises(RuntimeError, match="wait"):
        assert work.returncode is None
    work.wait()
    assert work.returncode == 0
    assert json.loads((tmp_path / "note").read_text())[0] == "here"
    failed = _SyncWorkWrapper(bool, (0,))
    failed.wait()
    assert failed.returncode == 1


def test_a_process_that_cannot_be_started_is_no_error(importable, tmp_path):
    assert ProcessDispatcher.start(("math", "sqrt"), (), cwd=str(tmp_path / "missing")) is None


def test_this_python_is_one():
    assert _process_dispatcher.find_python() == sys.executable


@pytest.mark.parametrize(
    "name, is_python",
    [
        ("python", True),
        ("python3", True),
        ("python{}.{}".format(*sys.version_info), True),
        ("python{}.{}t".format(*sys.version_info), True),
        ("python{}{}.dll".format(*sys.version_info), False),
        ("Python.exe", True),
        ("pythonw.exe", True),
        ("python3_d.exe", False),
        ("python2.7", False),
        ("python3.99", False),
        ("uwsgi", False),
        ("blender", False),
        ("my-program.exe", False),
        ("pythonista", False),
        ("", False),
    ],
)
def test_a_program_that_is_not_named_like_python_is_not_started(name, is_python):
    assert _process_dispatcher._is_name_of_python(name) is is_python


def test_where_children_end_with_the_program_none_is_started(monkeypatch):
    assert _process_dispatcher.find_python() is not None
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    assert _process_dispatcher.find_python() is None
    # Another process of the same service.
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid() + 1))
    assert _process_dispatcher.find_python() is not None
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert (_process_dispatcher.find_python() is None) == (os.name == "posix")


def test_a_host_that_says_what_it_is_is_not_started(monkeypatch):
    def found(target, name, value):
        with monkeypatch.context() as patched:
            patched.setattr(target, name, value, raising=False)
            return _process_dispatcher.find_python()

    import __main__

    assert found(sys, "frozen", True) is None
    assert found(sys, "_MEIPASS", "/tmp/_MEI1") is None
    assert found(__main__, "__compiled__", object()) is None
    assert found(_process_dispatcher, "__compiled__", object()) is None
    for program in (None, "", "python3", os.path.join(os.sep, "missing", "python3"), os.path.dirname(sys.executable)):
        assert found(sys, "executable", program) is None
    monkeypatch.setitem(sys.modules, "uwsgi", object())
    assert _process_dispatcher.find_python() is None
    monkeypatch.delitem(sys.modules, "uwsgi")
    monkeypatch.setenv("_GLEAN_PY_CHILD", "1")
    assert _process_dispatcher.find_python() is None


@pytest.mark.parametrize(
    "order",
    ["", "no JSON", "[]", "{}", json.dumps({"version": [2, 7, 18], "deadline_s": 1})],
)
def test_an_order_that_is_none_is_refused(order, tmp_path):
    process = subprocess.Popen([sys.executable, "-S", str(HELPER)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    process.communicate(order.encode(), timeout=PROGRAM_S)
    assert process.returncode == 1


def test_a_process_that_hangs_ends_at_its_deadline(tmp_path):
    order = {
        "version": list(sys.version_info[:3]),
        "path": sys.path,
        "module": "time",
        "function": "sleep",
        "arguments": [600],
        "deadline_s": 0.2,
    }
    process = subprocess.Popen([sys.executable, "-S", str(HELPER)], stdin=subprocess.PIPE)
    process.communicate(json.dumps(order).encode(), timeout=PROGRAM_S)
    assert process.returncode == 1


# A program that counts its runs and leaves a ping that its own request does not deliver.
HOST = (
    PREPARE
    + """
from glean_py.net import http_client
with open(str(data_dir) + ".runs", "a") as runs:
    runs.write("run\\n")
{prepare}
start(shutdown_timeout_s=0.5)
custom.submit()
wait_until(lambda: http_client.current()._sockets)
Glean.shutdown()
from glean_py._process_dispatcher import ProcessDispatcher
print("alone" if ProcessDispatcher._last_process is None else "not alone")
"""
)


def run_host(tmp_path, server, prepare, python=sys.executable):
    """Run a program until it ends, and return what it printed and how often its main module ran."""
    script = tmp_path / "host.py"
    script.write_text(HOST.format(prepare=prepare))
    argv = [str(python), str(script), str(tmp_path / "data"), server.endpoint]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    out = subprocess.check_output(
        argv, env=environment(PYTHONPATH=path), stdin=subprocess.DEVNULL, timeout=PROGRAM_S
    ).decode()
    return out.strip(), len((tmp_path / "data.runs").read_text().split())


FROZEN = {
    "PyInstaller": "sys.frozen, sys._MEIPASS = True, str(data_dir)",
    "Nuitka": "__compiled__ = object()",
    "uWSGI": "sys.executable = '/usr/bin/uwsgi'",
    "embedded": "sys.executable = ''",
}


@pytest.mark.parametrize("prepare", FROZEN.values(), ids=list(FROZEN))
def test_a_host_program_sends_in_process_and_its_main_runs_once(tmp_path, prepare):
    with FaultServer(never_answer, never_answer) as server:
        assert run_host(tmp_path, server, prepare) == ("alone", 1)
    assert len(waiting_ids(tmp_path / "data")) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a copy of a Windows Python doesn't find its libraries")
def test_a_python_with_another_name_is_not_started(tmp_path):
    host = tmp_path / "bin" / "my-host"
    host.parent.mkdir()
    host.symlink_to(os.path.realpath(sys.executable))
    with FaultServer(never_answer, never_answer) as server:
        assert run_host(tmp_path, server, "", host) == ("alone", 1)


def test_the_main_module_of_the_program_does_not_run_in_the_process(tmp_path):
    with FaultServer(never_answer, answer_late(0.1)) as server:
        assert run_host(tmp_path, server, "") == ("not alone", 1)
        server.wait_for_accepted(1)
        assert (tmp_path / "data.runs").read_text() == "run\n"


@pytest.mark.parametrize("how", ["-c", "zipapp", "interactive"])
def test_programs_that_have_no_file_have_the_process_as_well(tmp_path, how):
    code = HOST.format(prepare="")
    argv = [sys.executable, "-c", code]
    data = None
    if how == "zipapp":
        import zipapp

        (tmp_path / "app").mkdir()
        (tmp_path / "app" / "__main__.py").write_text(code)
        zipapp.create_archive(str(tmp_path / "app"), str(tmp_path / "app.pyz"))
        argv = [sys.executable, str(tmp_path / "app.pyz")]
    elif how == "interactive":
        (tmp_path / "code.py").write_text(code)
        argv = [sys.executable, "-i", "-q", "-c", "import sys; sys.ps1 = sys.ps2 = ''"]
        data = b"exec(open(%r).read())\n" % str(tmp_path / "code.py")
    with FaultServer(never_answer, answer_late(0.1)) as server:
        argv += [str(tmp_path / "data"), server.endpoint]
        done = subprocess.Popen(argv, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        done.communicate(data, timeout=PROGRAM_S)
        assert done.returncode == 0
        server.wait_for_accepted(1)


def test_the_working_directory_may_change_and_names_need_no_ascii(tmp_path):
    data_dir = tmp_path / "caf\u00e9 dir"
    data_dir.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = """
data_dir = Path("caf\\u00e9 dir")
start(shutdown_timeout_s=0.5)
custom.submit()
from glean_py.net import http_client
wait_until(lambda: http_client.current()._sockets)
os.chdir("elsewhere")
"""
    with FaultServer(never_answer, answer_late(0.1)) as server:
        run_program(tmp_path, server.endpoint, code, cwd=str(tmp_path))
        server.wait_for_accepted(1)
    assert list(elsewhere.iterdir()) == []
