"""The proof of a Windows wheel: Windows pip installs it, it records, and the ping that it hands back is checked."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping

from glean_steps import runner, windows_python, workspace
from glean_steps.errors import ProofError
from glean_steps.targets import Target
from glean_steps.windows_python import WindowsPython
from glean_steps.wine import Wine
from glean_steps.workspace import Stamp, Workspace

PROOF_TIMEOUT_S = 120.0

_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$"

# The envelope of a ping that tests/bindings/prove_wheel.py submits, and the values that it records.
PING_SCHEMA: Dict[str, Any] = {
    "type": "object",
    "required": ["client_info", "ping_info", "metrics"],
    "additionalProperties": False,
    "properties": {
        "client_info": {
            "type": "object",
            "required": [
                "app_build",
                "app_display_version",
                "architecture",
                "build_date",
                "client_id",
                "first_run_date",
                "os",
                "os_version",
                "telemetry_sdk_build",
            ],
            "properties": {
                "app_display_version": {"const": "1.0"},
                "client_id": {"type": "string", "pattern": _UUID},
                "first_run_date": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d[+-]\d\d:\d\d$"},
                "os": {"const": "Windows"},
            },
        },
        "ping_info": {
            "type": "object",
            "required": ["seq", "start_time", "end_time", "reason"],
            "properties": {
                "seq": {"const": 0},
                "start_time": {"type": "string", "pattern": _TIME},
                "end_time": {"type": "string", "pattern": _TIME},
                "reason": {"const": "proof"},
            },
        },
        "metrics": {
            "const": {
                "boolean": {"proof.boolean": True},
                "counter": {"proof.counter": 42},
                "string": {"proof.string": "Grüße, 世界"},
                "uuid": {"proof.uuid": "01234567-89ab-cdef-0123-456789abcdef"},
            }
        },
    },
}


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
    stamp = Stamp(ws.state / "stamps" / f"installed-{python.home.name}.json")
    key = workspace.fingerprint(workspace.file_sha256(wheel), python.version, python.provider)
    if stamp.is_current(key):
        return
    stamp.forget()
    windows_python.pip_install(python, warm, [wheel], force=True)
    package = python.home / "Lib" / "site-packages" / "glean_py"
    stamp.write(key, files=[python.executable, package / "__init__.py", *package.glob("*.dll")])


def prove(wheel: Path, target: Target, python: WindowsPython, warm: Wine, ws: Workspace) -> Proof:
    """Install a wheel into a Windows Python under Wine, let it record, and check the ping that it hands back.

    Raises:
        ProofError: it did not run, or something in what it handed back is not as it should be; lists everything.
    """
    install(wheel, python, warm, ws)
    script = ws.root / "tests" / "bindings" / "prove_wheel.py"
    # Away from the checkout, so that the package cannot come from there.
    with tempfile.TemporaryDirectory(prefix="glean-proof-") as empty:
        copy = Path(empty, script.name)
        shutil.copyfile(script, copy)
        done = warm.run(
            [python.executable, copy.name],
            timeout_s=runner.deadline(PROOF_TIMEOUT_S),
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
            fix="run it by hand: invoke wine-run -- tests/bindings/prove_wheel.py",
        ) from error
    findings = check(shown, wheel, target, python)
    if findings:
        raise ProofError(f"{wheel.name} is not proven", why="; ".join(findings), fix="see docs/design.md on the proof")
    return Proof(python.describe(), f"{warm.provider.version} ({warm.provider.name})", shown["ping"])


def check(shown: Mapping[str, Any], wheel: Path, target: Target, python: WindowsPython) -> List[str]:
    """Return everything that is wrong with what the proof's script printed; empty when it is right."""
    from jsonschema import Draft202012Validator

    findings = [
        f"ping {'/'.join(str(part) for part in error.absolute_path) or 'body'}: "
        # Of a value that has to be another one, the validator tells only the other one.
        + (f"{error.instance!r} is not {error.validator_value!r}" if error.validator == "const" else error.message)
        for error in Draft202012Validator(PING_SCHEMA).iter_errors(shown.get("ping"))
    ]
    expected = {"pointer_bits": target.pointer_bits, "python": python.version, "version": wheel.name.split("-")[1]}
    for name, value in expected.items():
        if shown.get(name) != value:
            findings.append(f"{name} is {shown.get(name)!r}, not {value!r}")
    home = str(python.home / "Lib" / "site-packages").replace("/", "\\").lower()
    if home not in str(shown.get("package", "")).lower():
        findings.append(f"the package was imported from {shown.get('package')}, not from site-packages")
    parts = str(shown.get("path", "")).split("/")
    if parts[:5] != ["", "submit", "wheel-proof", "wheel-proof", "1"] or len(parts) != 6:
        findings.append(f"the submission path is {shown.get('path')!r}")
    return findings
