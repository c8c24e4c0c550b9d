"""What Kafka costs a worker: its throughput as a share of the engine alone, on the same traces.

Both sides judge the same traces with the same models in the same run, taking turns, and record in a
database of their own on disk. The worker reads them from a real broker, where they wait already.
CPU seconds are of the judging process alone: they tell what Kafka costs it on a machine that others
use too, where the time on the clock tells more about them.

Then workers in processes of their own, each kept to one CPU, on as many as there are.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from classifiers.artefact import TOKENISER, default_artefact
from classifiers.runtime import OnnxClassifier
from classifiers.tokenise import Tokeniser
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
from tests.bench.processes import free_port
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
        address = broker.stdout.readline().strip()
        transport, count = Kafka(Settings(bootstrap=address)), 24 if quick else 96
        asyncio.run(_measure(transport, Path(folder), authored(count), 1 if quick else 2))
        # More of them: each partition should have about as much to judge.
        _scale(address, Path(folder), authored(4 * count))


async def _measure(transport: Kafka, folder: Path, traces: list[Trace], rounds: int) -> None:
    classifier = OnnxClassifier.load()
    alone, over = [], []
    await _alone(classifier, folder, traces[:8])  # warms up
    for _ in range(rounds):
        alone.append(await _alone(classifier, folder, traces))
        over.append(await _over_kafka(classifier, transport, folder, traces))
    await classifier.aclose()
    print("| same traces, same run | tokens/s | traces/s | share | CPU seconds | share |")
    print("|---|---|---|---|---|---|")
    tokens = _tokens(traces)
    seconds, cpu = (min(values) for values in zip(*alone, strict=True))
    for name, found in (("engine alone", alone), ("one worker over Kafka", over)):
        took, used = (min(values) for values in zip(*found, strict=True))
        speed = f"{tokens / took:,.0f} | {len(traces) / took:.1f} | {seconds / took:.2f}"
        print(f"| {name} | {speed} | {used:.1f} | {cpu / used:.2f} |")
    print(f"\n{len(traces)} traces of {tokens:,} tokens, best of {rounds} rounds each.\n")


def _tokens(traces: Sequence[Trace]) -> int:
    """Word pieces of prompts, thinking and answers."""
    tokeniser = Tokeniser(default_artefact() / TOKENISER)
    return sum(
        len(tokeniser.ids(text)) for t in traces for text in (t.prompt, *(p.text for p in t.parts))
    )


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
    _send(transport, topics, traces)
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


def _send(transport: Kafka, topics: Topics, traces: Sequence[Trace]) -> None:
    producer = transport.producer()
    for trace in traces:
        producer.send(
            topics.traces,
            key=trace.trace_id.encode(),
            value=messages.encode(messages.whole(trace)),
            headers=messages.headers(tenant=""),
        )
    producer.close()


# Several workers


def _scale(address: str, folder: Path, traces: Sequence[Trace]) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    print("| workers of one CPU each | tokens/s | traces/s | times one worker |")
    print("|---|---|---|---|")
    alone, tokens = None, _tokens(traces)
    for count in (1, 2, 4):
        if count <= len(cpus):
            took = _together(address, folder, traces, cpus[:count])
            alone = alone or took
            speed = f"{tokens / took:,.0f} | {len(traces) / took:.1f} | {alone / took:.2f}"
            print(f"| {count} | {speed} |", flush=True)
    print(f"\n{len(traces)} traces; the broker shares the {len(cpus)} CPUs.\n")


def _together(address: str, folder: Path, traces: Sequence[Trace], cpus: Sequence[int]) -> float:
    """Seconds from sending to the last recorded verdict, when all workers have partitions."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}"
    topics, transport = Topics.under(prefix), Kafka(Settings(bootstrap=address))
    transport.create(topics.to_create(partitions=12, days=1))
    database = f"sqlite:///{folder / prefix}.db"
    store = Store.open(database)
    options = ["--bootstrap", address, "--prefix", prefix, "--database", database]
    with ExitStack() as stack:
        stack.callback(store.close)
        ports = [stack.enter_context(_worker(cpu, options)) for cpu in cpus]
        _wait_until(lambda: all(map(_ready, ports)))
        time.sleep(10)  # a rebalance takes two rounds
        assert all(map(_ready, ports))
        began = time.perf_counter()
        _send(transport, topics, traces)
        _wait_until(lambda: store.newest_seq() + 1 >= len(traces))
        return time.perf_counter() - began


@contextmanager
def _worker(cpu: int, options: Sequence[str]) -> Iterator[int]:
    """The worker as its user starts it, on one CPU; gives its port."""
    port, subtext = free_port(), str(Path(sys.executable).with_name("subtext"))
    command = ["taskset", "-c", str(cpu), subtext, "worker", *options, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as one:
        try:
            yield port
        finally:
            one.terminate()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def _wait_until(done, *, seconds: float = 600) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)
