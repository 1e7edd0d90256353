"""Small helpers."""

import locale

import pytest

from glean_py import _util, glean


@pytest.mark.parametrize(
    "name, tag",
    [("de_DE", "de-DE"), ("en", "en"), ("zh_Hans_CN", "zh-Hans-CN"), (None, "und"), ("C", "und")],
)
def test_the_locale_is_a_language_tag(monkeypatch, name, tag):
    for function in ("getdefaultlocale", "getlocale"):
        monkeypatch.setattr(locale, function, lambda *_: (name, "UTF-8"), raising=False)
    assert _util.get_locale_tag() == tag


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
