"""Experiments from Python."""

import pytest
from conftest import make_ping, read_pings

from glean_py import Glean
from glean_py.metrics import RecordedExperiment


def test_an_experiment_is_active_until_it_is_not(running):
    assert not Glean.test_is_experiment_active("pricing")
    Glean.set_experiment_active("pricing", "cheap", {"key": "value", "NUL \0": "ü"})
    assert Glean.test_is_experiment_active("pricing")
    data = Glean.test_get_experiment_data("pricing")
    assert data == RecordedExperiment(branch="cheap", extra={"key": "value", "NUL \0": "ü"})
    Glean.set_experiment_active(experiment_id="pricing", branch="dear", extra={})
    assert Glean.test_get_experiment_data("pricing") == RecordedExperiment(branch="dear", extra=None)
    Glean.set_experiment_inactive("pricing")
    assert not Glean.test_is_experiment_active("pricing")
    with pytest.raises(RuntimeError, match="pricing"):
        Glean.test_get_experiment_data("pricing")


def test_long_texts_are_cut(running):
    Glean.set_experiment_active("i" * 101, "b" * 101, {"k" * 101: "v" * 101})
    data = Glean.test_get_experiment_data("i" * 100)
    assert data == RecordedExperiment(branch="b" * 100, extra={"k" * 100: "v" * 100})
    Glean.set_experiment_inactive("i" * 101)
    assert not Glean.test_is_experiment_active("i" * 100)


def test_of_many_extras_twenty_stay(running):
    Glean.set_experiment_active("many", "b", {str(number): "" for number in range(30)})
    assert len(Glean.test_get_experiment_data("many").extra) == 20
    Glean.set_experiment_inactive("many")


@pytest.mark.parametrize(
    "arguments, error",
    [
        ((5, "b"), TypeError),
        (("id", 5), TypeError),
        (("id", None), TypeError),
        (("id", "b", {"k": 5}), TypeError),
        (("id", "b", []), AttributeError),
        (("\ud800", "b"), UnicodeEncodeError),
    ],
)
def test_arguments_of_other_types_are_refused(running, arguments, error):
    with pytest.raises(error):
        Glean.set_experiment_active(*arguments)
    assert not Glean.test_is_experiment_active("id")


def test_experiments_from_before_initialize_are_in_pings(stopped, tmp_path):
    hollow = make_ping("hollow", send_if_empty=True)
    Glean.set_experiment_active("early", "b")
    Glean.set_experiment_active("gone", "b")
    Glean.set_experiment_inactive("gone")
    Glean.initialize("glean-tests", "1.0", True, data_dir=tmp_path)
    hollow.submit()
    assert Glean.test_is_experiment_active("early")
    (sent,) = read_pings(name="hollow")
    assert sent.body["ping_info"]["experiments"] == {"early": {"branch": "b"}}


def test_the_experimentation_id_is_in_pings(ping):
    with pytest.raises(RuntimeError):
        Glean.test_get_experimentation_id()
    Glean.set_experimentation_id("alpha")
    assert Glean.test_get_experimentation_id() == "alpha"
    make_ping("hollow", send_if_empty=True).submit()
    assert Glean.test_get_experimentation_id() == "alpha"
    (sent,) = read_pings(name="hollow")
    assert sent.body["metrics"]["string"] == {"glean.client.annotation.experimentation_id": "alpha"}
    with pytest.raises(TypeError):
        Glean.set_experimentation_id(5)  # type: ignore[arg-type]
