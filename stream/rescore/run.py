"""A run: reads its inputs, judges what is wanted on the common road, writes part after part."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from monitor.clock import utc_now
from monitor.dialects.logs import FieldMap
from monitor.engine import Engine
from monitor.types import Trace, Verdict
from stream.rescore.inputs import Input, Item
from stream.rescore.ledger import Ledger
from stream.rescore.part import Archive, Done, Part
from stream.rescore.selection import Selection

__all__ = ["Job", "Progress", "forget", "judge_all"]

#: Traces, and code points of them, that are read ahead so that batches are always full.
MAX_AHEAD, MAX_AHEAD_CHARACTERS = 48, 16 * 2**20


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

    def records(self) -> Iterator[tuple[int, Item]]:
        """Read all records in order, with the sum of what was consumed so far."""
        before = 0
        for source in self.inputs:
            for item in source.items(self.fields):
                yield before + item.consumed, item
            before += source.size

    def wanted(self) -> Iterator[tuple[int, Item, tuple[Trace, ...]]]:
        """Like `records`, with those traces that are selected."""
        chosen = self.selection.start()
        for consumed, item in self.records():
            yield consumed, item, chosen(item)


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run is; `tell` is called whenever that has changed."""

    tell: Callable[["Progress"], None] = lambda _: None
    consumed: int = 0
    #: Traces judged since this process began.
    traces: int = 0
    #: Records that were finished before this process began, and are read past.
    behind: bool = False


async def forget(_verdict: Verdict, _trace: Trace) -> None:
    """Record nothing: a run records its verdicts itself, part by part."""


async def judge_all(
    job: Job,
    engine: Engine,
    ledger: Ledger,
    *,
    archive: Archive | None = None,
    progress: Progress | None = None,
) -> None:
    """Finish the run of `ledger`; what it has finished already is not judged again.

    The engine's recorder should be `forget`. Raises RescoreError, StoreError or OSError when the
    run cannot go on; the same call goes on from the last finished part.
    """
    if ledger.finished_at is not None:
        return
    ledger.resume()
    part = Part(run=ledger.run, full_at=job.part_rows)
    async with aclosing(_judged(job, engine, ledger, progress or Progress())) as stream:
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
                yield await _finished(window.popleft(), ledger.run, progress)
        while window:
            yield await _finished(window.popleft(), ledger.run, progress)
    finally:
        for pending in window:
            for task in pending.tasks:
                task.cancel()


def _begun(job: Job, engine: Engine, ledger: Ledger, progress: Progress) -> Iterator[_Pending]:
    """Begin to judge what is not finished yet."""
    done = ledger.position
    for position, (consumed, item, traces) in enumerate(job.wanted(), 1):
        if position <= done:
            _tell(progress, consumed, behind=True)
            continue
        tasks = tuple(asyncio.create_task(engine.judge(trace)) for trace in traces)
        yield _Pending(item=item, position=position, consumed=consumed, traces=traces, tasks=tasks)


async def _finished(pending: _Pending, run: str, progress: Progress) -> Done:
    """Wait for the verdicts of a record. Their ids follow from the run, so none counts twice."""
    verdicts = [await task for task in pending.tasks]
    named = (
        replace(verdict, verdict_id=_verdict_id(run, pending.position, number))
        for number, verdict in enumerate(verdicts)
    )
    progress.traces += len(verdicts)
    _tell(progress, pending.consumed, behind=False)
    judged = tuple(zip(pending.traces, named, strict=True))
    return Done(item=pending.item, position=pending.position, judged=judged)


def _tell(progress: Progress, consumed: int, *, behind: bool) -> None:
    progress.consumed, progress.behind = consumed, behind
    progress.tell(progress)


def _verdict_id(run: str, position: int, number: int) -> str:
    digest = hashlib.sha256(f"{run}/{position}/{number}".encode()).hexdigest()
    return f"v-{digest[:20]}"
