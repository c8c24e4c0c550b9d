"""Scores traces from a topic as they arrive, and says what was concluded."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from monitor.engine import Engine
from monitor.errors import MonitorError
from monitor.logs import complain
from stream.kafka.docket import Docket, Limits
from stream.kafka.ledger import Ledger
from stream.kafka.metrics import WorkerMetrics
from stream.kafka.port import Consumer, Producer, Transport, TransportError
from stream.kafka.publisher import RETRY, Publisher
from stream.kafka.topics import Topics

Result = TypeVar("Result")
#: Seconds that a poll waits for messages.
POLL = 0.2
#: Seconds that a turn may take at most, else the worker does not work.
LONGEST_TURN = 30.0


class WorkerError(MonitorError):
    """The worker cannot go on; everything that is not decided is still in its topic."""


class Worker:
    """One member of a group of workers."""

    def __init__(  # noqa: PLR0913
        self,
        *,
        engine: Engine,
        ledger: Ledger,
        transport: Transport,
        topics: Topics,
        group: str,
        member: str = "",
        limits: Limits | None = None,
    ) -> None:
        self.metrics = WorkerMetrics()
        self._engine = engine
        self._ledger = ledger
        self._transport = transport
        self._topics = topics
        self._group = group
        self._member = member
        self._limits = limits or Limits()
        self._paused = False
        self._turned = self._committed = engine.world.monotonic()
        self._partitions = 0
        #: Why the last turn failed, or none has ended yet; "" after a good one.
        self._trouble = "the worker has not joined its group yet"
        #: A consumer wants one thread at a time.
        self._thread = ThreadPoolExecutor(1, "consumer")

    @property
    def ready(self) -> dict[str, bool]:
        """Whether the worker can do its work."""
        return {"store": not self._ledger.down, "partitions": self._partitions > 0}

    async def reach(self) -> None:
        """Raise TransportError unless the broker answers and the worker keeps reading."""
        if self._trouble:
            raise TransportError(self._trouble)
        if self._engine.world.monotonic() - self._turned > LONGEST_TURN:
            raise TransportError("the worker reads nothing")
        await asyncio.to_thread(self._topics.look, self._transport)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then finish the traces that are complete.

        Raises WorkerError when everything is rejected, TransportError when it cannot start.
        """
        try:
            await self._call(lambda: self._topics.look(self._transport))
            producer = await self._call(self._transport.producer)
            try:
                await self._serve(producer, stop)
            finally:
                await self._call(producer.close)
        finally:
            await self._ledger.aclose()
            self._thread.shutdown()

    async def _serve(self, producer: Producer, stop: asyncio.Event) -> None:
        docket = Docket(
            engine=self._engine,
            ledger=self._ledger,
            publisher=Publisher(producer),
            topics=self._topics,
            limits=self._limits,
            metrics=self.metrics,
        )
        consumer = await self._call(self._join)
        try:
            while not stop.is_set():
                await self._turn(consumer, docket)
                _check(docket, self._limits, self._topics)
            await self._drain(consumer, docket)
        finally:
            await docket.abandon()
            await self._call(consumer.close)

    def _join(self) -> Consumer:
        topics = [self._topics.traces]
        return self._transport.consumer(topics, group=self._group, member=self._member)

    async def _turn(self, consumer: Consumer, docket: Docket) -> None:
        """Read what came, and do what is due."""
        try:
            await self._read(consumer, docket)
            await self._watch(consumer, docket)
            await self._commit(consumer, docket)
            await self._press(consumer, docket)
        except TransportError as error:
            self._trouble = str(error)
            complain("broker_failed", reason=self._trouble)
            await asyncio.sleep(RETRY)
        else:
            self._trouble = ""

    async def _read(self, consumer: Consumer, docket: Docket) -> None:
        at_most = self._limits.messages_per_poll
        polled = await self._call(lambda: consumer.poll(POLL, at_most=at_most))
        docket.leave(polled.gone)
        docket.come(polled.come)
        for message in polled.messages:
            docket.take(message)
        self._partitions = docket.partitions

    async def _watch(self, consumer: Consumer, docket: Docket) -> None:
        lag = await self._call(consumer.lag)
        now = self._engine.world.monotonic()
        passed, self._turned = now - self._turned, now
        if not self._paused:
            docket.look_after(lag, passed)
        docket.count()
        self.metrics.lag.set(sum(lag.values()))

    async def _commit(self, consumer: Consumer, docket: Docket, *, now: bool = False) -> None:
        since = self._engine.world.monotonic() - self._committed
        positions = docket.due()
        if positions and (now or since >= self._limits.commit_seconds):
            self._committed = self._engine.world.monotonic()
            # When nothing was stored, a poll will tell what is no longer ours.
            if await self._call(lambda: consumer.commit(positions)):
                docket.committed(positions)

    async def _press(self, consumer: Consumer, docket: Docket) -> None:
        """Read no more while too much waits; what waits needs nothing that is still to be read."""
        if not self._paused and docket.waiting > self._limits.waiting:
            await self._call(consumer.pause)
            self._paused = True
        elif self._paused and docket.waiting <= self._limits.waiting // 2:
            await self._call(consumer.resume)
            self._paused = False
        self.metrics.paused.set(self._paused)

    async def _drain(self, consumer: Consumer, docket: Docket) -> None:
        """Finish what is complete; what is open is rebuilt by another worker."""
        until = self._engine.world.monotonic() + self._limits.drain_seconds
        try:
            await self._call(consumer.pause)
            while docket.busy and self._engine.world.monotonic() < until:
                polled = await self._call(lambda: consumer.poll(0, at_most=1))
                docket.leave(polled.gone)
                await docket.finish()
            await self._commit(consumer, docket, now=True)
        except TransportError as error:
            complain("broker_failed", reason=str(error))

    async def _call(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _check(docket: Docket, limits: Limits, topics: Topics) -> None:
    if docket.crash is not None:
        raise WorkerError(f"a bug: {type(docket.crash).__name__}") from docket.crash
    if letter := docket.hopeless:
        raise WorkerError(
            f"{limits.rejected_in_a_row} messages of {topics.traces} in a row could not be read, "
            f"the last one because: {letter.detail} ({letter.reason.value}). Is it the right "
            "topic? None of them was committed or became a dead letter."
        )
