"""Attribution and distribution from Python."""

import pytest
from conftest import make_ping, read_pings

from glean_py import Glean
from glean_py.metrics import AttributionMetrics, DistributionMetrics


def test_an_update_sets_what_is_given(ping):
    assert Glean.test_get_attribution() == AttributionMetrics()
    Glean.update_attribution(AttributionMetrics(source="search", term="ü"))
    Glean.update_attribution(AttributionMetrics(medium="cpc", term="glean"))
    assert Glean.test_get_attribution() == AttributionMetrics(source="search", medium="cpc", term="glean")
    Glean.update_distribution(DistributionMetrics(name="store"))
    assert Glean.test_get_distribution() == DistributionMetrics(name="store")
    make_ping("hollow", send_if_empty=True).submit()
    assert Glean.test_get_distribution() == DistributionMetrics(name="store")
    (sent,) = read_pings(name="hollow")
    assert sent.body["client_info"]["attribution"] == {"source": "search", "medium": "cpc", "term": "glean"}
    assert sent.body["client_info"]["distribution"] == {"name": "store"}
    Glean.clear_attribution()
    Glean.clear_distribution()
    assert Glean.test_get_attribution() == AttributionMetrics()
    assert Glean.test_get_distribution() == DistributionMetrics()


def test_updates_from_before_initialize_count_after_the_last_clear(stopped, tmp_path):
    Glean.update_attribution(AttributionMetrics(source="lost"))
    Glean.clear_attribution()
    Glean.update_attribution(AttributionMetrics(campaign="kept"))
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    assert Glean.test_get_attribution() == AttributionMetrics(campaign="kept")


def test_fields_of_other_types_are_refused(running):
    with pytest.raises(TypeError):
        Glean.update_attribution(AttributionMetrics(source=5))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        Glean.update_attribution(DistributionMetrics(name="x"))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        Glean.update_distribution(None)
    with pytest.raises(UnicodeEncodeError):
        Glean.update_distribution(DistributionMetrics(name="\ud800"))
    with pytest.raises(TypeError):
        AttributionMetrics("positional")  # type: ignore[call-arg]
    assert Glean.test_get_attribution() == AttributionMetrics()


def test_there_is_none_before_initialize(stopped):
    with pytest.raises(RuntimeError):
        Glean.test_get_attribution()
    with pytest.raises(RuntimeError):
        Glean.test_get_distribution()
