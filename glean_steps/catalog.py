"""The suites of this repository, one function an entry, and the selections of them that sessions run."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from glean_steps import (
    cargo,
    environments,
    foreign,
    fuzz,
    header,
    interpreters,
    pins,
    pipelines,
    project,
    prove,
    roots,
    runner,
    suites,
    system,
    windows_python,
    wine,
)
from glean_steps.environments import Environment, NativeWheel
from glean_steps.errors import DownloadError, MissingToolError
from glean_steps.prerequisites import Prerequisite, Probe
from glean_steps.suites import Result, Suite
from glean_steps.targets import TARGETS, WINDOWS, Target
from glean_steps.toolchain import HostRust, Rust, TargetRust
from glean_steps.windows_python import WindowsPython
from glean_steps.wine import Prefix, Wines
from glean_steps.workspace import Workspace
from glean_steps.zig import Zig

SUITE_S = 7200.0
CHECK_S = 900.0
# Programs that are compared with the other package: how many, from which seed, in which time zone.
FIXED_COUNT, FIXED_SEED = 200, 1
NIGHTLY_COUNT = 3000
# One that is whole hours east, one with a half hour west: an offset is easily lost on the way.
NIGHTLY_ZONES = ("UTC", "Asia/Kolkata", "America/St_Johns")


# --- Rust -------------------------------------------------------------------------------------------------------------


def rust_native(name: str = "Rust, native", arguments: Sequence[str] = ()) -> Suite:
    """The crate's tests on this machine."""

    def run(ws: Workspace, rust: Rust) -> Result:
        return suites.count_cargo(cargo.test_crate(ws=ws, arguments=["--no-fail-fast", *arguments], check=False))

    return Suite(name, run, (HostRust(),), frozenset({"cargo, native"}))


def rust_wine(target: Target, wines: Wines) -> Suite:
    """The crate's tests in a target's Wine."""

    def run(ws: Workspace, *_: object) -> Result:
        with wine.session(target, ws) as warm:
            done = cargo.test_crate(
                target,
                ws=ws,
                runner_argv=warm.provider.argv([warm.provider.loader], ws.crate),
                env=warm.env_changes(),
                arguments=["--no-fail-fast"],
                check=False,
            )
        return suites.count_cargo(done)

    needs = (TargetRust(target), wines, Prefix(target))
    return Suite(f"Rust, Wine {target.arch}", run, needs, frozenset({f"Wine {target.arch}"}))


def miri() -> Suite:
    """What Miri can run of the crate's tests."""

    def run(ws: Workspace, rust: Rust) -> Result:
        return suites.count_cargo(cargo.miri(ws))

    return Suite("Rust, Miri", run, (HostRust(),))


# --- Python -----------------------------------------------------------------------------------------------------------


@contextmanager
def suite_copy(ws: Workspace) -> Iterator[Tuple[Path, Path]]:
    """Yield a copy of the Python suite with an empty folder beside it, so that the checkout cannot be imported."""
    # In the system's own folder: the paths of sockets that tests make are short there.
    folder = Path(tempfile.mkdtemp(prefix="glean-suite-"))
    try:
        copy, empty = folder / project.SUITE, folder / "empty"
        shutil.copytree(ws.root / project.SUITE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for name in project.SUITE_FILES:
            shutil.copyfile(ws.root / name, folder / name)
        for each in (empty, folder / "temp"):
            each.mkdir()
        yield copy, empty
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def python_native(
    minor: str, *, name: str = "", arguments: Sequence[str] = (), changes: Optional[Mapping[str, str]] = None
) -> Suite:
    """The Python suite on a CPython of this machine, against the installed wheel."""

    def run(ws: Workspace, rust: Rust, packed: Path, program: Path, _: None) -> Result:
        return python_suite(program, ws, arguments, changes)

    environment = Environment(minor, project.SUITE_REQUIREMENTS, minor)
    programs = system.Programs(system.tools(*project.SUITE_PROGRAMS), is_optional=True)
    return Suite(name or f"Python, native {minor}", run, (HostRust(), NativeWheel(), environment, programs))


def python_suite(
    program: Path, ws: Workspace, arguments: Sequence[str] = (), changes: Optional[Mapping[str, str]] = None
) -> Result:
    """Run the Python suite in an environment that has the wheel."""
    with suite_copy(ws) as (copy, empty):
        # pytest keeps the folders of its last three runs; these go with the copy.
        env = environments.clean_env({"TMPDIR": str(empty.with_name("temp")), **(changes or {})})
        start = partial(ws.run, timeout_s=SUITE_S, cwd=empty, check=False, env=env)
        return suites.pytest([program], copy, start, arguments=arguments)


def native_pythons(ws: Workspace) -> List[str]:
    """Return the minor versions that have to pass, and free-threaded builds that are here."""
    found = interpreters.find_all(ws)
    wanted = [f"3.{number}" for number in range(interpreters.OLDEST[1], interpreters.NEWEST[1] + 1)]
    return sorted({*wanted, *found}, key=interpreters.order)


def python_wine(
    version: Optional[str], target: Target, wines: Wines, proven: Optional[str] = None, arguments: Sequence[str] = ()
) -> Suite:
    """The Python suite in a Windows Python, against the finished wheel.

    Args:
        proven: the Windows Python to prove the wheel in, when one was asked for. There is one wheel of a target, so the
            suites of all Pythons have to ask for the same.
    """

    def run(ws: Workspace, _: None, packed: Path, prefix: Path, python: WindowsPython) -> Result:
        with wine.session(target, ws) as warm, suite_copy(ws) as (copy, empty):
            prove.install(packed, python, warm, ws)
            start = partial(warm.run, timeout_s=SUITE_S, cwd=empty, check=False)
            result = suites.pytest([python.executable], copy, start, path=wine.windows_path, arguments=arguments)
        wanted = pins.find_python(version).version
        exact = f"{python.version} {python.arch}"
        result.suite = f"Python, Wine {exact}" + ("" if python.version == wanted else f" (for {wanted})")
        return result

    shown = version or pins.find_python().version
    needs = (wines, ProvenWheel(target, proven), Prefix(target), windows_python.Environment(version, target))
    return Suite(f"Python, Wine {shown} {target.arch}", run, needs, frozenset({f"Wine {target.arch}"}))


_FORKS = "tests that fork; qemu hangs where a process with threads does, whatever the program"


def python_elsewhere(target: Target) -> Suite:
    """The Python suite in a CPython of another architecture or C library, against the finished wheel."""

    def run(ws: Workspace, packed: Path) -> Result:
        python = foreign.python_for(target, ws)
        is_emulated = len(python.argv) > 1
        with tempfile.TemporaryDirectory(prefix="glean-") as folder:
            program = foreign.environment(packed, target, python, Path(folder, "environment"), ws)
            left_out = project.SUITE_UNDER_QEMU if is_emulated else ()
            result = python_suite(program, ws, left_out, python.env)
        result.notes += [f"left out: {_FORKS}"] if is_emulated else []
        result.suite = f"Python, {python.how} {python.version} {target.machine}"
        return result

    return Suite(f"Python, {target.platform_tag}", run, (ProvenWheel(target),))


def rust_qemu(target: Target) -> Suite:
    """The crate's tests for another architecture."""

    def run(ws: Workspace, *_: object) -> Result:
        python = foreign.python_for(target, ws)
        roots.know_qemu(target, ws)
        emulator = python.argv[:-1]
        left_out = project.RUST_UNDER_QEMU if emulator else ()
        done = cargo.test_crate(
            target,
            ws=ws,
            runner_argv=emulator or None,
            env=python.env,
            arguments=["--no-fail-fast", "--", *left_out],
            check=False,
        )
        result = suites.count_cargo(done)
        skipped = sum(int(number) for number in re.findall(r"(\d+) filtered out", done.stdout))
        if skipped:
            result.skipped += skipped
            result.notes.append(f"skipped {skipped}: {_FORKS}")
        return result

    return Suite(f"Rust, qemu {target.machine}", run, (TargetRust(target), Zig()))


def proof(target: Target) -> Suite:
    """The proof of a wheel, as a suite of one test."""

    def run(ws: Workspace, packed: Path) -> Result:
        return Result("", passed=1, notes=[f"proven {packed.name}"])

    return Suite(f"proof, {target.platform_tag}", run, (ProvenWheel(target),), frozenset({"proofs"}))


@dataclass(frozen=True)
class ProvenWheel:
    """The finished wheel of a target, as a prerequisite."""

    target: Target
    python: Optional[str] = None

    @property
    def name(self) -> str:
        """Its tag."""
        return f"wheel for {self.target.platform_tag}"

    def probe(self, ws: Workspace) -> Probe:
        """Say what the build lacks."""
        return TargetRust(self.target).probe(ws)

    def ensure(self, ws: Workspace) -> Path:
        """Return the wheel, building and proving it if need be."""
        (built,) = pipelines.make_wheels([self.target], ws, python=self.python)
        return built.path


def steps() -> Suite:
    """The steps' own tests, in the tool environment, on every core."""
    linkers = tuple(tool for target in WINDOWS for tool in system.linkers(target))
    return _steps("steps", "not wine", (system.Programs(linkers, is_optional=True),))


def steps_wine() -> Suite:
    """Those that start programs under Wine, in one process: they share a checkout with finished wheels."""
    # What is costly is in the cache then, from which they take it. Prefixes are their own: another suite may use ours.
    needs = (
        Wines(tuple(WINDOWS)),
        *[need for target in WINDOWS for need in (TargetRust(target), windows_python.Archive(target))],
    )
    return _steps("steps, Wine", "wine", needs, in_one_process=True)


def _steps(name: str, chosen: str, needs: Tuple[Prerequisite, ...] = (), in_one_process: bool = False) -> Suite:
    """The steps' tests that pytest's `-m` chooses."""

    def run(ws: Workspace, *_: object) -> Result:
        # One that a killed run left is removed by pytest.
        scratch = ws.state / "pytest" / name.lower().replace(", ", "-")
        scratch.parent.mkdir(parents=True, exist_ok=True)
        arguments: List[object] = ["-c", ws.root / "pyproject.toml", "--rootdir", ws.root, "--basetemp", scratch]
        arguments += ["-m", chosen]
        if not in_one_process and importlib.util.find_spec("xdist"):
            # The tests of a file share what they build.
            arguments += ["-n", str(os.cpu_count() or 1), "--dist", "loadfile"]
        try:
            start = partial(ws.run, timeout_s=SUITE_S, cwd=ws.root, check=False)
            return suites.pytest([sys.executable], ws.root / "tests" / "steps", start, arguments=arguments)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    return Suite(name, run, needs)


# --- comparison with the other package --------------------------------------------------------------------------------


def differential(count: int, seed: int, zone: str) -> Suite:
    """The same random programs with both packages, answers and pings field by field."""

    def run(ws: Workspace, rust: Rust, packed: Path, other: Path, ours: Path) -> Result:
        folder = ws.root / project.DIFFERENTIAL
        start = partial(ws.run, timeout_s=300.0 + count / 2, cwd=folder, check=False)
        arguments: List[object] = ["--rootdir", folder, "--peer", other, "--ours", ours]
        arguments += ["--count", str(count), "--first-seed", str(seed), "--time-zone", zone]
        return suites.pytest([other], folder, start, arguments=arguments)

    both = [
        Environment(f"differential{suffix}", project.DIFFERENTIAL_REQUIREMENTS, packed=bool(suffix))
        for suffix in ("", "-ours")
    ]
    return Suite(f"differential, {zone}", run, (HostRust(), NativeWheel(), *both))


# --- the page of the collector ----------------------------------------------------------------------------------------


def collector_page() -> Suite:
    """The page of the collector in the system's Chromium, and the tutorial, with the installed wheel."""
    programs = system.tools("chromium", "curl")

    def run(ws: Workspace, browser: None, rust: Rust, packed: Path, program: Path) -> Result:
        return _installed(program, project.COLLECTOR, ws, ["--chromium", system.find(programs[0])])

    return Suite("collector page", run, (system.Programs(programs), *_COLLECTOR))


def collector_page_wine(target: Target) -> Suite:
    """The page in the system's Chromium, collector and programs in a Windows Python."""
    (program,) = system.tools("chromium")

    def run(
        ws: Workspace, _: None, wines: None, packed: Path, prefix: Path, python: WindowsPython, *installed: Path
    ) -> Result:
        with wine.session(target, ws) as warm:
            prove.install(packed, python, warm, ws)
            argv = warm.provider.argv([warm.provider.loader, python.executable], python.executable.parent)
            options = ["--chromium", system.find(program), "--windows-python", json.dumps([str(word) for word in argv])]
            return _installed(installed[-1], project.COLLECTOR, ws, options, warm.env_changes())

    needs = (
        system.Programs((program,)),
        Wines(tuple(WINDOWS)),
        ProvenWheel(target),
        Prefix(target),
        windows_python.Environment(None, target),
        *_COLLECTOR,
    )
    return Suite(f"collector page, Wine {target.arch}", run, needs, frozenset({f"Wine {target.arch}"}))


# The installed wheel, and what drives a browser.
_COLLECTOR = (HostRust(), NativeWheel(), Environment("collector", project.COLLECTOR_REQUIREMENTS))


def hosts() -> Suite:
    """The installed wheel in servers and frozen programs as they come from PyPI."""

    def run(ws: Workspace, rust: Rust, packed: Path, program: Path) -> Result:
        return _installed(program, project.HOSTS, ws)

    return Suite("hosts", run, (HostRust(), NativeWheel(), Environment("hosts", project.HOSTS_REQUIREMENTS)))


def _installed(
    program: Path,
    tests: str,
    ws: Workspace,
    arguments: Sequence[object] = (),
    changes: Optional[Mapping[str, Optional[str]]] = None,
) -> Result:
    """Run tests of the checkout where it cannot be imported, so that they see the wheel."""
    folder = ws.root / tests
    with tempfile.TemporaryDirectory(prefix="glean-") as empty:
        env = environments.clean_env({"TMPDIR": empty, **(changes or {})})
        start = partial(ws.run, timeout_s=CHECK_S, cwd=Path(empty), check=False, env=env)
        # Folders of tests are here, too, where TMPDIR must not be set.
        own = ["--rootdir", folder, "--basetemp", Path(empty) / "tests"]
        return suites.pytest([program], folder, start, arguments=[*own, *arguments])


# --- checks of the sources --------------------------------------------------------------------------------------------


def _program(name: str, words: Sequence[str], fix: str = "", path: str = "") -> Suite:
    """A check by a program of the tool environment; its settings are in pyproject.toml."""

    def run(ws: Workspace) -> Result:
        if importlib.util.find_spec(words[0]) is None:
            raise MissingToolError(
                f"no {words[0]}",
                why=f"{sys.executable} is not the tool environment",
                fix="start it with python3 bootstrap.py",
            )
        env = runner.child_env({"MYPYPATH": str(ws.root / path)} if path else None)
        argv = [sys.executable, "-m", *words]
        return suites.check(ws.run(argv, timeout_s=CHECK_S, cwd=ws.root, env=env, check=False), fix)

    # mypy's cache is one folder.
    return Suite(name, run, uses=frozenset({words[0]}))


def _cargo(name: str, component: str, words: Sequence[str], fix: str = "") -> Suite:
    """A check by a subcommand of cargo, which some compilers come without, as Debian's does."""

    def run(ws: Workspace, rust: Rust) -> Result:
        if not os.access(rust.cargo.with_name(component), os.X_OK):
            raise MissingToolError(
                f"no {component}",
                why=f"Rust {rust.version} in {rust.cargo.parent} comes without it",
                fix="use a toolchain that has it; with rustup: rustup component add rustfmt clippy",
            )
        # It finds its compiler on PATH, and has to find the one that it belongs to.
        path = os.pathsep.join([str(rust.cargo.parent), os.environ.get("PATH", os.defpath)])
        env = runner.child_env({"PATH": path, "CARGO_TARGET_DIR": str(cargo.target_dir(ws=ws)), "RUSTC": None})
        return suites.check(ws.run([rust.cargo, *words], timeout_s=CHECK_S, cwd=ws.crate, env=env, check=False), fix)

    return Suite(name, run, (HostRust(),), frozenset({"cargo, native"}))


def _shell(script: str) -> Suite:
    def run(ws: Workspace) -> Result:
        return suites.check(ws.run(["sh", "-n", ws.root / script], timeout_s=60, check=False))

    return Suite(f"sh -n {script}", run)


def _header() -> Suite:
    def run(ws: Workspace, rust: Rust) -> Result:
        header.check(ws)
        return Result("", passed=1)

    return Suite(Path(project.HEADER).name, run, (HostRust(),))


def lint() -> List[Suite]:
    """Formatting, types, the header and shell syntax, the quick ones first."""
    here = "python3 bootstrap.py"
    fuzz_crate = ("--manifest-path", project.FUZZ_MANIFEST)
    return [
        _program("ruff format", ["ruff", "format", "--check", "."], f"{here} ruff format ."),
        _program("ruff check", ["ruff", "check", "."], f"{here} ruff check --fix ."),
        *[_program(name, ["mypy", *words], path=path) for name, words, path in project.TYPE_CHECKS],
        _cargo("rustfmt", "cargo-fmt", ["fmt", "--all", "--check"], "cargo fmt --all"),
        _cargo(
            "rustfmt, fuzz targets", "cargo-fmt", ["fmt", "--check", *fuzz_crate], f"cargo fmt {' '.join(fuzz_crate)}"
        ),
        _cargo(
            "clippy", "cargo-clippy", ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]
        ),
        _header(),
        _shell("glean_steps/enter_root.sh"),
    ]


def cargo_deny() -> List[Suite]:
    """What cargo-deny says of the crates: their licences and sources, and what is known against them."""

    def run(checks: Sequence[str], data: Sequence[str], ws: Workspace, rust: Rust) -> Result:
        program = system.find_program("cargo-deny", system.RUSTUP_FOLDERS)
        if program is None:
            raise MissingToolError("no cargo-deny", why="it is not on PATH", fix="cargo install --locked cargo-deny")
        env = runner.child_env({"CARGO": str(rust.cargo)})
        deny = partial(ws.run, timeout_s=CHECK_S, cwd=ws.crate, env=env, check=False)
        if data:
            fetched = deny([program, *data])
            if fetched.status != 0:
                raise DownloadError(
                    "no data for cargo-deny",
                    why=suites.one_line(fetched.stdout[-300:]),
                    fix="run it where the RustSec database is in reach",
                )
        return suites.check(deny([program, "check", *checks]))

    needs, uses = (HostRust(),), frozenset({"cargo-deny"})
    return [
        Suite("cargo deny, licences", partial(run, ("bans", "licenses", "sources"), ()), needs, uses),
        Suite("cargo deny, advisories", partial(run, ("advisories",), ("fetch", "db")), needs, uses),
    ]


# --- fuzzing ----------------------------------------------------------------------------------------------------------


def fuzzing(names: Sequence[str], seconds: int, sanitizer: str) -> List[Suite]:
    """A bounded run of each fuzz target, one after the other: each uses its core and up to 2 GB."""

    def run(name: str, ws: Workspace, programs: Dict[str, Path]) -> Result:
        return fuzz.run_target(name, programs[name], seconds, ws)

    needs = (fuzz.Programs(tuple(names), sanitizer),)
    return [Suite(f"fuzz, {name}", partial(run, name), needs, frozenset({"fuzz"})) for name in names]


# --- selections -------------------------------------------------------------------------------------------------------


def windows(targets: Sequence[Target] = WINDOWS, python: Optional[str] = None) -> List[Suite]:
    """The tests under Wine, in the Python asked for or in the default one and those of `[[tested]]`."""
    tested = [] if python else pins.load().tested
    more = [(target, version) for version, arch in tested for target in targets if target.arch == arch]
    wines = Wines(tuple(targets))
    return [
        *[rust_wine(target, wines) for target in targets],
        *[python_wine(python, target, wines, python) for target in targets],
        *[python_wine(version, target, wines, arguments=project.WITHOUT_CORE) for target, version in more],
    ]


def tests(ws: Workspace) -> List[Suite]:
    """Every suite of the test command, the longest first."""
    oldest, *between, newest = native_pythons(ws)
    return [
        steps_wine(),
        steps(),
        *windows(),
        rust_native(),
        *[python_native(minor) for minor in (oldest, newest)],
        *[python_native(minor, arguments=project.WITHOUT_CORE) for minor in between],
        hunt(ws, "kill hunt", project.HUNT_ONCE),
        differential(FIXED_COUNT, FIXED_SEED, "UTC"),
        collector_page(),
        collector_page_wine(WINDOWS[0]),
        hosts(),
        miri(),
    ]


def quick(ws: Workspace) -> List[Suite]:
    """What to run after each change: formatting, types, native Rust, one Python, the fast tests of the steps."""
    here = ".".join(str(part) for part in sys.version_info[:2])
    chosen = here if here in interpreters.find_all(ws) else native_pythons(ws)[-1]
    # Tests of the steps that build and start little.
    fast = _steps("steps, fast", "not slow and not wine and not network")
    python = python_native(chosen, name=f"Python, native {chosen}, fast", arguments=project.WITHOUT_SLOW)
    return [*lint(), rust_native("Rust, native, fast", project.RUST_WITHOUT_SLOW), python, fast]


def hunt(ws: Workspace, name: str, changes: Mapping[str, str]) -> Suite:
    """The tests that kill processes, in the newest CPython of this machine and with more kills than elsewhere."""
    found = [python.minor for python in interpreters.find_all(ws).values() if not python.free_threaded]
    # Where there is none, the suite says so like the others.
    newest = found[-1] if found else native_pythons(ws)[-1]
    return python_native(newest, name=name, arguments=["-k", project.HUNT], changes=changes)


def nightly(ws: Workspace, count: int, seed: Optional[int], zone: str) -> List[Suite]:
    """Thousands of programs that no day before has seen, in several time zones, a long kill hunt, and cargo-deny."""
    first = int(time.time() // 86_400) if seed is None else seed
    zones = [zone] if zone else NIGHTLY_ZONES
    programs = [differential(count, first + place * 100_000, each) for place, each in enumerate(zones)]
    return [*programs, hunt(ws, "kill hunt, long", project.HUNT_AT_NIGHT), *cargo_deny()]


def platforms(target: Target) -> List[Suite]:
    """The suites on one other architecture, the Python suite for musl, and the proof of each wheel that runs here."""
    suites_of_musl = [each for each in TARGETS if each.proof == "musl" and each.machine == platform.machine()]
    others = [each for each in TARGETS if each.proof in ("linux", "musl") and each not in (target, *suites_of_musl)]
    return [
        python_elsewhere(target),
        rust_qemu(target),
        *[python_elsewhere(each) for each in suites_of_musl],
        *[proof(each) for each in others],
    ]
