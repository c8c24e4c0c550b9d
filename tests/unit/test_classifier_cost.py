"""Comparing an answer with its thinking costs the same however long the thinking is."""

import sys
from itertools import count

import numpy as np
import pytest

from classifiers.comparison import Comparison
from classifiers.lexical import WIDTH
from classifiers.segment import segment

VECTOR = np.ones(3 + WIDTH, dtype=np.float32)
SENTENCE = "Some ordinary words that make up a sentence of usual length. "


def lines(call):
    """How many lines of Python a call executes: what it costs, on any machine."""
    counter = count()

    def trace(*_):
        next(counter)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return next(counter)


def cost(thinking, answer):
    """The lines that the answer's second step costs; the first one indexes the thinking."""
    comparison = Comparison()
    for piece in segment(thinking):
        comparison.think(piece.text, VECTOR)
    first, second = (piece.text for piece in segment(answer)[:2])
    comparison.answer(first, VECTOR)
    return lines(lambda: comparison.answer(second, VECTOR))


@pytest.mark.parametrize(
    "unit",
    [SENTENCE, "word ", "1", "1,", "\n", "\"'", "a;b;", "n't ", " Bob", "A) "],
    ids=["prose", "words", "digits", "commas", "lines", "quotes", "semis", "nots", "names", "ABC"],
)
def test_a_step_of_the_answer_costs_the_same_after_long_thinking(unit):
    answer = unit * 4000
    assert cost(unit * 20_000, answer) <= 1.2 * cost(unit * 2000, answer)
