"""A Rust compiler with a standard library for each target: already here, added by rustup, or built once from sources.

A target is built wholly by one compiler. What was decided is kept in a stamp, so an up-to-date call starts no program.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from glean_steps import project, report, runner, settings, system, workspace
from glean_steps.errors import MissingArtifactError, MissingToolError, OfflineError, SettingError, StepError
from glean_steps.prerequisites import Probe
from glean_steps.targets import HOST, Target
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
        rust: its programs, which build for this machine.
        sysroot: its own sysroot.
        verbose: what `rustc -vV` prints; it identifies the compiler.
    """

    rust: Rust
    sysroot: Path
    verbose: str

    @property
    def sources(self) -> Optional[Path]:
        """The standard library's sources, if they are here with all crates that they depend on."""
        library = self.sysroot / _SOURCES
        return library if (library / "std").is_dir() and (library / "vendor").is_dir() else None


@dataclass(frozen=True)
class HostRust:
    """A compiler for this machine with a linker, as a prerequisite."""

    name: str = "Rust for this machine"

    def probe(self, ws: Workspace) -> Probe:
        """Say which compiler would be used."""
        absent = tuple(tool.name for tool in system.missing([system.C_COMPILER]))
        compilers, too_old = find_compilers(ws)
        if compilers:
            return Probe(f"Rust {compilers[0].rust.version}", missing=absent)
        return Probe("; ".join(["none", *too_old]), missing=(*absent, system.RUST.name))

    def ensure(self, ws: Workspace) -> Rust:
        """Return the compiler, installing it if need be."""
        return rust_for(HOST, ws)


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
        rust = _recalled(self.target, ws)
        compilers = [] if rust else find_compilers(ws)[0]
        rust = rust or _present([self.target], compilers, ws).get(self.target.triple)
        if rust is not None:
            return Probe(f"Rust {rust.version}: {rust.provider}", missing=absent)
        asks = _rustup() is not None and not _in_vain(self.target, ws).path.exists()
        first = "`rustup target add`, where its server is in reach; else " if asks else ""
        builder = next((compiler for compiler in compilers if compiler.sources), None)
        if builder is None:
            # Whether rustup can is only known by asking; only a machine without it surely lacks something.
            lacks = () if asks else (system.RUST_SOURCES.name,)
            later = "asks rustup for a standard library" if asks else ""
            return Probe(f"{first}built once, from sources that are not here", (*absent, *lacks), later)
        first += f"Rust {builder.rust.version}"
        if not absent and is_whole(_entry(builder, self.target, ws), self.target):
            return Probe(f"{first}: built earlier, in the cache")
        later = (
            "gets a standard library from rustup or builds it" if asks else "builds a standard library (1 to 2 minutes)"
        )
        return Probe(f"{first}: built once from {builder.sources}", absent, later)

    def ensure(self, ws: Workspace) -> Rust:
        """Return the compiler, making the standard library if need be."""
        return rust_for(self.target, ws)


def host_rust(ws: Workspace) -> Rust:
    """Return the compiler for this machine itself: the first that works, else the distribution's, installed if need be.

    Raises:
        MissingToolError: there is none that is new enough for the crate, and none may be installed.
    """
    rust = _recalled(HOST, ws)
    if rust is None:
        rust = _compiler(system.RUST, ws).rust
        _remember(HOST, rust, [], ws)
    return rust


def rust_for(target: Target, ws: Workspace) -> Rust:
    """Return a compiler with a standard library for `target`; see `prepare`."""
    return prepare([target], ws)[target.triple]


def prepare(targets: Iterable[Target], ws: Workspace) -> Dict[str, Rust]:
    """Return a compiler with a standard library for each target, by triple; what is missing is made in one go.

    Raises:
        MissingToolError: no provider works here; says what each met and how to install what the last one needs.
    """
    ready: Dict[str, Rust] = {}
    left: List[Target] = []
    for target in targets:
        if not target.triple:
            system.require([system.C_COMPILER], ws)
        rust = _recalled(target, ws) if target.triple else host_rust(ws)
        if rust is not None:
            ready[target.triple] = rust
        else:
            left.append(target)
    if not left:
        return ready
    with report.step(f"Rust for {', '.join(target.triple for target in left)}"):
        system.require([system.C_COMPILER, *[tool for target in left for tool in system.linkers(target)]], ws)
        compilers, _ = find_compilers(ws)
        for provider in (_present, _by_rustup, _built):
            found = provider(left, compilers, ws)
            for target in left:
                if target.triple in found:
                    rust = ready[target.triple] = found[target.triple]
                    report.say(f"  {target.triple}: Rust {rust.version}, {rust.provider}")
                    std = _std_folder(rust.sysroot or machine_sysroot(rust), target.triple)
                    _remember(target, rust, [file for file in std.glob("*") if file.suffix in (".rlib", ".o")], ws)
            left = [target for target in left if target.triple not in ready]
            if not left:
                break
    return ready


def machine_sysroot(rust: Rust) -> Path:
    """Return the sysroot of a compiler whose programs lie in its `bin` folder, as all that are found here do."""
    return rust.rustc.parent.parent


# --- providers --------------------------------------------------------------------------------------------------------


def _present(targets: Sequence[Target], compilers: Sequence[Compiler], ws: Workspace) -> Dict[str, Rust]:
    """A compiler on this machine whose own sysroot has the target."""
    found: Dict[str, Rust] = {}
    for target in targets:
        for compiler in compilers:
            if target.triple not in found and _has_std(compiler.sysroot, target.triple):
                provider = f"standard library already in {compiler.sysroot}"
                found[target.triple] = replace(compiler.rust, provider=provider)
    return found


def _by_rustup(targets: Sequence[Target], compilers: Sequence[Compiler], ws: Workspace) -> Dict[str, Rust]:
    """The toolchain manager's own standard library, where its server can be reached."""
    rustup = _rustup()
    if rustup is None:
        return {}
    key = workspace.fingerprint(RECIPE, str(rustup), [compiler.verbose for compiler in compilers])
    asked: List[Target] = []
    for target in targets:
        vain = _in_vain(target, ws)
        if vain.is_current(key):
            report.say(f"  rustup could not add it before ({vain.path}); remove that file to let it try again")
        else:
            asked.append(target)
    if not asked:
        return {}
    triples = [target.triple for target in asked]
    try:
        argv = [rustup, "target", "add", *triples]
        done = ws.run(argv, timeout_s=RUSTUP_S, cwd=ws.root, check=False, quiet=True)
        reason = _first_reason(done.stdout) if done.status else ""
    except StepError as error:
        reason = error.what
    if reason:
        report.say(f"  rustup cannot add {', '.join(triples)} here ({reason}); trying the next way")
        for target in asked:
            _in_vain(target, ws).write(key)
        return {}
    added = _present(asked, find_compilers(ws)[0], ws)
    return {triple: replace(rust, provider="standard library added by rustup") for triple, rust in added.items()}


def _rustup() -> Optional[Path]:
    """Return rustup, where it may be asked. A caller who set RUSTC has chosen a compiler; it would add to another."""
    if settings.OFFLINE.value() or os.environ.get("RUSTC"):
        return None
    return system.find_program("rustup", system.RUSTUP_FOLDERS)


def _in_vain(target: Target, ws: Workspace) -> Stamp:
    """Return the stamp that rustup was asked in vain: one each, as all triples are longer than a file's name may be."""
    return ws.stamp(f"rust-rustup-{target.triple}")


def _built(targets: Sequence[Target], compilers: Sequence[Compiler], ws: Workspace) -> Dict[str, Rust]:
    """A standard library built once from the distribution's Rust sources, without network."""
    compiler = _compiler(system.RUST_SOURCES, ws)
    entries = {target.triple: _entry(compiler, target, ws) for target in targets}
    with workspace.lock(ws.cache / "sysroots" / "build.lock", "building Rust's standard library"):
        absent = [target for target in targets if not is_whole(entries[target.triple], target)]
        if absent:
            _build_std(compiler, absent, entries, ws)
    return {
        triple: replace(compiler.rust, sysroot=entry, provider=f"standard library built in {entry}")
        for triple, entry in entries.items()
    }


# --- building a standard library --------------------------------------------------------------------------------------


def _entry(compiler: Compiler, target: Target, ws: Workspace) -> Path:
    """Return where the cache keeps the standard library that this compiler builds for a target with this linker."""
    linkers = [
        ws.run([target.linker, "-dumpversion"], timeout_s=QUERY_S, quiet=True).stdout.strip()
        for _ in system.linkers(target)
    ]
    key = workspace.fingerprint(RECIPE, compiler.verbose, str(compiler.sysroot), target.triple, *linkers)
    return ws.cache / "sysroots" / f"{target.triple}-{compiler.rust.version}-{key[:16]}"


def is_whole(entry: Path, target: Target) -> bool:
    """Return whether a cache entry has every file that it had when it was made, each with its size then."""
    try:
        sizes: Mapping[str, int] = json.loads((entry / _MANIFEST).read_text(encoding="utf-8"))
        folder = _std_folder(entry, target.triple)
        return _has_std(entry, target.triple) and all((folder / name).stat().st_size == sizes[name] for name in sizes)
    except (OSError, ValueError, AttributeError):
        return False


def _build_std(compiler: Compiler, targets: Sequence[Target], entries: Mapping[str, Path], ws: Workspace) -> None:
    """Build std for all `targets` in one cargo call, which keeps every core busy; file each under its entry.

    cargo compiles std from its sources as a part of an empty crate.
    """
    assert compiler.sources is not None, "the caller chose a compiler with sources"
    sysroots = ws.cache / "sysroots"
    with report.step(
        f"build Rust's standard library for {', '.join(target.triple for target in targets)} (once, 1 to 2 minutes)"
    ):
        workspace.sweep(sysroots, ".build.")
        sysroots.mkdir(parents=True, exist_ok=True)
        build = Path(tempfile.mkdtemp(prefix=".build.", suffix=f".{os.getpid()}.part", dir=sysroots))
        try:
            probe = build / "probe"
            (probe / "src").mkdir(parents=True)
            (probe / "src" / "lib.rs").write_text("")
            package = f'[package]\nname = "{_PROBE}"\nversion = "0.0.0"\nedition = "2021"\n'
            (probe / "Cargo.toml").write_text(package + "[workspace]\n")
            argv: List[object] = [compiler.rust.cargo, "build", "--release", "--offline"]
            argv += ["--manifest-path", probe / "Cargo.toml", "--target-dir", build / "target"]
            # std's own crates come with its sources; nothing else may be asked for them.
            vendored = json.dumps(str(compiler.sources / "vendor"), ensure_ascii=False)
            argv += ["--config", 'source.crates-io.replace-with="std-vendor"']
            argv += ["--config", f"source.std-vendor.directory={vendored}"]
            argv += ["-Zbuild-std=std,panic_unwind,panic_abort,test"]
            for target in targets:
                argv += ["--target", target.triple]
            env = _std_env(compiler, build)
            ws.run(argv, timeout_s=STD_S, cwd=probe, env=env, quiet=True)
            for target in targets:
                with workspace.new_folder(entries[target.triple]) as folder:
                    _fill_entry(folder, compiler, target, build, env, ws)
        finally:
            shutil.rmtree(build, ignore_errors=True)


def _std_env(compiler: Compiler, build: Path) -> Dict[str, str]:
    """Return the environment of a std build: nothing of the user's Rust settings, which would shape what all share."""
    ours = re.compile(r"CARGO_|RUST(C|DOC|FLAGS|DOCFLAGS)|RUSTUP_TOOLCHAIN$|(CC|CFLAGS|AR|LD)_|MAKEFLAGS$")
    changes: Dict[str, Optional[str]] = {name: None for name in os.environ if ours.match(name)}
    flags = [
        # Without it a crate that asks for LTO fails to link; with it, what the crate does not use of std is left out.
        "-Cembed-bitcode=yes",
        f"--remap-path-prefix={compiler.sysroot / _SOURCES.parent}=/rustc/{compiler.rust.version}",
        f"--remap-path-prefix={build}=/build",
    ]
    changes.update(
        RUSTC_BOOTSTRAP="1",
        RUSTC=str(compiler.rust.rustc),
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


def _fill_entry(
    folder: Path, compiler: Compiler, target: Target, build: Path, env: Mapping[str, str], ws: Workspace
) -> None:
    """Lay out one sysroot: the target's libraries, and links to the host's and to the sources beside them."""
    std = _std_folder(folder, target.triple)
    std.mkdir(parents=True)
    for library in sorted((build / "target" / target.triple / "release" / "deps").glob("lib*.rlib")):
        if not library.name.startswith(f"lib{_PROBE}-"):
            shutil.copyfile(library, std / library.name)
    for name in target.startup_objects:
        source = compiler.sysroot / _SOURCES / "rtstartup" / f"{name}.rs"
        argv = [compiler.rust.rustc, "--target", target.triple, "--emit=obj", "-o", std / f"{name}.o", source]
        ws.run(argv, timeout_s=QUERY_S, cwd=folder, env=env, quiet=True)
    for name in (compiler.rust.host, "src"):
        (folder / "lib" / "rustlib" / name).symlink_to(compiler.sysroot / "lib" / "rustlib" / name)
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
    places = [Path(name) for name in os.environ.get("PATH", os.defpath).split(os.pathsep) if name]
    places += [cargo_home() / "bin", Path("/usr/local/bin"), Path("/usr/bin")]
    # Ubuntu's versioned compilers, the newest first: `/usr/lib/rust-1.85`.
    versioned = Path("/usr/lib").glob("rust-*")
    by_version = sorted(versioned, key=lambda folder: system.version_numbers(folder.name[len("rust-") :]), reverse=True)
    places += [folder / "bin" for folder in (*by_version, *_rustup_toolchains())]
    found: Dict[str, Path] = {}
    for place in places:
        if all(os.access(place / name, os.X_OK) for name in ("rustc", "cargo")):
            found.setdefault(os.path.realpath(place), place)
    return list(found.values())


def cargo_home() -> Path:
    """Return the folder of cargo's registry and of what it installs, whether or not it is there."""
    return Path(os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo"))


def rustup_home() -> Path:
    """Return the folder of rustup's toolchains, whether or not it is there."""
    return Path(os.environ.get("RUSTUP_HOME") or os.path.expanduser("~/.rustup"))


def _rustup_toolchains() -> List[Path]:
    return sorted((rustup_home() / "toolchains").glob("*"))


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
        if compiler is None or str(compiler.rust.rustc) in found:
            continue
        if system.is_at_least(compiler.rust.version, minimum):
            found[str(compiler.rust.rustc)] = compiler
        else:
            too_old.append(f"{compiler.rust.rustc} is {compiler.rust.version}")
    return list(found.values()), too_old


def _compiler(tool: system.Tool, ws: Workspace) -> Compiler:
    """Return the first compiler, of those with sources where `tool` brings sources; installs `tool` if there is none.

    Raises:
        MissingToolError: there is none that will do, and none may be installed.
    """
    needs_sources = tool is system.RUST_SOURCES
    found = [compiler for compiler in find_compilers(ws)[0] if compiler.sources or not needs_sources]
    if not found:
        outcome = system.install([tool], ws)
        compilers, too_old = find_compilers(ws)
        found = [compiler for compiler in compilers if compiler.sources or not needs_sources]
        if not found:
            minimum = system.crate_rust_version(ws.crate / "Cargo.toml")
            needs = f"the crate needs Rust {minimum} or newer" if minimum else "no cargo and rustc that work were found"
            why = "; ".join([needs, *too_old, outcome])
            raise MissingToolError(f"no Rust compiler that {tool.why}", why=why, fix=system.install_line([tool], ws))
    return found[0]


def _examine(cargo: Path, rustc: Path, ws: Workspace) -> Optional[Compiler]:
    """Return what a compiler says about itself, or None when it does not work (a rustup without a toolchain, say)."""
    cwd = ws.root if ws.root.is_dir() else None
    answers: List[str] = []
    for arguments in (["-vV"], ["--print", "sysroot"]):
        try:
            argv = [rustc, *arguments]
            done = ws.run(argv, timeout_s=QUERY_S, cwd=cwd, check=False, quiet=True, split_stderr=True)
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
    fields = dict(re.findall(r"^(\w+): (.*?)\s*$", verbose, re.MULTILINE))
    version, host = fields.get("release", ""), fields.get("host", "")
    return Compiler(Rust(cargo, rustc, rustdoc, None, "this machine's own", version, host), sysroot, verbose)


def _std_folder(sysroot: Path, triple: str) -> Path:
    return sysroot / "lib" / "rustlib" / triple / "lib"


def _has_std(sysroot: Path, triple: str) -> bool:
    return any(_std_folder(sysroot, triple).glob("libstd-*.rlib"))


def _first_reason(output: str) -> str:
    """Return the line of a failed program's output that says why."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[0] if lines else "it said nothing")[:200]


# --- stamps -----------------------------------------------------------------------------------------------------------


def _stamp(target: Target, ws: Workspace) -> Stamp:
    return ws.stamp(f"rust-{target.triple or 'host'}")


def machine_key(ws: Workspace, target: Target) -> str:
    """Return a key over all that decides which compiler is used, from file attributes alone."""
    watched = [path for pair in _candidates() for path in pair]
    watched += [folder / "lib" / "rustlib" for folder in _rustup_toolchains()]
    if target.triple:
        # zig's is pinned by its requirements.
        watched += [Path(shutil.which(target.linker) or target.linker)] if target.linker else []
        watched.append(ws.root / project.LINKER_REQUIREMENTS)
    facts: List[Any] = [[str(path), workspace.signature(path)] for path in watched]
    names = ("RUSTC", "CARGO", "RUSTUP_TOOLCHAIN", "RUSTUP_HOME", "CARGO_HOME")
    facts.append([os.environ.get(name) for name in names])
    facts.append(system.crate_rust_version(ws.crate / "Cargo.toml"))
    facts.append([str(ws.cache), asdict(target) if target.triple else None])
    files = [rustup_home() / "settings.toml", ws.root / "rust-toolchain", ws.root / "rust-toolchain.toml"]
    return workspace.fingerprint(RECIPE, facts, *files)


def _remember(target: Target, rust: Rust, std: Sequence[Path], ws: Workspace) -> None:
    facts = {name: None if value is None else str(value) for name, value in asdict(rust).items()}
    _stamp(target, ws).write(machine_key(ws, target), files=[rust.cargo, rust.rustc, *std], facts=facts)


def _recalled(target: Target, ws: Workspace) -> Optional[Rust]:
    """Return what was decided before, if it was decided on the same grounds and its files are still the same."""
    stamp = _stamp(target, ws)
    if not stamp.is_current(machine_key(ws, target)):
        return None
    facts = stamp.facts()
    cargo, rustc, rustdoc = (Path(facts[name]) for name in ("cargo", "rustc", "rustdoc"))
    sysroot = Path(facts["sysroot"]) if facts["sysroot"] else None
    return Rust(cargo, rustc, rustdoc, sysroot, facts["provider"], facts["version"], facts["host"])


# --- programs that cargo installs -------------------------------------------------------------------------------------


def made_file(path: Path, what: str, *, by: str = "cargo", fix: str) -> Path:
    """Return a file that a program had to make.

    Raises:
        MissingArtifactError: it is not there.
    """
    if not path.is_file():
        raise MissingArtifactError(what, why=f"{by} succeeded but {path} does not exist", fix=fix)
    return path


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
    return made_file(program, f"no {name} after installing it", fix="run it again")
