"""The proof of a wheel: it is installed where it belongs, it records, and the ping that it hands back is checked.

A target's entry says where: in a Windows Python under Wine, in a Python of this machine or of another architecture
under qemu, or nowhere.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol, Sequence, Tuple

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
        python: the Python that the wheel ran in, for tables.
        where: what ran that Python, for tables.
        ping: the body of the ping.
    """

    how: str
    python: str
    where: str
    ping: Mapping[str, Any]


class Prover(Protocol):
    """A place that is ready to prove wheels of one target in."""

    def prove(self, wheel: Path, ws: Workspace) -> Proof:
        """Prove a wheel.

        Raises:
            ProofError: it did not run, or something in what it handed back is not as it should be; lists everything.
        """


@dataclass(frozen=True)
class Way:
    """A kind of proof.

    Attributes:
        tools: system tools that it needs.
        identity: what tells one machine's proof from another's, beside the target; changes make a new proof necessary.
        prepare: makes the places for targets, given the Windows Python that was asked for.
        probe: says where a target would be proven, and changes nothing.
    """

    tools: Tuple[system.Tool, ...]
    identity: Callable[[Optional[str]], object]
    prepare: Callable[[Sequence[Target], Optional[str], Workspace], Dict[Target, Prover]]
    probe: Callable[[Target, Workspace], Probe]


# --- Windows ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _UnderWine:
    target: Target
    python: WindowsPython

    def prove(self, wheel: Path, ws: Workspace) -> Proof:
        with wine.session(self.target, ws) as warm:
            return prove(wheel, self.target, self.python, warm, ws)


def _prepare_wine(targets: Sequence[Target], python: Optional[str], ws: Workspace) -> Dict[Target, Prover]:
    wine.prepare(targets, ws)
    places: Dict[Target, Prover] = {}
    for target in targets:
        wine.ensure_prefix(target, ws)
        places[target] = _UnderWine(target, windows_python.choose(python, target, ws))
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


def prove(wheel: Path, target: Target, python: WindowsPython, warm: Wine, ws: Workspace) -> Proof:
    """Install a wheel into a Windows Python under Wine, let it record, and check the ping that it hands back.

    Raises:
        ProofError: as `Prover.prove`.
    """
    install(wheel, python, warm, ws)

    def run(script: Path) -> runner.Completed:
        argv = [python.executable, script.name]
        return warm.run(argv, timeout_s=PROOF_TIMEOUT_S, cwd=script.parent, quiet=True, split_stderr=True)

    home = str(python.home / "Lib" / "site-packages").replace("/", "\\")
    expected = {"pointer_bits": target.pointer_bits, "python": python.version}
    ping = _run(wheel, target, expected, home, run, f"invoke wine-run -- {project.PROOF}", ws)
    return Proof(
        "Wine", f"{python.describe()} ({python.provider})", f"{warm.provider.version} ({warm.provider.name})", ping
    )


# --- Linux ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _OnLinux:
    target: Target
    python: foreign.Python

    def prove(self, wheel: Path, ws: Workspace) -> Proof:
        python = self.python
        with tempfile.TemporaryDirectory(prefix="glean-proof-") as folder:
            packages = Path(folder, "site-packages")
            foreign.install(wheel, self.target, python, packages, ws)

            def run(script: Path) -> runner.Completed:
                env = {**python.env, "PYTHONPATH": str(packages)}
                argv = [*python.argv, script.name]
                return ws.run(
                    argv, timeout_s=PROOF_TIMEOUT_S, cwd=script.parent, env=env, quiet=True, split_stderr=True
                )

            expected = {
                "pointer_bits": self.target.pointer_bits,
                "python": python.version,
                "machine": self.target.machine,
            }
            again = f"PYTHONPATH=<the unpacked wheel> {' '.join(python.argv)} {project.PROOF}"
            ping = _run(wheel, self.target, expected, str(packages), run, again, ws)
        return Proof(python.how, f"CPython {python.version}", python.where, ping)


def _prepare_linux(targets: Sequence[Target], python: Optional[str], ws: Workspace) -> Dict[Target, Prover]:
    return {target: _OnLinux(target, foreign.python_for(target, ws)) for target in targets}


# --- nowhere ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Nowhere:
    target: Target

    def prove(self, wheel: Path, ws: Workspace) -> Proof:
        return Proof(f"static only: {self.target.unproven}", "", "", {})


def _prepare_nothing(targets: Sequence[Target], python: Optional[str], ws: Workspace) -> Dict[Target, Prover]:
    return {target: _Nowhere(target) for target in targets}


def _nowhere(target: Target) -> Probe:
    return Probe("static only", why=target.unproven, fix="prove it on a machine that does")


_ON_LINUX = Way((), lambda python: None, _prepare_linux, foreign.probe)
WAYS: Mapping[str, Way] = {
    "wine": Way(
        (system.WINE,),
        lambda python: [wine.identity(), python or settings.WINDOWS_PYTHON.value()],
        _prepare_wine,
        lambda target, ws: wine.Prefix(target).probe(ws),
    ),
    "linux": _ON_LINUX,
    "musl": _ON_LINUX,
    "static": Way((), lambda python: None, _prepare_nothing, lambda target, ws: _nowhere(target)),
}


# --- what all of them share -------------------------------------------------------------------------------------------


def _run(
    wheel: Path,
    target: Target,
    expected: Mapping[str, object],
    home: str,
    run: Callable[[Path], runner.Completed],
    again: str,
    ws: Workspace,
) -> Mapping[str, Any]:
    """Run the script of the proof, away from the checkout so that no package comes from there; return its ping."""
    script = ws.root / project.PROOF
    with tempfile.TemporaryDirectory(prefix="glean-proof-") as empty:
        copy = Path(empty, script.name)
        shutil.copyfile(script, copy)
        done = run(copy)
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
