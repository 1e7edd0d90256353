"""Zip archives from elsewhere: what is inside is looked at before anything is written, and counted while it is read.

The headers of an archive are claims. `safe_members` refuses claims that would be dangerous or ambiguous to follow
(APPNOTE 6.3.10 describes them); reading a member refuses the archive as soon as its bytes differ from what was claimed,
so that no limit can be passed by lying about a size.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from glean_steps import workspace
from glean_steps.errors import MissingArtifactError, UnsafeArchiveError


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most; more is taken for a bomb.

    Attributes:
        members: number of entries. The largest archive in use (panda3d's wheel) has 811.
        total_bytes: sum of all unpacked sizes. That wheel has 0.2 GB.
        ratio: unpacked to packed size of one member. Source text reaches 30, tables of zeros 100, deflate ends at 1032.
        ratio_from_bytes: members smaller than this may have any ratio; they cannot do harm.
    """

    members: int = 20_000
    total_bytes: int = 1_000_000_000
    ratio: int = 200
    ratio_from_bytes: int = 1_000_000


LIMITS = Limits()

_BLOCK = 1 << 18
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_END_RECORD_SIZE = 22
_ENCRYPTED_FLAGS = 0x0001 | 0x0040 | 0x2000
_PATCHED_FLAG = 0x0020
_DESCRIPTOR_FLAG = 0x0008
_UTF8_FLAG = 0x0800
_UNICODE_PATH = 0x7075
_DESCRIPTOR_SIZES = frozenset({12, 16, 20, 24})
_SIZE_ELSEWHERE = 0xFFFFFFFF
_DOS_FOLDER = 0x10
# What Windows reserves or reads as something else: alternate streams, wildcards, devices (Microsoft, "Naming Files").
_BAD_CHARACTERS = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])(\..*)?", re.IGNORECASE)


def safe_members(path: Path, *, limits: Limits = LIMITS) -> list[zipfile.ZipInfo]:
    """Return the members of a zip archive, in the order of its directory, after checking every header.

    Refused are: what is no whole zip archive; names that leave the folder, are absolute, hold a drive, a backslash, a
    NUL or what Windows cannot store; two members that would be one file, also on a disk that ignores case; a member
    below one that is a file; symlinks, devices and other special files; encrypted or patched members; compression other
    than deflate; bytes before, between and after what the directory lists; local headers that disagree with it; bombs.

    Raises:
        MissingArtifactError: there is no such file.
        UnsafeArchiveError: names the member and the reason.
    """
    with _opened(path) as stream:
        return _checked(path, stream, limits)


def read_members(path: Path, *, limits: Limits = LIMITS) -> dict[str, bytes]:
    """Return the content of every file in a zip archive, checked like `safe_members` does and while it is read."""
    with _opened(path) as stream:
        return {
            member.filename: b"".join(_content(path, stream, member))
            for member in _checked(path, stream, limits)
            if not member.is_dir()
        }


def unpack(path: Path, into: Path, *, limits: Limits = LIMITS) -> Path:
    """Unpack a zip archive to the folder `into`, replacing what was there; return it.

    The folder appears whole or not at all. Files can be read by everybody, and run where the archive says so.

    Raises:
        UnsafeArchiveError: names the member and the reason; nothing was made.
        DiskError: the disk refused.
    """
    with _opened(path) as stream:
        members = _checked(path, stream, limits)
        with workspace.new_folder(into) as temporary:
            for member in members:
                target = temporary.joinpath(*member.filename.rstrip("/").split("/"))
                if member.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                # "x" never follows or replaces anything: a second line of defence behind the checks of names.
                with open(target, "xb") as out:
                    out.writelines(_content(path, stream, member))
                os.chmod(target, 0o755 if member.external_attr >> 16 & 0o100 else 0o644)
    return into


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        stream = path.open("rb")
    except OSError as error:
        raise MissingArtifactError(
            f"cannot read the archive {path}", why=error.strerror or str(error), fix="check the path"
        ) from error
    with stream:
        yield stream


def _refuse(path: Path, member: str, reason: str) -> NoReturn:
    raise UnsafeArchiveError(
        f"{path.name} was not unpacked",
        why=f"member {member!r}: {reason}" if member else reason,
        fix="do not use this archive; get it again from where it comes from, or report it there",
    )


# --- the directory ----------------------------------------------------------------------------------------------------


def _checked(path: Path, stream: BinaryIO, limits: Limits) -> list[zipfile.ZipInfo]:
    try:
        # Closing a ZipFile over an open stream leaves the stream open.
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            comment_size, directory_start = len(archive.comment), archive.start_dir
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, ValueError, struct.error, OSError) as error:
        _refuse(path, "", f"it is not a whole zip archive: {error}")
    _check_end(path, stream, comment_size)
    if len(members) > limits.members:
        _refuse(path, "", f"it lists {len(members):,} members, more than {limits.members:,}: a bomb")
    for member in members:
        _check_name(path, member)
        _check_kind(path, member)
    _check_collisions(path, members)
    _check_sizes(path, members, limits)
    _check_layout(path, stream, members, directory_start)
    return members


def _check_end(path: Path, stream: BinaryIO, comment_size: int) -> None:
    """Refuse bytes after the archive's end record: another reader could find another end record in them."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _END_RECORD_SIZE - comment_size))
    record = stream.read(_END_RECORD_SIZE)
    if record[:4] != b"PK\x05\x06":
        _refuse(path, "", "there are bytes after its end")
    if record[-2:] != struct.pack("<H", comment_size):
        _refuse(path, "", "it ends inside its comment: it is not whole")


def _check_name(path: Path, member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    if "\0" in name:
        _refuse(path, name, "its name holds a NUL")
    if _UNICODE_PATH in _extra_fields(member.extra) or name != member.filename:
        _refuse(path, name, "an extra field gives it a second name, which some programs would use")
    if "\\" in name:
        _refuse(path, name, "its name holds a backslash, which separates folders on Windows")
    if name.startswith("/"):
        _refuse(path, name, "its name is an absolute path")
    if re.match(r"[A-Za-z]:", name):
        _refuse(path, name, "its name starts with a drive letter")
    bad = _BAD_CHARACTERS.search(name)
    if bad:
        _refuse(path, name, f"its name holds {bad.group()!r}, which Windows cannot store")
    for part in name[:-1].split("/") if name.endswith("/") else name.split("/"):
        if part == "..":
            _refuse(path, name, "its name leaves the folder that it is unpacked to")
        if part in ("", "."):
            _refuse(path, name, "its name has an empty part")
        if part[-1] in ". ":
            _refuse(path, name, f"Windows drops the last character of {part!r}")
        if _DEVICES.fullmatch(part):
            _refuse(path, name, f"{part!r} is a device on Windows")


def _extra_fields(extra: bytes) -> set[int]:
    """Return the numbers of a member's extra fields (APPNOTE 4.5.1: number, size, data)."""
    numbers, position = set(), 0
    while position + 4 <= len(extra):
        number, size = struct.unpack_from("<HH", extra, position)
        numbers.add(number)
        position += 4 + size
    return numbers


def _check_kind(path: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    if member.flag_bits & _ENCRYPTED_FLAGS:
        _refuse(path, name, "it is encrypted")
    if member.flag_bits & _PATCHED_FLAG:
        _refuse(path, name, "it is a patch to another file")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        _refuse(
            path, name, f"it is packed by method {member.compress_type}; only 0 (stored) and 8 (deflate) are used here"
        )
    kind = stat.S_IFMT(member.external_attr >> 16)
    if stat.S_ISLNK(kind):
        _refuse(path, name, "it is a symbolic link")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        _refuse(path, name, f"it is a special file (mode {kind:#o})")
    is_folder = stat.S_ISDIR(kind) or bool(member.external_attr & _DOS_FOLDER)
    if is_folder and not member.is_dir():
        _refuse(path, name, "its attributes say folder, its name says file")
    if member.is_dir() and (stat.S_ISREG(kind) or member.file_size):
        _refuse(path, name, "its name says folder, but it has a file's mode or content")


def _check_collisions(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse members that would overwrite one another, also on Windows, which ignores case."""
    seen: dict[str, str] = {}
    files: dict[str, str] = {}
    folders: set[str] = set()
    for member in members:
        key = _folded(member.filename.rstrip("/"))
        if key in seen:
            same = seen[key] == member.filename
            _refuse(
                path, member.filename, "it is there twice" if same else f"it is one file with {seen[key]!r} on Windows"
            )
        seen[key] = member.filename
        if member.is_dir():
            folders.add(key)
        else:
            files[key] = member.filename
        parts = key.split("/")
        folders.update("/".join(parts[:length]) for length in range(1, len(parts)))
    for key in files.keys() & folders:
        _refuse(path, files[key], "other members need a folder of this name")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _check_sizes(path: Path, members: list[zipfile.ZipInfo], limits: Limits) -> None:
    total = 0
    for member in members:
        total += member.file_size
        if total > limits.total_bytes:
            _refuse(path, member.filename, f"up to it the members take more than {limits.total_bytes:,} bytes: a bomb")
        if member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size:
            _refuse(path, member.filename, "it is stored, yet has two different sizes")
        if member.file_size > max(limits.ratio_from_bytes, limits.ratio * member.compress_size):
            _refuse(
                path,
                member.filename,
                f"{member.compress_size:,} bytes become {member.file_size:,}, "
                f"more than {limits.ratio} times as many: a bomb",
            )


def _check_layout(path: Path, stream: BinaryIO, members: list[zipfile.ZipInfo], directory_start: int) -> None:
    """Compare local headers with the directory, and refuse what overlaps or hides before, between and after members."""
    end, descriptor, previous = 0, False, ""
    for member in sorted(members, key=lambda each: each.header_offset):
        start = member.header_offset
        _check_gap(path, member.filename, start - end, descriptor, previous)
        end = _data_start(path, stream, member) + member.compress_size
        descriptor, previous = bool(member.flag_bits & _DESCRIPTOR_FLAG), member.filename
    _check_gap(path, "", directory_start - end, descriptor, previous)


def _check_gap(path: Path, member: str, gap: int, descriptor: bool, previous: str) -> None:
    if gap == 0 or (descriptor and gap in _DESCRIPTOR_SIZES):
        return
    if gap < 0:
        _refuse(path, member or previous, "it overlaps another member or the directory: a bomb")
    _refuse(
        path, member, f"{gap:,} bytes that belong to no member lie " + (f"after {previous!r}" if previous else "first")
    )


def _data_start(path: Path, stream: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Return where a member's data starts, after comparing its local header with the directory."""
    name = member.filename
    stream.seek(member.header_offset)
    raw = stream.read(_LOCAL_HEADER.size)
    if len(raw) != _LOCAL_HEADER.size or raw[:4] != b"PK\x03\x04":
        _refuse(path, name, "its local header is damaged")
    _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL_HEADER.unpack(raw)
    local_name = stream.read(name_size)
    if local_name != name.encode("utf-8" if member.flag_bits & _UTF8_FLAG else "cp437"):
        _refuse(path, name, f"its local header has another name, {local_name!r}")
    ignored = 0x0006  # How hard the packer tried; some tools write it in one header only.
    if (flags | ignored) != (member.flag_bits | ignored) or method != member.compress_type:
        _refuse(path, name, "its local header has other flags or another method")
    claims = [(crc, member.CRC), (packed, member.compress_size), (size, member.file_size)]
    elsewhere = (0, _SIZE_ELSEWHERE) if flags & _DESCRIPTOR_FLAG else (_SIZE_ELSEWHERE,)
    if any(local != listed and local not in elsewhere for local, listed in claims):
        _refuse(path, name, "its local header has another checksum or size")
    return int(member.header_offset + _LOCAL_HEADER.size + name_size + extra_size)


# --- content ----------------------------------------------------------------------------------------------------------


def _content(path: Path, stream: BinaryIO, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield a member's bytes; refuse it as soon as they are more than claimed, and at the end if fewer or others."""
    count, checksum = 0, 0
    for block in _unpacked(path, stream, member):
        count += len(block)
        if count > member.file_size:
            _refuse(path, member.filename, f"it holds more than the {member.file_size:,} bytes that it claims: a bomb")
        checksum = zlib.crc32(block, checksum)
        yield block
    if count != member.file_size:
        _refuse(path, member.filename, f"it holds {count:,} bytes, not the {member.file_size:,} that it claims")
    if checksum != member.CRC:
        _refuse(path, member.filename, "its checksum is wrong: the archive is damaged")


def _unpacked(path: Path, stream: BinaryIO, member: zipfile.ZipInfo) -> Iterator[bytes]:
    stream.seek(_data_start(path, stream, member))
    left = member.compress_size
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if member.compress_type == zipfile.ZIP_DEFLATED else None
    while left:
        packed = stream.read(min(left, _BLOCK))
        if not packed:
            _refuse(path, member.filename, "the archive ends inside it")
        left -= len(packed)
        if inflate is None:
            yield packed
            continue
        while packed:
            try:
                yield inflate.decompress(packed, _BLOCK)
            except zlib.error as error:
                _refuse(path, member.filename, f"it cannot be unpacked ({error}): the archive is damaged")
            if inflate.unused_data:
                _refuse(path, member.filename, "there are bytes after the end of its data")
            packed = inflate.unconsumed_tail
    if inflate is not None:
        yield inflate.flush()
        if not inflate.eof:
            _refuse(path, member.filename, "its data has no end: the archive is damaged")
