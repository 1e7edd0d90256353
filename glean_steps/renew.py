"""Checks every pin of pins.toml against its server, and offers newer versions of pip.

A file whose version is fixed must never change: another hash is an alarm and is not written down. Only pip, of which a
newer version is another file with a name of its own, is renewed, and only when asked to.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from glean_steps import fetch, pins, report, roots, runner, settings, workspace
from glean_steps.errors import DownloadError, OfflineError, SettingError, StepError, WrongHashError
from glean_steps.fetch import Download, Patience
from glean_steps.pins import Pins, PythonRow, WheelPin
from glean_steps.targets import WINDOWS, Target
from glean_steps.workspace import Workspace

PIP_S = 300.0


@dataclass(frozen=True)
class Finding:
    """What was found out about one pin.

    Attributes:
        row: which pin it is.
        pinned: the pinned hash or version.
        found: what the server has; empty when it was not asked or did not answer.
        verdict: in a word or a few.
        alarm: the server has another file under the same name.
        newer: for pip alone, the version that can take the pinned one's place, with its hash.
        python: the version of the Windows Python that the pin of pip belongs to.
    """

    row: str
    pinned: str
    found: str
    verdict: str
    alarm: bool = False
    newer: Optional[WheelPin] = None
    python: str = ""


def run(
    ws: Workspace,
    *,
    write: bool,
    path: Path = pins.PINS,
    patient: Optional[Patience] = None,
    archive: Optional[str] = None,
) -> List[Finding]:
    """Check every pin, print the table, and with `write` write newer versions of pip into the file of pins.

    Args:
        archive: the base URL of Debian's archive; the one that apt uses here when None.

    Raises:
        OfflineError: GLEAN_OFFLINE is set.
        WrongHashError: a server has another file than the pinned one; shows both hashes, and nothing was written.
    """
    if settings.OFFLINE.value():
        raise OfflineError(
            "the pins cannot be checked",
            why="GLEAN_OFFLINE is set, so no server is asked",
            fix="run it without GLEAN_OFFLINE",
        )
    table = pins.load(path)
    with report.step("check every pin against its server"):
        sources = _check_sources(table, archive, patient, ws)
        findings = [*check_files(table, patient), sources, *check_wheels(table, ws)]
    alarms = [finding for finding in findings if finding.alarm]
    renewed = [finding for finding in findings if finding.newer is not None]
    writes = bool(write and renewed and not alarms)
    if writes:
        with ws.locked():
            write_pips(path, {finding.python: finding.newer for finding in renewed if finding.newer is not None})
    _print(findings, path, renewed, writes)
    if alarms:
        raise WrongHashError(
            f"{len(alarms)} pinned files are not what their servers have now",
            why="; ".join(f"{one.row}: found {one.found}, pinned is {one.pinned}" for one in alarms),
            fix="find out who changed them and why; a hash of a fixed version is never renewed here",
        )
    return findings


def _print(findings: Sequence[Finding], path: Path, renewed: Sequence[Finding], written: bool) -> None:
    table = report.Table(f"Pins of {path}", ("row", "pinned", "found", "verdict"))
    table.rows = [[finding.row, finding.pinned, finding.found or "-", finding.verdict] for finding in findings]
    if written:
        table.notes.append(f"written: {len(renewed)} newer pips; run `nox -s build_windows` to prove with them")
    elif renewed:
        table.notes.append("nothing is written; `invoke pins --write` takes the newer pips")
    table.print()


# --- files of fixed name: embeddable zips, get-pip --------------------------------------------------------------------


def check_files(table: Pins, patient: Optional[Patience] = None) -> List[Finding]:
    """Download each embeddable zip and get-pip.py once and compare its hash; a host out of reach is asked once."""
    downloads: Dict[str, Tuple[str, Download]] = {}
    for row in table.pythons:
        for target in WINDOWS:
            zipped = pins.embeddable(row, target.arch, table)
            if zipped is not None:
                downloads.setdefault(zipped.url, (zipped.name, zipped))
    for row in table.pythons:
        script = pins.get_pip(row, table)
        if script is not None:
            downloads.setdefault(script.url, (f"get-pip.py for {row.minor}", script))
    unreachable: Dict[str, str] = {}
    return [_check_file(name, download, unreachable, patient) for name, download in downloads.values()]


def _check_sources(table: Pins, archive: Optional[str], patient: Optional[Patience], ws: Workspace) -> Finding:
    """Check the sources of the CPython for musl in Debian's archive."""
    name, pin = f"CPython {table.musl_python.version}, sources", table.musl_python
    try:
        base = archive or roots.mirror(ws)
    except StepError as error:
        return Finding(name, f"sha256 {pin.sha256}", "", f"kept: {error.what}")
    return _check_file(name, pin.download(base), {}, patient)


def _check_file(name: str, download: Download, unreachable: Dict[str, str], patient: Optional[Patience]) -> Finding:
    pinned = f"sha256 {download.digest}"
    host = urlsplit(download.url).netloc
    if host in unreachable:
        return Finding(name, pinned, "", f"kept: {unreachable[host]}")
    with tempfile.TemporaryDirectory(prefix="glean-pins-") as scratch:
        file = Path(scratch, download.name)
        try:
            fetch.fetch_into(download, file, patient or fetch.patience())
        except DownloadError as error:
            if " answered HTTP " in error.why:  # The server is there, and only this file is not.
                return Finding(name, pinned, "", f"kept: {error.why}")
            unreachable[host] = f"out of reach ({host})"
            return Finding(name, pinned, "", f"kept: {unreachable[host]}")
        found = workspace.file_sha256(file)
    if found != download.digest:
        return Finding(name, pinned, f"sha256 {found}", "CHANGED", alarm=True)
    return Finding(name, pinned, "the same", "right")


# --- wheels of the package index --------------------------------------------------------------------------------------


def check_wheels(table: Pins, ws: Workspace) -> List[Finding]:
    """Ask the package index, through pip, for each pinned wheel's hash and for the newest pip of each Python."""
    questions: List[Callable[[], Finding]] = []
    for row in table.pythons:
        questions.append(lambda row=row: _check_pip(row, ws))  # type: ignore[misc]
        for target in WINDOWS:
            pin = row.runtime.get(target.arch)
            if pin is not None:
                questions.append(lambda row=row, target=target, pin=pin: _check_runtime(row, target, pin, ws))  # type: ignore[misc]
    return runner.side_by_side(questions, 2)


def _check_runtime(row: PythonRow, target: Target, pin: WheelPin, ws: Workspace) -> Finding:
    name = f"{pin.project} {pin.version} for {row.minor} {target.arch}"
    return _compare(name, pin, _index(f"{pin.project}=={pin.version}", row, target, ws))


def _check_pip(row: PythonRow, ws: Workspace) -> Finding:
    """Compare the pinned pip, then look for a newer one that this very Python can run."""
    name = f"pip for {row.version}"
    pinned = _compare(name, row.pip, _index(f"pip=={row.pip.version}", row, WINDOWS[0], ws))
    if pinned.alarm:
        return pinned
    newest = _index("pip", row, WINDOWS[0], ws)
    if isinstance(newest, str) or newest.version == row.pip.version or not newest.sha256:
        return pinned
    verdict = f"newer: {newest.version}"
    return Finding(name, row.pip.version, newest.version, verdict, newer=newest, python=row.version)


def _compare(name: str, pin: WheelPin, answer: WheelPin | str) -> Finding:
    pinned = f"sha256 {pin.sha256}"
    if isinstance(answer, str):
        return Finding(name, pinned, "", f"kept: {answer}")
    if not answer.sha256:
        return Finding(name, pinned, "", "kept: the index tells no hash")
    if answer.sha256 != pin.sha256:
        return Finding(name, pinned, f"sha256 {answer.sha256}", "CHANGED", alarm=True)
    return Finding(name, pinned, "the same", "right")


def _index(requirement: str, row: PythonRow, target: Target, ws: Workspace) -> WheelPin | str:
    """Return the wheel that pip would install into a Windows Python, or why it would not; nothing is installed."""
    report.say(f"  asking the index for {requirement}, Python {row.minor} {target.arch}")
    with tempfile.TemporaryDirectory(prefix="glean-pins-") as scratch:
        argv = [
            *(
                sys.executable,
                "-m",
                "pip",
                "install",
                "--dry-run",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
            ),
            *("--ignore-installed", "--no-deps", "--only-binary=:all:", "--implementation", "cp"),
            *("--platform", target.platform_tag, "--python-version", row.minor),
            *("--target", Path(scratch, "target"), "--report", Path(scratch, "report.json"), requirement),
        ]
        try:
            done = ws.run(argv, timeout_s=PIP_S, check=False, quiet=True, echo=False)
            if done.status != 0:
                return _reason(done.stdout)
            answer = json.loads(Path(scratch, "report.json").read_text(encoding="utf-8"))
            (item,) = answer["install"]
            return WheelPin(item["metadata"]["name"], item["metadata"]["version"], _sha256(item["download_info"]))
        except StepError as error:
            return error.what
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"pip's report cannot be read ({type(error).__name__}: {error})"


def _sha256(info: Mapping[str, Any]) -> str:
    """Return the hash of a wheel in pip's report: the index's, or that of the file where it lies in a folder."""
    told = info.get("archive_info", {}).get("hashes", {}).get("sha256")
    if told:
        return str(told)
    parts = urlsplit(str(info.get("url", "")))
    file = Path(url2pathname(parts.path))
    return workspace.file_sha256(file) if parts.scheme == "file" and file.is_file() else ""


def _reason(output: str) -> str:
    """Return pip's own reason, in one line: its last one says only that there is no matching distribution."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("connection" in line.lower() or "Max retries" in line for line in lines):
        return "out of reach (the package index)"
    errors = [line.partition("ERROR:")[2].strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["pip said nothing"])[-1][:200]


# --- writing ----------------------------------------------------------------------------------------------------------


def write_pips(path: Path, newer: Mapping[str, WheelPin]) -> None:
    """Write newer pips into the rows of the given Pythons; every other character of the file stays as it is.

    Raises:
        SettingError: a row is not laid out as expected, so that nothing was written.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    left: Set[Tuple[str, str]] = {(version, key) for version in newer for key in ("version", "sha256")}
    table, version = "", ""
    for number, line in enumerate(lines):
        heading = re.match(r"\s*(\[+[^\]]+\]+)", line)
        if heading:
            table, version = heading.group(1), ""
        named = re.match(r'version\s*=\s*"([^"]+)"', line)
        if named and table == "[[python]]":
            version = named.group(1)
        pinned = re.match(r'(pip\.(version|sha256)\s*=\s*")[^"]*(".*)', line, re.DOTALL)
        if pinned and version in newer:
            key = pinned.group(2)
            lines[number] = pinned.group(1) + getattr(newer[version], key) + pinned.group(3)
            left.discard((version, key))
    if left:
        raise SettingError(
            f"cannot write {path}",
            why="these lines were not found: "
            + ", ".join(f"pip.{key} of Python {python}" for python, key in sorted(left)),
            fix='write each as `pip.version = "…"` and `pip.sha256 = "…"` below the row\'s own version',
        )
    with workspace.new_file(path) as new:
        new.write_text("".join(lines), encoding="utf-8")
        _check_written(new, path, newer)


def _check_written(new: Path, old: Path, newer: Mapping[str, WheelPin]) -> None:
    """Read both files and make sure that nothing differs but the pins that were meant."""
    before, after = pins.load(old), pins.load(new)
    for was, now in zip(before.pythons, after.pythons):
        pip = newer.get(was.version, was.pip)
        as_meant = (now.version, now.pip.version, now.pip.sha256) == (was.version, pip.version, pip.sha256)
        rest_kept = {**was.__dict__, "pip": None} == {**now.__dict__, "pip": None}
        if not (as_meant and rest_kept):
            raise SettingError(
                f"cannot write {old}", why=f"the row of {was.version} came out wrong", fix="edit it by hand"
            )
