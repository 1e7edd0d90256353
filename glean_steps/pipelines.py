"""The recipes: one function per command, each reading top-down; what it needs it makes, what is up to date it skips."""

from __future__ import annotations

import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

from glean_steps import pins, report, runner, workspace
from glean_steps.errors import Interrupted, SettingError, StepError
from glean_steps.targets import TARGETS, Target, find_target, target_for_arch
from glean_steps.workspace import Stamp, Workspace

_SHAPES_A_WHEEL = ("glean_core", "glean_py", "glean_steps", "setup.py", "pyproject.toml", "README.md")
_STEPS = ("toolchain", "cargo", "pack", "audit", "wine", "python", "proof")
_SHAPES_A_PROOF = ("requirements/tests.txt", "tests/bindings/prove_wheel.py")


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn what can go wrong in a step into a message and the exit code of its kind; everything else passes through."""
    runner.raise_on_sigterm()
    try:
        yield
    except StepError as error:
        runner.end_children()
        print(f"\nerror: {error}", file=sys.stderr, flush=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        runner.end_children()
        interrupted = Interrupted("ended by Ctrl-C", why="the programs that were running have been ended")
        print(f"\nerror: {interrupted}", file=sys.stderr, flush=True)
        raise SystemExit(interrupted.exit_code) from None


@dataclass(frozen=True)
class Built:
    """A finished wheel in dist/, with what is known about it.

    Attributes:
        path: the wheel.
        facts: its size, hash, where it was proven, and the seconds of each step.
        fresh: made by this run, not by an earlier one.
    """

    path: Path
    facts: Dict[str, Any]
    fresh: bool


def build_windows(
    targets: Sequence[Target] = TARGETS, *, python: Optional[str] = None, ws: Optional[Workspace] = None
) -> List[Built]:
    """Cross-build, pack, retag, audit and prove the Windows wheels into dist/; print the closing table."""
    ws = ws or workspace.here()
    pins.find_python(python)  # A version that there is none of is told at once, not after waiting for the lock.
    with workspace.checkout_lock(ws):
        built = make_wheels(targets, ws, python=python)
    _wheel_table(built, ws)
    return built


def make_wheels(targets: Sequence[Target], ws: Workspace, *, python: Optional[str] = None) -> List[Built]:
    """Return the finished wheel of each target, making those whose sources, tools or proofs have changed."""
    sources = workspace.fingerprint(*[ws.root / name for name in (*_SHAPES_A_WHEEL, *_SHAPES_A_PROOF)])
    stamps = {target: Stamp(ws.state / "stamps" / f"wheel-{target.platform_tag}.json") for target in targets}
    pending = []
    for target in targets:
        facts = stamps[target].facts()
        path = ws.dist / str(facts.get("name"))
        if stamps[target].is_current(_wheel_key(target, ws, python, sources)) and workspace.file_sha256(
            path
        ) == facts.get("sha256"):
            report.skip(path.name, "up to date: built, audited and proven")
        else:
            pending.append(target)
    if pending:
        _make(pending, sources, stamps, ws, python)
    return [
        Built(ws.dist / stamps[target].facts()["name"], stamps[target].facts(), target in pending) for target in targets
    ]


def _wheel_key(target: Target, ws: Workspace, python: Optional[str], sources: str) -> str:
    """Return the key over everything that shapes a proven wheel: sources, steps, compilers, Wine, Python asked for."""
    from glean_steps import toolchain, wine

    return workspace.fingerprint(
        sources,
        target.triple,
        toolchain.machine_key(ws, target),
        wine.identity(),
        python or os.environ.get("GLEAN_WINDOWS_PYTHON"),
        {name: value for name, value in os.environ.items() if "RUSTFLAGS" in name or name == "SOURCE_DATE_EPOCH"},
    )


def _make(
    targets: Sequence[Target], sources: str, stamps: Dict[Target, Stamp], ws: Workspace, python: Optional[str]
) -> None:
    """Build all targets at once, then prove them one after the other; each enters dist/ when it is proven."""
    from glean_steps import cargo, prove, system, toolchain, windows_python, wine

    clock = _Clock()
    # All that is missing is named, or installed, at once, not one package after the other. Whoever has no Rust at all
    # gets the one that comes with sources, since those can serve every target.
    rust = [system.RUST_SOURCES] if system.missing([system.RUST]) else []
    system.require([system.C_COMPILER, *rust, *[system.mingw(target) for target in targets], system.WINE])
    with clock.measure("toolchain"):
        toolchain.prepare(targets, ws)
    with clock.measure("cargo"), report.step(f"cross-compile {_names(targets)}"):
        libraries = cargo.build_libraries(targets, ws=ws)
    with clock.measure("pack"), report.step(f"pack and retag {_names(targets)}"):
        wheels = _pack_all(targets, {target: libraries[target.triple] for target in targets}, ws)
    audits = {}
    with clock.measure("audit"), report.step(f"audit {_names(targets)}"):
        for target in targets:
            audits[target] = audit_wheel(wheels[target], target, ws)
    with clock.measure("wine"):
        wine.prepare(targets, ws)
    for target in targets:
        own = _Clock(clock.seconds)
        with own.measure("wine"):
            wine.ensure_prefix(target, ws)
        with wine.session(target, ws) as warm:
            with own.measure("python"):
                windows = windows_python.choose(python, target, ws)
            with own.measure("proof"), report.step(f"prove {wheels[target].name} in {windows.describe()}"):
                proof = prove.prove(wheels[target], target, windows, warm, ws)
        final = _publish(wheels[target], target, ws)
        # The key is taken now, because making the wheel may have installed a compiler or a Wine.
        stamps[target].write(
            _wheel_key(target, ws, python, sources),
            files=[final],
            facts={
                "name": final.name,
                "size_bytes": audits[target].size_bytes,
                "sha256": audits[target].sha256,
                "python": proof.python,
                "python_provider": windows.provider,
                "wine": proof.wine,
                "seconds": own.seconds,
            },
        )


def _pack_all(targets: Sequence[Target], libraries: Dict[Target, Path], ws: Workspace) -> Dict[Target, Path]:
    from glean_steps import wheel

    with ThreadPoolExecutor(max_workers=len(targets)) as pool:
        waiting = {target: pool.submit(wheel.pack_and_retag, libraries[target], target, ws=ws) for target in targets}
        try:
            return {target: future.result() for target, future in waiting.items()}
        except BaseException:
            # The pool waits for its threads, and they wait for their programs.
            runner.end_children()
            raise


def audit_wheel(path: Path, target: Target, ws: Workspace) -> Any:
    """Audit one wheel against this checkout's header and sources; return the audit's report."""
    from glean_steps import audit

    return audit.check(
        path,
        target,
        header=ws.crate / "include" / "glean.h",
        expected_files=audit.expected_files(ws, target),
    )


def _publish(wheel: Path, target: Target, ws: Workspace) -> Path:
    """Move a proven wheel into dist/ in one step; wheels of the same target from other versions stay."""
    final = ws.dist / wheel.name
    with workspace.new_file(final) as temporary:
        shutil.copyfile(wheel, temporary)
    return final


def _names(targets: Sequence[Target]) -> str:
    return ", ".join(target.platform_tag for target in targets)


class _Clock:
    """Seconds by step."""

    def __init__(self, seconds: Optional[Dict[str, float]] = None) -> None:
        self.seconds: Dict[str, float] = dict(seconds or {})

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 2)


def _wheel_table(built: Sequence[Built], ws: Workspace) -> None:
    """Print one column per wheel, so that a hash fits on a line."""
    table = report.Table(f"Windows wheels in {ws.dist}", ("", *[wheel.path.name for wheel in built]))
    rows = {
        "size": [f"{report.human_size(w.facts['size_bytes'])} ({w.facts['size_bytes']:,} bytes)" for w in built],
        "SHA-256": [w.facts["sha256"] for w in built],
        "proven under": [w.facts["python"] for w in built],
        "  which is": [w.facts["python_provider"] for w in built],
        "  in": [w.facts["wine"] for w in built],
        "made": ["by this run" if w.fresh else "earlier; up to date" for w in built],
    }
    for step in sorted({name for w in built for name in w.facts["seconds"]}, key=_STEPS.index):
        rows[f"{step}, s"] = [f"{w.facts['seconds'].get(step, 0.0):.1f}" for w in built]
    table.rows = [[name, *cells] for name, cells in rows.items()]
    table.print()


# --- single steps, for tasks.py ---------------------------------------------------------------------------------------


def _chosen(name: Optional[str]) -> Sequence[Target]:
    return [find_target(name)] if name else TARGETS


def toolchain(target: Optional[str], *, ws: Optional[Workspace] = None) -> None:
    """Get a Rust standard library and a linker for the targets; print where they come from."""
    from glean_steps import system
    from glean_steps import toolchain as rust

    ws = ws or workspace.here()
    chosen = _chosen(target)
    with workspace.checkout_lock(ws):
        system.require([system.mingw(one) for one in chosen])
        table = report.Table("Rust for the targets", ("target", "provider", "version", "sysroot"))
        for triple, found in rust.prepare(chosen, ws).items():
            table.rows.append([triple, found.provider, found.version, str(found.sysroot or "the compiler's own")])
    table.print()


def build(target: Optional[str], *, ws: Optional[Workspace] = None) -> None:
    """Cross-compile the core library; print the files."""
    from glean_steps import cargo

    ws = ws or workspace.here()
    chosen = _chosen(target)
    with workspace.checkout_lock(ws):
        for library in cargo.build_libraries(chosen, ws=ws).values():
            print(f"{library}  {report.human_size(library.stat().st_size)}")


def pack(target: Optional[str], *, ws: Optional[Workspace] = None) -> None:
    """Build and pack the wheels without retagging them; print the files."""
    from glean_steps import cargo, wheel

    ws = ws or workspace.here()
    chosen = _chosen(target)
    with workspace.checkout_lock(ws):
        libraries = cargo.build_libraries(chosen, ws=ws)
        for one in chosen:
            print(wheel.pack(libraries[one.triple], one, ws=ws))


def retag(target: Optional[str], path: Optional[str], *, ws: Optional[Workspace] = None) -> None:
    """Give wheels their platform tag; print the files."""
    from glean_steps import cargo, wheel

    ws = ws or workspace.here()
    chosen = _one(target) if path else _chosen(target)
    with workspace.checkout_lock(ws):
        if path:
            print(wheel.retag(Path(path).resolve(), chosen[0]))
            return
        libraries = cargo.build_libraries(chosen, ws=ws)
        for one in chosen:
            print(wheel.pack_and_retag(libraries[one.triple], one, ws=ws))


def audit(target: Optional[str], path: Optional[str], *, ws: Optional[Workspace] = None) -> None:
    """Audit a wheel, or the newest of each target; print what was found out."""
    from glean_steps import audit as auditing
    from glean_steps import cargo, wheel

    ws = ws or workspace.here()
    if path:
        name = Path(path).name
        chosen = _one(target) if target else [t for t in TARGETS if name.endswith(f"-{t.platform_tag}.whl")]
        if not chosen:
            raise SettingError(
                f"cannot tell the target of {name}",
                why="its platform tag is that of no target",
                fix="name it with --target, or retag the wheel first: invoke retag --target … --wheel …",
            )
        print("\n".join(auditing.report_lines(audit_wheel(Path(path).resolve(), chosen[0], ws))))
        return
    wanted = _chosen(target)
    with workspace.checkout_lock(ws):
        for one in wanted:
            found = sorted(ws.dist.glob(f"*-{one.platform_tag}.whl"), key=lambda file: file.stat().st_mtime)
            if not found:
                found = [wheel.pack_and_retag(cargo.build_libraries([one], ws=ws)[one.triple], one, ws=ws)]
            print("\n".join(auditing.report_lines(audit_wheel(found[-1], one, ws))) + "\n")


def _one(target: Optional[str]) -> Sequence[Target]:
    if not target:
        raise SettingError(
            "a wheel file needs its target", why="--target is missing", fix="add --target win_amd64 or --target win32"
        )
    return [find_target(target)]


def wine_setup(python: Optional[str], arch: Optional[str], *, ws: Optional[Workspace] = None) -> None:
    """Make a Wine prefix and a Windows Python with pip and the test dependencies; print where they are."""
    from glean_steps import windows_python, wine

    ws = ws or workspace.here()
    target = target_for_arch(arch or TARGETS[0].arch)
    pins.find_python(python)
    with workspace.checkout_lock(ws):
        provider, prefix = wine.ensure_prefix(target, ws)
        found = windows_python.choose(python, target, ws)
    table = report.Table("Windows under Wine", ("what", "is", "where"))
    table.rows.append(["Wine", f"{provider.version} ({provider.name})", str(prefix)])
    table.rows.append(["Python", f"{found.describe()} ({found.provider})", str(found.executable)])
    table.print()


def wine_run(
    python: Optional[str], arch: Optional[str], arguments: Sequence[str], *, ws: Optional[Workspace] = None
) -> int:
    """Run Windows Python with arguments; return its exit status. The wheel in dist/, if there is one, is installed."""
    from glean_steps import prove, windows_python, wine

    ws = ws or workspace.here()
    target = target_for_arch(arch or TARGETS[0].arch)
    pins.find_python(python)
    with workspace.checkout_lock(ws), wine.session(target, ws) as warm:
        found = windows_python.choose(python, target, ws)
        wheels = sorted(ws.dist.glob(f"*-{target.platform_tag}.whl"), key=lambda file: file.stat().st_mtime)
        if wheels:
            prove.install(wheels[-1], found, warm, ws)
        seconds = float(os.environ.get("GLEAN_WINE_TIMEOUT", "3600"))
        done = warm.run(
            [found.executable, *arguments],
            timeout_s=runner.deadline(seconds),
            check=False,
            quiet=True,
            forward=True,
        )
    return done.status


def print_env(target: Optional[str], *, ws: Optional[Workspace] = None) -> None:
    """Print the cross environment of a target for a shell to evaluate."""
    from glean_steps import cargo

    print(cargo.print_env(find_target(target or TARGETS[0].triple), ws=ws or workspace.here()), end="")


def write_header(*, ws: Optional[Workspace] = None) -> None:
    """Write glean.h anew; print where it is."""
    from glean_steps import header

    ws = ws or workspace.here()
    with workspace.checkout_lock(ws):
        header.write(ws)
    print(ws.crate / "include" / "glean.h")


def clean(*, cache: bool = False, ws: Optional[Workspace] = None) -> None:
    """Remove what runs made in the checkout, and with `cache` the user's cache; dist/ and the tool environment stay."""
    from glean_steps import wine

    ws = ws or workspace.here()
    with workspace.checkout_lock(ws):
        wine.end_all(ws)
        folders = [path for path in ws.state.glob("*") if path.name not in ("tools", "lock")]
        folders += [ws.root / "build", ws.crate / "target", *ws.root.glob("*.egg-info")]
        folders += [ws.cache] if cache else []
        for folder in folders:
            if folder.exists():
                report.say(f"removing {folder}")
                if folder.is_dir():
                    shutil.rmtree(folder)
                else:
                    folder.unlink()
