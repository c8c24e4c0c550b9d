"""No text is lost on the way to the encoders."""

import pytest

from classifiers.artefact import TOKENISER, default_artefact
from classifiers.port import Pair
from classifiers.tokenise import PAIR_WINDOW, STEP_WINDOW, Tokeniser


@pytest.fixture(scope="module")
def tokeniser():
    return Tokeniser(default_artefact() / TOKENISER)


def inner(window):
    return list(window.ids[1:-1])


def test_an_ordinary_step_is_one_window(tokeniser):
    (window,) = tokeniser.step("The tests passed, so I will say that they passed.")
    assert len(window.ids) == window.first < STEP_WINDOW


@pytest.mark.parametrize("text", ["x1" * 400, "0123456789abcdef" * 60, "好" * 300, "a b " * 500])
def test_a_dense_step_is_split_and_nothing_is_dropped(tokeniser, text):
    windows = tokeniser.step(text)
    assert all(len(w.ids) <= STEP_WINDOW for w in windows)
    joined = [i for w in windows for i in inner(w)]
    assert len(windows) > 1
    assert joined == list(tokeniser.ids(text))


def test_a_long_word_does_not_become_one_unknown_token(tokeniser):
    unknown = tokeniser._tokenizer.token_to_id("[UNK]")
    assert unknown not in tokeniser.ids("k" * 1500)


def test_windows_of_one_step_are_about_equally_long(tokeniser):
    sizes = [len(w.ids) for w in tokeniser.step("word " * 300)]
    assert max(sizes) - min(sizes) <= 1


def test_a_pair_marks_where_the_claim_begins(tokeniser):
    (window,) = tokeniser.pair(Pair("It is 42.", "It is 43."))
    claim = list(window.ids[window.first : -1])
    assert claim == tokeniser.ids("It is 43.")


def test_an_overlong_pair_puts_every_claim_part_against_every_premise_part(tokeniser):
    windows = tokeniser.pair(Pair("alpha beta " * 300, "gamma delta " * 120))
    assert all(len(w.ids) <= PAIR_WINDOW for w in windows)
    parts = {w.part for w in windows}
    assert len(parts) == 2
    assert len(windows) == len(parts) * len([w for w in windows if w.part == 0])
