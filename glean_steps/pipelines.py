"""The recipes of the commands, each reading top-down; what it needs it makes, what is up to date it skips."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

from glean_steps import (
    audit,
    cargo,
    header,
    project,
    prove,
    report,
    runner,
    settings,
    system,
    toolchain,
    wheel,
    windows_python,
    wine,
    workspace,
)
from glean_steps.errors import AuditError, DiskError, Interrupted, SettingError, StepError
from glean_steps.targets import TARGETS, Target
from glean_steps.workspace import Stamp, Workspace

# The modules whose change can change what the audit and the proof of a wheel say.
_MODULES = ("audit.py", "foreign.py", "pins.toml", "prove.py", "roots.py", "windows_python.py", "wine.py")


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn what can go wrong in a step into a message and the exit code of its kind; everything else passes through."""
    runner.raise_on_sigterm()
    try:
        with runner.together():
            for line in settings.check():
                report.say(line)
            yield
    except StepError as error:
        print(f"\nerror: {error}", file=sys.stderr, flush=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt as error:
        print(f"\nerror: {str(error) or 'ended by Ctrl-C'}", file=sys.stderr, flush=True)
        raise SystemExit(Interrupted.exit_code) from None


# --- wheels -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Built:
    """A finished wheel in dist/, with what is known about it.

    Attributes:
        path: the wheel.
        facts: its size and hash, what its audit found, how and where it was proven, and the seconds of each step.
        fresh: made by this run, not by an earlier one.
    """

    path: Path
    facts: Dict[str, Any]
    fresh: bool


def build_wheels(ws: Workspace, targets: Sequence[Target], *, python: Optional[str] = None) -> List[Built]:
    """Build, audit and prove wheels, those for Windows in `python`, into dist/; print the closing table."""
    with ws.locked():
        built = make_wheels(targets, ws, python=python)
    _wheel_table(built, ws)
    return built


def build_all(ws: Workspace, *, python: Optional[str] = None) -> List[Built]:
    """Make the wheel of every target, and the source distribution; print the closing table."""
    with ws.locked():
        built = make_wheels(TARGETS, ws, python=python)
        built.append(make_sdist(ws))
    _wheel_table(built, ws)
    return built


def make_sdist(ws: Workspace) -> Built:
    """Return the source distribution in dist/."""
    before = {path: workspace.file_sha256(path) for path in ws.dist.glob("*.tar.gz")}
    path = _publish(wheel.sdist(ws), ws)
    digest = workspace.file_sha256(path)
    facts = {"size_bytes": path.stat().st_size, "sha256": digest, "audited": f"{len(wheel.sdist_files(path))} files"}
    facts.update(how="source only", python="", where="", seconds={})
    return Built(path, facts, before.get(path) != digest)


def make_wheels(targets: Sequence[Target], ws: Workspace, *, python: Optional[str] = None) -> List[Built]:
    """Return the finished wheel of each target, making those whose sources, tools or proofs have changed."""
    sources = _sources(ws)
    pending = []
    for target in targets:
        facts = _finished(target, ws, python, sources)
        if facts and workspace.file_sha256(ws.dist / facts["name"]) == facts["sha256"]:
            report.skip(facts["name"], "up to date: built, audited and proven")
        else:
            pending.append(target)
    if pending:
        _make(pending, sources, ws, python)
    made = {target: _stamp(target, ws).facts() for target in targets}
    return [Built(ws.dist / facts["name"], facts, target in pending) for target, facts in made.items()]


def up_to_date(targets: Sequence[Target], ws: Workspace) -> Dict[str, str]:
    """Return the SHA-256 of each finished wheel whose sources, tools and proof are those of now, by its name."""
    sources = _sources(ws)
    found = [_finished(target, ws, None, sources) for target in targets]
    return {facts["name"]: facts["sha256"] for facts in found if facts}


def _finished(target: Target, ws: Workspace, python: Optional[str], sources: str) -> Dict[str, Any]:
    """Return the facts about a finished wheel; empty when what shapes it has changed."""
    stamp = _stamp(target, ws)
    return stamp.facts() if stamp.is_current(_wheel_key(target, ws, python, sources)) else {}


def _stamp(target: Target, ws: Workspace) -> Stamp:
    return ws.stamp(f"wheel-{target.platform_tag}")


def _sources(ws: Workspace) -> str:
    """Return the fingerprint of the files that shape a wheel, its audit and its proof."""
    proving = [ws.root / project.PROOF, ws.root / project.SUITE_REQUIREMENTS]
    return workspace.fingerprint(wheel.sources(ws), *proving, *[Path(__file__).with_name(name) for name in _MODULES])


def _wheel_key(target: Target, ws: Workspace, python: Optional[str], sources: str) -> str:
    """Return the key over everything that shapes a proven wheel: sources, steps, compilers, Wine, Python asked for."""
    return workspace.fingerprint(wheel.key(target, ws, sources), prove.WAYS[target.proof].identity(python))


def _make(targets: Sequence[Target], sources: str, ws: Workspace, python: Optional[str]) -> None:
    """Build all targets while the places of their proofs are made; then prove each and move it into dist/."""
    seconds: Dict[str, float] = {}
    chains: Dict[str, float] = {}
    started = time.monotonic()
    ways = [prove.WAYS[kind] for kind in dict.fromkeys(target.proof for target in targets)]
    # All that is missing is named, or installed, at once, not one package after the other. Whoever has no Rust at all
    # gets the one that comes with sources, since those can serve every target.
    rust = [system.RUST_SOURCES] if system.missing([system.RUST]) else []
    linkers = [tool for target in targets for tool in system.linkers(target)]
    system.require([system.C_COMPILER, *rust, *linkers, *[tool for way in ways for tool in way.tools]], ws)
    calls: List[Callable[[], Any]] = [
        _measured(chains, "places")(lambda: _make_places(targets, python, ws)),
        _measured(chains, "wheels")(lambda: _build(targets, seconds, ws)),
    ]
    places, (wheels, audits) = runner.side_by_side(calls, 2)
    for target in targets:
        own = dict(seconds)
        with _measured(chains, "proofs"), _measured(own, "proof"), report.step(f"prove {wheels[target].name}"):
            proof = places[target].prove(wheels[target], ws)
        if workspace.file_sha256(wheels[target]) != audits[target].sha256:
            raise AuditError(
                f"{wheels[target].name} was changed after its audit",
                why="its SHA-256 is another one now",
                fix="see which program writes to .glean/wheels, and build again",
            )
        final = _publish(wheels[target], ws)
        # The key is taken now, because making the wheel may have installed a compiler or a Wine.
        _stamp(target, ws).write(
            _wheel_key(target, ws, python, sources),
            files=[final],
            facts={
                "name": final.name,
                "tag": target.platform_tag,
                "size_bytes": audits[target].size_bytes,
                "sha256": audits[target].sha256,
                "audited": audits[target].summary,
                "how": proof.how,
                "python": proof.python,
                "where": proof.where,
                "experimental": target.experimental,
                "seconds": own,
            },
        )
    both = chains["proofs"] + max(chains["places"], chains["wheels"])
    report.say(
        f"{time.monotonic() - started:.0f} s; the longest chain of steps that depend on each other is {both:.0f} s"
    )


def _build(
    targets: Sequence[Target], seconds: Dict[str, float], ws: Workspace
) -> tuple[Dict[Target, Path], Dict[Target, audit.AuditReport]]:
    """Return the packed wheel of each target and what its audit found out."""
    names = ", ".join(target.platform_tag for target in targets)
    with _measured(seconds, "toolchain"):
        toolchain.prepare(targets, ws)
    with _measured(seconds, "cargo"), report.step(f"cross-compile {names}"):
        libraries = cargo.build_libraries(targets, ws=ws)
    with _measured(seconds, "pack"), report.step(f"pack and retag {names}"):
        wheels = pack_all(targets, {target: libraries[target.triple] for target in targets}, ws)
    with _measured(seconds, "audit"), report.step(f"audit {names}"):
        return wheels, {target: audit_wheel(wheels[target], target, ws) for target in targets}


def _make_places(targets: Sequence[Target], python: Optional[str], ws: Workspace) -> Dict[Target, prove.Prover]:
    """Return where each target is proven, made and ready."""
    places: Dict[Target, prove.Prover] = {}
    for kind, way in prove.WAYS.items():
        own = [target for target in targets if target.proof == kind]
        if own:
            places.update(way.prepare(own, python, ws))
    return places


def pack_all(targets: Sequence[Target], libraries: Dict[Target, Path], ws: Workspace) -> Dict[Target, Path]:
    """Return a retagged wheel of each library, packed at the same time."""
    calls = [partial(wheel.pack_and_retag, libraries[target], target, ws=ws) for target in targets]
    return dict(zip(targets, runner.side_by_side(calls)))


def audit_wheel(path: Path, target: Target, ws: Workspace) -> audit.AuditReport:
    """Audit one wheel against this checkout's header and sources; return the audit's report."""
    return audit.check(
        path,
        target,
        header=header.header_path(ws),
        lock=ws.crate / "Cargo.lock",
        expected_files=audit.expected_files(ws, target),
    )


def _publish(made: Path, ws: Workspace) -> Path:
    """Move a proven wheel into dist/ in one step; wheels of the same target from other versions stay."""
    final = ws.dist / made.name
    with workspace.new_file(final) as temporary:
        shutil.copyfile(made, temporary)
    return final


@contextmanager
def _measured(seconds: Dict[str, float], step: str) -> Iterator[None]:
    """Add the seconds of the block to those of a step."""
    started = time.monotonic()
    yield
    seconds[step] = round(seconds.get(step, 0.0) + time.monotonic() - started, 2)


def _wheel_table(built: Sequence[Built], ws: Workspace) -> None:
    """Print one line per file, and below them the hashes, as `sha256sum` does."""
    table = report.Table(f"In {ws.dist}", ("file", ">bytes", "audited", "proven", "in", "made"))
    for each in built:
        facts = each.facts
        mark = " (experimental)" if facts.get("experimental") else ""
        place = ", ".join(part for part in (facts["python"], facts["where"]) if part)
        made = f"{sum(facts['seconds'].values()):.1f} s" if each.fresh else "earlier; up to date"
        table.rows.append(
            [each.path.name + mark, f"{facts['size_bytes']:,}", facts["audited"], facts["how"], place, made]
        )
    table.notes += ["", "SHA-256", *[f"{each.facts['sha256']}  {each.path.name}" for each in built]]
    table.print()


# --- single steps, for tasks.py ---------------------------------------------------------------------------------------


def prepare_toolchain(ws: Workspace, target: Optional[Target]) -> None:
    """Get a Rust standard library and a linker for the targets; print where they come from."""
    chosen = _chosen(target)
    with ws.locked():
        system.require([tool for one in chosen for tool in system.linkers(one)], ws)
        table = report.Table("Rust for the targets", ("target", "provider", "version", "sysroot"))
        for triple, found in toolchain.prepare(chosen, ws).items():
            table.rows.append([triple, found.provider, found.version, str(found.sysroot or "the compiler's own")])
    table.print()


def build(ws: Workspace, target: Optional[Target]) -> None:
    """Cross-compile the core library; print the files."""
    _print_each(ws, target, lambda library, _, ws: f"{library}  {report.human_size(library.stat().st_size)}")


def pack(ws: Workspace, target: Optional[Target]) -> None:
    """Build and pack the wheels without retagging them; print the files."""
    _print_each(ws, target, wheel.pack)


def retag(ws: Workspace, target: Optional[Target], path: Optional[str]) -> None:
    """Give wheels their platform tag; print the files."""
    if not path:
        _print_each(ws, target, wheel.pack_and_retag)
        return
    if target is None:
        tags = " or ".join(f"--target {each.platform_tag}" for each in TARGETS)
        raise SettingError("a wheel file needs its target", why="--target is missing", fix=f"add {tags}")
    with ws.locked():
        print(wheel.retag(Path(path).resolve(), target, ws))


def _print_each(ws: Workspace, target: Optional[Target], make: Callable[..., object]) -> None:
    """Build the library of each target, and print what `make` makes of it."""
    with ws.locked():
        libraries = cargo.build_libraries(_chosen(target), ws=ws)
        for one in _chosen(target):
            print(make(libraries[one.triple], one, ws=ws))


def audit_wheels(ws: Workspace, target: Optional[Target], path: Optional[str]) -> None:
    """Audit a wheel, or the newest of each target; print what was found out."""
    if path:
        name = Path(path).name
        chosen = [target] if target else [each for each in TARGETS if name.endswith(f"-{each.platform_tag}.whl")]
        if not chosen:
            raise SettingError(
                f"cannot tell the target of {name}",
                why="its platform tag is that of no target",
                fix="name it with --target, or retag the wheel first: invoke retag --target … --wheel …",
            )
        print("\n".join(audit.report_lines(audit_wheel(Path(path).resolve(), chosen[0], ws))))
        return
    with ws.locked():
        for one in _chosen(target):
            found = newest_wheel(ws, one)
            if found is None:
                found = wheel.pack_and_retag(cargo.build_libraries([one], ws=ws)[one.triple], one, ws=ws)
            print("\n".join(audit.report_lines(audit_wheel(found, one, ws))) + "\n")


def newest_wheel(ws: Workspace, target: Target) -> Optional[Path]:
    """Return the newest wheel of a target in dist/, or None."""
    return max(ws.dist.glob(f"*-{target.platform_tag}.whl"), key=lambda file: file.stat().st_mtime, default=None)


def _chosen(target: Optional[Target]) -> Sequence[Target]:
    return [target] if target else TARGETS


def wine_setup(ws: Workspace, python: Optional[str], target: Target) -> None:
    """Make a Wine prefix and a Windows Python with pip and the test dependencies; print where they are."""
    with ws.locked():
        provider, prefix = wine.ensure_prefix(target, ws)
        found = windows_python.choose(python, target, ws)
    table = report.Table("Windows under Wine", ("what", "is", "where"))
    table.rows.append(["Wine", f"{provider.version} ({provider.name})", str(prefix)])
    table.rows.append(["Python", f"{found.describe()} ({found.provider})", str(found.executable)])
    table.print()


def wine_run(ws: Workspace, python: Optional[str], target: Target, remainder: Sequence[str]) -> int:
    """Run Windows Python with arguments; return its exit status. The wheel in dist/, if there is one, is installed."""
    with ws.locked(), wine.session(target, ws) as warm:
        found = windows_python.choose(python, target, ws)
        newest = newest_wheel(ws, target)
        if newest is not None:
            prove.install(newest, found, warm, ws)
        argv = [found.executable, *remainder]
        return warm.run(argv, timeout_s=settings.WINE_TIMEOUT.value(), check=False, quiet=True, forward=True).status


def write_header(ws: Workspace) -> None:
    """Write the C header anew; print where it is."""
    with ws.locked():
        print(header.write(ws))


def clean(ws: Workspace, *, cache: bool = False) -> None:
    """Remove what runs made in the checkout, and with `cache` the user's cache; dist/ and the tool environment stay."""
    with ws.locked():
        wine.end_all(ws)
        folders = [path for path in ws.state.glob("*") if path.name not in ("tools", "lock")]
        folders += [ws.root / "build", ws.crate / "target", *ws.root.glob("*.egg-info")]
        targets = {cargo.target_dir(target, ws=ws) for target in TARGETS}
        folders += [folder for folder in sorted(targets) if ws.cache in folder.parents]
        folders += [ws.cache] if cache else []
        mounted = [mount for folder in folders for mount in workspace.mounts_below(folder)]
        if mounted:
            raise DiskError(
                "nothing was removed",
                why=f"it would remove what is mounted at {', '.join(mounted)}",
                fix="end what uses them, or take them away: " + "; ".join(f"umount -l {mount}" for mount in mounted),
            )
        for folder in folders:
            if folder.exists():
                report.say(f"removing {folder}")
                if folder.is_dir():
                    shutil.rmtree(folder)
                else:
                    folder.unlink()
