"""Huge and hostile texts cost what their length says, and lose nothing."""

import tracemalloc

import pytest

from classifiers.normalise import normalise
from classifiers.segment import MAX_CODE_POINTS, Segmenter, segment
from monitor.engine import MAX_WAITING_STEPS
from monitor.judging import SLICE
from monitor.types import Channel, Decision, Delta, Part, Trace
from tests.support import engine

MEGABYTE = 1_000_000
SENTENCE = "Some ordinary words that make up a sentence of usual length. "


async def test_ten_megabytes_are_judged_to_the_last_character():
    text = SENTENCE * (10 * MEGABYTE // len(SENTENCE)) + "PLOT"
    part = Part(channel=Channel.THINKING, text=text)
    verdict = await engine().judge(Trace(trace_id="t", parts=(part,)))
    assert verdict.unscored is None
    assert verdict.decision is Decision.BLOCK
    assert verdict.steps[-1].step.end == len(text)


async def test_steps_of_a_huge_trace_do_not_pile_up():
    session = engine().open(Trace(trace_id="t", parts=()))
    most = 0
    for _ in range(20):
        await session.feed(Delta(channel=Channel.ANSWER, text=(SENTENCE * 2000)[:SLICE]))
        most = max(most, len(session._waiting))
    await session.finish()
    assert most <= MAX_WAITING_STEPS + SLICE // 100


@pytest.mark.parametrize(
    "text",
    ["\u200b" * MEGABYTE, "\ufdfa" * MEGABYTE, "a" * MEGABYTE, "\x00" * MEGABYTE, "é" * MEGABYTE],
    ids=["zero-width", "expanding", "no spaces", "NUL", "accents"],
)
def test_text_without_any_boundary_is_still_cut(text):
    pieces = segment(text)
    assert pieces[-1].end == len(text)
    assert all(p.end - p.start <= MAX_CODE_POINTS for p in pieces)


def test_one_byte_chunks_cost_no_memory():
    segmenter = Segmenter()
    tracemalloc.start()
    count = sum(len(segmenter.feed(c)) for _ in range(2000) for c in SENTENCE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count > 400
    assert peak < MEGABYTE


def test_a_million_smuggled_characters_are_counted():
    assert normalise("\U000e0041" * MEGABYTE).disguised == MEGABYTE
