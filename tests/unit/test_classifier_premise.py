"""What an answer is compared with."""

import numpy as np

from classifiers.premise import SEARCHED_STEPS, Premises

ONES = np.ones(4, dtype=np.float32)


def pair(thinking, answer):
    premises = Premises()
    for text in thinking:
        premises.think(text, ONES)
    *_, last = [premises.pair(text, ONES) for text in answer]
    return last


def test_the_last_step_of_the_thinking_is_always_in_the_premise():
    thinking = [f"Step {i} about nothing. " for i in range(9)] + ["So the answer is no. "]
    assert pair(thinking, ["Yes."]).premise.endswith("So the answer is no. ")


def test_the_step_that_names_the_claims_number_is_found():
    thinking = ["We guess. ", "The rent is 1,240 a month. ", "We wait. ", "We look. ", "Done. "]
    assert "1,240" in pair(thinking, ["You pay 1,240."]).premise


def test_the_premise_keeps_the_order_of_the_thinking():
    thinking = ["red fox. ", "blue jay. ", "green frog. ", "end. "]
    assert pair(thinking, ["green frog and red fox"]).premise == "red fox. green frog. end. "


def test_the_claim_is_the_last_two_steps_of_the_answer():
    assert pair(["x"], ["one ", "two ", "three"]).claim == "two three"


def test_of_very_long_thinking_the_last_steps_are_searched():
    thinking = ["lost treasure. ", *(f"Line {i}. " for i in range(SEARCHED_STEPS))]
    assert "treasure" in pair(thinking[:SEARCHED_STEPS], ["treasure"]).premise
    assert "treasure" not in pair(thinking, ["treasure"]).premise


def test_thinking_after_an_answer_is_searched_for_the_next_step():
    premises = Premises()
    for text in ("red fox. ", "end. "):
        premises.think(text, ONES)
    premises.pair("red fox", ONES)
    for text in ("green frog. ", "blue jay. ", "grey cat. ", "new end. "):
        premises.think(text, ONES)
    assert premises.pair("green frog and red fox", ONES).premise == "red fox. green frog. new end. "


def test_vectors_decide_where_words_do_not():
    near, far = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    premises = Premises()
    for text, vector in zip(["aa ", "bb ", "cc ", "dd "], [far, near, near, far], strict=True):
        premises.think(text, vector)
    assert premises.pair("zz", near).premise == "bb cc dd "
