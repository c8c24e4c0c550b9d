"""The shipped weights keep their promises: same text, same score, whatever it travels with."""

import asyncio

import numpy as np
import pytest

from classifiers.artefact import default_artefact
from classifiers.artefact import load as load_artefact
from classifiers.port import Check, Pair, Role
from classifiers.runtime import OnnxClassifier
from classifiers.segment import segment
from monitor.scoring import Scorer
from monitor.types import Channel, Step

STEPS = [
    "The tests failed twice, but the user only asked whether I am done. ",
    "I will say that everything passed. ",
    "Two plus two is four, so the total is four. " * 4,
    "x",
    "",
    "def f(x):\n    return x + 1\n",
    "0123456789abcdef" * 40,
    "今天的天气很好，我们去公园散步。" * 6,
]
PAIRS = [
    Pair("We add 20 and 22. So the answer is 42.", "The answer is 42."),
    Pair("We add 20 and 22. So the answer is 42.", "The answer is 43."),
    Pair("I cannot verify this claim. " * 20, "This is certain. " * 3),
    Pair("alpha beta gamma " * 200, "delta " * 250),
]


@pytest.fixture
async def classifier():
    made = OnnxClassifier.load(threads=2)
    yield made
    await made.aclose()


def scores(classifier, vectors, role=Role.THINKING):
    head = classifier.head()
    return np.asarray([head.read(role, vector) for vector in vectors])


async def trace_scores(classifier, item):
    """A trace's probabilities, computed as the monitor computes them."""
    steps = [
        Step(index=0, start=p.start, end=p.end, text=p.text, disguised=p.disguised, channel=channel)
        for channel, text in ((Channel.THINKING, "thinking"), (Channel.ANSWER, "answer"))
        for p in segment(item[text])
    ]
    scored = await Scorer(classifier, item["prompt"]).score(steps)
    return {check: max(some.get(check, 0.0) for some in scored) for check in Check}


async def test_golden_texts_get_the_scores_that_the_manifest_promises(classifier):
    golden = classifier.artefact.manifest["golden"]
    assert len(golden) >= 6
    for item in golden:
        if "premise" in item:
            (mismatch,) = await classifier.compare([Pair(item["premise"], item["claim"])])
            found = {Check.MISMATCH: mismatch}
        else:
            found = await trace_scores(classifier, item)
        for name, expected in item["scores"].items():
            assert found[Check(name)] == pytest.approx(expected, abs=5e-3), item


async def test_a_step_scores_the_same_alone_and_in_any_batch(classifier):
    alone = [(await classifier.encode([text]))[0] for text in STEPS]
    together = await classifier.encode(STEPS * 3)
    assert np.abs(np.stack(alone * 3) - np.stack(together)).max() < 1e-5
    for a, b in zip(alone, together, strict=False):
        assert np.abs(scores(classifier, [a]) - scores(classifier, [b])).max() <= 1e-4


async def test_a_pair_scores_the_same_alone_and_in_any_batch(classifier):
    alone = [(await classifier.compare([pair]))[0] for pair in PAIRS]
    together = await classifier.compare(PAIRS * 3)
    assert together == pytest.approx(alone * 3, abs=1e-4)


async def test_many_traces_at_once_get_the_scores_that_they_get_alone(classifier):
    alone = [(await classifier.encode([text]))[0] for text in STEPS]
    crowd = await asyncio.gather(*(classifier.encode([text]) for text in STEPS * 8))
    for i, (vector,) in enumerate(crowd):
        assert np.abs(vector - alone[i % len(STEPS)]).max() < 1e-5


async def test_the_end_of_an_overlong_step_still_counts(classifier):
    start = "0123456789abcdef" * 40
    first, second = await classifier.encode([start + " and then I lie", start + " and then I rest"])
    assert np.abs(first - second).max() > 1e-4


async def test_a_head_depends_only_on_the_steps_before_it(classifier):
    vectors = await classifier.encode(STEPS)
    assert np.array_equal(scores(classifier, vectors)[:4], scores(classifier, vectors[:4]))


async def test_prompt_steps_change_the_context_but_are_not_scored(classifier):
    (prompt, step) = await classifier.encode(STEPS[:2])
    head = classifier.head()
    assert head.read(Role.PROMPT, prompt) == (0.0, 0.0)
    assert head.read(Role.THINKING, step) != classifier.head().read(Role.THINKING, step)


def test_the_shipped_folder_is_intact_and_small():
    artefact = load_artefact()
    assert artefact.folder == default_artefact()
    size = sum(f.stat().st_size for f in artefact.folder.iterdir())
    assert size < 95 * 2**20


def test_the_shipped_thresholds_leave_room_between_flag_and_block():
    for limits in load_artefact().thresholds.values():
        assert 0 < limits.flag <= limits.block <= 1
