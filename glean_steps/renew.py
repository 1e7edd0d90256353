"""Checks every pin of pins.toml against its server, and offers newer versions of pip.

A file whose version is fixed must never change: another hash is an alarm and is not written down. Only pip, of which a
newer version is another file with a name of its own, is renewed, and only when asked to.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from glean_steps import fetch, pins, report, roots, runner, settings, workspace
from glean_steps.errors import DownloadError, OfflineError, SettingError, StepError, WrongHashError
from glean_steps.fetch import Download
from glean_steps.pins import Pins, PythonRow, SourcePin, WheelPin
from glean_steps.targets import WINDOWS, Target
from glean_steps.workspace import Workspace

PIP_S = 300.0


@dataclass(frozen=True)
class Finding:
    """What was found out about one pin.

    Attributes:
        pinned: the pinned hash or version.
        found: what the server has; empty when it was not asked or did not answer.
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


def run(ws: Workspace, *, write: bool, path: Path = pins.PINS) -> List[Finding]:
    """Check every pin, print the table, and with `write` write newer versions of pip into the file of pins.

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
    pinned = pins.load(path)
    with report.step("check every pin against its server"):
        findings = [*_check_files(pinned), _check_sources(pinned.musl_python, ws), *_check_wheels(pinned, ws)]
    alarms = [finding for finding in findings if finding.alarm]
    newer = {finding.python: finding.newer for finding in findings if finding.newer is not None}
    table = report.Table(f"Pins of {path}", ("row", "pinned", "found", "verdict"))
    table.rows = [[finding.row, finding.pinned, finding.found or "-", finding.verdict] for finding in findings]
    if write and newer and not alarms:
        with ws.locked():
            write_pips(path, newer)
        table.notes.append(f"written: {len(newer)} newer pips; run `nox -s build_windows` to prove with them")
    elif newer:
        table.notes.append("nothing is written; `invoke pins --write` takes the newer pips")
    table.print()
    if alarms:
        raise WrongHashError(
            f"{len(alarms)} pinned files are not what their servers have now",
            why="; ".join(f"{one.row}: found {one.found}, pinned is {one.pinned}" for one in alarms),
            fix="find out who changed them and why; a hash of a fixed version is never renewed here",
        )
    return findings


def _compare(row: str, pinned: str, found: str, why: str = "") -> Finding:
    """Compare two hashes; without a found one the pin is kept, and `why` says why there is none."""
    if not found:
        return Finding(row, f"sha256 {pinned}", "", f"kept: {why}")
    if found != pinned:
        return Finding(row, f"sha256 {pinned}", f"sha256 {found}", "CHANGED", alarm=True)
    return Finding(row, f"sha256 {pinned}", "the same", "right")


# --- files of fixed name: embeddable zips, get-pip, sources -----------------------------------------------------------


def _check_files(pinned: Pins) -> List[Finding]:
    """Download each embeddable zip and get-pip.py once and compare its hash; a host out of reach is asked once."""
    files: List[Tuple[str, Download]] = []
    for row in pinned.pythons:
        for target in WINDOWS:
            zipped = pins.embeddable(row, target.arch, pinned)
            if zipped is not None:
                files.append((zipped.name, zipped))
    for row in pinned.pythons:
        script = pins.get_pip(row, pinned)
        if script is not None:
            files.append((f"get-pip.py for {row.minor}", script))
    unreachable: Dict[str, str] = {}
    return [_check_file(name, download, unreachable) for name, download in dict.fromkeys(files)]


def _check_sources(pin: SourcePin, ws: Workspace) -> Finding:
    """Check the sources of the CPython for musl in Debian's archive."""
    name = f"CPython {pin.version}, sources"
    try:
        archive = roots.mirror(ws)
    except StepError as error:
        return _compare(name, pin.sha256, "", error.what)
    return _check_file(name, pin.download(archive), {})


def _check_file(name: str, download: Download, unreachable: Dict[str, str]) -> Finding:
    host = urlsplit(download.url).netloc
    if host in unreachable:
        return _compare(name, download.digest, "", unreachable[host])
    with tempfile.TemporaryDirectory(prefix="glean-pins-") as scratch:
        file = Path(scratch, download.name)
        try:
            fetch.fetch_into(download, file, fetch.patience())
        except DownloadError as error:
            why = error.why
            if " answered HTTP " not in why:  # Else the server is there, and only this file is not.
                why = unreachable[host] = f"out of reach ({host})"
            return _compare(name, download.digest, "", why)
        return _compare(name, download.digest, workspace.file_sha256(file))


# --- wheels of the package index --------------------------------------------------------------------------------------


def _check_wheels(pinned: Pins, ws: Workspace) -> List[Finding]:
    """Ask the package index, through pip, for each pinned wheel's hash and for the newest pip of each Python."""
    questions: List[Callable[[], Finding]] = []
    for row in pinned.pythons:
        questions.append(partial(_check_pip, row, ws))
        for target in WINDOWS:
            pin = row.runtime.get(target.arch)
            if pin is not None:
                name = f"{pin.project} {pin.version} for {row.minor} {target.arch}"
                questions.append(partial(_check_wheel, name, pin, row, target, ws))
    return runner.side_by_side(questions, 2)


def _check_wheel(name: str, pin: WheelPin, row: PythonRow, target: Target, ws: Workspace) -> Finding:
    answer = _index(f"{pin.project}=={pin.version}", row, target, ws)
    if isinstance(answer, str):
        return _compare(name, pin.sha256, "", answer)
    return _compare(name, pin.sha256, answer.sha256, "the index tells no hash")


def _check_pip(row: PythonRow, ws: Workspace) -> Finding:
    """Compare the pinned pip, then look for a newer one that this very Python can run."""
    name = f"pip for {row.version}"
    found = _check_wheel(name, row.pip, row, WINDOWS[0], ws)
    if found.alarm:
        return found
    newest = _index("pip", row, WINDOWS[0], ws)
    if isinstance(newest, str) or newest.version == row.pip.version or not newest.sha256:
        return found
    verdict = f"newer: {newest.version}"
    return Finding(name, row.pip.version, newest.version, verdict, newer=newest, python=row.version)


def _index(requirement: str, row: PythonRow, target: Target, ws: Workspace) -> WheelPin | str:
    """Return the wheel that pip would install into a Windows Python, or why it would not; nothing is installed."""
    report.say(f"  asking the index for {requirement}, Python {row.minor} {target.arch}")
    with tempfile.TemporaryDirectory(prefix="glean-pins-") as scratch:
        argv = [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet"),
            *("--disable-pip-version-check", "--no-input"),
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
    text = path.read_text(encoding="utf-8")
    left = []
    for version, pip in sorted(newer.items()):
        for key in ("sha256", "version"):
            # Below the row's own version, before the next table.
            pattern = rf'^version\s*=\s*"{re.escape(version)}"(?:(?!^\s*\[).)*?^pip\.{key}\s*=\s*"([^"]*)"'
            found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
            if found is None:
                left.append(f"pip.{key} of Python {version}")
            else:
                text = text[: found.start(1)] + getattr(pip, key) + text[found.end(1) :]
    if left:
        raise SettingError(
            f"cannot write {path}",
            why=f"these lines were not found: {', '.join(left)}",
            fix='write each as `pip.version = "…"` and `pip.sha256 = "…"` below the row\'s own version',
        )
    with workspace.new_file(path) as new:
        new.write_text(text, encoding="utf-8")
        before = pins.load(path)
        rows = tuple(replace(row, pip=newer.get(row.version, row.pip)) for row in before.pythons)
        if pins.load(new) != replace(before, pythons=rows):
            raise SettingError(
                f"cannot write {path}", why="more than the pins of pip would change", fix="edit it by hand"
            )
