"""A sidecar between a scripted upstream and a real client, all on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from monitor.engine import Engine
from monitor.types import Mode
from stream import proxy
from stream.server import listening
from tests.support import Recorded, engine, policy

Handler = Callable[[web.Request], "asyncio.Future[web.StreamResponse]"]


@dataclass
class Upstream:
    """What the server behind the sidecar does, and what it saw."""

    handler: Handler | None = None
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    #: Set when a client of the upstream went away before the end.
    aborted: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.raw_path, dict(request.headers), body))
        try:
            return await self.handler(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self.aborted.set()
            raise

    def streams(self, *chunks: bytes, pause: float = 0.0, hang: bool = False) -> None:
        """Answer every request with these bytes as an event stream."""

        async def handler(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            for chunk in chunks:
                await response.write(chunk)
                await asyncio.sleep(pause)
            if hang:
                await asyncio.sleep(60)
            return response

        self.handler = handler

    def replies(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Answer every request with this body."""

        async def handler(request: web.Request) -> web.StreamResponse:
            names = {k.replace("_", "-"): v for k, v in headers.items()}
            return web.Response(
                body=body, status=status, headers={"content-type": "application/json", **names}
            )

        self.handler = handler


@dataclass
class Setup:
    """A running sidecar."""

    url: str
    upstream: Upstream
    record: Recorded
    engine: Engine
    client: aiohttp.ClientSession
    #: Shuts the sidecar down.
    stop: Callable[[], Awaitable[object]]

    async def post(self, body: dict, path: str = "/v1/chat/completions", **headers: str):
        async with self.client.post(self.url + path, json=body, headers=headers) as reply:
            return reply.status, await reply.read(), reply.headers

    async def verdict(self):
        """The first recorded verdict, once it is there."""
        await self.until(lambda: self.record.verdicts)
        return self.record.verdicts[0][0]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for `condition`."""
        for _ in range(1500):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("what was waited for did not come")


async def start(  # noqa: PLR0913 -- keyword-only: what a sidecar is made of
    stack: AsyncExitStack,
    *,
    classifier=None,
    rules=None,
    record=None,
    url=None,
    tracer=None,
    **settings,
) -> Setup:
    """Start a sidecar with a given engine and settings, in front of a scripted upstream."""
    upstream, record = Upstream(), record or Recorded()
    behind = web.Application(client_max_size=2**26)
    behind.router.add_route("*", "/{path:.*}", upstream.handle)
    address = url or await stack.enter_async_context(listening(behind, "127.0.0.1", 0))
    shared = engine(classifier=classifier, rules=rules, record=record)
    app = proxy.create_app(shared, proxy.Settings(upstream=address, **settings), tracer=tracer)
    sidecar = await stack.enter_async_context(AsyncExitStack())
    front = await sidecar.enter_async_context(listening(app, "127.0.0.1", 0))
    client = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
    return Setup(
        url=front,
        upstream=upstream,
        record=record,
        engine=shared,
        client=client,
        stop=sidecar.aclose,
    )


@pytest.fixture
async def sidecar() -> AsyncIterator[Callable]:
    """A function that starts a sidecar."""
    async with AsyncExitStack() as stack:
        yield partial(start, stack)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gating() -> AsyncIterator[dict[Mode, Setup]]:
    """A sidecar in each mode that holds text back, for many requests one after the other."""
    async with AsyncExitStack() as stack:
        yield {m: await start(stack, rules=policy(m)) for m in (Mode.HOLD, Mode.BUFFER)}
