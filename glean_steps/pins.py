"""The pinned downloads of pins.toml as typed rows."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from glean_steps import settings
from glean_steps.errors import SettingError, UnknownPythonError
from glean_steps.fetch import Download

PINS = Path(__file__).with_name("pins.toml")


@dataclass(frozen=True)
class WheelPin:
    """A wheel that the package index has: its project, version and hash."""

    project: str
    version: str
    sha256: str


@dataclass(frozen=True)
class PythonRow:
    """One Windows CPython.

    Attributes:
        version: the full version.
        sha256: hash of the embeddable zip, by architecture.
        runtime: the wheel that carries the same minor version's signed runtime, by architecture.
        runtime_version: the exact version of that runtime.
        get_pip: path of get-pip.py below its mirror, and its SHA-256; None where none can be pinned.
        pip: the pip that goes into it.
    """

    version: str
    sha256: Mapping[str, str]
    runtime: Mapping[str, WheelPin]
    runtime_version: str
    get_pip: Optional[Tuple[str, str]]
    pip: WheelPin

    @property
    def minor(self) -> str:
        """The minor version, such as `3.7`."""
        return ".".join(self.version.split(".")[:2])

    @property
    def digits(self) -> str:
        """The minor version as file names have it, such as `37`."""
        return self.minor.replace(".", "")


@dataclass(frozen=True)
class SourcePin:
    """Sources in Debian's archive: their version, path below the archive, and hash."""

    version: str
    path: str
    sha256: str

    def download(self, archive: str) -> Download:
        """Return the file of an archive, which is a base URL."""
        return Download(self.path.rpartition("/")[2], f"{archive.rstrip('/')}/{self.path}", self.sha256)


@dataclass(frozen=True)
class Pins:
    """All of pins.toml.

    Attributes:
        default_python: the version that proves a wheel when none is asked for.
        tested: version and architecture of the Pythons that run the suite beside the default one.
    """

    default_python: str
    mirrors: Mapping[str, str]
    pythons: Tuple[PythonRow, ...]
    tested: Tuple[Tuple[str, str], ...]
    musl_python: SourcePin


def load(path: Path = PINS) -> Pins:
    """Read the pins.

    Raises:
        SettingError: the file is damaged; says where.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        with open(path, "rb") as stream:
            raw: Dict[str, Any] = tomllib.load(stream)
        rows = tuple(_row(item, raw) for item in raw["python"])
        tested = tuple((item["version"], item["arch"]) for item in raw.get("tested", []))
        mirrors = {name: raw["mirrors"][name] for name in ("python", "get_pip")}
        return Pins(raw["default_python"], mirrors, rows, tested, SourcePin(**raw["musl_python"]))
    except (ValueError, KeyError, TypeError) as error:
        raise SettingError(
            f"cannot read {path}", why=f"{type(error).__name__}: {error}", fix="restore it from git"
        ) from error


def _row(item: Mapping[str, Any], raw: Mapping[str, Any]) -> PythonRow:
    if not isinstance(item["version"], str):
        raise TypeError(f"version = {item['version']} of a [[python]] is not a text")
    runtime = item.get("runtime", {})
    pip = item["pip"]
    get_pip = item.get("get_pip")
    return PythonRow(
        version=item["version"],
        sha256=item.get("sha256", {}),
        runtime={
            arch: WheelPin(raw["runtime"]["project"], raw["runtime"]["version"], sha256)
            for arch, sha256 in runtime.items()
            if arch != "version"
        },
        runtime_version=runtime.get("version", ""),
        get_pip=(get_pip["path"], get_pip["sha256"]) if get_pip else None,
        pip=WheelPin("pip", pip["version"], pip["sha256"]),
    )


def find_python(version: Optional[str] = None, pins: Optional[Pins] = None) -> PythonRow:
    """Return the row of a version such as `3.7.9` or `3.7` (the first such row); the default row for None.

    Raises:
        UnknownPythonError: no such row; lists the valid ones.
    """
    pins = pins or load()
    wanted = version or settings.WINDOWS_PYTHON.value() or pins.default_python
    for row in pins.pythons:
        if wanted in (row.version, row.minor):
            return row
    valid = ", ".join(row.version for row in pins.pythons)
    raise UnknownPythonError(
        f"unknown Windows Python {wanted!r}",
        why="no row of glean_steps/pins.toml has this version",
        fix=f"choose one of: {valid} (or a minor version such as {pins.pythons[0].minor})",
    )


def embeddable(row: PythonRow, arch: str, pins: Pins) -> Optional[Download]:
    """Return the embeddable zip of a row, from GLEAN_PYTHON_MIRROR or the pinned mirror; None without any hash."""
    if arch not in row.sha256:
        return None
    base = settings.PYTHON_MIRROR.value() or pins.mirrors["python"]
    name = f"python-{row.version}-embed-{arch}.zip"
    return Download(name, f"{base.rstrip('/')}/{row.version}/{name}", row.sha256[arch])


def get_pip(row: PythonRow, pins: Pins) -> Optional[Download]:
    """Return the get-pip.py of a row, from GLEAN_GET_PIP_MIRROR or the pinned mirror; None where none is pinned."""
    if row.get_pip is None:
        return None
    base = settings.GET_PIP_MIRROR.value() or pins.mirrors["get_pip"]
    path, sha256 = row.get_pip
    return Download(f"get-pip-{row.minor}.py", f"{base.rstrip('/')}/{path}", sha256)


def all_versions() -> List[str]:
    """Return the versions of all rows."""
    return [row.version for row in load().pythons]
