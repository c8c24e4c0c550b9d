"""What Kafka costs a worker: its throughput as a share of the engine alone, on the same traces.

Both sides judge the same traces with the same models in the same run, taking turns, and record in a
database of their own on disk. The worker reads them from a real broker, where they wait already.
CPU seconds are of the judging process alone: they tell what Kafka costs it on a machine that others
use too, where the time on the clock tells more about them.
"""

import asyncio
import subprocess
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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


class Took(NamedTuple):
    """Seconds on the clock, and of CPU."""

    clock: float
    cpu: float


def now() -> Took:
    return Took(time.perf_counter(), time.process_time())


def since(began: Took) -> Took:
    return Took(time.perf_counter() - began.clock, time.process_time() - began.cpu)


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
            _measure(transport, Path(folder), authored(24 if quick else 96), 1 if quick else 2)
        )


async def _measure(transport: Kafka, folder: Path, traces: list[Trace], rounds: int) -> None:
    classifier = OnnxClassifier.load()
    alone, over = [], []
    await _alone(classifier, folder, traces[:8])  # warms up
    for _ in range(rounds):
        alone.append(await _alone(classifier, folder, traces))
        over.append(await _over_kafka(classifier, transport, folder, traces))
    await classifier.aclose()
    print("| same traces, same run | traces/s | share of the engine alone | CPU seconds | share |")
    print("|---|---|---|---|---|")
    seconds, cpu = (min(values) for values in zip(*alone, strict=True))
    for name, found in (("engine alone", alone), ("one worker over Kafka", over)):
        took, used = (min(values) for values in zip(*found, strict=True))
        speed = f"{len(traces) / took:.1f} | {seconds / took:.2f}"
        print(f"| {name} | {speed} | {used:.1f} | {cpu / used:.2f} |")
    print(f"\n{len(traces)} traces, best of {rounds} rounds each.\n")


def _engine(classifier: OnnxClassifier, record) -> Engine:
    rules = Rulebook(top=Policy(thresholds=classifier.thresholds))
    return Engine(classifier=classifier, policy=rules, record=record)


async def _alone(classifier: OnnxClassifier, folder: Path, traces: Sequence[Trace]) -> Took:
    store = Store.open(f"sqlite:///{folder / uuid.uuid4().hex}.db")
    engine = _engine(classifier, recorder(store))
    began = now()
    await asyncio.gather(*(engine.judge(trace) for trace in traces))
    took = since(began)
    store.close()
    return took


async def _over_kafka(
    classifier: OnnxClassifier, transport: Kafka, folder: Path, traces: Sequence[Trace]
) -> Took:
    """Time from when the worker has its partitions to when the last verdict is recorded."""
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
            began = now()
        assert not running.done(), running.exception()
        await asyncio.sleep(0.02)
    took = since(began or Took(0, 0))
    stop.set()
    await running
    store.close()
    return took
