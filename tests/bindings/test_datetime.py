"""Points in time from Python."""

import datetime

import pytest
from conftest import count_errors, describe, make_ping, read_pings

from glean_py.metrics import DatetimeMetricType, TimeUnit


def zone(**parts):
    return datetime.timezone(datetime.timedelta(**parts))


MOMENT = datetime.datetime(2021, 3, 4, 5, 6, 7, 123456, zone(hours=1))
# What the getter returns, its text, and the text in the ping.
BY_UNIT = [
    (TimeUnit.NANOSECOND, MOMENT, "2021-03-04T05:06:07.123456+01:00"),
    (TimeUnit.MICROSECOND, MOMENT, "2021-03-04T05:06:07.123456+01:00"),
    (TimeUnit.MILLISECOND, MOMENT.replace(microsecond=123000), "2021-03-04T05:06:07.123+01:00"),
    (TimeUnit.SECOND, MOMENT.replace(microsecond=0), "2021-03-04T05:06:07+01:00"),
    (TimeUnit.MINUTE, MOMENT.replace(microsecond=0, second=0), "2021-03-04T05:06+01:00"),
    (TimeUnit.HOUR, MOMENT.replace(microsecond=0, second=0, minute=0), "2021-03-04T05+01:00"),
    (TimeUnit.DAY, MOMENT.replace(microsecond=0, second=0, minute=0, hour=0), "2021-03-04+01:00"),
]


def make(unit=TimeUnit.NANOSECOND, **changes):
    return DatetimeMetricType(describe(**changes), unit)


def test_a_point_in_time_is_cut_to_the_unit(running):
    moments = make_ping("moments")
    metrics = [make(unit, pings=["moments"]) for unit, _, _ in BY_UNIT]
    for metric, (unit, value, _) in zip(metrics, BY_UNIT):
        metric.set(MOMENT)
        assert metric.test_get_value() == value, unit
        assert metric.test_get_value().utcoffset() == datetime.timedelta(hours=1)
        assert metric.test_get_value_as_str() == value.isoformat()
    moments.submit()
    (sent,) = read_pings(name="moments")
    assert sorted(sent.body["metrics"]["datetime"].values()) == sorted(text for _, _, text in BY_UNIT)


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2021, 3, 4, 5, 6, 7, 123456, zone(hours=-5)),
        datetime.datetime(2021, 3, 4, 5, 6, 7, 100000, zone(hours=5, minutes=45)),
        datetime.datetime(2021, 3, 4, 5, 6, 7, 0, zone(minutes=-30)),
        datetime.datetime(2021, 3, 4, 5, 6, 7, 1, zone(hours=23, minutes=59)),
        datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, zone(hours=0)),
        datetime.datetime(2100, 2, 28, tzinfo=zone(hours=0)),
        datetime.datetime(1, 1, 1, tzinfo=zone(hours=0)),
        datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, zone(hours=0)),
        datetime.datetime(2024, 2, 29, 12, tzinfo=zone(hours=0)),
    ],
    ids=str,
)
def test_a_point_in_time_comes_back_with_its_offset(running, value):
    metric = make()
    metric.set(value)
    assert metric.test_get_value() == value
    assert metric.test_get_value().utcoffset() == value.utcoffset()
    assert metric.test_get_value_as_str() == value.isoformat()
    assert count_errors(metric) == {}


def test_without_a_time_zone_it_counts_as_utc(running):
    metric = make()
    metric.set(datetime.datetime(2021, 3, 4, 5, 6))
    assert metric.test_get_value() == datetime.datetime(2021, 3, 4, 5, 6, tzinfo=datetime.timezone.utc)


def test_by_default_it_is_now_in_the_local_time_zone(running):
    metric = make()
    now = datetime.datetime.now(datetime.timezone.utc)
    metric.set()
    value = metric.test_get_value()
    # Two clocks of one machine may differ by what one of them takes to tick.
    assert abs(value - now) < datetime.timedelta(minutes=1)
    assert value.utcoffset() == value.astimezone().utcoffset()


def test_without_a_value_there_is_none(running):
    assert make().test_get_value() is None
    assert make().test_get_value_as_str() is None
    metric = make()
    metric.set()
    assert metric.test_get_value("other") is None


@pytest.mark.parametrize("value", [datetime.date(2021, 3, 4), datetime.time(5, 6), "2021-03-04", 0, False])
def test_what_is_no_datetime_is_an_attribute_error(running, value):
    metric = make()
    with pytest.raises(AttributeError):
        metric.set(value)
    assert metric.test_get_value() is None


@pytest.mark.parametrize(
    "text, value",
    [
        ("2021-03-04T05:06:07-05:30", datetime.datetime(2021, 3, 4, 5, 6, 7, 0, zone(hours=-5, minutes=-30))),
        ("2021-03-04T05:06:07.123456789+00:00", datetime.datetime(2021, 3, 4, 5, 6, 7, 123456, zone(hours=0))),
        ("2021-03-04T05:06:07.100+00:00", datetime.datetime(2021, 3, 4, 5, 6, 7, 100000, zone(hours=0))),
    ],
)
def test_every_form_of_the_text_in_a_ping_is_read(text, value):
    assert DatetimeMetricType._from_json(text) == value
