"""What the benchmarks start in processes of their own, so that each has an interpreter to itself."""

import asyncio
import multiprocessing
import socket
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
from aiohttp import web

from stream.server import keep_turns_short, listening


async def bare_proxy(upstream: str) -> web.Application:
    """The least that a proxy on the same library does."""
    client = aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0))

    async def forward(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        async with client.post(upstream + request.path, data=body) as reply:
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            with suppress(ConnectionResetError):
                async for data in reply.content.iter_any():
                    await response.write(data)
            return response

    app = web.Application()
    app.router.add_post("/{path:.*}", forward)
    return app


class Known:
    """Something that runs already; gives its address."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> str:
        return self._url

    def __exit__(self, *_: object) -> None:
        pass


class Process:
    """What `make` gives, an application or the address of a server, in a process of its own."""

    def __init__(self, make, *args) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(make, args, there), daemon=True)

    def __enter__(self) -> str:
        self._process.start()
        return self._here.recv()

    @property
    def pid(self) -> int:
        """The process, once it runs."""
        return self._process.pid

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def _serve(make, args, pipe) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            made = await make(*args)
            if isinstance(made, web.Application):
                made = await stack.enter_async_context(listening(made, "127.0.0.1", 0))
            keep_turns_short()
            pipe.send(made)
            await asyncio.sleep(3600)

    asyncio.run(run())


def rss(pid: int) -> float:
    """MiB that a process and its children occupy; 0 when there is none."""
    if not pid:
        return 0.0
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return own / 1024 + sum(rss(int(child)) for child in children)


def cpu(pid: int) -> float:
    """Seconds that the threads of a process have run so far."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(one.read_text(encoding="ascii").split()[0]) for one in threads) / 1e9


def settle(pid: int, most: float = 60.0) -> None:
    """Wait until a process has nothing to do any more: work that nobody waits for would go on."""
    until = time.monotonic() + most
    while pid and time.monotonic() < until:
        before = cpu(pid)
        time.sleep(0.5)
        if cpu(pid) - before < 0.01:
            return
