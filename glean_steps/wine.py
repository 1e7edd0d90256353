"""Wine: which one runs an architecture, a prefix of the project's own, and a warm session in it.

A prefix lives in the checkout's state folder, named by a key over everything that shapes it. Every program in it
inherits WINEPREFIX, which is how the whole tree of a prefix is found and ended, Wine's own daemons included.
"""

from __future__ import annotations

import glob
import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from glean_steps import report, roots, runner, settings, system, workspace
from glean_steps.errors import CommandFailedError, MissingToolError, NotProvableError, StepError
from glean_steps.prerequisites import Probe
from glean_steps.targets import Target
from glean_steps.workspace import Stamp, Workspace

if TYPE_CHECKING:
    from typing_extensions import Unpack

PREFIX_TIMEOUT_S = 300.0
ROOT_TIMEOUT_S = 1200.0
END_TIMEOUT_S = 10.0
_RECIPE = 5  # Raise it when what this module does to a prefix changes.

# No offers to download Mono or Gecko, no menu entries, no debugger. No WMI: platform.uname() of Python 3.12 and later
# asks it first, and in Wine 8 that query never returns; refused, it ends. No mount manager: every stat and open asks it
# for the volume's serial number, through two processes; the Python suite takes a third less time without. What is lost
# is st_dev, which is 0 then.
_OVERRIDES = "mscoree,mshtml,wbemprox=;winemenubuilder.exe,winedbg.exe,mountmgr.sys=d"

# The loader and the server of Debian 13's Wine 10 abort where this is set: `free(): invalid pointer`.
_HARMFUL: Mapping[str, Optional[str]] = {"TMPDIR": None}

# Nothing may ever wait for a click: no crash dialog, no desktop to draw one on, no debugger. Windows 10 is what current
# CPython wants, and old Wines pretend to be Windows 7.
_REGISTRY = """REGEDIT4

[HKEY_CURRENT_USER\\Software\\Wine]
"Version"="win10"

[HKEY_CURRENT_USER\\Software\\Wine\\WineDbg]
"ShowCrashDialog"=dword:00000000

[HKEY_CURRENT_USER\\Software\\Wine\\Drivers]
"Graphics"="null"
"Audio"=""

[HKEY_LOCAL_MACHINE\\Software\\Microsoft\\Windows NT\\CurrentVersion\\AeDebug]
"Auto"="0"
"Debugger"=""
"""

# Rust's std takes its random seeds from ProcessPrng, which Windows 10 has and Wine before 8.12 or so has not; a program
# that imports it dies at load without a word. SystemFunction036 is RtlGenRandom, the same source of randomness.
_SHIM_C = """#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG size);
BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, LPVOID reserved)
{
    (void)instance; (void)reason; (void)reserved;
    return TRUE;
}
BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size)
{
    while (size > 0) {
        ULONG part = size > 0x10000000 ? 0x10000000 : (ULONG)size;
        if (!SystemFunction036(data, part)) return FALSE;
        data += part;
        size -= part;
    }
    return TRUE;
}
"""
_SHIM_DEF = "LIBRARY bcryptprimitives.dll\nEXPORTS\n    ProcessPrng\n"

# Enters a private root for one command, with this machine's data folders at the same paths.
_ENTER = Path(__file__).with_name("enter_root.sh")


@dataclass(frozen=True)
class Provider:
    """A Wine that runs programs of one Windows architecture, in a private system `root` or as this machine's own.

    `halves` are those of Wine that are installed there: a 64-bit prefix that was made without the 32-bit half has no
    `syswow64`, and is another prefix than one that was made with it.
    """

    name: str
    version: str
    loader: str = "wine"
    halves: str = ""
    root: Optional[Path] = None

    def argv(self, command: Sequence[object], cwd: Path) -> List[object]:
        """Return the command line that starts `command` where this Wine lives."""
        if self.root is None:
            return list(command)
        return ["unshare", "--mount", "--propagation", "unchanged", "--", "sh", _ENTER, self.root, cwd, *command]


@dataclass(frozen=True)
class Wine:
    """A warm prefix for one architecture; programs start in it within a tenth of a second."""

    ws: Workspace
    provider: Provider
    prefix: Path
    target: Target

    def run(
        self,
        argv: Sequence[object],
        *,
        timeout_s: float,
        changes: Optional[Mapping[str, Optional[str]]] = None,
        **options: Unpack[runner.RunOptions],
    ) -> runner.Completed:
        """Run a Windows program to its end; its exit status is the true one (modulo 256, as Wine passes it on).

        Wine's loader understands paths of this machine. Past the deadline the whole tree of the prefix is ended.
        `changes` are made to the environment; None removes a variable.

        Raises:
            CommandFailedError, DeadlineError: as `runner.run`.
        """
        where = options.get("cwd") or Path.cwd()
        given: runner.RunOptions = {
            **options,
            "cwd": where,
            "env": self.env(changes),
            "on_deadline": lambda: end_prefix(self.prefix),
        }
        return self.ws.run(self.provider.argv([self.provider.loader, *argv], where), timeout_s=timeout_s, **given)

    def server(self, option: str, *, check: bool = True) -> None:
        """Call the wineserver of this prefix."""
        argv, env = self.provider.argv(["wineserver", option], self.prefix), self.env()
        self.ws.run(argv, timeout_s=PREFIX_TIMEOUT_S, env=env, cwd=self.prefix, check=check, detached=True)

    def env(self, changes: Optional[Mapping[str, Optional[str]]] = None) -> Dict[str, str]:
        """Return the whole environment of a program in this prefix."""
        # What belongs to the Python that runs the steps must not reach the Windows one.
        own = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "VIRTUAL_ENV")
        return runner.child_env({**self.env_changes(), **dict.fromkeys(own), **(changes or {})})

    def env_changes(self) -> Dict[str, Optional[str]]:
        """Return the variables of this prefix, for a program of this machine that starts others; None removes one."""
        loader = self.provider.loader
        return {
            **_HARMFUL,
            "WINELOADER": loader if os.path.isabs(loader) else None,
            "WINEPREFIX": str(self.prefix),
            "WINEARCH": self.target.wine_arch,
            "WINEDEBUG": os.environ.get("WINEDEBUG", "-all"),
            "WINEDLLOVERRIDES": _OVERRIDES,
            # Paths with letters outside ASCII are only mapped in a UTF-8 locale.
            "LC_ALL": "C.UTF-8",
            "LANG": "C.UTF-8",
            # An empty display is none, and no window can open on it.
            "DISPLAY": "",
            "WAYLAND_DISPLAY": "",
        }


def windows_path(path: Path) -> str:
    """Return a path of this machine as Windows programs under Wine see it (drive Z is the root)."""
    return "Z:" + str(path.absolute()).replace("/", "\\")


# --- which Wine -------------------------------------------------------------------------------------------------------


def provider_for(target: Target, ws: Workspace) -> Provider:
    """Return the first Wine that runs the target's programs, installing or making one where that is allowed.

    Raises:
        NotProvableError: none can; says what each provider lacks.
    """
    lacks = []
    for attempt in _PROVIDERS[target.wine_arch]:
        try:
            found = attempt(ws)
        except StepError as error:
            tail = ": " + " ".join(error.tail[-3:]) if isinstance(error, CommandFailedError) else ""
            lacks.append(f"{attempt.__doc__} {error.what} ({error.why or error.fix}){tail}")
            continue
        if found is not None:
            return found
    raise NotProvableError(
        f"no Wine here runs {target.arch} programs",
        why="; ".join(lacks) or "no provider applies to this machine",
        fix="install one, on Debian and Ubuntu: sudo dpkg --add-architecture i386 && sudo apt-get update && "
        "sudo apt-get install -y wine wine64 wine32:i386",
    )


def _machine_wine(ws: Workspace) -> Optional[Provider]:
    """This machine's Wine."""
    system.require([system.WINE], ws)
    return _machine_provider("this machine's Wine", _loader64(), ws)


def _machine_wine32(ws: Workspace) -> Optional[Provider]:
    """This machine's Wine, where its 32-bit half is installed."""
    return _machine_provider("this machine's Wine, 32-bit", "wine", ws) if has_wine32() else None


def _machine_provider(name: str, loader: str, ws: Workspace) -> Provider:
    return Provider(name, version(ws, [loader]), loader, "64+32" if has_wine32() else "64")


def _loader64() -> str:
    """Return the 64-bit loader: Debian's `wine` starts the 32-bit one as soon as there is one, in any prefix."""
    return str(system.find_program("wine64", ("/usr/lib/wine",)) or "wine")


def _multiarch_wine32(ws: Workspace) -> Optional[Provider]:
    """The distribution's 32-bit half, installed beside the 64-bit one."""
    if system.why_not_installed():
        return None
    failed = Stamp(ws.cache / "stamps" / "multiarch-wine32.json")
    key = workspace.fingerprint(system.os_release(), Path("/proc/sys/kernel/random/boot_id"))
    if failed.is_current(key):
        return None
    # An architecture that is already enabled is the owner's wish; one that would have to be enabled only for this is
    # not kept when the distribution's two halves cannot be installed together.
    architectures = ws.run(["dpkg", "--print-foreign-architectures"], timeout_s=30, quiet=True).stdout.split()
    added = "i386" not in architectures
    report.say("32-bit Windows programs need wine32; trying the distribution's package for i386")
    if added:
        ws.run(["dpkg", "--add-architecture", "i386"], timeout_s=30)
    ws.run(["apt-get", "update", "-q"], timeout_s=300, check=False, quiet=True)
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "wine32:i386"]
    trial = ws.run([*install, "--simulate"], timeout_s=120, check=False, quiet=True)
    # apt solves a conflict by removing packages; nobody asked for that.
    if trial.status == 0 and not any(line.startswith("Remv ") for line in trial.stdout.splitlines()):
        env = runner.child_env({"DEBIAN_FRONTEND": "noninteractive"})
        if ws.run(install, timeout_s=900, check=False, env=env).status == 0 and has_wine32():
            return _machine_wine32(ws)
    report.say("  its i386 packages cannot be installed beside the amd64 ones now; going on without")
    if added:
        ws.run(["dpkg", "--remove-architecture", "i386"], timeout_s=30, check=False)
        ws.run(["apt-get", "update", "-q"], timeout_s=300, check=False, quiet=True)
    failed.write(key)
    return None


def _private_wine32(ws: Workspace) -> Optional[Provider]:
    """A small i386 system of the project's own, which holds nothing but Wine; entered by unshare and chroot."""
    if not system.is_root():
        raise MissingToolError("a private 32-bit root needs root", why="unshare and chroot are not allowed to users")
    system.require([system.UNSHARE], ws)
    root = _private_root(ws)
    if not (root / ".complete").exists():
        if settings.OFFLINE.value():
            raise MissingToolError(f"{root} is missing", why="GLEAN_OFFLINE forbids making it")
        system.require([system.DEBOOTSTRAP], ws)
        roots.make_once(root, "make a private 32-bit Wine root (once, about 75 s, 1.1 GB)", partial(_fill_root, ws))
    provider = Provider("private 32-bit root", "", halves="32", root=root)
    return replace(provider, version=version(ws, provider.argv([provider.loader], ws.root)))


def _private_root(ws: Workspace) -> Path:
    return ws.cache / "wine32-root" / f"{system.os_release().get('VERSION_CODENAME', '')}-2"


def _fill_root(ws: Workspace, new: Path) -> None:
    suite = system.os_release().get("VERSION_CODENAME", "")
    # The binaries of a suite's point releases agree among themselves; --variant=minbase leaves out what Wine does not
    # need.
    argv = ["debootstrap", "--arch=i386", "--variant=minbase", "--include=wine,wine32", suite, new, roots.mirror(ws)]
    ws.run(argv, timeout_s=ROOT_TIMEOUT_S, quiet=True)
    shutil.rmtree(new / "var" / "cache" / "apt", ignore_errors=True)


def has_wine32() -> bool:
    """Return whether the machine's Wine can run 32-bit programs: its i386 half, or a Wine that needs none."""
    patterns = (
        "/usr/lib/i386-linux-gnu/wine/i386-unix/ntdll.so",
        "/usr/lib/i386-linux-gnu/wine/ntdll.dll.so",
        "/opt/wine-*/lib/wine/i386-unix/ntdll.so",
    )
    return shutil.which("wine") is not None and any(glob.glob(pattern) for pattern in patterns)


def version(ws: Workspace, loader: Sequence[object]) -> str:
    """Return what a loader prints about its version, such as `wine-8.0`."""
    env = runner.child_env({**_HARMFUL, "WINEDEBUG": "-all", "DISPLAY": None})
    return ws.run([*loader, "--version"], timeout_s=60, quiet=True, env=env).stdout.strip().splitlines()[-1].strip()


_PROVIDERS: Dict[str, Tuple[Callable[[Workspace], Optional[Provider]], ...]] = {
    "win64": (_machine_wine,),
    "win32": (_machine_wine32, _multiarch_wine32, _private_wine32),
}


# --- the prefix -------------------------------------------------------------------------------------------------------


def prefix_key(provider: Provider, target: Target) -> str:
    """Return the key over everything that shapes a prefix."""
    shaping = (_RECIPE, provider.version, provider.name, provider.loader, provider.halves, target.triple)
    return workspace.fingerprint(*shaping, _OVERRIDES, _REGISTRY, _SHIM_C)[:12]


def ensure_prefix(target: Target, ws: Workspace) -> Tuple[Provider, Path]:
    """Return a Wine and a finished prefix for the target, making what is missing."""
    provider = remembered_provider(target, ws)
    key = prefix_key(provider, target)
    prefix = ws.state / "prefix" / f"{target.arch}-{key}"
    if (prefix / ".complete").exists() and (prefix / "system.reg").exists():
        return provider, prefix
    with report.step(f"make a Wine prefix for {target.arch} ({provider.version}, {provider.name})"):
        # Other keys, and what a killed run left unfinished: its programs still write there.
        for old in [*prefix.parent.glob(f"{target.arch}-*"), *prefix.parent.glob(f".{target.arch}-*.part")]:
            end_prefix(old)
            shutil.rmtree(old, ignore_errors=True)
        with workspace.new_folder(prefix) as new:
            try:
                _fill_prefix(Wine(ws, provider, new, target))
            finally:
                end_prefix(new)
            (new / ".complete").write_text(key)
    return provider, prefix


def prepare(targets: Sequence[Target], ws: Workspace) -> None:
    """Install or make the Wine of every target, before the first prefix: it holds what both halves of Wine bring."""
    for target in targets:
        remembered_provider(target, ws)


def remembered_provider(target: Target, ws: Workspace) -> Provider:
    """Return the provider found earlier while the programs it is made of are unchanged; asking them takes a second."""
    stamp = ws.stamp(f"wine-{target.arch}")
    key = workspace.fingerprint(_RECIPE, identity(), str(ws.cache))
    facts = stamp.facts()
    if facts and stamp.is_current(key):
        root = Path(facts["root"]) if facts.get("root") else None
        if root is None or (root / ".complete").exists():
            return Provider(facts["name"], facts["version"], facts["loader"], facts["halves"], root)
    provider = provider_for(target, ws)
    facts = {**asdict(provider), "root": str(provider.root or "")}
    # Making the provider may have installed a Wine, so the key is taken again.
    stamp.write(workspace.fingerprint(_RECIPE, identity(), str(ws.cache)), facts=facts)
    return provider


def identity() -> List[object]:
    """Return what tells one installed Wine from another, from file attributes alone."""
    lists = [f"/var/lib/dpkg/info/libwine:{arch}.list" for arch in ("amd64", "i386")]
    names = [shutil.which("wine"), *lists, _loader64()]
    return [(name, os.stat(name).st_mtime_ns) for name in names if name and os.path.exists(name)]


def _fill_prefix(wine: Wine) -> None:
    prefix = wine.prefix
    wine.run(["wineboot", "-i"], timeout_s=PREFIX_TIMEOUT_S, cwd=prefix, detached=True)
    system_folder = prefix / "drive_c" / "windows" / "system32"
    if not system_folder.is_dir():
        raise CommandFailedError(
            f"wineboot made no prefix in {prefix}", why=f"{system_folder} is missing", fix="run `wineboot -i` by hand"
        )
    settings = prefix / "settings.reg"
    settings.write_text(_REGISTRY)
    wine.run(["regedit", "/S", windows_path(settings)], timeout_s=PREFIX_TIMEOUT_S, cwd=prefix, detached=True)
    shim = system_folder / "bcryptprimitives.dll"
    if not shim.exists():
        _build_shim(wine.target, shim, wine.ws)
    # The registry is written out when the server ends, and a prefix is finished when it is on disk. A server that had
    # ended by itself is status 1 to the first.
    wine.server("-k", check=False)
    wine.server("-w", check=False)


def _build_shim(target: Target, dll: Path, ws: Workspace) -> None:
    """Build the DLL that exports ProcessPrng, and put it where Windows programs look."""
    system.require(system.linkers(target), ws)
    source = dll.with_suffix(".c")
    definition = dll.with_suffix(".def")
    source.write_text(_SHIM_C)
    definition.write_text(_SHIM_DEF)
    argv = [target.linker, "-shared", "-s", "-O2", "-static-libgcc", "-Wl,--enable-stdcall-fixup", "-o", dll]
    ws.run([*argv, source, definition, "-ladvapi32"], timeout_s=120)
    source.unlink()
    definition.unlink()


@dataclass(frozen=True)
class Prefix:
    """A Wine and a finished prefix for a target, as a prerequisite."""

    target: Target

    @property
    def name(self) -> str:
        """The architecture."""
        return f"Wine for {self.target.arch}"

    def probe(self, ws: Workspace) -> Probe:
        """Say which Wine would run the target's programs."""
        absent = (system.WINE.name,) if system.find(system.WINE) is None else ()
        if self.target.wine_arch == "win64" or (not absent and has_wine32()):
            return Probe("missing" if absent else f"this machine's, {self._version(ws)}", missing=absent)
        package = f"{system.sudo()}dpkg --add-architecture i386 && {system.sudo()}apt-get update; "
        package += f"{system.sudo()}apt-get install -y wine32:i386"
        root = _private_root(ws)
        is_made = (root / ".complete").exists()
        why, fix = "", package
        if not system.is_root():
            why = "a private one needs root"
        elif not is_made and settings.OFFLINE.value():
            why, fix = "GLEAN_OFFLINE forbids making one", "run once without GLEAN_OFFLINE"
        elif not _may_unshare(ws):
            why = "this system forbids mounts of one's own (an unprivileged container?)"
        if why:
            return Probe("missing", absent, why=f"there is no 32-bit Wine, and {why}", fix=fix)
        if is_made:
            return Probe(f"private 32-bit root, {root}", absent)
        lacks = tuple(tool.name for tool in system.missing([system.UNSHARE, system.DEBOOTSTRAP]))
        text = "the distribution's wine32, else a private 32-bit root"
        return Probe(text, (*absent, *lacks), "gets a 32-bit Wine (75 s, 1.1 GB)")

    def _version(self, ws: Workspace) -> str:
        try:
            return version(ws, [_loader64()])
        except (StepError, IndexError):
            return "which prints no version"

    def ensure(self, ws: Workspace) -> Path:
        """Return the prefix, making it if need be."""
        return ensure_prefix(self.target, ws)[1]


@dataclass(frozen=True)
class Wines:
    """The Wine of every target that can have one; needed before the first prefix, see `prepare`."""

    targets: Tuple[Target, ...]
    name: str = "Wine"

    def probe(self, ws: Workspace) -> Probe:
        """Say nothing: `Prefix` does."""
        return Probe("see each architecture")

    def ensure(self, ws: Workspace) -> None:
        """Get what can be had; a suite that needs another says so itself."""
        for target in self.targets:
            try:
                remembered_provider(target, ws)
            except NotProvableError as error:
                report.say(f"  {error.what}: {error.why}")


def _may_unshare(ws: Workspace) -> bool:
    """Return whether root may make a mount namespace here, which containers often forbid; it vanishes at once."""
    try:
        argv = ["unshare", "--mount", "--propagation", "private", "--", "true"]
        return ws.run(argv, timeout_s=10, check=False, quiet=True, echo=False).status == 0
    except StepError:
        return False


# --- the session ------------------------------------------------------------------------------------------------------

_warm: Dict[Path, Wine] = {}


@contextmanager
def session(target: Target, ws: Workspace) -> Iterator[Wine]:
    """Keep one wineserver warm for the block, and end it with every program of the prefix afterwards.

    A session inside a session of the same prefix uses the one that is there.
    """
    provider, prefix = ensure_prefix(target, ws)
    if prefix in _warm:
        yield _warm[prefix]
        return
    # What a killed run left here would serve this one with an old environment.
    end_prefix(prefix)
    wine = Wine(ws, provider, prefix, target)
    try:
        wine.server("-p")
        # Wine's services start with the first program and keep its output open, so that one writes nowhere.
        wine.run(["cmd", "/c", "exit"], timeout_s=120, cwd=prefix, detached=True)
        _warm[prefix] = wine
        yield wine
    finally:
        _warm.pop(prefix, None)
        end_prefix(prefix)


def end_prefix(prefix: Path) -> None:
    """End every program of a prefix, the wineserver last, and return when none is left."""
    limit = time.monotonic() + END_TIMEOUT_S
    left = set(processes(prefix))
    # SIGINT asks a wineserver to end its clients and itself, as `wineserver -k` does, without its program.
    for pid in left:
        _signal(pid, signal.SIGINT if _is_server(pid) else signal.SIGTERM)
    # A program that ends loses its environment before its files: a wineserver still has its lock then.
    while left := {pid for pid in left.union(processes(prefix)) if _is_alive(pid)}:
        if time.monotonic() > limit:
            for pid in processes(prefix):
                _signal(pid, signal.SIGKILL)
        if time.monotonic() > limit + END_TIMEOUT_S:
            report.say(f"processes {sorted(left)} of {prefix} do not end")
            return
        time.sleep(0.02)


def processes(prefix: Path) -> List[int]:
    """Return the ids of the living processes that belong to a prefix."""
    wanted = b"WINEPREFIX=" + os.fsencode(prefix)
    found = []
    for entry in os.listdir("/proc") if sys.platform.startswith("linux") else ():
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environment = Path("/proc", entry, "environ").read_bytes()
            if wanted in environment.split(b"\0"):
                found.append(int(entry))
        except OSError:
            continue  # It ended, or it is somebody else's.
    return found


def _is_server(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("wineserver")
    except OSError:
        return False


def _is_alive(pid: int) -> bool:
    """Return whether a process has not ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def end_all(ws: Workspace) -> None:
    """End every program of every prefix of this checkout."""
    for prefix in sorted((ws.state / "prefix").glob("*")):
        end_prefix(prefix)
