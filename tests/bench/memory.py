"""The most memory that re-scoring a file of 5 GB takes, and how it grows with what was read.

All is real but for the arithmetic of the encoders, which would take hours: every record is read and
understood, a sample of them is cut, tokenised, batched, compared and written. The models are loaded,
and ran once, so that what they take is counted.
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np

from classifiers.batcher import UNLIMITED
from classifiers.runtime import OnnxClassifier
from classifiers.tokenise import Window
from monitor.policy import Policy
from monitor.rulebook import Rulebook
from stream.rescore import command
from stream.rescore.run import Progress, bulk_engine, judge_all
from tests.bench.traces import authored

SIZE, SIZE_QUICK = 5 * 10**9, 50 * 10**6
#: Authored traces that are joined to one, which makes records of some 18 kB.
JOINED = 8
#: Bytes of such text, which are repeated until the file is large enough.
BLOCK = 25 * 10**6
SAMPLE = "0.5%"


def main(*, quick: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder) / "logs.jsonl"
        traces = _write(logs, (SIZE_QUICK if quick else SIZE) // BLOCK)
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "tests.bench.memory", logs, Path(folder) / "out"], check=True
        )
        print(
            f"\n{logs.stat().st_size / 1e9:.2f} GB, {traces:,} traces, of which {SAMPLE} were judged; "
            f"{time.perf_counter() - began:.0f} s.\n"
        )


def _write(path: Path, blocks: int) -> int:
    """Write real text so many times; return how many traces that is."""
    block, texts, traces = bytearray(), _texts(), 0
    while len(block) < BLOCK:
        block += json.dumps({"id": f"t{traces}", **next(texts)}).encode() + b"\n"
        traces += 1
    with path.open("wb") as file:
        for _ in range(blocks):
            file.write(block)
    return traces * blocks


def _texts() -> Iterator[dict[str, str]]:
    traces = authored(10_000)
    for number in count():
        some = [traces[(number * JOINED + i * (1 + number)) % len(traces)] for i in range(JOINED)]
        yield {
            "prompt": some[0].prompt,
            "thinking": "\n".join(trace.thinking for trace in some),
            "answer": "\n".join(trace.answer for trace in some),
        }


def judge(logs: str, out: str) -> None:
    """Judge in this process, and print what memory it took."""
    classifier = OnnxClassifier.load(queue_tokens=UNLIMITED)
    engine = bulk_engine(classifier, Rulebook(top=Policy(thresholds=classifier.thresholds)))
    asyncio.run(_judge(classifier, engine, logs, Path(out)))


async def _judge(classifier, engine, logs, out):
    await asyncio.gather(*(engine.judge(trace) for trace in authored(4)))
    _calm(classifier)
    job = command.job([logs], sample=SAMPLE)
    print("| read | most memory so far |\n|---|---|")
    tenths = deque(range(1, 11))

    def tell(progress: Progress) -> None:
        while tenths and progress.consumed * 10 >= tenths[0] * job.size:
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(f"| {tenths.popleft() * 10} % | {most / 1024:.0f} MiB |", flush=True)

    with command.ledger(job, engine, out) as ledger:
        await judge_all(job, engine, ledger, progress=Progress(tell=tell))
    await classifier.aclose()


def _calm(classifier: OnnxClassifier) -> None:
    """Let the encoders say the same of everything."""
    vector = np.zeros(classifier.artefact.dimensions, dtype=np.float32)

    def steps(windows: Sequence[Window]) -> list[np.ndarray]:
        return [vector for _ in windows]

    def pairs(windows: Sequence[Window]) -> list[float]:
        return [0.0 for _ in windows]

    classifier._steps.runner, classifier._pairs.runner = steps, pairs


if __name__ == "__main__":
    judge(*sys.argv[1:])
