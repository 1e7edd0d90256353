"""Denominators from Python."""

import pytest
from conftest import count_errors, describe

from glean_py.metrics import DenominatorMetricType, NumeratorMetricType, Rate


def test_a_denominator_counts_for_itself_and_for_its_numerators(running):
    descriptions = [describe(), describe(pings=["other"])]
    first, second = [NumeratorMetricType(description) for description in descriptions]
    denominator = DenominatorMetricType(describe(), descriptions)
    denominator.add(2)
    denominator.add()
    first.add_to_numerator(1)
    assert denominator.test_get_value() == 3
    assert first.test_get_value() == Rate(numerator=1, denominator=3)
    assert second.test_get_value() == Rate(numerator=0, denominator=3)


@pytest.mark.parametrize("amount", [0, -1])
def test_zero_and_negative_amounts_are_errors_and_change_nothing(running, amount):
    description = describe()
    numerator = NumeratorMetricType(description)
    denominator = DenominatorMetricType(describe(), [description])
    denominator.add(amount)
    assert denominator.test_get_value() is None
    assert numerator.test_get_value() is None
    assert count_errors(denominator) == {"INVALID_VALUE": 1}


@pytest.mark.parametrize("amount, error", [(1.0, TypeError), (2**31, ValueError)])
def test_an_amount_has_to_be_an_integer_of_32_bits(running, amount, error):
    with pytest.raises(error):
        DenominatorMetricType(describe(), []).add(amount)


def test_numerators_have_to_be_descriptions(running):
    with pytest.raises(TypeError):
        DenominatorMetricType(describe(), None)
    with pytest.raises(AttributeError):
        DenominatorMetricType(describe(), ["name"])  # type: ignore[list-item]
