"""Events reach whoever wants them, in order, also when they were away for a while."""

import asyncio
import json
import threading
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from monitor.hooks import secret_of, signed
from monitor.recording import recorder
from monitor.store import Store
from monitor.types import Disclosure, Outcome, Review, Usage
from stream.hooks import Hook, Patience, telling
from tests.support import engine, trace

PAD = "Some ordinary words that make up a sentence of usual length. "
SECRET = secret_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
HASTE = Patience(look=0.01, answer=10, first=0.01, longest=0.02, total=3600)


class Listener:
    """Somebody who is told; answers with these statuses, then with 200."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.refused, self.taken = [], []
        self.heard = asyncio.Condition()

    async def handle(self, request):
        body = await request.read()
        status = self.statuses.pop(0) if self.statuses else 200
        async with self.heard:
            (self.taken if status < 300 else self.refused).append((dict(request.headers), body))
            self.heard.notify_all()
        headers = {"location": "/elsewhere"} if 300 <= status < 400 else {}
        return web.Response(status=status, headers=headers)

    async def until(self, taken=0, refused=0):
        async with self.heard, asyncio.timeout(60):
            await self.heard.wait_for(
                lambda: len(self.taken) >= taken and len(self.refused) >= refused
            )

    def told(self):
        return [json.loads(body) for _, body in self.taken]


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path}/audit.db")
    yield opened
    opened.close()


@pytest.fixture(params=["file", "postgres"])
def shared(request, tmp_path):
    """A function that opens a database as one more server would."""
    postgres = request.param == "postgres"
    url = request.getfixturevalue("postgres_url") if postgres else f"sqlite:///{tmp_path}/audit.db"
    servers = []

    def join():
        servers.append(Store.open(url))
        return servers[-1]

    yield join
    for server in servers:
        server.close()


@asynccontextmanager
async def listening(listener):
    app = web.Application()
    app.router.add_post("/hook", listener.handle)
    async with TestServer(app) as server:
        yield str(server.make_url("/hook"))


async def judge(store, word, **fields):
    verdict = await engine(record=recorder(store)).judge(trace(PAD + word, "Fine.", **fields))
    return verdict.verdict_id


async def passed(store, hook):
    """Wait until the database knows that everything was told."""
    async with asyncio.timeout(60):
        while store.cursors.look(hook.name).seq < store.newest_seq():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def begun(store, hook):
    """Give a hook its place in the chain: what comes after is told."""
    store.cursors.begin(hook.name)


async def test_events_come_in_order_signed_and_again_until_they_are_taken(store):
    await judge(store, "PLOT")  # From before anybody listened: not told.
    listener = Listener(500, 302)
    async with listening(listener) as url:
        hook = Hook(url=url, secret=SECRET)
        begun(store, hook)
        async with telling([hook], store, "https://monitor.example", HASTE):
            first = await judge(store, "BOMB")
            await judge(store, "")
            second = await judge(store, "PLOT")
            review = Review(review_id="r", verdict_id=second, reviewer="anna",
                            outcome=Outcome.ESCALATE, note="CANARY", created_at="2026")  # fmt: skip
            store.reviews.record(review, after=0)
            await listener.until(taken=3)
    told = listener.told()
    assert [(t["type"], t["data"]["verdict_id"]) for t in told] == [
        ("verdict.blocked", first),
        ("verdict.blocked", second),
        ("review.escalated", second),
    ]
    ids = [headers["webhook-id"] for headers, _ in listener.refused + listener.taken[:1]]
    assert len(set(ids)) == 1
    for headers, body in listener.taken:
        when = int(headers["webhook-timestamp"])
        wanted = signed(headers["webhook-id"], body, SECRET, when)["webhook-signature"]
        assert headers["webhook-signature"] == wanted
        assert b"CANARY" not in body
        assert b"ordinary" not in body


async def test_what_was_not_taken_before_a_restart_is_sent_after_it(store):
    listener = Listener(*[503] * 3)
    async with listening(listener) as url:
        hook = Hook(url=url, secret=SECRET)
        begun(store, hook)
        async with telling([hook], store, "https://monitor.example", HASTE):
            first = await judge(store, "PLOT")
            await listener.until(refused=1)
        listener.statuses.clear()
        second = await judge(store, "BOMB")
        async with telling([hook], store, "https://monitor.example", HASTE):
            await listener.until(taken=2)
    assert [t["data"]["verdict_id"] for t in listener.told()] == [first, second]


async def test_one_that_is_down_holds_up_nobody_else(store):
    down, well = Listener(*[500] * 10_000), Listener()
    async with listening(down) as broken, listening(well) as url:
        hooks = [Hook(url=broken, secret=SECRET), Hook(url=url, secret=None)]
        for hook in hooks:
            begun(store, hook)
        async with telling(hooks, store, "https://monitor.example", HASTE):
            await judge(store, "PLOT")
            await well.until(taken=1)
            await down.until(refused=2)
    (told,) = well.told()
    assert told["text"].startswith("Subtext blocked a response · deception 0.95")
    assert "webhook-signature" not in {name.lower() for name in well.taken[0][0]}


async def test_what_nobody_takes_is_left_out_loudly_in_the_end(store, capsys):
    patience = Patience(look=0.01, answer=10, first=0.01, longest=0.01, total=0)
    listener = Listener(400)
    async with listening(listener) as url:
        hook = Hook(url=url, secret=SECRET)
        begun(store, hook)
        async with telling([hook], store, "https://monitor.example", patience):
            await judge(store, "PLOT")
            second = await judge(store, "BOMB")
            await listener.until(taken=1)
    assert listener.told()[0]["data"]["verdict_id"] == second
    said = capsys.readouterr()
    assert "hook_gave_up" in said.out + said.err
    assert url not in said.out + said.err


async def test_the_same_gap_is_told_once_an_hour(store):
    listener = Listener()
    hidden = Disclosure(usage=Usage(reasoning_tokens=99))
    async with listening(listener) as url:
        hook = Hook(url=url, secret=SECRET)
        begun(store, hook)
        async with telling([hook], store, "https://monitor.example", HASTE):
            for _ in range(3):
                mind = engine(record=recorder(store))
                await mind.judge(trace("", "Fine.", disclosure=hidden))
            await judge(store, "PLOT")
            await listener.until(taken=2)
    assert [t["type"] for t in listener.told()] == ["coverage.gap", "verdict.blocked"]


#: Nobody is given up here but by who stops.
CALM = replace(HASTE, beat=0.01, silence=3600)


async def test_servers_that_share_a_database_tell_of_each_event_once(shared):
    store, listener = shared(), Listener()
    async with listening(listener) as url, AsyncExitStack() as stack:
        hook = Hook(url=url, secret=SECRET)
        begun(store, hook)
        for _ in range(2):
            await stack.enter_async_context(telling([hook], shared(), "https://m.example", CALM))
        ids = [await judge(store, "PLOT") for _ in range(10)]
        await listener.until(taken=10)
    assert [told["data"]["verdict_id"] for told in listener.told()] == ids


async def test_when_a_server_stops_another_goes_on_at_once(shared):
    store, listener = shared(), Listener()
    async with listening(listener) as url, AsyncExitStack() as stack:
        hook = Hook(url=url, secret=SECRET)
        begun(store, hook)
        async with telling([hook], shared(), "https://first.example", CALM):
            ids = [await judge(store, "PLOT")]
            await passed(store, hook)
            await stack.enter_async_context(telling([hook], shared(), "https://next.example", CALM))
        ids.append(await judge(store, "PLOT"))
        await listener.until(taken=2)
    links = [told["data"]["link"] for told in listener.told()]
    assert links == [
        f"https://first.example/verdicts/{ids[0]}",
        f"https://next.example/verdicts/{ids[1]}",
    ]


async def test_what_a_server_was_sending_when_it_died_is_sent_by_another(shared):
    store, dying = shared(), shared()
    dying.cursors.release = lambda *_: None  # the dead tell nobody
    listener = Listener(*[503] * 10_000)
    async with listening(listener) as url:
        hook = Hook(url=url, secret=SECRET)
        begun(store, hook)
        async with telling([hook], dying, "https://m.example", CALM):
            verdict_id = await judge(store, "PLOT")
            await listener.until(refused=1)
        listener.statuses.clear()
        patience = replace(HASTE, silence=0.05)
        async with telling([hook], shared(), "https://m.example", patience):
            await listener.until(taken=1)
    (told,) = listener.told()
    assert told["data"]["verdict_id"] == verdict_id
    ids = {headers["webhook-id"] for headers, _ in listener.refused + listener.taken}
    assert len(ids) == 1


async def test_a_server_that_was_thought_dead_leaves_the_rest_to_the_one_that_took_over(shared):
    store, slow, listener = shared(), shared(), Listener(*[503] * 10_000)
    look, looked = slow.cursors.look, threading.Event()

    def watched(name):
        looked.set()
        return look(name)

    async with listening(listener) as url:
        hook = Hook(url=url, secret=SECRET)
        begun(store, hook)
        async with telling([hook], slow, "https://m.example", CALM):
            await judge(store, "PLOT")
            await listener.until(refused=1)
            slow.cursors.look, taken = watched, False
            while not taken:  # in between, the server may give a sign of life
                taken = store.cursors.take(hook.name, "other", store.cursors.look(hook.name))
            store.cursors.advance(hook.name, store.newest_seq(), "other")
            assert await asyncio.to_thread(looked.wait, 60)  # it waits for its turn again
            listener.statuses.clear()
            last = await judge(store, "BOMB")
            store.cursors.release(hook.name, "other")
            await listener.until(taken=1)
    assert [told["data"]["verdict_id"] for told in listener.told()] == [last]
