"""Work that is done again and again while a server runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def repeating(work: Callable[[], Awaitable[float]]) -> AsyncIterator[None]:
    """Do `work` in the background, again after as many seconds as it returned.

    In the end it is waited for, never cut off.
    """
    stop = asyncio.Event()
    task = asyncio.create_task(_until(stop, work))
    try:
        yield
    finally:
        stop.set()
        await task


async def _until(stop: asyncio.Event, work: Callable[[], Awaitable[float]]) -> None:
    while not stop.is_set():
        pause = await work()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
