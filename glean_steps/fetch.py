"""Downloads: retried where that can heal, continued where the server allows it, verified before they get a name.

The cache holds `downloads/<sha256>/<file name>`: nothing gets there that was not verified, and what is there is
verified again whenever it is used.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from glean_steps import report, runner, settings, workspace
from glean_steps.errors import DownloadError, OfflineError, WrongHashError

_NAME_A_MIRROR = "name a mirror (see `Mirrors` in docs/building.md)"
_HEALING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Download:
    """A file on a server that is known before it is fetched: its name, where it is, and its SHA-256 in hexadecimal."""

    name: str
    url: str
    digest: str


@dataclass(frozen=True)
class Patience:
    """How long a download waits, in seconds; tests use shorter ones.

    Attributes:
        connect_s, read_s: deadlines of a connection and of one read.
        total_s: deadline of the whole download, retries included.
        backoff_s: the pause before the second attempt; it doubles each time.
    """

    connect_s: float = 10.0
    read_s: float = 30.0
    total_s: float = 900.0
    attempts: int = 4
    backoff_s: float = 1.0


def patience() -> Patience:
    """Return the default patience; GLEAN_FETCH_TIMEOUT replaces the deadline of a connection and a read (seconds)."""
    seconds = settings.FETCH_TIMEOUT.value()
    return Patience(connect_s=seconds, read_s=seconds) if seconds else Patience()


def cached(download: Download, cache: Path) -> Optional[Path]:
    """Return the verified file from the cache, or None. A damaged file is removed and reported."""
    path = cache_path(download, cache)
    if not path.is_file():
        return None
    found = workspace.file_sha256(path)
    if found == download.digest:
        return path
    report.say(f"{path} is damaged (SHA-256 {found}); it will be fetched again")
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise workspace.disk_error(error, path) from error
    return None


def fetch(download: Download, cache: Path, *, patient: Optional[Patience] = None) -> Path:
    """Return the file from the cache, fetching it first when it is not there.

    Raises:
        OfflineError: GLEAN_OFFLINE is set and the file is not in the cache.
        DownloadError: the server did not deliver it; says what each attempt met.
        WrongHashError: what the server delivered is another file; shows both hashes.
    """
    path = cached(download, cache)
    if path is not None:
        return path
    if settings.OFFLINE.value():
        raise OfflineError(
            f"{download.name} is not in the cache",
            why=f"GLEAN_OFFLINE is set, so {download.url} was not asked",
            fix=f"run once without GLEAN_OFFLINE, or put the file at {cache_path(download, cache)}",
        )
    path = cache_path(download, cache)
    part = path.with_name(path.name + ".part")
    with workspace.lock(path.parent.with_suffix(".lock"), f"fetching {download.name}"):
        again = cached(download, cache)
        if again is not None:
            return again
        continued = part.exists()
        fetch_into(download, part, patient or patience())
        if continued and workspace.file_sha256(part) != download.digest:
            report.say(f"  {download.name}: what an earlier run left was not the start of it; fetching all of it")
            part.unlink()
            fetch_into(download, part, patient or patience())
        found = workspace.file_sha256(part)
        if found != download.digest:
            part.unlink()
            raise WrongHashError(
                f"{download.name} is not the file that was pinned",
                why=f"{download.url} has SHA-256 {found}, pinned is {download.digest}",
                fix="do not use it; if the new file is right, renew the pin with `invoke pins`",
            )
        try:
            os.replace(part, path)
        except OSError as error:
            raise workspace.disk_error(error, path) from error
    return path


def cache_path(download: Download, cache: Path) -> Path:
    """Return where the cache holds a file."""
    return cache / "downloads" / download.digest / download.name


class _Retry(Exception):
    """An attempt met something that another attempt can heal."""


def fetch_into(download: Download, part: Path, patient: Patience) -> None:
    """Fetch into `part`, continuing what an earlier attempt or run left there; what comes is not verified here."""
    met = []
    limit = time.monotonic() + patient.total_s
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise workspace.disk_error(error, part) from error
    for attempt in range(1, patient.attempts + 1):
        runner.go_on()
        try:
            _attempt(download, part, patient, limit)
            return
        except _Retry as reason:
            met.append(str(reason))
            report.say(f"  {download.name}: attempt {attempt}: {reason}")
        pause = patient.backoff_s * 2 ** (attempt - 1)
        if attempt == patient.attempts or time.monotonic() + pause > limit:
            break
        time.sleep(pause)
    raise _failed(
        download,
        f"{download.url}: {len(met)} attempts: " + "; ".join(dict.fromkeys(met)),
        f"run it again (it continues where it stopped), or {_NAME_A_MIRROR}",
    )


def _failed(download: Download, why: str, fix: str) -> DownloadError:
    return DownloadError(f"could not fetch {download.name}", why=why, fix=fix)


def _attempt(download: Download, part: Path, patient: Patience, limit: float) -> None:
    import logging

    import requests  # Slow to import, and a run that is up to date never needs it.
    from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema, RequestException

    # nox logs everything of every library.
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        timeout = (patient.connect_s, patient.read_s)
        with requests.get(download.url, headers=headers, stream=True, timeout=timeout) as response:
            status = response.status_code
            if status == 416:
                part.unlink(missing_ok=True)
                raise _Retry("the server could not continue; starting over")
            if status in _HEALING_STATUSES:
                raise _Retry(f"HTTP {status}")
            if status not in (200, 206):
                why = f"{download.url} answered HTTP {status} {response.reason}"
                raise _failed(download, why, f"check the version in glean_steps/pins.toml, or {_NAME_A_MIRROR}")
            if status != 206:
                have = 0
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.unlink(missing_ok=True)
                raise _Retry("the server continued at another place; starting over")
            length = response.headers.get("Content-Length")
            total = have + int(length) if length and length.isdigit() else None
            _receive(response, download, part, have, total, limit)
    except (InvalidSchema, InvalidURL, MissingSchema) as error:
        raise _failed(download, str(error), "give the mirror as an http or https URL") from error
    except RequestException as error:
        if _is_unknown_host(error):
            why = f"{download.url}: {_short(error)}"
            raise _failed(download, why, f"check the network, or {_NAME_A_MIRROR}") from error
        raise _Retry(_short(error)) from error


def _receive(response: object, download: Download, part: Path, have: int, total: Optional[int], limit: float) -> None:
    """Write a response's body to `part`, from offset `have` on."""
    progress = report.Progress(download.name, total, start_bytes=have)
    done = have
    try:
        with open(part, "r+b" if have else "wb") as stream:
            stream.seek(have)
            for block in response.iter_content(1 << 16):  # type: ignore[attr-defined]
                runner.go_on()
                stream.write(block)
                done += len(block)
                progress.add(len(block))
                if time.monotonic() > limit:
                    why = f"{download.url} was too slow: {report.human_size(done)} when the time was up"
                    raise _failed(download, why, "run it again; it continues where it stopped")
    except OSError as error:
        import requests

        if isinstance(error, requests.exceptions.RequestException):
            raise
        raise workspace.disk_error(error, part) from error
    finally:
        progress.close()
    if total is not None and done < total:
        raise _Retry(f"the connection ended after {done} of {total} bytes")


def _is_unknown_host(error: BaseException) -> bool:
    """Return whether a name has no address, which no other attempt heals; a name server that is busy is not that."""
    seen: Optional[BaseException] = error
    while seen is not None and not isinstance(seen, socket.gaierror):
        seen = seen.__cause__ or seen.__context__
    return isinstance(seen, socket.gaierror) and seen.errno == socket.EAI_NONAME


def _short(error: Exception) -> str:
    """Return the innermost reason of a requests exception, without the object addresses that it prints."""
    inner: BaseException = error
    while inner.args and isinstance(inner.args[0], BaseException):
        inner = inner.args[0]
    reason = getattr(inner, "reason", None)
    text = str(reason if isinstance(reason, BaseException) else inner.args[0] if inner.args else inner)
    return f"{type(error).__name__}: {text.split('>: ')[-1]}"
