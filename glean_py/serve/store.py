"""The pings that a collector keeps: the newest ones, in memory or in a file of SQLite."""

from __future__ import annotations

import json
import os
import re
import threading
import time
import zlib
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from glean_py.serve.submission import Submission

# Marks a file as ours: "GLEA".
_APPLICATION_ID = 0x474C4541
_MAX_STORED_BYTES = 256 * 2**20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS ping (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    arrived_ms INTEGER NOT NULL,
    document_id TEXT NOT NULL UNIQUE,
    application TEXT NOT NULL,
    name TEXT NOT NULL,
    client_id TEXT NOT NULL,
    tag TEXT NOT NULL,
    reason TEXT NOT NULL,
    seq INTEGER,
    size INTEGER NOT NULL,
    metrics INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1,
    violations TEXT,
    path TEXT NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS metric (
    ping INTEGER NOT NULL REFERENCES ping ON DELETE CASCADE,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    value REAL
);
CREATE INDEX IF NOT EXISTS metric_ping ON metric (ping);
CREATE INDEX IF NOT EXISTS metric_name ON metric (name, ping);
"""
_SUMMARY = (
    *("number", "arrived_ms", "document_id", "application", "name", "client_id", "tag", "reason", "seq", "size"),
    *("metrics", "times", "violations"),
)


class StoreError(Exception):
    """A store cannot be used; says why and what to do."""


class Filter(NamedTuple):
    """Which pings are meant; what is empty means all. `text` is looked for in paths and bodies, whatever its case.

    With `newest`, so many of those that fit, the newest ones.
    """

    name: str = ""
    application: str = ""
    client: str = ""
    tag: str = ""
    metric: str = ""
    text: str = ""
    since: int = 0
    newest: int = 0


EVERYTHING = Filter()


class Store:
    """At most `keep` pings; may be used by any thread. Each method raises `StoreError` where SQLite fails.

    Args:
        path: the file; in memory without it. One that is damaged is set aside under another name, see `set_aside`.
        keep: how many pings are kept; the oldest go first.

    Attributes:
        set_aside: where a damaged file is now; empty if it was not damaged.

    Raises:
        StoreError: no such file can be made, another collector has it, it is another program's, or no SQLite is here.
    """

    def __init__(self, path: str = "", keep: int = 500) -> None:
        try:
            import sqlite3
        except ImportError:
            raise StoreError("this Python has no sqlite3; use one that does") from None
        self.path = os.path.abspath(path) if path else ""
        self.keep = keep
        self.set_aside = ""
        self._lock = threading.RLock()
        try:
            try:
                self._database = self._open()
            except sqlite3.DatabaseError as error:
                # Others are derived from it, such as for a file that is locked.
                if type(error) is not sqlite3.DatabaseError or not self.path:
                    raise
                self._move_aside()
                self._database = self._open()
        except (sqlite3.Error, OSError) as error:
            if "locked" in str(error):
                raise StoreError(
                    f"another collector has {self.path}; stop that one, or name another file with --store"
                ) from None
            raise StoreError(
                f"{self.path or 'the store'} cannot be used: {error}; name another file with --store"
            ) from (None)
        with self._use():
            self._trim()

    def _open(self) -> Any:
        import sqlite3

        database = sqlite3.connect(self.path or ":memory:", timeout=0, check_same_thread=False, isolation_level=None)
        try:
            # Nobody else may have it until it is closed.
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("PRAGMA foreign_keys = ON")
            database.execute("BEGIN EXCLUSIVE")
            (owner,) = database.execute("PRAGMA application_id").fetchone()
            (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables and owner != _APPLICATION_ID:
                raise StoreError(f"{self.path} is a database of another program; name another file with --store")
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            for statement in _SCHEMA.split(";"):
                database.execute(statement)
            database.execute("COMMIT")
        except BaseException:
            database.close()
            raise
        return database

    def _move_aside(self) -> None:
        for number in range(1, 10_000):
            free = f"{self.path}.damaged-{number}"
            if not os.path.exists(free):
                os.rename(self.path, free)
                self.set_aside = free
                return

    @contextmanager
    def _use(self) -> Iterator[Any]:
        """Give the database to this thread alone.

        Raises:
            StoreError: SQLite fails, as on a full disk.
        """
        import sqlite3

        with self._lock:
            try:
                yield self._database
            except sqlite3.Error as error:
                raise StoreError(f"{self.path or 'the store'} fails: {error}") from None

    def close(self) -> None:
        """Close it; another collector may use its file."""
        with self._lock:
            self._database.close()

    def add(self, ping: Submission, violations: Optional[List[Dict[str, str]]]) -> int:
        """Keep a ping and return its number; one whose document id is here is counted once more, unless it is a copy.

        Raises:
            StoreError: the disk is full, or fails.
        """
        import sqlite3

        data = ping.text.encode("utf-8")
        values = {
            "arrived_ms": int(time.time() * 1000),
            "document_id": ping.document_id,
            "application": ping.application,
            "name": ping.name,
            "client_id": ping.client_id,
            "tag": ping.tag,
            "reason": ping.reason,
            "seq": ping.seq,
            "size": len(data),
            "metrics": len(ping.metrics),
            "violations": None if violations is None else json.dumps(violations),
            "path": ping.path,
            "headers": json.dumps(ping.headers),
            "body": zlib.compress(data, 1),
        }
        with self._lock:
            try:
                self._database.execute("BEGIN")
                if not ping.is_copy:
                    self._database.execute(
                        "UPDATE ping SET times = times + 1 WHERE document_id = ?", [ping.document_id]
                    )
                found = self._database.execute("SELECT number FROM ping WHERE document_id = ?", [ping.document_id])
                row = found.fetchone()
                if row is None:
                    names, marks = ", ".join(values), ", ".join("?" * len(values))
                    inserted = self._database.execute(
                        f"INSERT INTO ping ({names}) VALUES ({marks})", list(values.values())
                    )
                    row = (inserted.lastrowid,)
                    self._database.executemany(
                        "INSERT INTO metric VALUES (?, ?, ?, ?)", [(row[0], *metric) for metric in ping.metrics]
                    )
                    self._trim()
                self._database.execute("COMMIT")
            except sqlite3.Error as error:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise StoreError(f"{self.path or 'the store'} took no ping: {error}") from None
        return int(row[0])

    def _trim(self) -> None:
        self._database.execute(
            "DELETE FROM ping WHERE number <= (SELECT number FROM ping ORDER BY number DESC LIMIT 1 OFFSET ?)",
            [self.keep],
        )
        total = 0
        for number, size in self._database.execute("SELECT number, length(body) FROM ping ORDER BY number DESC"):
            total += size
            if total > _MAX_STORED_BYTES:
                self._database.execute("DELETE FROM ping WHERE number <= ?", [number])
                return

    def clear(self) -> None:
        """Forget all pings; numbers go on.

        Raises:
            StoreError: the disk is full, or fails.
        """
        with self._use() as database:
            database.execute("DELETE FROM ping")

    def find(self, wanted: Filter = EVERYTHING) -> List[Dict[str, Any]]:
        """Return summaries of pings, the oldest first."""
        values: List[Any]
        clauses, values = ["number > ?"], [wanted.since]
        for column, value in (
            ("name", wanted.name),
            ("application", wanted.application),
            ("client_id", wanted.client),
            ("tag", wanted.tag),
        ):
            if value:
                clauses.append(f"{column} = ?")
                values.append(value)
        if wanted.metric:
            clauses.append("number IN (SELECT ping FROM metric WHERE name = ?)")
            values.append(wanted.metric)
        # Somebody may have copied it from the page, which shows JSON with spaces.
        sought = {wanted.text.lower(), re.sub(r"(?<=[:,])\s+", "", wanted.text.lower())} - {""}
        columns = ", ".join((*_SUMMARY, *(("path", "body") if sought else ())))
        # What is looked for in texts is counted afterwards.
        limit = wanted.newest if wanted.newest and not sought else -1
        query = f"SELECT {columns} FROM ping WHERE {' AND '.join(clauses)} ORDER BY number DESC LIMIT ?"
        with self._use() as database:
            rows = database.execute(query, [*values, limit]).fetchall()[::-1]
        if sought:
            rows = [row for row in rows if _has_any(row[-2], sought) or _has_any(_inflate(row[-1]), sought)]
            rows = rows[-wanted.newest :]
        return [_summary(row) for row in rows]

    def get(self, number: int) -> Optional[Dict[str, Any]]:
        """Return the summary of a ping with its path, headers and metrics."""
        with self._use() as database:
            row = database.execute(
                f"SELECT {', '.join(_SUMMARY)}, path, headers FROM ping WHERE number = ?", [number]
            ).fetchone()
            found = database.execute("SELECT type, name, value FROM metric WHERE ping = ?", [number]).fetchall()
        if row is None:
            return None
        return {**_summary(row), "path": row[-2], "headers": json.loads(row[-1]), "names": [each[:2] for each in found]}

    def summary(self, number: int) -> Optional[Dict[str, Any]]:
        """Return the summary of a ping, as `find` does."""
        with self._use() as database:
            row = database.execute(f"SELECT {', '.join(_SUMMARY)} FROM ping WHERE number = ?", [number]).fetchone()
        return None if row is None else _summary(row)

    def text(self, number: int) -> Optional[str]:
        """Return the body of a ping as it was submitted."""
        with self._use() as database:
            row = database.execute("SELECT body FROM ping WHERE number = ?", [number]).fetchone()
        return None if row is None else _inflate(row[0])

    def metrics(self) -> List[Dict[str, Any]]:
        """Return the names and types of the metrics of all pings, with the numbers of pings that have them."""
        with self._use() as database:
            rows = database.execute(
                "SELECT name, type, count(*), count(value) FROM metric GROUP BY name, type ORDER BY name LIMIT 5000"
            ).fetchall()
        return [{"name": name, "type": kind, "pings": pings, "is_number": bool(n)} for name, kind, pings, n in rows]

    def trend(self, metric: str, application: str = "") -> Iterator[Dict[str, Any]]:
        """Return one metric over pings, the oldest first."""
        query = (
            "SELECT number, arrived_ms, metric.type, value, ping.application, ping.name FROM metric "
            "JOIN ping ON ping = number WHERE metric.name = ? AND value IS NOT NULL AND ? IN ('', application) "
            "ORDER BY number"
        )
        with self._use() as database:
            rows = database.execute(query, [metric, application]).fetchall()
        names = ("number", "arrived_ms", "type", "value", "application", "name")
        return (dict(zip(names, row)) for row in rows)


def _summary(row: Tuple[Any, ...]) -> Dict[str, Any]:
    summary = dict(zip(_SUMMARY, row))
    if summary["violations"] is not None:
        summary["violations"] = json.loads(summary["violations"])
    return summary


def _has_any(text: str, sought: Set[str]) -> bool:
    text = text.lower()
    return any(each in text for each in sought)


def _inflate(body: bytes) -> str:
    return zlib.decompress(body).decode("utf-8")
