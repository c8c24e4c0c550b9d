"""A client that takes its time keeps nothing from others for longer than the limit."""

import asyncio
import contextlib
import socket

import pytest

from monitor.types import Mode
from tests.security.raw import ANSWER, exchange, response
from tests.security.test_hostile_http import ASK, ask
from tests.support import Recorded, policy

#: Seconds; the limit of these tests.
SHORT = 0.3
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
SIZE = b"content-length: %d\r\n\r\n" % len(ASK)


class Told(Recorded):
    """Says when there is a verdict."""

    def __init__(self):
        super().__init__()
        self.event = asyncio.Event()

    async def __call__(self, verdict, trace):
        await super().__call__(verdict, trace)
        self.event.set()


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /v1", HEAD, HEAD + b"x-a: ", ask().replace(b"connection: close\r\n", b"")],
    ids=["nothing", "half a line", "half a head", "half a header", "one request, then nothing"],
)
async def test_a_head_that_does_not_come_closes_the_connection(wire, sent):
    setup = await wire(patience=SHORT)
    async with asyncio.timeout(30):
        got = await exchange(setup.url, sent, patience=60)  # ends because the sidecar hangs up
    assert (ANSWER in got) == sent.endswith(ASK)
    assert ANSWER in await exchange(setup.url, ask())


async def test_a_head_that_drips_closes_the_connection(wire):
    setup = await wire(patience=SHORT)
    host, port = setup.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(HEAD)

    async def drip():
        while True:
            writer.write(b"x-a: b\r\n")
            await writer.drain()
            await asyncio.sleep(SHORT / 10)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    dripping.cancel()
    with contextlib.suppress(asyncio.CancelledError, ConnectionError):
        await dripping
    writer.close()
    assert not setup.behind.targets


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/embeddings"])
async def test_a_body_that_does_not_come_is_refused_and_frees_its_place(wire, path):
    setup = await wire(patience=SHORT, max_responses=1)
    head = (HEAD + SIZE).replace(b"/v1/chat/completions", path)
    async with asyncio.timeout(30):
        got = await exchange(setup.url, head + ASK[:10], patience=60)
    assert got.startswith(b"HTTP/1.1 408 ")
    assert not setup.behind.targets
    assert ANSWER in await exchange(setup.url, ask())


async def test_a_client_that_takes_nothing_loses_its_connection_and_its_place(wire):
    told = Told()
    rules = policy(Mode.OBSERVE)
    setup = await wire(patience=SHORT, max_responses=1, rules=rules, record=told)
    setup.behind.says = response(body=ANSWER + b" " * 10_000_000)
    host, port = setup.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.settimeout(0)
        await asyncio.get_running_loop().sock_sendall(client, ask())
        async with asyncio.timeout(60):
            await told.event.wait()
            setup.behind.says = response()
            while ANSWER not in (got := await exchange(setup.url, ask())):
                assert got.startswith(b"HTTP/1.1 503 ")  # until the place is free again
