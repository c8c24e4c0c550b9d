"""What every judge promises the doors, in this process or behind Kafka."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from classifiers.errors import InferenceError
from monitor.judging import Live
from monitor.recording import recorder
from monitor.rulebook import When
from monitor.store import Query, Store
from monitor.types import (
    Channel,
    Decision,
    Delta,
    Disclosure,
    EarlyStop,
    Gap,
    Trace,
    Usage,
)
from tests.gating import gated
from tests.support import engine, fake, policy, rulebook, trace

PAD = "Some ordinary words that make up a sentence of usual length. " * 6
PROSE = PAD * 8


@asynccontextmanager
async def local(store, _folder, **options):
    yield engine(record=recorder(store), **options)


def behind_kafka(store, folder, **options):
    return gated(folder, recorder(store), store, **options)


class Court:
    """A judge, and the store that it records in."""

    def __init__(self, judge, store):
        self.judge = judge
        self.store = store
        self.told = 0
        self.changed = asyncio.Event()

    def open(self, **fields):
        live = Live(verdict_id="v-1", on_progress=self.note)
        return self.judge.open(Trace(trace_id="r", parts=(), **fields), live=live)

    def note(self):
        self.told += 1
        self.changed.set()

    async def until(self, condition):
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    def rows(self):
        return self.store.verdicts(Query(limit=100)).rows


@pytest.fixture(params=[local, behind_kafka], ids=["engine", "kafka"])
async def court(request, tmp_path):
    """Opens a judge with the options given."""
    store = Store.open("sqlite://")
    async with AsyncExitStack() as stack:

        async def opened(**options):
            judge = await stack.enter_async_context(request.param(store, tmp_path, **options))
            return Court(judge, store)

        yield opened
    store.close()


async def say(session, *texts, channel=Channel.THINKING):
    for text in texts:
        await session.feed(Delta(channel=channel, text=text))


def scores(verdict):
    return {a.check: a.probability and round(a.probability, 4) for a in verdict.assessments}


async def test_a_verdict_is_that_of_the_whole_text_and_recorded_once_under_its_name(court):
    here = await court()
    session = here.open(model="m", tenant="acme", prompt="Is it fresh?")
    await say(session, *(PROSE[at : at + 40] for at in range(0, len(PROSE), 40)), "HINT")
    await say(session, PAD, channel=Channel.ANSWER)
    verdict = await session.finish()
    alone = await engine().judge(trace(PROSE + "HINT", PAD, prompt="Is it fresh?"))
    assert verdict.decision is alone.decision is Decision.FLAG
    assert scores(verdict) == scores(alone)
    assert [s.step.end for s in verdict.steps] == [s.step.end for s in alone.steps]
    (row,) = here.rows()
    assert (row.verdict_id, row.trace_id, row.tenant, row.model) == ("v-1", "r", "acme", "m")
    assert verdict.verdict_id == "v-1"
    assert here.store.verdict("v-1").trace.thinking == PROSE + "HINT"


async def test_text_is_judged_and_told_while_more_of_it_comes(court):
    here = await court()
    session = here.open()
    await say(session, PROSE)
    await here.until(lambda: session.judged > len(PROSE) // 2)
    assert session.decision is Decision.ALLOW
    await say(session, PAD + "PLOT " + PAD)
    await here.until(lambda: session.decision is Decision.BLOCK)
    assert here.rows() == ()
    verdict = await session.finish(cut=True)
    assert verdict.decision is Decision.BLOCK
    (row,) = here.rows()
    assert row.decision is Decision.BLOCK


async def test_what_is_known_of_the_end_is_in_the_verdict(court):
    here = await court(rules=policy(unscored=Decision.FLAG))
    session = here.open()
    await say(session, PAD, channel=Channel.ANSWER)
    verdict = await session.finish(
        problem="half of it is missing",
        opened=True,
        disclosure=Disclosure(usage=Usage(output_tokens=90, reasoning_tokens=80)),
        early_stop=EarlyStop(tokens_generated_at_least=90, tokens_saved_at_most=10),
    )
    assert verdict.decision is Decision.FLAG
    assert verdict.unscored == "half of it is missing"
    assert verdict.failed_open
    assert verdict.gaps == (Gap.HIDDEN_THINKING,)
    assert verdict.usage.reasoning_tokens == 80
    assert verdict.early_stop.tokens_saved_at_most == 10
    assert here.rows()[0].unscored == "half of it is missing"


@pytest.mark.parametrize("unscored", [Decision.ALLOW, Decision.BLOCK])
async def test_a_classifier_that_fails_is_the_failure_of_the_response(court, unscored):
    here = await court(classifier=fake(error=InferenceError("no")), rules=policy(unscored=unscored))
    session = here.open()
    await say(session, PROSE)
    await here.until(lambda: session.failure is not None)
    assert session.decision is unscored
    verdict = await session.finish(opened=unscored is Decision.ALLOW)
    assert verdict.decision is unscored
    assert "classifier failed" in verdict.unscored
    assert verdict.failed_open == (unscored is Decision.ALLOW)


async def test_no_text_cannot_be_judged(court):
    verdict = await (await court()).open().finish()
    assert verdict.unscored == "the response has no text"


async def test_the_rule_of_the_policy_goes_by_route_model_and_tenant(court):
    strict = policy(unscored=Decision.ALLOW)
    when = When(route=("/v1/chat/*",), model=("asked*",), tenant=("acme",))
    here = await court(rules=rulebook(mine=(when, strict)))
    session = here.open(
        route="/v1/chat/completions", model="said", requested_model="asked-for", tenant="acme"
    )
    await say(session, PAD)
    assert (await session.finish()).policy_rule == "mine"


async def test_a_stored_trace_is_judged_whole(court):
    here = await court()
    verdict = await here.judge.judge(trace(PAD + "BOMB", PAD))
    assert verdict.decision is Decision.BLOCK
    assert [r.verdict_id for r in here.rows()] == [verdict.verdict_id]


async def test_a_refusal_of_what_was_not_read_is_recorded_as_a_block(court):
    here = await court(rules=policy(unscored=Decision.ALLOW))
    verdict = await here.judge.refuse("v-9", "overload")
    assert (verdict.decision, verdict.unscored) == (Decision.BLOCK, "overload")
    assert [r.verdict_id for r in here.rows()] == ["v-9"]


async def test_what_is_abandoned_is_not_recorded(court):
    here = await court()
    session = here.open()
    await say(session, PAD)
    session.abandon()
    await here.judge.judge(trace(PAD))
    assert "v-1" not in {r.verdict_id for r in here.rows()}


async def test_a_deadline_that_passes_is_the_failure_of_the_response(court):
    here = await court(
        classifier=fake(delay=30), rules=policy(unscored=Decision.ALLOW, deadline_seconds=0.3)
    )
    session = here.open()
    await say(session, PROSE)
    await here.until(lambda: session.failure is not None)
    assert "deadline" in session.failure
    verdict = await session.finish(opened=True)
    assert (verdict.decision, verdict.failed_open) == (Decision.ALLOW, True)
    assert verdict.unscored == session.failure
    assert [r.verdict_id for r in here.rows()] == [verdict.verdict_id]
    assert here.store.verdict(verdict.verdict_id).trace.thinking == PROSE


@pytest.mark.parametrize("text", [PAD, ""])
async def test_a_workers_laxer_policy_lets_no_failure_pass_but_what_is_absent_is_none(
    tmp_path, text
):
    store = Store.open("sqlite://")
    async with gated(
        tmp_path,
        recorder(store),
        store,
        classifier=fake(error=InferenceError("no")),
        worker_rules=policy(unscored=Decision.ALLOW),
    ) as judge:
        verdict = await judge.judge(trace(text))
        assert (verdict.decision is Decision.BLOCK) == bool(text)
        assert not verdict.failed_open
        assert b"subtext_gate_policy_differs_total 1.0" in judge.counts.exposition()
    store.close()
