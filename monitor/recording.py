"""Makes verdicts durable without holding up the event loop."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from monitor.engine import Recorder
from monitor.errors import RecordingError
from monitor.store import Store, StoreError
from monitor.types import Trace, Verdict

#: Verdicts that are written together at most: all of them wait for the slowest.
TOGETHER = 64


class _Asked(NamedTuple):
    verdict: Verdict
    trace: Trace
    written: "asyncio.Future[None]"


class _Pen:
    """Writes verdicts in the order in which they come; while it writes some, the next gather."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Asked] = []
        self._task: asyncio.Task[None] | None = None

    async def record(self, verdict: Verdict, trace: Trace) -> None:
        """Return once the verdict is durable; RecordingError where the store refused it."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(verdict, trace, written))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())
        try:
            await written
        except StoreError as error:
            raise RecordingError(str(error)) from error

    async def _write(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            await self._together(asked)

    async def _together(self, asked: Sequence[_Asked]) -> None:
        """Record all of these; where that fails, each by itself, so that none costs another."""
        pairs = [(one.verdict, one.trace) for one in asked]
        try:
            await asyncio.to_thread(self._store.record_verdicts, pairs)
        except Exception as error:  # noqa: BLE001 -- whoever waits is told
            if len(asked) == 1:
                _answer(asked[0], error)
            else:
                for one in asked:
                    await self._together([one])
        else:
            for one in asked:
                _answer(one, None)


def _answer(one: _Asked, error: Exception | None) -> None:
    if one.written.done():  # whoever waited has gone
        return
    if error is None:
        one.written.set_result(None)
    else:
        one.written.set_exception(error)


async def forget(_verdict: Verdict, _trace: Trace) -> None:
    """Record nothing: for verdicts that whoever asked keeps, or nobody."""


def recorder(store: Store) -> Recorder:
    """Return a `record` for the engine: what it wrote is durable when it returns."""
    return _Pen(store).record
