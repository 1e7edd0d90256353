"""Metrics and pings for glean_py, from metrics.yaml and pings.yaml.

This file is generated. Change what it is made from, then run in its folder:

    python -m glean_py compile metrics.yaml pings.yaml --allow-reserved -o _builtins.py
"""

from __future__ import annotations

from enum import Enum

import glean_py

try:
    from glean_py.compiled import (
        Extra,
        Lazy,
        Record,
        Records,
        Unset,
        gm,
        make_all,
        require,
    )
except ImportError as error:
    raise ImportError(
        f"{__name__} was compiled for glean_py 0.1.0 or newer; the installed "
        f"{glean_py.__version__} cannot serve compiled modules. To fix it: "
        "python -m pip install --upgrade 'glean_py>=0.1.0'"
    ) from error

TYPE_CHECKING: bool = False  # Spares the import of typing.
if TYPE_CHECKING:
    from typing import Optional, Union

    from glean_py.metrics import (
        CounterMetricType,
        DatetimeMetricType,
        EventMetricType,
        LabeledCounterMetricType,
        MemoryDistributionMetricType,
        ObjectMetricType,
        PingType,
        QuantityMetricType,
        StringListMetricType,
        StringMetricType,
        TimespanMetricType,
        TimingDistributionMetricType,
        UuidMetricType,
    )

require(__name__, interface=1, since="0.1.0")

__all__ = ["metrics", "pings"]


class metrics:
    """The metrics of metrics.yaml and pings.yaml."""

    class glean:
        """Metrics of the category `glean`."""

        class RestartedExtra(Extra, keys={"glean.startup.date": "string"}):
            """The extras of `glean.restarted`.

            Args:
                glean.startup.date: When the program was started.
            """

            def __init__(self, **others: Union[str, bool, int]) -> None:
                super().__init__(**others)

        @Lazy
        def restarted(self) -> EventMetricType:
            """The program was started again while events were waiting for this ping."""
            return gm.EventMetricType(
                gm.CommonMetricData(
                    category="glean",
                    name="restarted",
                    send_in_pings=["all-pings"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                ["glean.startup.date"],
            )

        class SessionEndExtra(
            Extra,
            keys={"reason": "string", "session_id": "string", "session_seq": "string"},
        ):
            """The extras of `glean.session_end`.

            Args:
                reason: Why it ended.
                session_id: The id of the session.
                session_seq: The number of the session.
            """

            def __init__(
                self,
                *,
                reason: str = Unset,
                session_id: str = Unset,
                session_seq: str = Unset,
            ) -> None:
                super().__init__(
                    reason=reason,
                    session_id=session_id,
                    session_seq=session_seq,
                )
                self.reason: Optional[str]
                self.session_id: Optional[str]
                self.session_seq: Optional[str]

        @Lazy
        def session_end(self) -> EventMetricType:
            """A session ended."""
            return gm.EventMetricType(
                gm.CommonMetricData(
                    category="glean",
                    name="session_end",
                    send_in_pings=["events"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                ["reason", "session_id", "session_seq"],
            )

        class SessionStartExtra(
            Extra,
            keys={
                "sampled_in": "string",
                "session_id": "string",
                "session_seq": "string",
                "session_start_time": "string",
            },
        ):
            """The extras of `glean.session_start`.

            Args:
                sampled_in: Whether events of the session are recorded.
                session_id: The id of the session.
                session_seq: The number of the session.
                session_start_time: When it began.
            """

            def __init__(
                self,
                *,
                sampled_in: str = Unset,
                session_id: str = Unset,
                session_seq: str = Unset,
                session_start_time: str = Unset,
            ) -> None:
                super().__init__(
                    sampled_in=sampled_in,
                    session_id=session_id,
                    session_seq=session_seq,
                    session_start_time=session_start_time,
                )
                self.sampled_in: Optional[str]
                self.session_id: Optional[str]
                self.session_seq: Optional[str]
                self.session_start_time: Optional[str]

        @Lazy
        def session_start(self) -> EventMetricType:
            """A session began."""
            return gm.EventMetricType(
                gm.CommonMetricData(
                    category="glean",
                    name="session_start",
                    send_in_pings=["events"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                ["sampled_in", "session_id", "session_seq", "session_start_time"],
            )

        @Lazy
        def sessions_seen(self) -> CounterMetricType:
            """How many sessions began."""
            return gm.CounterMetricType(
                gm.CommonMetricData(
                    category="glean",
                    name="sessions_seen",
                    send_in_pings=["metrics"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        class baseline:
            """Metrics of the category `glean.baseline`."""

            @Lazy
            def duration(self) -> TimespanMetricType:
                """How long the program was in use: from one handle_client_active to the next handle_client_inactive."""
                return gm.TimespanMetricType(
                    gm.CommonMetricData(
                        category="glean.baseline",
                        name="duration",
                        send_in_pings=["baseline"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                    gm.TimeUnit.SECOND,
                )

        class client:
            """Metrics of the category `glean.client`."""

            class annotation:
                """Metrics of the category `glean.client.annotation`."""

                @Lazy
                def experimentation_id(self) -> StringMetricType:
                    """The id that experiments know this client by."""
                    return gm.StringMetricType(
                        gm.CommonMetricData(
                            category="glean.client.annotation",
                            name="experimentation_id",
                            send_in_pings=["all-pings"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                    )

        class database:
            """Metrics of the category `glean.database`."""

            @Lazy
            def load_error(self) -> StringMetricType:
                """Why the stored data could not be read at the start."""
                return gm.StringMetricType(
                    gm.CommonMetricData(
                        category="glean.database",
                        name="load_error",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

            @Lazy
            def rkv_load_error(self) -> StringMetricType:
                """Why the stored data could not be read at the start, under the name that glean-sdk 71 has for it."""
                return gm.StringMetricType(
                    gm.CommonMetricData(
                        category="glean.database",
                        name="rkv_load_error",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

            @Lazy
            def size(self) -> MemoryDistributionMetricType:
                """How large the files of the store were before they were opened."""
                return gm.MemoryDistributionMetricType(
                    gm.CommonMetricData(
                        category="glean.database",
                        name="size",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                    gm.MemoryUnit.BYTE,
                )

            @Lazy
            def write_time(self) -> TimingDistributionMetricType:
                """How long writing to the store took."""
                return gm.TimingDistributionMetricType(
                    gm.CommonMetricData(
                        category="glean.database",
                        name="write_time",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=True,
                    ),
                    gm.TimeUnit.MICROSECOND,
                )

        class error:
            """Metrics of the category `glean.error`."""

            @Lazy
            def event_timestamp_clamped(self) -> CounterMetricType:
                """How many timestamps of events were too large for a ping and were lowered."""
                return gm.CounterMetricType(
                    gm.CommonMetricData(
                        category="glean.error",
                        name="event_timestamp_clamped",
                        send_in_pings=["health"],
                        lifetime=gm.Lifetime.PING,
                        disabled=True,
                    ),
                )

            @Lazy
            def invalid_label(self) -> LabeledCounterMetricType:
                """How often a label was longer than allowed, by metric."""
                return gm.LabeledCounterMetricType(
                    gm.LabeledMetricData.COMMON(
                        gm.CommonMetricData(
                            category="glean.error",
                            name="invalid_label",
                            send_in_pings=["all-pings"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    ),
                )

            @Lazy
            def invalid_overflow(self) -> LabeledCounterMetricType:
                """How often a value was cut off or lowered to its limit, by metric."""
                return gm.LabeledCounterMetricType(
                    gm.LabeledMetricData.COMMON(
                        gm.CommonMetricData(
                            category="glean.error",
                            name="invalid_overflow",
                            send_in_pings=["all-pings"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    ),
                )

            @Lazy
            def invalid_state(self) -> LabeledCounterMetricType:
                """How often a call did not fit the state of its metric, as a stop without a start, by metric."""
                return gm.LabeledCounterMetricType(
                    gm.LabeledMetricData.COMMON(
                        gm.CommonMetricData(
                            category="glean.error",
                            name="invalid_state",
                            send_in_pings=["all-pings"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    ),
                )

            @Lazy
            def invalid_value(self) -> LabeledCounterMetricType:
                """How often a value was of no use and was not recorded, by metric."""
                return gm.LabeledCounterMetricType(
                    gm.LabeledMetricData.COMMON(
                        gm.CommonMetricData(
                            category="glean.error",
                            name="invalid_value",
                            send_in_pings=["all-pings"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    ),
                )

            @Lazy
            def io(self) -> CounterMetricType:
                """How often a ping could not be written to disk."""
                return gm.CounterMetricType(
                    gm.CommonMetricData(
                        category="glean.error",
                        name="io",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

            @Lazy
            def preinit_tasks_overflow(self) -> CounterMetricType:
                """How many calls were made before the start and discarded, because the buffer for them was full."""
                return gm.CounterMetricType(
                    gm.CommonMetricData(
                        category="glean.error",
                        name="preinit_tasks_overflow",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

        class health:
            """Metrics of the category `glean.health`."""

            class DataDirectoryInfoObjectItemItemFilesItem(Record):
                """A part of the object `glean.health.data_directory_info`.

                Args:
                    file_name: Its name.
                    file_created: When it was made, in seconds since 1970.
                    file_modified: When it was changed, in seconds since 1970.
                    file_size: Its size in bytes.
                    error_message: Why it could not be read.
                """

                def __init__(
                    self,
                    file_name: Optional[str] = None,
                    file_created: Optional[float] = None,
                    file_modified: Optional[float] = None,
                    file_size: Optional[float] = None,
                    error_message: Optional[str] = None,
                ) -> None:
                    self.file_name = file_name
                    self.file_created = file_created
                    self.file_modified = file_modified
                    self.file_size = file_size
                    self.error_message = error_message

            class DataDirectoryInfoObjectItemItemFiles(
                Records[DataDirectoryInfoObjectItemItemFilesItem],
            ):
                """A part of the object `glean.health.data_directory_info`."""

            class DataDirectoryInfoObjectItem(Record):
                """A part of the object `glean.health.data_directory_info`.

                Args:
                    dir_name: Its name below the data directory.
                    dir_exists: Whether it exists.
                    dir_created: When it was made, in seconds since 1970.
                    dir_modified: When it was changed, in seconds since 1970.
                    file_count: How many files it holds.
                    error_message: Why it could not be read.
                """

                def __init__(
                    self,
                    dir_name: Optional[str] = None,
                    dir_exists: Optional[bool] = None,
                    dir_created: Optional[float] = None,
                    dir_modified: Optional[float] = None,
                    file_count: Optional[float] = None,
                    error_message: Optional[str] = None,
                    files: Optional[metrics.glean.health.DataDirectoryInfoObjectItemItemFiles] = None,
                ) -> None:
                    self.dir_name = dir_name
                    self.dir_exists = dir_exists
                    self.dir_created = dir_created
                    self.dir_modified = dir_modified
                    self.file_count = file_count
                    self.error_message = error_message
                    self.files = files

            class DataDirectoryInfoObject(Records[DataDirectoryInfoObjectItem]):
                """The object `glean.health.data_directory_info`."""

            @Lazy
            def data_directory_info(self) -> ObjectMetricType[DataDirectoryInfoObject]:
                """What the data directory held before it was opened."""
                return gm.ObjectMetricType(
                    gm.CommonMetricData(
                        category="glean.health",
                        name="data_directory_info",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                    metrics.glean.health.DataDirectoryInfoObject,
                )

            @Lazy
            def exception_state(self) -> StringMetricType:
                """What was wrong with the client id at the start, if anything was."""
                return gm.StringMetricType(
                    gm.CommonMetricData(
                        category="glean.health",
                        name="exception_state",
                        send_in_pings=["health"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

            @Lazy
            def file_read_error(self) -> LabeledCounterMetricType:
                """How often client_id.txt could not be read, by reason."""
                return gm.LabeledCounterMetricType(
                    gm.LabeledMetricData.COMMON(
                        gm.CommonMetricData(
                            category="glean.health",
                            name="file_read_error",
                            send_in_pings=["health"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    ),
                    [
                        "c0ffee-in-file",
                        "file-not-found",
                        "io",
                        "parse",
                        "permission-denied",
                    ],
                )

            @Lazy
            def file_write_error(self) -> LabeledCounterMetricType:
                """How often client_id.txt could not be written, by reason."""
                return gm.LabeledCounterMetricType(
                    gm.LabeledMetricData.COMMON(
                        gm.CommonMetricData(
                            category="glean.health",
                            name="file_write_error",
                            send_in_pings=["health"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    ),
                    ["io", "not-found", "permission-denied"],
                )

            @Lazy
            def init_count(self) -> CounterMetricType:
                """How often Glean was started on this data directory."""
                return gm.CounterMetricType(
                    gm.CommonMetricData(
                        category="glean.health",
                        name="init_count",
                        send_in_pings=["health"],
                        lifetime=gm.Lifetime.USER,
                        disabled=False,
                    ),
                )

            @Lazy
            def recovered_client_id(self) -> UuidMetricType:
                """The client id in client_id.txt, where the store had none or another one."""
                return gm.UuidMetricType(
                    gm.CommonMetricData(
                        category="glean.health",
                        name="recovered_client_id",
                        send_in_pings=["health"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

        class internal:
            """Metrics of the category `glean.internal`."""

            class metrics:
                """Metrics of the category `glean.internal.metrics`."""

                @Lazy
                def app_build(self) -> StringMetricType:
                    """The build of the program."""
                    return gm.StringMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="app_build",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                    )

                @Lazy
                def app_channel(self) -> StringMetricType:
                    """The channel that the program was released on."""
                    return gm.StringMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="app_channel",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                    )

                @Lazy
                def app_display_version(self) -> StringMetricType:
                    """The version of the program that users see."""
                    return gm.StringMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="app_display_version",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                    )

                @Lazy
                def architecture(self) -> StringMetricType:
                    """The architecture of the processor."""
                    return gm.StringMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="architecture",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                    )

                @Lazy
                def build_date(self) -> DatetimeMetricType:
                    """When the program was built."""
                    return gm.DatetimeMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="build_date",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                        gm.TimeUnit.SECOND,
                    )

                @Lazy
                def client_id(self) -> UuidMetricType:
                    """A random id of this installation."""
                    return gm.UuidMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="client_id",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.USER,
                            disabled=False,
                        ),
                    )

                @Lazy
                def device_manufacturer(self) -> StringMetricType:
                    """Who made the device."""
                    return gm.StringMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="device_manufacturer",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                    )

                @Lazy
                def device_model(self) -> StringMetricType:
                    """The model of the device."""
                    return gm.StringMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="device_model",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                    )

                @Lazy
                def end_time(self) -> DatetimeMetricType:
                    """When the ping was assembled."""
                    return gm.DatetimeMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="end_time",
                            send_in_pings=["glean_internal_info"],
                            lifetime=gm.Lifetime.USER,
                            disabled=False,
                        ),
                        gm.TimeUnit.MINUTE,
                    )

                @Lazy
                def experiments(self) -> StringMetricType:
                    """The experiments that the client takes part in."""
                    return gm.StringMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="experiments",
                            send_in_pings=["glean_internal_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                    )

                @Lazy
                def first_run_date(self) -> DatetimeMetricType:
                    """The day of the first start on this data directory."""
                    return gm.DatetimeMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="first_run_date",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.USER,
                            disabled=False,
                        ),
                        gm.TimeUnit.DAY,
                    )

                @Lazy
                def locale(self) -> StringMetricType:
                    """The language of the user."""
                    return gm.StringMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="locale",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                    )

                @Lazy
                def os(self) -> StringMetricType:
                    """The operating system."""
                    return gm.StringMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="os",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                    )

                @Lazy
                def os_version(self) -> StringMetricType:
                    """The version of the operating system."""
                    return gm.StringMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="os_version",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                    )

                @Lazy
                def reason(self) -> StringMetricType:
                    """Why the ping was sent."""
                    return gm.StringMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="reason",
                            send_in_pings=["glean_internal_info"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    )

                @Lazy
                def seq(self) -> CounterMetricType:
                    """How many pings of this name were assembled before."""
                    return gm.CounterMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="seq",
                            send_in_pings=["glean_internal_info"],
                            lifetime=gm.Lifetime.USER,
                            disabled=False,
                        ),
                    )

                class ServerKnobsConfigObjectItemMetricsEnabledObject(Record):
                    """A part of the object `glean.internal.metrics.server_knobs_config`.

                    Whether metrics are on, by their identifier.
                    """

                class ServerKnobsConfigObjectItemPingsEnabledObject(Record):
                    """A part of the object `glean.internal.metrics.server_knobs_config`.

                    Whether pings are on, by their name.
                    """

                class ServerKnobsConfigObject(Record):
                    """The object `glean.internal.metrics.server_knobs_config`.

                    Args:
                        metrics_enabled: Whether metrics are on, by their identifier.
                        pings_enabled: Whether pings are on, by their name.
                        event_threshold: How many events make an events ping.
                        session_sample_rate: The part of the sessions that is recorded.
                        events_ping_acceleration_factor: How much earlier the first pings are sent.
                    """

                    def __init__(
                        self,
                        metrics_enabled: Optional[
                            metrics.glean.internal.metrics.ServerKnobsConfigObjectItemMetricsEnabledObject
                        ] = None,
                        pings_enabled: Optional[
                            metrics.glean.internal.metrics.ServerKnobsConfigObjectItemPingsEnabledObject
                        ] = None,
                        event_threshold: Optional[float] = None,
                        session_sample_rate: Optional[float] = None,
                        events_ping_acceleration_factor: Optional[float] = None,
                    ) -> None:
                        self.metrics_enabled = metrics_enabled
                        self.pings_enabled = pings_enabled
                        self.event_threshold = event_threshold
                        self.session_sample_rate = session_sample_rate
                        self.events_ping_acceleration_factor = events_ping_acceleration_factor

                @Lazy
                def server_knobs_config(self) -> ObjectMetricType[ServerKnobsConfigObject]:
                    """The configuration that was applied from the outside."""
                    return gm.ObjectMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="server_knobs_config",
                            send_in_pings=["glean_internal_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                        metrics.glean.internal.metrics.ServerKnobsConfigObject,
                    )

                @Lazy
                def start_time(self) -> DatetimeMetricType:
                    """When the ping of this name before this one was assembled."""
                    return gm.DatetimeMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="start_time",
                            send_in_pings=["glean_internal_info"],
                            lifetime=gm.Lifetime.USER,
                            disabled=False,
                        ),
                        gm.TimeUnit.MINUTE,
                    )

                @Lazy
                def telemetry_sdk_build(self) -> StringMetricType:
                    """The version of the core."""
                    return gm.StringMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="telemetry_sdk_build",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                    )

                @Lazy
                def windows_build_number(self) -> QuantityMetricType:
                    """The build of Windows."""
                    return gm.QuantityMetricType(
                        gm.CommonMetricData(
                            category="",
                            name="windows_build_number",
                            send_in_pings=["glean_client_info"],
                            lifetime=gm.Lifetime.APPLICATION,
                            disabled=False,
                        ),
                    )

                class attribution:
                    """Metrics of the category `glean.internal.metrics.attribution`."""

                    @Lazy
                    def campaign(self) -> StringMetricType:
                        """The campaign that led to the installation."""
                        return gm.StringMetricType(
                            gm.CommonMetricData(
                                category="glean.internal.metrics.attribution",
                                name="campaign",
                                send_in_pings=["glean_client_info"],
                                lifetime=gm.Lifetime.USER,
                                disabled=False,
                            ),
                        )

                    @Lazy
                    def content(self) -> StringMetricType:
                        """What in the campaign led to the installation."""
                        return gm.StringMetricType(
                            gm.CommonMetricData(
                                category="glean.internal.metrics.attribution",
                                name="content",
                                send_in_pings=["glean_client_info"],
                                lifetime=gm.Lifetime.USER,
                                disabled=False,
                            ),
                        )

                    @Lazy
                    def medium(self) -> StringMetricType:
                        """The medium that led to the installation."""
                        return gm.StringMetricType(
                            gm.CommonMetricData(
                                category="glean.internal.metrics.attribution",
                                name="medium",
                                send_in_pings=["glean_client_info"],
                                lifetime=gm.Lifetime.USER,
                                disabled=False,
                            ),
                        )

                    @Lazy
                    def source(self) -> StringMetricType:
                        """Where the installation came from."""
                        return gm.StringMetricType(
                            gm.CommonMetricData(
                                category="glean.internal.metrics.attribution",
                                name="source",
                                send_in_pings=["glean_client_info"],
                                lifetime=gm.Lifetime.USER,
                                disabled=False,
                            ),
                        )

                    @Lazy
                    def term(self) -> StringMetricType:
                        """What was searched for before the installation."""
                        return gm.StringMetricType(
                            gm.CommonMetricData(
                                category="glean.internal.metrics.attribution",
                                name="term",
                                send_in_pings=["glean_client_info"],
                                lifetime=gm.Lifetime.USER,
                                disabled=False,
                            ),
                        )

                class distribution:
                    """Metrics of the category `glean.internal.metrics.distribution`."""

                    @Lazy
                    def name(self) -> StringMetricType:
                        """The distribution that the program was installed from."""
                        return gm.StringMetricType(
                            gm.CommonMetricData(
                                category="glean.internal.metrics.distribution",
                                name="name",
                                send_in_pings=["glean_client_info"],
                                lifetime=gm.Lifetime.USER,
                                disabled=False,
                            ),
                        )

        class migration:
            """Metrics of the category `glean.migration`."""

            @Lazy
            def error(self) -> CounterMetricType:
                """How often a store of another format could not be imported."""
                return gm.CounterMetricType(
                    gm.CommonMetricData(
                        category="glean.migration",
                        name="error",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

            @Lazy
            def failed_metrics(self) -> CounterMetricType:
                """How many values of a store of another format could not be imported."""
                return gm.CounterMetricType(
                    gm.CommonMetricData(
                        category="glean.migration",
                        name="failed_metrics",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

            @Lazy
            def metrics_in_sqlite(self) -> CounterMetricType:
                """How many values there were after a store of another format was imported."""
                return gm.CounterMetricType(
                    gm.CommonMetricData(
                        category="glean.migration",
                        name="metrics_in_sqlite",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

            @Lazy
            def migrated_metrics(self) -> CounterMetricType:
                """How many values of a store of another format were imported."""
                return gm.CounterMetricType(
                    gm.CommonMetricData(
                        category="glean.migration",
                        name="migrated_metrics",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

            @Lazy
            def migration_duration(self) -> TimingDistributionMetricType:
                """How long importing a store of another format took."""
                return gm.TimingDistributionMetricType(
                    gm.CommonMetricData(
                        category="glean.migration",
                        name="migration_duration",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                    gm.TimeUnit.MILLISECOND,
                )

        class ping:
            """Metrics of the category `glean.ping`."""

            @Lazy
            def uploader_capabilities(self) -> StringListMetricType:
                """What an uploader has to be able to do to send this ping."""
                return gm.StringListMetricType(
                    gm.CommonMetricData(
                        category="glean.ping",
                        name="uploader_capabilities",
                        send_in_pings=["all-pings"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

        class upload:
            """Metrics of the category `glean.upload`."""

            @Lazy
            def deleted_pings_after_quota_hit(self) -> CounterMetricType:
                """How many waiting pings were deleted because there were too many of them."""
                return gm.CounterMetricType(
                    gm.CommonMetricData(
                        category="glean.upload",
                        name="deleted_pings_after_quota_hit",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

            @Lazy
            def discarded_exceeding_pings_size(self) -> MemoryDistributionMetricType:
                """How large the pings were that were discarded because of their size."""
                return gm.MemoryDistributionMetricType(
                    gm.CommonMetricData(
                        category="glean.upload",
                        name="discarded_exceeding_pings_size",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                    gm.MemoryUnit.KILOBYTE,
                )

            @Lazy
            def in_flight_pings_dropped(self) -> CounterMetricType:
                """How many pings were dropped while they were being sent."""
                return gm.CounterMetricType(
                    gm.CommonMetricData(
                        category="glean.upload",
                        name="in_flight_pings_dropped",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

            @Lazy
            def missing_send_ids(self) -> CounterMetricType:
                """How often an answer arrived for a ping that nobody had sent."""
                return gm.CounterMetricType(
                    gm.CommonMetricData(
                        category="glean.upload",
                        name="missing_send_ids",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

            @Lazy
            def pending_pings(self) -> CounterMetricType:
                """How many pings were waiting when the data directory was read."""
                return gm.CounterMetricType(
                    gm.CommonMetricData(
                        category="glean.upload",
                        name="pending_pings",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

            @Lazy
            def pending_pings_deleted(self) -> LabeledCounterMetricType:
                """How many waiting pings were deleted because there were too many or they were too large."""
                return gm.LabeledCounterMetricType(
                    gm.LabeledMetricData.COMMON(
                        gm.CommonMetricData(
                            category="glean.upload",
                            name="pending_pings_deleted",
                            send_in_pings=["health"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    ),
                    ["count_quota", "size_quota"],
                )

            @Lazy
            def pending_pings_directory_size(self) -> MemoryDistributionMetricType:
                """How large all waiting pings were when the data directory was read."""
                return gm.MemoryDistributionMetricType(
                    gm.CommonMetricData(
                        category="glean.upload",
                        name="pending_pings_directory_size",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                    gm.MemoryUnit.KILOBYTE,
                )

            @Lazy
            def ping_upload_failure(self) -> LabeledCounterMetricType:
                """How many pings could not be sent, by reason."""
                return gm.LabeledCounterMetricType(
                    gm.LabeledMetricData.COMMON(
                        gm.CommonMetricData(
                            category="glean.upload",
                            name="ping_upload_failure",
                            send_in_pings=["health", "metrics"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    ),
                    [
                        "incapable",
                        "recoverable",
                        "status_code_4xx",
                        "status_code_5xx",
                        "status_code_unknown",
                        "unrecoverable",
                    ],
                )

            @Lazy
            def send_failure(self) -> TimingDistributionMetricType:
                """How long sending a ping took when it failed."""
                return gm.TimingDistributionMetricType(
                    gm.CommonMetricData(
                        category="glean.upload",
                        name="send_failure",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                    gm.TimeUnit.MILLISECOND,
                )

            @Lazy
            def send_success(self) -> TimingDistributionMetricType:
                """How long sending a ping took when it arrived."""
                return gm.TimingDistributionMetricType(
                    gm.CommonMetricData(
                        category="glean.upload",
                        name="send_success",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                    gm.TimeUnit.MILLISECOND,
                )

        class validation:
            """Metrics of the category `glean.validation`."""

            @Lazy
            def foreground_count(self) -> CounterMetricType:
                """How often the program came to the foreground; only known on mobile systems."""
                return gm.CounterMetricType(
                    gm.CommonMetricData(
                        category="glean.validation",
                        name="foreground_count",
                        send_in_pings=["metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                )

            @Lazy
            def pings_submitted(self) -> LabeledCounterMetricType:
                """How many built-in pings were submitted, by their name."""
                return gm.LabeledCounterMetricType(
                    gm.LabeledMetricData.COMMON(
                        gm.CommonMetricData(
                            category="glean.validation",
                            name="pings_submitted",
                            send_in_pings=["baseline", "health", "metrics"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    ),
                )

            @Lazy
            def shutdown_dispatcher_wait(self) -> TimingDistributionMetricType:
                """How long the end of the program waited for recordings to be stored."""
                return gm.TimingDistributionMetricType(
                    gm.CommonMetricData(
                        category="glean.validation",
                        name="shutdown_dispatcher_wait",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                    gm.TimeUnit.MILLISECOND,
                )

            @Lazy
            def shutdown_wait(self) -> TimingDistributionMetricType:
                """How long the end of the program waited for Glean to end."""
                return gm.TimingDistributionMetricType(
                    gm.CommonMetricData(
                        category="glean.validation",
                        name="shutdown_wait",
                        send_in_pings=["health", "metrics"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                    gm.TimeUnit.MILLISECOND,
                )


class pings:
    """The pings of metrics.yaml and pings.yaml."""

    class BaselineReasonCodes(Enum):
        """Why `baseline` is sent; its `submit` takes the value of a member."""

        ACTIVE = 0
        """The program started to be used."""
        DIRTY_STARTUP = 1
        """The program was started after it had ended without saying so."""
        INACTIVE = 2
        """The program is no longer used."""

    baseline_reason_codes = BaselineReasonCodes

    @Lazy
    def baseline(self) -> PingType:
        """Sent whenever the program starts to be used or is no longer used."""
        return gm.PingType(
            name="baseline",
            include_client_id=True,
            send_if_empty=True,
            precise_timestamps=True,
            include_info_sections=True,
            schedules_pings=[],
            reason_codes=["active", "dirty_startup", "inactive"],
            uploader_capabilities=[],
            enabled=True,
            follows_collection_enabled=True,
        )

    class DeletionRequestReasonCodes(Enum):
        """Why `deletion-request` is sent; its `submit` takes the value of a member."""

        AT_INIT = 0
        """Collection was off at the start, and had been on before."""
        SET_UPLOAD_ENABLED = 1
        """Collection was switched off."""

    deletion_request_reason_codes = DeletionRequestReasonCodes

    @Lazy
    def deletion_request(self) -> PingType:
        """Sent when collection is switched off, so that what was collected can be deleted."""
        return gm.PingType(
            name="deletion-request",
            include_client_id=True,
            send_if_empty=True,
            precise_timestamps=True,
            include_info_sections=True,
            schedules_pings=[],
            reason_codes=["at_init", "set_upload_enabled"],
            uploader_capabilities=[],
            enabled=True,
            follows_collection_enabled=True,
        )

    class EventsReasonCodes(Enum):
        """Why `events` is sent; its `submit` takes the value of a member."""

        INACTIVE = 0
        """The program is no longer used."""
        MAX_CAPACITY = 1
        """As many events were waiting as a ping may have."""
        STARTUP = 2
        """Events of the last run were waiting."""

    events_reason_codes = EventsReasonCodes

    @Lazy
    def events(self) -> PingType:
        """Sent when the program is no longer used, when there are many events, and at the start if some are left."""
        return gm.PingType(
            name="events",
            include_client_id=True,
            send_if_empty=True,
            precise_timestamps=True,
            include_info_sections=True,
            schedules_pings=[],
            reason_codes=["inactive", "max_capacity", "startup"],
            uploader_capabilities=[],
            enabled=True,
            follows_collection_enabled=True,
        )

    class HealthReasonCodes(Enum):
        """Why `health` is sent; its `submit` takes the value of a member."""

        PRE_INIT = 0
        """Glean was started."""

    health_reason_codes = HealthReasonCodes

    @Lazy
    def health(self) -> PingType:
        """Sent at the end of each start, about Glean itself."""
        return gm.PingType(
            name="health",
            include_client_id=True,
            send_if_empty=True,
            precise_timestamps=True,
            include_info_sections=True,
            schedules_pings=[],
            reason_codes=["pre_init"],
            uploader_capabilities=[],
            enabled=True,
            follows_collection_enabled=True,
        )

    class MetricsReasonCodes(Enum):
        """Why `metrics` is sent; its `submit` takes the value of a member."""

        OVERDUE = 0
        """It should have been sent before."""
        RESCHEDULE = 1
        """It was sent when it was due."""
        TODAY = 2
        """It was sent on the day of the start."""
        TOMORROW = 3
        """It was sent on the day after the start."""
        UPGRADE = 4
        """The program has another version than before."""

    metrics_reason_codes = MetricsReasonCodes

    @Lazy
    def metrics(self) -> PingType:
        """What metrics are sent in if nothing else is said; submitted by the program."""
        return gm.PingType(
            name="metrics",
            include_client_id=True,
            send_if_empty=False,
            precise_timestamps=True,
            include_info_sections=True,
            schedules_pings=[],
            reason_codes=["overdue", "reschedule", "today", "tomorrow", "upgrade"],
            uploader_capabilities=[],
            enabled=True,
            follows_collection_enabled=True,
        )


# A ping has to be known before anything is recorded for it.
make_all(pings)
