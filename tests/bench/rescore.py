"""Re-scoring from JSON lines to Parquet, as a share of raw ONNX Runtime, and what others do.

All sides run in the same process, taking turns. `one at a time` is the structure of scanners that give
every text to the model by itself, in a batch of one: once with the windows that re-scoring computes,
once with 512-token windows through the step encoder only. That last side does less than the others:
no comparison of answer and thinking, and no scores per step. Neither does a `transformers` pipeline, which runs
in the environment of training where that has been made (`make train-tiny`).

Ray's overhead is that of judging more: what many traces take longer than one. Starting a cluster and
loading the models there takes its time once, however much is judged.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from classifiers.artefact import default_artefact, load
from classifiers.batcher import UNLIMITED
from classifiers.port import Check, Thresholds
from classifiers.runtime import OnnxClassifier
from classifiers.tokenise import Window
from monitor.dialects import trace_to_json
from monitor.policy import Policy
from monitor.rulebook import Rulebook
from monitor.types import Channel, Trace
from stream.rescore import command, compare, report
from stream.rescore.ledger import MANIFEST, PARTS, Ledger
from stream.rescore.redecide import redecide
from stream.rescore.run import bulk_engine, judge_all
from stream.rescore.table import SCHEMA, write_table
from tests.bench.engine import BUDGETS, run_packed, spy
from tests.bench.traces import authored

WINDOW = 512
#: Traces that re-scoring judges, and of those the share of which the slow sides get.
TRACES, TRACES_QUICK = 120, 12
SHARE = 3
#: Rows that a new policy decides.
DECIDED, DECIDED_QUICK = 1_000_000, 20_000
PART_ROWS = 1000


def main(*, quick: bool) -> None:
    traces = authored(TRACES_QUICK if quick else TRACES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(_measure(traces, folder, rounds=1 if quick else 2))
        decide(folder / "run-0", folder, DECIDED_QUICK if quick else DECIDED)
        _ray(traces[: len(traces) // 2], folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Took:
    """Seconds for one trace."""

    wall: float
    cpu: float

    @classmethod
    @contextmanager
    def noted(cls, sides: list["_Took"], traces: float) -> Iterator[None]:
        """Add what the block takes to `sides`."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        took = time.perf_counter() - wall, time.process_time() - cpu
        sides.append(cls(wall=took[0] / traces, cpu=took[1] / traces))

    @classmethod
    def least(cls, sides: Sequence["_Took"]) -> "_Took":
        return cls(wall=min(t.wall for t in sides), cpu=min(t.cpu for t in sides))


async def _measure(traces: Sequence[Trace], folder: Path, rounds: int) -> None:
    classifier = OnnxClassifier.load(queue_tokens=UNLIMITED)
    steps, pairs = spy(classifier._steps), spy(classifier._pairs)
    logs = folder / "logs.jsonl"
    await _rescore(classifier, _logs(folder / "warm-up.jsonl", traces[:4]), folder / "warm-up")
    steps.clear(), pairs.clear()
    _logs(logs, traces)
    sides: dict[str, list[_Took]] = {name: [] for name in ("ours", "raw", "single", "long")}
    windows: list[list[Window]] = []
    some, fewer = len(traces), len(traces) / SHARE
    for number in range(rounds):
        with _Took.noted(sides["ours"], some):
            await _rescore(classifier, logs, folder / f"run-{number}")
        windows = windows or [list(steps), list(pairs)]
        for budget in BUDGETS:
            with _Took.noted(sides["raw"], some):
                _run(classifier, windows, budget)
    with _Took.noted(sides["single"], fewer):
        _run(classifier, [seen[::SHARE] for seen in windows], 1)
    with _Took.noted(sides["long"], len(traces[::SHARE])):
        _long_windows(classifier, traces[::SHARE])
    await classifier.aclose()
    tokens = sum(len(w.ids) for seen in windows for w in seen)
    least = {name: _Took.least(took) for name, took in sides.items()}
    _print(least, tokens / len(traces), _pipeline(traces[::SHARE], folder))


def _run(classifier: OnnxClassifier, windows: Sequence[Sequence[Window]], budget: int) -> None:
    steps, pairs = windows
    run_packed(classifier._steps.runner, steps, budget)
    run_packed(classifier._pairs.runner, pairs, budget)


def _print(sides: Mapping[str, _Took], tokens: float, pipeline: _Took | None) -> None:
    raw, ours = sides["raw"], sides["ours"]
    print("| re-scoring | traces/s | tokens/s | share of raw ONNX Runtime | in CPU time |")
    print("|---|---|---|---|---|")
    for name, took in {
        "raw ONNX Runtime, packed": raw,
        "`subtext rescore`, JSON lines to Parquet": ours,
        "the same windows, one at a time": sides["single"],
    }.items():
        print(
            f"| {name} | {1 / took.wall:.1f} | {tokens / took.wall:,.0f} "
            f"| {raw.wall / took.wall:.2f} | {raw.cpu / took.cpu:.2f} |"
        )
    print(
        f"| {WINDOW}-token windows one at a time, step encoder only "
        f"| {1 / sides['long'].wall:.1f} | | | |"
    )
    if pipeline is not None:
        print(
            f"| `transformers` pipeline, {WINDOW}-token windows | {1 / pipeline.wall:.1f} | | | |\n\n"
            f"`subtext rescore` judges {pipeline.wall / ours.wall:.2f} times as many traces a second "
            f"as the pipeline ({pipeline.cpu / ours.cpu:.2f} in CPU time)."
        )
    print()


def _pipeline(traces: Sequence[Trace], folder: Path) -> _Took | None:
    """What `tests.bench.pipeline` takes; None where its environment is not there."""
    python = Path(".venv-train/bin/python")
    if not python.exists():
        return None
    texts = [trace.text(channel) for trace in traces for channel in Channel if trace.text(channel)]
    path = folder / "texts.json"
    path.write_text(json.dumps(texts), encoding="utf-8")
    words = [python.absolute(), Path(__file__).with_name("pipeline.py"), path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    wall, cpu = map(float, done.stdout.split()[-2:])
    return _Took(wall=wall / len(traces), cpu=cpu / len(traces))


def _ray(traces: Sequence[Trace], folder: Path) -> None:
    """What a Ray of this machine costs, by the command as a user calls it, beside its start."""
    seconds = {}
    for some, where in product((traces[:1], traces), ("local", "ray")):
        logs = _logs(folder / f"{len(some)}.jsonl", some)
        words = ["rescore", logs, "--out", folder / f"{where}-{len(some)}", "--engine", where]
        began = time.perf_counter()
        subprocess.run(
            [Path(sys.executable).with_name("subtext"), *map(str, words)],
            check=True,
            capture_output=True,
        )
        seconds[where, len(some)] = time.perf_counter() - began
    more = {w: seconds[w, len(traces)] - seconds[w, 1] for w in ("local", "ray")}
    print(
        f"{len(traces) - 1} traces more take {more['local']:.0f} s here and {more['ray']:.0f} s on a "
        f"Ray of this machine: {more['ray'] / more['local'] - 1:+.0%}. "
        f"Its start takes {seconds['ray', 1] - seconds['local', 1]:.0f} s.\n"
    )


def _logs(path: Path, traces: Sequence[Trace]) -> Path:
    lines = (json.dumps(trace_to_json(trace)) + "\n" for trace in traces)
    path.write_text("".join(lines), encoding="utf-8")
    return path


async def _rescore(classifier: OnnxClassifier, logs: Path, out: Path) -> None:
    engine = bulk_engine(classifier, Rulebook(top=Policy(thresholds=classifier.thresholds)))
    job = command.job([str(logs)])
    with command.ledger(job, engine, out) as ledger:
        await judge_all(job, engine, ledger)


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


def decide(earlier: Path, folder: Path, rows: int) -> None:
    """How fast a new policy decides, and what changed is told: a run's rows many times over."""
    _repeated(earlier, folder / "many", rows)
    limits = load(default_artefact()).thresholds
    policy = Policy(thresholds={c: Thresholds(t.flag * 0.8, t.block) for c, t in limits.items()})
    decided: list[_Took] = []
    with _Took.noted(decided, rows):
        redecide(folder / "many", Rulebook(top=policy), folder / "anew")
    with _Took.noted(decided, rows):
        pairs = compare.pair(folder / "anew", folder / "many")
        found = pairs.compare()
        report.write(folder / "anew", found, pairs.flips())
    print(
        f"A new policy decided {rows:,} traces anew: {1 / decided[0].wall:,.0f}/s "
        f"({1 / decided[0].cpu:,.0f} in a second of CPU time). The comparison, with "
        f"{found.flipped:,} flips: {1 / decided[1].wall:,.0f}/s ({1 / decided[1].cpu:,.0f}).\n"
    )


def _repeated(earlier: Path, folder: Path, rows: int) -> None:
    """Make a run of so many traces of those of another; no two have the same scores."""
    folder.mkdir()
    table = pq.read_table(earlier / "part-00000.parquet")
    table = table.take(np.arange(PART_ROWS) % table.num_rows)
    (entry,) = Ledger.read(earlier).parts
    rng = np.random.default_rng(0)
    with (folder / PARTS).open("w", encoding="utf-8") as file:
        for number in range(rows // PART_ROWS):
            name = f"part-{number:05}.parquet"
            write_table(folder / name, _varied(table, number, rng))
            done = (number + 1) * PART_ROWS
            told = replace(entry, file=name, rows=PART_ROWS, records=done)
            file.write(json.dumps(asdict(told)) + "\n")
    (folder / MANIFEST).write_bytes((earlier / MANIFEST).read_bytes())


def _varied(table: pa.Table, number: int, rng: np.random.Generator) -> pa.Table:
    """The same rows as other traces, all of whose scores are a little lower."""
    factors = rng.uniform(0.99, 1.0, table.num_rows)
    new = {"trace_id": pa.array([f"{number}-{row}" for row in range(table.num_rows)])}
    for check in Check:
        for name in (check.value, f"{check.value}_peak"):
            new[name] = _lowered(table[name], factors)
    lists = table["steps"].combine_chunks()
    owner = np.repeat(np.arange(len(lists)), lists.value_lengths())
    steps = [
        _lowered(column, factors[owner]) if pa.types.is_floating(column.type) else column
        for column in lists.flatten().flatten()
    ]
    struct = pa.StructArray.from_arrays(steps, fields=list(lists.type.value_type))
    new["steps"] = pa.ListArray.from_arrays(lists.offsets, struct)
    return pa.table([new.get(name, table[name]) for name in SCHEMA.names], schema=SCHEMA)


def _lowered(column: pa.Array | pa.ChunkedArray, factors: np.ndarray) -> pa.Array:
    values = np.asarray(column.to_numpy(zero_copy_only=False)) * factors
    return pa.array(values, mask=np.isnan(values))
