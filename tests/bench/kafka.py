"""What Kafka costs a worker: its throughput as a share of the engine alone, on the same traces.

Both sides judge the same traces with the same models in the same run, taking turns, and record in a
database of their own on disk. The worker reads them from a real broker, where they wait already.
"""

import asyncio
import subprocess
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from classifiers.runtime import OnnxClassifier
from monitor.engine import Engine
from monitor.policy import Policy
from monitor.recording import recorder
from monitor.rulebook import Rulebook
from monitor.store import Store
from monitor.types import Trace
from stream.kafka import messages
from stream.kafka.client import Kafka
from stream.kafka.docket import Limits
from stream.kafka.ledger import Ledger
from stream.kafka.settings import Settings
from stream.kafka.topics import Topics
from stream.kafka.worker import Worker
from tests.bench.traces import authored

SCRIPT = Path(__file__).parents[2] / "scripts" / "kafka"


def main(*, quick: bool) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="subtext-bench-") as folder,
        subprocess.Popen(
            [SCRIPT, "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as broker,
    ):
        assert broker.stdout
        transport = Kafka(Settings(bootstrap=broker.stdout.readline().strip()))
        asyncio.run(
            _measure(transport, Path(folder), authored(24 if quick else 240), 1 if quick else 3)
        )


async def _measure(transport: Kafka, folder: Path, traces: list[Trace], rounds: int) -> None:
    classifier = OnnxClassifier.load()
    alone, over = [], []
    await _alone(classifier, folder, traces[:8])  # warms up
    for _ in range(rounds):
        alone.append(await _alone(classifier, folder, traces))
        over.append(await _over_kafka(classifier, transport, folder, traces))
    await classifier.aclose()
    best, worker = min(alone), min(over)
    print("| same traces, same run | traces/s | share of the engine alone |")
    print("|---|---|---|")
    print(f"| engine alone | {len(traces) / best:.1f} | 1.00 |")
    print(f"| one worker over Kafka | {len(traces) / worker:.1f} | {best / worker:.2f} |")
    print(f"\n{len(traces)} traces, best of {rounds} rounds each.\n")


def _engine(classifier: OnnxClassifier, record) -> Engine:
    rules = Rulebook(top=Policy(thresholds=classifier.thresholds))
    return Engine(classifier=classifier, policy=rules, record=record)


async def _alone(classifier: OnnxClassifier, folder: Path, traces: Sequence[Trace]) -> float:
    store = Store.open(f"sqlite:///{folder / uuid.uuid4().hex}.db")
    engine = _engine(classifier, recorder(store))
    began = time.perf_counter()
    await asyncio.gather(*(engine.judge(trace) for trace in traces))
    seconds = time.perf_counter() - began
    store.close()
    return seconds


async def _over_kafka(
    classifier: OnnxClassifier, transport: Kafka, folder: Path, traces: Sequence[Trace]
) -> float:
    """Seconds from when the worker has its partitions to when the last verdict is recorded."""
    topics = Topics.under(f"bench-{uuid.uuid4().hex[:8]}")
    transport.create(topics.to_create(partitions=6, days=1))
    producer = transport.producer()
    for trace in traces:
        producer.send(
            topics.traces,
            key=trace.trace_id.encode(),
            value=messages.encode(messages.whole(trace)),
            headers=messages.headers(tenant=""),
        )
    producer.close()
    store = Store.open(f"sqlite:///{folder / uuid.uuid4().hex}.db")
    ledger = Ledger(store)
    worker = Worker(
        engine=_engine(classifier, ledger.record),
        ledger=ledger,
        transport=transport,
        topics=topics,
        group=topics.traces,
        limits=Limits(),
    )
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    began = None
    while store.newest_seq() + 1 < len(traces):
        if began is None and worker.ready["partitions"]:
            began = time.perf_counter()
        assert not running.done(), running.exception()
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - (began or 0)
    stop.set()
    await running
    store.close()
    return seconds
