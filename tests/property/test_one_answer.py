"""Three doors, one answer: how a response was cut into chunks changes nothing."""

import asyncio
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.normalise import normalise
from classifiers.segment import MAX_CODE_POINTS, Segmenter, segment
from monitor.steps import Stepper
from monitor.types import Channel, Delta, Part, Trace, coalesce
from tests.support import engine

WORDS = ["PLOT ", "HINT. ", "BOMB\n", "LIAR! ", "plain words, ", "中文。", "\u200b", "é", "x" * 300]
texts = st.lists(st.sampled_from(WORDS) | st.text(max_size=40), max_size=40).map("".join)
cuts = st.lists(st.integers(1, 400), min_size=1, max_size=30)


def chunks(text, sizes):
    position, turn = 0, 0
    while position < len(text):
        size = sizes[turn % len(sizes)]
        yield text[position : position + size]
        position, turn = position + size, turn + 1


@given(texts, cuts)
def test_steps_do_not_depend_on_chunks(text, sizes):
    segmenter = Segmenter()
    pieces = [p for chunk in chunks(text, sizes) for p in segmenter.feed(chunk)]
    assert pieces + segmenter.close() == segment(text)


@given(texts)
def test_every_character_is_in_exactly_one_step(text):
    pieces = segment(text)
    assert "".join(text[p.start : p.end] for p in pieces) == text
    assert all(a.end == b.start for a, b in pairwise(pieces))
    assert all(0 < p.end - p.start <= MAX_CODE_POINTS for p in pieces)


@given(st.text(max_size=200), st.integers(0, 200))
def test_normalising_does_not_depend_on_where_text_is_cut(text, at):
    assert normalise(text[:at]).text + normalise(text[at:]).text == normalise(text).text


parts = st.lists(st.builds(Part, channel=st.sampled_from(Channel), text=texts), max_size=5).map(
    coalesce
)


@given(parts, cuts)
def test_steps_of_a_response_do_not_depend_on_chunks(some, sizes):
    whole, cut = Stepper(), Stepper()
    once = [s for p in some for s in whole.feed(Delta(channel=p.channel, text=p.text))]
    pieces = [
        s
        for p in some
        for chunk in chunks(p.text, sizes)
        for s in cut.feed(Delta(channel=p.channel, text=chunk))
    ]
    assert once + whole.flush() == pieces + cut.flush()
    assert whole.parts() == cut.parts() == some


def essence(verdict):
    return (
        verdict.decision,
        verdict.assessments,
        verdict.steps,
        verdict.unscored,
        verdict.failed_open,
    )


async def streamed(some, sizes, prompt):
    session = engine().open(Trace(trace_id="t", parts=(), prompt=prompt))
    for part in some:
        for chunk in chunks(part.text, sizes):
            await session.feed(Delta(channel=part.channel, text=chunk))
            await asyncio.sleep(0)
    return await session.finish()


@settings(max_examples=60)
@given(parts, cuts, texts)
def test_a_stream_gets_the_verdict_of_the_whole_text(some, sizes, prompt):
    async def both():
        whole = await engine().judge(Trace(trace_id="t", parts=some, prompt=prompt))
        return whole, await streamed(some, sizes, prompt)

    whole, stream = asyncio.run(both())
    assert essence(whole) == essence(stream)
