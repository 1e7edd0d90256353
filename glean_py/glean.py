"""The class `Glean`: start, stop and switch telemetry."""

from __future__ import annotations

import atexit
import logging
import threading
from typing import TYPE_CHECKING, Any, Callable, Generic, Optional, TypeVar

from glean_py import _ffi
from glean_py.config import Configuration

if TYPE_CHECKING:
    from pathlib import Path

_T = TypeVar("_T")


class _ClassProperty(Generic[_T]):
    """A property of the class itself."""

    def __init__(self, getter: Callable[[Any], _T]) -> None:
        self._getter = getter
        self.__doc__ = getter.__doc__

    def __get__(self, instance: object, owner: type) -> _T:
        return self._getter(owner)


class Glean:
    """The one Glean of this process; everything is a class method.

    A process made by `os.fork()` after `initialize` shares its parent's files, so nothing is recorded in it: the first
    call logs a warning, the others do nothing, getters raise `RuntimeError`. A process forked before `initialize` is
    free to call it, with a `data_dir` of its own; calls recorded before the fork stay with the parent.
    """

    _initialized: bool = False
    _init_lock = threading.RLock()
    _configuration: Optional[Configuration] = None
    _data_dir: Optional[Path] = None
    # Whether the data directory is a temporary one of ours, to be removed by `_reset`.
    _destroy_data_dir: bool = False
    _testing_mode: bool = False

    @classmethod
    def initialize(
        cls,
        application_id: str,
        application_version: str,
        upload_enabled: bool,
        configuration: Optional[Configuration] = None,
        data_dir: Optional[Path] = None,
        application_build_id: Optional[str] = None,
        log_level: Optional[int] = None,
    ) -> None:
        """Start Glean; recordings made before are stored now, in their order. A second call changes nothing.

        A data directory that cannot be used, or that another process uses, is logged as an error and leaves Glean
        off: recordings do nothing, the host program isn't disturbed.

        Args:
            application_id: part of the submission path; must not be empty.
            application_version: version shown to users; `None` is sent as `Unknown`.
            upload_enabled: whether anything is recorded and sent.
            configuration: the other choices.
            data_dir: directory for everything Glean keeps, for this process alone; made if missing.
            application_build_id: `None` is sent as `Unknown`.
            log_level: a level of `logging`, handed to `logging.basicConfig`.

        Raises:
            TypeError: no `data_dir`, or an argument of a wrong type.
            UnicodeEncodeError: a text has a lone surrogate.
        """
        if log_level is not None:
            logging.basicConfig(level=log_level)
        with cls._init_lock:
            if cls._initialized:
                return
            if data_dir is None:
                raise TypeError("data_dir is needed: the directory for everything Glean keeps")
            if configuration is None:
                configuration = Configuration()
            cls._start(
                configuration,
                application_id=application_id,
                app_display_version="Unknown" if application_version is None else application_version,
                app_build="Unknown" if application_build_id is None else application_build_id,
                data_dir=str(data_dir),
                collection_enabled=bool(upload_enabled),
            )
            cls._configuration = configuration
            cls._data_dir = data_dir
            cls._initialized = True
            atexit.register(cls._reset)

    @classmethod
    def _start(cls, configuration: Configuration, *, collection_enabled: bool, **texts: str) -> None:
        import platform

        arguments = _ffi.Arguments()
        fields = {name: arguments.text(text) for name, text in texts.items()}
        fields.update(
            channel=arguments.text(configuration.channel),
            architecture=arguments.text(platform.machine() or "Unknown"),
            os_version=arguments.text("Unknown"),
            experimentation_id=arguments.text(configuration.experimentation_id),
            collection_enabled=collection_enabled,
            enable_internal_pings=configuration.enable_internal_pings,
        )
        _ffi.lib.glean_log_set_level(_ffi.logger.getEffectiveLevel())
        # The core logs why it doesn't start.
        _ffi.lib.glean_initialize(_ffi.ffi.new("GleanConfiguration *", fields))
        _ffi.drain_log()

    @classmethod
    def is_initialized(cls) -> bool:
        """Return whether `initialize` was called, even if the core could not start."""
        return cls._initialized

    @_ClassProperty
    def configuration(cls) -> Configuration:
        """The configuration in use.

        Raises:
            AttributeError: before the first `initialize`.
        """
        configuration: Optional[Configuration] = cls._configuration
        if configuration is None:
            raise AttributeError("Glean has no configuration before initialize")
        return configuration

    @classmethod
    def set_collection_enabled(cls, enabled: bool) -> None:
        """Switch collection; ignored before `initialize`.

        Off submits a `deletion-request` ping and removes the client id, all values and all waiting pings, except
        those of pings that don't follow this switch. On makes a new client id.
        """
        _ffi.record(_ffi.lib.glean_set_collection_enabled(1 if enabled else 0))

    @classmethod
    def set_upload_enabled(cls, enabled: bool) -> None:
        """Do the same as `set_collection_enabled`, under its former name."""
        cls.set_collection_enabled(enabled)

    @classmethod
    def shutdown(cls) -> None:
        """Write everything to disk and stop; later recordings do nothing. `is_initialized` stays true."""
        _ffi.record(_ffi.lib.glean_shutdown())

    @classmethod
    def _reset(cls) -> None:
        """Stop, and make `initialize` possible again; a temporary data directory of ours is removed."""
        with cls._init_lock:
            _ffi.record(_ffi.lib.glean_reset())
            atexit.unregister(cls._reset)
            if cls._destroy_data_dir and cls._data_dir is not None:
                import shutil

                shutil.rmtree(str(cls._data_dir), ignore_errors=True)
            cls._destroy_data_dir = False
            cls._testing_mode = False
            cls._initialized = False

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


__all__ = ["Glean"]
