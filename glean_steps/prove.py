"""The proof of a Windows wheel: Windows pip installs it, it records, and the ping that it hands back is checked."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Mapping

from glean_steps import project, windows_python, workspace
from glean_steps.errors import ProofError
from glean_steps.targets import Target
from glean_steps.windows_python import WindowsPython
from glean_steps.wine import Wine
from glean_steps.workspace import Workspace

PROOF_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Proof:
    """What was shown.

    Attributes:
        python: the Windows Python that the wheel ran in, for tables.
        wine: the Wine that ran it, for tables.
        ping: the body of the ping.
    """

    python: str
    wine: str
    ping: Mapping[str, Any]


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
        ProofError: it did not run, or something in what it handed back is not as it should be; lists everything.
    """
    install(wheel, python, warm, ws)
    script = ws.root / project.PROOF
    # Away from the checkout, so that the package cannot come from there.
    with tempfile.TemporaryDirectory(prefix="glean-proof-") as empty:
        copy = Path(empty, script.name)
        shutil.copyfile(script, copy)
        done = warm.run(
            [python.executable, copy.name],
            timeout_s=PROOF_TIMEOUT_S,
            cwd=Path(empty),
            quiet=True,
            split_stderr=True,
        )
    lines = done.stdout.strip().splitlines()
    try:
        shown = json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise ProofError(
            f"{wheel.name} handed back no ping",
            why=f"its last line was {lines[-1]!r}" if lines else "it printed nothing",
            fix=f"run it by hand: invoke wine-run -- {project.PROOF}",
        ) from error
    findings = check(shown, wheel, target, python)
    if findings:
        raise ProofError(
            f"{wheel.name} failed its smoke test under Wine",
            why="; ".join(findings),
            fix=f"rerun it with `invoke wine-run -- {project.PROOF}`",
        )
    return Proof(python.describe(), f"{warm.provider.version} ({warm.provider.name})", shown["ping"])


def check(shown: Mapping[str, Any], wheel: Path, target: Target, python: WindowsPython) -> List[str]:
    """Return everything that is wrong with what the proof's script printed; empty when it is right."""
    findings = project.check_proof(shown)
    expected = {"pointer_bits": target.pointer_bits, "python": python.version, "version": wheel.name.split("-")[1]}
    for name, value in expected.items():
        if shown.get(name) != value:
            findings.append(f"{name} is {shown.get(name)!r}, not {value!r}")
    home = str(python.home / "Lib" / "site-packages").replace("/", "\\").lower()
    if home not in str(shown.get("package", "")).lower():
        findings.append(f"the package was imported from {shown.get('package')}, not from site-packages")
    return findings
