"""What workers tell, brought to those who wait for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from monitor.logs import complain
from stream.kafka import messages
from stream.kafka.beside import beside
from stream.kafka.messages import ProgressMessage, Unreadable, VerdictMessage
from stream.kafka.port import Consumer, Message, Transport, TransportError
from stream.kafka.topics import Topics

Result = TypeVar("Result")
#: Seconds that a poll waits, and between attempts at a broker that is down.
POLL, RETRY = 0.2, 1.0


class Waiting(Protocol):
    """Who waits for the verdict on a trace."""

    def progress(self, told: ProgressMessage) -> None:
        """Take how far it is judged."""
        ...

    def verdict(self, told: VerdictMessage) -> None:
        """Take the verdict."""
        ...

    def lose(self, reason: str) -> None:
        """Wait no longer, because of `reason`."""
        ...


class Answers:
    """Follows the topics of the answers; a message for nobody here costs no parsing."""

    def __init__(self, transport: Transport, topics: Topics) -> None:
        #: Set while every answer to what is sent from now on will be seen.
        self.ready = asyncio.Event()
        self._transport = transport
        self._topics = topics
        self._waiting: dict[bytes, Waiting] = {}
        self._follower: Consumer | None = None
        #: A consumer wants one thread at a time.
        self._thread = ThreadPoolExecutor(1, "answers")

    def expect(self, trace_id: str, waiting: Waiting) -> None:
        """Bring what is told about a trace to `waiting`, until `forget`."""
        self._waiting[trace_id.encode()] = waiting

    def forget(self, trace_id: str) -> None:
        """Nobody waits any more. Harmless when nobody did."""
        self._waiting.pop(trace_id.encode(), None)

    def everybody(self) -> list[Waiting]:
        """All who wait now."""
        return list(self._waiting.values())

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Follow during the block."""
        try:
            async with beside(self._run()):
                yield
        finally:
            if self._follower is not None:
                self._thread.submit(self._follower.close)
            self._thread.shutdown(wait=False)

    async def _run(self) -> None:
        while True:
            try:
                await self._read(self._follower or await self._follow())
            except TransportError as error:
                complain("broker_failed", reason=str(error))
                await asyncio.sleep(RETRY)

    async def _follow(self) -> Consumer:
        topics = [self._topics.progress, self._topics.verdicts]
        follow = self._transport.follower
        self._follower = await self._call(lambda: follow(topics, from_start=False))
        self.ready.set()
        return self._follower

    async def _read(self, follower: Consumer) -> None:
        polled = await self._call(lambda: follower.poll(POLL, at_most=1000))
        for message in polled.messages:
            if waiting := self._waiting.get(message.key or b""):
                self._bring(message, waiting)

    def _bring(self, message: Message, waiting: Waiting) -> None:
        try:
            if message.partition.topic == self._topics.progress:
                waiting.progress(messages.read_progress(message))
            else:
                waiting.verdict(messages.read_verdict(message))
        except Unreadable as error:
            complain("answer_not_readable", reason=str(error))

    async def _call(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
