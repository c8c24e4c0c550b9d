"""One process with a worker in it, and a small door for whoever watches it."""

import asyncio
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass

import typer
from aiohttp import web

from classifiers.port import Classifier
from monitor.clock import utc_now
from monitor.engine import Engine
from monitor.health import Health, ModelProbe, Part, liveness, readiness, store_probe
from monitor.notary import Notary
from monitor.rulebook import Rulebook, to_toml
from monitor.signing import SigningKey
from monitor.store import Store
from stream.checkpoints import attesting
from stream.kafka.docket import Limits
from stream.kafka.ledger import Ledger
from stream.kafka.port import Transport
from stream.kafka.topics import Topics
from stream.kafka.worker import Worker
from stream.server import listening


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What `subtext worker` runs."""

    classifier: Classifier
    store: Store
    policy: Rulebook
    #: Signs checkpoints of the record; without one, this process signs none.
    key: SigningKey | None
    transport: Transport
    topics: Topics
    group: str
    member: str
    limits: Limits
    host: str
    port: int

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM; see `Worker.run` for what it raises."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        now, version = utc_now(), self.policy.version
        self.store.record_policy(policy=to_toml(self.policy), version=version, created_at=now)
        ledger = Ledger(self.store)
        engine = Engine(classifier=self.classifier, policy=self.policy, record=ledger.record)
        engine.metrics.watch(self.classifier)
        worker = Worker(
            engine=engine,
            ledger=ledger,
            transport=self.transport,
            topics=self.topics,
            group=self.group,
            member=self.member,
            limits=self.limits,
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.classifier.aclose)
            stack.callback(self.store.close)
            notary = Notary(self.store, self.key) if self.key else None
            await stack.enter_async_context(attesting(notary))
            health = self._health(worker)
            stack.push_async_callback(health.aclose)
            door = listening(_door(engine, worker, health), self.host, self.port)
            address = await stack.enter_async_context(door)
            typer.echo(f"Reading {self.topics.traces} as {self.group}. Metrics: {address}/metrics")
            await worker.run(stop)

    def _health(self, worker: Worker) -> Health:
        return Health(
            {
                Part.MODEL: ModelProbe(self.classifier),
                Part.STORE: store_probe(self.store),
                Part.BROKER: worker.reach,
            }
        )


def _door(engine: Engine, worker: Worker, health: Health) -> web.Application:
    async def metrics(_request: web.Request) -> web.Response:
        body = engine.metrics.exposition() + worker.metrics.exposition()
        return web.Response(body=body, headers={"content-type": "text/plain; version=0.0.4"})

    async def alive(_request: web.Request) -> web.Response:
        status, answer = liveness(await health.look(wait=False))
        return web.json_response(answer, status=status)

    async def ready(_request: web.Request) -> web.Response:
        status, answer = readiness(await health.look())
        return web.json_response(answer, status=status)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    return app
