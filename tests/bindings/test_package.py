"""The installed package: where it comes from, what it holds, what it says when it is broken."""

import importlib
import logging
import re
import sys
from pathlib import Path

import pytest
from conftest import describe

import glean_py
from glean_py import Glean, _ffi
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
    assert libraries == [_ffi._library_path().name]
    assert not (PACKAGE / "ffi_build.py").exists()
    assert (PACKAGE / "py.typed").exists()


def test_importing_is_light():
    # These cost as much as all the rest of the import; what needs them imports them when called.
    source = (PACKAGE / "_ffi.py").read_text() + (PACKAGE / "glean.py").read_text()
    top_level = re.findall(r"^(?:import|from) (\S+)", source, re.MULTILINE)
    assert not {"platform", "tempfile", "shutil", "subprocess", "importlib.metadata"} & set(top_level)


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
    _ffi.destroy("counter", counter._handle)
    with caplog.at_level(logging.ERROR, "glean_py"):
        counter.add()
    assert "no handle" in caplog.text
    with pytest.raises(RuntimeError, match="no handle"):
        counter.test_get_value()
    counter._handle = 0


def test_metrics_can_come_and_go_without_end(ping):
    for _ in range(3000):
        CounterMetricType(describe()).add()
    assert CounterMetricType(describe()).test_get_value() == 3000


def test_the_configuration_is_unknown_before_the_first_initialize(stopped, monkeypatch):
    monkeypatch.setattr(Glean, "_configuration", None)
    with pytest.raises(AttributeError):
        Glean.configuration  # noqa: B018 - the access is the test
