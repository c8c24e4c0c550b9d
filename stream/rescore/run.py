"""A run: reads its inputs, judges what is wanted on the common road, writes part after part."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from classifiers.port import Classifier
from monitor.clock import utc_now
from monitor.dialects.logs import FieldMap
from monitor.engine import Engine
from monitor.metrics import Counted
from monitor.recording import forget
from monitor.rulebook import Rulebook
from monitor.types import Trace, Verdict
from stream.rescore.inputs import Input, Item
from stream.rescore.ledger import Ledger
from stream.rescore.part import Archive, Done, Part, skipped
from stream.rescore.selection import Selection

__all__ = [
    "AT_ONCE",
    "Job",
    "Progress",
    "bulk_engine",
    "judge_all",
    "named",
    "tell",
    "tokens_of",
    "write_all",
]

#: Traces that are judged at once. Nobody waits for one of them, so they are many: among many steps
#: there are always some of equal length, and batches need little padding.
AT_ONCE = 128
#: Traces, and code points of them, that are read ahead so that so many are always under way.
MAX_AHEAD, MAX_AHEAD_CHARACTERS = 2 * AT_ONCE, 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be judged, and how."""

    inputs: Sequence[Input]
    fields: FieldMap | None = None
    selection: Selection = field(default_factory=Selection)
    #: Rows of a part.
    part_rows: int = 1000

    @property
    def size(self) -> int:
        """What `Progress.consumed` reaches at the end."""
        return sum(i.size for i in self.inputs)

    def wanted(self) -> Iterator[tuple[int, Item, tuple[Trace, ...]]]:
        """Read all records in order, with the sum of what was consumed and the selected traces."""
        before = 0
        for source in self.inputs:
            for item, traces in self.wanted_of(source):
                yield before + item.consumed, item, traces
            before += source.size

    def wanted_of(self, source: Input) -> Iterator[tuple[Item, tuple[Trace, ...]]]:
        """Read one input. Its sample is its own, so inputs can be read in any place."""
        chosen = self.selection.start()
        return ((item, chosen(item)) for item in source.items(self.fields))


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run is; `tell` is called whenever that has changed."""

    tell: Callable[["Progress"], None] = lambda _: None
    consumed: int = 0
    #: Traces judged since this process began, and tokens read for that.
    traces: int = 0
    tokens: int = 0
    #: Records that were finished before this process began, and are read past.
    behind: bool = False


def bulk_engine(classifier: Classifier, rules: Rulebook) -> Engine:
    """The engine of a run. Its classifier should wait for no one: `batcher.UNLIMITED`."""
    return Engine(classifier=classifier, policy=rules, record=forget, stored_at_once=AT_ONCE)


async def judge_all(
    job: Job,
    engine: Engine,
    ledger: Ledger,
    *,
    archive: Archive | None = None,
    progress: Progress | None = None,
) -> None:
    """Finish the run of `ledger` in this process; `engine` should be one of `bulk_engine`."""
    await write_all(job, ledger, _judged(job, engine, ledger, progress or Progress()), archive)


async def write_all(
    job: Job, ledger: Ledger, judged: AsyncGenerator[Done], archive: Archive | None = None
) -> None:
    """Write what is judged, part after part; what `ledger` has finished is not judged again.

    `judged` begins behind it. Raises RescoreError, StoreError or OSError when the run cannot go on;
    the same call goes on from the last finished part.
    """
    if ledger.finished_at is not None:
        await judged.aclose()
        return
    ledger.resume()
    part = Part(run=ledger.run, full_at=job.part_rows)
    async with aclosing(judged) as stream:
        async for done in stream:
            part.add(done)
            if part.full:
                await asyncio.to_thread(part.write, ledger, archive)
                part = Part(run=ledger.run, full_at=job.part_rows)
    if part.records:
        await asyncio.to_thread(part.write, ledger, archive)
    ledger.finish(utc_now())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """A record whose traces are being judged."""

    item: Item
    position: int
    consumed: int
    traces: tuple[Trace, ...]
    tasks: tuple["asyncio.Task[Verdict]", ...]

    @property
    def characters(self) -> int:
        return sum(len(part.text) for trace in self.traces for part in trace.parts)


async def _judged(
    job: Job, engine: Engine, ledger: Ledger, progress: Progress
) -> AsyncGenerator[Done]:
    """Judge many traces at once and hand them on in the order of the inputs."""
    window: deque[_Pending] = deque()
    ahead = characters = 0
    try:
        for pending in _begun(job, engine, ledger, progress):
            window.append(pending)
            ahead += max(1, len(pending.tasks))
            characters += pending.characters
            while window and (ahead > MAX_AHEAD or characters > MAX_AHEAD_CHARACTERS):
                ahead -= max(1, len(window[0].tasks))
                characters -= window[0].characters
                yield await _finished(window.popleft(), ledger.run, engine, progress)
        while window:
            yield await _finished(window.popleft(), ledger.run, engine, progress)
    finally:
        for pending in window:
            for task in pending.tasks:
                task.cancel()


def _begun(job: Job, engine: Engine, ledger: Ledger, progress: Progress) -> Iterator[_Pending]:
    """Begin to judge what is not finished yet."""
    done = ledger.position
    for position, (consumed, item, traces) in enumerate(job.wanted(), 1):
        if position <= done:
            tell(progress, consumed, behind=True)
            continue
        tasks = tuple(asyncio.create_task(engine.judge(trace)) for trace in traces)
        yield _Pending(item=item, position=position, consumed=consumed, traces=traces, tasks=tasks)


async def _finished(pending: _Pending, run: str, engine: Engine, progress: Progress) -> Done:
    """Wait for the verdicts of a record."""
    verdicts = [await task for task in pending.tasks]
    progress.traces += len(verdicts)
    progress.tokens = tokens_of(engine.classifier)
    tell(progress, pending.consumed, behind=False)
    item, pairs = pending.item, zip(pending.traces, verdicts, strict=True)
    return named(run, pending.position, item, skipped(item, pending.traces), pairs)


def named(
    run: str, position: int, item: Item, left_out: int, judged: Iterable[tuple[Trace, Verdict]]
) -> Done:
    """What is done of a record. The ids of verdicts follow from the run, so none counts twice."""
    pairs = tuple(
        (trace, replace(verdict, verdict_id=_verdict_id(run, position, number)))
        for number, (trace, verdict) in enumerate(judged)
    )
    return Done(item=item, position=position, judged=pairs, skipped=left_out)


def tokens_of(classifier: object) -> int:
    """Tokens that a classifier has read so far; 0 for one that does not count."""
    if not isinstance(classifier, Counted):
        return 0
    return sum(counters.tokens for counters in classifier.counters.values())


def tell(progress: Progress, consumed: int, *, behind: bool) -> None:
    """Show how far a run is."""
    progress.consumed, progress.behind = consumed, behind
    progress.tell(progress)


def _verdict_id(run: str, position: int, number: int) -> str:
    digest = hashlib.sha256(f"{run}/{position}/{number}".encode()).hexdigest()
    return f"v-{digest[:20]}"
