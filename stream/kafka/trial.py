"""One open trace: its text on the way through a session of the engine."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager

from monitor.engine import Session
from monitor.judging import slices
from monitor.types import Part, Verdict
from stream.kafka.messages import Ending


class Load:
    """How much text waits to be judged, over all traces, in code points."""

    def __init__(self) -> None:
        self.waiting = 0


class Trial:
    """Feeds a session as its turn comes; `turn` bounds how many sessions are fed at once."""

    def __init__(
        self,
        session: Session,
        turn: AbstractAsyncContextManager[None],
        load: Load,
        *,
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        """`ended` is called when the trial is over, whatever came of it."""
        self._session = session
        self._turn = turn
        self._load = load
        self._over = ended
        self._parts: list[Part] = []
        self._ending: Ending | None = None
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

    def end(self, ending: Ending) -> None:
        """No text follows; the first `ending` counts."""
        self._ending = self._ending or ending
        self._changed.set()

    async def run(self) -> Verdict:
        """Judge until the end; the verdict is recorded when this returns."""
        try:
            while await self._some():
                async with self._turn:
                    await self._judge()
            async with self._turn:
                return await self._finish(self._ending or Ending())
        finally:
            self._session.abandon()
            self._take()
            self._over()

    async def _some(self) -> bool:
        """Wait for text; False when there will be none."""
        while not self._parts and self._ending is None:
            self._changed.clear()
            await self._changed.wait()
        return bool(self._parts)

    async def _judge(self) -> None:
        for delta in slices(self._take()):
            await self._session.feed(delta)
        if not (self._ending and self._ending.cut):
            await self._session.settled()

    async def _finish(self, ending: Ending) -> Verdict:
        return await self._session.finish(
            problem=ending.problem,
            cut=ending.cut,
            opened=ending.opened,
            disclosure=ending.disclosure,
            early_stop=ending.early_stop,
        )

    def _take(self) -> list[Part]:
        parts, self._parts = self._parts, []
        self._load.waiting -= sum(len(part.text) for part in parts)
        return parts
