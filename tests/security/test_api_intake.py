"""No request to the API stops the process or fills its memory."""

import asyncio
import contextlib

import httpx2 as httpx
import pytest

from dashboard import intake
from dashboard.score import MAX_TOKENS, Unfit, understood
from monitor.store import Store
from tests.security.test_dashboard_doors import JSON, build
from tests.support import engine

HOSTILE = {
    "lists": b'{"tool_calls": [' + b"[]," * MAX_TOKENS + b"[]]}",
    "keys": b"{" + b'"":1,' * MAX_TOKENS + b'"a":1}',
    "numbers": b'{"tool_calls": [' + b"1," * MAX_TOKENS + b"1]}",
    "texts": b'{"traces": [' + b'"",' * MAX_TOKENS + b'""]}',
    "a text without end": b'{"answer": "' + b'\\"' * 2_000_000,
    "a text that ends in its escape": b'{"answer": "' + b"x" * 2_000_000 + b"\\",
}


@pytest.fixture
def store():
    opened = Store.open("sqlite://")
    yield opened
    opened.close()


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(60)
def test_json_that_would_take_seconds_is_refused_at_once(name):
    with pytest.raises(Unfit, match=r"at most|EOF"):
        understood(HOSTILE[name])


def test_a_long_text_is_one_value():
    text = 'It says \\"no\\", [twice], {and}, then, again. ' * 100_000
    asked = understood(b'{"answer": "' + text.encode() + b'"}')
    assert len(asked.items[0].answer) > 4_000_000


def test_every_trace_of_many_is_read_for_itself():
    asked = understood(b'{"traces": [{"answer": "x"}, {"nonsense": 1}, "no"]}')
    assert [isinstance(item, Unfit) for item in asked.items] == [False, True, True]


@contextlib.asynccontextmanager
async def client(app):
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http


async def test_more_than_the_api_can_carry_is_told_to_come_again(store, monkeypatch):
    monkeypatch.setattr(intake, "MAX_CARRIED", 3 * intake.LEAST)
    go, shared = asyncio.Event(), engine()

    async def judge(trace):
        await go.wait()
        return await shared.judge(trace)

    async with client(build(store, judge)) as http:
        asked = [
            asyncio.create_task(http.post("/v1/score", json={"answer": "x"})) for _ in range(8)
        ]
        done, waiting = set(), set(asked)
        while len(done) < 6:
            more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        refused = [reply.result() for reply in done]
        go.set()
        replies = await asyncio.gather(*asked)
        again = await http.post("/v1/score", json={"answer": "x"})
    assert {reply.status_code for reply in refused} == {503}
    assert {reply.headers["retry-after"] for reply in refused} == {"1"}
    assert sum(reply.status_code == 200 for reply in replies) == 2
    assert again.status_code == 200


async def test_a_body_that_does_not_come_is_given_up(store, monkeypatch):
    monkeypatch.setattr(intake, "PATIENCE", 0.1)

    async def dripping():
        yield b"{"
        await asyncio.Event().wait()

    async with client(build(store)) as http:
        reply = await http.post("/v1/score", content=dripping(), headers=JSON)
    assert reply.status_code == 408
    assert reply.json()["error"]["code"] == "slow"
