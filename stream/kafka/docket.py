"""What a worker has in hand: the open traces of its partitions, and what it may commit.

Law: a position is committed only up to the first message of the oldest trace whose verdict is not
both recorded and published. So whatever happens to a worker, another one rebuilds what was open. A
decision's id follows from the trace and what judges it, so what is judged again is stored once.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

from monitor.audit import canonical
from monitor.engine import STORED_AT_ONCE, Engine
from monitor.judging import Live
from monitor.logs import complain
from monitor.types import Versions
from stream.kafka import messages
from stream.kafka.clock import Clock
from stream.kafka.herald import Herald
from stream.kafka.ledger import Ledger
from stream.kafka.messages import DeadLetter, Ending, Reason, TraceMessage, Unreadable
from stream.kafka.metrics import WorkerMetrics
from stream.kafka.port import Message, Partition
from stream.kafka.positions import Positions
from stream.kafka.publisher import Publisher
from stream.kafka.rejections import Rejections
from stream.kafka.table import Outcome, Patience, Row, Table, TraceKey
from stream.kafka.topics import Topics
from stream.kafka.trial import Load, Trial


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

    desk: _Desk
    #: Its first message.
    message: Message
    piece: TraceMessage
    trial: Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rejected:
    desk: _Desk
    message: Message
    letter: DeadLetter


class Docket:
    """Takes messages, opens and ends traces; the work itself runs in tasks of its own."""

    def __init__(  # noqa: PLR0913
        self,
        *,
        engine: Engine,
        ledger: Ledger,
        publisher: Publisher,
        topics: Topics,
        limits: Limits,
        metrics: WorkerMetrics,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._publisher = publisher
        self._topics = topics
        self._limits = limits
        self._metrics = metrics
        self._wall = wall
        self._table = Table(limits.patience)
        self._cases: dict[TraceKey, _Case] = {}
        self._tasks: dict[asyncio.Task[None], Partition] = {}
        self._desks: dict[Partition, _Desk] = {}
        self._rejections: Rejections[_Rejected] = Rejections(limits.rejected_in_a_row)
        self._slots = asyncio.Semaphore(STORED_AT_ONCE)
        self._load = Load()
        #: A bug that ended a task: its trace stays undecided.
        self.crash: BaseException | None = None

    @property
    def partitions(self) -> int:
        """How many partitions are in hand."""
        return len(self._desks)

    @property
    def waiting(self) -> int:
        """Code points that wait to be judged."""
        return self._load.waiting

    @property
    def hopeless(self) -> DeadLetter | None:
        """The newest of so many unreadable messages in a row that the worker must stop."""
        return self._rejections.waiting[-1].letter if self._rejections.hopeless else None

    # ---- partitions come and go

    def come(self, partitions: Iterable[Partition]) -> None:
        """Take partitions over; they are read from the committed position."""
        self._desks |= {partition: _Desk() for partition in partitions}

    def leave(self, partitions: Iterable[Partition]) -> None:
        """Drop what belongs to partitions that others have now; they rebuild it."""
        lost = [self._desks.pop(p) for p in partitions if p in self._desks]
        gone = set(partitions)
        for task, partition in list(self._tasks.items()):
            if partition in gone:
                task.cancel()
        for row in self._table:
            if row.partition in gone:
                self._table.drop(row.key)
                del self._cases[row.key]
        self._rejections.keep([r for r in self._rejections.waiting if r.desk not in lost])

    # ---- messages in

    def take(self, message: Message) -> None:
        """Read a message."""
        desk = self._desks.setdefault(message.partition, _Desk())
        desk.positions.read(message.offset)
        desk.clock.heard(message.timestamp, self._wall())
        try:
            piece = messages.read_trace(message)
        except Unreadable as error:
            letter = messages.dead_letter(message, error.reason, str(error))
            desk.positions.need(message.offset)
            self._rejections.reject(_Rejected(desk=desk, message=message, letter=letter))
        else:
            self._bury_rejected()
            self._add(desk, message, piece)

    def _add(self, desk: _Desk, message: Message, piece: TraceMessage) -> None:
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
            self._metrics.repeated.inc()
            return
        if outcome is Outcome.OPENED:
            self._open(key, desk, message, piece)
        row, trial = self._table.row(key), self._cases[key].trial
        trial.feed(piece.text())
        if row is not None and row.problem:
            self._give_up(row, row.problem)
        elif piece.last:
            trial.end(piece.ending())

    def _open(self, key: TraceKey, desk: _Desk, message: Message, piece: TraceMessage) -> None:
        desk.positions.need(message.offset)
        trial = self._awaited(message, piece) if piece.verdict_id else self._unhurried(piece)
        case = _Case(desk=desk, message=message, piece=piece, trial=trial)
        self._cases[key] = case
        self._start(self._judge(key, case), message.partition)

    def _unhurried(self, piece: TraceMessage) -> Trial:
        origin = piece.origin()
        policy = self._engine.policy.resolve(origin)
        name = decision_id(piece, self._engine.versions(policy))
        session = self._engine.open(origin, policy=policy, verdict_id=name)
        return Trial(session, self._slots, self._load)

    def _awaited(self, message: Message, piece: TraceMessage) -> Trial:
        """Somebody waits: it takes no turns with others, and how far it is judged is told."""
        herald = Herald(self._publisher, self._topics.progress, message, piece)
        live = Live(verdict_id=piece.verdict_id, on_progress=herald.note, timed=False)
        session = self._engine.open(piece.origin(), live=live)
        telling = asyncio.create_task(herald.run(session))
        return Trial(session, nullcontext(), self._load, ended=telling.cancel)

    def _start(self, work: Coroutine[None, None, None], partition: Partition) -> None:
        task = asyncio.create_task(work)
        self._tasks[task] = partition
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        del self._tasks[task]
        if not task.cancelled() and task.exception() is not None:
            self.crash = self.crash or task.exception()

    def _give_up(self, row: Row, problem: str) -> None:
        row.ended = True
        self._cases[row.key].trial.end(Ending(problem=problem))

    # ---- verdicts out

    async def _judge(self, key: TraceKey, case: _Case) -> None:
        verdict = await case.trial.run()
        recorded = self._ledger.recorded(verdict.verdict_id)
        if recorded is None:
            reason = verdict.unscored or "the verdict could not be recorded"
            await self._bury(
                case.message, messages.dead_letter(case.message, Reason.NOT_RECORDED, reason)
            )
        else:
            told = messages.verdict_message(case.piece, verdict, recorded)
            await self._publisher.publish(self._topics.verdicts, case.message, told)
            self._measure(case.piece)
        self._table.decide(key)
        case.desk.positions.done(case.message.offset)
        del self._cases[key]

    def _measure(self, piece: TraceMessage) -> None:
        began = messages.seconds_since_1970(piece.created_at)
        if began is not None:
            self._metrics.latency.observe(max(0.0, self._wall() - began))

    # ---- what cannot be read

    def _bury_rejected(self) -> None:
        for rejected in self._rejections.release():
            self._start(self._bury_one(rejected), rejected.message.partition)

    async def _bury_one(self, rejected: _Rejected) -> None:
        await self._bury(rejected.message, rejected.letter)
        rejected.desk.positions.done(rejected.message.offset)

    async def _bury(self, message: Message, letter: DeadLetter) -> None:
        complain("dead_letter", reason=letter.reason.value, offset=str(message.offset))
        await self._publisher.publish(self._topics.deadletter, message, letter)
        self._metrics.rejected.labels(letter.reason.value).inc()

    # ---- as time passes

    def look_after(self, lag: Mapping[Partition, int], seconds: float) -> None:
        """End traces that have fallen silent; `seconds` have passed, and `lag` messages wait.

        To be called only when what `lag` leaves out was really looked for.
        """
        for partition, desk in self._desks.items():
            if lag.get(partition) == 0:
                desk.clock.passes(seconds)
            for row in self._table.expired(partition, desk.clock.now):
                self._give_up(row, "the trace was not complete before its deadline")
        if not any(lag.values()):
            self._bury_rejected()
        self._shed()

    def _shed(self) -> None:
        sizes = {key: case.trial.size for key, case in self._cases.items()}
        held = sum(sizes.values())
        rows = iter(sorted((r for r in self._table if not r.ended), key=lambda r: r.heard))
        while held > self._limits.held and (row := next(rows, None)) is not None:
            held -= sizes[row.key]
            self._give_up(row, "too much text of open traces")

    def due(self) -> dict[Partition, int]:
        """The positions that may be committed and are not."""
        found = {p: desk.positions.due() for p, desk in self._desks.items()}
        return {p: at for p, at in found.items() if at is not None}

    def committed(self, positions: Mapping[Partition, int]) -> None:
        """Note what was committed."""
        for partition, position in positions.items():
            self._desks[partition].positions.committed(position)

    def count(self) -> None:
        """Bring the gauges up to date."""
        self._metrics.open.set(len(self._table))
        self._metrics.waiting.set(self._load.waiting)
        self._metrics.partitions.set(len(self._desks))
        desks = self._desks.values()
        self._metrics.uncommitted.set(sum(desk.positions.uncommitted for desk in desks))

    async def finish(self) -> None:
        """Wait for the traces that are complete; the others stay open."""
        busy = [t for t in self._tasks if not t.done()]
        if busy:
            await asyncio.wait(busy, timeout=0.05)

    @property
    def busy(self) -> bool:
        """Whether any complete trace has no verdict yet."""
        return any(row.ended for row in self._table)

    async def abandon(self) -> None:
        """Drop everything that is open."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def decision_id(piece: TraceMessage, versions: Versions) -> str:
    """The id of the one decision on a trace by one model, calibration and policy."""
    made = [piece.trace_id, piece.choice, versions.model, versions.calibration, versions.policy]
    return f"k-{hashlib.sha256(canonical(made)).hexdigest()[:20]}"
