"""Everything that can go wrong in a step, each kind with an exit code of its own (docs/exit-codes.md)."""

from __future__ import annotations

from typing import ClassVar, Sequence


class StepError(Exception):
    """A step failed: what happened, why, and what to do about it.

    Args:
        what: one line, what did not happen.
        why: the observation behind it.
        fix: what the reader can do now.
    """

    exit_code: ClassVar[int] = 10

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


class UnknownTargetError(StepError):
    """No target has this name."""

    exit_code = 11


class UnknownArchitectureError(StepError):
    """No target has this Windows architecture."""

    exit_code = 12


class UnknownPythonError(StepError):
    """No pinned Windows Python has this version."""

    exit_code = 13


class MissingToolError(StepError):
    """A program or package is missing and may not or cannot be installed."""

    exit_code = 14


class DownloadError(StepError):
    """A server did not deliver a file."""

    exit_code = 15


class WrongHashError(StepError):
    """A file is not the one that was pinned."""

    exit_code = 16


class UnsafeArchiveError(StepError):
    """An archive holds a member that must not be unpacked."""

    exit_code = 17


class DiskError(StepError):
    """A disk is full, read-only or refuses access."""

    exit_code = 18


class CommandFailedError(StepError):
    """A program ended with a non-zero exit status."""

    exit_code = 19

    def __init__(
        self, what: str, *, why: str = "", fix: str = "", status: int = 1, tail: Sequence[str] = (), output: str = ""
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.status = status
        self.tail = list(tail)
        self.output = output

    def __str__(self) -> str:
        text = super().__str__()
        if self.tail:
            text += "\n  last lines:\n" + "\n".join(f"    {line}" for line in self.tail)
        return text


class DeadlineError(CommandFailedError):
    """A program did not end within its deadline and was ended."""

    exit_code = 20


class OfflineError(StepError):
    """GLEAN_OFFLINE forbids the network and a file is not in the cache."""

    exit_code = 21


class MissingArtifactError(StepError):
    """A step succeeded but the file it should have made is not there."""

    exit_code = 22


class AuditError(StepError):
    """A wheel is not what its name and metadata promise."""

    exit_code = 23


class ProofError(StepError):
    """The installed wheel did not record, or handed back a ping that is not right."""

    exit_code = 24


class HeaderDriftError(StepError):
    """The C header differs from what cbindgen makes of the sources."""

    exit_code = 25


class TestsFailedError(StepError):
    """At least one suite failed."""

    exit_code = 26


class SettingError(StepError):
    """An option or environment variable has a value that cannot be used."""

    exit_code = 27


class NotProvableError(StepError):
    """A wheel was built but nothing on this machine can run it."""

    exit_code = 28


class ReproductionError(StepError):
    """A second build gave other bytes."""

    exit_code = 29


class ReleaseError(StepError):
    """Something keeps a version from being released, or the index refused a file."""

    exit_code = 30


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM: the programs that were running have been ended.

    No StepError, so that no step takes it for something that it can do without.
    """

    exit_code: ClassVar[int] = 130
