"""Under `observe` the bytes go out first and are read then; what cannot be read is told."""

import asyncio

import pytest

from monitor.budget import Budget, Share
from monitor.dialects import dialect_for
from monitor.types import Decision, Mode, Trace
from stream.relay import Relay, UpstreamBroke
from tests.support import engine, policy
from tests.unit.data_wire import event

THINKING = event({"choices": [{"index": 0, "delta": {"reasoning": "It expired. "}}]})
ANSWER = event({"choices": [{"index": 0, "delta": {"content": "Fresh! "}}]})
DONE = event("[DONE]")


class Watched:
    """A reader that tells what it was given, and fails when it is told to."""

    def __init__(self, *, fails=False):
        self._inner = dialect_for("/v1/chat/completions").reader(streaming=True)
        self._fails = fails
        self.given = []
        self.fed = asyncio.Event()

    def feed(self, data):
        self.fed.set()
        if self._fails:
            raise ZeroDivisionError
        self.given.append(data)
        return self._inner.feed(data)

    def __getattr__(self, name):
        return getattr(self._inner, name)


class Upstream:
    """Sends what it is given."""

    def __init__(self):
        self._queue = asyncio.Queue()

    def send(self, data):
        self._queue.put_nowait(data)

    async def chunks(self):
        while (data := await self._queue.get()) is not None:
            if isinstance(data, Exception):
                raise data
            yield data


@pytest.fixture
def upstream():
    return Upstream()


def relay(reader, upstream, budget=None, *, streaming=True):
    room = Share(budget or Budget(2**30))
    mind, origin = engine(rules=policy(mode=Mode.OBSERVE)), Trace(trace_id="t", parts=())
    return Relay(mind, origin, reader, upstream.chunks(), streaming=streaming, room=room)


async def test_bytes_are_out_before_they_are_read(upstream):
    reader = Watched()
    carried = relay(reader, upstream)
    running = asyncio.create_task(carried.run())
    output = carried.output()
    upstream.send(THINKING)
    assert await anext(output) == THINKING
    await asyncio.sleep(0)
    assert reader.given == []  # still being written to the client
    upstream.send(ANSWER)
    assert await anext(output) == ANSWER
    upstream.send(DONE)
    upstream.send(None)
    assert b"".join([data async for data in output]) == DONE
    verdict = (await running).worst
    assert b"".join(reader.given) == THINKING + ANSWER + DONE
    assert [s.step.channel for s in verdict.steps] == ["thinking", "answer"]


async def test_a_client_that_leaves_is_no_reason_not_to_judge_what_came(upstream):
    carried = relay(reader := Watched(), upstream)
    running = asyncio.create_task(carried.run())
    upstream.send(THINKING)
    assert await anext(carried.output()) == THINKING
    carried.client_left()
    verdict = (await running).worst
    assert reader.given == [THINKING]
    assert [s.step.channel for s in verdict.steps] == ["thinking"]


async def test_what_came_before_a_break_is_judged_and_the_break_is_told(upstream):
    carried = relay(Watched(), upstream)
    running = asyncio.create_task(carried.run())
    upstream.send(THINKING)
    upstream.send(UpstreamBroke("gone"))
    assert b"".join([data async for data in carried.output()]) == THINKING
    assert carried.cut_short
    verdict = (await running).worst
    assert (verdict.unscored, len(verdict.steps)) == ("gone", 1)


async def test_a_client_that_leaves_while_nothing_comes_ends_the_wait(upstream):
    carried = relay(Watched(), upstream)
    running = asyncio.create_task(carried.run())
    output = carried.output()
    upstream.send(THINKING)
    assert await anext(output) == THINKING
    waiting = asyncio.create_task(anext(output, b""))
    await asyncio.sleep(0)
    carried.client_left()
    assert await waiting == b""
    verdict = (await running).worst
    assert (verdict.decision, verdict.unscored, len(verdict.steps)) == (Decision.ALLOW, None, 1)


async def test_nothing_goes_out_that_comes_while_the_client_is_left(upstream):
    carried = relay(reader := Watched(), upstream)
    running = asyncio.create_task(carried.run())
    output = carried.output()
    upstream.send(THINKING)
    assert await anext(output) == THINKING
    waiting = asyncio.create_task(anext(output, b""))
    await reader.fed.wait()
    asyncio.get_running_loop().call_soon(carried.client_left)
    upstream.send(ANSWER)
    assert await waiting == b""
    await running
    assert b"".join(reader.given) == THINKING


async def test_what_comes_in_one_piece_and_is_left_halfway_counts_as_not_judged(upstream):
    whole = dialect_for("/v1/chat/completions").reader(streaming=False)
    carried = relay(whole, upstream, streaming=False)
    running = asyncio.create_task(carried.run())
    upstream.send(b'{"choices": [{"message": {"content": "Fr')
    assert await anext(carried.output()) == b'{"choices": [{"message": {"content": "Fr'
    carried.client_left()
    verdict = (await running).worst
    assert verdict.unscored.startswith("malformed JSON")


async def test_a_reader_that_fails_while_much_waits_for_it_ends_the_output(upstream, monkeypatch):
    monkeypatch.setattr("stream.relay.MAX_UNSENT_BYTES", len(THINKING))
    carried, reading, judging = relay(Watched(), upstream), asyncio.Event(), asyncio.Event()

    async def fail(_):
        reading.set()
        await judging.wait()
        raise ZeroDivisionError

    monkeypatch.setattr(carried, "_take", fail)
    running, output = asyncio.create_task(carried.run()), carried.output()
    upstream.send(THINKING)
    assert await anext(output) == THINKING
    waiting = asyncio.create_task(anext(output))
    await reading.wait()
    upstream.send(THINKING)
    assert await waiting == THINKING
    upstream.send(THINKING)
    assert await anext(output) == THINKING
    waiting = asyncio.create_task(anext(output, b""))
    await asyncio.sleep(0)
    judging.set()
    assert await waiting == b""
    assert (await running).worst.unscored == "reading failed: ZeroDivisionError"


async def test_an_upstream_that_fails_as_nobody_foresaw_is_told(upstream):
    carried = relay(Watched(), upstream)
    running = asyncio.create_task(carried.run())
    upstream.send(THINKING)
    upstream.send(ZeroDivisionError())
    assert b"".join([data async for data in carried.output()]) == THINKING
    assert carried.cut_short
    verdict = (await running).worst
    assert (verdict.unscored, len(verdict.steps)) == ("reading failed: ZeroDivisionError", 1)


async def test_a_reader_that_fails_leaves_the_response_unjudged_and_cuts_it_off(upstream):
    carried = relay(Watched(fails=True), upstream)
    running = asyncio.create_task(carried.run())
    upstream.send(THINKING)
    assert b"".join([data async for data in carried.output()]) == THINKING
    assert carried.cut_short
    assert (await running).worst.unscored == "reading failed: ZeroDivisionError"


async def test_what_is_out_counts_as_held_until_it_is_read_to_its_end(upstream):
    budget = Budget(2**30)
    carried = relay(reader := Watched(), upstream, budget)
    running = asyncio.create_task(carried.run())
    output, half = carried.output(), len(THINKING) // 2
    upstream.send(THINKING[:half])
    assert await anext(output) == THINKING[:half]
    assert budget.taken == 2 * half
    rest = asyncio.create_task(anext(output))
    await reader.fed.wait()
    assert budget.taken == half  # it is out, and half an event
    upstream.send(THINKING[half:])
    assert await rest == THINKING[half:]
    upstream.send(None)
    assert [data async for data in output] == []
    await running
    assert budget.taken == len("It expired. ")
