"""Signatures of Windows programs, checked with osslsigncode; for a Windows Python of which no SHA-256 is published."""

from __future__ import annotations

import re
import tempfile
import zipfile
from pathlib import Path
from typing import List, Sequence

from glean_steps import archive, runner, system
from glean_steps.errors import MissingToolError, WrongHashError

SIGNER = "Python Software Foundation"
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def check_python(packed: Path, members: Sequence[str], *, run: runner.Run = runner.run) -> None:
    """Check that the named members of an archive are signed by the Python Software Foundation and unchanged since.

    Raises:
        WrongHashError: a member has no such signature.
        MissingToolError: osslsigncode or the certificate bundle is missing.
    """
    with tempfile.TemporaryDirectory(prefix="glean-signature-") as scratch:
        with zipfile.ZipFile(packed) as opened:
            safe = {member.filename: member for member in archive.safe_members(packed)}
            for name in members:
                if name not in safe:
                    raise WrongHashError(f"{packed.name} has no {name}", why="its signature was to be checked")
                file = Path(scratch, name)
                file.write_bytes(opened.read(safe[name]))
                check_signature(file, run=run)


def check_signature(program: Path, *, run: runner.Run = runner.run) -> None:
    """Check one program's Authenticode signature: whole, by the Python Software Foundation, chained to a known root.

    Certificates are judged at the time that the signature's timestamp names, since they expire after a few years while
    released files stay as they are. The timestamping authorities of those years are no longer in any bundle, so the
    time itself is taken on trust; the digest and the chain are not.

    Raises:
        WrongHashError: it is not so; says what osslsigncode found.
    """
    system.require([system.OSSLSIGNCODE], run=run)
    bundle = next((path for path in _BUNDLES if Path(path).exists()), None)
    if bundle is None:
        raise MissingToolError(
            "no certificate bundle", why="none of " + ", ".join(_BUNDLES), fix="apt-get install -y ca-certificates"
        )
    if not is_usable(run=run):
        raise MissingToolError(
            "this osslsigncode is too old",
            why="it has no -ignore-crl, so it would ask servers for lists while checking",
            fix="install osslsigncode 2.8 or later (Debian 12 has it in its backports)",
        )
    moment = _signing_time(program, bundle, run)
    done = run(
        [
            "osslsigncode",
            "verify",
            "-ignore-timestamp",
            "-ignore-crl",
            "-time",
            moment,
            "-CAfile",
            bundle,
            "-in",
            program,
        ],
        timeout_s=60,
        check=False,
        quiet=True,
    )
    if done.status != 0 or "Succeeded" not in done.stdout or set(_signers(done.stdout)) != {SIGNER}:
        raise WrongHashError(
            f"{program.name} has no valid signature of the {SIGNER}",
            why="; ".join(line.strip() for line in done.stdout.splitlines() if _tells(line)) or "it is not signed",
            fix="do not use it; choose a Python whose SHA-256 is pinned",
        )


def is_usable(*, run: runner.Run = runner.run) -> bool:
    """Return whether this machine's osslsigncode has what a check needs; Debian 12's own 2.5 has not."""
    shown = run(["osslsigncode", "verify", "--help"], timeout_s=60, check=False, quiet=True, echo=False).stdout
    return "-ignore-crl" in shown


def _signers(shown: str) -> List[str]:
    """Return the organisation of each signature's own certificate; those of its chain may be called anything."""
    subjects = re.findall(r"Signer's certificate:\s+-+\s+Signer #\d+:\s+Subject: (.*)", shown)
    return [
        next((part[2:].strip() for part in subject.split("/") if part.startswith("O=")), "") for subject in subjects
    ]


def _signing_time(program: Path, bundle: str, run: runner.Run) -> int:
    from email.utils import mktime_tz, parsedate_tz

    shown = run(
        ["osslsigncode", "verify", "-CAfile", bundle, "-in", program], timeout_s=60, check=False, quiet=True
    ).stdout
    found = re.search(r"Timestamp time: (\w{3}) +(\d+) (\d\d:\d\d:\d\d) (\d{4}) GMT", shown)
    if found is None:
        raise WrongHashError(
            f"{program.name} has no valid signature of the {SIGNER}",
            why="; ".join(line.strip() for line in shown.splitlines() if _tells(line)) or "it is not signed",
            fix="do not use it; choose a Python whose SHA-256 is pinned",
        )
    month, day, clock, year = found.groups()
    parsed = parsedate_tz(f"{day} {month} {year} {clock} +0000")
    assert parsed is not None, "the pattern above admits only dates that parse"
    return mktime_tz(parsed)


def _tells(line: str) -> bool:
    return any(word in line for word in ("MISMATCH", "verification:", "Error:", "No signature", "Failed"))
