"""Health tells the truth about the models and the store, in time, whatever they do."""

import asyncio
import sqlite3
from contextlib import closing

import httpx2 as httpx
import pytest

from classifiers.batcher import Counters
from classifiers.errors import InferenceError
from classifiers.fake import FakeClassifier
from dashboard.app import create_app
from monitor.health import Condition, Health, ModelProbe, Part, Rhythm, store_probe
from monitor.store import Store
from stream import proxy
from stream.server import Addresses, Server, listening
from tests.support import MARKERS, engine, fake, rulebook

SOON = Rhythm(patience=0.2, fresh=0.0)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


async def fine():
    pass


async def broken():
    raise RuntimeError("canary")


async def hanging():
    await asyncio.Event().wait()


def watching(probe, rhythm=SOON):
    return Health({Part.MODEL: probe, Part.STORE: fine}, rhythm)


@pytest.mark.parametrize(
    ("probe", "condition"),
    [(fine, "ok"), (broken, "failed"), (hanging, "too_slow")],
)
async def test_both_ports_tell_what_works(probe, condition):
    health = watching(probe)
    store = Store.open("sqlite://")
    app = create_app(store=store, judge=None, policy=rulebook, health=health)
    transport = httpx.ASGITransport(app=app)
    checks = {"model": condition, "store": "ok"}
    front = proxy.create_app(engine(), proxy.Settings(upstream="http://127.0.0.1:1"), health=health)
    async with (
        listening(front, "127.0.0.1", 0) as sidecar,
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as dashboard,
        httpx.AsyncClient(base_url=f"{sidecar}/subtext") as beside,
    ):
        for http in (dashboard, beside):
            ready, alive = await http.get("/readyz"), await http.get("/healthz")
            assert ready.json() == {"ready": condition == "ok", "checks": checks}
            assert ready.status_code == (200 if condition == "ok" else 503)
            status = "ok" if condition == "ok" else "impaired"
            assert alive.json() == {"status": status, "checks": checks}
            assert alive.status_code == 200
    await health.aclose()
    store.close()


async def test_the_upstream_keeps_its_own_health_paths(sidecar):
    setup = await sidecar()
    setup.upstream.replies(b'{"mine": true}')
    for path in ("/health", "/healthz", "/readyz", "/subtext/else"):
        async with setup.client.get(setup.url + path) as reply:
            assert await reply.json() == {"mine": True}
    async with setup.client.get(setup.url + "/subtext/readyz") as reply:
        assert await reply.json() == {"ready": True, "checks": {}}
    assert len(setup.upstream.requests) == 4


async def test_liveness_never_waits_for_a_part_that_hangs():
    health = watching(hanging, Rhythm(patience=3600, fresh=0.0))
    found = await asyncio.wait_for(health.look(wait=False), 30)
    assert found[Part.MODEL] is Condition.UNKNOWN
    await health.aclose()


async def test_a_part_that_hangs_is_asked_once_and_recovers_by_itself():
    asked, go = [], asyncio.Event()

    async def slow():
        asked.append(1)
        await go.wait()

    health = watching(slow)
    for _ in range(3):
        assert (await health.look())[Part.MODEL] is Condition.TOO_SLOW
    assert len(asked) == 1
    go.set()
    await asyncio.sleep(0)
    assert (await health.look())[Part.MODEL] is Condition.OK


async def test_those_who_ask_often_share_a_look():
    asked, clock = [], Clock()

    async def counted():
        asked.append(1)

    health = watching(counted, Rhythm(fresh=1.0, monotonic=clock))
    await asyncio.gather(*(health.look() for _ in range(20)))
    assert len(asked) == 1
    clock.now += 1.0
    await health.look()
    assert len(asked) == 2


class Counting(FakeClassifier):
    """Counts like the shipped one, and remembers what it was asked."""

    queued_tokens = 0

    def __init__(self, **options):
        super().__init__(MARKERS, i_know_this_is_fake=True, **options)
        self.counters = {"step": Counters(), "pair": Counters()}
        self.asked = []

    def works(self, name):
        count = self.counters[name].completed + 1
        self.counters = {**self.counters, name: Counters(completed=count)}

    async def encode(self, texts):
        self.asked.append("step")
        return await super().encode(texts)

    async def compare(self, pairs):
        self.asked.append("pair")
        return await super().compare(pairs)


async def test_a_model_that_works_anyway_is_not_asked():
    classifier = Counting()
    probe = ModelProbe(classifier)
    await probe()
    assert classifier.asked == ["step", "pair"]
    classifier.works("step")
    await probe()
    assert classifier.asked == ["step", "pair", "pair"]
    await probe()
    assert classifier.asked[3:] == ["step", "pair"]


async def test_a_model_that_fails_is_told():
    health = watching(ModelProbe(fake(error=InferenceError("x"))))
    assert (await health.look())[Part.MODEL] is Condition.FAILED


async def test_a_store_that_can_be_written_is_well_and_its_log_unchanged(tmp_path):
    with closing(Store.open(f"sqlite:///{tmp_path}/audit.db")) as store:
        health = Health({Part.STORE: store_probe(store)}, SOON)
        for _ in range(2):
            assert (await health.look()) == {Part.STORE: Condition.OK}
        assert store.newest_seq() == -1
        assert store.audit().ok


async def test_a_store_that_another_process_holds_is_too_slow(tmp_path):
    path = tmp_path / "audit.db"
    with closing(Store.open(f"sqlite:///{path}")) as store:
        health = Health({Part.STORE: store_probe(store)}, SOON)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert (await health.look()) == {Part.STORE: Condition.TOO_SLOW}
            other.execute("ROLLBACK")
        running = [w.task for w in health._watches.values()]
        await asyncio.wait(filter(None, running), timeout=60)
        assert (await health.look()) == {Part.STORE: Condition.OK}


async def test_a_store_that_cannot_be_written_has_failed(tmp_path):
    with closing(Store.open(f"sqlite:///{tmp_path}/audit.db")) as store:
        with store._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")
        health = Health({Part.STORE: store_probe(store)}, SOON)
        assert (await health.look()) == {Part.STORE: Condition.FAILED}


async def test_a_running_server_is_ready():
    server = Server(
        classifier=fake(),
        store=Store.open("sqlite://"),
        policy=rulebook(),
        settings=proxy.Settings(upstream="http://127.0.0.1:1"),
        addresses=Addresses(host="127.0.0.1", port=0, dashboard_host="127.0.0.1", dashboard_port=0),
    )
    async with server.started() as (sidecar, dashboard), httpx.AsyncClient() as http:
        for address in (f"{sidecar}/subtext/readyz", f"{dashboard}/readyz"):
            answer = await http.get(address, timeout=60)
            assert answer.json() == {"ready": True, "checks": {"model": "ok", "store": "ok"}}
