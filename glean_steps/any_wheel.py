"""Tests any project's Windows wheel: audit, installation by Windows pip, import, the project's own tests under Wine.

One cell of a matrix per Windows Python and architecture; a cell that cannot be tested says why.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Union

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


def _name_or_file(text: str) -> Union[str, Path]:
    return Path(text).resolve() if text.endswith(".whl") else text


def _path(text: str) -> Optional[Path]:
    return Path(text).resolve() if text else None


OPTIONS: Mapping[str, options.Option] = {
    "wheel": {
        "metavar": "NAME_OR_FILE",
        "type": _name_or_file,
        "help": "a wheel file, or a project of the index, such as orjson==3.10.18",
    },
    "--python": {
        "type": options.pythons,
        "help": "Windows Pythons, such as 3.12,3.13; the newest that the steps are tested with when absent",
    },
    "--arch": {"type": options.arches, "help": f"architectures, such as amd64,win32; {WINDOWS[0].arch} when absent"},
    "--import": {"dest": "modules", "type": options.words, "help": "modules to import; found in the wheel when absent"},
    "--tests": {"type": _path, "help": "a file or folder of tests on this machine"},
    "--requires": {"type": options.words, "help": "what the tests need, such as pytest,hypothesis; pytest when absent"},
}


def run(ws: Workspace, given: argparse.Namespace) -> List[Result]:
    """Test a wheel in every Python and architecture asked for; print the closing table and the matrix.

    Raises:
        TestsFailedError: a cell failed, or none could run.
        SettingError: there is no such file.
    """
    for path in (given.wheel, given.tests):
        if isinstance(path, Path) and not path.exists():
            why = "it was named on the command line"
            raise SettingError(f"test_wheel: there is no {path}", why=why, fix="check it")
    versions = [pins.find_python(version).version for version in given.python or [pins.load().tested[-1][0]]]
    targets = given.arch or [WINDOWS[0]]
    cells = [_cell(given, version, target) for target in targets for version in versions]
    with ws.locked():
        results = suites.collect(cells, ws, at_once=1)
    table = report.Table(f"{Path(given.wheel).name} on Windows", ("architecture", *versions))
    words = ["not run" if result.not_run else "FAILED" if result.failed else "passed" for result in results]
    for row, target in enumerate(targets):
        table.rows.append([target.arch, *words[row * len(versions) : (row + 1) * len(versions)]])
    table.print()
    return suites.finish(results)


def _cell(given: argparse.Namespace, version: str, target: Target) -> Suite:
    def run_it(ws: Workspace, wines: None, prefix: Path, python: WindowsPython) -> Result:
        with wine.session(target, ws) as warm, _bare(python, ws) as bare:
            return test(given, bare, warm)

    needs = (Wines((target,)), Prefix(target), windows_python.Environment(version, target))
    return Suite(f"{Path(given.wheel).name}, Python {version} {target.arch}", run_it, needs)


@contextmanager
def _bare(python: WindowsPython, ws: Workspace) -> Iterator[WindowsPython]:
    """Yield a copy of a Windows Python that has pip and no other package."""
    ws.state.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="wheel-", dir=ws.state))
    try:
        kept = re.compile(r"sitecustomize\.py$|pip(-[\d.]+\.dist-info)?$")

        def ignored(parent: str, names: List[str]) -> List[str]:
            return [name for name in names if Path(parent).name == "site-packages" and not kept.match(name)]

        shutil.copytree(python.home, folder / "python", ignore=ignored)
        yield replace(python, home=folder / "python")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test(given: argparse.Namespace, python: WindowsPython, warm: Wine) -> Result:
    """Test a wheel in a Windows Python that has pip and nothing else; its own tests where there are tests or arguments.

    Raises:
        NotProvableError: there is no wheel for this Python and architecture; says what there is.
    """
    target = warm.target
    is_file = isinstance(given.wheel, Path)
    wheel = given.wheel if is_file else _fetch(given.wheel, python, warm)
    if is_file and not audit.fits(wheel.name, python.version, target):
        raise NotProvableError(f"{wheel.name} is not for Python {python.version} {target.arch}", why="its tags say so")
    result = Result("", notes=[f"tested {wheel.name}"])
    findings = audit.check_any(wheel, target, system_dlls(warm.prefix))
    _count(result, "audit", findings)
    wants = bool(given.tests or given.remainder)
    requires = (given.requires or ["pytest"]) if wants else []
    try:
        _pip(python, warm, ["install", "-q", "--no-warn-script-location", wine.windows_path(wheel), *requires])
        result.passed += 1
    except CommandFailedError as error:
        _count(result, "pip install", [suites.one_line(" ".join(error.tail[-3:])) or error.what])
        return result
    modules = given.modules or audit.modules(wheel)
    if not modules:
        _count(result, "import", ["no module found to import"])
    for module in modules:
        argv = [python.executable, "-c", f"import {module}"]
        done = warm.run(argv, timeout_s=IMPORT_S, cwd=python.home, check=False)
        last = done.stdout.strip().splitlines()[-1:] or [f"exit status {done.status}"]
        _count(result, f"import {module}", last if done.status else [])
    if wants and result.failed == bool(findings):  # What cannot be imported cannot be tested.
        tested = _run_tests(given, python, warm)
        result.passed += tested.passed
        result.failed += tested.failed
        result.skipped += tested.skipped
        result.notes += tested.notes
    return result


def _count(result: Result, what: str, findings: Sequence[str]) -> None:
    result.passed += not findings
    result.failed += bool(findings)
    result.notes += [f"{what}: {finding}" for finding in findings]


def _run_tests(given: argparse.Namespace, python: WindowsPython, warm: Wine) -> Result:
    """Run tests from a copy beside an empty folder, so that the project's sources cannot be imported in place of it."""
    folder = python.home.parent / "tests"
    empty = python.home.parent / "empty"
    empty.mkdir()
    where: List[str] = []
    if given.tests is not None:
        copy = folder / given.tests.name
        if given.tests.is_dir():
            shutil.copytree(given.tests, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir()
            shutil.copyfile(given.tests, copy)
        where = [wine.windows_path(copy)]
    report_file = folder.with_name("report.xml")
    argv = [python.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    argv += [f"--junitxml={wine.windows_path(report_file)}", *where, *given.remainder]
    done = warm.run(argv, timeout_s=TESTS_S, cwd=empty, check=False)
    return suites.count_junit(report_file, done)


def system_dlls(prefix: Path) -> List[str]:
    """Return the DLLs of a Windows system, as the prefix has them, without compiler runtimes that a bare one lacks."""
    names = {file.name.lower() for file in (prefix / "drive_c" / "windows" / "system32").iterdir()}
    return sorted(name for name in names if not audit.matches(name, audit.NOT_IN_WINDOWS))


# --- pip in Windows ---------------------------------------------------------------------------------------------------


def _pip(python: WindowsPython, warm: Wine, arguments: Sequence[object]) -> None:
    """Run Windows pip with this machine's index settings."""
    if settings.OFFLINE.value():
        raise OfflineError("the index cannot be asked", why="GLEAN_OFFLINE is set", fix="run it without GLEAN_OFFLINE")
    argv = [python.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    argv += ["--only-binary=:all:"]
    warm.run(argv, timeout_s=PIP_S, cwd=python.home, changes=_index_settings(python, warm.ws), quiet=True)


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
