"""The installed package: where it comes from, what it holds, what it says when it is broken."""

import copy
import importlib
import logging
import pickle
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from conftest import describe

import glean_py
from glean_py import Glean, _ffi, _uniffi, metrics, net, testing
from glean_py.metrics import CounterMetricType

PACKAGE = Path(glean_py.__file__).resolve().parent
CHECKOUT = Path(__file__).resolve().parent.parent.parent


def test_the_package_comes_from_site_packages():
    assert PACKAGE.parent.name in ("site-packages", "dist-packages")
    assert CHECKOUT / "glean_py" != PACKAGE


def test_the_version_of_the_library_is_that_of_the_distribution():
    assert list(PACKAGE.parent.glob(f"glean_py-{glean_py.__version__}.dist-info"))


def test_the_package_holds_one_library_and_no_build_script():
    libraries = [file.name for file in PACKAGE.iterdir() if file.suffix in (".so", ".dll", ".dylib", ".pyd")]
    assert libraries == [Path(_ffi._library_path()).name]
    assert not (PACKAGE / "ffi_build.py").exists()
    assert (PACKAGE / "py.typed").exists()


def test_importing_is_light():
    # Each of these costs as much as all the rest of the import; what needs one imports it when called.
    heavy = (
        "cffi dataclasses datetime glean_parser inspect json logging pathlib platform re shutil subprocess tempfile "
    )
    heavy += "threading typing uuid yaml"
    code = (
        "import sys; before = set(sys.modules); import glean_py; from glean_py.metrics import *;"
        "print(sorted((set(sys.modules) - before) & set(sys.argv[1:])))"
    )
    command = [sys.executable, "-W", "error", "-c", code, *heavy.split()]
    assert subprocess.check_output(command, stderr=subprocess.STDOUT, timeout=600).strip() == b"[]"


def test_everything_that_is_promised_can_be_imported():
    for module in (glean_py, metrics, net, testing, _uniffi):
        assert sorted(module.__all__) == sorted(set(module.__all__))
        for name in module.__all__:
            if name not in ("load_metrics", "load_pings"):
                assert getattr(module, name) is not None
                assert name in dir(module)
    for name in ("datetime", "event", "labeled", "object", "ping", "string", "timespan", "timing_distribution", "url"):
        assert getattr(metrics, name) is importlib.import_module(f"glean_py.metrics.{name}")
    for name in ("base_uploader", "http_client", "ping_upload_worker", "ping_uploader"):
        assert getattr(net, name) is importlib.import_module(f"glean_py.net.{name}")
    with pytest.raises(AttributeError):
        glean_py.nonsense  # type: ignore[attr-defined]  # noqa: B018 - the access is the test
    with pytest.raises(AttributeError):
        metrics.NonsenseMetricType  # type: ignore[attr-defined]  # noqa: B018 - the access is the test


def test_subinterpreters_work_or_are_told_why_not(tmp_path):
    interpreters = None
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters = importlib.import_module(name)
            break
        except ImportError:
            pass
    if interpreters is None or sys.version_info < (3, 10):
        pytest.skip("this Python has no module for subinterpreters")
    code = """
import sys
sys.path[:] = {path!r}
import json
try:
    import glean_py
    from glean_py.metrics import CommonMetricData, CounterMetricType, Lifetime
    CounterMetricType(CommonMetricData(
        category="", name="name", send_in_pings=["custom"], lifetime=Lifetime.PING, disabled=False)).add()
    said = "works"
except ImportError as error:
    said = str(error)
with open({file!r}, "w") as file:
    file.write(said)
"""
    said = []
    for number, create in enumerate(
        [lambda: interpreters.create("isolated"), lambda: interpreters.create("legacy")]
        if sys.version_info >= (3, 13)
        else [lambda: interpreters.create(isolated=True), lambda: interpreters.create(isolated=False)]
    ):
        file = tmp_path / str(number)
        interpreter = create()
        interpreters.run_string(interpreter, code.format(path=sys.path, file=str(file)))
        interpreters.destroy(interpreter)
        said.append(file.read_text())
    own_lock, shared_lock = said
    assert shared_lock == "works"
    assert own_lock == "works" or "PEP 684" in own_lock and "main interpreter" in own_lock


@pytest.mark.parametrize("is_free_threaded, expected", [(0, "pip install cffi\\.$"), (1, "pip install cffi; .* 3.14t")])
def test_a_missing_cffi_is_an_import_error_with_the_fix(monkeypatch, is_free_threaded, expected):
    monkeypatch.setitem(sys.modules, "_cffi_backend", None)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: is_free_threaded)
    with pytest.raises(ImportError, match=expected):
        _ffi._load_declarations()


def test_a_missing_library_is_an_import_error_with_the_fix(tmp_path):
    with pytest.raises(ImportError, match="does not exist.*force-reinstall"):
        _ffi._load_library(_ffi.ffi, tmp_path / "glean_core.dll")


def test_a_damaged_library_is_an_import_error_with_the_fix(tmp_path):
    library = tmp_path / "glean_core.dll"
    library.write_bytes(b"no library")
    with pytest.raises(ImportError, match="cannot load.*force-reinstall"):
        _ffi._load_library(_ffi.ffi, library)


def test_a_library_of_another_interface_is_an_import_error_with_the_fix(monkeypatch):
    monkeypatch.setattr(_ffi, "ABI_VERSION", 999)
    with pytest.raises(ImportError, match="needs 999.*force-reinstall"):
        _ffi._load_library(_ffi.ffi, _ffi._library_path())


def test_missing_declarations_are_an_import_error_with_the_fix(monkeypatch):
    monkeypatch.setitem(sys.modules, "glean_py._glean_ffi", None)
    with pytest.raises(ImportError, match="force-reinstall"):
        _ffi._load_declarations()
    assert importlib.import_module("glean_py._ffi") is _ffi


def test_a_destroyed_handle_is_refused_and_logged(ping, caplog):
    counter = CounterMetricType(describe())
    _ffi.lib.glean_metric_destroy(counter._handle)
    with caplog.at_level(logging.ERROR, "glean_py"):
        counter.add()
    assert "handle" in caplog.text
    with pytest.raises(RuntimeError, match="handle"):
        counter.test_get_value()
    counter._handle = 0


def test_metrics_and_pings_are_not_copied(running):
    for value in (CounterMetricType(describe()), running):
        for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="another one"):
                duplicate(value)


def test_metrics_can_come_and_go_without_end(ping):
    for _ in range(3000):
        CounterMetricType(describe("test.metric")).add()
    assert CounterMetricType(describe("test.metric")).test_get_value() == 3000


def test_the_configuration_is_unknown_before_the_first_initialize(stopped, monkeypatch):
    monkeypatch.delattr(Glean, "_configuration", raising=False)
    with pytest.raises(AttributeError):
        Glean.configuration  # noqa: B018 - the access is the test
