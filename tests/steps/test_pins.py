"""glean_steps.pins: the table of downloads as it is, and what a damaged one does."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from glean_steps import pins
from glean_steps.errors import SettingError, UnknownPythonError
from glean_steps.targets import WINDOWS

ARCHITECTURES = [target.arch for target in WINDOWS]
MINORS = [f"3.{number}" for number in range(7, 15)]
TABLE = pins.load()


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("minor", MINORS)
def test_there_is_a_windows_python_of_every_minor_version_and_architecture(minor: str, arch: str) -> None:
    row = pins.find_python(minor)
    assert row.minor == minor
    download = pins.embeddable(row, arch, TABLE)
    assert download is not None
    assert arch in row.runtime, "nothing would replace it where its server is out of reach"
    assert row.runtime_version.startswith(f"{minor}.")


def test_every_hash_has_the_length_of_its_kind() -> None:
    hashes: list[tuple[str, str, int]] = []
    for row in TABLE.pythons:
        hashes += [(row.version, value, 64) for value in row.sha256.values()]
        hashes += [(row.version, pin.sha256, 64) for pin in [*row.runtime.values(), row.pip]]
        hashes += [(row.version, row.get_pip[1], 64)] if row.get_pip else []
    wrong = [(version, value) for version, value, length in hashes if not re.fullmatch(f"[0-9a-f]{{{length}}}", value)]
    assert wrong == []
    assert len(hashes) > 4 * len(TABLE.pythons)


def test_no_two_files_share_a_hash() -> None:
    """A hash that was copied into the wrong row would."""
    found = [value for row in TABLE.pythons for value in row.sha256.values()]
    found += [pin.sha256 for row in TABLE.pythons for pin in row.runtime.values()]
    assert len(found) == len(set(found))


def test_only_architectures_of_targets_are_pinned() -> None:
    for row in TABLE.pythons:
        assert {*row.sha256, *row.runtime} <= set(ARCHITECTURES), row.version


def test_the_default_and_the_tested_pythons_are_rows() -> None:
    assert pins.find_python().version == TABLE.default_python == "3.7.9"
    for version, arch in TABLE.tested:
        assert pins.find_python(version).version == version and arch in ARCHITECTURES


def test_get_pip_is_pinned_for_ended_pythons_alone() -> None:
    """The script of a living Python changes with each pip, so nothing about it can be pinned."""
    assert [row.version for row in TABLE.pythons if row.get_pip] == ["3.7.9", "3.8.10", "3.9.13"]
    assert pins.get_pip(pins.find_python("3.14"), TABLE) is None


def test_a_python_is_found_by_version_minor_version_setting_and_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pins.find_python("3.13").version == pins.find_python("3.13.16").version == "3.13.16"
    assert pins.find_python("3.7").version == "3.7.9", "the first row of a minor version counts"
    monkeypatch.setenv("GLEAN_WINDOWS_PYTHON", "3.11")
    assert pins.find_python().version == "3.11.9"
    assert pins.find_python("3.8").version == "3.8.10", "what is asked for wins"


@pytest.mark.parametrize("version", ["3.6", "3.7.1", "2.7", "3", "three", "../3.7.9"])
def test_an_unknown_python_lists_the_known_ones(version: str) -> None:
    with pytest.raises(UnknownPythonError, match=re.escape(repr(version))) as caught:
        pins.find_python(version)
    assert caught.value.exit_code == 13
    assert all(known in caught.value.fix for known in pins.all_versions())


def test_an_architecture_without_any_hash_gives_no_download() -> None:
    row = replace(pins.find_python("3.7.9"), sha256={})
    assert pins.embeddable(row, "amd64", TABLE) is None


def test_mirrors_replace_the_servers_and_keep_the_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    row = pins.find_python("3.7.9")
    pinned, script = pins.embeddable(row, "win32", TABLE), pins.get_pip(row, TABLE)
    monkeypatch.setenv("GLEAN_PYTHON_MIRROR", "http://mirror.example/python/")
    monkeypatch.setenv("GLEAN_GET_PIP_MIRROR", "http://mirror.example")
    mirrored, mirrored_script = pins.embeddable(row, "win32", TABLE), pins.get_pip(row, TABLE)
    assert pinned and script and mirrored and mirrored_script
    assert pinned.url.startswith(f"{TABLE.mirrors['python']}/3.7.9/")
    assert mirrored.url == "http://mirror.example/python/3.7.9/python-3.7.9-embed-win32.zip"
    assert mirrored_script.url == "http://mirror.example/pip/3.7/get-pip.py"
    assert (mirrored.digest, mirrored_script.digest) == (pinned.digest, script.digest)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("default_python", "default_piton"),
        ("[[python]]", "[[python"),
        ("pip.version", "pip.wersion"),
        ('[mirrors]\npython = "', '[mirors]\npython = "'),
        ('version = "3.8.10"', "version = 3.8"),
    ],
)
def test_a_damaged_table_says_where(old: str, new: str, tmp_path: Path) -> None:
    text = pins.PINS.read_text()
    assert old in text
    damaged = tmp_path / "pins.toml"
    damaged.write_text(text.replace(old, new))
    with pytest.raises(SettingError, match=re.escape(str(damaged))) as caught:
        pins.load(damaged)
    assert caught.value.exit_code == 27
