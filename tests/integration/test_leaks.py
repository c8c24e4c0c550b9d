"""No text that the policy blocks reaches a client, wherever in a response it stands."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from classifiers.fake import FakeClassifier
from monitor.types import Decision, Mode
from tests.integration.conftest import start
from tests.integration.data_places import PATHS, Place, event_places, places
from tests.support import MARKERS, policy

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "BOMB canary in a coal mine"
ANYWHERE = list(places())
STREAMED = [*ANYWHERE, *event_places()]
GATING = [Mode.HOLD, Mode.BUFFER]


async def ask(setup, dialect, **headers):
    return await setup.post({"model": "m", "messages": []}, PATHS[dialect], **headers)


async def blocked(setup, dialect, text="canary"):
    """Ask, and check that nothing of the canary came back and that its block is recorded."""
    setup.record.verdicts.clear()
    _, body, headers = await ask(setup, dialect)
    assert text.encode() not in body
    assert b"BOMB" not in body
    assert text not in str(headers)
    assert setup.engine.policy.top.refusal.encode() in body
    assert max(v.decision for v, _ in setup.record.verdicts) is Decision.BLOCK
    return body


@pytest.mark.parametrize("mode", GATING)
@pytest.mark.parametrize("place", ANYWHERE, ids=str)
async def test_a_whole_response_does_not_leak(gating, place: Place, mode):
    gating[mode].upstream.replies(place.whole(CANARY))
    await blocked(gating[mode], place.dialect)


@pytest.mark.parametrize("mode", GATING)
@pytest.mark.parametrize("place", STREAMED, ids=str)
async def test_a_stream_does_not_leak(gating, place: Place, mode):
    gating[mode].upstream.streams(*place.events(CANARY))
    body = await blocked(gating[mode], place.dialect)
    assert (b"ordinary" in body) is (mode is Mode.HOLD)


class Stuck(FakeClassifier):
    """Answers when it is let go."""

    def __init__(self):
        super().__init__(MARKERS, i_know_this_is_fake=True)
        self.go = asyncio.Event()

    async def encode(self, texts):
        await self.go.wait()
        return await super().encode(texts)


async def read(setup, number, seen):
    """Send the request for place `number`; what came back so far stands in `seen`."""
    headers = {"x-place": str(number)}
    path = PATHS[STREAMED[number].dialect]
    async with setup.client.post(setup.url + path, data=b"{}", headers=headers) as reply:
        async for data in reply.content.iter_any():
            seen[number] += data


async def until(done):
    for _ in range(1000):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


@pytest.mark.parametrize("mode", GATING)
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("dialect", PATHS)
async def test_no_text_leaves_while_the_classifier_is_stuck(dialect, streaming, mode):
    allowed, stuck = "white canary in a coal mine", Stuck()
    chosen = STREAMED if streaming else ANYWHERE
    numbers = [n for n, place in enumerate(chosen) if place.dialect == dialect]
    whole = {n: STREAMED[n].whole(allowed) for n in numbers if not streaming}
    streams = {n: STREAMED[n].events(allowed) for n in numbers if streaming}
    seen = dict.fromkeys(numbers, b"")

    async def serve(request):
        number = int(request.headers["x-place"])
        body = whole.get(number) or b"".join(streams[number])
        kind = "text/event-stream" if streaming else "application/json"
        return web.Response(body=body, headers={"content-type": kind})

    async with AsyncExitStack() as stack:
        setup = await start(stack, classifier=stuck, rules=policy(mode))
        setup.upstream.handler = serve
        asking = [asyncio.create_task(read(setup, n, seen)) for n in numbers]
        await until(lambda: len(setup.upstream.requests) == len(numbers))
        await asyncio.sleep(0.1)
        assert not any(b"canary" in body or b"ordinary" in body for body in seen.values())
        stuck.go.set()
        await asyncio.gather(*asking)
    assert seen == (whole or {n: b"".join(chunks) for n, chunks in streams.items()})
