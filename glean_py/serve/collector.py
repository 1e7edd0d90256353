"""The collector: what arrives is checked, kept and told to whoever watches; failures can be asked for."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from pathlib import Path
from time import monotonic
from typing import Any, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

import glean_py
from glean_py.serve import submission
from glean_py.serve.registry import Registry
from glean_py.serve.server import Server
from glean_py.serve.store import Filter, Store, StoreError
from glean_py.serve.submission import Headers, Refusal
from glean_py.serve.verdict import Checker

MAX_WAIT_S = 300.0
# How many changes somebody may miss and still be told one by one.
_REMEMBERED = 1000


class Faults(NamedTuple):
    """What submissions suffer; a ping that meets a status or a cut is not kept.

    Attributes:
        status: this HTTP status is answered; 0 for the one that is right.
        retry_after: seconds in the header `Retry-After` of that answer; 0 for none.
        delay: seconds before anything else happens, at most 300.
        cut: the connection is cut instead of an answer.
        times: how many submissions it is for; 0 for all until it is changed.
    """

    status: int = 0
    retry_after: int = 0
    delay: float = 0.0
    cut: bool = False
    times: int = 0

    def check(self) -> Faults:
        """Return them, with the status 503 for a `retry_after` without one.

        Raises:
            Refusal: a number is out of range.
        """
        for name, value, least, most in (
            ("status", self.status or 400, 400, 599),
            ("retry-after", self.retry_after, 0, 10**6),
            ("delay", self.delay, 0, MAX_WAIT_S),
            ("times", self.times, 0, 10**6),
        ):
            if not least <= value <= most:
                raise Refusal(400, f"{name} has to be between {least} and {most:g}")
        return self._replace(status=503) if self.retry_after and not self.status else self


class Collector:
    """Accepts the pings of programs on this machine and shows them; a context manager that ends it.

    Args:
        host: the address to listen on; others than loopback let other machines read every ping.
        port: the port; 0 for a free one.
        keep: how many pings are kept.
        store: a file that keeps them beyond the end; in memory without it.
        registry: metrics.yaml, pings.yaml or compiled modules.

    Attributes:
        endpoint: what `server_endpoint` or `GLEAN_DEBUG_COLLECTOR` of a program has to be; also the page.
        is_local: whether only this machine can reach it.

    Raises:
        StoreError: the store cannot be used.
        RegistryError: the registry cannot be read.
        OSError: the port is taken, or the address is none of this machine.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        keep: int = 500,
        store: str = "",
        registry: Sequence[Path] = (),
    ) -> None:
        self.registry = Registry(registry)
        self._registry_files = [str(file) for file in registry]
        self.checker = Checker()
        self._server = Server(self, host, port)
        try:
            self.store = Store(store, keep)
        except BaseException:
            self._server.server_close()
            raise
        self.endpoint = self._server.endpoint
        self.is_local = self._server.is_local
        self._intake = threading.Lock()
        self._changed = threading.Condition()
        # Tells the changes of this collector from those of the one that had the port before.
        self._run = os.urandom(4).hex()
        self._changes: Deque[Tuple[int, str, str]] = deque(maxlen=_REMEMBERED)
        self._change = 0
        self._faults = Faults()
        self._refused = 0
        self._thread: Optional[threading.Thread] = None

    def __enter__(self) -> Collector:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Serve in a thread of its own."""
        # Ends quickly: a test waits for it.
        self._thread = threading.Thread(target=self.serve, args=(0.02,), name="glean-collector", daemon=True)
        self._thread.start()

    def serve(self, poll_s: float = 0.2) -> None:
        """Serve in this thread until `close`, or until the user interrupts; looks for both every `poll_s`."""
        self._server.serve_forever(poll_s)

    def close(self) -> None:
        """End every connection, give the port back and close the store."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()
        with self._intake:
            self.store.close()

    # --- pings --------------------------------------------------------------------------------------------------------

    def accept(self, path: str, headers: Headers, data: bytes) -> int:
        """Keep a ping and return its number.

        Raises:
            Refusal: it is none, or there is no room for it.
        """
        # One at a time: what a hostile one takes of the memory is bounded.
        with self._intake:
            ping = submission.read(path, headers, data)
            violations = self.checker.check(ping.body, len(ping.text))
            try:
                number = self.store.add(ping, violations)
            except StoreError as error:
                raise Refusal(507, str(error)) from None
            # Also under the lock: whoever clears forgets what was told, and not what is told next.
            self._announce("ping", self.store.summary(number))
        return number

    def note_refusal(self, refusal: Refusal) -> None:
        """Tell who watches that a submission was refused."""
        with self._changed:
            self._refused += 1
            self._announce("refused", {"status": refusal.status, "reason": refusal.reason, "count": self._refused})

    def pings(self, name: str = "", **filters: Any) -> List[Dict[str, Any]]:
        """Return the pings that are here, the oldest first.

        Args:
            name: the name of the ping; all without it.
            filters: `application`, `client`, `tag`, `metric`, `text`, `since`, as in `/api/pings`.

        Returns:
            Objects with `number`, `document_id`, `application`, `name`, `client_id`, `tag`, `reason`, `seq`,
            `arrived_ms`, `size`, `metrics` (how many), `times`, `violations` (`None` if they were not looked for) and
            `body`.
        """
        return [self._with_body(summary) for summary in self.store.find(Filter(name=name, **filters))]

    def find(self, wanted: Filter) -> Tuple[str, List[Dict[str, Any]]]:
        """Return summaries of pings, the oldest first, and the position from which on changes are none of these."""
        with self._intake:
            return self.position(), self.store.find(wanted)

    def wait_for_pings(
        self, name: str = "", count: int = 1, timeout_s: float = 10.0, **filters: Any
    ) -> List[Dict[str, Any]]:
        """Wait until so many pings are here and return all that are, as `pings` does.

        Raises:
            TimeoutError: they did not come in time; says how many did.
        """
        wanted = Filter(name=name, **filters)
        if not self.wait(wanted, count, timeout_s):
            here = len(self.store.find(wanted))
            others = sorted({each["name"] for each in self.store.find()})
            raise TimeoutError(
                f"{here} of {count} pings{f' {name!r}' if name else ''} arrived within {timeout_s:g} s; "
                f"here are pings {', '.join(others) or '(none at all)'}, and {self._refused} were refused"
            )
        return self.pings(name, **filters)

    def wait(self, wanted: Filter, count: int, timeout_s: float) -> bool:
        """Wait until so many pings are here; return whether they are."""
        end = monotonic() + min(timeout_s, MAX_WAIT_S)
        while True:
            with self._changed:
                seen = self._change
            if len(self.store.find(wanted)) >= count:
                return True
            with self._changed:
                if not self._changed.wait_for(lambda: self._change != seen, max(0.0, end - monotonic())):  # noqa: B023
                    return False

    def _with_body(self, summary: Dict[str, Any]) -> Dict[str, Any]:
        text = self.store.text(summary["number"])
        return {**summary, "body": None if text is None else json.loads(text)}

    def clear(self) -> None:
        """Forget all pings."""
        with self._intake:
            self.store.clear()
            self._announce("cleared", {})

    # --- faults -------------------------------------------------------------------------------------------------------

    @property
    def faults(self) -> Faults:
        """What submissions suffer now."""
        return self._faults

    def fail(
        self, *, status: int = 0, retry_after: int = 0, delay: float = 0.0, cut: bool = False, times: int = 0
    ) -> None:
        """Let submissions fail, see `Faults`; without arguments, none any more.

        Raises:
            Refusal: a number is out of range.
        """
        faults = Faults(status, retry_after, delay, cut, times).check()
        with self._changed:
            self._faults = faults
            self._announce("faults", faults._asdict())

    def take_faults(self) -> Faults:
        """Return what the next submission suffers, and count it."""
        with self._changed:
            faults = self._faults
            if faults.times:
                self._faults = faults._replace(times=faults.times - 1) if faults.times > 1 else Faults()
                self._announce("faults", self._faults._asdict())
        return faults

    # --- who watches --------------------------------------------------------------------------------------------------

    def _announce(self, kind: str, content: Any) -> None:
        text = json.dumps(content)
        with self._changed:
            self._change += 1
            self._changes.append((self._change, kind, text))
            self._changed.notify_all()

    def position(self) -> str:
        """Return where in the changes somebody is who knows everything."""
        return f"{self._run}-{self._change}"

    def changes(self, position: str, timeout_s: float) -> List[Tuple[str, str, str]]:
        """Return what changed since, as position, kind and JSON; nothing after `timeout_s`.

        Of who missed too much to be told, the one change is of the kind `reset`.
        """
        run, _, number = position.partition("-")
        known = submission.whole_number(number)
        with self._changed:
            oldest = self._changes[0][0] if self._changes else self._change + 1
            if run != self._run or known is None or not oldest - 1 <= known <= self._change:
                return [(self.position(), "reset", "{}")]
            self._changed.wait_for(lambda: self._change > known, timeout_s)
            return [(f"{self._run}-{change}", kind, text) for change, kind, text in self._changes if change > known]

    def status(self) -> Dict[str, Any]:
        """Return what the page says about the collector itself."""
        return {
            "collector": "glean_py",
            "version": glean_py.__version__,
            "process": os.getpid(),
            "keep": self.store.keep,
            "store": self.store.path,
            "endpoint": self.endpoint,
            "unchecked": self.checker.missing,
            "registry": self._registry_files,
            "faults": self._faults._asdict(),
            "refused": self._refused,
            "position": self.position(),
        }
