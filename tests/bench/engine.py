"""Engine throughput as a share of ONNX Runtime on pre-tokenised, perfectly packed batches.

Both sides compute the same windows of the same models in the same run, taking turns. The raw side
gets them tokenised, and sorts by length and packs to the budget that suits it best.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from classifiers.runtime import OnnxClassifier
from classifiers.tokenise import Window
from monitor.engine import STORED_AT_ONCE, Engine
from monitor.policy import Policy
from monitor.rulebook import Rulebook
from monitor.types import Trace
from tests.bench.traces import authored
from tests.support import Recorded

#: Tokens in a batch of the raw side; its best run counts.
BUDGETS = (1024, 4096)


def main(*, quick: bool) -> None:
    asyncio.run(_measure(authored(24 if quick else 120), rounds=1 if quick else 3))


async def _measure(traces: Sequence[Trace], rounds: int) -> None:
    classifier = OnnxClassifier.load()
    seen = {"steps": spy(classifier._steps), "pairs": spy(classifier._pairs)}
    await _judge_all(classifier, traces)  # warms up, and shows which windows there are
    steps, pairs = (list(seen[name]) for name in ("steps", "pairs"))
    tokens = sum(len(w.ids) for w in steps + pairs)
    engine_seconds, raw_seconds = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        await _judge_all(classifier, traces)
        engine_seconds.append(time.perf_counter() - began)
        for budget in BUDGETS:
            began = time.perf_counter()
            run_packed(classifier._steps.runner, steps, budget)
            run_packed(classifier._pairs.runner, pairs, budget)
            raw_seconds.append(time.perf_counter() - began)
    await classifier.aclose()
    engine, raw = min(engine_seconds), min(raw_seconds)
    print("| engine | traces/s | tokens/s | share of raw ONNX Runtime |")
    print("|---|---|---|---|")
    print(f"| raw ONNX Runtime, packed | {len(traces) / raw:.1f} | {tokens / raw:,.0f} | 1.00 |")
    print(
        f"| whole road, {STORED_AT_ONCE} traces at once | {len(traces) / engine:.1f} "
        f"| {tokens / engine:,.0f} | {raw / engine:.2f} |"
    )
    print(f"\n{len(traces)} traces, {tokens:,} tokens, best of {rounds} rounds each.\n")


def spy(batcher) -> list[Window]:
    """Collect the windows that pass through a batcher, the first time."""
    seen: list[Window] = []
    run = batcher.runner

    def runner(windows):
        seen.extend(windows)
        return run(windows)

    batcher.runner = runner
    return seen


async def _judge_all(classifier: OnnxClassifier, traces: Sequence[Trace]) -> None:
    engine = Engine(
        classifier=classifier,
        policy=Rulebook(top=Policy(thresholds=classifier.thresholds)),
        record=Recorded(),
    )
    for verdict in await asyncio.gather(*(engine.judge(trace) for trace in traces)):
        assert verdict.unscored is None, verdict.unscored


def run_packed(runner: Callable, windows: Sequence[Window], budget: int) -> None:
    batch: list[Window] = []
    for window in sorted(windows, key=lambda w: len(w.ids)):
        if batch and (len(batch) + 1) * len(window.ids) > budget:
            runner(batch)
            batch = []
        batch.append(window)
    if batch:
        runner(batch)
