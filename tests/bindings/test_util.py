"""Small helpers."""

import locale
import os
import platform
import sys

import needs
import pytest

from glean_py import _util, glean


@pytest.mark.parametrize(
    "name, tag",
    [("de_DE", "de-DE"), ("en", "en"), ("zh_Hans_CN", "zh-Hans-CN"), (None, "und"), ("C", "und")],
)
def test_the_locale_is_a_language_tag(monkeypatch, name, tag):
    for variable in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    # Something that isn't plain, so that `locale` is asked.
    monkeypatch.setenv("LANGUAGE", "german")
    for function in ("getdefaultlocale", "getlocale"):
        monkeypatch.setattr(locale, function, lambda *_: (name, "UTF-8"), raising=False)
    assert _util.get_locale_tag() == tag


@needs.posix
@pytest.mark.parametrize(
    "environment, tag",
    [
        ({"LANG": "de_DE.UTF-8"}, "de-DE"),
        ({"LANG": "de_DE", "LC_ALL": "fr_FR.UTF-8"}, "fr-FR"),
        ({"LANG": "de_DE", "LC_CTYPE": "C.UTF-8"}, "und"),
        ({"LANG": "POSIX"}, "und"),
        ({"LANG": "", "LANGUAGE": "it_IT"}, "it-IT"),
        ({}, "und"),
    ],
)
def test_a_plain_locale_of_the_environment_needs_no_import(monkeypatch, environment, tag):
    for variable in ("LC_ALL", "LC_CTYPE", "LANG", "LANGUAGE"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setitem(sys.modules, "locale", None)
    assert _util.get_locale_tag() == tag


def test_the_facts_about_the_machine_are_what_they_are(monkeypatch):
    assert _util.get_architecture() == platform.machine()
    if os.name == "nt":
        # What the kernel says of itself; the rest of it is what the program was made for.
        major, minor, build = sys.getwindowsversion().platform_version  # type: ignore[attr-defined]
        assert _util.get_os_version() == f"{major}.{minor}"
        assert _util.get_windows_build_number() == build > 0
    else:
        assert _util.get_os_version() == platform.release()
        assert _util.get_windows_build_number() is None


@needs.posix
def test_a_translated_program_says_what_the_machine_is(monkeypatch):
    kernel = "Darwin Kernel Version 21.6.0: root:xnu-8020/RELEASE_ARM64_T8101"
    system = os.uname_result(("Darwin", "host", "21.6.0", kernel, "x86_64"))
    monkeypatch.setattr(os, "uname", lambda: system)
    assert (_util.get_architecture(), _util.get_os_version()) == ("arm64", "21.6.0")


def test_the_locale_of_this_machine_is_a_tag():
    assert _util.get_locale_tag().replace("-", "").isalnum()


def test_a_class_can_have_a_property():
    class Example:
        @_util.classproperty
        def name(cls):
            """The name."""
            return cls.__name__  # type: ignore[attr-defined]  # Called with the class.

    assert Example.name == Example().name == "Example"
    assert vars(Example)["name"].__doc__ == "The name."


def test_a_directory_is_removed_whole(tmp_path):
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    assert glean._rmtree(folder) is True
    assert not folder.exists()
    with pytest.raises(FileNotFoundError):
        glean._rmtree(folder)
