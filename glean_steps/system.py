"""Programs that come from the system, and the Debian and Ubuntu packages that bring them; installs, or says one line.

A row per tool; nothing else in the project calls apt. GLEAN_INSTALL=never keeps it from changing the machine.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import platform
import re
import shlex
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from glean_steps import project, report, runner, settings
from glean_steps.errors import MissingToolError
from glean_steps.prerequisites import Probe
from glean_steps.targets import TARGETS, Target
from glean_steps.workspace import Workspace

UPDATE_S = 300.0
INSTALL_S = 1800.0
QUERY_S = 60.0
RUSTUP_FOLDERS = ("$CARGO_HOME/bin", "~/.cargo/bin")

_refreshed: List[bool] = []
_installing = threading.Lock()


@dataclass(frozen=True)
class Tool:
    """Something the steps need from the system.

    Attributes:
        name: what `tools` finds it by and messages call it.
        why: what it is needed for; printed before it is installed.
        packages: alternatives, best first, each a set of packages that together bring it. `{v}` in a package's name
            stands for the newest version that the distribution has a package of.
        programs: all of them have to be found.
        files: glob patterns of which one has to match, for what is not a program.
        modules: modules of this Python that have to exist.
        minimum: the oldest version of the first package of an alternative that will do.
        folders: where programs are looked for beside PATH; `~` and variables are expanded.
    """

    name: str
    why: str
    packages: Tuple[Tuple[str, ...], ...]
    programs: Tuple[str, ...] = ()
    files: Tuple[str, ...] = ()
    modules: Tuple[str, ...] = ()
    minimum: str = ""
    folders: Tuple[str, ...] = ()


def crate_rust_version(manifest: Path) -> str:
    """Return the crate's `rust-version`, or "" when it names none; by a pattern, since Python 3.9 has no tomllib."""
    try:
        found = re.search(r'^rust-version\s*=\s*"([0-9.]+)"', manifest.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return ""
    return found.group(1) if found else ""


_MINIMUM_RUST = crate_rust_version(Path(__file__).resolve().parents[1] / project.CRATE / "Cargo.toml")

C_COMPILER = Tool(
    name="cc",
    why="links the native core library and Rust's build scripts",
    packages=(("gcc", "libc6-dev"),),
    programs=("cc",),
    files=("/usr/lib/*/crt1.o", "/usr/lib/crt1.o", "/usr/lib64/crt1.o"),
)
RUST = Tool(
    name="rust",
    why="builds the core library",
    packages=(("rustc-web", "cargo-web"), ("rustc-{v}", "cargo-{v}"), ("rustc", "cargo")),
    programs=("cargo", "rustc"),
    minimum=_MINIMUM_RUST,
    folders=(*RUSTUP_FOLDERS, "/usr/lib/rust-*/bin"),
)
RUST_SOURCES = Tool(
    name="rust-sources",
    why="gives the targets a standard library where rustup cannot be reached",
    packages=(
        ("rustc-web", "cargo-web", "rust-web-src"),
        ("rustc-{v}", "cargo-{v}", "rust-{v}-src"),
        ("rustc", "cargo", "rust-src"),
    ),
    files=("/usr/lib/rustlib/src/rust/library/std", "/usr/lib/rust-*/lib/rustlib/src/rust/library/std"),
    minimum=_MINIMUM_RUST,
)
WINE = Tool("wine", "runs the Windows wheels", packages=(("wine", "wine64"),), programs=("wine",))
DEBOOTSTRAP = Tool(
    name="debootstrap",
    why="makes the private 32-bit Wine where the distribution's own cannot be installed",
    packages=(("debootstrap",),),
    programs=("debootstrap",),
    folders=("/usr/sbin",),
)
MMDEBSTRAP = Tool(
    name="mmdebstrap",
    why="unpacks small systems of other architectures",
    packages=(("mmdebstrap", "arch-test"),),
    programs=("mmdebstrap",),
)
QEMU = Tool(
    name="qemu",
    why="runs the wheels for other processors",
    packages=(("qemu-user-static",),),
    programs=("qemu-aarch64-static",),
)
UNSHARE = Tool(
    name="unshare",
    why="runs the private 32-bit Wine in mounts of its own",
    packages=(("util-linux",),),
    programs=("unshare",),
)
PYTHON_VENV = Tool(
    name="venv",
    why="makes the private tool environment",
    packages=(("python{}.{}-venv".format(*platform.python_version_tuple()),), ("python3-venv",)),
    modules=("venv", "ensurepip"),
)
GIT = Tool("git", "tells which files belong to a source distribution", packages=(("git",),), programs=("git",))
MAKE = Tool(
    name="make",
    why="builds a CPython for musl, with perl, which OpenSSL's build asks for",
    packages=(("make", "perl", "xz-utils"),),
    programs=("make", "perl", "xz"),
)


def linkers(target: Target) -> Tuple[Tool, ...]:
    """Return the tool that links for a target, where packages of the system bring it; made of the target's entry."""
    if not target.packages:
        return ()
    tool = Tool(
        name=f"mingw-{target.arch}",
        why=f"links for {target.triple}",
        packages=(target.packages,),
        programs=(target.linker, target.dlltool, target.strip),
    )
    return (tool,)


TOOLS: Tuple[Tool, ...] = (
    PYTHON_VENV,
    GIT,
    C_COMPILER,
    RUST,
    RUST_SOURCES,
    *(tool for target in TARGETS for tool in linkers(target)),
    WINE,
    DEBOOTSTRAP,
    UNSHARE,
    MMDEBSTRAP,
    QEMU,
    MAKE,
    Tool("chromium", "shows the page of the collector to its tests", packages=(("chromium",),), programs=("chromium",)),
    Tool("curl", "runs the command that the page of the collector shows", packages=(("curl",),), programs=("curl",)),
    Tool("strace", "shows tests which thread calls the system", packages=(("strace",),), programs=("strace",)),
    Tool(
        name="disks",
        why="makes the disks that tests freeze and fill",
        packages=(("btrfs-progs", "e2fsprogs"),),
        programs=("mkfs.btrfs", "mkfs.ext4"),
        folders=("/usr/sbin",),
    ),
)


def tools(*names: str) -> Tuple[Tool, ...]:
    """Return the rows with these names, in this order; a name without a row is a mistake of the caller (KeyError)."""
    by_name = {tool.name: tool for tool in TOOLS}
    return tuple(by_name[name] for name in names)


@dataclass(frozen=True)
class Programs:
    """System programs with the packages that bring them, as a prerequisite.

    Attributes:
        is_optional: a test that needs one says so itself where it cannot be had.
    """

    tools: Tuple[Tool, ...]
    is_optional: bool = False

    @property
    def name(self) -> str:
        """Their names."""
        return ", ".join(tool.name for tool in self.tools)

    def probe(self, ws: Workspace) -> Probe:
        """Say which are missing."""
        absent = tuple(tool.name for tool in missing(self.tools))
        return Probe(f"missing: {', '.join(absent)}" if absent else "here", missing=absent)

    def ensure(self, ws: Workspace) -> None:
        """Install what is missing, where that is allowed."""
        try:
            require(self.tools, ws)
        except MissingToolError as error:
            if not self.is_optional:
                raise
            report.say(f"  {error.what}: {error.why}")


def sudo() -> str:
    """Return what has to stand before a command that needs root."""
    return "" if is_root() else "sudo "


def is_root() -> bool:
    """Return whether this process may install packages."""
    return os.geteuid() == 0


def os_release() -> Dict[str, str]:
    """Return the fields of /etc/os-release, such as ID and VERSION_ID; empty where there is none."""
    for path in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        try:
            words = shlex.split(path.read_text(encoding="utf-8"), comments=True)
        except OSError:
            continue
        return dict(word.split("=", 1) for word in words if "=" in word)
    return {}


def find_program(name: str, folders: Iterable[str] = ()) -> Optional[Path]:
    """Return where a program is, on PATH or else in one of `folders` (patterns), or None."""
    patterns = [os.path.expandvars(os.path.expanduser(pattern)) for pattern in folders]
    beside = [folder for pattern in patterns for folder in sorted(glob.glob(pattern), reverse=True)]
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(beside))
    return Path(found) if found else None


def find(tool: Tool) -> Optional[Path]:
    """Return where a tool is: its first program, else its file or module; None when any part of it is missing."""
    places = [find_program(program, tool.folders) for program in tool.programs]
    if tool.files:
        matches = [name for pattern in tool.files for name in sorted(glob.glob(pattern))]
        places.append(Path(matches[0]) if matches else None)
    for module in tool.modules:
        spec = importlib.util.find_spec(module)
        places.append(Path(spec.origin or module) if spec else None)
    return places[0] if places and None not in places else None


def missing(wanted: Iterable[Tool]) -> List[Tool]:
    """Return those of `wanted` that are not here."""
    return [tool for tool in wanted if find(tool) is None]


def require(wanted: Sequence[Tool], ws: Workspace) -> None:
    """See to it that all `wanted` are here; install the packages of those that are not, where that is allowed.

    Raises:
        MissingToolError: something is missing and may not or could not be installed; its fix is one line to paste.
    """
    absent = missing(wanted)
    if not absent:
        return
    outcome = install(absent, ws)
    left = missing(wanted)
    if left:
        raise _missing_error(left, outcome, ws)


def install(wanted: Sequence[Tool], ws: Workspace) -> str:
    """Install the packages of `wanted` whether or not something like them is here; return what happened, in one line.

    Raises:
        MissingToolError: nothing may be installed here; its fix is one line to paste.
    """
    reason = why_not_installed()
    if reason:
        raise _missing_error(wanted, reason, ws)
    for tool in wanted:
        report.say(f"{tool.name} is missing: it {tool.why}")
    env = runner.child_env({"DEBIAN_FRONTEND": "noninteractive"})
    with _installing, report.step("install system packages"):
        if not _refreshed:
            # One unrelated source that is out of order makes this fail although all other lists were refreshed.
            ws.run(["apt-get", "update", "-q"], timeout_s=UPDATE_S, env=env, check=False, quiet=True)
            _refreshed.append(True)
        packages = packages_for(wanted, ws)
        report.say(f"installing {' '.join(packages)}")
        argv = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *packages]
        done = ws.run(argv, timeout_s=INSTALL_S, env=env, check=False, quiet=True)
        if done.status != 0 and "dpkg --configure -a" in done.stdout:
            # An earlier run was ended in the middle of an installation.
            ws.run(["dpkg", "--configure", "-a"], timeout_s=INSTALL_S, env=env, check=False)
            done = ws.run(argv, timeout_s=INSTALL_S, env=env, check=False, quiet=True)
    importlib.invalidate_caches()
    if done.status == 0:
        return f"apt-get installed {' '.join(packages)}, but what they should bring is not found"
    said = [line for line in done.stdout.splitlines() if line.startswith(("E:", "W:"))] or done.stdout.splitlines()
    return f"apt-get install ended with exit status {done.status}: {'; '.join(said[-3:])}"


def packages_for(wanted: Iterable[Tool], ws: Workspace) -> List[str]:
    """Return the packages that bring `wanted` on this machine, each once, in the order of the rows."""
    return list(dict.fromkeys(package for tool in wanted for package in _choose(tool, ws)))


def install_line(wanted: Iterable[Tool], ws: Workspace) -> str:
    """Return one line for a shell that installs the packages of `wanted`."""
    line = f"{sudo()}apt-get install -y {shlex.join(packages_for(wanted, ws))}"
    if shutil.which("apt-get") is None:
        return f"install what corresponds to (Debian, Ubuntu): {line}"
    return line if _has_lists() else f"{sudo()}apt-get update; {line}"


def version_numbers(text: str) -> Tuple[int, ...]:
    """Return the leading numbers of a version for comparing: `1.96.0+dfsg1-1~deb12u2` gives (1, 96, 0)."""
    found = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", text)
    return tuple(int(number) for number in found.group(1).split(".")) if found else ()


def is_at_least(version: str, minimum: str) -> bool:
    """Return whether `version` is `minimum` or newer; an empty minimum admits every version."""
    return not minimum or version_numbers(version) >= version_numbers(minimum)


def _missing_error(wanted: Sequence[Tool], why: str, ws: Workspace) -> MissingToolError:
    names = ", ".join(tool.name for tool in wanted)
    return MissingToolError(f"missing: {names}", why=why, fix=install_line(wanted, ws))


def why_not_installed() -> str:
    """Return why packages may not be installed here, or "" when they may."""
    if settings.INSTALL.value() == "never":
        return "GLEAN_INSTALL=never forbids installing packages"
    if settings.OFFLINE.value():
        return "GLEAN_OFFLINE is set, so no package can be fetched"
    if not is_root():
        return "installing packages needs root"
    if shutil.which("apt-get") is None:
        return "this system has no apt-get"
    return ""


def _choose(tool: Tool, ws: Workspace) -> Tuple[str, ...]:
    """Return the first alternative that this distribution has, new enough; the likeliest one when it cannot tell."""
    if len(tool.packages) == 1 and not tool.minimum:
        return tool.packages[0]
    alternatives = tool.packages if shutil.which("apt-cache") else ()
    for alternative in alternatives:
        for candidate in _versions_of(alternative, ws):
            offered = _offered(candidate, ws)
            if len(offered) == len(candidate) and is_at_least(offered[candidate[0]], tool.minimum):
                return candidate
    plain = [alternative for alternative in tool.packages if "{v}" not in "".join(alternative)]
    return plain[0] if os_release().get("ID") == "debian" else plain[-1]


def _versions_of(alternative: Tuple[str, ...], ws: Workspace) -> List[Tuple[str, ...]]:
    """Return the alternative with `{v}` replaced by each version there is a package of, newest first."""
    if "{v}" not in alternative[0]:
        return [alternative]
    before, after = alternative[0].split("{v}")
    listed = ws.run(["apt-cache", "pkgnames", before], timeout_s=QUERY_S, check=False, quiet=True)
    pattern = re.compile(re.escape(before) + r"(\d+(?:\.\d+)+)" + re.escape(after) + "$")
    versions = [found.group(1) for found in map(pattern.match, listed.stdout.split()) if found]
    versions.sort(key=version_numbers, reverse=True)
    return [tuple(package.replace("{v}", version) for package in alternative) for version in versions]


def _offered(packages: Tuple[str, ...], ws: Workspace) -> Dict[str, str]:
    """Return the version of each package that apt would install; packages it does not know are left out."""
    policy = ws.run(
        ["apt-cache", "policy", *packages],
        timeout_s=QUERY_S,
        env=runner.child_env({"LC_ALL": "C"}),  # Its field names are translated otherwise.
        check=False,
        quiet=True,
    )
    offered: Dict[str, str] = {}
    package = ""
    for line in policy.stdout.splitlines():
        if line and not line[0].isspace():
            package = line.rstrip(":")
        field = re.match(r"\s+Candidate:\s*(\S+)", line)
        if field and field.group(1) != "(none)":
            offered[package] = field.group(1)
    return offered


def _has_lists() -> bool:
    return any(Path("/var/lib/apt/lists").glob("*_Packages*"))


def program_version(program: Path, ws: Workspace) -> str:
    """Return the line that a program prints about its version."""
    try:
        done = ws.run([program, "--version"], timeout_s=20, check=False, quiet=True)
    except MissingToolError:  # It is there, and what it needs to start is not.
        return ""
    if done.status != 0:
        return ""
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    # Wine prints a hint about its 32-bit half first; mingw's version has no dot.
    return next((line for line in lines if re.search(r"\d+\.\d", line)), lines[0] if lines else "")
