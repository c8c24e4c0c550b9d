"""What an answer is compared with."""

from collections import deque

import numpy as np

from classifiers import premise

ONES = np.ones(4, dtype=np.float32)


def pair(thinking, answer):
    return premise.pair(thinking, [ONES] * len(thinking), answer, ONES)


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


def test_bounded_queues_are_read_like_lists():
    thinking, answer = deque(["a ", "b "], maxlen=5), deque(["c"], maxlen=2)
    vectors = deque([ONES, ONES], maxlen=5)
    assert premise.pair(thinking, vectors, answer, ONES) == pair(["a ", "b "], ["c"])


def test_vectors_decide_where_words_do_not():
    near, far = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    thinking = ["aa ", "bb ", "cc ", "dd "]
    found = premise.pair(thinking, [far, near, near, far], ["zz"], near)
    assert found.premise == "bb cc dd "
