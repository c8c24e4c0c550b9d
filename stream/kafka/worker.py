"""Scores traces from a topic as they arrive, and says what was concluded.

Law: a position is committed only up to the first message of the oldest trace whose verdict is not
both recorded and published. So whatever happens to a worker, another one rebuilds what was open. A
decision's id follows from the trace and what judges it, so what is judged again is stored once.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from pydantic import BaseModel

from monitor.audit import canonical
from monitor.engine import STORED_AT_ONCE, Engine
from monitor.errors import MonitorError
from monitor.logs import complain
from monitor.types import Trace, Verdict, Versions
from stream.kafka import messages
from stream.kafka.clock import Clock
from stream.kafka.ledger import Ledger
from stream.kafka.messages import DeadLetter, Reason, TraceMessage, Unreadable
from stream.kafka.metrics import WorkerMetrics
from stream.kafka.port import (
    Consumer,
    Headers,
    Message,
    Partition,
    Producer,
    Transport,
    TransportError,
)
from stream.kafka.positions import Positions
from stream.kafka.rejections import Rejections
from stream.kafka.table import Outcome, Patience, Row, Table, TraceKey
from stream.kafka.topics import Topics
from stream.kafka.trial import Load, Trial

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
#: Seconds that a poll waits for messages, and between attempts at a broker that is down.
POLL, RETRY = 0.2, 1.0


class WorkerError(MonitorError):
    """The worker cannot go on; everything that is not decided is still in its topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a worker bears."""

    patience: Patience = field(default_factory=Patience)
    #: After so many unreadable messages in a row it stops: something is set up wrongly.
    rejected_in_a_row: int = 100
    #: Code points that may wait to be judged before it reads no more; it goes on at half of it.
    waiting: int = 2_000_000
    #: Code points of open traces; beyond it, the one silent for longest ends unjudged.
    held: int = 256_000_000
    messages_per_poll: int = 500
    commit_seconds: float = 1.0
    #: Seconds that complete traces get at shutdown.
    drain_seconds: float = 20.0


@dataclass(slots=True, kw_only=True)
class _Desk:
    """What belongs to one partition."""

    positions: Positions = field(default_factory=Positions)
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """An open trace at work."""

    origin: Trace
    trial: Trial
    task: "asyncio.Task[None]"


class Worker:
    """One member of a group of workers. `run` serves until it is told to stop."""

    def __init__(
        self,
        *,
        engine: Engine,
        ledger: Ledger,
        transport: Transport,
        topics: Topics,
        group: str,
        member: str = "",
        limits: Limits | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.metrics = WorkerMetrics()
        self._engine = engine
        self._ledger = ledger
        self._transport = transport
        self._topics = topics
        self._group = (group, member)
        self._limits = limits or Limits()
        self._wall = wall
        self._table = Table(self._limits.patience)
        self._cases: dict[TraceKey, _Case] = {}
        self._desks: dict[Partition, _Desk] = {}
        self._rejections: Rejections[tuple[Message, DeadLetter]] = Rejections(
            self._limits.rejected_in_a_row
        )
        self._slots = asyncio.Semaphore(STORED_AT_ONCE)
        self._load = Load()
        self._paused = False
        self._crash: BaseException | None = None
        self._turned = self._committed = engine.world.monotonic()
        #: The consumer wants one thread at a time.
        self._thread = ThreadPoolExecutor(1, "consumer")
        self._consumer: Consumer
        self._producer: Producer

    @property
    def ready(self) -> dict[str, bool]:
        """Whether the worker can do its work."""
        return {"store": not self._ledger.down, "partitions": bool(self._desks)}

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then finish the traces that are complete.

        Raises WorkerError when everything is rejected, TransportError when it cannot start.
        """
        await self._start()
        try:
            while not stop.is_set():
                await self._turn(self._limits.messages_per_poll)
                self._check()
            await self._drain()
        finally:
            await self._end()

    async def _start(self) -> None:
        there = await self._call(self._transport.topics)
        if missing := set(self._topics.all) - set(there):
            names = ", ".join(sorted(missing))
            raise TransportError(f"missing topics: {names}; run `subtext topics create`")
        group, member = self._group
        self._producer = await self._call(self._transport.producer)
        self._consumer = await self._call(
            lambda: self._transport.consumer([self._topics.traces], group=group, member=member)
        )

    async def _turn(self, at_most: int) -> None:
        """Read what came, and do what is due."""
        try:
            polled = await self._call(lambda: self._consumer.poll(POLL, at_most=at_most))
            self._leave(polled.gone)
            self._desks |= {partition: _Desk() for partition in polled.come}
            for message in polled.messages:
                self._take(message)
            await self._look_after(await self._call(self._consumer.lag))
            await self._commit()
            await self._press()
        except TransportError as error:
            complain("broker_failed", reason=str(error))
            await asyncio.sleep(RETRY)

    def _check(self) -> None:
        if self._crash is not None:
            raise WorkerError(f"a bug: {type(self._crash).__name__}") from self._crash
        if self._rejections.hopeless:
            _, letter = self._rejections.waiting[-1]
            raise WorkerError(
                f"the last {self._limits.rejected_in_a_row} messages of {self._topics.traces} could "
                f"not be read, the newest because: {letter.reason.value}, {letter.detail}. Is it "
                "the right topic? Nothing of them was committed."
            )

    # ---- messages in

    def _take(self, message: Message) -> None:
        desk = self._desks.setdefault(message.partition, _Desk())
        desk.positions.read(message.offset)
        desk.clock.heard(message.timestamp, self._wall())
        try:
            piece = messages.read_trace(message)
        except Unreadable as error:
            letter = messages.dead_letter(message, error.reason, str(error))
            desk.positions.need(message.offset)
            self._rejections.reject((message, letter))
        else:
            self._bury_later()
            self._add(message, piece, desk)

    def _add(self, message: Message, piece: TraceMessage, desk: _Desk) -> None:
        key = TraceKey(piece.trace_id, piece.choice)
        outcome = self._table.take(
            key,
            partition=message.partition,
            offset=message.offset,
            when=desk.clock.now,
            number=piece.number,
            last=piece.last,
        )
        if outcome is Outcome.REPEATED:
            self.metrics.repeated.inc()
            return
        if outcome is Outcome.OPENED:
            desk.positions.need(message.offset)
            self._open(key, message, piece)
        trial, row = self._cases[key].trial, self._table.row(key)
        trial.feed(piece.text())
        if row is not None and row.problem:
            self._give_up(row, row.problem)
        elif piece.last or piece.problem:
            trial.end(piece.problem)

    def _open(self, key: TraceKey, message: Message, piece: TraceMessage) -> None:
        origin = piece.origin()
        name = decision_id(origin, self._engine.versions)
        trial = Trial(self._engine.open(origin, verdict_id=name), self._slots, self._load)
        task = asyncio.create_task(self._judge(key, trial, message, piece))
        task.add_done_callback(self._note)
        self._cases[key] = _Case(origin=origin, trial=trial, task=task)

    def _note(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self._crash = self._crash or task.exception()

    def _give_up(self, row: Row, problem: str) -> None:
        row.ended = True
        self._cases[row.key].trial.end(problem)

    # ---- verdicts out

    async def _judge(
        self, key: TraceKey, trial: Trial, first: Message, piece: TraceMessage
    ) -> None:
        verdict = await trial.run()
        recorded = self._ledger.recorded(verdict.verdict_id)
        if recorded is None:
            reason = verdict.unscored or "the verdict could not be recorded"
            letter = messages.dead_letter(first, Reason.NOT_RECORDED, reason)
            await self._bury(first, letter)
        else:
            told = messages.verdict_message(self._cases[key].origin, verdict, dict(recorded))
            await self._publish(self._topics.verdicts, first, told)
            self._time(piece)
        self._close(key)

    def _close(self, key: TraceKey) -> None:
        row = self._table.row(key)
        if row is not None:
            self._table.decide(key)
            self._desks[row.partition].positions.done(row.first)
            del self._cases[key]

    def _time(self, piece: TraceMessage) -> None:
        began = messages.seconds_since_1970(piece.created_at)
        if began is not None:
            self.metrics.latency.observe(max(0.0, self._wall() - began))

    async def _publish(self, topic: str, about: Message, told: BaseModel) -> None:
        """Send until the broker has it."""
        value, key = messages.encode(told), about.key or b""
        headers = _headers(about)
        while True:
            try:
                future = await asyncio.to_thread(
                    self._producer.send, topic, key=key, value=value, headers=headers
                )
                return await asyncio.wrap_future(future)
            except TransportError as error:
                complain("publishing_failed", reason=str(error))
                await asyncio.sleep(RETRY)

    # ---- messages that cannot be read

    def _bury_later(self) -> None:
        """Make dead letters of what was rejected: the readable show that it is an exception."""
        for message, letter in self._rejections.release():
            task = asyncio.create_task(self._bury_and_forget(message, letter))
            task.add_done_callback(self._note)
            self._burials.add(task)
            task.add_done_callback(self._burials.discard)

    async def _bury_and_forget(self, message: Message, letter: DeadLetter) -> None:
        await self._bury(message, letter)
        if desk := self._desks.get(message.partition):
            desk.positions.done(message.offset)

    async def _bury(self, message: Message, letter: DeadLetter) -> None:
        complain("dead_letter", reason=letter.reason.value, offset=str(message.offset))
        await self._publish(self._topics.deadletter, message, letter)
        self.metrics.rejected.labels(letter.reason.value).inc()
