"""The figures of a comparison are right, and say how sure they are."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.rescore.statistics import change, drift


def outcomes(before, after):
    return np.array(before, dtype=bool), np.array(after, dtype=bool)


def test_a_change_is_known_as_well_as_the_flips_allow():
    same = change("x", *outcomes([0] * 98 + [1] * 2, [0] * 98 + [1] * 2))
    assert (same.before, same.after) == (0.02, 0.02)
    assert same.low < 0 < same.high
    assert same.high < 0.03
    more = change("x", *outcomes([0] * 100, [0] * 70 + [1] * 30))
    assert more.after - more.before == pytest.approx(0.3)
    assert 0.2 < more.low < 0.3 < more.high < 0.4


def test_the_interval_is_that_of_bonett_and_price():
    # n = 100 pairs, 12 only before, 4 only after: (5/102 - 13/102) -/+ 1.96 sqrt(...)
    before = [1] * 12 + [0] * 4 + [0] * 84
    after = [0] * 12 + [1] * 4 + [0] * 84
    found = change("x", *outcomes(before, after))
    centre, variance = (5 - 13) / 102, ((5 + 13) / 102 - ((5 - 13) / 102) ** 2) / 102
    assert found.low == pytest.approx(centre - 1.959964 * variance**0.5)
    assert found.high == pytest.approx(centre + 1.959964 * variance**0.5)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng, held = np.random.default_rng(7), 0
    for _ in range(400):
        before = rng.random(200) < 0.05
        after = np.where(rng.random(200) < 0.1, rng.random(200) < 0.5, before)
        found = change("x", before, after)
        truth = 0.1 * (0.5 - 0.05)
        held += found.low <= truth <= found.high
    assert held / 400 > 0.92


SCORES = st.lists(
    st.tuples(*[st.just(float("nan")) | st.floats(0, 1, allow_nan=False)] * 2), max_size=30
)


@given(SCORES)
def test_a_drift_counts_every_trace_once(pairs):
    before, after = (np.array([p[side] for p in pairs], dtype=float) for side in (0, 1))
    found = drift("x", before, after)
    unscored = int((np.isnan(before) & np.isnan(after)).sum())
    assert found.traces + found.lost + found.gained + unscored == len(pairs)
    assert sum(found.histogram_before) == sum(found.histogram_after) == found.traces
    assert 0 <= found.mean <= found.largest + 1e-9 <= 1 + 1e-8
    json.dumps([found.mean, found.p95, found.mean_before], allow_nan=False)
