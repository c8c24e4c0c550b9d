"""One open trace: its text on the way through a session of the engine."""

import asyncio
from collections.abc import Iterable

from monitor.engine import Session
from monitor.judging import slices
from monitor.types import Part, Verdict


class Load:
    """How much text waits to be judged, over all traces, in code points."""

    def __init__(self) -> None:
        self.waiting = 0


class Trial:
    """Feeds a session as its turn comes; `slots` bounds how many sessions are fed at once."""

    def __init__(self, session: Session, slots: asyncio.Semaphore, load: Load) -> None:
        self._session = session
        self._slots = slots
        self._load = load
        self._parts: list[Part] = []
        self._problem: str | None = None
        self._ended = False
        self._changed = asyncio.Event()
        #: Code points so far.
        self.size = 0

    def feed(self, parts: Iterable[Part]) -> None:
        """Take more text."""
        for part in parts:
            self._parts.append(part)
            self.size += len(part.text)
            self._load.waiting += len(part.text)
        self._changed.set()

    def end(self, problem: str | None = None) -> None:
        """No text follows; `problem` says why what there is cannot be judged."""
        self._problem = self._problem or problem
        self._ended = True
        self._changed.set()

    async def run(self) -> Verdict:
        """Judge until the end; the verdict is recorded when this returns."""
        try:
            while await self._some():
                async with self._slots:
                    await self._judge()
            async with self._slots:
                return await self._session.finish(problem=self._problem)
        finally:
            self._session.abandon()
            self._take()

    async def _some(self) -> bool:
        """Wait for text; False when there will be none."""
        while not self._parts and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        return bool(self._parts) and self._problem is None

    async def _judge(self) -> None:
        for delta in slices(self._take()):
            await self._session.feed(delta)
        await self._session.settled()

    def _take(self) -> list[Part]:
        parts, self._parts = self._parts, []
        self._load.waiting -= sum(len(part.text) for part in parts)
        return parts
