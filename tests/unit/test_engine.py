"""A session ends in a recorded verdict, whatever goes wrong on the way."""

import asyncio

import pytest

from classifiers.errors import InferenceError, Overloaded
from classifiers.port import Check
from monitor.engine import BATCH_STEPS, MAX_WAITING_STEPS
from monitor.errors import RecordingError
from monitor.judging import Live
from monitor.types import Channel, Decision, Delta, Status, Trace
from tests.support import Recorded, engine, fake, policy, trace

PAD = "Some ordinary words that make up a sentence of usual length. " * 5


async def test_plain_text_is_allowed_and_recorded():
    record = Recorded()
    verdict = await engine(record=record).judge(trace(PAD, PAD))
    assert verdict.decision is Decision.ALLOW
    assert verdict.unscored is None
    assert [v for v, _ in record.verdicts] == [verdict]
    assert record.verdicts[0][1].thinking == PAD


@pytest.mark.parametrize(
    ("thinking", "answer", "check", "decision"),
    [
        (PAD + "PLOT" + PAD, PAD, Check.DECEPTION, Decision.BLOCK),
        (PAD, PAD + "HINT", Check.DECEPTION, Decision.FLAG),
        ("BOMB", "ok", Check.DANGEROUS_REASONING, Decision.BLOCK),
        ("so it is 42", "it is 43 LIAR", Check.MISMATCH, Decision.BLOCK),
    ],
)
async def test_a_check_that_crosses_its_threshold_decides(thinking, answer, check, decision):
    verdict = await engine().judge(trace(thinking, answer))
    assert verdict.decision is decision
    assessment = next(a for a in verdict.assessments if a.check is check)
    assert assessment.evidence
    for piece in assessment.evidence:
        text = thinking if piece.channel is Channel.THINKING else answer
        assert any(
            word in text[piece.start : piece.end] for word in ("PLOT", "HINT", "BOMB", "LIAR")
        )


async def test_an_answer_without_thinking_cannot_mismatch_and_says_so():
    verdict = await engine().judge(trace("", PAD))
    assert verdict.decision is Decision.ALLOW
    assert verdict.unscored is None
    mismatch = verdict.assessments[2]
    assert mismatch.status is Status.UNSCORED
    assert mismatch.absent
    assert "no thinking" in mismatch.reason


async def test_thinking_without_an_answer_says_so():
    verdict = await engine().judge(trace(PAD, ""))
    assert "no answer" in verdict.assessments[2].reason


async def test_a_response_without_text_could_not_be_judged():
    verdict = await engine().judge(trace("", ""))
    assert verdict.unscored == "the response has no text"
    assert verdict.decision is Decision.ALLOW


@pytest.mark.parametrize("error", [InferenceError("ran out"), Overloaded("full")])
async def test_a_failing_classifier_means_not_judged_and_blocks(error):
    record = Recorded()
    verdict = await engine(classifier=fake(error=error), record=record).judge(trace(PAD, PAD))
    assert verdict.decision is Decision.BLOCK
    assert all(a.status is Status.UNSCORED for a in verdict.assessments)
    assert "classifier failed" in (verdict.unscored or "")
    assert record.verdicts


async def test_a_bug_in_a_classifier_means_not_judged():
    verdict = await engine(classifier=fake(error=ZeroDivisionError("secret text"))).judge(
        trace(PAD)
    )
    assert verdict.unscored == "the classifier failed: ZeroDivisionError"
    assert verdict.decision is Decision.BLOCK


async def test_failing_open_is_marked():
    rules = policy(unscored=Decision.ALLOW)
    verdict = await engine(classifier=fake(error=InferenceError("x")), rules=rules).judge(
        trace(PAD)
    )
    assert verdict.decision is Decision.ALLOW
    assert verdict.failed_open


async def test_a_failure_after_a_block_does_not_lower_the_decision():
    classifier = fake()
    session = engine(classifier=classifier, rules=policy(unscored=Decision.ALLOW)).open(trace())
    await session.feed(Delta(channel=Channel.THINKING, text="PLOT " + PAD))
    await asyncio.sleep(0.01)
    classifier.error = InferenceError("x")
    await session.feed(Delta(channel=Channel.THINKING, text=PAD))
    verdict = await session.finish()
    assert verdict.decision is Decision.BLOCK
    assert verdict.unscored
    assert not verdict.failed_open


async def test_a_classifier_that_hangs_meets_the_deadline():
    rules = policy(deadline_seconds=0.05)
    live = Live(verdict_id="v", on_progress=lambda: None)
    session = engine(classifier=fake(delay=60), rules=rules).open(trace(), live=live)
    await session.feed(Delta(channel=Channel.ANSWER, text=PAD))
    verdict = await asyncio.wait_for(session.finish(), 5)
    assert "deadline" in (verdict.unscored or "")
    assert verdict.decision is Decision.BLOCK


async def test_nobody_waits_behind_a_stored_trace_so_it_has_no_deadline():
    rules = policy(deadline_seconds=0.01)
    verdict = await engine(classifier=fake(delay=0.05), rules=rules).judge(trace(PAD, PAD))
    assert verdict.unscored is None


async def test_a_verdict_that_cannot_be_recorded_counts_as_not_judged():
    record = Recorded(error=RecordingError("disk full"))
    verdict = await engine(record=record).judge(trace(PAD, PAD))
    assert verdict.decision is Decision.BLOCK
    assert "recorded" in (verdict.unscored or "")


async def test_a_response_that_could_not_be_read_is_not_judged():
    broken = Trace(trace_id="t", parts=(), problem="malformed JSON")
    verdict = await engine().judge(broken)
    assert verdict.unscored == "malformed JSON"
    assert verdict.decision is Decision.BLOCK


async def test_progress_tells_how_much_is_judged():
    seen = []
    live = Live(verdict_id="v", on_progress=lambda: seen.append(session.judged))
    session = engine().open(trace(), live=live)
    await session.feed(Delta(channel=Channel.THINKING, text=PAD * 3))
    await session.finish()
    assert seen[-1] == len(PAD) * 3
    assert seen == sorted(seen)


async def test_steps_that_wait_are_bounded():
    session = engine(classifier=fake(delay=0.001)).open(trace())
    for _ in range(40):
        await session.feed(Delta(channel=Channel.THINKING, text=PAD * 20))
        assert len(session._waiting) <= MAX_WAITING_STEPS + BATCH_STEPS
    verdict = await session.finish()
    assert sum(s.step.end - s.step.start for s in verdict.steps) == len(PAD) * 800


async def test_many_sessions_do_not_mix():
    traces = [trace(f"{PAD} number {i}", PAD + ("PLOT" if i % 3 == 0 else "")) for i in range(60)]
    shared = engine()
    verdicts = await asyncio.gather(*(shared.judge(t) for t in traces))
    blocked = [v.decision is Decision.BLOCK for v in verdicts]
    assert blocked == [i % 3 == 0 for i in range(60)]


@pytest.mark.parametrize("error", [None, InferenceError("x")])
async def test_settled_means_that_every_complete_step_is_judged_or_judging_failed(error):
    session = engine(classifier=fake(delay=0.01, error=error)).open(trace(), verdict_id="given")
    await session.feed(Delta(channel=Channel.THINKING, text=PAD * 20 + "And"))
    await asyncio.wait_for(session.settled(), 30)
    steps = session._stepper.flush()
    assert (session.judged == steps[0].start) == (error is None)
    assert (session.failure is None) == (error is None)
    session.abandon()


async def test_a_door_may_name_the_verdict():
    session = engine().open(trace(), verdict_id="given")
    assert (await session.finish()).verdict_id == "given"
