"""The stand-in is honest about being one, and behaves as the tests that use it expect."""

import asyncio
import warnings

import pytest

from classifiers.errors import InferenceError, Overloaded
from classifiers.fake import FakeClassifier, UnsafeStandIn
from classifiers.port import Pair, Role


def test_a_fake_classifier_warns_when_it_is_made():
    with pytest.warns(UnsafeStandIn, match="protects nobody"):
        FakeClassifier()


def test_a_fake_classifier_that_is_known_to_be_fake_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FakeClassifier(i_know_this_is_fake=True)


async def test_a_marker_word_gives_its_score_and_other_text_stays_low():
    fake = FakeClassifier({"PLOT": {"deception": 0.99}}, i_know_this_is_fake=True)
    plot, quiet = await fake.encode(["the PLOT", "a walk"])
    head = fake.head()
    assert head.read(Role.THINKING, plot).deception == pytest.approx(0.99)
    assert head.read(Role.THINKING, plot).dangerous_reasoning < 0.1
    assert max(head.read(Role.THINKING, quiet)) < 0.1
    assert head.read(Role.PROMPT, plot) == (0.0, 0.0)


async def test_a_marker_in_the_claim_is_a_mismatch():
    fake = FakeClassifier({"43": {"mismatch": 0.9}}, i_know_this_is_fake=True)
    scores = await fake.compare([Pair("It is 42.", "So 43."), Pair("It is 43.", "So 42.")])
    assert scores[0] == 0.9
    assert scores[1] < 0.1


async def test_it_raises_and_delays_when_told_to():
    fake = FakeClassifier(error=Overloaded("full"), delay=0.01, i_know_this_is_fake=True)
    started = asyncio.get_running_loop().time()
    with pytest.raises(Overloaded):
        await fake.encode(["x"])
    assert asyncio.get_running_loop().time() - started >= 0.009
    fake.error = None
    assert len(await fake.encode(["x"])) == 1


async def test_it_refuses_work_after_it_was_closed():
    fake = FakeClassifier(i_know_this_is_fake=True)
    await fake.aclose()
    with pytest.raises(InferenceError):
        await fake.compare([Pair("a", "b")])
