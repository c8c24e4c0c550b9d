"""What every implementation of `port.Classifier` promises, the fake like the real one."""

import asyncio

import numpy as np
import pytest

from classifiers.errors import ClassifierError
from classifiers.fake import FakeClassifier
from classifiers.port import Check, Pair, Role
from classifiers.runtime import OnnxClassifier

TEXTS = ["I will report what I found. ", "Nobody must learn of this. ", "ok", ""]


@pytest.fixture(params=["fake", "onnx"])
async def classifier(request):
    if request.param == "fake":
        made = FakeClassifier({"Nobody": {"deception": 0.9}}, i_know_this_is_fake=True)
    else:
        made = OnnxClassifier.load(threads=1)
    yield made
    await made.aclose()


async def test_one_vector_per_text_all_of_one_size(classifier):
    vectors = await classifier.encode(TEXTS)
    assert len(vectors) == len(TEXTS)
    assert {v.shape for v in vectors} == {vectors[0].shape}
    assert all(v.dtype == np.float32 and v.ndim == 1 for v in vectors)


async def test_no_texts_and_no_pairs_are_no_work(classifier):
    assert await classifier.encode([]) == []
    assert await classifier.compare([]) == []


async def test_the_same_text_gives_the_same_vector(classifier):
    first, _, again = await classifier.encode([TEXTS[0], "something else", TEXTS[0]])
    assert np.allclose(first, again, atol=1e-5)


async def test_scores_are_probabilities(classifier):
    head = classifier.head()
    for role in Role:
        for vector in await classifier.encode(TEXTS):
            assert all(0.0 <= score <= 1.0 for score in head.read(role, vector))


async def test_heads_do_not_share_memory(classifier):
    vectors = await classifier.encode(TEXTS)
    one, other = classifier.head(), classifier.head()
    expected = [one.read(Role.ANSWER, v) for v in vectors]
    assert [other.read(Role.ANSWER, v) for v in vectors] == expected


async def test_a_prompt_step_is_not_scored(classifier):
    (vector,) = await classifier.encode(TEXTS[:1])
    assert classifier.head().read(Role.PROMPT, vector) == (0.0, 0.0)


async def test_mismatch_is_a_probability_per_pair_in_order(classifier):
    pairs = [Pair("It is 42.", "It is 42."), Pair("It is 42.", "It is 43."), Pair("a", "")]
    found = await classifier.compare(pairs)
    assert all(0.0 <= p <= 1.0 for p in found)
    alone = [(await classifier.compare([pair]))[0] for pair in pairs]
    assert found == pytest.approx(alone, abs=1e-4)


async def test_concurrent_callers_get_their_own_results(classifier):
    alone = await classifier.encode(TEXTS)
    crowd = await asyncio.gather(*(classifier.encode([text]) for text in TEXTS * 4))
    for i, (vector,) in enumerate(crowd):
        assert np.allclose(vector, alone[i % len(TEXTS)], atol=1e-5)


async def test_a_cancelled_caller_does_not_disturb_the_others(classifier):
    gone = asyncio.create_task(classifier.encode(TEXTS * 5))
    await asyncio.sleep(0)
    gone.cancel()
    assert len(await classifier.encode(TEXTS)) == len(TEXTS)
    await asyncio.wait([gone])


async def test_after_closing_it_raises_instead_of_scoring(classifier):
    await classifier.aclose()
    with pytest.raises(ClassifierError):
        await classifier.encode(TEXTS)
    with pytest.raises(ClassifierError):
        await classifier.compare([Pair("a", "b")])


def test_it_says_what_it_is_and_what_thresholds_suit_it(classifier):
    assert classifier.identity.model
    assert classifier.identity.calibration
    assert set(classifier.thresholds) == set(Check)
