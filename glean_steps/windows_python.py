"""A real Windows CPython: unpacked, site opened, pip bootstrapped into it, test dependencies installed offline.

Two providers, tried in this order: the embeddable zip of python.org (or a mirror), and where that server is out of
reach the signed runtime of the same minor version, as a wheel of the package index carries it, with the pure-Python
standard library of a CPython of this machine. Both give the same layout.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import zipfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Callable, Dict, List, Literal, Optional, Sequence, Tuple, TypeVar
from urllib.parse import urlsplit

from glean_steps import archive, fetch, interpreters, pins, project, report, settings, system, wine, workspace
from glean_steps.errors import (
    CommandFailedError,
    DownloadError,
    MissingToolError,
    OfflineError,
    StepError,
    WrongHashError,
)
from glean_steps.pins import PythonRow, WheelPin
from glean_steps.prerequisites import Probe
from glean_steps.targets import Target
from glean_steps.wine import Wine
from glean_steps.workspace import Workspace

T = TypeVar("T")

PIP_TIMEOUT_S = 600.0
_RECIPE = 5  # Raise it when what this module makes changes.
_PACKER = Path(__file__).with_name("_pack_stdlib.py")

# python.exe of the embeddable zip is this and an icon; the runtime wheel has only the DLL.
_LAUNCHER_C = """#include <wchar.h>
int Py_Main(int argc, wchar_t **argv);
int wmain(int argc, wchar_t **argv) { return Py_Main(argc, argv); }
"""

# Runs pip out of a wheel, the first argument. sys.argv[0] is not pip's name, or pip would refuse to "modify itself".
_PIP_FROM_WHEEL = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('pip', run_name='__main__')"

# platform.uname() of Python 3.12 and later asks WMI, gives it a second to start, and then asks elsewhere. Wine 8 cannot
# answer, so every process would lose two seconds.
_SITECUSTOMIZE = """# Made for Wine, which has no usable WMI: platform then asks elsewhere at once.
import sys
sys.modules["_wmi"] = None
"""


@dataclass(frozen=True)
class WindowsPython:
    """A Windows CPython in the folder `home`; of a substitute runtime, the version may have another last part."""

    version: str
    arch: str
    home: Path
    provider: str

    @property
    def executable(self) -> Path:
        """The interpreter."""
        return self.home / "python.exe"

    def describe(self) -> str:
        """Return the version and architecture for tables."""
        return f"Python {self.version} {self.arch}"


# --- the interpreter --------------------------------------------------------------------------------------------------


def obtain_archive(row: PythonRow, target: Target, ws: Workspace) -> Tuple[Path, str, str]:
    """Return a verified archive with the embeddable layout, its exact Python version, and the provider's name.

    Raises:
        DownloadError: neither provider could; says why for each.
        WrongHashError: a server delivered another file than the pinned one.
    """
    errors: List[StepError] = []
    for provider in (_embeddable_zip, _rebuilt_from_runtime):
        try:
            return provider(row, target, ws)
        except (DownloadError, OfflineError, MissingToolError, CommandFailedError) as error:
            errors.append(error)
    kind = OfflineError if any(isinstance(error, OfflineError) for error in errors) else DownloadError
    raise kind(
        f"no Windows Python {row.version} for {target.arch}",
        why="; ".join(f"{error.what} ({error.why})" if error.why else error.what for error in errors),
        fix=f"name a mirror with GLEAN_PYTHON_MIRROR, install a CPython {row.minor} on this machine, "
        f"or choose another --python ({', '.join(pins.all_versions())})",
    )


def _embeddable_zip(row: PythonRow, target: Target, ws: Workspace) -> Tuple[Path, str, str]:
    download = pins.embeddable(row, target.arch, pins.load())
    if download is None:
        raise DownloadError(
            f"python-{row.version}-embed-{target.arch}.zip is not used",
            why="no hash of it is pinned, and what cannot be verified is refused",
        )
    return _fetch(download, ws), row.version, "embeddable zip"


def _fetch(download: fetch.Download, ws: Workspace) -> Path:
    """Return a file from the cache or its server; one that was out of reach a short while ago is not asked again."""
    path = fetch.cached(download, ws.cache)
    if path is not None:
        return path
    if not settings.OFFLINE.value() and _was_out_of_reach(download.url, ws):
        raise DownloadError(
            f"could not fetch {download.name}", why=f"{download.url} was out of reach within the last ten minutes"
        )
    try:
        return fetch.fetch(download, ws.cache)
    except DownloadError as error:
        if " answered HTTP " not in error.why:  # A server that answers is in reach.
            _trouble(download.url, ws).write("unreachable", facts={"at": workspace.now()})
        raise


def _trouble(url: str, ws: Workspace) -> workspace.Stamp:
    """Return the record of when the server of a URL was last out of reach."""
    return ws.stamp(f"unreachable-{workspace.fingerprint(urlsplit(url).netloc)[:12]}")


def _was_out_of_reach(url: str, ws: Workspace) -> bool:
    return 0 <= workspace.now() - float(_trouble(url, ws).facts().get("at", 0.0)) < 600


def _rebuilt_from_runtime(row: PythonRow, target: Target, ws: Workspace) -> Tuple[Path, str, str]:
    pin = row.runtime.get(target.arch)
    if pin is None:
        raise MissingToolError(f"no runtime wheel is pinned for {row.version} {target.arch}")
    name = f"rebuilt from {pin.project} {pin.version}"
    found = remembered_rebuild(row, target, ws)
    if found is not None:
        return found, row.runtime_version, name
    pythons = interpreters.find_all(ws=ws)
    host = pythons.get(row.minor)
    if host is None:
        raise MissingToolError(
            f"no CPython {row.minor} on this machine",
            why="its pure-Python standard library would serve beside the signed runtime; found "
            + (", ".join(pythons) or "none"),
        )
    key = workspace.fingerprint(_RECIPE, pin.sha256, host.version, _LAUNCHER_C, _PACKER)
    result = ws.cache / "rebuilt-pythons" / f"python-{row.runtime_version}-{target.arch}-{key[:12]}.zip"
    with workspace.lock(result.with_suffix(".lock"), f"rebuilding Windows Python {row.runtime_version}"):
        workspace.write_text(_rebuild_note(row, target, ws), result.name)
        if remembered_rebuild(row, target, ws) is None:  # Whoever was waited for may have made it.
            system.require(system.linkers(target), ws)
            with report.step(f"rebuild Windows Python {row.runtime_version} {target.arch}"):
                wheel = download_wheel(pin, row, target, ws)
                with workspace.new_file(result) as new:
                    _rebuild(wheel, row, target, host, new, ws)
                workspace.write_text(result.with_suffix(".sha256"), workspace.file_sha256(result))
    return result, row.runtime_version, name


def _rebuild_note(row: PythonRow, target: Target, ws: Workspace) -> Path:
    pin = row.runtime[target.arch]
    key = workspace.fingerprint(_RECIPE, pin.sha256, _LAUNCHER_C, _PACKER)[:12]
    return ws.cache / "rebuilt-pythons" / f"python-{row.version}-{target.arch}-{key}.name"


def remembered_rebuild(row: PythonRow, target: Target, ws: Workspace) -> Optional[Path]:
    """Return an archive that was rebuilt earlier, verified, so that neither network nor host Python is needed again."""
    note = _rebuild_note(row, target, ws)
    try:
        result = note.with_name(note.read_text())
        digest = result.with_suffix(".sha256").read_text()
        found = workspace.file_sha256(result)
    except OSError:
        return None
    if found != digest:
        report.say(f"{result} is damaged; it will be made again")
        result.unlink()
        return None
    return result


def _rebuild(wheel: Path, row: PythonRow, target: Target, host: interpreters.CPython, out: Path, ws: Workspace) -> None:
    """Write an archive with the layout of an embeddable zip."""
    with tempfile.TemporaryDirectory(prefix=".parts-", dir=out.parent) as folder:
        scratch = Path(folder)
        for filename, data in archive.read_members(wheel).items():
            parent, _, name = filename.rpartition("/")
            # Test modules and Tcl are no part of an embeddable zip; free-threaded twins belong to another Python.
            if parent != "deploy_libs" or ".cp" in name or name.lower().startswith(("tcl", "tk", "_tkinter", "_test")):
                continue
            (scratch / name).write_bytes(data)
        library = scratch / f"python{row.digits}.dll"
        if not library.is_file():
            raise MissingToolError(f"{wheel.name} carries no {library.name}")
        source = scratch / "launcher.c"
        source.write_text(_LAUNCHER_C)
        flags = ("-municode", "-O2", "-s", "-static-libgcc")
        ws.run([target.linker, *flags, "-o", scratch / "python.exe", source, library], timeout_s=120)
        source.unlink()
        ws.run([host.executable, "-I", _PACKER, library.with_suffix(".zip")], timeout_s=300, quiet=True)
        library.with_suffix("._pth").write_text(f"python{row.digits}.zip\n.\n\n#import site\n")
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target_zip:
            for file in sorted(scratch.iterdir()):
                target_zip.write(file, file.name)


def download_wheel(pin: WheelPin, row: PythonRow, target: Target, ws: Workspace) -> Path:
    """Return a hash-pinned wheel of the package index from the cache, downloading it for the row's Windows tags."""
    requirement = f"{pin.project}=={pin.version} --hash=sha256:{pin.sha256}\n"
    return _wheels(requirement, row, target, ws.cache / "wheels" / pin.sha256, ws)[0]


def _wheels(requirements: str, row: PythonRow, target: Target, folder: Path, ws: Workspace) -> List[Path]:
    """Return the wheels of hash-pinned requirements from a folder of the cache; else this machine's pip fetches them.

    Raises:
        OfflineError: GLEAN_OFFLINE is set and one is missing or damaged.
        WrongHashError: the index has another file than the pinned one.
        CommandFailedError: pip could not fetch one.
    """
    wheels = _whole_wheels(requirements, folder)
    if wheels:
        return wheels
    names = ", ".join(re.findall(r"^(\S+)==", requirements, re.MULTILINE))
    # Runs in other checkouts fill the folder too.
    with workspace.lock(folder.with_name(folder.name + ".lock"), f"downloading {names}"):
        wheels = _whole_wheels(requirements, folder)  # Whoever was waited for may have fetched them.
        if wheels:
            return wheels
        for wheel in folder.glob("*.whl"):
            if workspace.file_sha256(wheel) not in requirements:
                report.say(f"{wheel} is damaged; it will be fetched again")
        if settings.OFFLINE.value():
            raise OfflineError(
                f"{folder.name} of the wheel cache is missing",
                why=f"GLEAN_OFFLINE forbids fetching: {names}",
                fix="run once without GLEAN_OFFLINE",
            )
        with workspace.new_folder(folder) as new:
            listed = new / "requirements.txt"
            listed.write_text(requirements)
            argv: List[object] = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
            argv += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--implementation", "cp"]
            argv += ["--platform", target.platform_tag, "--python-version", row.minor, "-d", new, "-r", listed]
            said = "pip brought something else"
            try:
                ws.run(argv, timeout_s=PIP_TIMEOUT_S)
            except CommandFailedError as error:
                if "DO NOT MATCH THE HASHES" not in "\n".join(error.tail):
                    raise
                said = " ".join(line.strip() for line in error.tail if "Expected" in line or "Got" in line)
            listed.unlink()
            if not _whole_wheels(requirements, new):
                raise WrongHashError(
                    f"a wheel of {names} is not the one that was pinned",
                    why=said,
                    fix="if the new file is right, renew the pin with `invoke pins`",
                )
    return sorted(folder.glob("*.whl"))


def _whole_wheels(requirements: str, folder: Path) -> List[Path]:
    """Return the wheels of a folder when they are one for each line of hash-pinned requirements; else none."""
    wheels = sorted(folder.glob("*.whl"))
    digests = [workspace.file_sha256(wheel) for wheel in wheels]
    lines = requirements.splitlines()
    is_whole = len(wheels) == len(lines) and all(any(digest in line for digest in digests) for line in lines)
    return wheels if is_whole else []


def choose(version: Optional[str], target: Target, ws: Workspace) -> WindowsPython:
    """Return a ready Windows Python: the version asked for, else the default, else the first that can be had here.

    Raises:
        DownloadError, OfflineError: the version asked for, or every one, is out of reach.
    """
    found, note = _first(version, lambda row: ensure(row, target, ws))
    return replace(found, provider=f"{found.provider}; {note}") if note else found


def _rows(version: Optional[str]) -> List[PythonRow]:
    """Return the row asked for; where none was, the default one and then those that may take its place."""
    table = pins.load()
    first = pins.find_python(version, table)
    if version or settings.WINDOWS_PYTHON.value():
        return [first]
    return [first, *(row for row in table.pythons if row.minor != first.minor)]


def _first(version: Optional[str], make: Callable[[PythonRow], T]) -> Tuple[T, str]:
    """Return what is made of the first row that can be had, and why that isn't the default one, if it isn't."""
    first, *others = _rows(version)
    try:
        return make(first), ""
    except (DownloadError, OfflineError) as error:
        if others:
            report.say(f"the default Windows Python {first.version} cannot be had here: {error.why}")
        for row in others:
            try:
                return make(row), f"the default {first.version} is out of reach here"
            except (DownloadError, OfflineError):
                continue
        raise


@dataclass(frozen=True)
class Archive:
    """What a Windows Python by default is unpacked from, in the cache, as a prerequisite; it needs no Wine."""

    target: Target

    @property
    def name(self) -> str:
        """Its architecture."""
        return f"archive of a Windows Python for {self.target.arch}"

    def probe(self, ws: Workspace) -> Probe:
        """Say where it comes from."""
        return Environment(None, self.target).probe(ws)

    def ensure(self, ws: Workspace) -> Path:
        """Return it, making it if need be."""
        return _first(None, lambda row: obtain_archive(row, self.target, ws))[0][0]


@dataclass(frozen=True)
class Environment:
    """A Windows Python with pip and the test dependencies, as a prerequisite; without a version the default one."""

    version: Optional[str]
    target: Target

    @property
    def name(self) -> str:
        """Version and architecture."""
        return f"Windows Python {self.version or 'by default'} {self.target.arch}"

    def probe(self, ws: Workspace) -> Probe:
        """Say where it comes from: set up, an embeddable zip, or rebuilt from the signed runtime."""
        try:
            rows = _rows(self.version)
        except StepError as error:
            return Probe("", why=error.what, fix=error.fix)
        lacking = []
        for row in rows:
            found = _probe_row(row, self.target, ws)
            found = replace(found, text=f"{row.version}: {found.text}")
            if not found.why:
                return found
            lacking.append(found)
        return lacking[0]

    def ensure(self, ws: Workspace) -> WindowsPython:
        """Return it, making what is missing."""
        return choose(self.version, self.target, ws)


def _probe_row(row: PythonRow, target: Target, ws: Workspace) -> Probe:
    facts = ws.stamp(f"python-{row.version}-{target.arch}").facts()
    if facts and (ws.state / "python" / f"{row.version}-{target.arch}" / "python.exe").exists():
        return Probe(f"set up: {facts.get('version')}, {facts.get('provider')}")
    offline = settings.OFFLINE.value()
    if offline and not any((ws.cache / "dependencies").glob(f"{row.minor}-{target.arch}-*/*.whl")):
        why = f"GLEAN_OFFLINE is set, and pip and pytest for Windows Python {row.version} are not in the cache"
        return Probe("packages not in the cache", why=why, fix="run once without GLEAN_OFFLINE")
    found = [_probe_zip(row, target, ws), _probe_runtime(row, target, ws)]
    texts = [text for text, why in found if not why]
    if not texts:
        why = f"no Windows Python {row.version}: {'; '.join(why for _, why in found)}"
        fix = f"name a mirror with GLEAN_PYTHON_MIRROR, or install a CPython {row.minor} on this machine"
        return Probe("not to be had", why=why, fix=fix)
    return Probe("; else ".join(texts), later=f"sets up Windows Python {row.version}")


def _probe_zip(row: PythonRow, target: Target, ws: Workspace) -> Tuple[str, str]:
    """Return what there is of an embeddable zip, or why there is none."""
    download = pins.embeddable(row, target.arch, pins.load())
    if download is None:
        return "", "no hash of its embeddable zip is pinned"
    if fetch.cache_path(download, ws.cache).is_file():
        return "zip in the cache", ""
    if settings.OFFLINE.value():
        return "", "GLEAN_OFFLINE is set and its zip is not in the cache"
    host = urlsplit(download.url).netloc
    if _was_out_of_reach(download.url, ws):
        return "", f"{host} was out of reach within the last ten minutes"
    return f"zip, if {host} is in reach", ""


def _probe_runtime(row: PythonRow, target: Target, ws: Workspace) -> Tuple[str, str]:
    """Return how it could be rebuilt, or why it cannot."""
    pin = row.runtime.get(target.arch)
    if pin is None:
        return "", "no runtime wheel is pinned for it"
    note = _rebuild_note(row, target, ws)
    if note.is_file() and note.with_name(note.read_text()).is_file():
        return f"rebuilt earlier ({row.runtime_version}), in the cache", ""
    host = interpreters.find_all(ws).get(row.minor)
    if host is None:
        return "", f"no CPython {row.minor} on this machine lends its standard library"
    if settings.OFFLINE.value() and not any((ws.cache / "wheels" / pin.sha256).glob("*.whl")):
        return "", f"GLEAN_OFFLINE is set and {pin.project} is not in the cache"
    return f"rebuilt ({row.runtime_version}) with the CPython {host.version} here", ""


# --- pip and packages in it -------------------------------------------------------------------------------------------


def ready_key(row: PythonRow, ws: Workspace) -> str:
    """Return the key over everything that shapes a Windows CPython with pip and the test dependencies."""
    requirements = ws.root / project.SUITE_REQUIREMENTS
    return workspace.fingerprint(_RECIPE, asdict(row), requirements, _PACKER, _LAUNCHER_C, _SITECUSTOMIZE)


def ensure(row: PythonRow, target: Target, ws: Workspace) -> WindowsPython:
    """Return a Windows CPython with pip and the test dependencies, making what is missing.

    Interrupted anywhere, the next call starts over from the verified archive. What is finished is recognised by a stamp
    over everything that shaped it, at no cost.
    """
    home = ws.state / "python" / f"{row.version}-{target.arch}"
    pth, packages = home / f"python{row.digits}._pth", home / "Lib" / "site-packages"
    stamp = ws.stamp(f"python-{row.version}-{target.arch}")
    key = ready_key(row, ws)
    facts = stamp.facts()
    if facts and stamp.is_current(key):
        return WindowsPython(facts["version"], target.arch, home, facts["provider"])
    stamp.forget()
    packed, version, provider = obtain_archive(row, target, ws)
    with report.step(f"Windows Python {version} {target.arch} with pip and test dependencies"):
        wheels = dependency_wheels(row, target, ws)
        with wine.session(target, ws) as warm:
            archive.unpack(packed, home)
            open_site(pth)
            workspace.write_text(packages / "sitecustomize.py", _SITECUSTOMIZE)
            python = WindowsPython(version, target.arch, home, provider)
            how = bootstrap_pip(python, row, warm)
            lay_out(python, wheels)
        files = [python.executable, pth, packages / "pip" / "__init__.py"]
        stamp.write(key, files=files, facts={"version": version, "provider": provider, "pip": how})
    return python


def open_site(pth: Path) -> None:
    """Let site run, so that site-packages counts: `import site` is the last line, once, whatever the line ends."""
    lines = pth.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.replace(" ", "").lstrip("#") != "importsite"]
    workspace.write_text(pth, "\r\n".join([*kept, "import site", ""]))


def bootstrap_pip(python: WindowsPython, row: PythonRow, warm: Wine) -> str:
    """Put pip into a Windows Python by that Python's own get-pip, else by the pinned pip wheel; return which.

    The pip that comes in is the pinned one either way, from a wheel that was fetched and verified on this machine.
    """
    wheel = download_wheel(row.pip, row, warm.target, warm.ws)
    how, words = "pinned wheel", ["-c", _PIP_FROM_WHEEL, wine.windows_path(wheel), "install"]
    download = pins.get_pip(row, pins.load())
    if download is not None:
        try:
            script = _fetch(download, warm.ws)
            how, words = "get-pip", [wine.windows_path(script), "--no-setuptools", "--no-wheel"]
        except DownloadError as error:
            report.say(f"  {error.what}; using the pinned pip wheel")
        except OfflineError:
            report.say("  get-pip.py is not in the cache; using the pinned pip wheel")
    words += [f"pip=={row.pip.version}", "--find-links", wine.windows_path(wheel.parent)]
    _run_pip(python, warm, words, quiet=True)
    return how


def lay_out(python: WindowsPython, wheels: Sequence[Path]) -> None:
    """Install wheels of test dependencies from this machine, as Windows pip would: files, RECORD, launchers.

    That takes a tenth of the time that pip takes for it under Wine. The wheels under test are never installed this way.
    """
    from installer import install
    from installer.destinations import SchemeDictionaryDestination
    from installer.sources import WheelFile

    packages = str(python.home / "Lib" / "site-packages")
    scheme = {
        "purelib": packages,
        "platlib": packages,
        "headers": str(python.home / "Include"),
        "scripts": str(python.home / "Scripts"),
        "data": str(python.home),
    }
    for path in wheels:
        destination = SchemeDictionaryDestination(
            scheme,
            interpreter=wine.windows_path(python.executable),
            script_kind=_LAUNCHERS[python.arch],
            overwrite_existing=True,
        )
        with WheelFile.open(path) as source:
            install(source=source, destination=destination, additional_metadata={"INSTALLER": b"glean-steps"})


# The launchers that `installer` carries, by architecture.
_LAUNCHERS: Dict[str, Literal["win-amd64", "win-ia32"]] = {"amd64": "win-amd64", "win32": "win-ia32"}

_PIP_OFFLINE = (
    "--no-index",
    "--no-compile",
    "--no-warn-script-location",
    "--disable-pip-version-check",
    "--no-cache-dir",
)
# The host pip's settings name folders and hosts that mean nothing to an offline installation under Wine.
_PIP_ENV: Dict[str, Optional[str]] = {name: None for name in os.environ if name.startswith("PIP_")}


def pip_install(python: WindowsPython, warm: Wine, wheels: Sequence[Path], *, force: bool = False) -> None:
    """Install wheels with the Windows pip, offline and without looking for dependencies."""
    words = ["-m", "pip", "install", "-q", *(["--force-reinstall"] if force else [])]
    _run_pip(python, warm, [*words, *(wine.windows_path(wheel) for wheel in wheels)])


def _run_pip(python: WindowsPython, warm: Wine, words: Sequence[str], *, quiet: bool = False) -> None:
    argv = [python.executable, *words, "--no-deps", *_PIP_OFFLINE]
    warm.run(argv, timeout_s=PIP_TIMEOUT_S, cwd=python.home, changes=_PIP_ENV, quiet=quiet)


def dependency_wheels(row: PythonRow, target: Target, ws: Workspace) -> List[Path]:
    """Return the wheels of the test dependencies for a Windows Python, downloaded once on this machine.

    Environment markers are judged for the Windows Python: pip itself would judge them for the Python that runs it.
    """
    requirements = select_requirements((ws.root / project.SUITE_REQUIREMENTS).read_text(), row)
    key = workspace.fingerprint(requirements, row.minor, target.platform_tag)
    return _wheels(requirements, row, target, ws.cache / "dependencies" / f"{row.minor}-{target.arch}-{key[:16]}", ws)


def select_requirements(text: str, row: PythonRow) -> str:
    """Return the lines of a pinned requirements file that hold for a Windows Python, without their markers."""
    from packaging.requirements import Requirement

    environment = {
        "python_version": row.minor,
        "python_full_version": row.version,
        "sys_platform": "win32",
        "platform_system": "Windows",
        "os_name": "nt",
        "platform_machine": "AMD64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    selected = []
    for joined in text.replace("\\\n", " ").splitlines():
        head, *hashes = (part.strip() for part in joined.split("#", 1)[0].split("--hash="))
        if not head:
            continue
        requirement = Requirement(head)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            selected.append(" --hash=".join([f"{requirement.name}{requirement.specifier}", *hashes]) + "\n")
    return "".join(selected)
