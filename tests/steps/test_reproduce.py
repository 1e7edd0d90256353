"""glean_steps.reproduce: what differs first in two files, and what a second build is made of."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from glean_steps import pipelines, reproduce
from glean_steps.errors import ReproductionError
from glean_steps.workspace import Workspace


def archive(path: Path, entries: dict[str, str], mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as out:
        for name, text in entries.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            out.writestr(member, text)
    return path


@pytest.mark.parametrize(
    ("again", "said"),
    [
        ({"a": "one", "b": "two!"}, "b differs from byte 3 on"),
        ({"a": "one", "b": "tWo"}, "b differs from byte 1 on"),
        ({"a": "one"}, "b is only in the first one"),
        ({"a": "one", "b": "two", "c": ""}, "c is only in the second one"),
        ({"b": "two", "a": "one"}, "the entries are the same in another order or packing"),
    ],
)
def test_first_difference_is_named(tmp_path: Path, again: dict[str, str], said: str) -> None:
    one = archive(tmp_path / "one.whl", {"a": "one", "b": "two"})
    assert reproduce.first_difference(one, archive(tmp_path / "other.whl", again)) == said


def test_other_mode_and_missing_file_are_named(tmp_path: Path) -> None:
    one = archive(tmp_path / "one.whl", {"a": "one"})
    assert "a has other attributes" in reproduce.first_difference(one, archive(tmp_path / "b.whl", {"a": "one"}, 0o600))
    assert "did not make it" in reproduce.first_difference(one, tmp_path / "none.whl")


def test_second_build_with_other_bytes_exits_29_and_names_the_entry(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = archive(tmp_path / "first" / "a.whl", {"a": "one"})
    built = pipelines.Built(wheel, {"sha256": "12"}, True)
    archive(tmp_path / "again" / "a.whl", {"a": "two"})
    monkeypatch.setattr(pipelines, "make_wheels", lambda targets, ws: [built])
    monkeypatch.setattr(pipelines, "make_sdist", lambda ws: built)
    monkeypatch.setattr(reproduce, "_build_copy", lambda folder, targets, ws: tmp_path / "again")
    with pytest.raises(ReproductionError, match=r"a\.whl") as caught:
        reproduce.run(ws, [])
    assert caught.value.exit_code == 29 and "a differs from byte 0 on" in caught.value.why
    assert ws.stamp(reproduce.STAMP).facts() == {}
    archive(tmp_path / "again" / "a.whl", {"a": "one"})
    reproduce.run(ws, [])
    assert ws.stamp(reproduce.STAMP).facts() == {"a.whl": "12"}


def test_copy_holds_new_files_and_not_ignored_ones(ws: Workspace) -> None:
    (ws.root / ".gitignore").write_text("/dist/\n")
    for name in ("old", "new", "gone", "dist/wheel"):
        (ws.root / name).parent.mkdir(exist_ok=True)
        (ws.root / name).touch()
    subprocess.run(["git", "init", "-q"], cwd=ws.root, check=True)
    subprocess.run(["git", "add", "old", "gone"], cwd=ws.root, check=True)
    (ws.root / "gone").unlink()
    assert reproduce.files(ws) == [".gitignore", "new", "old"]
