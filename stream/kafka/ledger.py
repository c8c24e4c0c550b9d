"""Records verdicts in groups, and as long as the store is down keeps trying."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from monitor.audit import AuditRecord
from monitor.errors import RecordingError
from monitor.logs import complain
from monitor.store import Store, StoreError
from monitor.types import Trace, Verdict

#: Verdicts in one transaction: making one durable takes about as long as making all of them.
GROUP = 64
#: Seconds between attempts while the store is down: the first, and the longest.
RETRY, LONGEST_RETRY = 0.2, 10.0


class _Entry(NamedTuple):
    verdict: Verdict
    trace: Trace
    done: "asyncio.Future[AuditRecord]"


class Ledger:
    """The recorder of a worker's engine.

    What `record` returned from is on disk, once: for a verdict id that is known, what was recorded
    first stays. It raises RecordingError only for a verdict that the store cannot hold at all.
    """

    def __init__(self, store: Store) -> None:
        #: The last attempt failed: nothing can be recorded now.
        self.down = False
        self._store = store
        self._waiting: list[_Entry] = []
        self._recorded: dict[str, Mapping[str, Any]] = {}
        self._writer: asyncio.Task[None] | None = None

    async def record(self, verdict: Verdict, trace: Trace) -> None:
        """Record; see the class."""
        entry = _Entry(verdict, trace, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        record = await entry.done
        self._recorded[verdict.verdict_id] = record.body["verdict"]

    def recorded(self, verdict_id: str) -> Mapping[str, Any] | None:
        """What the store holds under this id, once; None when it could not be recorded."""
        return self._recorded.pop(verdict_id, None)

    async def aclose(self) -> None:
        """Give up what is not recorded."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        while self._waiting:
            group = self._waiting[:GROUP]
            del self._waiting[:GROUP]
            if not await self._attempt(group):
                for entry in group:  # one of them may be what does not work
                    await self._attempt([entry])

    async def _attempt(self, group: list[_Entry]) -> bool:
        """Write a group; False when the store is up and does not take it."""
        pairs = [(entry.verdict, entry.trace) for entry in group]
        try:
            records = await self._insist(pairs)
        except Exception as error:  # noqa: BLE001 -- nobody may wait for ever for what cannot be
            if len(group) == 1:
                complain("not_recordable", error=type(error).__name__)
                _fail(group[0].done, RecordingError(type(error).__name__))
            return False
        for entry, record in zip(group, records, strict=True):
            if not entry.done.done():
                entry.done.set_result(record)
        return True

    async def _insist(self, pairs: list[tuple[Verdict, Trace]]) -> tuple[AuditRecord, ...]:
        pause = RETRY
        while True:
            try:
                records = await asyncio.to_thread(self._store.record_verdicts, pairs)
            except StoreError as error:
                if not self.down:
                    complain("store_down", error=type(error).__name__)
                self.down = True
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_RETRY)
            else:
                self.down = False
                return records


def _fail(future: "asyncio.Future[AuditRecord]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
