"""Ten times as many streams as the sidecar takes: what becomes of them, and of its memory."""

import asyncio
import time
from collections import Counter

from monitor.types import Mode
from tests.bench import wire
from tests.bench.processes import Process, rss
from tests.bench.proxies import constant, sidecar

LIMIT = 32
#: Seconds after which a client gives up a stream.
MOST = 30.0


def main(*, quick: bool) -> None:
    """Print the table."""
    seconds, events = (4.0, 20) if quick else (60.0, 60)
    with Process(wire.serve, events) as upstream:
        process = Process(sidecar, upstream, Mode.HOLD, constant, LIMIT)
        with process as url:
            asyncio.run(_load(url, 1, 1.0))
            before = rss(process.pid)
            served, refused, most = asyncio.run(_watched(url, process.pid, seconds))
            again, _ = asyncio.run(_load(url, 1, 1.0))
    print(
        "| limit | clients | for | served | refused with 503 | RSS before | most | served after |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {LIMIT} | {10 * LIMIT} | {seconds:g} s | {served} | {refused:,} | {before:.0f} MiB "
        f"| {most:.0f} MiB | {'yes' if again else 'NO'} |\n"
    )


async def _watched(url: str, pid: int, seconds: float) -> tuple[int, int, float]:
    most = 0.0
    load = asyncio.create_task(_load(url, 10 * LIMIT, seconds))
    while not load.done():
        await asyncio.wait([load], timeout=0.2)
        most = max(most, rss(pid))
    return *load.result(), most


async def _load(url: str, clients: int, seconds: float) -> tuple[int, int]:
    """Streams that came whole, and requests that were refused; refused clients come again."""
    until = time.monotonic() + seconds
    counts: Counter[bool | None] = Counter()

    async def client() -> None:
        while time.monotonic() < until:
            whole = await _came_whole(url)
            counts[whole] += 1
            await asyncio.sleep(0 if whole else 0.5)

    await asyncio.gather(*(client() for _ in range(clients)))
    return counts[True], counts[False]


async def _came_whole(url: str) -> bool | None:
    """Whether a stream came whole, or was refused; None where it took too long."""
    try:
        return (await wire.stream(url, MOST)).ended or None
    except (RuntimeError, OSError):
        return False
