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
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from glean_steps import fetch, report, runner, system, workspace
from glean_steps.errors import CommandFailedError, MissingToolError, NotProvableError, StepError
from glean_steps.targets import Target
from glean_steps.workspace import Stamp, Workspace

PREFIX_TIMEOUT_S = 300.0
ROOT_TIMEOUT_S = 1200.0
END_TIMEOUT_S = 10.0
_RECIPE = 5  # Raise it when what this module does to a prefix changes.

# No offers to download Mono or Gecko, no menu entries, no debugger. Without WMI, because the query that
# platform.uname() of Python 3.12 and later asks first ends in a function that Wine 8 lacks and never returns; refused,
# it ends.
# Without the mount manager, because every stat and open asks it for the volume's serial number, through two processes:
# the Python suite takes a third less time without. What is lost is st_dev, which is 0 then.
_OVERRIDES = "mscoree,mshtml,wbemprox=;winemenubuilder.exe,winedbg.exe,mountmgr.sys=d"

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
    """A Wine that runs programs of one Windows architecture.

    Attributes:
        name: how it came here, for tables.
        version: what it prints of itself, such as `wine-8.0`.
        loader: the program that starts Windows programs of this architecture.
        halves: which halves of Wine are installed there. A 64-bit prefix that was made without the 32-bit half has no
            `syswow64`, and is another prefix than one that was made with it.
        root: a private system root that it lives in; None for the machine's own.
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

    provider: Provider
    prefix: Path
    target: Target

    def run(
        self,
        argv: Sequence[object],
        *,
        timeout_s: float,
        cwd: Optional[Path] = None,
        env: Optional[Mapping[str, Optional[str]]] = None,
        check: bool = True,
        quiet: bool = False,
        split_stderr: bool = False,
        detached: bool = False,
        forward: bool = False,
    ) -> runner.Completed:
        """Run a Windows program to its end; its exit status is the true one (modulo 256, as Wine passes it on).

        Args:
            argv: a Windows program and its arguments; paths of this machine are understood by Wine's loader.
            timeout_s: the deadline; past it the whole tree of the prefix is ended.
            env: changes to the environment; None removes a variable.

        Raises:
            CommandFailedError, DeadlineError: as `runner.run`.
        """
        where = cwd or Path.cwd()
        return runner.run(
            self.provider.argv([self.provider.loader, *argv], where),
            timeout_s=timeout_s,
            cwd=where,
            env=self.env(env),
            check=check,
            quiet=quiet,
            split_stderr=split_stderr,
            detached=detached,
            forward=forward,
            on_deadline=lambda: end_prefix(self.prefix),
        )

    def env(self, changes: Optional[Mapping[str, Optional[str]]] = None) -> Dict[str, str]:
        """Return the environment of a program in this prefix."""
        return prefix_env(self.provider, self.prefix, self.target, changes)

    def env_changes(self) -> Dict[str, str]:
        """Return the variables of this prefix, for a program of this machine that starts others."""
        return _prefix_changes(self.provider, self.prefix, self.target)


def _prefix_changes(provider: Provider, prefix: Path, target: Target) -> Dict[str, str]:
    """Return the variables of a prefix; a WINEDEBUG that the caller set wins."""
    loader = {"WINELOADER": provider.loader} if os.path.isabs(provider.loader) else {}
    return {
        **loader,
        "WINEPREFIX": str(prefix),
        "WINEARCH": target.wine_arch,
        "WINEDEBUG": os.environ.get("WINEDEBUG", "-all"),
        "WINEDLLOVERRIDES": _OVERRIDES,
        # Paths with letters outside ASCII are only mapped in a UTF-8 locale.
        "LC_ALL": "C.UTF-8",
        "LANG": "C.UTF-8",
        # An empty display is none, and no window can open on it.
        "DISPLAY": "",
        "WAYLAND_DISPLAY": "",
    }


def prefix_env(
    provider: Provider, prefix: Path, target: Target, changes: Optional[Mapping[str, Optional[str]]] = None
) -> Dict[str, str]:
    """Return the whole environment of a program in a prefix."""
    return runner.child_env(
        {
            "WINELOADER": None,
            **_prefix_changes(provider, prefix, target),
            # What belongs to the Python that runs the steps must not reach the Windows one.
            "PYTHONPATH": None,
            "PYTHONHOME": None,
            "PYTHONDONTWRITEBYTECODE": None,
            "PYTHONPYCACHEPREFIX": None,
            "VIRTUAL_ENV": None,
            **(changes or {}),
        }
    )


def windows_path(path: Path) -> str:
    """Return a path of this machine as Windows programs under Wine see it (drive Z is the root)."""
    return "Z:" + str(path.absolute()).replace("/", "\\")


# --- which Wine -------------------------------------------------------------------------------------------------------


def provider_for(target: Target, ws: Workspace, *, run: runner.Run = runner.run) -> Provider:
    """Return the first Wine that runs the target's programs, installing or making one where that is allowed.

    Raises:
        NotProvableError: none can; says what each provider lacks.
    """
    lacks = []
    for attempt in _PROVIDERS[target.wine_arch]:
        try:
            found = attempt(ws, run)
        except StepError as error:
            lacks.append(f"{_first_line(attempt.__doc__)} {error.what} ({error.why or error.fix}){_last_words(error)}")
            continue
        if found is not None:
            return found
    raise NotProvableError(
        f"no Wine here runs {target.arch} programs",
        why="; ".join(lacks) or "no provider applies to this machine",
        fix="install one, on Debian and Ubuntu: sudo dpkg --add-architecture i386 && sudo apt-get update && "
        "sudo apt-get install -y wine wine64 wine32:i386",
    )


def _first_line(text: Optional[str]) -> str:
    return (text or "").strip().split("\n", 1)[0]


def _last_words(error: StepError) -> str:
    return ": " + " ".join(error.tail[-3:]) if isinstance(error, CommandFailedError) else ""


def _machine_wine(ws: Workspace, run: runner.Run) -> Optional[Provider]:
    """This machine's Wine."""
    system.require([system.WINE], run=run)
    return _machine_provider("this machine's Wine", "win64", run)


def _machine_wine32(ws: Workspace, run: runner.Run) -> Optional[Provider]:
    """This machine's Wine, where its 32-bit half is installed."""
    if not has_wine32():
        return None
    return _machine_provider("this machine's Wine, 32-bit", "win32", run)


def _machine_provider(name: str, wine_arch: str, run: runner.Run) -> Provider:
    loader = machine_loader(wine_arch)
    return Provider(name, version(run, [loader]), loader, "64+32" if has_wine32() else "64")


def machine_loader(wine_arch: str) -> str:
    """Return the machine's loader for an architecture.

    Debian's `wine` is a script that starts the 32-bit loader as soon as one is installed, for 64-bit prefixes too.
    """
    found = system.find_program("wine64", ("/usr/lib/wine",)) if wine_arch == "win64" else None
    return str(found or "wine")


def _multiarch_wine32(ws: Workspace, run: runner.Run) -> Optional[Provider]:
    """The distribution's 32-bit half, installed beside the 64-bit one."""
    if system.why_not_installed():
        return None
    failed = Stamp(ws.cache / "stamps" / "multiarch-wine32.json")
    key = workspace.fingerprint(system.os_release(), _boot_id())
    if failed.is_current(key):
        return None
    # An architecture that is already enabled is the owner's wish; one that would have to be enabled only for this is
    # not kept when the distribution's two halves cannot be installed together.
    architectures = run(["dpkg", "--print-foreign-architectures"], timeout_s=30, quiet=True).stdout.split()
    added = "i386" not in architectures
    report.say("32-bit Windows programs need wine32; trying the distribution's package for i386")
    if added:
        run(["dpkg", "--add-architecture", "i386"], timeout_s=30)
    run(["apt-get", "update", "-q"], timeout_s=300, check=False, quiet=True)
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "wine32:i386"]
    trial = run([*install, "--simulate"], timeout_s=120, check=False, quiet=True)
    done = False
    # apt solves a conflict by removing packages; nobody asked for that.
    if trial.status == 0 and not any(line.startswith("Remv ") for line in trial.stdout.splitlines()):
        env = runner.child_env({"DEBIAN_FRONTEND": "noninteractive"})
        done = run(install, timeout_s=900, check=False, env=env).status == 0 and has_wine32()
    if done:
        return _machine_provider("this machine's Wine, 32-bit", "win32", run)
    report.say("  its i386 packages cannot be installed beside the amd64 ones now; going on without")
    if added:
        run(["dpkg", "--remove-architecture", "i386"], timeout_s=30, check=False)
        run(["apt-get", "update", "-q"], timeout_s=300, check=False, quiet=True)
    failed.write(key)
    return None


def _private_wine32(ws: Workspace, run: runner.Run) -> Optional[Provider]:
    """A small i386 system of the project's own, which holds nothing but Wine; entered by unshare and chroot."""
    if not system.is_root():
        raise MissingToolError("a private 32-bit root needs root", why="unshare and chroot are not allowed to users")
    system.require([system.UNSHARE], run=run)
    suite = system.os_release().get("VERSION_CODENAME", "")
    root = ws.cache / "wine32-root" / f"{suite}-2"
    if not (root / ".complete").exists():
        if fetch.is_offline():
            raise MissingToolError(f"{root} is missing", why="GLEAN_OFFLINE forbids making it")
        system.require([system.DEBOOTSTRAP], run=run)
        with workspace.lock(root.with_suffix(".lock"), "making the 32-bit Wine root"):
            if not (root / ".complete").exists():
                _make_root(root, suite, run)
    provider = Provider("private 32-bit root", "", halves="32", root=root)
    return replace(provider, version=version(run, provider.argv([provider.loader], ws.root)))


def _make_root(root: Path, suite: str, run: runner.Run) -> None:
    mirror = _mirror(run)
    with report.step("make a private 32-bit Wine root (once, about 75 s, 1.1 GB)"), workspace.new_folder(root) as new:
        # The binaries of a suite's point releases agree among themselves; --variant=minbase leaves out what Wine does
        # not need.
        run(
            ["debootstrap", "--arch=i386", "--variant=minbase", "--include=wine,wine32", suite, new, mirror],
            timeout_s=runner.deadline(ROOT_TIMEOUT_S),
            quiet=True,
        )
        shutil.rmtree(new / "var" / "cache" / "apt", ignore_errors=True)
        (new / ".complete").write_text(mirror)


def _mirror(run: runner.Run) -> str:
    """Return the archive that this machine's own package lists come from."""
    listed = run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(COMPONENT) $(IDENTIFIER) $(CODENAME)"],
        timeout_s=30,
        quiet=True,
    ).stdout
    suite = system.os_release().get("VERSION_CODENAME", "")
    for line in listed.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[1:3] == ["main", "Packages"] and fields[3] == suite:
            return fields[0]
    raise MissingToolError(
        "no package archive for a 32-bit root", why=f"apt has no list of {suite}'s main component", fix="apt-get update"
    )


def has_wine32() -> bool:
    """Return whether the machine's Wine can run 32-bit programs: its i386 half, or a Wine that needs none."""
    patterns = (
        "/usr/lib/i386-linux-gnu/wine/i386-unix/ntdll.so",
        "/usr/lib/i386-linux-gnu/wine/ntdll.dll.so",
        "/opt/wine-*/lib/wine/i386-unix/ntdll.so",
    )
    return shutil.which("wine") is not None and any(glob.glob(pattern) for pattern in patterns)


def version(run: runner.Run, loader: Sequence[object]) -> str:
    """Return what a loader prints about its version, such as `wine-8.0`."""
    env = runner.child_env({"WINEDEBUG": "-all", "DISPLAY": None})
    return run([*loader, "--version"], timeout_s=60, quiet=True, env=env).stdout.strip().splitlines()[-1].strip()


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


_PROVIDERS: Dict[str, Tuple[Callable[[Workspace, runner.Run], Optional[Provider]], ...]] = {
    "win64": (_machine_wine,),
    "win32": (_machine_wine32, _multiarch_wine32, _private_wine32),
}


# --- the prefix -------------------------------------------------------------------------------------------------------


def prefix_key(provider: Provider, target: Target) -> str:
    """Return the key over everything that shapes a prefix."""
    return workspace.fingerprint(
        *(_RECIPE, provider.version, provider.name, provider.loader, provider.halves),
        *(target.triple, _OVERRIDES, _REGISTRY, _SHIM_C),
    )[:12]


def ensure_prefix(target: Target, ws: Workspace, *, run: runner.Run = runner.run) -> Tuple[Provider, Path]:
    """Return a Wine and a finished prefix for the target, making what is missing."""
    provider = remembered_provider(target, ws, run)
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
                _fill_prefix(provider, target, new, run)
            finally:
                end_prefix(new)
            (new / ".complete").write_text(key)
    return provider, prefix


def prepare(targets: Sequence[Target], ws: Workspace, *, run: runner.Run = runner.run) -> None:
    """Install or make the Wine of every target, before the first prefix: it holds what both halves of Wine bring."""
    for target in targets:
        remembered_provider(target, ws, run)


def remembered_provider(target: Target, ws: Workspace, run: runner.Run) -> Provider:
    """Return the provider found earlier while the programs it is made of are unchanged; asking them takes a second."""
    stamp = Stamp(ws.state / "stamps" / f"wine-{target.arch}.json")
    key = workspace.fingerprint(_RECIPE, identity(), str(ws.cache))
    facts = stamp.facts()
    if facts and stamp.is_current(key):
        root = Path(facts["root"]) if facts.get("root") else None
        if root is None or (root / ".complete").exists():
            return Provider(facts["name"], facts["version"], facts["loader"], facts["halves"], root)
    provider = provider_for(target, ws, run=run)
    # Making the provider may have installed a Wine, so the key is taken again.
    stamp.write(
        workspace.fingerprint(_RECIPE, identity(), str(ws.cache)),
        facts={**asdict(provider), "root": str(provider.root or "")},
    )
    return provider


def identity() -> List[object]:
    """Return what tells one installed Wine from another, from file attributes alone."""
    found = shutil.which("wine")
    names = [found, "/var/lib/dpkg/info/libwine:amd64.list", "/var/lib/dpkg/info/libwine:i386.list"]
    names.append(machine_loader("win64"))
    return [(name, os.stat(name).st_mtime_ns) for name in names if name and os.path.exists(name)]


def _fill_prefix(provider: Provider, target: Target, prefix: Path, run: runner.Run) -> None:
    env = prefix_env(provider, prefix, target)
    timeout_s = runner.deadline(PREFIX_TIMEOUT_S)

    def wine(*argv: object) -> None:
        run(
            provider.argv(argv, prefix),
            timeout_s=timeout_s,
            env=env,
            cwd=prefix,
            detached=True,
            on_deadline=lambda: end_prefix(prefix),
        )

    wine(provider.loader, "wineboot", "-i")
    system_folder = prefix / "drive_c" / "windows" / "system32"
    if not system_folder.is_dir():
        raise CommandFailedError(
            f"wineboot made no prefix in {prefix}", why=f"{system_folder} is missing", fix="run `wineboot -i` by hand"
        )
    settings = prefix / "settings.reg"
    settings.write_text(_REGISTRY)
    wine(provider.loader, "regedit", "/S", windows_path(settings))
    if needs_shim(prefix):
        _build_shim(target, system_folder / "bcryptprimitives.dll", run)
    # The registry is written out when the server ends, and a prefix is finished when it is on disk.
    wine("wineserver", "-k")
    wine("wineserver", "-w")


def needs_shim(prefix: Path) -> bool:
    """Return whether this prefix's Wine lacks bcryptprimitives.dll, which Rust's std loads."""
    return not (prefix / "drive_c" / "windows" / "system32" / "bcryptprimitives.dll").exists()


def _build_shim(target: Target, dll: Path, run: runner.Run) -> None:
    """Build the DLL that exports ProcessPrng, and put it where Windows programs look."""
    system.require([system.mingw(target)], run=run)
    source = dll.with_suffix(".c")
    definition = dll.with_suffix(".def")
    source.write_text(_SHIM_C)
    definition.write_text(_SHIM_DEF)
    run(
        [
            *(target.linker, "-shared", "-s", "-O2", "-static-libgcc", "-Wl,--enable-stdcall-fixup"),
            *("-o", dll, source, definition, "-ladvapi32"),
        ],
        timeout_s=120,
    )
    source.unlink()
    definition.unlink()


# --- the session ------------------------------------------------------------------------------------------------------

_warm: Dict[str, Wine] = {}


@contextmanager
def session(target: Target, ws: Workspace, *, run: runner.Run = runner.run) -> Iterator[Wine]:
    """Keep one wineserver warm for the block, and end it with every program of the prefix afterwards.

    A session inside a session of the same prefix uses the one that is there.
    """
    provider, prefix = ensure_prefix(target, ws, run=run)
    if str(prefix) in _warm:
        yield _warm[str(prefix)]
        return
    # What a killed run left here would serve this one with an old environment.
    end_prefix(prefix)
    wine = Wine(provider, prefix, target)
    try:
        env = wine.env()
        run(provider.argv(["wineserver", "-p"], prefix), timeout_s=60, env=env, cwd=prefix, detached=True)
        # Wine's services start with the first program and keep its output open, so that one writes nowhere.
        wine.run(["cmd", "/c", "exit"], timeout_s=runner.deadline(120), cwd=prefix, detached=True)
        _warm[str(prefix)] = wine
        yield wine
    finally:
        _warm.pop(str(prefix), None)
        end_prefix(prefix)


def end_prefix(prefix: Path) -> None:
    """End every program of a prefix, the wineserver last, and return when none is left."""
    if not processes(prefix):
        return
    limit = time.monotonic() + END_TIMEOUT_S
    # SIGINT asks a wineserver to end its clients and itself, as `wineserver -k` does, without its program.
    for pid in processes(prefix):
        _signal(pid, signal.SIGINT if _is_server(pid) else signal.SIGTERM)
    while processes(prefix):
        if time.monotonic() > limit:
            for pid in processes(prefix):
                _signal(pid, signal.SIGKILL)
        if time.monotonic() > limit + END_TIMEOUT_S:
            report.say(f"processes {processes(prefix)} of {prefix} do not end")
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


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def end_all(ws: Workspace) -> None:
    """End every program of every prefix of this checkout."""
    for prefix in sorted((ws.state / "prefix").glob("*")):
        end_prefix(prefix)
