"""glean_steps.archive: harmless archives are unpacked whole, dangerous and damaged ones refused by name and reason."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from glean_steps import archive
from glean_steps.errors import DiskError, MissingArtifactError, UnsafeArchiveError


def write(path: Path, *names: str, mode: int = stat.S_IFREG | 0o644) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name in names:
            member = zipfile.ZipInfo(name)
            member.filename = name  # ZipInfo would correct some of them.
            member.external_attr = mode << 16
            out.writestr(member, name.encode() * 50)
    return path


def test_harmless_archive_is_unpacked_whole_in_place_of_what_was_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", "package/", "package/a.py", "Größe/世界.txt", "...a", "com.txt")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    out = archive.unpack(path, tmp_path / "out")
    files = {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert files == archive.read_members(path) and len(files) == 4
    assert stat.S_IMODE((out / "package" / "a.py").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "name", ["../up", "a/../../up", "/root", "C:/x", "a\\b", "a//b", "./a", "a/.", "a:stream", "what?", "dot.", "sp /x"]
)
def test_name_that_leaves_the_folder_or_is_none_on_windows_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.zip", "good", name)
    with pytest.raises(UnsafeArchiveError, match="leaves the folder, or is none on Windows"):
        archive.unpack(path, tmp_path / "out")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["a/B", "a/b"])
def test_members_that_would_overwrite_each_other_are_refused(tmp_path: Path, other: str) -> None:
    with pytest.raises(UnsafeArchiveError, match="the same file as 'a/b'"):
        archive.read_members(write(tmp_path / "a.zip", "a/b", other))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_link_or_special_file_is_refused(tmp_path: Path, kind: int) -> None:
    with pytest.raises(UnsafeArchiveError, match="'a': it is a link or a special file"):
        archive.read_members(write(tmp_path / "a.zip", "a", mode=kind | 0o644))


def test_archive_that_would_fill_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.zip", "a", "b")
    assert len(archive.read_members(path)) == 2
    for limit in ("MAX_BYTES", "MAX_MEMBERS"):
        with monkeypatch.context() as inner, pytest.raises(UnsafeArchiveError, match="unpacks to more than"):
            inner.setattr(archive, limit, 1)
            archive.read_members(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x7fELF" + bytes(100), b"PK\x03\x04" + bytes(200)])
def test_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(UnsafeArchiveError, match=r"a\.zip was not unpacked"):
        archive.read_members(path)


def test_flipped_byte_is_refused_or_changes_no_content(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", "a")
    whole, right = path.read_bytes(), archive.read_members(path)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            assert list(archive.read_members(path).values()) in ([*right.values()], [])
        except UnsafeArchiveError:
            continue


def test_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match=r"cannot read the archive .*gone\.zip"):
        archive.read_members(tmp_path / "gone.zip")


def test_disk_that_refuses_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError):
        archive.unpack(write(tmp_path / "a.zip", "a"), tmp_path / "file" / "out")
