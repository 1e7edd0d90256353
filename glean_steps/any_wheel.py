"""Tests any project's Windows wheel: audit, installation by Windows pip, import, the project's own tests under Wine.

One cell of a matrix per Windows Python and architecture; a cell that cannot be tested says why.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence

from glean_steps import audit, options, pins, report, settings, suites, system, windows_python, wine
from glean_steps.errors import CommandFailedError, MissingArtifactError, NotProvableError, OfflineError, SettingError
from glean_steps.suites import Result, Suite
from glean_steps.targets import WINDOWS, Target
from glean_steps.windows_python import WindowsPython
from glean_steps.wine import Prefix, Wine, Wines
from glean_steps.workspace import Workspace

PIP_S = 900.0
IMPORT_S = 300.0
TESTS_S = 3600.0

OPTIONS: Mapping[str, options.Option] = {
    "wheel": {"metavar": "NAME_OR_FILE", "help": "a wheel file, or a project of the index, such as orjson==3.10.18"},
    "--python": {
        "type": options.pythons,
        "help": "Windows Pythons, such as 3.12,3.13; the newest that the steps are tested with when absent",
    },
    "--arch": {"type": options.arches, "help": f"architectures, such as amd64,win32; {WINDOWS[0].arch} when absent"},
    "--import": {"dest": "modules", "type": options.words, "help": "modules to import; found in the wheel when absent"},
    "--tests": {"help": "a file or folder of tests on this machine"},
    "--requires": {"type": options.words, "help": "what the tests need, such as pytest,hypothesis; pytest when absent"},
}


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        wheel: the name of a project with its version, or the path of a file.
        modules: what to import; found in the wheel when empty.
        tests: tests on this machine; None when there are none, or pytest's arguments name them.
        requires: what the tests need beside the wheel.
        arguments: more of pytest's; tests are run when there are tests or arguments.
    """

    wheel: str
    modules: Sequence[str] = ()
    tests: Optional[Path] = None
    requires: Sequence[str] = ("pytest",)
    arguments: Sequence[str] = ()

    @property
    def file(self) -> Optional[Path]:
        """The wheel file, if that was asked for."""
        return Path(self.wheel).resolve() if self.wheel.endswith(".whl") else None


def run(ws: Workspace, given: argparse.Namespace) -> List[Result]:
    """Test a wheel in every Python and architecture asked for; print the closing table and the matrix.

    Raises:
        TestsFailedError: a cell failed, or none could run.
        SettingError: there is no such file.
    """
    request = Request(
        given.wheel,
        given.modules or (),
        Path(given.tests).resolve() if given.tests else None,
        given.requires or ("pytest",),
        given.remainder,
    )
    for path in (request.file, request.tests):
        if path is not None and not path.exists():
            raise SettingError(
                f"test_wheel: there is no {path}", why="it was named on the command line", fix="check it"
            )
    versions = [pins.find_python(version).version for version in given.python or [pins.load().tested[-1][0]]]
    targets = given.arch or [WINDOWS[0]]
    cells = {(version, target): _cell(request, version, target) for target in targets for version in versions}
    with ws.locked():
        results = suites.collect(list(cells.values()), ws, at_once=1)
    table = report.Table(f"{Path(request.wheel).name} on Windows", ("architecture", *versions))
    for target in targets:
        found = [results[place] for place, (_, other) in enumerate(cells) if other is target]
        table.rows.append([target.arch, *[_word(result) for result in found]])
    table.print()
    return suites.finish(results)


def _word(result: Result) -> str:
    return "not run" if result.not_run else "FAILED" if result.failed else "passed"


def _cell(request: Request, version: str, target: Target) -> Suite:
    def run_it(ws: Workspace, wines: None, prefix: Path, python: WindowsPython) -> Result:
        with wine.session(target, ws) as warm, _bare(python, ws) as bare:
            return test(request, bare, target, prefix, warm, ws)

    needs = (Wines((target,)), Prefix(target), windows_python.Environment(version, target))
    return Suite(f"{Path(request.wheel).name}, Python {version} {target.arch}", run_it, needs)


@contextmanager
def _bare(python: WindowsPython, ws: Workspace) -> Iterator[WindowsPython]:
    """Yield a copy of a Windows Python that has pip and no other package."""
    ws.state.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="wheel-", dir=ws.state))
    try:
        home = folder / "python"

        def ignored(parent: str, names: List[str]) -> List[str]:
            if Path(parent).name != "site-packages":
                return []
            return [
                name
                for name in names
                if name != "sitecustomize.py" and not re.match(r"pip(-[\d.]+\.dist-info)?$", name)
            ]

        shutil.copytree(python.home, home, ignore=ignored)
        yield WindowsPython(python.version, python.arch, home, python.provider)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test(request: Request, python: WindowsPython, target: Target, prefix: Path, warm: Wine, ws: Workspace) -> Result:
    """Test a wheel in a Windows Python that has pip and nothing else.

    Raises:
        NotProvableError: there is no wheel for this Python and architecture; says what there is.
    """
    wheel = request.file or _fetch(request.wheel, python, warm)
    if request.file is not None and not audit.fits(wheel.name, python.version, target):
        raise NotProvableError(f"{wheel.name} is not for Python {python.version} {target.arch}", why="its tags say so")
    result = Result("", notes=[f"tested {wheel.name}"])
    findings = audit.check_any(wheel, target, system_dlls(prefix))
    _count(result, "audit", findings)
    wants = bool(request.tests or request.arguments)
    try:
        _pip(python, warm, ["install", "-q", wine.windows_path(wheel), *(request.requires if wants else ())])
        result.passed += 1
    except CommandFailedError as error:
        _count(result, "pip install", [suites.one_line(" ".join(error.tail[-3:])) or error.what])
        return result
    modules = request.modules or audit.modules(wheel)
    if not modules:
        _count(result, "import", ["no module found to import"])
    for module in modules:
        argv = [python.executable, "-c", f"import {module}"]
        done = warm.run(argv, timeout_s=IMPORT_S, cwd=python.home, check=False)
        last = done.stdout.strip().splitlines()[-1:] or [f"exit status {done.status}"]
        _count(result, f"import {module}", last if done.status else [])
    if wants and result.failed == bool(findings):  # What cannot be imported cannot be tested.
        tested = _run_tests(request, python, warm)
        result.passed += tested.passed
        result.failed += tested.failed
        result.skipped += tested.skipped
        result.notes += tested.notes
    return result


def _count(result: Result, what: str, findings: Sequence[str]) -> None:
    result.passed += not findings
    result.failed += bool(findings)
    result.notes += [f"{what}: {finding}" for finding in findings]


test.__test__ = False  # type: ignore[attr-defined]


def _run_tests(request: Request, python: WindowsPython, warm: Wine) -> Result:
    """Run tests from a copy beside an empty folder, so that the project's sources cannot be imported in place of it."""
    folder = python.home.parent / "tests"
    empty = python.home.parent / "empty"
    empty.mkdir()
    where: List[str] = []
    if request.tests is not None:
        copy = folder / request.tests.name
        ignore = shutil.ignore_patterns("__pycache__")
        if request.tests.is_dir():
            shutil.copytree(request.tests, copy, ignore=ignore)
        else:
            folder.mkdir()
            shutil.copyfile(request.tests, copy)
        where = [wine.windows_path(copy)]
    report_file = folder.with_name("report.xml")
    argv = [python.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    argv += [f"--junitxml={wine.windows_path(report_file)}", *where, *request.arguments]
    done = warm.run(argv, timeout_s=TESTS_S, cwd=empty, check=False)
    return suites.count_junit(report_file, done)


def system_dlls(prefix: Path) -> List[str]:
    """Return the DLLs of a Windows system, as the prefix has them, without compiler runtimes that a bare one lacks."""
    names = {file.name.lower() for file in (prefix / "drive_c" / "windows" / "system32").iterdir()}
    return sorted(
        name for name in names if not any(fnmatch.fnmatchcase(name, pattern) for pattern in audit.NOT_IN_WINDOWS)
    )


# --- pip in Windows ---------------------------------------------------------------------------------------------------


def _pip(python: WindowsPython, warm: Wine, arguments: Sequence[object]) -> str:
    """Run Windows pip with this machine's index settings; return what it printed."""
    if settings.OFFLINE.value():
        raise OfflineError("the index cannot be asked", why="GLEAN_OFFLINE is set", fix="run it without GLEAN_OFFLINE")
    argv = [python.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    argv += ["--only-binary=:all:", "--no-warn-script-location"] if "install" in arguments else ["--only-binary=:all:"]
    return warm.run(argv, timeout_s=PIP_S, cwd=python.home, changes=_index_settings(python, warm.ws), quiet=True).stdout


# Where programs of this machine look for the certificates of servers.
_BUNDLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


def _index_settings(python: WindowsPython, ws: Workspace) -> Dict[str, Optional[str]]:
    """Return the settings of this machine's pip as variables: Windows pip does not read its files."""
    argv = [sys.executable, "-m", "pip", "config", "list"]
    listed = ws.run(argv, timeout_s=60, quiet=True, echo=False, split_stderr=True).stdout
    found = dict(re.findall(r"^(?:global|install|download|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
    changes: Dict[str, Optional[str]] = {name: None for name in (*_BUNDLES, "PIP_CACHE_DIR", "PIP_REQUIRE_VIRTUALENV")}
    for name in ("index-url", "extra-index-url", "trusted-host", "proxy", "find-links"):
        if name in found:
            words = [wine.windows_path(Path(word)) if os.path.isabs(word) else word for word in found[name].split()]
            changes[f"PIP_{name.upper().replace('-', '_')}"] = " ".join(words)
    row = pins.find_python(".".join(python.version.split(".")[:2]))
    if system.is_at_least(row.pip.version, "24.2"):
        # The certificate store of Windows, which newer ones ask, is half there in Wine.
        changes["PIP_USE_DEPRECATED"] = "legacy-certs"
    bundles = [found.get("cert", ""), *(os.environ.get(name, "") for name in _BUNDLES)]
    bundle = next((name for name in bundles if os.path.isfile(name)), None)
    if bundle is not None:
        # A private 32-bit root has an /etc of its own.
        copy = python.home.parent / "certificates.pem"
        shutil.copyfile(bundle, copy)
        changes["PIP_CERT"] = wine.windows_path(copy)
    return changes


def _fetch(name: str, python: WindowsPython, warm: Wine) -> Path:
    """Return the wheel that Windows pip chooses from the index."""
    folder = python.home.parent / "wheel"
    arguments = ["download", "--no-deps", "-d", wine.windows_path(folder), name]
    try:
        _pip(python, warm, ["-q", *arguments])
    except CommandFailedError as error:
        if "No matching distribution" not in "\n".join(error.tail):
            raise
        try:
            _pip(python, warm, ["-vv", *arguments])
        except CommandFailedError as verbose:
            raise NotProvableError(
                f"there is no wheel of {name} for Python {python.version} {python.arch}", why=_offers(verbose, name)
            ) from None
    found = sorted(folder.glob("*.whl"))
    if not found:
        raise MissingArtifactError(f"no wheel of {name}", why="pip succeeded but left none", fix="run it again")
    return found[0]


def _offers(error: CommandFailedError, name: str) -> str:
    """Return what the index has in place of a fitting wheel, from pip's verbose log."""
    text = error.output
    broken = re.search(r"after connection broken by '(.*?)'?:? /", text)
    if broken:
        return f"the index was out of reach: {broken.group(1)}"
    wheels = sorted(set(re.findall(r"([\w.]+-[\w.!+]+-[\w.]+-[\w.]+-[\w.]+\.whl)", text)))
    if wheels:
        windows = [wheel for wheel in wheels if "-win" in wheel or wheel.endswith("-any.whl")]
        shown = ", ".join((windows or wheels)[-4:])
        return f"the index has wheels for others only, such as {shown}"
    if re.search(r"\.(tar\.gz|zip)", text):
        return "the project publishes sources only (sdist), no wheel at all"
    return f"the index knows no project or version {name}"
