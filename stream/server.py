"""One process with everything in it: sidecar, engine, store, dashboard, a replay for the demo."""

import asyncio
import gc
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from socket import AF_INET, AF_INET6, create_server

import aiohttp
import uvicorn
from aiohttp import web
from rich.console import Console

from classifiers.port import Classifier
from dashboard.app import LOCAL_HOSTS
from dashboard.app import create_app as create_dashboard
from dashboard.port import Others, Parquet
from monitor.clock import utc_now
from monitor.engine import Engine
from monitor.health import Health, ModelProbe, Part, store_probe
from monitor.judging import Judge
from monitor.notary import Notary
from monitor.opinions import NO_SECONDS, Seconds
from monitor.recording import forget, recorder
from monitor.retention import KEEP_ALL, Rules
from monitor.rulebook import Rulebook, to_toml
from monitor.single_sign_on import Provider
from monitor.store import Store
from monitor.types import Trace, Verdict
from stream import proxy, replay
from stream.checkpoints import attesting
from stream.counting import counting
from stream.hooks import Hook, telling
from stream.kafka.gate import Gate, KafkaJudge
from stream.places import Place
from stream.policy_writer import WrittenPolicy
from stream.publishing import publishing
from stream.reload import Follower, PolicySource
from stream.renewal import Renewable, Renewal
from stream.retention import retaining
from stream.shown import settings_shown
from stream.tracing import Tracer
from stream.watching import Looker, watching

#: In a demo, a recorded response is asked for so often (seconds), so that the dashboard lives.
DEMO_INTERVAL = 6.0
#: For so long (seconds) a thread that records or scores may keep the event loop waiting; Python's
#: own 5 ms would be felt by every token.
SWITCH_INTERVAL = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the two doors are; port 0 takes a free one."""

    host: str
    port: int
    dashboard_host: str
    dashboard_port: int
    #: Host names that the dashboard answers for, beside its address.
    dashboard_names: tuple[str, ...] = ()
    #: What people call the dashboard, for links in messages; "" means its address.
    public_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What `subtext serve` runs."""

    classifier: Classifier
    store: Store
    #: The policy at the start.
    policy: Rulebook
    settings: proxy.Settings
    addresses: Addresses
    #: Signs checkpoints of the record; without one, nobody does.
    notary: Notary | None = None
    #: Where checkpoints are sent to, by address.
    places: Mapping[str, Place] = field(default_factory=dict)
    #: For how long texts are kept.
    retention: Rules = KEEP_ALL
    #: Where the policy is followed to; None keeps the one of the start.
    source: PolicySource | None = None
    #: How the sidecar shows itself to clients; None serves plain HTTP.
    tls: Renewable | None = None
    #: Likewise the dashboard.
    dashboard_tls: Renewable | None = None
    demo: bool = False
    #: Where responses are judged instead, if not in this process.
    gate: Gate | None = None
    #: Where to tell of blocks, escalations and gaps.
    hooks: tuple[Hook, ...] = ()
    #: Who vouches for the people of the dashboard, besides passwords.
    provider: Provider | None = None
    #: Which verdicts a second person is asked about.
    seconds: Seconds = NO_SECONDS
    #: Observes judged responses; without one, nobody does.
    tracer: Tracer | None = None
    #: Score stored traces once more, beside `classifier`; they record nothing.
    others: tuple[Engine, ...] = ()

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM; then let running responses end and be recorded."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with self.started() as (sidecar, dashboard):
            keep_turns_short()
            self._greet(sidecar, dashboard)
            await stop.wait()

    @asynccontextmanager
    async def started(self) -> AsyncIterator[tuple[str, str]]:
        """Start everything; gives the addresses of the sidecar and of the dashboard."""
        engine = Engine(classifier=self.classifier, policy=self.policy, record=recorder(self.store))
        engine.metrics.watch(self.classifier)
        self.store.record_policy(
            policy=to_toml(self.policy), version=self.policy.version, created_at=utc_now()
        )
        async with AsyncExitStack() as stack:
            for one in (self.classifier, *(other.classifier for other in self.others)):
                stack.push_async_callback(one.aclose)
            stack.callback(self.store.close)
            # Ends after the last checkpoint was made.
            await stack.enter_async_context(publishing(self.places, self.store))
            await stack.enter_async_context(attesting(self.notary))
            await stack.enter_async_context(retaining(self.store, self.retention))
            await stack.enter_async_context(counting(self.store))
            judge: Judge = engine
            if self.gate is not None:
                judge = await stack.enter_async_context(self.gate.judging(engine))
            await stack.enter_async_context(watching(self._lookers(judge)))
            settings = self.settings
            if self.demo:
                upstream = await stack.enter_async_context(_replaying())
                settings = replace(settings, upstream=upstream)
            health = self._health(judge)
            stack.push_async_callback(health.aclose)
            app = proxy.create_app(judge, settings, health=health, tracer=self.tracer)
            where = (self.addresses.host, self.addresses.port)
            sidecar = await stack.enter_async_context(
                listening(app, *where, tls=_lasting(self.tls), patience=settings.client_timeout)
            )
            dashboard = await stack.enter_async_context(self._dashboard(judge, sidecar, health))
            public = self.addresses.public_url or dashboard
            await stack.enter_async_context(telling(self.hooks, self.store, public))
            if self.demo:
                await stack.enter_async_context(_asking(sidecar))
            yield sidecar, dashboard

    @asynccontextmanager
    async def _dashboard(self, judge: Judge, sidecar: str, health: Health) -> AsyncIterator[str]:
        app = create_dashboard(
            store=self.store,
            judge=judge.judge,
            policy=lambda: judge.policy,
            health=health,
            allowed_hosts=(
                *LOCAL_HOSTS,
                self.addresses.dashboard_host,
                *self.addresses.dashboard_names,
            ),
            try_line=_try_line(sidecar),
            metrics=lambda: _exposition(judge),
            settings=settings_shown(self, sidecar),
            parquet=_parquet(),
            policy_file=WrittenPolicy.of(self.source),
            seconds=self.seconds,
            provider=self.provider,
            others=self._judges(judge),
        )
        tls = _lasting(self.dashboard_tls)
        config = uvicorn.Config(
            app,
            log_config=None,
            lifespan="off",
            access_log=False,
            timeout_graceful_shutdown=2,
            ssl_context_factory=(lambda _config, _default: tls) if tls else None,
        )
        server = _Quiet(config)
        where = (self.addresses.dashboard_host, self.addresses.dashboard_port)
        family = AF_INET6 if ":" in self.addresses.dashboard_host else AF_INET
        socket = create_server(where, family=family)
        task = asyncio.create_task(server.serve(sockets=[socket]))
        host, port = socket.getsockname()[:2]
        try:
            yield f"{'https' if tls else 'http'}://{host}:{port}"
        finally:
            server.should_exit = True
            await task

    def _lookers(self, judge: Judge) -> list[Looker]:
        """What follows the files that may be edited or replaced while the server runs."""
        found: list[Looker] = []
        if self.source is not None and self.source.file is not None:
            found.append(Follower(self.source, judge, self.store))
        sides = filter(None, (self.tls, self.dashboard_tls, self.settings.upstream_tls))
        return found + [Renewal(side, judge.metrics) for side in sides]

    def _judges(self, judge: Judge) -> Others:
        """Who can score a stored trace once more, by the name of their models."""

        async def again(trace: Trace) -> Verdict:
            """By the policy of the moment."""
            today = Engine(classifier=self.classifier, policy=judge.policy, record=forget)
            return await today.judge(trace)

        here = {} if self.gate else {self.classifier.identity.model: again}
        return here | {other.classifier.identity.model: other.judge for other in self.others}

    def _health(self, judge: Judge) -> Health:
        store = store_probe(self.store)
        if isinstance(judge, KafkaJudge):
            return Health({Part.STORE: store, Part.BROKER: judge.reach})
        return Health({Part.MODEL: ModelProbe(self.classifier), Part.STORE: store})

    def _greet(self, sidecar: str, dashboard: str) -> None:
        console = Console(highlight=False)
        console.print(f"\n[bold]Sidecar[/]    {sidecar}   ({_summary(self.policy)})")
        console.print(f"[bold]Dashboard[/]  {dashboard}\n")
        console.print("Try it:\n")
        console.print(f"  {_try_line(sidecar)}\n", markup=False, soft_wrap=True)
        console.print("Stop with Ctrl-C.")


def keep_turns_short() -> None:
    """Keep Python itself from letting tokens wait: for another thread's turn, for old objects."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()  # what is there by now stays, and need not be searched for garbage again and again


def _exposition(judge: Judge) -> bytes:
    more = judge.counts.exposition() if isinstance(judge, KafkaJudge) else b""
    return judge.metrics.exposition() + more


def _lasting(tls: Renewable | None) -> ssl.SSLContext | None:
    return tls.lasting() if tls else None


class _Quiet(uvicorn.Server):
    """A uvicorn server that leaves signals to the process that it is part of."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _parquet() -> Parquet | None:
    """What writes Parquet, if it is installed."""
    try:
        from stream.rescore.export import parquet  # noqa: PLC0415 -- an optional part
    except ImportError:
        return None
    return parquet


@asynccontextmanager
async def listening(
    app: web.Application,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    patience: float = 75.0,
) -> AsyncIterator[str]:
    """Serve an aiohttp application; gives its address.

    A connection is closed when the head of a request has not come within `patience` seconds.
    """
    runner = web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=None,
        keepalive_timeout=patience,
        lingering_time=min(10.0, patience),
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=tls)
    await site.start()
    try:
        bound = runner.addresses[0]
        yield f"{'https' if tls else 'http'}://{host}:{bound[1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _replaying() -> AsyncIterator[str]:
    async with listening(replay.create_app(replay.recorded()), "127.0.0.1", 0) as address:
        yield address


@asynccontextmanager
async def _asking(sidecar: str) -> AsyncIterator[None]:
    """Send every recorded prompt through the sidecar once, slowly."""
    task = asyncio.create_task(_ask(sidecar))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, aiohttp.ClientError):
            await task


async def _ask(sidecar: str) -> None:
    async with aiohttp.ClientSession() as client:
        for record in replay.recorded():
            body = {
                "model": "replay",
                "stream": True,
                "messages": [{"role": "user", "content": record["prompt"]}],
            }
            async with client.post(f"{sidecar}/v1/chat/completions", json=body) as reply:
                await reply.read()
            await asyncio.sleep(DEMO_INTERVAL)


def _summary(policy: Rulebook) -> str:
    rules = f", {len(policy.rules)} rules" if policy.rules else ""
    return f"mode: {policy.top.mode.value}{rules}"


def _try_line(sidecar: str) -> str:
    body = (
        '{"model": "replay", "stream": true, '
        '"messages": [{"role": "user", "content": "How is my order?"}]}'
    )
    return f"curl -N {sidecar}/v1/chat/completions -H 'content-type: application/json' -d '{body}'"
