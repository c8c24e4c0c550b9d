"""Coefficients of agreement are those of the literature, and say nothing where they cannot."""

import pytest

from dashboard.agreement import ENOUGH, alpha, by_people, kappa, overall
from monitor.store import Pair, Reading
from monitor.types import Check, Outcome

_ = None
#: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: nominal data, four
#: observers, missing answers; alpha = 0.743.
FOUR = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
#: Section A: binary data, two observers; alpha = 0.095.
MEG, OWEN = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
#: Section B: nominal data, two observers; alpha = 0.692.
BEN, GERRY = "aabbdcccedda", "babbbccceddd"


def units(*observers):
    return [[v for v in column if v is not None] for column in zip(*observers, strict=True)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (units(*FOUR), 0.743),
        (units(MEG, OWEN), 0.095),
        (units(BEN, GERRY), 0.692),
    ],
)
def test_alpha_is_that_of_the_examples_of_krippendorff(given, expected):
    assert alpha(given).value == pytest.approx(expected, abs=0.0005)


def table(both, first, second, neither):
    kinds = {("y", "y"): both, ("y", "n"): first, ("n", "y"): second, ("n", "n"): neither}
    return [kind for kind, count in kinds.items() for _ in range(count)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # https://en.wikipedia.org/wiki/Cohen%27s_kappa has these three tables.
        (table(20, 5, 10, 15), 0.4),
        (table(45, 15, 25, 15), 0.1304),
        (table(25, 35, 5, 35), 0.2593),
        # Fleiss, Levin, Paik, Statistical Methods for Rates and Proportions (2003), table 18.1.
        (
            [
                (a, b)
                for a, row in enumerate([(75, 1, 4), (5, 4, 1), (0, 0, 10)])
                for b, count in enumerate(row)
                for _ in range(count)
            ],
            0.6765,
        ),
    ],
)
def test_kappa_is_that_of_published_tables(given, expected):
    assert kappa(given).value == pytest.approx(expected, abs=0.0001)


def test_the_interval_of_kappa_is_near_that_of_its_standard_error():
    """The same table of Fleiss: a standard error of 0.0877, so 0.504 to 0.848."""
    cells = {(0, 0): 75, (0, 1): 1, (0, 2): 4, (1, 0): 5, (1, 1): 4, (1, 2): 1, (2, 2): 10}
    low, high = kappa([cell for cell, count in cells.items() for _ in range(count)]).bounds
    assert (low, high) == (pytest.approx(0.504, abs=0.04), pytest.approx(0.848, abs=0.04))


def test_the_same_answers_have_the_same_interval():
    given = table(20, 5, 10, 15)
    assert kappa(given) == kappa(list(reversed(given)))
    assert alpha(given).bounds[0] < alpha(given).value < alpha(given).bounds[1]


@pytest.mark.parametrize("coefficient", [alpha, kappa])
def test_where_all_say_the_same_chance_would_agree_too(coefficient):
    assert coefficient([("y", "y")] * 30) is None
    assert coefficient([]) is None


def reading(name, outcome, **meaning):
    found = {Check(check): value for check, value in meaning.items()}
    return Reading(reviewer=name, outcome=Outcome(outcome), meaning=found)


def pair(first, second):
    return Pair(first=first, second=second)


def test_a_check_is_compared_where_both_say_something_of_it():
    both = pair(reading("anna", "confirm", deception=True), reading("ben", "confirm"))
    more = pair(
        reading("anna", "confirm", deception=True), reading("ben", "dismiss", deception=False)
    )
    found = overall([both, more])
    assert [(found[q].total, found[q].agreed) for q in ("outcome", "deception", "mismatch")] == [
        (2, 1),
        (1, 0),
        (0, 0),
    ]
    assert found["mismatch"].share is None
    assert found["outcome"].coefficient is None, "of two verdicts no coefficient is told"


def test_two_people_are_compared_whoever_of_them_was_first():
    one = reading("anna", "confirm"), reading("ben", "dismiss")
    others = reading("ben", "confirm"), reading("anna", "dismiss")
    (found,) = by_people([pair(*one)] * ENOUGH + [pair(*others)] * ENOUGH)
    assert (found.names, found.about["outcome"].total) == (("anna", "ben"), 2 * ENOUGH)
    assert found.about["outcome"].coefficient.value == pytest.approx(-1)
    apart = by_people([pair(*one), pair(reading("cleo", "confirm"), reading("anna", "confirm"))])
    assert [people.names for people in apart] == [("anna", "ben"), ("anna", "cleo")]
