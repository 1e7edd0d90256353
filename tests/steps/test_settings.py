"""glean_steps.settings: every variable has a type, and the tables of the documentation follow from the entries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from glean_steps import settings
from glean_steps.errors import SettingError


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GLEAN_DEADLINE_FACTOR", "abc"),
        ("GLEAN_DEADLINE_FACTOR", "0"),
        ("GLEAN_DEADLINE_FACTOR", "nan"),
        ("GLEAN_FETCH_TIMEOUT", "-1"),
        ("GLEAN_WINE_TIMEOUT", "inf"),
        ("GLEAN_INSTALL", "nevr"),
    ],
)
def test_value_that_cannot_be_used_ends_with_27_and_says_what_the_variable_is(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingError, match=f"{name}='{text}' cannot be used") as caught:
        settings.check()
    assert caught.value.exit_code == 27 and "correct or unset it" in caught.value.fix


@pytest.mark.parametrize("entry", settings.entries(), ids=lambda entry: entry.name)
def test_unset_and_empty_variables_have_their_default(
    entry: settings.Setting[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(entry.name, raising=False)
    assert entry.value() == entry.default
    monkeypatch.setenv(entry.name, "")
    assert entry.value() == entry.default


@pytest.mark.parametrize(("text", "expected"), [("", False), ("0", False), ("1", True), ("yes", True)])
def test_a_switch(text: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_OFFLINE", text)
    assert settings.OFFLINE.value() is expected


def test_misspelt_variable_is_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_DEADLINE_FAKTOR", "2")
    (line,) = settings.check()
    assert line == "GLEAN_DEADLINE_FAKTOR is set, but nothing reads it; GLEAN_DEADLINE_FACTOR?"


def test_cache_is_chosen_by_its_variable_then_by_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLEAN_CACHE", str(tmp_path / "mine"))
    assert settings.cache() == tmp_path / "mine"
    monkeypatch.delenv("GLEAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert settings.cache() == tmp_path / "xdg" / "glean-steps"


def test_table_of_contributing_is_made_of_the_entries(checkout: Path) -> None:
    text = (checkout / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(GLEAN_\w+)` \| (.*) \|$", text, re.MULTILINE)
    assert rows == [(entry.name, entry.meaning) for entry in settings.entries()]


def test_no_other_module_reads_a_variable_of_the_project(checkout: Path) -> None:
    """But for those that read it as one program for another; settings.py names them."""
    readers = r"""(?:environ\.get\(|environ\[|getenv\()\s*["'](GLEAN_\w+)"""
    found = {
        (path.name, name)
        for path in (checkout / "glean_steps").glob("*.py")
        for name in re.findall(readers, path.read_text(encoding="utf-8"))
        if name not in settings.INTERNAL
    }
    assert found == set()
