"""Zip archives: names and sizes are checked before anything is unpacked; what is written has the same bytes everywhere.

Whatever is unpacked here was verified by a pinned hash, and a wheel from the index is installed by pip itself. So this
guards against the accidents and attacks that matter then: a file outside of the folder, one file written over another,
and an archive that fills the disk. Damage is found by the checksums, which zipfile compares.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NoReturn

import deflate

from glean_steps import workspace
from glean_steps.errors import MissingArtifactError, UnsafeArchiveError

# The largest wheel in use unpacks to 0.2 GB and has 811 members.
MAX_BYTES = 2_000_000_000
MAX_MEMBERS = 50_000
# What Windows cannot store or reads as something else (Microsoft, "Naming Files").
_BAD_NAME = re.compile(r'[\x00-\x1f<>:"|?*\\]|^/|(^|/)(\.{0,2})(/|$)|[. ](/|$)')


def read_members(path: Path) -> dict[str, bytes]:
    """Return the content of every file in a zip archive, by name.

    Raises:
        MissingArtifactError: there is no such file.
        UnsafeArchiveError: the archive is damaged or must not be unpacked; names the member and the reason.
    """
    with _opened(path) as opened:
        return {member.filename: opened.read(member) for member in _checked(path, opened) if not member.is_dir()}


def unpack(path: Path, into: Path) -> Path:
    """Unpack a zip archive to the folder `into`, whole or not at all, replacing what was there; return it.

    Raises:
        UnsafeArchiveError: the archive is damaged or must not be unpacked; nothing was made.
        DiskError: the disk refused.
    """
    with _opened(path) as opened:
        members = _checked(path, opened)
        with workspace.new_folder(into) as temporary:
            for member in members:
                target = Path(opened.extract(member, temporary))
                if not member.is_dir():
                    os.chmod(target, 0o755 if member.external_attr >> 16 & 0o100 else 0o644)
    return into


def write(path: Path, members: Mapping[str, bytes], moment: time.struct_time) -> None:
    """Write a zip archive of ordinary files, in their order, with one date, for whoever reads it to have mode 644.

    Packed by libdeflate at its best. zipfile packs by the zlib of the machine: 3 % larger, and other bytes where a
    distribution has another zlib. Nothing here is so large that it needs zip64.
    """
    day = (moment.tm_year - 1980) << 9 | moment.tm_mon << 5 | moment.tm_mday
    clock = moment.tm_hour << 11 | moment.tm_min << 5 | moment.tm_sec // 2
    directory = b""
    with open(path, "wb") as out:
        for name, data in members.items():
            encoded, packed = name.encode(), deflate.deflate_compress(data, 12)
            # Version 2.0, names in UTF-8, deflated; what the directory repeats.
            common = struct.pack(
                "<5H3L2H", 20, 0x800, 8, clock, day, zlib.crc32(data), len(packed), len(data), len(encoded), 0
            )
            # Made on Unix, so that the mode is one; no comment, the first disk, binary.
            made, mode = struct.pack("<H", 3 << 8 | 20), (stat.S_IFREG | 0o644) << 16
            rest = struct.pack("<3H2L", 0, 0, 0, mode, out.tell())
            directory += b"PK\x01\x02" + made + common + rest + encoded
            out.write(b"PK\x03\x04" + common + encoded + packed)
        start = out.tell()
        out.write(directory)
        count = len(members)
        out.write(b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, count, count, len(directory), start, 0))


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as opened:
            yield opened
    except FileNotFoundError as error:
        raise MissingArtifactError(
            f"cannot read the archive {path}", why=error.strerror or str(error), fix="check the path"
        ) from error
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, ValueError, struct.error, zlib.error) as error:
        _refuse(path, "", str(error))


def _checked(path: Path, opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the members in the order of the directory, after checking the name, kind and size of each."""
    members = opened.infolist()
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_BYTES:
        _refuse(path, "", f"it unpacks to more than {MAX_MEMBERS:,} files or {MAX_BYTES:,} bytes")
    seen: dict[str, str] = {}
    for member in members:
        name = member.orig_filename
        if _BAD_NAME.search(name.rstrip("/") or name):
            _refuse(path, name, "its name leaves the folder, or is none on Windows")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            _refuse(path, name, "it is a link or a special file")
        key = name.rstrip("/").casefold()
        if key in seen:
            _refuse(path, name, f"on Windows it is the same file as {seen[key]!r}")
        seen[key] = name
    files = {key for key, name in seen.items() if not name.endswith("/")}
    for key in seen:
        if files.intersection(str(parent) for parent in PurePosixPath(key).parents):
            _refuse(path, seen[key], "a file has the name of its folder")
    return members


def _refuse(path: Path, member: str, reason: str) -> NoReturn:
    raise UnsafeArchiveError(
        f"{path.name} was not unpacked",
        why=f"member {member!r}: {reason}" if member else reason,
        fix="do not use this archive; get it again from where it comes from, or report it there",
    )
