"""Judges on a Ray cluster: inputs are read and judged anywhere, results come back in order.

The engine runs in actors of Ray Data's `map_batches`. What they get and give, text under review
too, travels through Ray's object store, which puts on the disks of nodes what memory cannot hold.
"""

import asyncio
import logging
import os
import pickle
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayError

from classifiers.sessions import available_cpus
from monitor.engine import Engine
from monitor.types import Trace, Verdict
from stream.rescore.errors import RescoreError
from stream.rescore.inputs import Item
from stream.rescore.ledger import Ledger
from stream.rescore.part import Archive, Done, skipped
from stream.rescore.run import AT_ONCE, Job, Progress, named, tell, tokens_of, write_all

__all__ = ["judge_on_ray"]

#: Traces, code points of them, and records that an actor is given at once.
CHUNK_TRACES: Final = 32
CHUNK_CHARACTERS: Final = 2**20
CHUNK_RECORDS: Final = 4096
#: Calls of an actor at once: as many as give it the traces that an engine judges at once.
CALLS_AT_ONCE: Final = AT_ONCE // CHUNK_TRACES
#: Ray hands on what a task gives once it is about so many bytes.
BLOCK_BYTES: Final = 2**18
#: CPUs of an actor, where machines have as many.
ACTOR_CPUS: Final = 4
#: Makes the engine of an actor that may use so many threads.
Make: TypeAlias = Callable[[int], Engine]


async def judge_on_ray(  # noqa: PLR0913 -- keyword-only, but for what `judge_all` has too
    job: Job,
    make: Make,
    ledger: Ledger,
    *,
    archive: Archive | None = None,
    progress: Progress | None = None,
    actor_cpus: int | None = None,
) -> None:
    """Finish the run of `ledger` on the cluster that RAY_ADDRESS names, or one of this machine.

    The same as `run.judge_all`, and with the same results. `make` must be a function that other
    machines can import. Raises as that does, and RescoreError when the cluster fails.
    """
    with _connected():
        judged = _judged(_cluster(actor_cpus), job, make, ledger, progress or Progress())
        await write_all(job, ledger, judged, archive)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cluster:
    """What there is to judge on."""

    actors: int
    #: Of each actor.
    cpus: int
    gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shard:
    """An input, and how many of its records are finished."""

    number: int
    skip: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """A record on its way; the item has lost its traces, which are large."""

    item: Item
    skipped: int
    traces: tuple[Trace, ...]
    verdicts: tuple[Verdict, ...] = ()

    @property
    def characters(self) -> int:
        return sum(len(part.text) for trace in self.traces for part in trace.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    """Records of one input that follow each other."""

    #: Which input.
    number: int
    records: tuple[_Record, ...]
    #: Read to judge them, or what else an actor judged meanwhile.
    tokens: int = 0


@contextmanager
def _connected() -> Iterator[None]:
    """Join a cluster, or start one of this machine alone; a connection that is there is used."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # a terminal is no place for its log
    os.environ.setdefault("RAY_worker_niceness", "0")  # as this process; Ray's own default is 15
    alone = {"num_cpus": available_cpus(), "include_dashboard": False}
    options = {} if os.environ.get("RAY_ADDRESS") else alone
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **options)
    except Exception as error:
        raise RescoreError(f"Ray cannot be reached or started: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _cluster(actor_cpus: int | None) -> _Cluster:
    """Look at what there is; raises RescoreError when it cannot be used so."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    own = actor_cpus or min(ACTOR_CPUS, max(cpus, default=1))
    actors = gpus or sum(count // own for count in cpus)
    if not actors:
        raise RescoreError(f"No machine of the cluster has {own} CPUs: say fewer (--actor-cpus).")
    return _Cluster(actors=actors, cpus=own, gpus=min(1, gpus))


async def _judged(
    cluster: _Cluster, job: Job, make: Make, ledger: Ledger, progress: Progress
) -> AsyncGenerator[Done]:
    """Judge what `ledger` has not finished, and hand it on in the order of the inputs."""
    shards = await asyncio.to_thread(_shards, job, ledger.position, progress)
    before = [0]
    for source in job.inputs:
        before.append(before[-1] + source.size)
    chunks = _chunks(cluster, job, make, shards)
    position = ledger.position
    while chunk := await asyncio.to_thread(next, chunks, None):
        progress.tokens += chunk.tokens
        for record in chunk.records:
            position += 1
            progress.traces += len(record.traces)
            tell(progress, before[chunk.number] + record.item.consumed, behind=False)
            pairs = zip(record.traces, record.verdicts, strict=True)
            yield named(ledger.run, position, record.item, record.skipped, pairs)


def _shards(job: Job, done: int, progress: Progress) -> list[_Shard]:
    """The inputs that are not finished; those that are begun must be read to know it."""
    before = 0
    for number, source in enumerate(job.inputs):
        if not done:
            return [_Shard(number=n, skip=0) for n in range(number, len(job.inputs))]
        seen = 0
        for item in source.items(job.fields):
            tell(progress, before + item.consumed, behind=True)
            seen += 1
            if seen == done:
                rest = range(number + 1, len(job.inputs))
                return [_Shard(number=number, skip=seen), *(_Shard(number=n, skip=0) for n in rest)]
        done -= seen
        before += source.size
    return []


def _chunks(cluster: _Cluster, job: Job, make: Make, shards: Sequence[_Shard]) -> Iterator[_Chunk]:
    """Have all chunks judged, and return them in order."""
    if not shards:
        return
    rows = [{"chunk": pickle.dumps(shard)} for shard in shards]
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.target_max_block_size = BLOCK_BYTES
    judged = (
        ray.data.from_items(rows, override_num_blocks=len(rows))
        .map_batches(
            _read,
            fn_kwargs={"job": job},
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=0,
            concurrency=cluster.actors,
        )
        .map_batches(
            _Judge,
            fn_constructor_args=(make, cluster.cpus),
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=0 if cluster.gpus else cluster.cpus,
            num_gpus=cluster.gpus or None,
            compute=ray.data.ActorPoolStrategy(
                size=cluster.actors,
                max_tasks_in_flight_per_actor=2 * CALLS_AT_ONCE,
                max_concurrent_calls_per_actor=CALLS_AT_ONCE,
                enable_true_multi_threading=True,
            ),
        )
    )
    try:
        for row in judged.iter_rows():
            yield pickle.loads(row["chunk"])  # noqa: S301 -- what our own actors made
    except RayError as error:
        raise _told(error) from error


def _told(error: BaseException) -> RescoreError:
    """What stopped the cluster, without the words of an error that nobody expected."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RescoreError):
            return RescoreError(str(cause.args[0] if cause.args else cause))
        cause = getattr(cause, "cause", None) or cause.__cause__
    return RescoreError(f"The cluster failed ({type(error).__name__}): see the logs of Ray.")


def _table(chunk: _Chunk) -> pa.Table:
    return pa.table({"chunk": pa.array([pickle.dumps(chunk)], pa.large_binary())})


def _read(batch: pa.Table, *, job: Job) -> Iterator[pa.Table]:
    """Read one shard, in a task of the cluster."""
    shard: _Shard = pickle.loads(batch["chunk"][0].as_py())  # noqa: S301 -- what we made
    records: list[_Record] = []
    for place, (item, traces) in enumerate(job.wanted_of(job.inputs[shard.number])):
        if place < shard.skip:
            continue
        slim = replace(item, logged=replace(item.logged, traces=()))
        records.append(_Record(item=slim, skipped=skipped(item, traces), traces=traces))
        if _is_full(records):
            yield _table(_Chunk(number=shard.number, records=tuple(records)))
            records = []
    yield _table(_Chunk(number=shard.number, records=tuple(records)))


def _is_full(records: Sequence[_Record]) -> bool:
    traces = sum(len(record.traces) for record in records)
    characters = sum(record.characters for record in records)
    return traces >= CHUNK_TRACES or characters >= CHUNK_CHARACTERS or len(records) >= CHUNK_RECORDS


class _Judge:
    """An actor: one engine, in an event loop of its own that all calls share."""

    def __init__(self, make: Make, cpus: int) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._engine = make(cpus)
        self._told = 0

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Judge a chunk."""
        chunk: _Chunk = pickle.loads(batch["chunk"][0].as_py())  # noqa: S301 -- what `_read` made
        return _table(asyncio.run_coroutine_threadsafe(self._judge(chunk), self._loop).result())

    async def _judge(self, chunk: _Chunk) -> _Chunk:
        records = await asyncio.gather(*(self._record(record) for record in chunk.records))
        before, self._told = self._told, tokens_of(self._engine.classifier)
        return replace(chunk, records=tuple(records), tokens=self._told - before)

    async def _record(self, record: _Record) -> _Record:
        verdicts = await asyncio.gather(*(self._engine.judge(t) for t in record.traces))
        return replace(record, verdicts=tuple(verdicts))
