"""What becomes of requests that are refused because there is no room: one verdict tells of many."""

import asyncio
from contextlib import suppress

from monitor.engine import Engine

#: Seconds whose refusals share a verdict: overload must not turn into a flood of records.
WINDOW = 1.0


class Refusals:
    """Counts refused requests, and records one UNSCORED verdict for all of a window."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._count = 0
        self._verdict_id = ""
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self) -> str:
        """Count a refused request; returns the id of the verdict that will tell of it."""
        self._engine.metrics.overloaded.inc()
        if self._count == 0:
            self._verdict_id = self._engine.world.new_id()
        self._count += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return self._verdict_id

    async def close(self) -> None:
        """Record what was counted and not recorded yet."""
        self._ending.set()
        if self._task:
            await self._task

    async def _run(self) -> None:
        while self._count:
            with suppress(TimeoutError):
                async with asyncio.timeout(WINDOW):
                    await self._ending.wait()
            count, self._count = self._count, 0
            requests = "1 request was" if count == 1 else f"{count} requests were"
            await self._engine.refuse(
                self._verdict_id, f"overload: {requests} refused before the server was asked"
            )
