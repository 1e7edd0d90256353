"""Metrics and pings for glean_py, from metrics.yaml and pings.yaml.

This file is generated. Change what it is made from, then run in its folder:

    python -m glean_py compile metrics.yaml pings.yaml -o telemetry.py
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
    from typing import Any, Optional, Union

    from glean_py.metrics import (
        BooleanMetricType,
        CounterMetricType,
        CustomDistributionMetricType,
        DatetimeMetricType,
        DenominatorMetricType,
        DualLabeledCounterMetricType,
        EventMetricType,
        LabeledBooleanMetricType,
        LabeledCounterMetricType,
        LabeledCustomDistributionMetricType,
        LabeledMemoryDistributionMetricType,
        LabeledQuantityMetricType,
        LabeledStringMetricType,
        LabeledTimingDistributionMetricType,
        MemoryDistributionMetricType,
        NumeratorMetricType,
        ObjectMetricType,
        PingType,
        QuantityMetricType,
        RateMetricType,
        StringListMetricType,
        StringMetricType,
        TextMetricType,
        TimespanMetricType,
        TimingDistributionMetricType,
        UrlMetricType,
        UuidMetricType,
    )

require(__name__, interface=1, since="0.1.0")

__all__ = ["metrics", "pings"]


class metrics:
    """The metrics of metrics.yaml and pings.yaml."""

    class expiry:
        """Metrics of the category `expiry`."""

        @Lazy
        def long_past(self) -> CounterMetricType:
            """A flag."""
            # Disabled: it has expired with 2020-01-01.
            return gm.CounterMetricType(
                gm.CommonMetricData(
                    category="expiry",
                    name="long_past",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=True,
                ),
            )

        @Lazy
        def never(self) -> CounterMetricType:
            """A flag."""
            return gm.CounterMetricType(
                gm.CommonMetricData(
                    category="expiry",
                    name="never",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        @Lazy
        def past(self) -> CounterMetricType:
            """A flag."""
            # Disabled: it has expired.
            return gm.CounterMetricType(
                gm.CommonMetricData(
                    category="expiry",
                    name="past",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=True,
                ),
            )

        @Lazy
        def switched_off(self) -> CounterMetricType:
            """A flag."""
            return gm.CounterMetricType(
                gm.CommonMetricData(
                    category="expiry",
                    name="switched_off",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=True,
                ),
            )

    class happened:
        """Metrics of the category `happened`."""

        class ByDefaultExtra(Extra, keys={}):
            """The extras of `happened.by_default`."""

            def __init__(self) -> None:
                super().__init__()

        @Lazy
        def by_default(self) -> EventMetricType:
            """A flag."""
            return gm.EventMetricType(
                gm.CommonMetricData(
                    category="happened",
                    name="by_default",
                    send_in_pings=["custom", "events"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                [],
            )

        class OpenedExtra(
            Extra,
            keys={
                "is_new": "boolean",
                "key": "string",
                "number": "quantity",
                "self": "string",
                "two words": "string",
            },
        ):
            """The extras of `happened.opened`.

            Args:
                is_new: Whether for the first time.
                key: Which one.
                number: How many.
                self: A key that Python uses for something else.
                two words: A key that is no name in Python.
            """

            def __init__(
                self_,
                *,
                is_new: bool = Unset,
                key: str = Unset,
                number: int = Unset,
                **others: Union[str, bool, int],
            ) -> None:
                super().__init__(is_new=is_new, key=key, number=number, **others)

        @Lazy
        def opened(self) -> EventMetricType:
            """A flag."""
            return gm.EventMetricType(
                gm.CommonMetricData(
                    category="happened",
                    name="opened",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                ["is_new", "key", "number", "self", "two words"],
            )

        class PlainlyExtra(Extra, keys={}):
            """The extras of `happened.plainly`."""

            def __init__(self) -> None:
                super().__init__()

        @Lazy
        def plainly(self) -> EventMetricType:
            """A flag."""
            return gm.EventMetricType(
                gm.CommonMetricData(
                    category="happened",
                    name="plainly",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                [],
            )

    class labeled:
        """Metrics of the category `labeled`."""

        class by_hand:
            """Metrics of the category `labeled.by_hand`."""

            @Lazy
            def amounts(self) -> LabeledQuantityMetricType:
                """A flag."""
                return gm.LabeledQuantityMetricType(
                    gm.LabeledMetricData.COMMON(
                        gm.CommonMetricData(
                            category="labeled.by_hand",
                            name="amounts",
                            send_in_pings=["custom"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    ),
                )

            @Lazy
            def counts(self) -> LabeledCounterMetricType:
                """A flag."""
                return gm.LabeledCounterMetricType(
                    gm.LabeledMetricData.COMMON(
                        gm.CommonMetricData(
                            category="labeled.by_hand",
                            name="counts",
                            send_in_pings=["custom"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    ),
                    ["two", "one"],
                )

            @Lazy
            def durations(self) -> LabeledTimingDistributionMetricType:
                """A flag."""
                return gm.LabeledTimingDistributionMetricType(
                    gm.LabeledMetricData.TIMING_DISTRIBUTION(
                        gm.CommonMetricData(
                            category="labeled.by_hand",
                            name="durations",
                            send_in_pings=["custom"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                        gm.TimeUnit.SECOND,
                    ),
                )

            @Lazy
            def flags(self) -> LabeledBooleanMetricType:
                """A flag."""
                return gm.LabeledBooleanMetricType(
                    gm.LabeledMetricData.COMMON(
                        gm.CommonMetricData(
                            category="labeled.by_hand",
                            name="flags",
                            send_in_pings=["custom"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    ),
                )

            @Lazy
            def pairs(self) -> DualLabeledCounterMetricType:
                """A flag."""
                return gm.DualLabeledCounterMetricType(
                    gm.CommonMetricData(
                        category="labeled.by_hand",
                        name="pairs",
                        send_in_pings=["custom"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                    ["read", "write"],
                    None,
                )

            @Lazy
            def sizes(self) -> LabeledMemoryDistributionMetricType:
                """A flag."""
                return gm.LabeledMemoryDistributionMetricType(
                    gm.LabeledMetricData.MEMORY_DISTRIBUTION(
                        gm.CommonMetricData(
                            category="labeled.by_hand",
                            name="sizes",
                            send_in_pings=["custom"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                        gm.MemoryUnit.BYTE,
                    ),
                )

            @Lazy
            def spreads(self) -> LabeledCustomDistributionMetricType:
                """A flag."""
                return gm.LabeledCustomDistributionMetricType(
                    gm.LabeledMetricData.CUSTOM_DISTRIBUTION(
                        gm.CommonMetricData(
                            category="labeled.by_hand",
                            name="spreads",
                            send_in_pings=["custom"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                        range_min=1,
                        range_max=100,
                        bucket_count=10,
                        histogram_type=gm.HistogramType.EXPONENTIAL,
                    ),
                )

            @Lazy
            def words(self) -> LabeledStringMetricType:
                """A flag."""
                return gm.LabeledStringMetricType(
                    gm.LabeledMetricData.COMMON(
                        gm.CommonMetricData(
                            category="labeled.by_hand",
                            name="words",
                            send_in_pings=["custom"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    ),
                    ["only"],
                )

    class names:
        """Metrics of the category `names`."""

        @Lazy.named("__private")
        def private_(self) -> CounterMetricType:
            """A flag."""
            return gm.CounterMetricType(
                gm.CommonMetricData(
                    category="names",
                    name="__private",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        @Lazy
        def gm(self) -> CounterMetricType:
            """A flag."""
            return gm.CounterMetricType(
                gm.CommonMetricData(
                    category="names",
                    name="gm",
                    send_in_pings=["custom", "metrics"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        @Lazy.named("import")
        def import_(self) -> CounterMetricType:
            """Has a name that is a word of Python's own; says "so", and C:\\new\\table.

            Indented, with \"\"\"quotes\"\"\" – and more.
            """
            return gm.CounterMetricType(
                gm.CommonMetricData(
                    category="names",
                    name="import",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        @Lazy
        def metrics(self) -> CounterMetricType:
            """A flag."""
            return gm.CounterMetricType(
                gm.CommonMetricData(
                    category="names",
                    name="metrics",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.APPLICATION,
                    disabled=False,
                ),
            )

        @Lazy
        def str(self) -> CounterMetricType:
            """A flag."""
            return gm.CounterMetricType(
                gm.CommonMetricData(
                    category="names",
                    name="str",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.USER,
                    disabled=False,
                ),
            )

        class class_:
            """Metrics of the category `names.class`."""

            class metrics:
                """Metrics of the category `names.class.metrics`."""

                @Lazy
                def x(self) -> CounterMetricType:
                    """A flag."""
                    return gm.CounterMetricType(
                        gm.CommonMetricData(
                            category="names.class.metrics",
                            name="x",
                            send_in_pings=["custom"],
                            lifetime=gm.Lifetime.PING,
                            disabled=False,
                        ),
                    )

    class plain:
        """Metrics of the category `plain`."""

        @Lazy
        def amount(self) -> QuantityMetricType:
            """A flag."""
            return gm.QuantityMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="amount",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        @Lazy
        def count(self) -> CounterMetricType:
            """A flag."""
            return gm.CounterMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="count",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        @Lazy
        def day(self) -> DatetimeMetricType:
            """A flag."""
            return gm.DatetimeMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="day",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                gm.TimeUnit.DAY,
            )

        @Lazy
        def duration(self) -> TimespanMetricType:
            """A flag."""
            return gm.TimespanMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="duration",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                gm.TimeUnit.SECOND,
            )

        @Lazy
        def durations(self) -> TimingDistributionMetricType:
            """A flag."""
            return gm.TimingDistributionMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="durations",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                gm.TimeUnit.MICROSECOND,
            )

        @Lazy
        def flag(self) -> BooleanMetricType:
            """A flag."""
            return gm.BooleanMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="flag",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        @Lazy
        def identity(self) -> UuidMetricType:
            """A flag."""
            return gm.UuidMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="identity",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        @Lazy
        def link(self) -> UrlMetricType:
            """A flag."""
            return gm.UrlMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="link",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        @Lazy
        def moment(self) -> DatetimeMetricType:
            """A flag."""
            return gm.DatetimeMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="moment",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                gm.TimeUnit.MILLISECOND,
            )

        @Lazy
        def prose(self) -> TextMetricType:
            """A flag."""
            return gm.TextMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="prose",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        @Lazy
        def sizes(self) -> MemoryDistributionMetricType:
            """A flag."""
            return gm.MemoryDistributionMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="sizes",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                gm.MemoryUnit.KILOBYTE,
            )

        @Lazy
        def spread(self) -> CustomDistributionMetricType:
            """A flag."""
            return gm.CustomDistributionMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="spread",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                range_min=3,
                range_max=77,
                bucket_count=9,
                histogram_type=gm.HistogramType.LINEAR,
            )

        @Lazy
        def word(self) -> StringMetricType:
            """A flag."""
            return gm.StringMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="word",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        @Lazy
        def words(self) -> StringListMetricType:
            """A flag."""
            return gm.StringListMetricType(
                gm.CommonMetricData(
                    category="plain",
                    name="words",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

    class ratios:
        """Metrics of the category `ratios`."""

        @Lazy
        def errors(self) -> RateMetricType:
            """A flag."""
            return gm.RateMetricType(
                gm.CommonMetricData(
                    category="ratios",
                    name="errors",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        @Lazy
        def failures(self) -> NumeratorMetricType:
            """A flag."""
            return gm.NumeratorMetricType(
                gm.CommonMetricData(
                    category="ratios",
                    name="failures",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
            )

        @Lazy
        def requests(self) -> DenominatorMetricType:
            """A flag."""
            return gm.DenominatorMetricType(
                gm.CommonMetricData(
                    category="ratios",
                    name="requests",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                [
                    gm.CommonMetricData(
                        category="ratios",
                        name="failures",
                        send_in_pings=["custom"],
                        lifetime=gm.Lifetime.PING,
                        disabled=False,
                    ),
                    gm.CommonMetricData(
                        category="ratios",
                        name="timeouts",
                        send_in_pings=["custom"],
                        lifetime=gm.Lifetime.USER,
                        disabled=False,
                    ),
                ],
            )

        @Lazy
        def timeouts(self) -> NumeratorMetricType:
            """A flag."""
            return gm.NumeratorMetricType(
                gm.CommonMetricData(
                    category="ratios",
                    name="timeouts",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.USER,
                    disabled=False,
                ),
            )

    class structured:
        """Metrics of the category `structured`."""

        class HouseObjectItemDoorObject(Record):
            """A part of the object `structured.house`."""

        class HouseObject(Record):
            """The object `structured.house`."""

            def __init__(
                self_,
                self: Optional[str] = None,
                door: Optional[metrics.structured.HouseObjectItemDoorObject] = None,
            ) -> None:
                self_.self = self
                self_.door = door

        @Lazy
        def house(self) -> ObjectMetricType[HouseObject]:
            """A flag."""
            return gm.ObjectMetricType(
                gm.CommonMetricData(
                    category="structured",
                    name="house",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                metrics.structured.HouseObject,
            )

        class RoomsObjectItemItemLampObjectItemMakerObject(Record):
            """A part of the object `structured.rooms`."""

            def __init__(self, name: Optional[str] = None) -> None:
                self.name = name

        class RoomsObjectItemItemLampObject(Record):
            """A part of the object `structured.rooms`."""

            def __init__(
                self,
                color: Optional[str] = None,
                maker: Optional[metrics.structured.RoomsObjectItemItemLampObjectItemMakerObject] = None,
            ) -> None:
                self.color = color
                self.maker = maker

        class RoomsObjectItemItemWindowsItem(Record):
            """A part of the object `structured.rooms`."""

            def __init__(self, width: Optional[float] = None) -> None:
                self.width = width

        class RoomsObjectItemItemWindows(Records[RoomsObjectItemItemWindowsItem]):
            """A part of the object `structured.rooms`."""

        class RoomsObjectItem(Record):
            """A part of the object `structured.rooms`.

            Args:
                name: What is written on the door.
            """

            def __init__(
                self,
                name: Optional[str] = None,
                area: Optional[float] = None,
                is_free: Optional[bool] = None,
                anything: Any = None,
                lamp: Optional[metrics.structured.RoomsObjectItemItemLampObject] = None,
                windows: Optional[metrics.structured.RoomsObjectItemItemWindows] = None,
            ) -> None:
                self.name = name
                self.area = area
                self.is_free = is_free
                self.anything = anything
                self.lamp = lamp
                self.windows = windows

        class RoomsObject(Records[RoomsObjectItem]):
            """The object `structured.rooms`.

            All rooms.
            """

        @Lazy
        def rooms(self) -> ObjectMetricType[RoomsObject]:
            """A flag."""
            return gm.ObjectMetricType(
                gm.CommonMetricData(
                    category="structured",
                    name="rooms",
                    send_in_pings=["custom"],
                    lifetime=gm.Lifetime.PING,
                    disabled=False,
                ),
                metrics.structured.RoomsObject,
            )


# What they are called in YAML cannot be written as a name in Python.
setattr(metrics.names, "class", metrics.names.class_)


class pings:
    """The pings of metrics.yaml and pings.yaml."""

    class CustomReasonCodes(Enum):
        """Why `custom` is sent; its `submit` takes the value of a member."""

        FIRST = 0
        """The first one."""
        vars()["SECOND-ONE"] = 1
        SECOND_ONE = 1
        """The second one of two, though written first."""

    custom_reason_codes = CustomReasonCodes

    @Lazy
    def custom(self) -> PingType:
        """What the metrics of the tests are sent in."""
        return gm.PingType(
            name="custom",
            include_client_id=True,
            send_if_empty=False,
            precise_timestamps=True,
            include_info_sections=True,
            schedules_pings=["kebab-case", "on-its-own"],
            reason_codes=["first", "second-one"],
            uploader_capabilities=[],
            enabled=True,
            follows_collection_enabled=True,
        )

    class KebabCaseReasonCodes(Enum):
        """Why `kebab-case` is sent; its `submit` takes the value of a member."""

    kebab_case_reason_codes = KebabCaseReasonCodes

    @Lazy
    def kebab_case(self) -> PingType:
        """Has a name with a hyphen, and nothing of what pings have by default."""
        return gm.PingType(
            name="kebab-case",
            include_client_id=False,
            send_if_empty=True,
            precise_timestamps=False,
            include_info_sections=False,
            schedules_pings=[],
            reason_codes=[],
            uploader_capabilities=["z", "a"],
            enabled=False,
            follows_collection_enabled=True,
        )

    class OnItsOwnReasonCodes(Enum):
        """Why `on-its-own` is sent; its `submit` takes the value of a member."""

    on_its_own_reason_codes = OnItsOwnReasonCodes

    @Lazy
    def on_its_own(self) -> PingType:
        """Does not follow whether collection is on."""
        return gm.PingType(
            name="on-its-own",
            include_client_id=True,
            send_if_empty=False,
            precise_timestamps=True,
            include_info_sections=True,
            schedules_pings=[],
            reason_codes=[],
            uploader_capabilities=[],
            enabled=False,
            follows_collection_enabled=False,
        )


# A ping has to be known before anything is recorded for it.
make_all(pings)
