"""How long after the end of a response its verdict comes, in this process and over Kafka.

One response at a time, written as fast as a quick model writes it. Both gates judge the same traces
with the same models in the same run, taking turns; the worker is in this process, the broker is not.
"""

import asyncio
import subprocess
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from classifiers.runtime import OnnxClassifier
from monitor.engine import Engine
from monitor.judging import Judge, Live
from monitor.policy import Policy
from monitor.recording import recorder
from monitor.rulebook import Rulebook
from monitor.store import Store
from monitor.types import Delta, Trace
from stream.kafka.beside import beside
from stream.kafka.client import Kafka
from stream.kafka.docket import Limits
from stream.kafka.gate import Gate, NoClassifier
from stream.kafka.ledger import Ledger
from stream.kafka.settings import Settings
from stream.kafka.topics import Topics
from stream.kafka.worker import Worker
from tests.bench.traces import authored

SCRIPT = Path(__file__).parents[2] / "scripts" / "kafka"
#: Characters that a model writes at a time, and how long it takes: about 250 tokens a second.
PIECE, PAUSE = 20, 0.02


def main(*, quick: bool) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="subtext-bench-") as folder,
        subprocess.Popen(
            [SCRIPT, "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as broker,
    ):
        assert broker.stdout
        transport = Kafka(Settings(bootstrap=broker.stdout.readline().strip()))
        asyncio.run(_measure(transport, Path(folder), authored(10 if quick else 60)))


async def _measure(transport: Kafka, folder: Path, traces: Sequence[Trace]) -> None:
    classifier = OnnxClassifier.load()
    store = Store.open(f"sqlite:///{folder / 'audit.db'}")
    rules = Rulebook(top=Policy(thresholds=classifier.thresholds, deadline_seconds=120))
    local = Engine(classifier=classifier, policy=rules, record=recorder(store))
    took: dict[str, list[float]] = {"in this process": [], "over Kafka": []}
    async with AsyncExitStack() as stack:
        remote = await _gated(
            stack,
            transport=transport,
            folder=folder,
            classifier=classifier,
            rules=rules,
            store=store,
        )
        for trace in [traces[0], *traces]:
            for name, judge in zip(took, (local, remote), strict=True):
                took[name].append(await _one(judge, trace))
    await classifier.aclose()
    store.close()
    print("| last text to recorded verdict | p50 | p99 |")
    print("|---|---|---|")
    for name, seconds in took.items():
        shown = (f"{np.percentile(seconds[1:], p) * 1000:.0f} ms" for p in (50, 99))
        print(f"| {name} | {' | '.join(shown)} |")
    print(f"\n{len(traces)} traces, one at a time.\n")


async def _gated(  # noqa: PLR0913
    stack: AsyncExitStack,
    *,
    transport: Kafka,
    folder: Path,
    classifier: OnnxClassifier,
    rules: Rulebook,
    store: Store,
) -> Judge:
    topics = Topics.under(f"bench-{uuid.uuid4().hex[:8]}")
    transport.create(topics.to_create(partitions=3, days=1))
    ledger = Ledger(store)
    worker = Worker(
        engine=Engine(classifier=classifier, policy=rules, record=ledger.record),
        ledger=ledger,
        transport=transport,
        topics=topics,
        group="bench",
        limits=Limits(),
    )
    await stack.enter_async_context(beside(worker.run(asyncio.Event())))
    while not worker.ready["partitions"]:  # noqa: ASYNC110 -- it sets no event
        await asyncio.sleep(0.05)
    here = Engine(
        classifier=NoClassifier(classifier.thresholds), policy=rules, record=recorder(store)
    )
    gate = Gate(transport=transport, topics=topics, spool=folder / "spool", spool_bytes=2**24)
    return await stack.enter_async_context(gate.judging(here))


async def _one(judge: Judge, trace: Trace) -> float:
    """Seconds from the last text of a response to its verdict."""
    live = Live(verdict_id=judge.world.new_id(), on_progress=lambda: None)
    session = judge.open(replace(trace, parts=()), live=live)
    for part in trace.parts:
        for at in range(0, len(part.text), PIECE):
            await session.feed(Delta(channel=part.channel, text=part.text[at : at + PIECE]))
            await asyncio.sleep(PAUSE)
    began = time.perf_counter()
    verdict = await session.finish()
    assert verdict.unscored is None, verdict.unscored
    return time.perf_counter() - began
