"""Pings."""

from __future__ import annotations

from glean_py import _ffi
from glean_py._json_text import flag, quote, quote_all, to_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, NoReturn, Optional


class PingType:
    """A ping: constructing it registers it, now or when Glean starts; one of the same name is replaced.

    Args:
        name: name of the ping, part of the submission path.
        include_client_id: whether `client_info` has the client id.
        send_if_empty: whether the ping is sent without any metric.
        precise_timestamps: whether times have milliseconds; otherwise they end with the minute.
        include_info_sections: whether the ping has `ping_info` and `client_info`.
        schedules_pings: names of pings that are submitted right after this one, with the same reason.
        reason_codes: the reasons this ping may be submitted for.
        uploader_capabilities: what an uploader has to be able to do to send this ping.
        enabled: whether the ping is enabled from the start.
        follows_collection_enabled: whether the ping is off while collection is off.

    Raises:
        TypeError: an argument has a wrong type.
        UnicodeEncodeError: a text has a lone surrogate.
    """

    _handle: int = 0

    def __init__(
        self,
        name: str,
        include_client_id: bool,
        send_if_empty: bool,
        precise_timestamps: bool,
        include_info_sections: bool,
        schedules_pings: List[str],
        reason_codes: List[str],
        uploader_capabilities: List[str],
        enabled: bool = True,
        follows_collection_enabled: bool = True,
    ) -> None:
        self._name = name
        self._reason_codes = list(reason_codes)
        self._before_submit: Optional[Callable[[Optional[str]], None]] = None
        description = {
            "name": quote(name),
            "include_client_id": flag(include_client_id),
            "send_if_empty": flag(send_if_empty),
            "precise_timestamps": flag(precise_timestamps),
            "include_info_sections": flag(include_info_sections),
            "schedules_pings": quote_all(schedules_pings),
            "reason_codes": quote_all(self._reason_codes),
            "uploader_capabilities": quote_all(uploader_capabilities),
            "enabled": flag(enabled),
            "follows_collection_enabled": flag(follows_collection_enabled),
        }
        self._handle = _ffi.make(_ffi.lib.glean_ping_new, to_object(description))

    # Default values outlive the globals of this module and the library, for pings that are released at the very end.
    def __del__(self, _destroy: Any = _ffi.lib.glean_ping_destroy, _lib: Any = _ffi.lib) -> None:
        if self._handle:
            _destroy(self._handle)

    def __reduce__(self) -> NoReturn:
        # The copy would release the handle of the original, or submit whatever has the same handle elsewhere.
        raise TypeError("PingType cannot be copied or pickled; make another one of the same name")

    @property
    def name(self) -> str:
        """The name of the ping."""
        return self._name

    def submit(self, reason: Optional[int] = None) -> None:
        """Make a ping of what is stored for it; it is sent as soon as that is possible.

        Args:
            reason: an index into `reason_codes`, as `ReasonCodes.X.value`.

        Raises:
            IndexError: no reason has this index.
            TypeError: the reason isn't an integer.
        """
        code = None if reason is None else self._reason_codes[reason]
        callback, self._before_submit = self._before_submit, None
        if callback is not None:
            callback(code)
        data = _ffi.NULL if code is None else code.encode()
        _ffi.finish_submission(_ffi.lib.glean_ping_submit(self._handle, data, 0 if code is None else len(data)))

    def set_enabled(self, enabled: bool) -> None:
        """Switch this ping on or off; off removes its values and its files that wait for upload."""
        _ffi.finish(_ffi.lib.glean_ping_set_enabled(self._handle, 1 if enabled else 0))

    def test_before_next_submit(self, cb: Callable[[Optional[str]], None]) -> None:
        """Call `cb(reason)` once, right before the next `submit`, even if the ping turns out to be empty."""
        self._before_submit = cb
