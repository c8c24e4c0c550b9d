"""A gate whose workers are in this process, behind a broker that is too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

from monitor.engine import Recorder
from monitor.types import Trace, Verdict
from monitor.wire import verdict_json
from stream.kafka.docket import Limits
from stream.kafka.gate import Gate, KafkaJudge, NoClassifier
from stream.kafka.ledger import Ledger
from stream.kafka.memory import Memory
from stream.kafka.table import Patience
from stream.kafka.topics import Topics
from stream.kafka.worker import Worker
from tests.support import THRESHOLDS, Recorded, engine

TOPICS = Topics()


class Remembering:
    """A store of workers that remembers what it records, once by id, in a recorder's list."""

    def __init__(self, record: Recorded) -> None:
        self._record = record
        self._known: dict[str, SimpleNamespace] = {}

    def record_verdicts(self, pairs: list[tuple[Verdict, Trace]]) -> list[SimpleNamespace]:
        for verdict, trace in pairs:
            if verdict.verdict_id not in self._known:
                self._known[verdict.verdict_id] = SimpleNamespace(
                    body={"verdict": verdict_json(verdict)}
                )
                self._record.verdicts.append((verdict, trace))
        return [self._known[verdict.verdict_id] for verdict, _ in pairs]


@asynccontextmanager
async def working(
    broker: Memory, store: object, *, patience: Patience | None = None, **options: object
) -> AsyncIterator[Worker]:
    """A worker, until the end of the block."""
    ledger = Ledger(store)  # type: ignore[arg-type]
    worker = Worker(
        engine=engine(record=ledger.record, **options),  # type: ignore[arg-type]
        ledger=ledger,
        transport=broker,
        topics=TOPICS,
        group="g",
        limits=Limits(commit_seconds=0, drain_seconds=0.2, patience=patience or Patience()),
    )
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(stop))
    try:
        while not worker.ready["partitions"]:  # noqa: ASYNC110 -- it sets no event
            await asyncio.sleep(0.01)
        yield worker
    finally:
        stop.set()
        await task


@asynccontextmanager
async def gated(  # noqa: PLR0913
    folder: Path,
    record: Recorder,
    store: object,
    *,
    classifier: object = None,
    rules: object = None,
    broker: Memory | None = None,
    spool_bytes: int = 2**20,
    patience: Patience | None = None,
    worker_rules: object = None,
) -> AsyncIterator[KafkaJudge]:
    """A judge with a worker behind it; `record` is for what the worker does not judge."""
    broker = broker or Memory()
    broker.create(TOPICS.to_create(partitions=3, days=1))
    gate = Gate(transport=broker, topics=TOPICS, spool=folder, spool_bytes=spool_bytes)
    here = engine(classifier=NoClassifier(THRESHOLDS), rules=rules, record=record)  # type: ignore[arg-type]
    more = {"classifier": classifier, "rules": worker_rules or rules, "patience": patience}
    async with working(broker, store, **more), gate.judging(here) as it:
        yield it
