"""CPU time that the sidecar's process spends per request and per event, beside a bare proxy's.

Time on the clock depends on who else uses the machine; CPU time hardly does.
"""

import asyncio
from collections.abc import Callable

from monitor.types import Mode
from tests.bench import wire
from tests.bench.processes import Process, bare_proxy, cpu
from tests.bench.proxies import constant, sidecar

#: Streams at once, and events of each, of which each comes in a packet of its own.
STREAMS, EVENTS = 32, 100
RUNS: dict[str, tuple[object, ...]] = {
    "bare aiohttp": (bare_proxy,),
    "sidecar, observe": (sidecar, Mode.OBSERVE, constant),
    "sidecar, hold": (sidecar, Mode.HOLD, constant),
}


def main(*, quick: bool) -> None:
    """Print the table."""
    rounds = 1 if quick else 3
    print(f"| CPU time, {STREAMS} streams of {EVENTS} events | per whole response | per event |")
    print("|---|---|---|")
    with Process(wire.serve, EVENTS) as upstream, Process(wire.serve, 2) as short:
        for name, (make, *args) in RUNS.items():
            found = [_measured(make, args, upstream, short) for _ in range(rounds)]
            request, event = (min(column) for column in zip(*found, strict=True))
            print(f"| {name} | {request * 1000:.2f} ms | {event * 1e6:.0f} µs |", flush=True)
    print()


def _measured(make: object, args: list[object], upstream: str, short: str) -> tuple[float, float]:
    """Seconds per whole response, and per event of a stream without its beginning and end."""
    process = Process(make, short, *args)
    with process as url:
        asyncio.run(wire.requests(url, 0.3))  # warms up
        whole = _per(process.pid, lambda: wire.requests(url, 2.0))
        brief = _per(process.pid, lambda: _streams(url))
    process = Process(make, upstream, *args)
    with process as url:
        asyncio.run(wire.requests(url, 0.3))
        full = _per(process.pid, lambda: _streams(url))
    return whole, (full - brief) / (EVENTS - 2)


def _per(pid: int, load: Callable) -> float:
    before = cpu(pid)
    count = asyncio.run(load())
    return (cpu(pid) - before) / count


async def _streams(url: str) -> int:
    async def one(number: int) -> None:
        await asyncio.sleep(number / STREAMS / wire.PACE)
        await wire.stream(url)

    await asyncio.gather(*(one(number) for number in range(STREAMS)))
    await asyncio.sleep(0.3)  # what is recorded after the last byte
    return STREAMS
