"""The proof of a wheel: it is installed where it belongs, it records, and the ping that it hands back is checked.

A target's entry says where: in a Windows Python under Wine, in a Python of this machine or of another architecture
under qemu, or nowhere.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from glean_steps import foreign, library, project, runner, settings, system, windows_python, wine, workspace
from glean_steps.errors import ProofError
from glean_steps.prerequisites import Probe
from glean_steps.targets import Target
from glean_steps.windows_python import WindowsPython
from glean_steps.wine import Wine
from glean_steps.workspace import Workspace

PROOF_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Proof:
    """What was shown.

    Attributes:
        how: `native`, `Wine`, `qemu`, `musl`, or `static only` with the reason: then nothing ran.
        python, where: the Python that the wheel ran in, and what ran that Python, for tables.
        ping: the body of the ping.
    """

    how: str
    python: str
    where: str
    ping: Mapping[str, Any]


@dataclass(frozen=True)
class Prover:
    """A place that is ready to prove wheels of one target in.

    Attributes:
        prove: proves a wheel; raises ProofError, which lists everything that is not as it should be.
    """

    prove: Callable[[Path, Workspace], Proof]


@dataclass(frozen=True)
class Way:
    """A kind of proof.

    Attributes:
        prepare: makes the places for targets, given the Windows Python that was asked for.
        probe: says where a target would be proven, and changes nothing.
        tools: system tools that it needs.
        identity: what tells one machine's proof from another's, beside the target; changes make a new proof necessary.
    """

    prepare: Callable[[Sequence[Target], Optional[str], Workspace], Dict[Target, Prover]]
    probe: Callable[[Target, Workspace], Probe]
    tools: Tuple[system.Tool, ...] = ()
    identity: Callable[[Optional[str]], object] = lambda python: None


# --- Windows ----------------------------------------------------------------------------------------------------------


def _prepare_wine(targets: Sequence[Target], python: Optional[str], ws: Workspace) -> Dict[Target, Prover]:
    wine.prepare(targets, ws)
    places: Dict[Target, Prover] = {}
    for target in targets:
        wine.ensure_prefix(target, ws)
        places[target] = Prover(partial(prove_under_wine, target, windows_python.choose(python, target, ws)))
    return places


def install(wheel: Path, python: WindowsPython, warm: Wine, ws: Workspace) -> None:
    """Install a wheel into a Windows Python with its pip, in place of whichever was there; skip when it is this one."""
    stamp = ws.stamp(f"installed-{python.home.name}")
    key = workspace.fingerprint(workspace.file_sha256(wheel), python.version, python.provider)
    if stamp.is_current(key):
        return
    stamp.forget()
    windows_python.pip_install(python, warm, [wheel], force=True)
    package = python.home / "Lib" / "site-packages" / project.PACKAGE
    stamp.write(key, files=[python.executable, package / "__init__.py", *package.glob("*.dll")])


def prove_under_wine(target: Target, python: WindowsPython, wheel: Path, ws: Workspace) -> Proof:
    """Install a wheel into a Windows Python, let it record, and check the ping that it hands back.

    Raises:
        ProofError: it did not run, or something in the ping is not as it should be; lists everything.
    """
    home = str(python.home / "Lib" / "site-packages").replace("/", "\\")
    expected = {"pointer_bits": target.pointer_bits, "python": python.version}
    with wine.session(target, ws) as warm:
        install(wheel, python, warm, ws)
        ping = _run(wheel, target, expected, home, warm.run, [python.executable], "invoke wine-run --", ws)
    where = f"{warm.provider.version} ({warm.provider.name})"
    return Proof("Wine", f"{python.describe()} ({python.provider})", where, ping)


# --- Linux, and nowhere -----------------------------------------------------------------------------------------------


def _prepare_linux(targets: Sequence[Target], python: Optional[str], ws: Workspace) -> Dict[Target, Prover]:
    return {target: Prover(partial(prove_on_linux, target, foreign.python_for(target, ws))) for target in targets}


def prove_on_linux(target: Target, python: foreign.Python, wheel: Path, ws: Workspace) -> Proof:
    """Install a wheel for a CPython that this machine runs, and go on as `prove_under_wine`, with the same errors."""
    with tempfile.TemporaryDirectory(prefix="glean-proof-") as folder:
        packages = Path(folder, "site-packages")
        foreign.install(wheel, target, python, packages, ws)
        run = partial(ws.run, env={**python.env, "PYTHONPATH": str(packages)})
        expected = {"pointer_bits": target.pointer_bits, "python": python.version, "machine": target.machine}
        again = f"PYTHONPATH=<the unpacked wheel> {' '.join(python.argv)}"
        ping = _run(wheel, target, expected, str(packages), run, python.argv, again, ws)
    return Proof(python.how, f"CPython {python.version}", python.where, ping)


def _prepare_nothing(targets: Sequence[Target], python: Optional[str], ws: Workspace) -> Dict[Target, Prover]:
    return {target: Prover(partial(_prove_nothing, target)) for target in targets}


def _prove_nothing(target: Target, wheel: Path, ws: Workspace) -> Proof:
    return Proof(f"static only: {target.unproven}", "", "", {})


def _probe_nothing(target: Target, ws: Workspace) -> Probe:
    return Probe("static only", why=target.unproven, fix="prove it on a machine that does")


_LINUX = Way(_prepare_linux, foreign.probe)
WAYS: Mapping[str, Way] = {
    "wine": Way(
        _prepare_wine,
        lambda target, ws: wine.Prefix(target).probe(ws),
        (system.WINE,),
        lambda python: [wine.identity(), python or settings.WINDOWS_PYTHON.value()],
    ),
    "linux": _LINUX,
    "musl": _LINUX,
    "static": Way(_prepare_nothing, _probe_nothing),
}


# --- what all of them share -------------------------------------------------------------------------------------------


def _run(
    wheel: Path,
    target: Target,
    expected: Mapping[str, object],
    home: str,
    run: Callable[..., runner.Completed],
    argv: Sequence[object],
    again: str,
    ws: Workspace,
) -> Mapping[str, Any]:
    """Run the script of the proof, away from the checkout so that no package comes from there; return its ping.

    Args:
        run: runs a command line to its end, like `runner.run`.
        argv: the interpreter.
        again: how it is started by hand, for messages.
    """
    script, again = ws.root / project.PROOF, f"{again} {project.PROOF}"
    with tempfile.TemporaryDirectory(prefix="glean-proof-") as empty:
        shutil.copyfile(script, Path(empty, script.name))
        argv = [*argv, script.name]
        done = run(argv, timeout_s=PROOF_TIMEOUT_S, cwd=Path(empty), quiet=True, split_stderr=True)
    lines = done.stdout.strip().splitlines()
    try:
        shown = json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise ProofError(
            f"{wheel.name} handed back no ping",
            why=f"its last line was {lines[-1]!r}" if lines else "it printed nothing",
            fix=f"run it by hand: {again}",
        ) from error
    findings = check(shown, wheel, target, expected, home)
    if findings:
        raise ProofError(f"{wheel.name} failed its smoke test", why="; ".join(findings), fix=f"rerun it with `{again}`")
    ping: Mapping[str, Any] = shown["ping"]
    return ping


def check(
    shown: Mapping[str, Any], wheel: Path, target: Target, expected: Mapping[str, object], home: str
) -> List[str]:
    """Return everything that is wrong with what the proof's script printed; empty when it is right.

    Args:
        expected: what it has to say about the Python that ran it.
        home: the folder that the wheel was installed into.
    """
    findings = project.check_proof(shown, library.FORMATS[target.library_format])
    for name, value in {**expected, "version": wheel.name.split("-")[1]}.items():
        if shown.get(name) != value:
            findings.append(f"{name} is {shown.get(name)!r}, not {value!r}")
    if home.lower() not in str(shown.get("package", "")).lower():
        findings.append(f"the package was imported from {shown.get('package')}, not from site-packages")
    return findings
