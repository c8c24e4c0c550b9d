"""The bag of word pieces: the same in every order of arrival, bounded, silent about prompts."""

import numpy as np
import pytest

from classifiers.comparison import Comparison
from classifiers.lexical import BUCKETS, CHECKS, WIDTH, Reading, buckets, meaning, sum_up, words
from classifiers.port import Role

TABLE = np.random.default_rng(1).normal(size=(BUCKETS, WIDTH)).astype(np.float32)
TABLE[:, 0] = abs(TABLE[:, 0])


def vector(ids):
    return np.concatenate([np.ones(3, np.float32), sum_up(TABLE, ids)])


def test_neighbours_matter_and_repetition_does_not():
    assert set(buckets([5, 6])) != set(buckets([6, 5]))
    assert set(buckets([5, 5, 5])) == set(buckets([5, 5]))
    assert buckets([]).size == 0


def test_all_buckets_are_in_the_table():
    found = buckets(list(range(30522)))
    assert found.min() >= 0
    assert found.max() < BUCKETS
    assert len(found) > BUCKETS // 2


def test_a_vector_is_taken_apart_as_it_was_put_together():
    made = vector([7, 8, 9])
    assert meaning(made).tolist() == [1.0, 1.0, 1.0]
    assert words(made) == pytest.approx(sum_up(TABLE, [7, 8, 9]))


def test_the_order_of_the_steps_does_not_change_the_final_score():
    one, other = Reading(), Reading()
    a, b = sum_up(TABLE, [1, 2, 3]), sum_up(TABLE, [4, 5])
    one.read(Role.THINKING, a)
    other.read(Role.THINKING, b)
    assert one.read(Role.THINKING, b) == pytest.approx(other.read(Role.THINKING, a))


def test_a_prompt_says_nothing_and_roles_have_weights_of_their_own():
    summed = sum_up(TABLE, [1, 2, 3])
    assert Reading().read(Role.PROMPT, summed).tolist() == [0.0] * len(CHECKS)
    thought, said = (Reading().read(r, summed) for r in (Role.THINKING, Role.ANSWER))
    assert abs(thought - said).max() > 0


def test_without_thinking_there_is_nothing_to_compare():
    assert Comparison().answer("Yes.", vector([1])) is None


def test_a_pair_carries_what_is_known_of_the_trace():
    comparison = Comparison()
    comparison.think("It is 4. ", vector([1, 2]))
    pair = comparison.answer("It is 5.", vector([3]))
    assert (pair.premise, pair.claim) == ("It is 4. ", "It is 5.")
    assert pair.context.words == pytest.approx(
        np.stack([sum_up(TABLE, [1, 2]), sum_up(TABLE, [3])]), rel=1e-5
    )


def test_a_later_step_does_not_change_an_earlier_pair():
    comparison = Comparison()
    comparison.think("It is 4. ", vector([1, 2]))
    first = comparison.answer("One. ", vector([3]))
    before = first.context.words.copy()
    comparison.answer("Two. ", vector([4, 5]))
    assert np.array_equal(first.context.words, before)
