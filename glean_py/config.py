"""What an application can choose: `Configuration`."""

from __future__ import annotations

import enum

from glean_py import _ffi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

DEFAULT_TELEMETRY_ENDPOINT = "https://incoming.telemetry.mozilla.org"
DEFAULT_MAX_EVENTS = 500
DEFAULT_SESSION_INACTIVITY_TIMEOUT_MS = 1_800_000


class SessionMode(enum.Enum):
    """Who begins and ends sessions."""

    AUTO = 0
    """Activity does; a session goes on after a pause shorter than the timeout."""
    LIFECYCLE = 1
    """Activity does; each pause ends a session."""
    MANUAL = 2
    """`Glean.session_start` and `Glean.session_end` do."""


class Configuration:
    """The choices of an application, handed to `Glean.initialize`.

    Args:
        server_endpoint: where pings are sent; default `DEFAULT_TELEMETRY_ENDPOINT`, read when this is constructed.
        channel: release channel, `client_info.app_channel`.
        max_events: number of events that trigger the `events` ping.
        ping_uploader: the object that sends pings; kept, but not used yet: this version sends none. By default `None`.
        allow_multiprocessing: whether pings may be sent from a process of their own.
        enable_event_timestamps: whether events carry the wall-clock time.
        experimentation_id: tag added to every ping that has a client id.
        enable_internal_pings: whether `baseline`, `metrics`, `events` and `health` start enabled.
        max_pending_pings_count: most pings that wait for upload; `None` for the core's choice.
        max_pending_pings_directory_size: most bytes of pings that wait for upload; `None` for the core's choice.
        session_mode: who begins and ends sessions.
        session_sample_rate: part of the sessions that is recorded; less than 0 counts as 0, more than 1 as 1.
        session_inactivity_timeout_ms: milliseconds after which a session ends; 0 for never.
        events_ping_acceleration_factor: divides `max_events`; `None` for 1.
    """

    def __init__(
        self,
        server_endpoint: Optional[str] = None,
        channel: Optional[str] = None,
        max_events: int = DEFAULT_MAX_EVENTS,
        ping_uploader: Optional[Any] = None,
        allow_multiprocessing: bool = True,
        enable_event_timestamps: bool = True,
        experimentation_id: Optional[str] = None,
        enable_internal_pings: bool = True,
        max_pending_pings_count: Optional[int] = None,
        max_pending_pings_directory_size: Optional[int] = None,
        session_mode: SessionMode = SessionMode.AUTO,
        session_sample_rate: float = 1.0,
        session_inactivity_timeout_ms: int = DEFAULT_SESSION_INACTIVITY_TIMEOUT_MS,
        events_ping_acceleration_factor: Optional[int] = None,
    ) -> None:
        self._server_endpoint = DEFAULT_TELEMETRY_ENDPOINT if server_endpoint is None else server_endpoint
        self._channel = channel
        self._max_events = max_events
        self._ping_uploader = ping_uploader
        self._allow_multiprocessing = allow_multiprocessing
        self._enable_event_timestamps = enable_event_timestamps
        self._experimentation_id = experimentation_id
        self._enable_internal_pings = enable_internal_pings
        self._max_pending_pings_count = max_pending_pings_count
        self._max_pending_pings_directory_size = max_pending_pings_directory_size
        self._session_mode = session_mode
        self._session_sample_rate = session_sample_rate
        self._session_inactivity_timeout_ms = session_inactivity_timeout_ms
        self._events_ping_acceleration_factor = events_ping_acceleration_factor

    @property
    def server_endpoint(self) -> str:
        """Where pings are sent; a change counts from the next upload."""
        return self._server_endpoint

    @server_endpoint.setter
    def server_endpoint(self, value: str) -> None:
        self._server_endpoint = value

    @property
    def channel(self) -> Optional[str]:
        """The release channel; setting it records `client_info.app_channel`."""
        return self._channel

    @channel.setter
    def channel(self, value: Optional[str]) -> None:
        self._channel = value
        if value is not None:
            _ffi.record(_ffi.lib.glean_set_app_channel, _ffi.to_utf8(value))

    @property
    def max_events(self) -> int:
        """The number of events that trigger the `events` ping."""
        return self._max_events

    @property
    def ping_uploader(self) -> Optional[Any]:
        """The object that sends pings; `None` if the application gave none, as this version sends none itself."""
        return self._ping_uploader

    @ping_uploader.setter
    def ping_uploader(self, value: Optional[Any]) -> None:
        self._ping_uploader = value

    @property
    def enable_event_timestamps(self) -> bool:
        """Whether events carry the wall-clock time."""
        return self._enable_event_timestamps

    @property
    def experimentation_id(self) -> Optional[str]:
        """The tag added to every ping that has a client id."""
        return self._experimentation_id

    @property
    def enable_internal_pings(self) -> bool:
        """Whether `baseline`, `metrics`, `events` and `health` start enabled."""
        return self._enable_internal_pings

    @property
    def max_pending_pings_count(self) -> Optional[int]:
        """The most pings that wait for upload."""
        return self._max_pending_pings_count

    @property
    def max_pending_pings_directory_size(self) -> Optional[int]:
        """The most bytes of pings that wait for upload."""
        return self._max_pending_pings_directory_size

    @property
    def session_mode(self) -> SessionMode:
        """Who begins and ends sessions."""
        return self._session_mode

    @property
    def session_sample_rate(self) -> float:
        """The part of the sessions that is recorded, 0 to 1."""
        return self._session_sample_rate

    @property
    def session_inactivity_timeout_ms(self) -> int:
        """The milliseconds after which a session ends; 0 for never."""
        return self._session_inactivity_timeout_ms

    @property
    def events_ping_acceleration_factor(self) -> Optional[int]:
        """What divides `max_events`."""
        return self._events_ping_acceleration_factor
