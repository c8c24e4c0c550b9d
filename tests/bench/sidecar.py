"""What the sidecar adds: against a bare pass-through proxy built on the same HTTP library.

Upstream, bare proxy and sidecar are processes of their own on this machine. The upstream writes the
time into each event (CLOCK_MONOTONIC, the same for all processes); the client subtracts it.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import numpy as np
from aiohttp import web

from monitor.types import Mode
from tests.bench.processes import Known, Process, bare_proxy
from tests.bench.traces import authored

PACE = 60.0
#: Words of the answer that come at once, so that its first step is complete and only scoring is left.
AT_ONCE = 70
TIMED = re.compile(rb'"t": ([0-9.]+)')
ASK = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Well?"}]}


def main(*, quick: bool) -> None:
    asyncio.run(_measure(repeats=1 if quick else 4))


async def _measure(repeats: int) -> None:
    with Process(_upstream) as upstream, Process(bare_proxy, upstream) as bare:
        print("| time added per event, one stream at 60 events/s | p50 | p99 |")
        print("|---|---|---|")
        for name, mode in (("bare proxy", None), ("sidecar, observe", Mode.OBSERVE)):
            with _front(mode, upstream, bare) as url:
                delays = await _delays(url, repeats)
                print(f"| {name} | {_ms(delays, 50)} | {_ms(delays, 99)} |")
        print("\n| last thinking byte to first answer byte, hold | p50 | p99 |")
        print("|---|---|---|")
        for name, mode in (("bare proxy", None), ("sidecar, hold", Mode.HOLD)):
            with _front(mode, upstream, bare) as url:
                for streams in (1, 8, 32):
                    gaps = [g for _ in range(repeats) for g in await _gaps(url, streams)]
                    print(f"| {name}, {streams} streams | {_ms(gaps, 50)} | {_ms(gaps, 99)} |")
    print()


def _front(mode: Mode | None, upstream: str, bare: str):
    return Process(_sidecar, upstream, mode) if mode else Known(bare)


async def _delays(url: str, repeats: int) -> list[float]:
    """Seconds between sending and arrival of each event."""
    found: list[float] = []
    async with aiohttp.ClientSession() as client:
        for _ in range(repeats):
            async for _, sent, arrived in _events(client, url):
                found.append(arrived - sent)
    return found


async def _gaps(url: str, streams: int) -> list[float]:
    """Seconds from sending the last thinking event to the arrival of the first answer event."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        return await asyncio.gather(*(_gap(client, url, i) for i in range(streams)))


async def _gap(client: aiohttp.ClientSession, url: str, number: int) -> float:
    await asyncio.sleep(number * 0.13)  # streams do not march in step
    last = 0.0
    async for thinking, sent, arrived in _events(client, url):
        if not thinking:
            return arrived - last
        last = sent
    raise RuntimeError(f"a stream of {url} ended without an answer")


async def _events(
    client: aiohttp.ClientSession, url: str
) -> AsyncIterator[tuple[bool, float, float]]:
    async with client.post(url + "/v1/chat/completions", json=ASK) as reply:
        async for line in reply.content:
            if b"content_filter" in line:
                raise RuntimeError(f"the sidecar refused: {line.decode()}")
            if timed := TIMED.search(line):
                yield b"reasoning_content" in line, float(timed[1]), time.monotonic()


def _ms(seconds: list[float], percentile: int) -> str:
    return f"{np.percentile(seconds, percentile) * 1000:.1f} ms"


# What runs in the other processes.


async def _upstream() -> web.Application:
    """Streams authored benign traces: at a pace, but the answer's first step at once."""
    traces = [t for t in authored(2000) if t.trace_id.startswith(("a6-", "a12-"))][:40]
    turns = iter(range(10**9))

    async def complete(request: web.Request) -> web.StreamResponse:
        trace = traces[next(turns) % len(traces)]
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        with suppress(ConnectionResetError):
            for word in trace.thinking.split(" ")[:240]:
                await response.write(_event({"reasoning_content": word + " "}))
                await asyncio.sleep(1 / PACE)
            for number, word in enumerate(trace.answer.split(" ")):
                await response.write(_event({"content": word + " "}))
                await asyncio.sleep(1 / PACE if number > AT_ONCE else 0)
            await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    return app


def _event(delta: dict) -> bytes:
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    chunk |= {"choices": [choice], "usage": {"t": round(time.monotonic(), 6)}}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


async def _sidecar(upstream: str, mode: Mode) -> web.Application:
    from classifiers.runtime import OnnxClassifier
    from monitor.engine import Engine
    from monitor.policy import Policy
    from monitor.recording import recorder
    from monitor.rulebook import Rulebook
    from monitor.store import Store
    from stream.proxy import Settings, create_app

    classifier = OnnxClassifier.load()
    await classifier.encode(["warm up"])
    limits = {check: type(t)(flag=1.0, block=1.0) for check, t in classifier.thresholds.items()}
    policy = Rulebook(top=Policy(thresholds=limits, mode=mode))  # measured is time, not blocking
    engine = Engine(classifier=classifier, policy=policy, record=recorder(Store.open("sqlite://")))
    return create_app(engine, Settings(upstream=upstream))
