"""A chosen threshold keeps what was asked for, and what is told of it is not too good."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.choice import (
    Label,
    by_capacity,
    by_rate,
    effect,
    known,
    labels_of,
    reaching,
    wilson,
)
from monitor.store import Answered
from monitor.store.counts import STEPS
from monitor.types import Check, Outcome


def counted(values):
    scores = np.zeros(STEPS + 1, np.uint32)
    for value in values:
        scores[int(value * STEPS)] += 1
    return scores


def label(score, *, positive):
    return Label(score=score, positive=positive, created_at="2026")


# Between the steps, and the highest score of all.
_steps = st.integers(0, STEPS).map(lambda step: min((step + 0.5) / STEPS, 1.0))
_traffic = st.lists(st.tuples(_steps, st.sampled_from([None, True, False])), max_size=60)


@given(_traffic, st.sampled_from([0, 0.01, 0.1, 0.5, 1]))
def test_the_rate_is_kept_and_nothing_lower_keeps_it(traffic, rate):
    scores = counted(score for score, _ in traffic)
    week = [label(s, positive=said) for s, said in traffic if said is not None]

    def wrong(at):
        return sum(s >= at and said is not True for s, said in traffic)

    rest = sum(said is not True for _, said in traffic)
    chosen = by_rate(scores, week, rate)
    fits = wrong(chosen) <= rate * rest
    # A score of 1 is reached by every threshold.
    assert fits or chosen == 1
    if chosen > 1 / STEPS and fits:
        assert wrong(chosen - 1 / STEPS) > rate * rest


@given(st.lists(_steps, max_size=60), st.integers(0, 20))
def test_the_capacity_is_kept_and_nothing_lower_keeps_it(values, per_day):
    chosen = by_capacity(counted(values), 2, per_day)
    flagged = sum(value >= chosen for value in values)
    assert flagged <= 2 * per_day or chosen == 1
    if chosen > 1 / STEPS and chosen < 1:
        assert sum(value >= chosen - 1 / STEPS for value in values) > 2 * per_day


def test_reaching_counts_from_each_step_on():
    found = reaching(counted([0.1, 0.5, 0.5, 1.0]))
    assert found[[0, 100, 101, 500, 501, 1000]].tolist() == [4, 4, 3, 3, 1, 1]


def test_what_nobody_confirmed_counts_as_wrongly_flagged():
    values = [0.2, 0.6, 0.7, 0.8, 0.9]
    week = [label(0.9, positive=True), label(0.8, positive=False), label(0.2, positive=True)]
    found = effect(counted(values), week, 0.65, 3)
    assert (found.flagged, found.confirmed, found.total) == (3, 1, 5)
    assert found.rate == 2 / 3
    assert effect(counted([]), [], 0.5, 0).rate is None


def test_labels_speak_of_what_was_right_wrong_and_missed():
    labels = [label(0.9, positive=True)] * 3 + [
        label(0.7, positive=False),
        label(0.1, positive=True),
    ]
    found = known(labels, 0.7)
    assert (found.right, found.wrong, found.missed) == (3, 1, 1)
    part, low, high = found.precision
    assert part == 0.75
    assert 0 < low < part < high < 1
    assert known([], 0.5).precision is None


def test_bounds_are_those_of_the_book():
    # Newcombe (1998), table I: 81 of 263, and 0 of 20.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def answered(outcome, said, crossed=(Check.DECEPTION,)):
    return Answered(
        created_at="2026",
        scores={Check.DECEPTION: 0.8},
        crossed=frozenset(crossed),
        outcome=outcome,
        said=said,
    )


@pytest.mark.parametrize(
    ("outcome", "said", "crossed", "expected"),
    [
        (Outcome.CONFIRM, {}, [Check.DECEPTION], [True]),
        (Outcome.DISMISS, {}, [Check.DECEPTION], [False]),
        (Outcome.CONFIRM, {}, [], []),
        (Outcome.CONFIRM, {Check.DECEPTION: False}, [Check.DECEPTION], [False]),
        (Outcome.ESCALATE, {}, [Check.DECEPTION], []),
        (Outcome.ESCALATE, {Check.DECEPTION: True}, [], [True]),
        (Outcome.DISMISS, {Check.MISMATCH: True}, [Check.MISMATCH], []),
    ],
)
def test_an_answer_labels_what_it_speaks_of(outcome, said, crossed, expected):
    found = labels_of(Check.DECEPTION, [answered(outcome, said, crossed)])
    assert [one.positive for one in found] == expected


def test_what_could_not_be_scored_has_no_label():
    assert labels_of(Check.MISMATCH, [answered(Outcome.CONFIRM, {Check.MISMATCH: True})]) == []
