"""Keeps counts of what was recorded, so that nobody who looks back waits for them to be made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from monitor.logs import complain
from monitor.store import Store

#: Seconds between two looks for something to count.
INTERVAL = 60.0
#: Seconds between two pieces, which take some 20 ms each: judging is more urgent.
PAUSE = 0.1


@asynccontextmanager
async def counting(
    store: Store, *, interval: float = INTERVAL, pause: float = PAUSE
) -> AsyncIterator[None]:
    """Count in the background, what is there already too."""
    stop = asyncio.Event()
    task = asyncio.create_task(_until(stop, store, interval, pause))
    try:
        yield
    finally:
        stop.set()
        await task


async def _until(stop: asyncio.Event, store: Store, interval: float, pause: float) -> None:
    while not stop.is_set():
        more = await asyncio.to_thread(_fold, store)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause if more else interval)


def _fold(store: Store) -> bool:
    try:
        return store.tallies.fold()
    except Exception as error:  # noqa: BLE001 -- the overview counts by itself then
        complain("counts_not_kept", reason=type(error).__name__)
        return False
