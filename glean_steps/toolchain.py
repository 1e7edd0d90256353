"""A Rust compiler with a standard library for each target: already here, added by rustup, or built once from sources.

A target is built wholly by one compiler. What was decided is kept in a stamp, so an up-to-date call starts no program.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from glean_steps import project, report, runner, settings, system, workspace
from glean_steps.errors import MissingArtifactError, MissingToolError, OfflineError, SettingError, StepError
from glean_steps.prerequisites import Probe
from glean_steps.targets import Target
from glean_steps.workspace import Stamp, Workspace

# Building a program of cargo's takes a minute here; this is for the slowest machine.
PROGRAM_S = 1800.0

RECIPE = "1"
QUERY_S = 60.0
RUSTUP_S = 300.0
STD_S = 3600.0
_SOURCES = Path("lib/rustlib/src/rust/library")
_PROBE = "empty"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Rust:
    """A compiler that can build for one target.

    Attributes:
        cargo, rustc, rustdoc: the programs, none of them a rustup proxy.
        sysroot: what to give rustc as `--sysroot`; None when its own has the target's standard library.
        provider: how the standard library came here, for a person.
        version: rustc's version, such as `1.85.0`.
        host: the triple that it runs on.
    """

    cargo: Path
    rustc: Path
    rustdoc: Path
    sysroot: Optional[Path]
    provider: str
    version: str
    host: str


@dataclass(frozen=True)
class Compiler:
    """A compiler found on this machine.

    Attributes:
        cargo, rustc, rustdoc: the programs.
        sysroot: its own sysroot.
        verbose: what `rustc -vV` prints; it identifies the compiler.
    """

    cargo: Path
    rustc: Path
    rustdoc: Path
    sysroot: Path
    verbose: str

    @property
    def version(self) -> str:
        """Its version, such as `1.85.0`."""
        return _field(self.verbose, "release")

    @property
    def host(self) -> str:
        """The triple that it runs on."""
        return _field(self.verbose, "host")

    @property
    def sources(self) -> Optional[Path]:
        """The standard library's sources, if they are here with all crates that they depend on."""
        library = self.sysroot / _SOURCES
        return library if (library / "std").is_dir() and (library / "vendor").is_dir() else None

    def has_std(self, triple: str) -> bool:
        """Return whether its own sysroot has a standard library for `triple`."""
        return _has_std(self.sysroot, triple)


@dataclass
class _Machine:
    """What the providers share: the workspace, the compilers found, and what was too old."""

    ws: Workspace
    compilers: List[Compiler]
    too_old: List[str]

    def look_again(self) -> None:
        """Find the compilers anew after something was installed."""
        self.compilers, self.too_old = find_compilers(self.ws)


@dataclass(frozen=True)
class HostRust:
    """A compiler for this machine with a linker, as a prerequisite."""

    name: str = "Rust for this machine"

    def probe(self, ws: Workspace) -> Probe:
        """Say which compiler would be used."""
        absent = tuple(tool.name for tool in system.missing([system.C_COMPILER]))
        compilers, too_old = find_compilers(ws)
        if compilers:
            return Probe(f"Rust {compilers[0].version}", missing=absent)
        return Probe("; ".join(["none", *too_old]), missing=(*absent, system.RUST.name))

    def ensure(self, ws: Workspace) -> Rust:
        """Return the compiler, installing it if need be."""
        system.require([system.C_COMPILER], ws)
        return host_rust(ws)


@dataclass(frozen=True)
class TargetRust:
    """A compiler, a standard library and a linker for a target, as a prerequisite."""

    target: Target

    @property
    def name(self) -> str:
        """The target."""
        return f"Rust for {self.target.triple}"

    def probe(self, ws: Workspace) -> Probe:
        """Say where the standard library comes from: the first provider that has it."""
        absent = tuple(tool.name for tool in system.missing([system.C_COMPILER, *system.linkers(self.target)]))
        triple = self.target.triple
        recalled = _recalled(_stamp(ws, triple), machine_key(ws, self.target))
        if recalled is not None:
            return Probe(f"Rust {recalled.version}: {recalled.provider}", missing=absent)
        machine = _Machine(ws, *find_compilers(ws))
        for compiler in machine.compilers:
            if compiler.has_std(triple):
                return Probe(f"Rust {compiler.version}: already in {compiler.sysroot}", missing=absent)
        asks = _may_ask_rustup(self.target, ws)
        first = "`rustup target add`, where its server is in reach; else " if asks else ""
        builder = next((compiler for compiler in machine.compilers if compiler.sources), None)
        if builder is None:
            # Whether rustup can is only known by asking; only a machine without it surely lacks something.
            lacks = () if asks else (system.RUST_SOURCES.name,)
            later = "asks rustup for a standard library" if asks else ""
            return Probe(f"{first}built once, from sources that are not here", (*absent, *lacks), later)
        if not absent and is_whole(_entry(builder, self.target, machine), self.target):
            return Probe(f"{first}Rust {builder.version}: built earlier, in the cache")
        later = (
            "gets a standard library from rustup or builds it" if asks else "builds a standard library (1 to 2 minutes)"
        )
        return Probe(f"{first}Rust {builder.version}: built once from {builder.sources}", absent, later)

    def ensure(self, ws: Workspace) -> Rust:
        """Return the compiler, making the standard library if need be."""
        return rust_for(self.target, ws)


def _may_ask_rustup(target: Target, ws: Workspace) -> bool:
    """Return whether rustup would be asked for a standard library: it is here, and was not asked in vain before."""
    if settings.OFFLINE.value() or os.environ.get("RUSTC"):
        return False
    return (
        not _in_vain(target.triple, ws).path.exists()
        and system.find_program("rustup", system.RUSTUP_FOLDERS) is not None
    )


def _in_vain(triple: str, ws: Workspace) -> Stamp:
    """Return the stamp that rustup was asked for a standard library in vain."""
    return _stamp(ws, f"rustup-{triple}")


def host_rust(ws: Workspace) -> Rust:
    """Return the compiler for this machine itself: the first that works, else the distribution's, installed if need be.

    Raises:
        MissingToolError: there is none that is new enough for the crate, and none may be installed.
    """
    stamp, key = _stamp(ws, "host"), machine_key(ws)
    rust = _recalled(stamp, key)
    if rust is not None:
        return rust
    machine = _Machine(ws, [], [])
    machine.look_again()
    if not machine.compilers:
        outcome = system.install([system.RUST], machine.ws)
        machine.look_again()
        if not machine.compilers:
            raise _no_compiler(machine, outcome, system.RUST)
    rust = _rust(machine.compilers[0], None, "this machine's own")
    _remember(stamp, machine_key(ws), rust, [rust.cargo, rust.rustc])
    return rust


def rust_for(target: Target, ws: Workspace) -> Rust:
    """Return a compiler with a standard library for `target`; see `prepare`."""
    return prepare([target], ws)[target.triple]


def prepare(targets: Iterable[Target], ws: Workspace) -> Dict[str, Rust]:
    """Return a compiler with a standard library for each target, by triple; what is missing is made in one go.

    Raises:
        MissingToolError: no provider works here; says what each met and how to install what the last one needs.
    """
    wanted = list(targets)
    ready: Dict[str, Rust] = {}
    for target in wanted:
        if not target.triple:
            system.require([system.C_COMPILER], ws)
            ready[target.triple] = host_rust(ws)
            continue
        rust = _recalled(_stamp(ws, target.triple), machine_key(ws, target))
        if rust is not None:
            ready[target.triple] = rust
    left = [target for target in wanted if target.triple not in ready]
    if not left:
        return ready
    with report.step(f"Rust for {', '.join(target.triple for target in left)}"):
        system.require([system.C_COMPILER, *[tool for target in left for tool in system.linkers(target)]], ws)
        machine = _Machine(ws, [], [])
        machine.look_again()
        for provider in PROVIDERS:
            for triple, rust in provider(left, machine).items():
                target = next(target for target in left if target.triple == triple)
                report.say(f"  {triple}: Rust {rust.version}, {rust.provider}")
                files = _std_files(rust.sysroot or machine_sysroot(rust), triple)
                _remember(_stamp(ws, triple), machine_key(ws, target), rust, [rust.cargo, rust.rustc, *files])
                ready[triple] = rust
            left = [target for target in left if target.triple not in ready]
            if not left:
                break
    return ready


def machine_sysroot(rust: Rust) -> Path:
    """Return the sysroot of a compiler whose programs lie in its `bin` folder, as all that are found here do."""
    return rust.rustc.parent.parent


# --- providers --------------------------------------------------------------------------------------------------------

Provider = Callable[[Sequence[Target], _Machine], Dict[str, Rust]]


def _present(targets: Sequence[Target], machine: _Machine) -> Dict[str, Rust]:
    """A compiler on this machine whose own sysroot has the target."""
    found: Dict[str, Rust] = {}
    for target in targets:
        for compiler in machine.compilers:
            if compiler.has_std(target.triple):
                found[target.triple] = _rust(compiler, None, f"standard library already in {compiler.sysroot}")
                break
    return found


def _by_rustup(targets: Sequence[Target], machine: _Machine) -> Dict[str, Rust]:
    """The toolchain manager's own standard library, where its server can be reached."""
    rustup = system.find_program("rustup", system.RUSTUP_FOLDERS)
    if rustup is None or settings.OFFLINE.value() or os.environ.get("RUSTC"):
        return {}  # A caller who set RUSTC has chosen a compiler, and rustup would add to another one.
    key = workspace.fingerprint(RECIPE, str(rustup), [c.verbose for c in machine.compilers])
    # One stamp each: the triples of all targets are longer than a file's name may be.
    stamps = {target.triple: _in_vain(target.triple, machine.ws) for target in targets}
    triples = [triple for triple, stamp in stamps.items() if not stamp.is_current(key)]
    for triple in [triple for triple in stamps if triple not in triples]:
        report.say(f"  rustup could not add it before ({stamps[triple].path}); remove that file to let it try again")
    if not triples:
        return {}
    argv = [rustup, "target", "add", *triples]
    try:
        done = machine.ws.run(argv, timeout_s=RUSTUP_S, cwd=machine.ws.root, check=False, quiet=True)
        reason = _first_reason(done.stdout) if done.status else ""
    except StepError as error:
        reason = error.what
    if reason:
        report.say(f"  rustup cannot add {', '.join(triples)} here ({reason}); trying the next way")
        for triple in triples:
            stamps[triple].write(key)
        return {}
    machine.look_again()
    return {
        triple: _rust(compiler, None, "standard library added by rustup")
        for triple in triples
        for compiler in [c for c in machine.compilers if c.has_std(triple)][:1]
    }


def _built(targets: Sequence[Target], machine: _Machine) -> Dict[str, Rust]:
    """A standard library built once from the distribution's Rust sources, without network."""
    compiler = next((c for c in machine.compilers if c.sources), None)
    if compiler is None:
        outcome = system.install([system.RUST_SOURCES], machine.ws)
        machine.look_again()
        compiler = next((c for c in machine.compilers if c.sources), None)
        if compiler is None:
            raise _no_compiler(machine, outcome, system.RUST_SOURCES)
    entries = {target.triple: _entry(compiler, target, machine) for target in targets}
    with ExitStack() as locks:
        for entry in sorted(entries.values()):
            locks.enter_context(workspace.lock(entry.with_name(entry.name + ".lock"), f"building {entry.name}"))
        absent = [target for target in targets if not is_whole(entries[target.triple], target)]
        if absent:
            _build_std(compiler, absent, entries, machine)
    return {triple: _rust(compiler, entry, f"standard library built in {entry}") for triple, entry in entries.items()}


PROVIDERS: Tuple[Provider, ...] = (_present, _by_rustup, _built)


# --- building a standard library --------------------------------------------------------------------------------------


def _entry(compiler: Compiler, target: Target, machine: _Machine) -> Path:
    """Return where the cache keeps the standard library that this compiler builds for a target with this linker."""
    linkers = [
        machine.ws.run([target.linker, "-dumpversion"], timeout_s=QUERY_S, quiet=True).stdout.strip()
        for _ in system.linkers(target)
    ]
    key = workspace.fingerprint(RECIPE, compiler.verbose, str(compiler.sysroot), target.triple, *linkers)
    return machine.ws.cache / "sysroots" / f"{target.triple}-{compiler.version}-{key[:16]}"


def is_whole(entry: Path, target: Target) -> bool:
    """Return whether a cache entry has every file that it had when it was made, each with its size then."""
    try:
        sizes: Mapping[str, int] = json.loads((entry / _MANIFEST).read_text(encoding="utf-8"))
        folder = _std_folder(entry, target.triple)
        return _has_std(entry, target.triple) and all((folder / name).stat().st_size == sizes[name] for name in sizes)
    except (OSError, ValueError, AttributeError):
        return False


def _build_std(compiler: Compiler, targets: Sequence[Target], entries: Mapping[str, Path], machine: _Machine) -> None:
    """Build std for all `targets` in one cargo invocation, which keeps every core busy; file each under its entry."""
    names = ", ".join(target.triple for target in targets)
    sysroots = machine.ws.cache / "sysroots"
    with report.step(f"build Rust's standard library for {names} (once, 1 to 2 minutes)"):
        workspace.sweep(sysroots, ".build.")
        sysroots.mkdir(parents=True, exist_ok=True)
        build = Path(tempfile.mkdtemp(prefix=".build.", suffix=f".{os.getpid()}.part", dir=sysroots))
        try:
            _run_std_build(compiler, targets, build, machine)
            for target in targets:
                with workspace.new_folder(entries[target.triple]) as folder:
                    _fill_entry(folder, compiler, target, build, machine)
        finally:
            shutil.rmtree(build, ignore_errors=True)


def _run_std_build(compiler: Compiler, targets: Sequence[Target], build: Path, machine: _Machine) -> None:
    """Build an empty crate with `-Zbuild-std`: cargo compiles std from the sources as a part of it."""
    sources = compiler.sources
    assert sources is not None, "the caller chose a compiler with sources"
    probe = build / "probe"
    (probe / "src").mkdir(parents=True)
    (probe / "src" / "lib.rs").write_text("")
    package = f'[package]\nname = "{_PROBE}"\nversion = "0.0.0"\nedition = "2021"\n'
    (probe / "Cargo.toml").write_text(package + "[workspace]\n")
    argv: List[object] = [compiler.cargo, "build", "--release", "--offline"]
    argv += ["--manifest-path", probe / "Cargo.toml", "--target-dir", build / "target"]
    # std's own crates come with its sources; nothing else may be asked for them.
    argv += ["--config", 'source.crates-io.replace-with="std-vendor"']
    argv += ["--config", f"source.std-vendor.directory={json.dumps(str(sources / 'vendor'), ensure_ascii=False)}"]
    argv += ["-Zbuild-std=std,panic_unwind,panic_abort,test"]
    for target in targets:
        argv += ["--target", target.triple]
    machine.ws.run(argv, timeout_s=STD_S, cwd=probe, env=_std_env(compiler, build), quiet=True)


def _std_env(compiler: Compiler, build: Path) -> Dict[str, str]:
    """Return the environment of a std build: nothing of the user's Rust settings, which would shape what all share."""
    ours = re.compile(r"CARGO_|RUST(C|DOC|FLAGS|DOCFLAGS)|RUSTUP_TOOLCHAIN$|(CC|CFLAGS|AR|LD)_|MAKEFLAGS$")
    changes: Dict[str, Optional[str]] = {name: None for name in os.environ if ours.match(name)}
    flags = [
        # Without it a crate that asks for LTO fails to link; with it, what the crate does not use of std is left out.
        "-Cembed-bitcode=yes",
        f"--remap-path-prefix={compiler.sysroot / _SOURCES.parent}=/rustc/{compiler.version}",
        f"--remap-path-prefix={build}=/build",
    ]
    changes.update(
        RUSTC_BOOTSTRAP="1",
        RUSTC=str(compiler.rustc),
        RUSTC_WRAPPER="",
        CARGO_HOME=str(build / "cargo"),
        CARGO_ENCODED_RUSTFLAGS="\x1f".join(flags),
        CARGO_INCREMENTAL="0",
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS="1",
        CARGO_PROFILE_RELEASE_DEBUG="0",
        CARGO_PROFILE_RELEASE_OPT_LEVEL="3",
        CARGO_PROFILE_RELEASE_PANIC="unwind",
    )
    return runner.child_env(changes)


def _fill_entry(folder: Path, compiler: Compiler, target: Target, build: Path, machine: _Machine) -> None:
    """Lay out one sysroot: the target's libraries, and links to the host's and to the sources beside them."""
    std = _std_folder(folder, target.triple)
    std.mkdir(parents=True)
    for library in sorted((build / "target" / target.triple / "release" / "deps").glob("lib*.rlib")):
        if not library.name.startswith(f"lib{_PROBE}-"):
            shutil.copyfile(library, std / library.name)
    sources = compiler.sysroot / _SOURCES
    env = _std_env(compiler, build)
    for name in target.startup_objects:
        source = sources / "rtstartup" / f"{name}.rs"
        argv = [compiler.rustc, "--target", target.triple, "--emit=obj", "-o", std / f"{name}.o", source]
        machine.ws.run(argv, timeout_s=QUERY_S, cwd=folder, env=env, quiet=True)
    for name, origin in ((compiler.host, compiler.sysroot / "lib" / "rustlib"), ("src", sources.parents[2])):
        (folder / "lib" / "rustlib" / name).symlink_to(origin / name)
    if not _has_std(folder, target.triple):
        raise MissingArtifactError(
            f"no standard library after building it for {target.triple}",
            why=f"cargo succeeded but left no libstd below {build}",
            fix="report it with the versions that `invoke doctor` prints",
        )
    sizes = {file.name: file.stat().st_size for file in sorted(std.iterdir())}
    (folder / _MANIFEST).write_text(json.dumps(sizes, indent=1), encoding="utf-8")


# --- what is on this machine ------------------------------------------------------------------------------------------


def _program_folders() -> List[Path]:
    """Return the folders where compilers may be, in the order they are tried, each once."""
    home = Path(os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo"))
    places = [*os.environ.get("PATH", os.defpath).split(os.pathsep), str(home / "bin"), "/usr/local/bin", "/usr/bin"]
    places += sorted(glob.glob("/usr/lib/rust-*/bin"), key=_folder_version, reverse=True)
    places += [str(folder / "bin") for folder in _rustup_toolchains()]
    found: Dict[str, Path] = {}
    for place in places:
        if place and all(os.access(os.path.join(place, name), os.X_OK) for name in ("rustc", "cargo")):
            found.setdefault(os.path.realpath(place), Path(place))
    return list(found.values())


def _folder_version(folder: str) -> Tuple[int, ...]:
    """Return the version in `/usr/lib/rust-1.85/bin`, as Ubuntu names the folders of its versioned compilers."""
    return system.version_numbers(Path(folder).parent.name.partition("-")[2])


def rustup_home() -> Path:
    """Return the folder of rustup's toolchains, whether or not it is there."""
    return Path(os.environ.get("RUSTUP_HOME") or os.path.expanduser("~/.rustup"))


def _rustup_toolchains() -> List[Path]:
    return [Path(name) for name in sorted(glob.glob(glob.escape(str(rustup_home() / "toolchains")) + "/*"))]


def _candidates() -> List[Tuple[Path, Path]]:
    """Return the pairs of cargo and rustc to try; a caller who set RUSTC has chosen."""
    chosen = os.environ.get("RUSTC")
    if chosen:
        rustc = shutil.which(chosen) or chosen
        cargo = os.environ.get("CARGO") or str(Path(rustc).with_name("cargo"))
        return [(Path(shutil.which(cargo) or shutil.which("cargo") or cargo), Path(rustc))]
    return [(folder / "cargo", folder / "rustc") for folder in _program_folders()]


def find_compilers(ws: Workspace) -> Tuple[List[Compiler], List[str]]:
    """Return the compilers that work and are new enough for the crate, and a line about each that is too old."""
    minimum = system.crate_rust_version(ws.crate / "Cargo.toml")
    found: Dict[str, Compiler] = {}
    too_old: List[str] = []
    for cargo, rustc in _candidates():
        compiler = _examine(cargo, rustc, ws)
        if compiler is None or str(compiler.rustc) in found:
            continue
        if system.is_at_least(compiler.version, minimum):
            found[str(compiler.rustc)] = compiler
        else:
            too_old.append(f"{compiler.rustc} is {compiler.version}")
    return list(found.values()), too_old


def _examine(cargo: Path, rustc: Path, ws: Workspace) -> Optional[Compiler]:
    """Return what a compiler says about itself, or None when it does not work (a rustup without a toolchain, say)."""
    cwd = ws.root if ws.root.is_dir() else None
    answers: List[str] = []
    for arguments in (["-vV"], ["--print", "sysroot"]):
        try:
            done = ws.run(
                [rustc, *arguments],
                timeout_s=QUERY_S,
                cwd=cwd,
                check=False,
                quiet=True,
                split_stderr=True,
            )
        except StepError:
            return None
        if done.status != 0:
            return None
        answers.append(done.stdout.strip())
    verbose, sysroot = answers[0], Path(answers[1])
    # Behind a rustup proxy lie the real programs, which start faster and do not depend on the working directory.
    programs = [sysroot / "bin" / name for name in ("cargo", "rustc", "rustdoc")]
    if all(os.access(program, os.X_OK) for program in programs):
        cargo, rustc, rustdoc = programs
    else:
        rustdoc = rustc.with_name("rustdoc")
    return Compiler(cargo, rustc, rustdoc, sysroot, verbose)


def _std_folder(sysroot: Path, triple: str) -> Path:
    return sysroot / "lib" / "rustlib" / triple / "lib"


def _std_files(sysroot: Path, triple: str) -> List[Path]:
    return sorted(file for file in _std_folder(sysroot, triple).glob("*") if file.suffix in (".rlib", ".o"))


def _has_std(sysroot: Path, triple: str) -> bool:
    return any(_std_folder(sysroot, triple).glob("libstd-*.rlib"))


def _field(verbose: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)$", verbose, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _first_reason(output: str) -> str:
    """Return the line of a failed program's output that says why."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[0] if lines else "it said nothing")[:200]


def _no_compiler(machine: _Machine, outcome: str, tool: system.Tool) -> MissingToolError:
    minimum = system.crate_rust_version(machine.ws.crate / "Cargo.toml")
    needs = f"the crate needs Rust {minimum} or newer" if minimum else "no cargo and rustc that work were found"
    why = "; ".join([needs, *machine.too_old, outcome])
    return MissingToolError(f"no Rust compiler that {tool.why}", why=why, fix=system.install_line([tool], machine.ws))


# --- stamps -----------------------------------------------------------------------------------------------------------


def _stamp(ws: Workspace, name: str) -> Stamp:
    return ws.stamp(f"rust-{name}")


def machine_key(ws: Workspace, target: Optional[Target] = None) -> str:
    """Return a key over all that decides which compiler is used, from file attributes alone."""
    rustup = rustup_home()
    watched = [path for pair in _candidates() for path in pair]
    watched += [folder / "lib" / "rustlib" for folder in _rustup_toolchains()]
    if target is not None:
        # zig's is pinned by its requirements.
        watched += [Path(shutil.which(target.linker) or target.linker)] if target.linker else []
        watched.append(ws.root / project.LINKER_REQUIREMENTS)
    facts: List[Any] = [[str(path), workspace.signature(path)] for path in watched]
    names = ("RUSTC", "CARGO", "RUSTUP_TOOLCHAIN", "RUSTUP_HOME", "CARGO_HOME")
    facts.append([os.environ.get(name) for name in names])
    facts.append(system.crate_rust_version(ws.crate / "Cargo.toml"))
    facts.append([str(ws.cache), asdict(target) if target else None])
    files = [rustup / "settings.toml", ws.root / "rust-toolchain", ws.root / "rust-toolchain.toml"]
    return workspace.fingerprint(RECIPE, facts, *files)


def _rust(compiler: Compiler, sysroot: Optional[Path], provider: str) -> Rust:
    return Rust(compiler.cargo, compiler.rustc, compiler.rustdoc, sysroot, provider, compiler.version, compiler.host)


def _remember(stamp: Stamp, key: str, rust: Rust, files: Iterable[Path]) -> None:
    facts = {name: None if value is None else str(value) for name, value in asdict(rust).items()}
    stamp.write(key, files=files, facts=facts)


def _recalled(stamp: Stamp, key: str) -> Optional[Rust]:
    """Return what was decided before, if it was decided on the same grounds and its files are still the same."""
    if not stamp.is_current(key):
        return None
    facts = stamp.facts()
    try:
        return Rust(
            cargo=Path(facts["cargo"]),
            rustc=Path(facts["rustc"]),
            rustdoc=Path(facts["rustdoc"]),
            sysroot=Path(facts["sysroot"]) if facts["sysroot"] else None,
            provider=facts["provider"],
            version=facts["version"],
            host=facts["host"],
        )
    except (KeyError, TypeError):
        return None


def pinned_version(name: str, file: Path) -> str:
    """Return the version in the comment `# NAME-version: X` of a file.

    Raises:
        SettingError: there is no such file or comment.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingError(f"cannot read {file.name}", why=str(error), fix=f"put it back at {file}") from error
    found = re.search(rf"^#\s*{name}-version:\s*([0-9][0-9A-Za-z.+-]*)\s*$", text, re.MULTILINE)
    if found is None:
        raise SettingError(
            f"{name} has no pinned version",
            why=f"{file} has no line such as `# {name}-version: 0.29.0`",
            fix="add the line; another version may behave differently",
        )
    return found.group(1)


def cargo_program(name: str, pinned_in: Path, ws: Workspace) -> Path:
    """Return a program that cargo installs, from the cache; installs it there when it is missing (about a minute).

    Args:
        pinned_in: the file with the comment that names its version.

    Raises:
        SettingError: no version is pinned.
        OfflineError: it is missing and may not be fetched.
        MissingArtifactError: it is not there after it was installed.
    """
    version = pinned_version(name, pinned_in)
    folder = ws.cache / f"{name}-{version}"
    program = folder / "bin" / name
    if program.is_file():
        return program
    if settings.OFFLINE.value():
        raise OfflineError(
            f"{name} {version} is not in the cache",
            why="GLEAN_OFFLINE is set, so it cannot be fetched",
            fix=f"run once without GLEAN_OFFLINE, or put it at {program}",
        )
    rust = host_rust(ws)
    system.require([system.C_COMPILER], ws)
    with workspace.lock(folder.with_name(folder.name + ".lock"), f"installing {name} {version}"):
        if program.is_file():
            return program
        with report.step(f"install {name} {version} (once)"), workspace.new_folder(folder) as new:
            argv = [rust.cargo, "install", name, "--locked", "--version", version, "--root", new]
            env = runner.child_env({"RUSTC": str(rust.rustc), "CARGO_TARGET_DIR": str(new / "target")})
            ws.run(argv, timeout_s=PROGRAM_S, cwd=new, env=env)
            shutil.rmtree(new / "target", ignore_errors=True)
    if not program.is_file():
        raise MissingArtifactError(
            f"no {name} after installing it", why=f"cargo succeeded but {program} does not exist", fix="run it again"
        )
    return program
