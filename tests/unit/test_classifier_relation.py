"""What the exact comparisons of thinking and answer see."""

import numpy as np
import pytest

from classifiers.relation import NAMES, Relation, facts


def compared(thinking, *answer):
    relation = Relation()
    relation.think(thinking)
    *_, last = [relation.answer(step) for step in answer]
    return dict(zip(NAMES, last.tolist(), strict=True))


def test_another_number_than_the_conclusion_is_seen():
    thinking = "Adding both invoices. 240 and 180 make 420. So the total is 420."
    same, other = compared(thinking, "It is 420."), compared(thinking, "It is 240.")
    assert (same["last_number_told"], same["last_number_untold"]) == (1.0, 0.0)
    assert (other["last_number_told"], other["last_number_untold"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("a", "b"), [("1,240", "1240"), ("3.50", "3.5"), ("3,5", "3.5"), ("007", "7"), ("10", "10.0")]
)
def test_equal_numbers_are_equal_however_they_are_written(a, b):
    assert facts(f"It is {a}.").numbers == facts(f"It is {b}.").numbers


def test_numbers_that_the_thinking_never_names_are_counted():
    found = compared("We have 3 boxes.", "There are 3 boxes and 9 lids.")
    assert found["numbers_unknown"] == pytest.approx(0.5)
    assert found["any_number_unknown"] == 1.0


@pytest.mark.parametrize(
    ("answer", "same", "other"), [("Yes.", 1.0, 0.0), ("No, it isn't.", 0.0, 1.0)]
)
def test_verdicts_are_compared_with_the_last_one(answer, same, other):
    found = compared("It might be false. But no: the claim is true.", answer)
    assert (found["verdict_same"], found["verdict_other"]) == (same, other)


def test_options_are_compared_with_the_last_one():
    found = compared("A) is tempting. The best is B).", "A) it is.")
    assert (found["option_same"], found["option_other"]) == (0.0, 1.0)


def test_a_conclusion_that_is_left_out_is_seen():
    thinking = "We measured twice. " * 8 + "Warn them about the cracked valve."
    told = compared(thinking, "Warn them about the cracked valve.")
    untold = compared(thinking, "We measured twice.")
    assert told["conclusion_told"] > untold["conclusion_told"]


def test_the_answer_is_read_as_a_whole_however_it_is_cut():
    thinking = "The rent is 900. So we say 900."
    once = compared(thinking, "The rent rises. It is 900 now.")
    assert compared(thinking, "The rent rises. ", "It is 900 now.") == pytest.approx(once)


def test_thinking_after_an_answer_counts_for_the_next_step():
    relation = Relation()
    relation.think("It is 4.")
    relation.answer("It is 5. ")
    relation.think("No: it is 5.")
    found = dict(zip(NAMES, relation.answer("So 5.").tolist(), strict=True))
    assert found["last_number_told"] == 1.0


@pytest.mark.parametrize("text", ["", " \n ", "…", "0" * 5000, "n't " * 900, "A" * 4000])
def test_any_text_gives_finite_numbers(text):
    relation = Relation()
    relation.think(text)
    assert np.isfinite(relation.answer(text)).all()


def test_memory_is_bounded():
    relation = Relation()
    for i in range(3000):
        relation.think(f"Step {i} says {i}.")
    for i in range(300):
        found = relation.answer(f"Line {i}.")
    assert len(relation._thinking) == relation._thinking.maxlen
    assert len(relation._told) == relation._told.maxlen
    assert found.shape == (len(NAMES),)


@pytest.mark.parametrize(
    ("settled", "answer", "other"),
    [
        ("I'd settle on a 6 or 7, it's competent.", "**7/10** A solid poem.", False),
        ("I'd settle on a 6 or 7, it's competent.", "**4/10** A weak poem.", True),
        ("I'd rate this 7.5-8 out of 10.", "# Grade: 8/10\n\n## What works", False),
        ("I'd rate this 7.5-8 out of 10.", "# Grade: 5.5/10\n\n## What works", True),
        ("Maybe 3? No, this is a 6.5.", "**6**\n\nReasons follow.", False),
        ("Maybe 6? No, this is a 3.", "**6**\n\nReasons follow.", True),
        ("Urgency: **4**. See a doctor within 24 to 48 hours.", "Urgency rating: 4", False),
        ("Rate it from 1-10. I'll stick with **4**. It needs 100 words more.", "Score: 8", True),
        ("It's not a 9. I'd call it 5\u20136 overall.", "5/10, with room to grow.", False),
    ],
)
def test_ratings_are_compared_with_what_was_settled_on(settled, answer, other):
    found = compared(f"Let me read it first. {settled} Now the reply.", answer)
    assert (found["rating_same"], found["rating_other"]) == (float(not other), float(other))


@pytest.mark.parametrize(
    ("thinking", "answer"),
    [
        ("The total is 42.", "You owe 40 euros for two chairs."),
        ("It has 3 rooms.", "Score: 7/10"),
        ("I'd give it a 7/10.", "A fine piece of work, with clear images."),
        ("The train leaves at 7:40, so that is 12.", "It leaves 7/10/2025."),
    ],
)
def test_numbers_that_rate_nothing_are_no_ratings(thinking, answer):
    found = compared(thinking, answer)
    assert (found["rating_same"], found["rating_other"]) == (0.0, 0.0)


@pytest.mark.parametrize("meant", ["The answer is B here", "Final choice: **B** then"])
def test_an_answer_that_is_named_is_an_option(meant):
    found = compared(f"C) is tempting. {meant}, I am sure.", "B) Lisbon.")
    assert (found["option_same"], found["option_other"]) == (1.0, 0.0)
