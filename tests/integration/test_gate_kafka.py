"""A sidecar whose responses are judged by workers behind a broker."""

import asyncio
import json

import pytest
from aiohttp import web

from monitor.types import Decision, Mode
from stream.kafka import hearing, messages
from stream.kafka.memory import Memory
from stream.kafka.spool import Parcel, Spool
from stream.kafka.table import Patience
from stream.replay import events, reply
from tests.gating import TOPICS, Remembering, working
from tests.support import Recorded, fake, policy, trace

PAD = "Some ordinary words that make up a sentence of usual length. " * 6
CLEAN = {"thinking": PAD + "So the answer is yes.", "answer": "Yes. " + PAD}
PLOTTING = {"thinking": PAD + "PLOT " + PAD, "answer": "SAFE " + PAD}
ASK = {"model": "m", "messages": [{"role": "user", "content": "Well?"}]}
STREAM = {**ASK, "stream": True}


def sent(broker):
    follower = broker.follower([TOPICS.traces], from_start=True)
    return [messages.read_trace(m) for m in follower.poll(0, at_most=10_000).messages]


@pytest.mark.parametrize("mode", list(Mode))
async def test_allowed_responses_are_byte_identical_and_recorded_by_the_worker_alone(
    sidecar, mode, tmp_path
):
    setup = await sidecar(rules=policy(mode), spool=tmp_path)
    chunks = list(events(CLEAN))
    setup.upstream.streams(*chunks)
    status, body, headers = await setup.post(STREAM)
    assert (status, body) == (200, b"".join(chunks))
    verdict = await setup.verdict()
    assert verdict.decision is Decision.ALLOW
    assert headers["x-subtext-verdict-id"] == verdict.verdict_id
    assert len(setup.record.verdicts) == 1


async def test_under_hold_text_goes_out_while_the_model_still_writes(sidecar, tmp_path):
    setup = await sidecar(spool=tmp_path)
    chunks = list(events({"thinking": PAD * 4, "answer": "Yes."}))
    setup.upstream.streams(*chunks[: len(chunks) // 2], hang=True)
    async with setup.client.post(setup.url + "/v1/chat/completions", json=STREAM) as reply_:
        assert await asyncio.wait_for(reply_.content.readany(), 30)


async def test_a_block_stops_the_model_and_the_worker_records_it_once(sidecar, tmp_path):
    setup = await sidecar(spool=tmp_path)
    chunks = list(events(PLOTTING))
    setup.upstream.streams(*chunks[:-6], hang=True)
    _, body, _ = await setup.post({**STREAM, "max_tokens": 5000})
    assert b"content_filter" in body
    assert b"PLOT" not in body
    await setup.until(setup.upstream.aborted.is_set)
    ((verdict, trace),) = setup.record.verdicts
    assert verdict.decision is Decision.BLOCK
    assert verdict.early_stop.tokens_saved_at_most > 0
    assert "PLOT" in trace.thinking


@pytest.mark.parametrize("valid", [True, False])
async def test_the_trace_context_of_the_request_travels_with_it(sidecar, tmp_path, valid):
    broker = Memory()
    setup = await sidecar(spool=tmp_path, broker=broker)
    setup.upstream.replies(json.dumps(reply(CLEAN)).encode())
    given = f"00-{'ab' * 16}-{'cd' * 8}-01" if valid else "00-nonsense"
    await setup.post(ASK, traceparent=given)
    follower = broker.follower([TOPICS.traces, TOPICS.verdicts], from_start=True)
    told = {
        messages.header(m.headers, "traceparent") for m in follower.poll(0, at_most=99).messages
    }
    assert told == {given if valid else ""}


async def test_requests_that_share_an_id_are_judged_apart(sidecar, tmp_path):
    setup = await sidecar(spool=tmp_path)
    for found in (CLEAN, PLOTTING):
        setup.upstream.replies(json.dumps(reply(found)).encode())
        await setup.post(ASK, **{"x-request-id": "again"})
    decisions = [(v.decision, t.trace_id) for v, t in setup.record.verdicts]
    assert decisions == [(Decision.ALLOW, "again"), (Decision.BLOCK, "again")]


@pytest.mark.parametrize("unscored", [Decision.BLOCK, Decision.ALLOW])
async def test_without_workers_the_policy_decides_and_the_sidecar_records(
    sidecar, tmp_path, unscored
):
    """What the worker records later stands beside it, under the name that the client was told."""
    rules, broker, record = policy(unscored=unscored, deadline_seconds=0.2), Memory(), Recorded()
    setup = await sidecar(
        rules=rules, spool=tmp_path, broker=broker, record=record, classifier=fake(delay=0.3)
    )
    setup.upstream.replies(json.dumps(reply(CLEAN)).encode())
    status, body, headers = await setup.post(ASK)
    ((verdict, trace),) = setup.record.verdicts
    name = headers["x-subtext-verdict-id"]
    assert verdict.verdict_id == name + "-late"
    assert "deadline" in verdict.unscored
    assert trace.thinking == CLEAN["thinking"]
    if unscored is Decision.ALLOW:
        assert status == 200
        assert json.loads(body) == reply(CLEAN)
        assert headers["x-subtext-failed-open"] == "true"
        await setup.until(lambda: len(setup.record.verdicts) == 2)
        assert setup.record.verdicts[1][0].verdict_id == name
        assert setup.record.verdicts[1][0].unscored is None
    else:
        assert b"withheld" in body
        assert b"Yes." not in body
    assert b"subtext_gate_late_total 1.0" in setup.engine.counts.exposition()


@pytest.mark.parametrize("unscored", [Decision.BLOCK, Decision.ALLOW])
async def test_while_the_broker_is_down_the_policy_decides_and_all_is_delivered_later(
    sidecar, tmp_path, unscored
):
    broker, record = Memory(), Recorded()
    setup = await sidecar(
        rules=policy(unscored=unscored), spool=tmp_path, broker=broker, record=record
    )
    setup.upstream.replies(json.dumps(reply(PLOTTING)).encode())
    broker.down = True
    names = []
    for _ in range(3):
        _, body, headers = await setup.post(ASK)
        assert (b"SAFE" in body) == (unscored is Decision.ALLOW)
        names.append(headers["x-subtext-verdict-id"])
    assert [v.verdict_id for v, _ in record.verdicts] == [f"{n}-late" for n in names]
    assert all("broker" in v.unscored for v, _ in record.verdicts)
    with pytest.raises(Exception, match="no messages"):
        await setup.engine.reach()
    broker.down = False
    await setup.until(lambda: len(record.verdicts) == 6)
    assert {v.verdict_id for v, _ in record.verdicts[3:]} == set(names)
    assert all(v.decision is Decision.BLOCK for v, _ in record.verdicts[3:])
    await setup.until(lambda: not setup.engine.courier.down)
    await setup.engine.reach()
    setup.upstream.replies(json.dumps(reply(CLEAN)).encode())
    _, body, _ = await setup.post(ASK)
    assert json.loads(body) == reply(CLEAN)


async def test_a_worker_that_dies_in_the_middle_of_a_response_is_replaced(sidecar, tmp_path):
    broker, record = Memory(), Recorded()
    setup = await sidecar(spool=tmp_path, broker=broker, record=record)
    chunks = list(events({"thinking": PAD * 3, "answer": "Yes."}))
    setup.upstream.streams(*chunks, pause=0.005)
    asked = asyncio.create_task(setup.post(STREAM))
    await setup.until(lambda: len(sent(broker)) > 2)
    async with working(broker, Remembering(record)):
        broker.expel_one("g")
        _, body, _ = await asked
    assert body == b"".join(chunks)
    assert {v.unscored for v, _ in record.verdicts} == {None}


@pytest.mark.parametrize("alive", [0.05, 20.0])
async def test_a_model_that_pauses_is_not_gone_but_a_worker_that_gave_up_is_no_judge(
    sidecar, tmp_path, monkeypatch, alive
):
    """The sidecar keeps the trace alive; when that fails, the policy decides at once."""
    monkeypatch.setattr(hearing, "ALIVE", alive)
    setup = await sidecar(spool=tmp_path, patience=Patience(silence=0.6))
    chunks = list(events(CLEAN))
    paused = asyncio.Event()

    async def handler(request):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"".join(chunks[:20]))
        await asyncio.sleep(1.5)
        paused.set()
        await response.write(b"".join(chunks[20:]))
        return response

    setup.upstream.handler = handler
    _, body, _ = await setup.post(STREAM)
    ((verdict, _),) = setup.record.verdicts
    if alive < 1:
        assert body == b"".join(chunks)
        assert verdict.unscored is None
    else:
        assert b"content_filter" in body
        assert not paused.is_set()
        assert "not complete" in verdict.unscored


async def test_what_an_earlier_process_left_on_disk_goes_out_before_requests_come(
    sidecar, tmp_path
):
    broker, record = Memory(), Recorded()
    whole = messages.whole(trace(CLEAN["thinking"], "Yes."))
    parcel = Parcel(topic=TOPICS.traces, key=b"t", value=messages.encode(whole))
    spool = Spool(tmp_path, limit=2**20)
    spool.append([parcel])
    spool.close()
    setup = await sidecar(spool=tmp_path, broker=broker, record=record)
    setup.upstream.replies(json.dumps(reply(CLEAN)).encode())
    _, body, _ = await setup.post(ASK)
    assert json.loads(body) == reply(CLEAN)
    await setup.until(lambda: len(record.verdicts) == 2)
    assert "t" in {t.trace_id for _, t in record.verdicts}
