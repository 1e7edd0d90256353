"""The class `Glean`: start, stop and switch telemetry."""

from __future__ import annotations

import atexit
import os
import sys
from _thread import RLock
from time import monotonic

from glean_py import _ffi
from glean_py._json_text import flag, integer, optional, quote, quote_all, quote_map, to_object
from glean_py._util import classproperty, get_architecture, get_locale_tag, get_os_version, get_windows_build_number
from glean_py.config import Configuration, SessionMode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Optional, Tuple, Type, Union

    from glean_py._listeners import GleanEventListener
    from glean_py.metrics.attribution import AttributionMetrics, DistributionMetrics
    from glean_py.metrics.experiment import RecordedExperiment

__all__ = ["Glean"]

_INFO, _WARNING = 20, 30


class OnGleanEventsImpl:
    """What the cores of peers ask for; this one wakes the upload thread and keeps the schedule by itself."""

    def __init__(self, glean: Type[Glean]) -> None:
        self.glean = glean

    def initialize_finished(self) -> None:
        """Note that Glean started."""
        self.glean._init_finished = True

    def trigger_upload(self) -> None:
        """Send what waits."""
        from glean_py.net.ping_upload_worker import PingUploadWorker

        PingUploadWorker.process(self.glean._testing_mode)

    def start_metrics_ping_scheduler(self) -> bool:
        """Return that there is no schedule but that of `Configuration.schedule_metrics_ping`."""
        return False

    def cancel_uploads(self) -> None:
        """Do nothing: the core removes what may not be sent."""

    def shutdown(self) -> None:
        """Do nothing."""


class Glean:
    """The one Glean of this process; everything is a class method.

    A process made by `os.fork()` goes on recording into the same data directory; the next ping, whichever process
    assembles it, has its recordings too. Subinterpreters that share the GIL of the main one also share its Glean: the
    first `initialize` counts.
    """

    _initialized: bool = False
    _init_finished: bool = False
    _init_lock: Any = RLock()
    # Unset before the first `initialize`.
    _configuration: Configuration
    _data_dir: Any = None
    # The process whose temporary directory the data directory is: this one removes it.
    _destroy_data_dir: bool = False
    _owner_pid: int = 0
    _testing_mode: bool = False
    # The process that records, its application, and whether it sends pings.
    _pid: int = 0
    _application_id: str = ""
    _data_path: str = ""
    _is_running: bool = False
    # When all of shutdown has to be over, on the clock of `monotonic`; the first call says it for all that follow.
    _deadline: Optional[float] = None
    _simple_log_level: Optional[int] = None

    @classmethod
    def initialize(
        cls,
        application_id: str,
        application_version: str,
        upload_enabled: bool,
        configuration: Optional[Configuration] = None,
        data_dir: Optional[Union[str, os.PathLike[str]]] = None,
        application_build_id: Optional[str] = None,
        log_level: Optional[int] = None,
    ) -> None:
        """Start Glean; recordings made before are stored, in their order. A second call changes nothing.

        Returns at once; the core opens its files in a thread of its own, and another one sends pings if the
        configuration says where to. A data directory that cannot be used is logged as an error and leaves Glean off:
        recordings do nothing, the host program isn't disturbed. With `DO_NOT_TRACK` in the environment Glean is off as
        well, and touches no file.

        Args:
            application_id: part of the submission path; must not be empty.
            application_version: version shown to users; `None` is sent as `Unknown`.
            upload_enabled: whether anything is recorded and sent.
            configuration: the other choices.
            data_dir: directory for everything Glean keeps; made if missing. Several processes may use it.
            application_build_id: `None` is sent as `Unknown`.
            log_level: a level of `logging`, handed to `logging.basicConfig`.

        Raises:
            TypeError: no `data_dir`, or an argument of a wrong type.
            ValueError: a number of the configuration is out of range.
            UnicodeEncodeError: a text has a lone surrogate.
        """
        if log_level is not None:
            import logging

            logging.basicConfig(level=log_level)
            cls._simple_log_level = log_level
        with cls._init_lock:
            if cls._initialized:
                cls._refuse_second(application_id)
                return
            if data_dir is None:
                raise TypeError("data_dir is needed: the directory for everything Glean keeps")
            if configuration is None:
                configuration = Configuration()
            description = describe_start(
                configuration,
                data_dir=data_dir,
                application_id=application_id,
                app_display_version=application_version,
                app_build=application_build_id,
                upload_enabled=upload_enabled,
                windows_build_number=get_windows_build_number(),
                test_mode=cls._testing_mode,
            )
            cls._configuration = configuration
            cls._data_dir = data_dir
            # The working directory may change.
            cls._data_path = os.path.abspath(os.fsdecode(data_dir))
            cls._application_id = application_id
            cls._pid = os.getpid()
            cls._deadline = None
            cls._initialized = True
            _ffi.lib.glean_log_set_level(_ffi.log_level())
            status = _ffi.lib.glean_initialize(description, len(description))
            # What fails is logged by the core. Only the interpreter that started it ends it.
            if not _ffi.is_status(status, _ffi.lib.GLEAN_ALREADY_INITIALIZED):
                atexit.register(cls._end_process)
                cls._is_running = True
                cls._start_uploads()
            OnGleanEventsImpl(cls).initialize_finished()

    @classmethod
    def _refuse_second(cls, application_id: str) -> None:
        """Warn a forked process that it goes on as what its parent is."""
        if cls._pid != os.getpid() and application_id != cls._application_id:
            _ffi.log(
                _WARNING,
                f"initialize({application_id!r}) changes nothing: this process was forked from one that had started "
                f"Glean as {cls._application_id!r}, and goes on as that. Start Glean after the fork.",
            )

    @classmethod
    def _start_uploads(cls) -> None:
        """See to it that what waits is sent, if the configuration says where to; in test mode, before this returns."""
        if not cls._is_running:
            return
        configuration = cls._configuration
        if not configuration._has_destination():
            _ffi.after_submission = None
            if _ffi.log_level() <= _INFO:
                _ffi.log(_INFO, "pings are kept and not sent: Configuration.server_endpoint isn't set")
        elif cls._testing_mode:
            from glean_py.net.ping_upload_worker import PingUploadWorker

            _ffi.after_submission = PingUploadWorker._test_process_sync
            PingUploadWorker._test_process_sync()
        else:
            from glean_py import _upload_thread

            _ffi.after_submission = _upload_thread.note_submission
            _upload_thread.start(configuration)

    @classmethod
    def is_initialized(cls) -> bool:
        """Return whether `initialize` was called, even if the core could not start."""
        return cls._initialized

    @classproperty
    def configuration(cls) -> Configuration:
        """The configuration in use.

        Raises:
            AttributeError: before the first `initialize`.
        """
        configuration: Configuration = cls._configuration
        return configuration

    @classmethod
    def set_collection_enabled(cls, enabled: bool) -> None:
        """Switch collection; ignored before `initialize`.

        Off submits a `deletion-request` ping and removes the client id, all values and all waiting pings, except
        those of pings that don't follow this switch. On makes a new client id.
        """
        _ffi.finish_submission(_ffi.lib.glean_set_collection_enabled(1 if enabled else 0))

    @classmethod
    def set_upload_enabled(cls, enabled: bool) -> None:
        """Do the same as `set_collection_enabled`, under its former name."""
        cls.set_collection_enabled(enabled)

    @classmethod
    def set_experiment_active(cls, experiment_id: str, branch: str, extra: Optional[Dict[str, str]] = None) -> None:
        """Put this client into a branch of an experiment; each ping reports it until the application ends.

        Args:
            experiment_id: at most 100 bytes of UTF-8; what is longer is cut off, as in the other texts.
            branch: the branch, at most 100 bytes.
            extra: up to 20 pairs that describe the client's part in it; keys and values of at most 100 bytes each.

        Raises:
            TypeError: something is no `str`.
            UnicodeEncodeError: a text has a lone surrogate.
        """
        name, value = _ffi.to_utf8(experiment_id), _ffi.to_utf8(branch)
        extras = quote_map({} if extra is None else extra).encode()
        _ffi.finish(_ffi.lib.glean_set_experiment_active(name, len(name), value, len(value), extras, len(extras)))

    @classmethod
    def set_experiment_inactive(cls, experiment_id: str) -> None:
        """Take this client out of an experiment.

        Raises:
            TypeError: not a `str`.
            UnicodeEncodeError: the text has a lone surrogate.
        """
        _ffi.record(_ffi.lib.glean_set_experiment_inactive, _ffi.to_utf8(experiment_id))

    @classmethod
    def test_is_experiment_active(cls, experiment_id: str) -> bool:
        """Return whether this client is in an experiment.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        return _read_experiment(experiment_id) is not None

    @classmethod
    def test_get_experiment_data(cls, experiment_id: str) -> RecordedExperiment:
        """Return the branch and the extras that this client has in an experiment.

        Raises:
            RuntimeError: the client isn't in it, or Glean doesn't run.
        """
        from glean_py.metrics.experiment import RecordedExperiment

        data = _read_experiment(experiment_id)
        if data is None:
            raise RuntimeError(f"the experiment {experiment_id!r} is not active")
        return RecordedExperiment(branch=data["branch"], extra=data.get("extra") or None)

    @classmethod
    def set_experimentation_id(cls, experimentation_id: str) -> None:
        """Set the tag that every ping with a client id gets.

        Raises:
            TypeError: not a `str`.
            UnicodeEncodeError: the text has a lone surrogate.
        """
        _ffi.record(_ffi.lib.glean_set_experimentation_id, _ffi.to_utf8(experimentation_id))

    @classmethod
    def test_get_experimentation_id(cls) -> str:
        """Return the tag that every ping with a client id gets.

        Raises:
            RuntimeError: there is none, or Glean doesn't run.
        """
        text = _ffi.read_text(_ffi.lib.glean_test_get_experimentation_id)
        if text is None:
            raise RuntimeError("no experimentation id is set")
        return text

    @classmethod
    def handle_client_active(cls) -> None:
        """Say that the user began to use the application: submits the ping `baseline`, may begin a session."""
        _ffi.finish_submission(_ffi.lib.glean_handle_client_active())

    @classmethod
    def handle_client_inactive(cls) -> None:
        """Say that the user left the application: submits the pings `baseline` and `events`, may end a session."""
        _ffi.finish_submission(_ffi.lib.glean_handle_client_inactive())

    @classmethod
    def session_start(cls) -> None:
        """Begin a session. Only `SessionMode.MANUAL` needs this; other modes ignore it."""
        _ffi.finish(_ffi.lib.glean_session_start())

    @classmethod
    def session_end(cls, reason: Optional[str] = None) -> None:
        """End the session. Only `SessionMode.MANUAL` needs this; other modes ignore it.

        Args:
            reason: sent with the event that marks the end of the session.

        Raises:
            TypeError: neither `str` nor `None`.
            UnicodeEncodeError: the text has a lone surrogate.
        """
        _ffi.record(_ffi.lib.glean_session_end, None if reason is None else _ffi.to_utf8(reason))

    @classmethod
    def update_attribution(cls, attribution: AttributionMetrics) -> None:
        """Set how the user came to the application; fields that are `None` keep their values.

        Raises:
            TypeError: a field is neither `str` nor `None`.
            UnicodeEncodeError: a text has a lone surrogate.
        """
        fields = ("source", "medium", "campaign", "term", "content")
        _ffi.record(_ffi.lib.glean_update_attribution, _describe_set(attribution, fields))

    @classmethod
    def clear_attribution(cls) -> None:
        """Forget how the user came to the application."""
        _ffi.finish(_ffi.lib.glean_clear_attribution())

    @classmethod
    def test_get_attribution(cls) -> AttributionMetrics:
        """Return how the user came to the application, as stored.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        from glean_py.metrics.attribution import AttributionMetrics

        return AttributionMetrics(**(_ffi.read_json(_ffi.lib.glean_test_get_attribution) or {}))

    @classmethod
    def update_distribution(cls, distribution: DistributionMetrics) -> None:
        """Set through which distribution the user got the application; a name that is `None` keeps its value.

        Raises:
            TypeError: a field is neither `str` nor `None`.
            UnicodeEncodeError: a text has a lone surrogate.
        """
        _ffi.record(_ffi.lib.glean_update_distribution, _describe_set(distribution, ("name",)))

    @classmethod
    def clear_distribution(cls) -> None:
        """Forget through which distribution the user got the application."""
        _ffi.finish(_ffi.lib.glean_clear_distribution())

    @classmethod
    def test_get_distribution(cls) -> DistributionMetrics:
        """Return the distribution, as stored.

        Raises:
            RuntimeError: Glean doesn't run.
        """
        from glean_py.metrics.attribution import DistributionMetrics

        return DistributionMetrics(**(_ffi.read_json(_ffi.lib.glean_test_get_distribution) or {}))

    @classmethod
    def set_debug_view_tag(cls, tag: str) -> bool:
        """Mark all pings with a tag: 1 to 20 letters, digits and hyphens; `False` if it isn't such a tag.

        Before `initialize` it is only remembered, and `True` returned.

        Raises:
            TypeError: not a `str`.
            UnicodeEncodeError: the text has a lone surrogate.
        """
        return _accepts(_ffi.lib.glean_set_debug_view_tag, _ffi.to_utf8(tag))

    @classmethod
    def set_source_tags(cls, tags: Iterable[str]) -> bool:
        """Mark all pings with 1 to 5 tags, none of which begins with `glean`; `False` if one isn't such a tag.

        Before `initialize` they are only remembered, and `True` returned.

        Raises:
            TypeError: something is no `str`.
            UnicodeEncodeError: a text has a lone surrogate.
        """
        return _accepts(_ffi.lib.glean_set_source_tags, quote_all(tags).encode())

    @classmethod
    def set_log_pings(cls, value: bool) -> None:
        """Choose whether the content of pings is logged, at level info, when they are sent."""
        _ffi.finish(_ffi.lib.glean_set_log_pings(1 if value else 0))

    @classmethod
    def apply_server_knobs_config(cls, json: str) -> None:
        """Apply choices that a server made: which metrics and pings are on, thresholds, sampling.

        Text that is no such JSON changes nothing and is logged; an empty text is ignored.

        Raises:
            TypeError: not a `str`.
            UnicodeEncodeError: the text has a lone surrogate.
        """
        _ffi.record(_ffi.lib.glean_apply_server_knobs_config, _ffi.to_utf8(json))

    @classmethod
    def register_event_listener(cls, tag: str, listener: GleanEventListener) -> None:
        """Let a listener hear of every event that this process records; it replaces the one with the same tag.

        Args:
            tag: a name for the listener.
            listener: its `on_event_recorded("category.name")` is called right after each event, in the same thread.

        Raises:
            TypeError: the tag is no `str`.
        """
        from glean_py._listeners import listeners

        _ffi.to_utf8(tag)
        listeners[tag] = listener

    @classmethod
    def unregister_event_listener(cls, tag: str) -> None:
        """Let the listener with this tag, if there is one, hear of no more events.

        Raises:
            TypeError: the tag is no `str`.
        """
        from glean_py._listeners import listeners

        _ffi.to_utf8(tag)
        listeners.pop(tag, None)

    @classmethod
    def shutdown(cls) -> None:
        """Write everything to disk, send what can be sent in time, and stop; later recordings do nothing.

        Returns after `Configuration.shutdown_timeout_s` at the latest; where a process of its own may send what waits,
        at once. What is not sent waits on disk for the next start. `is_initialized` stays true.
        """
        cls._begin_end()
        _ffi.finish(_ffi.lib.glean_shutdown())
        _ffi.drain_log()
        cls._end_uploads()

    @classmethod
    def _begin_end(cls) -> None:
        """Say when everything has to be over, unless an earlier call did."""
        if cls._deadline is None and cls._is_running:
            cls._deadline = monotonic() + cls._configuration._shutdown_timeout_s

    @classmethod
    def _end_uploads(cls) -> None:
        """Send what waits until the deadline, let a process of its own send the rest, and end uploads."""
        with cls._init_lock:
            is_running, cls._is_running = cls._is_running, False
            _ffi.after_submission = None
            if not is_running:
                return
            may_hand_over = cls._configuration._allow_multiprocessing and not cls._destroy_data_dir
            upload_thread = sys.modules.get("glean_py._upload_thread")
            try:
                if upload_thread is not None:
                    upload_thread.end(cls._data_path, cls._application_id, cls._deadline or 0.0, may_hand_over)
            finally:
                # Also when the user interrupts.
                _ffi.finish(_ffi.lib.glean_upload_close())
                _ffi.drain_log()

    @classmethod
    def _end_process(cls) -> None:
        """End Glean because the process ends; what later exit handlers record is kept for the next start."""
        with cls._init_lock:
            cls._begin_end()
            _ffi.finish(_ffi.lib.glean_finish())
            _ffi.drain_log()
            cls._end_uploads()
            cls._remove_own_data_dir()
        dispatcher = sys.modules.get("glean_py._process_dispatcher")
        if dispatcher is not None:
            dispatcher.ProcessDispatcher.let_go()

    @classmethod
    def _reset(cls) -> None:
        """Stop, and make `initialize` possible again; a temporary data directory of ours is removed."""
        from glean_py._listeners import listeners

        with cls._init_lock:
            cls._begin_end()
            _ffi.finish(_ffi.lib.glean_reset())
            _ffi.drain_log()
            cls._end_uploads()
            _ffi.lib.glean_set_test_mode(0)
            _ffi.forget_failures()
            listeners.clear()
            atexit.unregister(cls._end_process)
            cls._remove_own_data_dir()
            cls._destroy_data_dir = False
            cls._testing_mode = False
            cls._init_finished = False
            cls._initialized = False

    @classmethod
    def _remove_own_data_dir(cls) -> None:
        """Remove a temporary data directory of ours; a forked process leaves it to the one that made it."""
        if cls._destroy_data_dir and cls._data_dir is not None and cls._owner_pid == os.getpid():
            try:
                _rmtree(cls._data_dir)
            except OSError:
                # Another process still writes there; the system removes what is left.
                pass

    @classmethod
    def _initialize_with_tempdir_for_testing(
        cls,
        application_id: str,
        application_version: str,
        upload_enabled: bool,
        configuration: Optional[Configuration] = None,
        application_build_id: Optional[str] = None,
        log_level: Optional[int] = None,
    ) -> None:
        """Start Glean in a new temporary directory, which `_reset` removes."""
        import tempfile
        from pathlib import Path

        cls.initialize(
            application_id,
            application_version,
            upload_enabled,
            configuration=configuration,
            data_dir=Path(tempfile.mkdtemp(prefix="glean-")),
            application_build_id=application_build_id,
            log_level=log_level,
        )
        cls._destroy_data_dir = True
        cls._owner_pid = os.getpid()

    @classmethod
    def _after_fork(cls) -> None:
        """Replace the lock in a forked process: the thread that held it isn't there."""
        cls._init_lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Glean._after_fork)


def describe_start(
    configuration: Configuration,
    *,
    data_dir: Union[str, os.PathLike[str]],
    application_id: str,
    app_display_version: Optional[str],
    app_build: Optional[str],
    upload_enabled: bool,
    test_mode: bool,
    architecture: Optional[str] = None,
    os_version: Optional[str] = None,
    locale: Optional[str] = None,
    windows_build_number: Optional[int] = None,
) -> bytes:
    """Return what `glean_initialize` is told.

    Raises:
        TypeError: an argument of a wrong type.
        ValueError: a number is out of range.
        UnicodeEncodeError: a text has a lone surrogate.
    """
    # The wrong kind of "yes" must not switch telemetry on: the text "false" is true.
    if not isinstance(upload_enabled, int):
        raise TypeError(f"upload_enabled has to be a bool, not {type(upload_enabled).__name__}")
    if not isinstance(configuration.session_mode, SessionMode):
        raise ValueError(f"{configuration.session_mode!r} is no SessionMode")
    # Like the core; also, JSON knows neither infinity nor "not a number".
    sample_rate = min(max(0.0, float(configuration.session_sample_rate)), 1.0)
    return to_object(
        {
            "data_dir": quote(os.path.abspath(os.fsdecode(data_dir))),
            "application_id": quote(application_id),
            "app_display_version": quote("Unknown" if app_display_version is None else app_display_version),
            "app_build": quote("Unknown" if app_build is None else app_build),
            "channel": optional(quote, configuration.channel),
            "architecture": quote(get_architecture() if architecture is None else architecture),
            "os_version": quote(get_os_version() if os_version is None else os_version),
            "locale": quote(get_locale_tag() if locale is None else locale),
            "windows_build_number": _count(windows_build_number, "i64"),
            "experimentation_id": optional(quote, configuration.experimentation_id),
            "upload_enabled": flag(upload_enabled),
            "enable_internal_pings": flag(configuration.enable_internal_pings),
            "enable_event_timestamps": flag(configuration.enable_event_timestamps),
            "max_events": _count(configuration.max_events, "u32"),
            "session_mode": str(configuration.session_mode.value),
            "session_sample_rate": repr(sample_rate),
            "session_inactivity_timeout_ms": integer(configuration.session_inactivity_timeout_ms, "u64"),
            "events_ping_acceleration_factor": _count(configuration.events_ping_acceleration_factor, "u32"),
            "max_pending_pings_count": _count(configuration.max_pending_pings_count, "u64"),
            "max_pending_pings_directory_size": _count(configuration.max_pending_pings_directory_size, "u64"),
            "rate_limit": optional(describe_rate, configuration._rate_limit),
            "schedule_metrics_ping": flag(configuration.schedule_metrics_ping),
            "test_mode": flag(test_mode),
        }
    )


def _describe_set(value: Any, names: Iterable[str]) -> bytes:
    """Return those of these fields that are not `None`.

    Raises:
        TypeError: one is neither `str` nor `None`.
        UnicodeEncodeError: one has a lone surrogate.
    """
    return to_object({name: quote(text) for name in names for text in (getattr(value, name),) if text is not None})


def _count(number: Optional[int], kind: str) -> str:
    return "null" if number is None else integer(number, kind)


def describe_rate(rate_limit: Tuple[int, int]) -> str:
    """Return seconds and the pings that may be sent in them, as the core takes them."""
    seconds, pings = integer(rate_limit[0], "u64"), integer(rate_limit[1], "u32")
    return f'{{"seconds_per_interval":{seconds},"pings_per_interval":{pings}}}'


def _accepts(function: Any, data: bytes) -> bool:
    """Call a setter that says whether it takes the value."""
    out = _ffi.ffi.new("uint8_t *")
    _ffi.finish(function(data, len(data), out))
    return bool(out[0])


def _read_experiment(experiment_id: str) -> Any:
    name = _ffi.to_utf8(experiment_id)
    return _ffi.read_json(_ffi.lib.glean_test_get_experiment_data, name, len(name))


def _rmtree(path: Union[str, os.PathLike[str]]) -> bool:
    """Remove a directory and return True.

    Raises:
        OSError: it cannot be removed.
    """
    import shutil

    shutil.rmtree(str(path))
    return True
