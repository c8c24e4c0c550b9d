"""Figures that a reviewer compares by eye must compare as the machine compared them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.port import Thresholds
from dashboard.render import beside, limit

LIMITS = Thresholds(flag=0.3844, block=0.9816)


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.5, "0.50"), (0.9785, "0.98"), (0.9849, "0.985"), (0.98161, "0.982"), (0.384, "0.38")],
)
def test_a_probability_has_as_many_decimals_as_it_needs(p, shown):
    assert beside(p, LIMITS) == shown


@pytest.mark.parametrize(("p", "shown"), [(0.5, "0.50"), (0.9816, "0.9816"), (1.0, "1.00")])
def test_a_threshold_is_shown_in_full(p, shown):
    assert limit(p) == shown


def test_without_thresholds_two_decimals_do():
    assert beside(0.98765, None) == "0.99"


@given(st.floats(0, 1))
def test_what_is_shown_lies_on_the_side_that_decided(p):
    shown = float(beside(p, LIMITS))
    assert all((shown >= one) == (p >= one) for one in LIMITS) or abs(shown - p) < 1e-6
