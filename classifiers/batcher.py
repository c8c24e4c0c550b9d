"""One queue for all traces: rows of similar length run together, up to a budget of tokens.

While a batch runs in its worker thread, what arrives waits; when it ends, the next batch takes the
oldest row and the waiting rows closest to it in length, as long as padding stays small. An idle
batcher starts at once: there is no artificial delay.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from classifiers.errors import ClassifierError, InferenceError, Overloaded
from classifiers.tokenise import Window

Result = TypeVar("Result")
#: Runs one batch in the worker thread; returns one result per row, in order.
Runner = Callable[[Sequence[Window]], Sequence[Result]]

#: Tokens in a batch: what fits a CPU's caches runs fastest (`make bench`); a GPU takes more.
CPU_BATCH_TOKENS: Final = 1024
GPU_BATCH_TOKENS: Final = 16_384
DEFAULT_QUEUE_TOKENS: Final = 262_144
#: For queues whose callers are few and wait themselves: nothing is ever turned away.
UNLIMITED: Final = sys.maxsize
#: Up to this size a batch takes rows of any length; a larger one bears this share of padding.
SMALL_BATCH_TOKENS: Final = 512
MAX_PADDING: Final = 0.12


@dataclass(slots=True, kw_only=True)
class Counters:
    """What the batcher has done since it began, in rows and tokens."""

    submitted: int = 0
    completed: int = 0
    #: Rows whose caller went away before they ran: dropped without work.
    abandoned: int = 0
    #: Rows turned away because the queue was full.
    rejected: int = 0
    #: Rows whose batch raised.
    failed: int = 0
    batches: int = 0
    tokens: int = 0
    #: Tokens that the model computed, padding included.
    padded_tokens: int = 0


@dataclass(eq=False, slots=True, kw_only=True)
class _Row(Generic[Result]):
    window: Window
    future: "asyncio.Future[Result]"

    @property
    def tokens(self) -> int:
        return len(self.window.ids)


@dataclass(slots=True, kw_only=True)
class Batcher(Generic[Result]):
    """Shares one runner between all callers of one event loop."""

    runner: Runner[Result]
    #: Where batches run; one thread shared by all models keeps them from fighting over cores.
    thread: ThreadPoolExecutor
    batch_tokens: int = CPU_BATCH_TOKENS
    queue_tokens: int = DEFAULT_QUEUE_TOKENS
    counters: Counters = field(default_factory=Counters)
    _waiting: list[_Row[Result]] = field(default_factory=list)
    _queued: int = 0
    _closed: bool = False
    _worker: "asyncio.Task[None] | None" = None

    @property
    def queued_tokens(self) -> int:
        """Tokens that wait to run."""
        return self._queued

    async def run(self, windows: Sequence[Window]) -> list[Result]:
        """The runner's results for these rows, in order. All of them are admitted, or none."""
        if self._closed:
            raise InferenceError("This classifier is closed.")
        self._admit(sum(len(w.ids) for w in windows), len(windows))
        rows = [self._enqueue(window) for window in windows]
        try:
            return [await row.future for row in rows]
        finally:
            for row in rows:
                row.future.cancel()
                _retrieve(row.future)

    async def aclose(self) -> None:
        """Finish the running batch, refuse what waits; the thread stays the owner's."""
        self._closed = True
        for row in self._waiting:
            if not row.future.done():
                row.future.set_exception(InferenceError("This classifier is closed."))
        self._waiting.clear()
        self._queued = 0
        if self._worker is not None:
            await asyncio.wait([self._worker])

    def _admit(self, tokens: int, rows: int) -> None:
        """An empty queue takes a request of any size, so that no text is too long to score."""
        if self._queued and self._queued + tokens > self.queue_tokens:
            self._forget_abandoned()
        if self._queued and self._queued + tokens > self.queue_tokens:
            self.counters.rejected += rows
            raise Overloaded(
                f"{self._queued} tokens wait to be scored and {tokens} more exceed the limit of "
                f"{self.queue_tokens}; retry later, add capacity or raise the limit."
            )
        self.counters.submitted += rows

    def _enqueue(self, window: Window) -> _Row[Result]:
        row = _Row[Result](window=window, future=asyncio.get_running_loop().create_future())
        self._waiting.append(row)
        self._queued += row.tokens
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="classifier-batches")
        return row

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next_batch():
            self._count(batch)
            try:
                results = await loop.run_in_executor(
                    self.thread, self.runner, [row.window for row in batch]
                )
            except Exception as error:  # noqa: BLE001 - only this batch fails
                self._fail(batch, error)
            else:
                self._deliver(batch, results)

    def _next_batch(self) -> list[_Row[Result]]:
        """The oldest row and its neighbours in length, within the budget after padding."""
        self._forget_abandoned()
        if not self._waiting:
            return []
        chosen = _neighbours([row.tokens for row in self._waiting], self.batch_tokens)
        batch = [self._waiting[i] for i in chosen]
        taken = set(chosen)
        self._waiting = [row for i, row in enumerate(self._waiting) if i not in taken]
        self._queued -= sum(row.tokens for row in batch)
        return batch

    def _forget_abandoned(self) -> None:
        gone = [row for row in self._waiting if row.future.done()]
        if gone:
            self._waiting = [row for row in self._waiting if not row.future.done()]
            self._queued -= sum(row.tokens for row in gone)
            self.counters.abandoned += len(gone)

    def _count(self, batch: Sequence[_Row[Result]]) -> None:
        self.counters.batches += 1
        self.counters.tokens += sum(row.tokens for row in batch)
        self.counters.padded_tokens += len(batch) * max(row.tokens for row in batch)

    def _fail(self, batch: Sequence[_Row[Result]], error: Exception) -> None:
        self.counters.failed += len(batch)
        if not isinstance(error, ClassifierError):
            error = InferenceError(
                f"The model failed on a batch of {len(batch)}: {type(error).__name__}"
            )
        for row in batch:
            if not row.future.done():
                row.future.set_exception(error)

    def _deliver(self, batch: Sequence[_Row[Result]], results: Sequence[Result]) -> None:
        if len(results) != len(batch):
            self._fail(batch, InferenceError(f"{len(results)} results for {len(batch)} rows."))
            return
        self.counters.completed += len(batch)
        for row, result in zip(batch, results, strict=True):
            if not row.future.done():
                row.future.set_result(result)


def _neighbours(lengths: Sequence[int], budget: int) -> list[int]:
    """Indices of a batch: index 0 (the oldest) and those nearest in length, while it pays.

    It grows up to `budget` tokens, but beyond `SMALL_BATCH_TOKENS` only while padding is a small
    share of it: two batches cost less than one that is padded.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    low = high = order.index(0)
    tokens = lengths[0]
    while True:
        shorter = lengths[order[low]] - lengths[order[low - 1]] if low > 0 else None
        longer = lengths[order[high + 1]] - lengths[order[high]] if high + 1 < len(order) else None
        if shorter is None and longer is None:
            break
        down = longer is None or (shorter is not None and shorter <= longer)
        added = lengths[order[low - 1 if down else high + 1]]
        padded = max(added, lengths[order[high]]) * (high - low + 2)
        wasted = padded - tokens - added
        if padded > budget or (padded > SMALL_BATCH_TOKENS and wasted > MAX_PADDING * padded):
            break
        tokens += added
        low, high = (low - 1, high) if down else (low, high + 1)
    return sorted(order[low : high + 1])


def _retrieve(future: "asyncio.Future[Result]") -> None:
    """Mark a failure as seen: the caller has raised one of its rows' errors already."""
    if future.done() and not future.cancelled():
        future.exception()
