"""Three doors, one answer, with the model that ships: batches and chunks do not move scores."""

import asyncio
import random

import pytest

from classifiers.port import Check
from classifiers.runtime import OnnxClassifier
from monitor.engine import Engine
from monitor.policy import Policy
from monitor.rulebook import Rulebook
from monitor.types import Channel, Delta, Part, Trace, coalesce
from stream.replay import recorded
from tests.support import Recorded

#: Floating point may differ in the last digits between batch shapes; probabilities may not.
BAND = 1e-4


@pytest.fixture
async def engine():
    classifier = OnnxClassifier.load()
    yield Engine(
        classifier=classifier,
        policy=Rulebook(top=Policy(thresholds=classifier.thresholds)),
        record=Recorded(),
    )
    await classifier.aclose()


def traces() -> list[Trace]:
    return [
        Trace(
            trace_id=record["source"],
            prompt=record["prompt"],
            parts=coalesce(
                (
                    Part(channel=Channel.THINKING, text=record["thinking"]),
                    Part(channel=Channel.ANSWER, text=record["answer"]),
                )
            ),
        )
        for record in recorded()
    ]


async def streamed(engine: Engine, trace: Trace, seed: int):
    """The same text in small random pieces, with pauses, as a server would send it."""
    rng = random.Random(seed)
    session = engine.open(Trace(trace_id=trace.trace_id, parts=(), prompt=trace.prompt))
    for part in trace.parts:
        position = 0
        while position < len(part.text):
            size = rng.randint(1, 60)
            text = part.text[position : position + size]
            await session.feed(Delta(channel=part.channel, text=text))
            await asyncio.sleep(0.001)
            position += size
    return await session.finish()


async def test_streams_in_company_get_the_scores_of_each_trace_alone(engine):
    some = traces()
    together = await asyncio.gather(*(streamed(engine, t, i) for i, t in enumerate(some)))
    for trace, stream in zip(some, together, strict=True):
        alone = await engine.judge(trace)
        assert stream.decision == alone.decision
        assert [s.step for s in stream.steps] == [s.step for s in alone.steps]
        for check in Check:
            assert stream.probability(check) == pytest.approx(alone.probability(check), abs=BAND)


async def test_disguised_text_gets_the_score_of_plain_text(engine):
    trace = traces()[1]
    disguised = tuple(
        Part(channel=p.channel, text="\u200b".join(p.text).replace("a", "а"))  # Cyrillic
        for p in trace.parts
    )
    plain = await engine.judge(trace)
    hidden = await engine.judge(Trace(trace_id="t", parts=disguised, prompt=trace.prompt))
    assert hidden.disguised > 500
    for check in (Check.DECEPTION, Check.DANGEROUS_REASONING):
        assert hidden.probability(check) == pytest.approx(plain.probability(check), abs=0.15)
