"""Zip archives: names and sizes are checked before anything is read or written.

Whatever is unpacked here was verified by a pinned hash, and a wheel from the index is installed by pip itself. So this
guards against the accidents and attacks that matter then: a file outside of the folder, one file written over another,
and an archive that fills the disk. Damage is found by the checksums, which zipfile compares.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

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
        if _BAD_NAME.search(name.rstrip("/") if name.endswith("/") and name.strip("/") else name):
            _refuse(path, name, "its name leaves the folder, or is none on Windows")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            _refuse(path, name, "it is a link or a special file")
        key = name.rstrip("/").casefold()
        if key in seen:
            _refuse(path, name, f"on Windows it is the same file as {seen[key]!r}")
        seen[key] = name
    files = {key for key, name in seen.items() if not name.endswith("/")}
    for key in seen:
        if files.intersection("/".join(key.split("/")[:depth]) for depth in range(1, key.count("/") + 1)):
            _refuse(path, seen[key], "a file has the name of its folder")
    return members


def _refuse(path: Path, member: str, reason: str) -> NoReturn:
    raise UnsafeArchiveError(
        f"{path.name} was not unpacked",
        why=f"member {member!r}: {reason}" if member else reason,
        fix="do not use this archive; get it again from where it comes from, or report it there",
    )
