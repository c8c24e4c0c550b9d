"""Keeps counts of what was recorded, so that nobody who looks back waits for them to be made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from monitor.logs import complain
from monitor.store import Store
from stream.background import repeating

#: Seconds between two looks for something to count.
INTERVAL = 60.0
#: Seconds between two pieces, which take some 20 ms each: judging is more urgent.
PAUSE = 0.1


@asynccontextmanager
async def counting(
    store: Store, *, interval: float = INTERVAL, pause: float = PAUSE
) -> AsyncIterator[None]:
    """Count in the background, what is there already too."""

    async def count() -> float:
        return pause if await asyncio.to_thread(_fold, store) else interval

    async with repeating(count):
        yield


def _fold(store: Store) -> bool:
    try:
        return store.tallies.fold()
    except Exception as error:  # noqa: BLE001 -- the overview counts by itself then
        complain("counts_not_kept", reason=type(error).__name__)
        return False
