"""A sidecar between a client and a server that both speak raw bytes."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import pytest

from stream import proxy
from stream.server import listening
from tests.security.raw import Behind
from tests.support import Recorded, engine


@dataclass
class Wire:
    """A running sidecar and what stands behind it."""

    url: str
    behind: Behind
    record: Recorded
    app: object


async def _start(stack, *, rules=None, record=None, patience=60.0, **settings):
    behind, record = Behind(), record or Recorded()
    server = await asyncio.start_server(behind.serve, "127.0.0.1", 0)
    stack.push_async_callback(server.wait_closed)
    stack.callback(server.close)
    behind.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    options = proxy.Settings(upstream=behind.url, client_timeout=patience, **settings)
    app = proxy.create_app(engine(rules=rules, record=record), options)
    front = await stack.enter_async_context(listening(app, "127.0.0.1", 0, patience=patience))
    return Wire(url=front, behind=behind, record=record, app=app)


@pytest.fixture
async def wire():
    """A function that starts a sidecar."""
    async with AsyncExitStack() as stack:
        yield partial(_start, stack)
