"""A real Windows CPython: unpacked, site opened, pip bootstrapped into it, test dependencies installed offline.

Two providers, tried in this order: the embeddable zip of python.org (or a mirror), and where that server is out of
reach the signed runtime of the same minor version, as a wheel of the package index carries it, with the pure-Python
standard library of a CPython of this machine. Both give the same layout.
"""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Callable, ContextManager, Dict, List, Literal, Optional, Sequence, Tuple, TypeVar
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
_SUMS = "SHA256SUMS"

# python.exe of the embeddable zip is this and an icon; the runtime wheel has only the DLL.
_LAUNCHER_C = """#include <wchar.h>
int Py_Main(int argc, wchar_t **argv);
int wmain(int argc, wchar_t **argv) { return Py_Main(argc, argv); }
"""

# Runs pip out of a wheel. Its name is not pip's, or pip would refuse to "modify itself".
PIP_FROM_WHEEL = """import sys
wheel = sys.argv.pop(1)
sys.path.insert(0, wheel)
from pip._internal.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


# platform.uname() of Python 3.12 and later asks WMI, gives it a second to start, and then asks elsewhere. Wine 8 cannot
# answer, so every process would lose two seconds.
_SITECUSTOMIZE = """# Made for Wine, which has no usable WMI: platform then asks elsewhere at once.
import sys
sys.modules["_wmi"] = None
"""


@dataclass(frozen=True)
class WindowsPython:
    """A Windows CPython, ready to run under Wine.

    Attributes:
        version: the exact version, which a substitute runtime may change in its last part.
        arch: its architecture.
        home: the folder of python.exe.
        provider: how it came here.
    """

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
    lacks: List[str] = []
    healed = True
    for provider in (_embeddable_zip, _rebuilt_from_runtime):
        try:
            return provider(row, target, ws)
        except (DownloadError, OfflineError, MissingToolError, CommandFailedError) as error:
            healed = healed and not isinstance(error, OfflineError)
            lacks.append(f"{error.what} ({error.why})" if error.why else error.what)
    kind = DownloadError if healed else OfflineError
    raise kind(
        f"no Windows Python {row.version} for {target.arch}",
        why="; ".join(lacks),
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
    path = fetch.cached(download, ws.cache)
    if path is None:
        if not settings.OFFLINE.value():
            _refuse_known_unreachable(download.url, ws)
        try:
            path = fetch.fetch(download, ws.cache)
        except DownloadError as error:
            _remember_unreachable(download.url, error, ws)
            raise
    return path, row.version, "embeddable zip"


def _refuse_known_unreachable(url: str, ws: Workspace) -> None:
    """Raise at once when the same server was out of reach a short while ago: waiting again would only cost time."""
    stamp = ws.stamp(f"unreachable-{workspace.fingerprint(urlsplit(url).netloc)[:12]}")
    now = workspace.now()
    if stamp.is_current("unreachable") and 0 <= now - float(stamp.facts().get("at", 0.0)) < 600:
        raise DownloadError(
            f"could not fetch {url.rsplit('/', 1)[-1]}", why=f"{url} was out of reach within the last ten minutes"
        )


def _remember_unreachable(url: str, error: DownloadError, ws: Workspace) -> None:
    if " answered HTTP " in error.why:
        return  # A server that answers is in reach.
    stamp = ws.stamp(f"unreachable-{workspace.fingerprint(urlsplit(url).netloc)[:12]}")
    stamp.write("unreachable", facts={"at": workspace.now()})


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
    digest = result.with_suffix(".sha256")
    with workspace.lock(result.with_suffix(".lock"), f"rebuilding Windows Python {row.runtime_version}"):
        if not (result.exists() and digest.exists() and digest.read_text() == workspace.file_sha256(result)):
            system.require(system.linkers(target), ws)
            with report.step(f"rebuild Windows Python {row.runtime_version} {target.arch}"):
                wheel = download_wheel(pin, row, target, ws)
                with workspace.new_file(result) as new:
                    _rebuild(wheel, row, target, host, new, ws)
                workspace.write_text(digest, workspace.file_sha256(result))
    workspace.write_text(_rebuild_note(row, target, ws), result.name)
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
    except OSError:
        return None
    if not result.is_file():
        return None
    if workspace.file_sha256(result) != digest:
        report.say(f"{result} is damaged; it will be made again")
        result.unlink()
        return None
    return result


def _rebuild(wheel: Path, row: PythonRow, target: Target, host: interpreters.CPython, out: Path, ws: Workspace) -> None:
    """Write an archive with the layout of an embeddable zip."""
    scratch = out.with_suffix(".parts")
    try:
        scratch.mkdir()
        for filename, data in archive.read_members(wheel).items():
            folder, _, name = filename.rpartition("/")
            # Test modules and Tcl are no part of an embeddable zip; free-threaded twins belong to another Python.
            if folder != "deploy_libs" or ".cp" in name or name.lower().startswith(("tcl", "tk", "_tkinter", "_test")):
                continue
            (scratch / name).write_bytes(data)
        library = scratch / f"python{row.digits}.dll"
        if not library.is_file():
            raise MissingToolError(f"{wheel.name} carries no {library.name}")
        source = scratch / "launcher.c"
        source.write_text(_LAUNCHER_C)
        ws.run(
            [target.linker, "-municode", "-O2", "-s", "-static-libgcc", "-o", scratch / "python.exe", source, library],
            timeout_s=120,
        )
        source.unlink()
        ws.run(
            [host.executable, "-I", _PACKER, scratch / f"python{row.digits}.zip"],
            timeout_s=300,
            quiet=True,
        )
        (scratch / f"python{row.digits}._pth").write_text(f"python{row.digits}.zip\n.\n\n#import site\n")
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target_zip:
            for file in sorted(scratch.iterdir()):
                target_zip.write(file, file.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def download_wheel(pin: WheelPin, row: PythonRow, target: Target, ws: Workspace) -> Path:
    """Return a hash-pinned wheel of the package index from the cache, downloading it for the row's Windows tags."""
    requirement = f"{pin.project}=={pin.version} --hash=sha256:{pin.sha256}\n"
    folder = ws.cache / "wheels" / pin.sha256
    whole = _whole_wheel(folder, pin)
    if whole is not None:
        return whole
    with _cache_lock(folder, f"downloading {pin.project} {pin.version}"):
        whole = _whole_wheel(folder, pin)  # Whoever was waited for may have fetched it.
        if whole is not None:
            return whole
        for damaged in folder.glob("*.whl"):
            report.say(f"{damaged} is damaged; it will be fetched again")
        _host_download(requirement, row, target, folder, ws)
    found = sorted(folder.glob("*.whl"))
    if not found or workspace.file_sha256(found[0]) != pin.sha256:
        raise WrongHashError(
            f"the wheel of {pin.project} {pin.version} is not the one that was pinned",
            why=f"got {workspace.file_sha256(found[0]) if found else 'nothing'}, pinned is {pin.sha256}",
            fix="if the new file is right, renew the pin with `invoke pins`",
        )
    return found[0]


def _whole_wheel(folder: Path, pin: WheelPin) -> Optional[Path]:
    found = sorted(folder.glob("*.whl"))
    return found[0] if found and workspace.file_sha256(found[0]) == pin.sha256 else None


def _cache_lock(folder: Path, what: str) -> ContextManager[None]:
    """Hold the lock of one folder of the cache, which runs in other checkouts fill too."""
    return workspace.lock(folder.with_name(folder.name + ".lock"), what)


def _host_download(requirements: str, row: PythonRow, target: Target, folder: Path, ws: Workspace) -> None:
    """Download wheels with the pip that runs the steps, for a Windows Python; hashes are checked by pip."""
    if settings.OFFLINE.value():
        raise OfflineError(
            f"{folder.name} of the wheel cache is missing",
            why="GLEAN_OFFLINE forbids fetching: " + ", ".join(_names(requirements)),
            fix="run once without GLEAN_OFFLINE",
        )
    with workspace.new_folder(folder) as new:
        listed = new / "requirements.txt"
        listed.write_text(requirements)
        try:
            ws.run(
                [
                    *(sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"),
                    *("--require-hashes", "--only-binary=:all:", "--implementation", "cp"),
                    *("--platform", target.platform_tag, "--python-version", row.minor, "-d", new, "-r", listed),
                ],
                timeout_s=PIP_TIMEOUT_S,
            )
        except CommandFailedError as error:
            text = "\n".join(error.tail)
            if "DO NOT MATCH THE HASHES" in text:
                raise WrongHashError(
                    f"a wheel of {', '.join(_names(requirements))} is not the one that was pinned",
                    why=" ".join(line.strip() for line in error.tail if "Expected" in line or "Got" in line),
                    fix="if the new file is right, renew the pin with `invoke pins`",
                ) from error
            raise
        listed.unlink()


def _names(requirements: str) -> List[str]:
    return [line.split("==")[0].strip() for line in requirements.splitlines() if "==" in line]


def choose(version: Optional[str], target: Target, ws: Workspace) -> WindowsPython:
    """Return a ready Windows Python: the version asked for, else the default, else the first that can be had here.

    Raises:
        DownloadError, OfflineError: the version asked for, or every one, is out of reach.
    """
    found, note = _first(version, lambda row: ensure(row, target, ws))
    return replace(found, provider=f"{found.provider}; {note}") if note else found


def _first(version: Optional[str], make: Callable[[PythonRow], T]) -> Tuple[T, str]:
    """Return what is made of the first row that can be had, and why that isn't the default one, if it isn't."""
    table = pins.load()
    first = pins.find_python(version, table)
    chosen = version or settings.WINDOWS_PYTHON.value()
    try:
        return make(first), ""
    except (DownloadError, OfflineError) as error:
        if chosen:
            raise
        report.say(f"the default Windows Python {first.version} cannot be had here: {error.why}")
        for row in table.pythons:
            if row.minor == first.minor:
                continue
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
            row = pins.find_python(self.version)
        except StepError as error:
            return Probe("", why=error.what, fix=error.fix)
        found = _probe_row(row, self.target, ws)
        if found.why and not (self.version or settings.WINDOWS_PYTHON.value()):
            others = [other for other in pins.load().pythons if other.minor != row.minor]
            probes = (
                replace(probe, text=f"{other.version}: {probe.text}")
                for other, probe in ((other, _probe_row(other, self.target, ws)) for other in others)
                if not probe.why
            )
            return next(probes, found)
        return replace(found, text=f"{row.version}: {found.text}")

    def ensure(self, ws: Workspace) -> WindowsPython:
        """Return it, making what is missing."""
        return choose(self.version, self.target, ws)


def _probe_row(row: PythonRow, target: Target, ws: Workspace) -> Probe:
    facts = ws.stamp(f"python-{row.version}-{target.arch}").facts()
    if facts and (ws.state / "python" / f"{row.version}-{target.arch}" / "python.exe").exists():
        return Probe(f"set up: {facts.get('version')}, {facts.get('provider')}")
    offline = settings.OFFLINE.value()
    if offline and not any((ws.cache / "dependencies").glob(f"{row.minor}-{target.arch}-*/{_SUMS}")):
        why = f"GLEAN_OFFLINE is set, and pip and pytest for Windows Python {row.version} are not in the cache"
        return Probe("packages not in the cache", why=why, fix="run once without GLEAN_OFFLINE")
    texts, lacks = [], []
    for text, why in (_probe_zip(row, target, ws), _probe_runtime(row, target, ws)):
        texts += [] if why else [text]
        lacks += [why] if why else []
    if not texts:
        fix = f"name a mirror with GLEAN_PYTHON_MIRROR, or install a CPython {row.minor} on this machine"
        return Probe("not to be had", why=f"no Windows Python {row.version}: {'; '.join(lacks)}", fix=fix)
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
    try:
        _refuse_known_unreachable(download.url, ws)
    except DownloadError:
        return "", f"{host} was out of reach within the last ten minutes"
    return f"zip, if {host} is in reach", ""


def _probe_runtime(row: PythonRow, target: Target, ws: Workspace) -> Tuple[str, str]:
    """Return how it could be rebuilt, or why it cannot."""
    pin = row.runtime.get(target.arch)
    if pin is None:
        return "", "no runtime wheel is pinned for it"
    note = _rebuild_note(row, target, ws)
    try:
        if note.with_name(note.read_text(encoding="utf-8")).is_file():
            return f"rebuilt earlier ({row.runtime_version}), in the cache", ""
    except OSError:
        pass
    host = interpreters.find_all(ws).get(row.minor)
    if host is None:
        return "", f"no CPython {row.minor} on this machine lends its standard library"
    if settings.OFFLINE.value() and not any((ws.cache / "wheels" / pin.sha256).glob("*.whl")):
        return "", f"GLEAN_OFFLINE is set and {pin.project} is not in the cache"
    return f"rebuilt ({row.runtime_version}) with the CPython {host.version} here", ""


# --- pip and packages in it -------------------------------------------------------------------------------------------


def ready_key(row: PythonRow, ws: Workspace) -> str:
    """Return the key over everything that shapes a Windows CPython with pip and the test dependencies."""
    return workspace.fingerprint(_RECIPE, asdict(row), _requirements_file(ws), _PACKER, _LAUNCHER_C, _SITECUSTOMIZE)


def ensure(row: PythonRow, target: Target, ws: Workspace) -> WindowsPython:
    """Return a Windows CPython with pip and the test dependencies, making what is missing.

    Interrupted anywhere, the next call starts over from the verified archive. What is finished is recognised by a stamp
    over everything that shaped it, at no cost.
    """
    home = ws.state / "python" / f"{row.version}-{target.arch}"
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
            if home.exists():
                shutil.rmtree(home)
            archive.unpack(packed, home)
            open_site(home / f"python{row.digits}._pth")
            workspace.write_text(home / "Lib" / "site-packages" / "sitecustomize.py", _SITECUSTOMIZE)
            python = WindowsPython(version, target.arch, home, provider)
            how = bootstrap_pip(python, row, target, ws, warm)
            lay_out(python, wheels)
        files = [
            python.executable,
            home / f"python{row.digits}._pth",
            home / "Lib" / "site-packages" / "pip" / "__init__.py",
        ]
        stamp.write(key, files=files, facts={"version": version, "provider": provider, "pip": how})
    return python


def open_site(pth: Path) -> None:
    """Let site run, so that site-packages counts: uncomment or append `import site` once, whatever the line ends."""
    lines = pth.read_bytes().decode("utf-8").splitlines()
    if "import site" in [line.strip() for line in lines]:
        return
    opened = ["import site" if line.replace(" ", "") == "#importsite" else line for line in lines]
    if "import site" not in opened:
        opened.append("import site")
    workspace.write_text(pth, "\r\n".join(opened) + "\r\n")


def bootstrap_pip(
    python: WindowsPython,
    row: PythonRow,
    target: Target,
    ws: Workspace,
    warm: Wine,
) -> str:
    """Put pip into a Windows Python by that Python's own get-pip, else by the pinned pip wheel; return which.

    The pip that comes in is the pinned one either way, from a wheel that was fetched and verified on this machine.
    """
    wheel = download_wheel(row.pip, row, target, ws)
    script = python.home / "bootstrap_packages.py"
    how = "pinned wheel"
    arguments: List[object] = []
    download = pins.get_pip(row, pins.load())
    if download is not None:
        try:
            got = fetch.cached(download, ws.cache)
            if got is None:
                _refuse_known_unreachable(download.url, ws)
                got = fetch.fetch(download, ws.cache)
            shutil.copyfile(got, script)
            arguments = ["--no-setuptools", "--no-wheel", f"pip=={row.pip.version}"]
            how = "get-pip"
        except DownloadError as error:
            _remember_unreachable(download.url, error, ws)
            report.say(f"  {error.what}; using the pinned pip wheel")
        except OfflineError:
            report.say("  get-pip.py is not in the cache; using the pinned pip wheel")
    if how != "get-pip":
        script.write_text(PIP_FROM_WHEEL)
        arguments = [wine.windows_path(wheel), "install", f"pip=={row.pip.version}"]
    try:
        warm.run(
            [
                python.executable,
                script.name,
                *arguments,
                "--no-deps",
                *_PIP_OFFLINE,
                "--find-links",
                wine.windows_path(wheel.parent),
            ],
            timeout_s=PIP_TIMEOUT_S,
            cwd=python.home,
            changes=_PIP_ENV,
            quiet=True,
        )
    finally:
        script.unlink(missing_ok=True)
    return how


def lay_out(python: WindowsPython, wheels: Sequence[Path]) -> None:
    """Install wheels of test dependencies from this machine, as Windows pip would: files, RECORD, launchers.

    That takes a tenth of the time that pip takes for it under Wine. The wheels under test are never installed this way.
    """
    from installer import install
    from installer.destinations import SchemeDictionaryDestination
    from installer.sources import WheelFile
    from installer.utils import get_launcher_kind

    scheme = {
        "purelib": str(python.home / "Lib" / "site-packages"),
        "platlib": str(python.home / "Lib" / "site-packages"),
        "headers": str(python.home / "Include"),
        "scripts": str(python.home / "Scripts"),
        "data": str(python.home),
    }
    for path in wheels:
        destination = SchemeDictionaryDestination(
            scheme,
            interpreter=wine.windows_path(python.executable),
            script_kind=_LAUNCHERS.get(python.arch, get_launcher_kind()),
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
    warm.run(
        [
            python.executable,
            *("-m", "pip", "install", "-q", "--no-deps", *_PIP_OFFLINE),
            *(("--force-reinstall",) if force else ()),
            *[wine.windows_path(wheel) for wheel in wheels],
        ],
        timeout_s=PIP_TIMEOUT_S,
        cwd=python.home,
        changes=_PIP_ENV,
    )


def _requirements_file(ws: Workspace) -> Path:
    return ws.root / project.SUITE_REQUIREMENTS


def dependency_wheels(row: PythonRow, target: Target, ws: Workspace) -> List[Path]:
    """Return the wheels of the test dependencies for a Windows Python, downloaded once on this machine.

    Environment markers are judged for the Windows Python: pip itself would judge them for the Python that runs it.
    """
    requirements = select_requirements(_requirements_file(ws).read_text(), row)
    key = workspace.fingerprint(requirements, row.minor, target.platform_tag)
    folder = ws.cache / "dependencies" / f"{row.minor}-{target.arch}-{key[:16]}"
    whole = _whole_wheels(folder)
    if whole is not None:
        return whole
    with _cache_lock(folder, "downloading test dependencies"):
        whole = _whole_wheels(folder)  # Whoever was waited for may have fetched them.
        if whole is not None:
            return whole
        if folder.exists():
            report.say(f"{folder} is damaged; its wheels will be fetched again")
        _host_download(requirements, row, target, folder, ws)
        wheels = sorted(folder.glob("*.whl"))
        sums = "".join(f"{workspace.file_sha256(path)}  {path.name}\n" for path in wheels)
        workspace.write_text(folder / _SUMS, sums)
    return wheels


def _whole_wheels(folder: Path) -> Optional[List[Path]]:
    """Return the wheels of a cache folder that are listed in it, or None when one is missing or damaged."""
    try:
        listed = dict(line.split("  ", 1)[::-1] for line in (folder / _SUMS).read_text().splitlines())
    except (OSError, ValueError):
        return None
    wheels = [folder / name for name in listed]
    if wheels and all(path.is_file() and workspace.file_sha256(path) == listed[path.name] for path in wheels):
        return wheels
    return None


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
        line = joined.split("#", 1)[0].strip()
        if not line:
            continue
        head, *options = line.split(" --hash=")
        requirement = Requirement(head.strip())
        if requirement.marker is None or requirement.marker.evaluate(environment):
            hashes = " ".join(f"--hash={option.strip()}" for option in options)
            selected.append(f"{requirement.name}{requirement.specifier} {hashes}\n")
    return "".join(selected)
