"""Brings messages to the broker in their order, by way of the disk while it does not take them.

Law: of the messages that `offer` took, none is sent before an earlier one is with the broker. So as
soon as one is on disk, all later ones go there too, until the disk is empty again. Every message is
delivered at least once, but for those that the counters name: no room on disk, or refused for good.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

from monitor.logs import complain
from stream.kafka.beside import beside
from stream.kafka.metrics import GateMetrics
from stream.kafka.port import MessageRefused, Producer, TransportError
from stream.kafka.spool import Parcel, Spool

Result = TypeVar("Result")
#: Messages that are under way at once.
BATCH = 500
#: Seconds between attempts at a broker that is down.
RETRY = 0.5
#: Bytes that wait in memory: as many as come while the broker still may answer.
MAX_WAITING = 64 * 1024 * 1024
#: Seconds at the end for what waits; after that it is left on disk.
LAST_SECONDS = 2.0


class Courier:
    """One process's way to the broker."""

    def __init__(
        self,
        connect: Callable[[], Producer],
        spool: Spool,
        metrics: GateMetrics,
        *,
        on_down: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_down` is called when the broker takes nothing any more."""
        self._connect = connect
        self._spool = spool
        self._metrics = metrics
        self._on_down = on_down
        self._producer: Producer | None = None
        #: What was begun on disk ends before the next is begun, even when nobody waits for it.
        self._disk = ThreadPoolExecutor(1, "spool")
        self._queue: deque[Parcel] = deque()
        self._bytes = 0
        self._came = asyncio.Event()
        self._went = asyncio.Event()
        #: Who holds it may decide whether the broker is down, and move segments.
        self._lock = asyncio.Lock()
        self._down = asyncio.Event()
        if not spool.empty:
            self._down.set()

    @property
    def down(self) -> bool:
        """Whether messages go to the disk."""
        return self._down.is_set()

    def offer(self, parcel: Parcel) -> bool:
        """Take a message; False when too much waits already."""
        if self._bytes + len(parcel.value) > MAX_WAITING:
            self._metrics.dropped.inc()
            return False
        self._queue.append(parcel)
        self._bytes += len(parcel.value)
        self._came.set()
        return True

    async def room(self) -> None:
        """Wait while more than half of what may wait does."""
        while self._bytes > MAX_WAITING // 2:
            self._went.clear()
            await self._went.wait()

    async def up(self) -> None:
        """Wait until the broker takes messages."""
        while self.down:
            self._went.clear()
            await self._went.wait()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work during the block; at its end, what the broker does not take is left on disk."""
        async with AsyncExitStack() as stack:
            stack.callback(self._disk.shutdown)
            stack.push_async_callback(self._on_disk, self._end)
            await stack.enter_async_context(beside(self._send()))
            await stack.enter_async_context(beside(self._empty()))
            yield
            await self._settle()

    async def _settle(self) -> None:
        """Wait until nothing waits in memory, a moment at most."""
        try:
            async with asyncio.timeout(LAST_SECONDS):
                while self._queue:
                    self._went.clear()
                    await self._went.wait()
        except TimeoutError:
            complain("left_on_disk", messages=str(len(self._queue)))

    # ---- from memory

    async def _send(self) -> None:
        while True:
            await self._came.wait()
            batch = list(islice(self._queue, BATCH))
            async with self._lock:
                left = batch if self.down else await self._deliver(batch)
                if left:
                    await self._keep(left)
            self._drop(len(batch))

    def _drop(self, count: int) -> None:
        """Forget the first messages: they are with the broker, or on disk."""
        for _ in range(count):
            self._bytes -= len(self._queue.popleft().value)
        self._went.set()
        if not self._queue:
            self._came.clear()
        self._metrics.waiting.set(len(self._queue))

    async def _keep(self, parcels: Sequence[Parcel]) -> None:
        dropped = await self._on_disk(lambda: self._spool.append(parcels))
        self._metrics.dropped.inc(dropped)
        self._metrics.spooled.set(self._spool.size)
        if not self.down and not self._spool.empty:
            complain("broker_down", spooled=str(len(parcels)))
            self._down.set()
            self._on_down()

    # ---- from disk

    async def _empty(self) -> None:
        while True:
            await self._down.wait()
            segment = await self._oldest()
            if segment is not None:
                await self._deliver_all(segment)

    async def _oldest(self) -> Path | None:
        async with self._lock:
            segment = await self._on_disk(self._spool.oldest)
            if segment is None:
                self._down.clear()
                self._went.set()
                complain("broker_back")
            return segment

    async def _deliver_all(self, segment: Path) -> None:
        """Deliver a segment, however long that takes."""
        parcels = self._spool.read(segment)
        before = self._spool.damaged
        while batch := await self._on_disk(lambda: list(islice(parcels, BATCH))):
            left: Sequence[Parcel] = batch
            while left := await self._deliver(left):  # noqa: ASYNC110 -- a broker sets no event
                await asyncio.sleep(RETRY)
        if self._spool.damaged > before:
            complain("spool_damaged", segment=segment.name)
            self._metrics.damaged.inc()
        async with self._lock:
            await self._on_disk(lambda: self._spool.remove(segment))
        self._metrics.spooled.set(self._spool.size)

    # ---- to the broker

    async def _deliver(self, parcels: Sequence[Parcel]) -> Sequence[Parcel]:
        """Send; returns those from the first on that the broker did not take."""
        try:
            if self._producer is None:
                self._producer = await asyncio.to_thread(self._connect)
            sent = await asyncio.to_thread(_post, self._producer, parcels)
        except TransportError as error:
            complain("publishing_failed", reason=str(error))
            return parcels
        found = await asyncio.gather(*map(asyncio.wrap_future, sent), return_exceptions=True)
        for number, outcome in enumerate(found):
            if isinstance(outcome, MessageRefused):
                complain("message_refused", reason=str(outcome))
                self._metrics.dropped.inc()
            elif isinstance(outcome, BaseException):
                complain("publishing_failed", reason=str(outcome))
                return parcels[number:]
        return ()

    async def _on_disk(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)

    def _end(self) -> None:
        self._metrics.dropped.inc(self._spool.append(self._queue))
        self._spool.close()
        if self._producer is not None:
            self._producer.close()


def _post(producer: Producer, parcels: Sequence[Parcel]) -> "list[Future[None]]":
    return [producer.send(p.topic, key=p.key, value=p.value, headers=p.headers) for p in parcels]
