"""The functions below the classes, under the names of peers. Programs use `Glean` and `metrics`."""

from __future__ import annotations

from glean_py import _ffi, metrics
from glean_py._listeners import GleanEventListener
from glean_py.config import DEFAULT_MAX_EVENTS, Configuration, SessionMode
from glean_py.glean import Glean, describe_start
from glean_py.metrics.attribution import AttributionMetrics, DistributionMetrics
from glean_py.metrics.common import (
    BaseMetric,
    CommonMetricData,
    DistributionData,
    ErrorType,
    HistogramType,
    Lifetime,
    MemoryUnit,
    TimeUnit,
    Value,
)
from glean_py.metrics.event import RecordedEvent, SessionMetadata
from glean_py.metrics.experiment import RecordedExperiment
from glean_py.metrics.labeled import LabeledMetricData
from glean_py.metrics.rate import Rate
from glean_py.metrics.timing_distribution import TimerId
from glean_py.net.ping_upload_worker import NO_ENDPOINT, PingRequest, PingUploadTask, UploadTaskAction, open_directory
from glean_py.net.ping_upload_worker import get_upload_task as _get_upload_task
from glean_py.net.ping_upload_worker import process_ping_upload_response as glean_process_ping_upload_response
from glean_py.net.ping_uploader import UploadResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

__all__ = [
    "AttributionMetrics",
    "ClientInfoMetrics",
    "CommonMetricData",
    "Datetime",
    "DistributionData",
    "DistributionMetrics",
    "ErrorType",
    "GleanEventListener",
    "HistogramType",
    "InternalConfiguration",
    "LabeledMetricData",
    "Lifetime",
    "MemoryUnit",
    "OnGleanEvents",
    "PingRateLimit",
    "PingRequest",
    "PingUploadTask",
    "Rate",
    "RecordedEvent",
    "RecordedExperiment",
    "SessionMetadata",
    "SessionMode",
    "SubmittedPing",
    "TimeUnit",
    "TimerId",
    "UploadResult",
    "UploadTaskAction",
    "glean_apply_server_knobs_config",
    "glean_clear_attribution",
    "glean_clear_distribution",
    "glean_clear_stored_submitted_pings",
    "glean_enable_logging",
    "glean_enable_logging_to_fd",
    "glean_get_all_stored_submitted_pings",
    "glean_get_debug_view_tag",
    "glean_get_log_pings",
    "glean_get_registered_ping_names",
    "glean_get_stored_submitted_pings_by_name",
    "glean_get_upload_task",
    "glean_handle_client_active",
    "glean_handle_client_inactive",
    "glean_initialize",
    "glean_initialize_for_subprocess",
    "glean_persist_ping_lifetime_data",
    "glean_process_ping_upload_response",
    "glean_register_event_listener",
    "glean_session_end",
    "glean_session_start",
    "glean_set_debug_view_tag",
    "glean_set_dirty_flag",
    "glean_set_experiment_active",
    "glean_set_experiment_inactive",
    "glean_set_experimentation_id",
    "glean_set_log_pings",
    "glean_set_source_tags",
    "glean_set_store_submitted_pings_enabled",
    "glean_set_test_mode",
    "glean_set_upload_enabled",
    "glean_shutdown",
    "glean_submit_ping_by_name",
    "glean_submit_ping_by_name_sync",
    "glean_test_destroy_glean",
    "glean_test_get_attribution",
    "glean_test_get_distribution",
    "glean_test_get_experiment_data",
    "glean_test_get_experimentation_id",
    "glean_unregister_event_listener",
    "glean_update_attribution",
    "glean_update_distribution",
]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return one of the classes that the loop below finds."""

else:
    # These classes are what peers generate; other types have one around that, whose parameters are called otherwise.
    for _word in metrics.TYPES:
        _class = getattr(metrics, metrics.class_name(_word))
        if issubclass(_class, BaseMetric):
            _name = _class.__name__[: -len("Type")]
            globals()[_name] = _class
            __all__.append(_name)


class OnGleanEvents:
    """Base of the classes whose objects hear of what the core does."""

    def initialize_finished(self) -> None:
        """Hear that the core was started."""

    def trigger_upload(self) -> None:
        """Hear that pings wait for upload; not called: `glean_get_upload_task` hands them out."""

    def start_metrics_ping_scheduler(self) -> bool:
        """Start a schedule for the ping `metrics`; not called."""
        return False

    def cancel_uploads(self) -> None:
        """Hear that uploads have to stop; not called."""

    def shutdown(self) -> None:
        """Hear that the core ends; not called."""


class Datetime(Value):
    """A point in time with its offset from UTC."""

    def __init__(
        self,
        *,
        year: int,
        month: int,
        day: int,
        hour: int,
        minute: int,
        second: int,
        nanosecond: int,
        offset_seconds: int,
    ) -> None:
        self.year = year
        self.month = month
        self.day = day
        self.hour = hour
        self.minute = minute
        self.second = second
        self.nanosecond = nanosecond
        self.offset_seconds = offset_seconds


class ClientInfoMetrics(Value):
    """What pings tell of the application and the machine; of these, `app_build_date` and devices are not sent."""

    def __init__(
        self,
        *,
        app_build: str,
        app_display_version: str,
        app_build_date: Datetime,
        architecture: str,
        os_version: str,
        channel: Optional[str] = None,
        locale: Optional[str] = None,
        device_manufacturer: Optional[str] = None,
        device_model: Optional[str] = None,
        android_sdk_version: Optional[str] = None,
        windows_build_number: Optional[int] = None,
    ) -> None:
        self.app_build = app_build
        self.app_display_version = app_display_version
        self.app_build_date = app_build_date
        self.architecture = architecture
        self.os_version = os_version
        self.channel = channel
        self.locale = locale
        self.device_manufacturer = device_manufacturer
        self.device_model = device_model
        self.android_sdk_version = android_sdk_version
        self.windows_build_number = windows_build_number


class PingRateLimit(Value):
    """How many pings may be sent in how much time."""

    def __init__(self, *, seconds_per_interval: int, pings_per_interval: int) -> None:
        self.seconds_per_interval = seconds_per_interval
        self.pings_per_interval = pings_per_interval


class InternalConfiguration(Value):
    """All choices that peers' cores offer; this one has no use for those that concern schedules and delayed writes."""

    def __init__(
        self,
        *,
        data_path: str,
        application_id: str,
        language_binding_name: str,
        upload_enabled: bool,
        max_events: Optional[int],
        delay_ping_lifetime_io: bool,
        app_build: str,
        use_core_mps: bool,
        trim_data_to_registered_pings: bool,
        log_level: Optional[Any],
        rate_limit: Optional[PingRateLimit],
        enable_event_timestamps: bool,
        experimentation_id: Optional[str],
        enable_internal_pings: bool,
        ping_schedule: Dict[str, List[str]],
        ping_lifetime_threshold: int,
        ping_lifetime_max_time: int,
        max_pending_pings_count: Optional[int],
        max_pending_pings_directory_size: Optional[int],
        session_mode: SessionMode,
        session_sample_rate: float,
        session_inactivity_timeout_ms: int,
        events_ping_acceleration_factor: Optional[int],
        enable_store_submitted_pings: bool = False,
    ) -> None:
        self.data_path = data_path
        self.application_id = application_id
        self.language_binding_name = language_binding_name
        self.upload_enabled = upload_enabled
        self.max_events = max_events
        self.delay_ping_lifetime_io = delay_ping_lifetime_io
        self.app_build = app_build
        self.use_core_mps = use_core_mps
        self.trim_data_to_registered_pings = trim_data_to_registered_pings
        self.log_level = log_level
        self.rate_limit = rate_limit
        self.enable_event_timestamps = enable_event_timestamps
        self.experimentation_id = experimentation_id
        self.enable_internal_pings = enable_internal_pings
        self.ping_schedule = ping_schedule
        self.ping_lifetime_threshold = ping_lifetime_threshold
        self.ping_lifetime_max_time = ping_lifetime_max_time
        self.max_pending_pings_count = max_pending_pings_count
        self.max_pending_pings_directory_size = max_pending_pings_directory_size
        self.session_mode = session_mode
        self.session_sample_rate = session_sample_rate
        self.session_inactivity_timeout_ms = session_inactivity_timeout_ms
        self.events_ping_acceleration_factor = events_ping_acceleration_factor
        self.enable_store_submitted_pings = enable_store_submitted_pings


class SubmittedPing(Value):
    """A ping that was submitted and remembered; dates are RFC 3339 texts, the payload is what `json.loads` returns."""

    def __init__(
        self,
        *,
        document_id: str,
        ping: str,
        submitted_date: str,
        uploaded_date: Optional[str],
        upload_failed: Optional[str],
        payload: Optional[Any],
    ) -> None:
        self.document_id = document_id
        self.ping = ping
        self.submitted_date = submitted_date
        self.uploaded_date = uploaded_date
        self.upload_failed = upload_failed
        self.payload = payload


def glean_initialize(cfg: InternalConfiguration, client_info: ClientInfoMetrics, callbacks: OnGleanEvents) -> None:
    """Start the core without `Glean`, which then doesn't know of it.

    Raises:
        TypeError: a field has a wrong type.
        ValueError: a number is out of range.
        UnicodeEncodeError: a text has a lone surrogate.
    """
    configuration = Configuration(
        channel=client_info.channel,
        max_events=DEFAULT_MAX_EVENTS if cfg.max_events is None else cfg.max_events,
        enable_event_timestamps=cfg.enable_event_timestamps,
        experimentation_id=cfg.experimentation_id,
        enable_internal_pings=cfg.enable_internal_pings,
        max_pending_pings_count=cfg.max_pending_pings_count,
        max_pending_pings_directory_size=cfg.max_pending_pings_directory_size,
        session_mode=cfg.session_mode,
        session_sample_rate=cfg.session_sample_rate,
        session_inactivity_timeout_ms=cfg.session_inactivity_timeout_ms,
        events_ping_acceleration_factor=cfg.events_ping_acceleration_factor,
    )
    if cfg.rate_limit is not None:
        configuration._rate_limit = (cfg.rate_limit.seconds_per_interval, cfg.rate_limit.pings_per_interval)
    description = describe_start(
        configuration,
        data_dir=cfg.data_path,
        application_id=cfg.application_id,
        app_display_version=client_info.app_display_version,
        app_build=client_info.app_build,
        upload_enabled=cfg.upload_enabled,
        test_mode=False,
        architecture=client_info.architecture,
        os_version=client_info.os_version,
        locale=client_info.locale,
        windows_build_number=client_info.windows_build_number,
    )
    glean_set_store_submitted_pings_enabled(cfg.enable_store_submitted_pings)
    _ffi.lib.glean_log_set_level(_ffi.log_level())
    _ffi.record(_ffi.lib.glean_initialize, description)
    callbacks.initialize_finished()


def glean_initialize_for_subprocess(cfg: InternalConfiguration) -> bool:
    """Get ready to send what waits in a data directory, without recording there; return whether that works.

    Raises:
        TypeError: a field has a wrong type.
    """
    limits = {
        "max_pending_pings_count": cfg.max_pending_pings_count,
        "max_pending_pings_directory_size": cfg.max_pending_pings_directory_size,
    }
    status = open_directory(cfg.data_path, cfg.application_id, limits, is_exclusive=False)
    return _ffi.is_status(status, _ffi.lib.GLEAN_OK)


def glean_get_upload_task() -> PingUploadTask:
    """Return what an uploader is to do next; the result of a ping goes to `glean_process_ping_upload_response`."""
    return _get_upload_task(NO_ENDPOINT)


def glean_shutdown() -> None:
    """Do what `Glean.shutdown` does."""
    Glean.shutdown()


def glean_enable_logging() -> None:
    """Do nothing: log messages go to the logger `glean_py` in any case."""


def glean_enable_logging_to_fd(fd: int) -> None:
    """Do nothing: log messages go to the logger `glean_py`, which can be given a handler that writes to a file."""


def glean_set_upload_enabled(enabled: bool) -> None:
    """Do what `Glean.set_collection_enabled` does."""
    Glean.set_collection_enabled(enabled)


def glean_set_experiment_active(experiment_id: str, branch: str, extra: Dict[str, str]) -> None:
    """Do what `Glean.set_experiment_active` does."""
    Glean.set_experiment_active(experiment_id, branch, extra)


def glean_set_experiment_inactive(experiment_id: str) -> None:
    """Do what `Glean.set_experiment_inactive` does."""
    Glean.set_experiment_inactive(experiment_id)


def glean_test_get_experiment_data(experiment_id: str) -> Optional[RecordedExperiment]:
    """Return branch and extras of an experiment; `None` if it isn't active.

    Raises:
        RuntimeError: Glean doesn't run.
    """
    return Glean.test_get_experiment_data(experiment_id) if Glean.test_is_experiment_active(experiment_id) else None


def glean_set_experimentation_id(experimentation_id: str) -> None:
    """Do what `Glean.set_experimentation_id` does."""
    Glean.set_experimentation_id(experimentation_id)


def glean_test_get_experimentation_id() -> Optional[str]:
    """Return the tag that every ping with a client id gets; `None` if there is none.

    Raises:
        RuntimeError: Glean doesn't run.
    """
    return _ffi.read_text(_ffi.lib.glean_test_get_experimentation_id)


def glean_register_event_listener(tag: str, listener: GleanEventListener) -> None:
    """Do what `Glean.register_event_listener` does."""
    Glean.register_event_listener(tag, listener)


def glean_unregister_event_listener(tag: str) -> None:
    """Do what `Glean.unregister_event_listener` does."""
    Glean.unregister_event_listener(tag)


def glean_apply_server_knobs_config(json: str) -> None:
    """Do what `Glean.apply_server_knobs_config` does."""
    Glean.apply_server_knobs_config(json)


def glean_set_debug_view_tag(tag: str) -> bool:
    """Do what `Glean.set_debug_view_tag` does."""
    return Glean.set_debug_view_tag(tag)


def glean_get_debug_view_tag() -> Optional[str]:
    """Return the tag that marks all pings; `None` if there is none."""
    return _ffi.read_text(_ffi.lib.glean_get_debug_view_tag)


def glean_set_source_tags(tags: List[str]) -> bool:
    """Do what `Glean.set_source_tags` does."""
    return Glean.set_source_tags(tags)


def glean_set_log_pings(value: bool) -> None:
    """Do what `Glean.set_log_pings` does."""
    Glean.set_log_pings(value)


def glean_get_log_pings() -> bool:
    """Return whether the content of pings is logged."""
    out = _ffi.ffi.new("uint8_t *")
    _ffi.check(_ffi.lib.glean_get_log_pings(out))
    return bool(out[0])


def glean_get_registered_ping_names() -> List[str]:
    """Return the names of all pings, the built-in ones among them.

    Raises:
        RuntimeError: Glean doesn't run.
    """
    return _ffi.read_json(_ffi.lib.glean_get_registered_ping_names) or []


def glean_persist_ping_lifetime_data() -> None:
    """Write everything to disk; recordings are safe from a kill of the process without it."""
    _ffi.finish(_ffi.lib.glean_persist_ping_lifetime_data())


def glean_handle_client_active() -> None:
    """Do what `Glean.handle_client_active` does."""
    Glean.handle_client_active()


def glean_handle_client_inactive() -> None:
    """Do what `Glean.handle_client_inactive` does."""
    Glean.handle_client_inactive()


def glean_session_start() -> None:
    """Do what `Glean.session_start` does."""
    Glean.session_start()


def glean_session_end(reason: Optional[str] = None) -> None:
    """Do what `Glean.session_end` does."""
    Glean.session_end(reason)


def glean_submit_ping_by_name(ping_name: str, reason: Optional[str] = None) -> None:
    """Submit the ping of a name, for pings without an object such as `metrics`.

    Raises:
        TypeError: something is no `str`.
        UnicodeEncodeError: a text has a lone surrogate.
    """
    name, text, length = _name_and_reason(ping_name, reason)
    _ffi.finish_submission(_ffi.lib.glean_submit_ping_by_name(name, len(name), text, length))


def glean_submit_ping_by_name_sync(ping_name: str, reason: Optional[str] = None) -> bool:
    """Submit the ping of a name now and return whether there is a ping file; `False` before `initialize`.

    Raises:
        TypeError: something is no `str`.
        UnicodeEncodeError: a text has a lone surrogate.
    """
    name, text, length = _name_and_reason(ping_name, reason)
    out = _ffi.ffi.new("uint8_t *")
    _ffi.finish(_ffi.lib.glean_submit_ping_by_name_sync(name, len(name), text, length, out))
    return bool(out[0])


def glean_set_test_mode(enabled: bool) -> None:
    """Choose whether `initialize` waits until the core runs."""
    _ffi.finish(_ffi.lib.glean_set_test_mode(1 if enabled else 0))


def glean_test_destroy_glean(clear_stores: bool, data_path: Optional[str] = None) -> None:
    """End the core, so that it can be started again; with `clear_stores`, remove the data directory given."""
    _ffi.finish(_ffi.lib.glean_reset())
    _ffi.drain_log()
    if clear_stores and data_path is not None:
        import shutil

        shutil.rmtree(data_path, ignore_errors=True)


def glean_set_dirty_flag(flag: bool) -> None:
    """Note whether the application is in use, so that the next start knows whether this run ended properly."""
    _ffi.finish(_ffi.lib.glean_set_dirty_flag(1 if flag else 0))


def glean_update_attribution(attribution: AttributionMetrics) -> None:
    """Do what `Glean.update_attribution` does."""
    Glean.update_attribution(attribution)


def glean_clear_attribution() -> None:
    """Do what `Glean.clear_attribution` does."""
    Glean.clear_attribution()


def glean_test_get_attribution() -> AttributionMetrics:
    """Do what `Glean.test_get_attribution` does."""
    return Glean.test_get_attribution()


def glean_update_distribution(distribution: DistributionMetrics) -> None:
    """Do what `Glean.update_distribution` does."""
    Glean.update_distribution(distribution)


def glean_clear_distribution() -> None:
    """Do what `Glean.clear_distribution` does."""
    Glean.clear_distribution()


def glean_test_get_distribution() -> DistributionMetrics:
    """Do what `Glean.test_get_distribution` does."""
    return Glean.test_get_distribution()


def glean_set_store_submitted_pings_enabled(enabled: bool) -> None:
    """Choose whether submitted pings are remembered; off at start."""
    _ffi.finish(_ffi.lib.glean_set_store_submitted_pings_enabled(1 if enabled else 0))


def glean_get_all_stored_submitted_pings() -> List[SubmittedPing]:
    """Return the pings that were remembered.

    Raises:
        RuntimeError: Glean doesn't run.
    """
    return _to_submitted_pings(_ffi.read_json(_ffi.lib.glean_get_all_stored_submitted_pings))


def glean_get_stored_submitted_pings_by_name(ping: str) -> List[SubmittedPing]:
    """Return the pings of one name that were remembered.

    Raises:
        TypeError: not a `str`.
        RuntimeError: Glean doesn't run.
    """
    name = _ffi.to_utf8(ping)
    return _to_submitted_pings(_ffi.read_json(_ffi.lib.glean_get_stored_submitted_pings_by_name, name, len(name)))


def glean_clear_stored_submitted_pings() -> None:
    """Forget the pings that were remembered."""
    _ffi.finish(_ffi.lib.glean_clear_stored_submitted_pings())


def _name_and_reason(ping_name: str, reason: Optional[str]) -> Tuple[bytes, Any, int]:
    name = _ffi.to_utf8(ping_name)
    if reason is None:
        return name, _ffi.NULL, 0
    text = _ffi.to_utf8(reason)
    return name, text, len(text)


def _to_submitted_pings(data: Any) -> List[SubmittedPing]:
    return [
        SubmittedPing(
            document_id=ping["document_id"],
            ping=ping["ping"],
            submitted_date=ping["submitted_date"],
            uploaded_date=ping.get("uploaded_date"),
            upload_failed=ping.get("upload_failed"),
            payload=ping.get("payload"),
        )
        for ping in data or []
    ]
