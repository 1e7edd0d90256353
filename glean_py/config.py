"""What an application can choose: `Configuration`."""

from __future__ import annotations

import enum

from glean_py import _ffi
from glean_py._util import get_debug_collector

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

    from glean_py.net.ping_uploader import PingUploader

# There is no server of this package: what a program doesn't address leaves no machine.
DEFAULT_TELEMETRY_ENDPOINT = ""
DEFAULT_MAX_EVENTS = 500
DEFAULT_SESSION_INACTIVITY_TIMEOUT_MS = 1_800_000
DEFAULT_SHUTDOWN_TIMEOUT_S = 2.0


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
        server_endpoint: where pings are sent: `https://host`, to which `/submit/...` is appended. Without it nothing is
            sent; the default is `DEFAULT_TELEMETRY_ENDPOINT`, read when this is constructed.
        channel: release channel, `client_info.app_channel`.
        max_events: number of events that trigger the `events` ping.
        ping_uploader: the object that sends pings, see `glean_py.net.PingUploader`; by default an
            `glean_py.net.HttpClientUploader`. One of the program's own also works without `server_endpoint`; the URL is
            the path alone then.
        allow_multiprocessing: whether what waits when the program ends may be sent by a process of its own, so that the
            end takes no time. It is started only where `sys.executable` is a Python, and `ping_uploader` the default.
        enable_event_timestamps: whether events carry the wall-clock time.
        experimentation_id: tag added to every ping that has a client id.
        enable_internal_pings: whether `baseline`, `metrics`, `events` and `health` start enabled.
        max_pending_pings_count: most pings that wait for upload; `None` for the core's choice.
        max_pending_pings_directory_size: most bytes of pings that wait for upload; `None` for the core's choice.
        session_mode: who begins and ends sessions.
        session_sample_rate: part of the sessions that is recorded; less than 0 counts as 0, more than 1 as 1.
        session_inactivity_timeout_ms: milliseconds after which a session ends; 0 for never.
        events_ping_acceleration_factor: divides `max_events`; `None` for 1.
        shutdown_timeout_s: seconds that `Glean.shutdown` and the end of the program may take for sending pings
            altogether.
        schedule_metrics_ping: whether the ping `metrics` is submitted once a day, at 4 o'clock local time or at the
            first start after it, and after an upgrade.
    """

    def __init__(
        self,
        server_endpoint: Optional[str] = None,
        channel: Optional[str] = None,
        max_events: int = DEFAULT_MAX_EVENTS,
        ping_uploader: Optional[PingUploader] = None,
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
        shutdown_timeout_s: float = DEFAULT_SHUTDOWN_TIMEOUT_S,
        schedule_metrics_ping: bool = False,
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
        self._shutdown_timeout_s = shutdown_timeout_s
        self._schedule_metrics_ping = schedule_metrics_ping
        # Seconds and the pings that may be sent in them; the core knows what is good for servers.
        self._rate_limit: Optional[Tuple[int, int]] = None

    @property
    def server_endpoint(self) -> str:
        """Where pings are sent; a change counts from the next upload."""
        return self._server_endpoint

    @server_endpoint.setter
    def server_endpoint(self, value: str) -> None:
        self._server_endpoint = value
        self._tell_uploads()

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
    def ping_uploader(self) -> PingUploader:
        """The object that sends pings; a change counts from the next upload."""
        if self._ping_uploader is None:
            from glean_py.net.http_client import HttpClientUploader

            self._ping_uploader = HttpClientUploader()
        return self._ping_uploader

    @ping_uploader.setter
    def ping_uploader(self, value: Optional[PingUploader]) -> None:
        self._ping_uploader = value
        self._tell_uploads()

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

    @property
    def shutdown_timeout_s(self) -> float:
        """The seconds that the end of Glean may take for sending pings."""
        return self._shutdown_timeout_s

    @property
    def schedule_metrics_ping(self) -> bool:
        """Whether the ping `metrics` is submitted once a day."""
        return self._schedule_metrics_ping

    def _has_destination(self) -> bool:
        """Return whether pings have somewhere to go: a server, an uploader that may know one, a collector."""
        is_elsewhere = self._ping_uploader is not None or bool(get_debug_collector())
        return bool(self._server_endpoint) or is_elsewhere

    def _tell_uploads(self) -> None:
        """Let a Glean that runs with this configuration begin to send, if it was waiting for where to."""
        from glean_py.glean import Glean

        if getattr(Glean, "_configuration", None) is self:
            Glean._start_uploads()
