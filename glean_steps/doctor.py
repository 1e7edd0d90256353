"""What is here, what is missing and the one line that brings it, and which lanes of the test command will run.

It looks and changes nothing: no file, no package, no network. It asks the providers' own helpers, private ones
included, so that what it says is what they will do.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from glean_steps import (
    cargo,
    fetch,
    interpreters,
    pins,
    report,
    runner,
    suites,
    system,
    toolchain,
    windows_python,
    wine,
    workspace,
)
from glean_steps.errors import DownloadError, MissingToolError, StepError
from glean_steps.pins import Pins, PythonRow
from glean_steps.runner import Run
from glean_steps.system import Tool
from glean_steps.targets import TARGETS, Target
from glean_steps.workspace import Stamp, Workspace

# Measured with du on Debian 12, in a checkout that had built and tested both targets: the checkout, and the cache.
COLD_CHECKOUT_BYTES = 2_700_000_000
COLD_CACHE_BYTES = 1_300_000_000

# Every variable of its own that the project reads; a test compares this with the sources and with CONTRIBUTING.md.
VARIABLES: Mapping[str, str] = {
    "GLEAN_CACHE": "where downloads, standard libraries and the 32-bit Wine root are kept",
    "GLEAN_CORE_LIBRARY": "a core library that was built before, for setup.py to pack",
    "GLEAN_DEBUG_VIEW_TAG": "tag that programs with glean_py send with each ping, as X-Debug-ID",
    "GLEAN_DEADLINE_FACTOR": "multiplies every program's deadline",
    "GLEAN_FETCH_TIMEOUT": "seconds that a connection or a read of a download may take",
    "GLEAN_GET_PIP_MIRROR": "base URL of get-pip.py",
    "GLEAN_INSTALL": "`never` forbids installing system packages",
    "GLEAN_LOG_PINGS": "`true` asks programs with glean_py to log the pings they hand out",
    "GLEAN_OFFLINE": "anything but empty and 0 forbids the network",
    "GLEAN_PYTHON_MINGW_I686_BUILD": "1 asks setup.py for the 32-bit Windows library",
    "GLEAN_PYTHON_MINGW_X86_64_BUILD": "1 asks setup.py for the 64-bit Windows library",
    "GLEAN_PYTHON_MIRROR": "base URL of the embeddable Windows Pythons",
    "GLEAN_QUIET": "1 keeps command lines out of the log",
    "GLEAN_SOURCE_TAGS": "tags that programs with glean_py send with each ping, as X-Source-Tags",
    "GLEAN_WINDOWS_PYTHON": "the Windows Python to prove and test with",
    "GLEAN_WINE_TIMEOUT": "deadline of `invoke wine-run`, in seconds",
}
# Set by bootstrap.py for the process that it becomes, by the benchmark for a run that it measures, and by the fuzzing
# for the program that writes what it starts from; by nobody else.
INTERNAL_VARIABLES = frozenset({"GLEAN_BOOTSTRAP_PID", "GLEAN_BENCH_RUN", "GLEAN_FUZZ_SEEDS"})

QUERY_S = 10.0


@dataclass(frozen=True)
class Part:
    """One thing that a lane needs.

    Attributes:
        text: what it is and where it comes from, for a table.
        missing: rows of system packages that it lacks.
        later: what the first run that needs it does to get it; empty when it is ready.
        why: why it cannot be had here, packages or not; empty when it can.
        fix: what would change that.
        i386: packages of the i386 architecture belong to the line that fixes it.
    """

    text: str
    missing: Tuple[Tool, ...] = ()
    later: str = ""
    why: str = ""
    fix: str = ""
    i386: bool = False


@dataclass(frozen=True)
class Lane:
    """A lane of the test command, or the main job, with all that it needs."""

    name: str
    needs: Sequence[Part]


@dataclass(frozen=True)
class Machine:
    """What was found here."""

    ws: Workspace
    ask: Run
    rust: toolchain._Machine
    pythons: Mapping[str, interpreters.CPython]
    pins: Pins


def run(*, ws: Optional[Workspace] = None, ask: Run = runner.run) -> int:
    """Print what is here, what is missing and which lanes will run.

    Returns:
        0 when the main job can run as things are, or after packages that it installs by itself; else MissingToolError's
        exit code.
    """
    ws = ws or workspace.here()
    quiet: Run = functools.partial(ask, echo=False)
    folders = (ws.state, ws.crate / "target", ws.cache)
    with ThreadPoolExecutor(max_workers=4) as pool:
        sizes = pool.map(folder_size, folders)
        machine = examine(ws, quiet)
        parts = {target: target_parts(target, machine) for target in TARGETS}
        job, lanes = main_job(parts, machine), all_lanes(parts, machine)
        missing = _missing([job, *lanes])
        line = pool.submit(install_line, [job, *lanes], quiet)
        _tool_table(missing, machine).print()
        _target_table(parts).print()
        _windows_python_table(machine).print()
        _lane_table(lanes).print()
        _space_table(dict(zip(folders, sizes)), ws).print()
        _settings_table(machine).print()
        fix = line.result()
    if fix:
        print(f"\nmissing: {', '.join(tool.name for tool in missing) or '32-bit Wine'}\n  fix: {fix}")
        reason = system.why_not_installed()
        print(f"  not done automatically: {reason}" if reason else "  done automatically by the commands that need it")
    print(f"\n{job.name}: {verdict(job)}", flush=True)
    return 0 if can_run(job) else MissingToolError.exit_code


def examine(ws: Workspace, ask: Run) -> Machine:
    """Find the compilers and the CPythons of this machine."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        pythons = pool.submit(interpreters.find_all, run=ask)
        compilers, too_old = toolchain._find_compilers(ws, ask)
        rust = toolchain._Machine(ws, ask, compilers, too_old)
        return Machine(ws, ask, rust, pythons.result(), pins.load())


# --- what a target needs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TargetParts:
    """What a target needs: its linker with the C compiler, a standard library, a Wine."""

    linker: Part
    std: Part
    wine: Part


def target_parts(target: Target, machine: Machine) -> TargetParts:
    """Return what a target needs, and where each part comes from."""
    absent = system.missing([system.C_COMPILER, *system.linker_tools([target])])
    linker = Part(target.linker if system.find_program(target.linker) else "missing", missing=tuple(absent))
    return TargetParts(linker, standard_library(target, machine), wine_for(target, machine))


def host_rust(machine: Machine) -> List[Part]:
    """Return what a build for this machine itself needs."""
    parts = [Part("C compiler", missing=tuple(system.missing([system.C_COMPILER])))]
    if machine.rust.compilers:
        parts.append(Part(f"Rust {machine.rust.compilers[0].version}"))
    else:
        parts.append(Part("; ".join(["none", *machine.rust.too_old]), missing=(system.RUST,)))
    if fetch.is_offline() and not cargo._registries():
        why = "GLEAN_OFFLINE is set and no crate was fetched before"
        parts.append(Part("crates", why=why, fix="run once without GLEAN_OFFLINE"))
    return parts


def standard_library(target: Target, machine: Machine) -> Part:
    """Return where a target's Rust standard library comes from: the first provider of `toolchain` that has it."""
    ws, rust = machine.ws, machine.rust
    recalled = toolchain._recalled(toolchain._stamp(ws, target.triple), toolchain.machine_key(ws, target))
    if recalled is not None:
        return Part(f"Rust {recalled.version}: {recalled.provider}")
    for compiler in rust.compilers:
        if compiler.has_std(target.triple):
            return Part(f"Rust {compiler.version}: standard library already in {compiler.sysroot}")
    asks = _may_ask_rustup(target, machine)
    first = "`rustup target add`, where its server is in reach; else " if asks else ""
    builder = next((compiler for compiler in rust.compilers if compiler.sources), None)
    if builder is None:
        text = f"{first}built once, from sources that are not here"
        # Whether rustup can is only known by asking; only a machine without it surely lacks something.
        return Part(text, later="asks rustup for a standard library") if asks else Part(text, (system.RUST_SOURCES,))
    if system.find_program(target.linker) and toolchain.is_whole(toolchain._entry(builder, target, rust), target):
        return Part(f"{first}Rust {builder.version}: standard library built earlier, in the cache")
    return Part(
        f"{first}Rust {builder.version}: built once from {builder.sources}",
        later="gets a standard library from rustup or builds it"
        if asks
        else "builds a standard library (1 to 2 minutes)",
    )


def _may_ask_rustup(target: Target, machine: Machine) -> bool:
    """Return whether rustup would be asked for a standard library: it is here, and was not asked in vain before."""
    if fetch.is_offline() or os.environ.get("RUSTC"):
        return False
    in_vain = any((machine.ws.state / "stamps").glob(f"rust-rustup-*{target.triple}*.json"))
    return not in_vain and system.find_program("rustup", system.RUSTUP_FOLDERS) is not None


def wine_for(target: Target, machine: Machine) -> Part:
    """Return which Wine runs a target's programs, or what it would take to have one."""
    if system.find(system.WINE) is None:
        missing = Part("missing", missing=(system.WINE,))
        return missing if target.wine_arch == "win64" else _with_wine(_wine32(machine))
    if target.wine_arch == "win64":
        return Part(f"this machine's, {_wine_version(machine)}")
    if wine.has_wine32():
        return Part(f"this machine's with its 32-bit half, {_wine_version(machine)}")
    return _wine32(machine)


def _with_wine(part: Part) -> Part:
    """Return a part of which the 64-bit Wine is missing as well: everything that is proven needs that first."""
    return dataclasses.replace(part, missing=(system.WINE, *part.missing))


def _wine32(machine: Machine) -> Part:
    """Return how 32-bit programs will run where the machine's Wine has no 32-bit half."""
    package = _i386_line() + f"{_sudo()}apt-get install -y wine32:i386"
    if not system.is_root():
        why = "there is no 32-bit Wine, and a private one needs root"
        return Part("missing", why=why, fix=package, i386=True)
    root = machine.ws.cache / "wine32-root" / f"{system.os_release().get('VERSION_CODENAME', '')}-2"
    if (root / ".complete").exists():
        text, later = f"private 32-bit root, {root}", ""
        tools = [system.UNSHARE]
    elif fetch.is_offline():
        why = "there is no 32-bit Wine, and GLEAN_OFFLINE forbids making one"
        return Part("missing", why=why, fix="run once without GLEAN_OFFLINE")
    else:
        text = "the distribution's wine32, else a private 32-bit root"
        later = "gets a 32-bit Wine (75 s, 1.1 GB)"
        tools = [system.UNSHARE, system.DEBOOTSTRAP]
    absent = tuple(system.missing(tools))
    if system.UNSHARE not in absent and not _may_unshare(machine):
        why = "there is no 32-bit Wine, and this system does not allow mounts of one's own (an unprivileged container?)"
        return Part("missing", why=why, fix=package, i386=True)
    return Part(text, missing=absent, later=later)


def _may_unshare(machine: Machine) -> bool:
    """Return whether root may make a mount namespace here, which containers often forbid; it vanishes at once."""
    try:
        argv = ["unshare", "--mount", "--propagation", "private", "--", "true"]
        return machine.ask(argv, timeout_s=runner.deadline(QUERY_S), check=False, quiet=True).status == 0
    except StepError:
        return False


def _wine_version(machine: Machine) -> str:
    try:
        return wine.version(machine.ask, [wine.machine_loader("win64")])
    except (StepError, IndexError):
        return "which does not say its version"


# --- what a Windows Python needs --------------------------------------------------------------------------------------


def windows_python_for(row: PythonRow, target: Target, machine: Machine) -> Part:
    """Return where a Windows Python comes from: set up, an embeddable zip, or rebuilt from the signed runtime."""
    ws = machine.ws
    facts = Stamp(ws.state / "stamps" / f"python-{row.version}-{target.arch}.json").facts()
    if facts and (ws.state / "python" / f"{row.version}-{target.arch}" / "python.exe").exists():
        return Part(f"set up: {facts.get('version')}, {facts.get('provider')}")
    packages = (ws.cache / "dependencies").glob(f"{row.minor}-{target.arch}-*/SHA256SUMS")
    if fetch.is_offline() and not any(packages):
        why = f"GLEAN_OFFLINE is set, and pip and pytest for Windows Python {row.version} are not in the cache"
        return Part("packages not in the cache", why=why, fix="run once without GLEAN_OFFLINE")
    ways = [_from_zip(row, target, machine), _from_runtime(row, target, machine)]
    possible = [way for way in ways if not way.why]
    if not possible:
        why = f"no Windows Python {row.version}: " + "; ".join(way.why for way in ways)
        fix = f"name a mirror with GLEAN_PYTHON_MIRROR, or install a CPython {row.minor} on this machine"
        return Part("not to be had", why=why, fix=fix)
    return Part(
        "; else ".join(way.text for way in possible),
        missing=possible[0].missing,
        later=f"sets up Windows Python {row.version}",
    )


def _from_zip(row: PythonRow, target: Target, machine: Machine) -> Part:
    download = pins.embeddable(row, target.arch, machine.pins)
    if download is None:
        return Part("", why="no hash of its embeddable zip is pinned")
    if (machine.ws.cache / "downloads" / download.digest / download.name).is_file():
        return Part("zip in the cache")
    if fetch.is_offline():
        return Part("", why="GLEAN_OFFLINE is set and its zip is not in the cache")
    host = urlsplit(download.url).netloc
    try:
        windows_python._refuse_known_unreachable(download.url, machine.ws)
    except DownloadError:
        return Part("", why=f"{host} was out of reach within the last ten minutes")
    return Part(f"zip, if {host} is in reach")


def _from_runtime(row: PythonRow, target: Target, machine: Machine) -> Part:
    pin = row.runtime.get(target.arch)
    if pin is None:
        return Part("", why="no runtime wheel is pinned for it")
    note = windows_python._rebuild_note(row, target, machine.ws)
    try:
        if note.with_name(note.read_text(encoding="utf-8")).is_file():
            return Part(f"rebuilt earlier ({row.runtime_version}), in the cache")
    except OSError:
        pass
    host = machine.pythons.get(row.minor)
    if host is None:
        return Part("", why=f"no CPython {row.minor} on this machine lends its standard library")
    if fetch.is_offline() and not any((machine.ws.cache / "wheels" / pin.sha256).glob("*.whl")):
        return Part("", why=f"GLEAN_OFFLINE is set and {pin.project} is not in the cache")
    return Part(f"rebuilt ({row.runtime_version}) with the CPython {host.version} here")


def default_python(target: Target, machine: Machine) -> Tuple[str, Part]:
    """Return version and part of the Windows Python that proves a wheel: the default one, else the first to be had."""
    first = pins.find_python(None, machine.pins)
    part = windows_python_for(first, target, machine)
    if not part.why or os.environ.get("GLEAN_WINDOWS_PYTHON"):
        return first.version, part
    for row in machine.pins.pythons:
        other = windows_python_for(row, target, machine)
        if row.minor != first.minor and not other.why:
            return row.version, other
    return first.version, part


# --- lanes ------------------------------------------------------------------------------------------------------------


def main_job(parts: Mapping[Target, TargetParts], machine: Machine) -> Lane:
    """Return the job that everything here is for, with its needs."""
    needs: List[Part] = []
    for target in parts:
        needs += _wheel_needs(target, parts, machine)
    return Lane("nox -s build_windows", needs)


def _wheel_needs(target: Target, parts: Mapping[Target, TargetParts], machine: Machine) -> List[Part]:
    """Return what it takes to build and prove the wheel of a target."""
    own = parts[target]
    return [own.linker, own.std, own.wine, _guarded(lambda: default_python(target, machine)[1])]


def all_lanes(parts: Mapping[Target, TargetParts], machine: Machine) -> List[Lane]:
    """Return the lanes of the test command, named as its closing table names them."""
    lanes = [Lane(f"Rust, Wine {target.arch}", [own.linker, own.std, own.wine]) for target, own in parts.items()]
    for target, version in suites._windows_rows(list(parts), None):
        needs = _wheel_needs(target, parts, machine)
        name = version or ""
        if version is None:
            try:
                name = default_python(target, machine)[0]
            except StepError:
                name = os.environ.get("GLEAN_WINDOWS_PYTHON", "")
        else:
            row = pins.find_python(version, machine.pins)
            needs.append(windows_python_for(row, target, machine))
        lanes.append(Lane(f"Python, Wine {name} {target.arch}", needs))
    rust = host_rust(machine)
    lanes.append(Lane("Rust, native", rust))
    for number in range(interpreters.OLDEST[1], interpreters.NEWEST[1] + 1):
        minors = [minor for minor in (f"3.{number}", f"3.{number}t") if minor in machine.pythons]
        for minor in minors or [f"3.{number}"]:
            part = native_python(minor, machine)
            lanes.append(Lane(f"Python, native {part.text}", [part, *rust]))
    lanes.append(Lane("differential", [peer_environments(machine), *rust]))
    lanes.append(Lane("steps", []))
    return lanes


def native_python(minor: str, machine: Machine) -> Part:
    """Return whether a CPython of this machine can run the suite; its text is the version."""
    python = machine.pythons.get(minor)
    if python is None:
        fix = f"put python{minor} on PATH (pyenv, uv or the distribution's package)"
        return Part(minor, why=f"no CPython {minor} on this machine", fix=fix)
    text = python.version + ("t" if python.free_threaded else "")
    if (machine.ws.state / "venvs" / minor / "bin" / "python").exists():
        return Part(text)
    if not (python.stdlib / "ensurepip").is_dir():
        why = f"{python.executable} has no ensurepip, so it cannot make an environment"
        return Part(text, why=why, fix=f"{_sudo()}apt-get install -y python{python.minor}-venv")
    if fetch.is_offline():
        why = "GLEAN_OFFLINE is set and the test dependencies are not installed"
        return Part(text, why=why, fix="run once without GLEAN_OFFLINE")
    return Part(text)


def peer_environments(machine: Machine) -> Part:
    """Return whether glean-sdk and this package can be compared: each is installed in an environment of its own."""
    homes = [machine.ws.state / "venvs" / name for name in ("differential", "differential-ours")]
    if all((home / "bin" / "python").exists() for home in homes):
        return Part("set up")
    if fetch.is_offline():
        why = "GLEAN_OFFLINE is set and glean-sdk is not installed"
        return Part("missing", why=why, fix="run once without GLEAN_OFFLINE")
    return Part("made from requirements/differential.txt", later="installs glean-sdk into an environment of its own")


def _guarded(find: Callable[[], Part]) -> Part:
    """Return what `find` returns; a setting that cannot be used becomes the reason."""
    try:
        return find()
    except StepError as error:
        return Part("", why=error.what, fix=error.fix)


def can_run(lane: Lane) -> bool:
    """Return whether a lane can run as things are, or after packages that are installed automatically."""
    return not any(part.why for part in lane.needs) and (not _missing([lane]) or system.may_install())


def verdict(lane: Lane) -> str:
    """Return whether a lane will run, and else why not and what would change that."""
    blocked = list(dict.fromkeys((part.why, part.fix) for part in lane.needs if part.why))
    absent = ", ".join(tool.name for tool in _missing([lane]))
    if blocked or (absent and not system.may_install()):
        reasons = [f"{why} → {fix}" for why, fix in blocked]
        reasons += [f"missing {absent} → the line at the end"] if absent else []
        return f"will not run: {'; '.join(reasons)}"
    later = list(dict.fromkeys(part.later for part in lane.needs if part.later))
    first = f"; it first {', '.join(later)}" if later else ""
    return f"will run after installing {absent} (done automatically as root){first}" if absent else f"will run{first}"


def _missing(lanes: Iterable[Lane]) -> List[Tool]:
    """Return the rows of all packages that lanes lack, each once, in the order of the table of tools."""
    wanted = {tool.name for lane in lanes for part in lane.needs for tool in part.missing}
    return [tool for tool in system.TOOLS if tool.name in wanted]


def install_line(lanes: Sequence[Lane], ask: Run) -> str:
    """Return one line that installs every package that lanes lack; empty when they lack none."""
    missing = _missing(lanes)
    i386 = any(part.i386 for lane in lanes for part in lane.needs)
    if not i386:
        return system.install_line(missing, run=ask) if missing else ""
    packages = [*system.packages_for(missing, run=ask), "wine32:i386"]
    return _i386_line() + f"{_sudo()}apt-get install -y {' '.join(packages)}"


def _i386_line() -> str:
    return f"{_sudo()}dpkg --add-architecture i386 && {_sudo()}apt-get update; "


def _sudo() -> str:
    return "" if system.is_root() else "sudo "


# --- tables -----------------------------------------------------------------------------------------------------------


def _tool_table(needed: Sequence[Tool], machine: Machine) -> report.Table:
    table = report.Table("System", ("tool", "version", "where", "what it does"))
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = list(pool.map(lambda tool: _look(tool, machine), system.TOOLS))
    for tool, (path, version) in zip(system.TOOLS, found):
        where = path or ("missing" if tool in needed else "not here, and not needed now")
        table.rows.append([tool.name, version, where, tool.why])
    return table


def _look(tool: Tool, machine: Machine) -> Tuple[str, str]:
    """Return where a tool is and what it says its version is; the Rust ones as the toolchain step sees them."""
    compilers = machine.rust.compilers
    if tool.name == system.RUST.name:
        too_old = "; ".join(f"{line}, too old" for line in machine.rust.too_old)
        return (str(compilers[0].rustc), compilers[0].version) if compilers else ("", too_old)
    if tool.name == system.RUST_SOURCES.name:
        builder = next((compiler for compiler in compilers if compiler.sources), None)
        return (str(builder.sources), builder.version) if builder else ("", "")
    path = system.find(tool)
    if path is None or not tool.programs:
        return str(path or ""), ""
    try:
        return str(path), system._version(path, machine.ask)
    except StepError as error:
        return str(path), error.what


def _target_table(parts: Mapping[Target, TargetParts]) -> report.Table:
    table = report.Table("Windows targets", ("target", "linker", "Rust standard library", "Wine"))
    for target, own in parts.items():
        table.rows.append([target.triple, own.linker.text, own.std.text, own.wine.text])
    return table


def _windows_python_table(machine: Machine) -> report.Table:
    table = report.Table("Windows Pythons", ("version", *[target.arch for target in TARGETS], "used for"))
    for row in machine.pins.pythons:
        cells = [windows_python_for(row, target, machine) for target in TARGETS]
        table.notes += dict.fromkeys(f"{cell.why} → {cell.fix}" for cell in cells if cell.why)
        uses = ["proof and suite"] if row.version == machine.pins.default_python else []
        uses += [f"suite, {arch}" for version, arch in machine.pins.tested if version == row.version]
        table.rows.append([row.version, *[cell.text for cell in cells], ", ".join(uses) or "--python " + row.version])
    return table


def _lane_table(lanes: Sequence[Lane]) -> report.Table:
    table = report.Table("Lanes of `nox -s tests`", ("lane", "verdict"))
    table.rows = [[lane.name, verdict(lane)] for lane in lanes]
    return table


def _space_table(sizes: Mapping[Path, int], ws: Workspace) -> report.Table:
    table = report.Table("Space", ("folder", ">used", ">free on its disk"))
    for path, size in sizes.items():
        table.rows.append([str(path), report.human_size(size), report.human_size(free_space(path))])
    cold = COLD_CHECKOUT_BYTES + COLD_CACHE_BYTES
    table.notes.append(
        f"a cold run fills about {report.human_size(cold)}, and system packages 2.3 GB where they are missing"
    )
    left = max(0, cold - sum(sizes.values()))
    if min(free_space(ws.state), free_space(ws.cache)) < left:
        table.notes.append(
            f"that may not fit: about {report.human_size(left)} are still to come; GLEAN_CACHE names another disk"
        )
    return table


def _settings_table(machine: Machine) -> report.Table:
    table = report.Table("Settings in force", ("variable", "value", "meaning"))
    for name in sorted(os.environ):
        if name.startswith("GLEAN_") and name not in INTERNAL_VARIABLES:
            meaning = VARIABLES.get(name, "unknown: the project reads no variable of this name")
            table.rows.append([name, os.environ[name], meaning])
    for question in (fetch.patience, lambda: pins.find_python(None, machine.pins)):
        try:
            question()
        except StepError as error:
            table.notes.append(f"{error.what}: {error.fix}")
    if not table.rows:
        table.notes.append("none; CONTRIBUTING.md lists what there is")
    return table


def folder_size(folder: Path) -> int:
    """Return the bytes of the files below a folder; links count as links."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue  # Removed by another run meanwhile.
    return total


def free_space(folder: Path) -> int:
    """Return the free bytes on the disk that holds a folder or will hold it."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
