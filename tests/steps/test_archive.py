"""glean_steps.archive: harmless archives are unpacked, each kind of hostile one is refused by name and reason."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from glean_steps import archive
from glean_steps.errors import DiskError, MissingArtifactError, UnsafeArchiveError

DEFLATE, STORE = 8, 0


@dataclass
class Entry:
    """One member, written as it says and not as it should be: what is None is what an honest archive has there."""

    name: bytes
    data: bytes = b"content"
    method: int = DEFLATE
    flags: int = 0x800
    mode: int = stat.S_IFREG | 0o644
    size: int | None = None
    packed: bytes | None = None
    crc: int | None = None
    local_name: bytes | None = None
    local_size: int | None = None
    dos_attributes: int = 0
    offset: int | None = None
    gap_after: bytes = b""
    central_extra: bytes = b""


@dataclass
class Archive:
    """A zip archive, byte by byte."""

    entries: list[Entry] = field(default_factory=list)
    prefix: bytes = b""
    suffix: bytes = b""

    def write(self, path: Path) -> Path:
        body, directory = bytearray(self.prefix), bytearray()
        for entry in self.entries:
            packed = entry.packed
            if packed is None:
                packed = entry.data if entry.method == STORE else deflated(entry.data)
            crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
            size = len(entry.data) if entry.size is None else entry.size
            offset = len(body) if entry.offset is None else entry.offset
            local_name = entry.name if entry.local_name is None else entry.local_name
            local_size = size if entry.local_size is None else entry.local_size
            common = (20, entry.flags, entry.method, 0, 0x21, crc, len(packed))
            body += struct.pack("<4s5H3I2H", b"PK\x03\x04", *common, local_size, len(local_name), 0)
            body += local_name + packed + entry.gap_after
            attributes = entry.mode << 16 | entry.dos_attributes
            directory += struct.pack("<4s6H3I", b"PK\x01\x02", 3 << 8 | 20, *common, size)
            directory += struct.pack("<5H2I", len(entry.name), len(entry.central_extra), 0, 0, 0, attributes, offset)
            directory += entry.name + entry.central_extra
        count = len(self.entries)
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
        path.write_bytes(bytes(body + directory + end) + self.suffix)
        return path


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def honest(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("package/", "")
        out.writestr("package/module.py", "x = 1\n" * 1000)
        out.writestr("package/__init__.py", "")
        out.writestr(zipfile.ZipInfo("package/stored.bin"), b"\0\1\2" * 100)
        tool = zipfile.ZipInfo("bin/tool")
        tool.external_attr = (stat.S_IFREG | 0o755) << 16
        out.writestr(tool, b"#!/bin/sh\n")
        out.comment = b"a comment is harmless"
    return path


def test_a_harmless_archive_is_unpacked_whole(tmp_path: Path) -> None:
    into = archive.unpack(honest(tmp_path / "a.zip"), tmp_path / "out")
    assert (into / "package/module.py").read_text() == "x = 1\n" * 1000
    assert (into / "package/stored.bin").read_bytes() == b"\0\1\2" * 100
    assert (into / "package/__init__.py").read_bytes() == b""
    assert stat.S_IMODE((into / "bin/tool").stat().st_mode) == 0o755
    assert stat.S_IMODE((into / "package/module.py").stat().st_mode) == 0o644
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["a.zip", "out"]


def test_an_honest_archive_of_the_tests_own_writer_is_accepted(tmp_path: Path) -> None:
    """Else the hostile ones below could be refused for a mistake of this writer."""
    entries = [Entry(b"a/", b"", mode=stat.S_IFDIR | 0o755, method=STORE), Entry(b"a/b.txt"), Entry("ü".encode())]
    path = Archive(entries).write(tmp_path / "a.zip")
    assert archive.read_members(path) == {"a/b.txt": b"content", "ü": b"content"}


def test_members_written_to_a_pipe_have_data_descriptors_and_are_accepted(tmp_path: Path) -> None:
    class Pipe:
        def __init__(self, path: Path) -> None:
            self.stream = path.open("wb")

        def write(self, data: bytes) -> int:
            return self.stream.write(data)

        def flush(self) -> None:
            self.stream.flush()

    pipe: Any = Pipe(tmp_path / "a.zip")
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("one", b"1" * 99)
        out.writestr("two", b"2" * 99)
    pipe.stream.close()
    assert archive.read_members(tmp_path / "a.zip") == {"one": b"1" * 99, "two": b"2" * 99}


def test_safe_members_keeps_the_order_of_the_directory(tmp_path: Path) -> None:
    names = [member.filename for member in archive.safe_members(honest(tmp_path / "a.zip"))]
    assert names == ["package/", "package/module.py", "package/__init__.py", "package/stored.bin", "bin/tool"]


def test_unpacking_replaces_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    archive.unpack(honest(tmp_path / "a.zip"), tmp_path / "out")
    assert not (tmp_path / "out" / "old").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"../evil", "leaves the folder"),
        (b"a/../../evil", "leaves the folder"),
        (b"a/..", "leaves the folder"),
        (b"/etc/passwd", "absolute"),
        (b"//server/share", "absolute"),
        (b"C:/evil", "drive letter"),
        (b"c:evil", "drive letter"),
        (b"a\\..\\..\\evil", "backslash"),
        (b"\\\\server\\share", "backslash"),
        (b"a.txt\0.exe", "NUL"),
        (b"a//b", "empty part"),
        (b"./a", "empty part"),
        (b"file:stream", "':'"),
        (b"a\nb", "'\\n'"),
        (b"a*", "'*'"),
        (b"name.", "drops the last character"),
        (b"folder /file", "drops the last character"),
        (b"NUL", "device"),
        (b"a/con.txt", "device"),
        (b"COM1", "device"),
    ],
)
def test_a_name_that_is_dangerous_somewhere_is_refused(tmp_path: Path, name: bytes, reason: str) -> None:
    path = Archive([Entry(b"harmless"), Entry(name)]).write(tmp_path / "a.zip")
    refused(path, tmp_path, reason)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", [b"com.txt", b"console", b"nully/x", b"a..b", b"...a", b"auxiliary.h"])
def test_a_name_that_only_looks_dangerous_is_accepted(tmp_path: Path, name: bytes) -> None:
    path = Archive([Entry(name)]).write(tmp_path / "a.zip")
    assert [member.filename for member in archive.safe_members(path)] == [name.decode()]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (Entry(b"link", b"/etc", mode=stat.S_IFLNK | 0o777), "symbolic link"),
        (Entry(b"fifo", mode=stat.S_IFIFO | 0o644), "special file"),
        (Entry(b"device", mode=stat.S_IFBLK | 0o644), "special file"),
        (Entry(b"device", mode=stat.S_IFCHR | 0o644), "special file"),
        (Entry(b"socket", mode=stat.S_IFSOCK | 0o644), "special file"),
        (Entry(b"folder", mode=stat.S_IFDIR | 0o755), "attributes say folder"),
        (Entry(b"folder", mode=0, dos_attributes=0x10), "attributes say folder"),
        (Entry(b"folder/", b"content", mode=0), "file's mode or content"),
        (Entry(b"folder/", b"", mode=stat.S_IFREG | 0o644), "file's mode or content"),
        (Entry(b"secret", flags=0x801), "encrypted"),
        (Entry(b"secret", flags=0x840), "encrypted"),
        (Entry(b"secret", flags=0x2800), "encrypted"),
        (Entry(b"patch", flags=0x820), "patch"),
        (Entry(b"lzma", method=14, packed=b"xxxx"), "method 14"),
    ],
)
def test_a_member_that_is_no_plain_file_is_refused(tmp_path: Path, entry: Entry, reason: str) -> None:
    refused(Archive([entry]).write(tmp_path / "a.zip"), tmp_path, reason)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([b"a", b"a"], "twice"),
        ([b"a/b", b"a/b"], "twice"),
        ([b"Read.me", b"READ.ME"], "one file with"),
        (["straße".encode(), b"STRASSE"], "one file with"),
        (["é".encode(), "e\u0301".encode()], "one file with"),
        ([b"a", b"a/b"], "need a folder"),
        ([b"a/b/c", b"A/B"], "need a folder"),
        ([b"a", b"A/"], "one file with"),
    ],
)
def test_members_that_would_overwrite_one_another_are_refused(tmp_path: Path, names: list[bytes], reason: str) -> None:
    entries = [Entry(name, b"" if name.endswith(b"/") else b"x", mode=0) for name in names]
    refused(Archive(entries).write(tmp_path / "a.zip"), tmp_path, reason)


def test_a_second_name_in_an_extra_field_is_refused(tmp_path: Path) -> None:
    name, other = b"harmless", b"../../evil"
    extra = struct.pack("<HHBI", 0x7075, 5 + len(other), 1, zlib.crc32(name)) + other
    path = Archive([Entry(name, flags=0, central_extra=extra)]).write(tmp_path / "a.zip")
    refused(path, tmp_path, "second name")


def test_a_harmless_extra_field_is_accepted(tmp_path: Path) -> None:
    times = struct.pack("<HHBI", 0x5455, 5, 1, 0)
    path = Archive([Entry(b"harmless", central_extra=times)]).write(tmp_path / "a.zip")
    assert len(archive.safe_members(path)) == 1


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (Entry(b"a", local_name=b"b"), "another name"),
        (Entry(b"a", local_size=99), "another checksum or size"),
        (Entry(b"a", crc=1), "checksum is wrong"),
        (Entry(b"a", b"x" * 50, size=10), "more than the 10 bytes"),
        (Entry(b"a", b"x" * 50, size=90), "holds 50 bytes"),
        (Entry(b"a", method=STORE, size=3), "two different sizes"),
        (Entry(b"a", packed=b"\xff\xff\xff\xff"), "cannot be unpacked"),
        (Entry(b"a", packed=deflated(b"content")[:-2]), "no end"),
        (Entry(b"a", packed=deflated(b"content") + b"hidden"), "after the end of its data"),
        (Entry(b"a", gap_after=b"hidden!"), "belong to no member"),
        (Entry(b"a", offset=5), "overlaps"),
        (Entry(b"a", offset=9_999), "local header is damaged|belong to no member"),
    ],
)
def test_a_member_that_is_not_what_its_headers_claim_is_refused(tmp_path: Path, entry: Entry, reason: str) -> None:
    path = Archive([Entry(b"first"), entry]).write(tmp_path / "a.zip")
    refused(path, tmp_path, reason)


def test_a_size_that_lies_about_a_bomb_is_found_out_while_it_is_read(tmp_path: Path) -> None:
    path = Archive([Entry(b"bomb", bytes(50_000_000), size=100, crc=0)]).write(tmp_path / "a.zip")
    archive.safe_members(path)  # Its claims are harmless; only reading shows the lie.
    refused(path, tmp_path, "more than the 100 bytes")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (archive.Limits(members=2), "3 members"),
        (archive.Limits(total_bytes=2_000_000, ratio=2000), "more than 2,000,000 bytes"),
        (archive.Limits(ratio=100), "more than 100 times"),
    ],
)
def test_a_bomb_is_refused(tmp_path: Path, limits: archive.Limits, reason: str) -> None:
    entries = [Entry(name, bytes(1_500_000)) for name in (b"a", b"b", b"c")]
    path = Archive(entries).write(tmp_path / "a.zip")
    refused(path, tmp_path, reason, limits=limits)


def test_limits_allow_what_they_say(tmp_path: Path) -> None:
    entries = [Entry(name, bytes(1_000_000)) for name in (b"a", b"b", b"c")]
    path = Archive(entries).write(tmp_path / "a.zip")
    assert len(archive.safe_members(path, limits=archive.Limits(members=3, total_bytes=3_000_000))) == 3


def test_members_that_share_their_data_are_refused(tmp_path: Path) -> None:
    """The shape of the best bombs: many members over one block of data."""
    path = Archive([Entry(b"a", bytes(1000)), Entry(b"b", bytes(1000), offset=0)]).write(tmp_path / "a.zip")
    refused(path, tmp_path, "overlaps")


def test_a_member_inside_another_is_refused(tmp_path: Path) -> None:
    inner = Entry(b"in", b"x", method=STORE)
    alone = Archive([inner]).write(tmp_path / "inner.zip").read_bytes()[: 30 + len(b"in") + len(b"x")]
    inner.offset = 30 + len(b"out")
    path = Archive([Entry(b"out", alone, method=STORE), inner]).write(tmp_path / "a.zip")
    refused(path, tmp_path, "overlaps")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (Archive([Entry(b"a")], suffix=b"x"), "after its end"),
        (Archive([Entry(b"a")], suffix=b"PK\x05\x06"), "zip archive|after its end"),
        (Archive([Entry(b"a")], prefix=b"#!/bin/sh\n"), "10 bytes that belong to no member lie first"),
    ],
)
def test_bytes_around_the_archive_are_refused(tmp_path: Path, made: Archive, reason: str) -> None:
    refused(made.write(tmp_path / "a.zip"), tmp_path, reason)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x7fELF" + bytes(100), b"PK\x03\x04" + bytes(200)])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    refused(path, tmp_path, "not a whole zip archive")


def test_an_archive_that_was_cut_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    whole = honest(tmp_path / "whole.zip").read_bytes()
    path = tmp_path / "a.zip"
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        with pytest.raises(UnsafeArchiveError):
            archive.read_members(path)


def test_no_flipped_byte_passes_with_another_content(tmp_path: Path) -> None:
    """Whatever a damaged archive still yields is what it held before; nothing but UnsafeArchiveError is raised."""
    whole = honest(tmp_path / "whole.zip").read_bytes()
    right = archive.read_members(tmp_path / "whole.zip")
    path = tmp_path / "a.zip"
    refusals = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        try:
            assert set(archive.read_members(path).values()) == set(right.values())
        except UnsafeArchiveError:
            refusals += 1
    assert refusals > len(whole) // 2


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match=r"nowhere\.zip"):
        archive.safe_members(tmp_path / "nowhere.zip")


def test_a_disk_that_refuses_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DiskError, match="cannot write"):
        archive.unpack(honest(tmp_path / "a.zip"), tmp_path / "file" / "out")


def refused(path: Path, tmp_path: Path, reason: str, limits: archive.Limits = archive.LIMITS) -> None:
    """Assert that an archive is refused for a reason, and that nothing of it reaches the disk."""
    before = {each for each in tmp_path.rglob("*") if "cache" not in each.parts}
    with pytest.raises(UnsafeArchiveError) as caught:
        archive.unpack(path, tmp_path / "out", limits=limits)
    assert any(part in caught.value.why for part in reason.split("|")), caught.value.why
    assert path.name in caught.value.what
    assert {each for each in tmp_path.rglob("*") if "cache" not in each.parts} == before
