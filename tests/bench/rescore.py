"""Re-scoring from JSON lines to Parquet, as a share of raw ONNX Runtime, and what others do.

All sides run in the same process, taking turns. `one at a time` is the structure of scanners that give
every text to the model by itself, in a batch of one: once with the windows that re-scoring computes,
once with 512-token windows through the step encoder only. That last side does less than the others:
no comparison of answer and thinking, and no scores per step. Neither does a `transformers` pipeline, which runs
in the environment of training where that has been made (`make train-tiny`).

Ray's overhead is that of judging more: what three times the traces take longer than once the traces. Starting a
cluster and loading the models there takes its time once, however much is judged.
"""

import asyncio
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from classifiers.artefact import default_artefact, load
from classifiers.batcher import UNLIMITED
from classifiers.runtime import OnnxClassifier
from classifiers.tokenise import Window
from monitor.dialects import trace_to_json
from monitor.policy import Policy
from monitor.rulebook import Rulebook
from monitor.types import Channel, Trace
from stream.rescore import command
from stream.rescore.ledger import PARTS
from stream.rescore.redecide import redecide
from stream.rescore.run import bulk_engine, judge_all
from stream.rescore.table import write_table
from tests.bench.engine import BUDGETS, run_packed, spy
from tests.bench.traces import authored

WINDOW = 512
#: Parts of about a thousand traces that a new policy decides.
PARTS_DECIDED = 100


def main(*, quick: bool) -> None:
    traces = authored(12 if quick else 120)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(traces, Path(folder), rounds=1 if quick else 3))
        _decide(Path(folder), parts=3 if quick else PARTS_DECIDED)
        _ray(traces, Path(folder))


async def _measure(traces: Sequence[Trace], folder: Path, rounds: int) -> None:
    classifier = OnnxClassifier.load(queue_tokens=UNLIMITED)
    seen = {"steps": spy(classifier._steps), "pairs": spy(classifier._pairs)}
    logs = folder / "logs.jsonl"
    lines = (json.dumps(trace_to_json(trace)) + "\n" for trace in traces)
    logs.write_text("".join(lines), encoding="utf-8")
    await _rescore(classifier, logs, folder / "warm-up")
    steps, pairs = list(seen["steps"]), list(seen["pairs"])
    ours, raw, single, long, pipeline = [], [], [], [], []
    for number in range(rounds):
        ours.append(await _timed(_rescore(classifier, logs, folder / f"run-{number}")))
        for budget in BUDGETS:
            began = time.perf_counter()
            run_packed(classifier._steps.runner, steps, budget)
            run_packed(classifier._pairs.runner, pairs, budget)
            raw.append(time.perf_counter() - began)
        began = time.perf_counter()
        run_packed(classifier._steps.runner, steps, 1)
        run_packed(classifier._pairs.runner, pairs, 1)
        single.append(time.perf_counter() - began)
        long.append(_long_windows(classifier, traces))
        pipeline.append(_pipeline(traces, folder))
    await classifier.aclose()
    tokens = sum(len(w.ids) for w in steps + pairs)
    _print(len(traces), tokens, [min(side) for side in (raw, ours, single, long, pipeline)])


def _print(traces: int, tokens: int, seconds: Sequence[float]) -> None:
    raw, ours, single, long, pipeline = seconds
    print("| re-scoring | traces/s | tokens/s | share of raw ONNX Runtime |")
    print("|---|---|---|---|")
    print(f"| raw ONNX Runtime, packed | {traces / raw:.1f} | {tokens / raw:,.0f} | 1.00 |")
    print(
        f"| `subtext rescore`, JSON lines to Parquet | {traces / ours:.1f} | {tokens / ours:,.0f} "
        f"| {raw / ours:.2f} |"
    )
    print(
        f"| the same windows, one at a time | {traces / single:.1f} | {tokens / single:,.0f} "
        f"| {raw / single:.2f} |"
    )
    print(f"| 512-token windows one at a time, step encoder only | {traces / long:.1f} | | |")
    if pipeline < math.inf:
        print(f"| `transformers` pipeline, 512-token windows | {traces / pipeline:.1f} | | |")
    print(f"\n{traces} traces, {tokens:,} tokens.\n")


def _pipeline(traces: Sequence[Trace], folder: Path) -> float:
    """Seconds of `tests.bench.pipeline`; infinite where its environment is not there."""
    python = Path(".venv-train/bin/python")
    if not python.exists():
        return math.inf
    texts = [trace.text(channel) for trace in traces for channel in Channel if trace.text(channel)]
    path = folder / "texts.json"
    path.write_text(json.dumps(texts), encoding="utf-8")
    words = [python.absolute(), Path(__file__).with_name("pipeline.py"), path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return float(done.stdout.split()[-1])


def _ray(traces: Sequence[Trace], folder: Path) -> None:
    """What a Ray of this machine costs, by the command as a user calls it."""
    seconds = {}
    for where, times in product(("local", "ray"), (1, 3)):
        logs = folder / f"{times}.jsonl"
        lines = [json.dumps(trace_to_json(trace)) + "\n" for trace in traces] * times
        logs.write_text("".join(lines), encoding="utf-8")
        words = ["rescore", logs, "--out", folder / f"{where}-{times}", "--engine", where]
        began = time.perf_counter()
        subprocess.run(
            [Path(sys.executable).with_name("subtext"), *map(str, words)],
            check=True,
            capture_output=True,
        )
        seconds[where, times] = time.perf_counter() - began
    more = {where: seconds[where, 3] - seconds[where, 1] for where in ("local", "ray")}
    start = seconds["ray", 1] - more["ray"] / 2
    print(
        f"{2 * len(traces)} traces more take {more['local']:.0f} s here and {more['ray']:.0f} s on a "
        f"Ray of this machine: {more['ray'] / more['local'] - 1:+.0%}. Its start takes {start:.0f} s.\n"
    )


async def _rescore(classifier: OnnxClassifier, logs: Path, out: Path) -> None:
    engine = bulk_engine(classifier, Rulebook(top=Policy(thresholds=classifier.thresholds)))
    job = command.job([str(logs)])
    with command.ledger(job, engine, out) as ledger:
        await judge_all(job, engine, ledger)


async def _timed(work) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _long_windows(classifier: OnnxClassifier, traces: Sequence[Trace]) -> float:
    tokeniser = Tokenizer.from_file(str(classifier.artefact.file("tokenizer.json")))
    session = classifier._steps.runner
    began = time.perf_counter()
    for trace in traces:
        for channel in Channel:
            ids = tokeniser.encode(trace.text(channel)).ids if trace.text(channel) else []
            for start in range(0, len(ids), WINDOW):
                session([Window(ids=ids[start : start + WINDOW], first=0)])
    return time.perf_counter() - began


def _decide(folder: Path, parts: int) -> None:
    """How fast a new policy decides: full parts, made of a run's rows many times over."""
    earlier = folder / "run-0"
    path = earlier / "part-00000.parquet"
    table = pq.read_table(path)
    table = pa.concat_tables([table] * (1000 // table.num_rows))
    write_table(path, table)
    entry = json.loads((earlier / PARTS).read_text(encoding="utf-8"))
    names = [f"part-{number:05}.parquet" for number in range(parts)]
    for name in names[1:]:
        (earlier / name).hardlink_to(path)
    lines = (json.dumps({**entry, "file": name, "rows": table.num_rows}) + "\n" for name in names)
    (earlier / PARTS).write_text("".join(lines), encoding="utf-8")
    policy = Rulebook(top=Policy(thresholds=load(default_artefact()).thresholds))
    began = time.perf_counter()
    redecide(earlier, policy, folder / "anew")
    seconds, rows = time.perf_counter() - began, parts * table.num_rows
    print(
        f"A new policy decided {rows:,} traces anew in {seconds:.1f} s: {rows / seconds:,.0f}/s.\n"
    )
