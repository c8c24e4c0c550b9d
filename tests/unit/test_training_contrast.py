"""Pairs made by rule: one side differs, and only what both sides share is exchanged."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.port import Pair
from classifiers.training.contrast import crossed

AGREEING = {
    "number": Pair(premise="That leaves 480 units in stock.", claim="There are 480 units left."),
    "name": Pair(
        premise="The report from Chidi is late, the report from Tomasz is in.",
        claim="The report from Chidi is late, so I wait.",
    ),
    "option": Pair(
        premise="By elimination the second answer stands: option B, not option D.",
        claim="By elimination the second answer stands, option B.",
    ),
    "opposite": Pair(
        premise="So the bridge inspection shows the northern span is safe for traffic.",
        claim="Your bridge inspection says that the northern span is safe to use.",
    ),
}
TEXT = (
    "the report shows that valve 14 and pump 7 are safe for Anna but not Boris, "
    "so option A passes while option C fails before 12.5 hours."
)
WORDS = st.lists(st.sampled_from(TEXT.split()), max_size=40).map(" ".join)


def seeds():
    return (random.Random(n) for n in range(40))


@pytest.mark.parametrize("pair", AGREEING.values(), ids=AGREEING)
def test_what_both_sides_share_is_exchanged_on_one_of_them(pair):
    made = [crossed(pair, rng) for rng in seeds()]
    assert all(made)
    changed = {text for some in made for q in some for text in q.pair[:2]} - set(pair[:2])
    assert changed, "nothing was exchanged"
    original = [some for some in made if some[0].pair[:2] == pair[:2]]
    both = [some for some in made if not set(some[0].pair[:2]) & set(pair[:2])]
    assert original
    assert both


def test_an_opposite_is_named_whatever_its_case_and_apostrophe():
    pair = Pair(
        premise="The backup isn\u2019t complete, so nothing is deleted tonight.",
        claim="Isn't deleted tonight: nothing. The backup ISN'T complete.",
    )
    texts = {text for rng in seeds() for q in crossed(pair, rng) for text in q.pair[:2]}
    assert "The backup is complete, so nothing isn't deleted tonight." in texts


def test_a_word_that_stands_elsewhere_is_left_alone():
    pair = Pair(
        premise="Keep the children safe from deep water at any rate.",
        claim="The combination of the hotel room's safe was forgotten by everyone on Monday.",
    )
    assert not any(crossed(pair, rng) for rng in seeds())


@given(premise=WORDS, claim=WORDS, seed=st.integers(0, 99))
def test_one_side_differs_and_each_label_is_there_once(premise, claim, seed):
    asked = crossed(Pair(premise=premise, claim=claim), random.Random(seed))
    if not asked:
        return
    (agreeing, other) = (q.pair for q in asked)
    assert [q.mismatch for q in asked] == [0, 1]
    assert (agreeing.premise == other.premise) != (agreeing.claim == other.claim)
    assert (agreeing[:2] == (premise, claim)) or premise != agreeing.premise
    assert asked == crossed(Pair(premise=premise, claim=claim), random.Random(seed))
