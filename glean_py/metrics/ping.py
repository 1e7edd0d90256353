"""Pings."""

from __future__ import annotations

from typing import Callable, List, Optional

from glean_py import _ffi


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
        arguments = _ffi.Arguments()
        fields = {
            "name": arguments.text(name),
            "schedules_pings": arguments.texts(schedules_pings),
            "schedules_pings_len": len(schedules_pings),
            "reason_codes": arguments.texts(reason_codes),
            "reason_codes_len": len(reason_codes),
            "uploader_capabilities": arguments.texts(uploader_capabilities),
            "uploader_capabilities_len": len(uploader_capabilities),
            "include_client_id": bool(include_client_id),
            "send_if_empty": bool(send_if_empty),
            "precise_timestamps": bool(precise_timestamps),
            "include_info_sections": bool(include_info_sections),
            "enabled": bool(enabled),
            "follows_collection_enabled": bool(follows_collection_enabled),
        }
        self._handle = _ffi.create("ping", "GleanPingDefinition *", fields)

    def __del__(self) -> None:
        if self._handle:
            _ffi.destroy("ping", self._handle)

    @property
    def name(self) -> str:
        """The name of the ping."""
        return self._name

    def submit(self, reason: Optional[int] = None) -> None:
        """Write what is stored for this ping to a file that waits for upload.

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
        if code is None:
            _ffi.record(_ffi.lib.glean_ping_submit(self._handle, _ffi.NULL, 0))
        else:
            data = _ffi.to_utf8(code)
            _ffi.record(_ffi.lib.glean_ping_submit(self._handle, data, len(data)))

    def set_enabled(self, enabled: bool) -> None:
        """Switch this ping on or off; off removes its values and its files that wait for upload."""
        _ffi.record(_ffi.lib.glean_ping_set_enabled(self._handle, 1 if enabled else 0))

    def test_before_next_submit(self, callback: Callable[[Optional[str]], None]) -> None:
        """Call `callback(reason)` once, right before the next `submit`, even if the ping turns out to be empty."""
        self._before_submit = callback
