"""What `subtext rescore` is made of, without a terminal."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from classifiers.batcher import UNLIMITED
from classifiers.runtime import OnnxClassifier
from monitor.clock import utc_now
from monitor.dialects.logs import FieldMap
from monitor.engine import Engine
from monitor.rulebook import Rulebook, to_toml
from monitor.types import Trace
from stream.rescore.inputs import find_inputs, without_password
from stream.rescore.ledger import Ledger, Plan, holding, new_run
from stream.rescore.run import Job, bulk_engine, tokens_of
from stream.rescore.selection import Selection, parse_share, parse_where

__all__ = ["Estimate", "actor_engine", "estimate", "job", "ledger"]

#: Traces that are judged to learn how fast this machine is, and code points of them at most.
MEASURED, MEASURED_CHARACTERS = 48, 400_000


def job(  # noqa: PLR0913 -- what a user can say
    inputs: Sequence[str],
    *,
    fields: Sequence[str] = (),
    where: Sequence[str] = (),
    sample: str = "100%",
    seed: int = 0,
    part_rows: int = 1000,
    out: Path | None = None,
) -> Job:
    """Read what a user asked for; `out` may hold a run that was begun.

    Raises RescoreError, MapError or StoreError when it cannot be done.
    """
    begun = None if out is None else Ledger.read(out)
    return Job(
        inputs=find_inputs(inputs, begun.plan.inputs if begun else ()),
        fields=FieldMap.parse(fields),
        selection=Selection(where=parse_where(where), share=parse_share(sample), seed=seed),
        part_rows=part_rows,
    )


def actor_engine(model: Path | None, rules: Rulebook, threads: int) -> Engine:
    """The engine of an actor in a cluster; raises ArtefactError when the model is not there."""
    classifier = OnnxClassifier.load(model, threads=threads, queue_tokens=UNLIMITED)
    return bulk_engine(classifier, rules)


def plan(job: Job, engine: Engine, record: str | None = None) -> Plan:
    """What this run does, for its manifest; `record` is the store that keeps its verdicts."""
    versions = engine.versions(engine.policy.top)
    paths = job.fields.paths if job.fields else {}
    return Plan(
        versions={name: getattr(versions, name) for name in ("subtext", "model", "calibration")},
        policy=to_toml(engine.policy),
        inputs=[i.fingerprint() for i in job.inputs],
        options={
            **job.selection.described(),
            "map": {name: list(path) for name, path in paths.items()},
            "part_rows": job.part_rows,
            "record": record and without_password(record),
        },
    )


@contextmanager
def ledger(
    job: Job, engine: Engine, folder: Path, *, run: str = "", record: str | None = None
) -> Iterator[Ledger]:
    """Begin the run of a folder, or go on with it; nobody else can meanwhile."""
    with holding(folder):
        what = plan(job, engine, record)
        yield Ledger.open(folder, what, run=run or new_run(), now=utc_now())


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run would judge, and what that takes on this machine."""

    traces: int
    characters: int
    bad: int
    #: From the tokens of the traces that were measured.
    tokens: int
    tokens_per_second: float

    @property
    def seconds(self) -> float:
        """How long all of it takes."""
        return self.tokens / self.tokens_per_second if self.tokens_per_second else 0.0


async def estimate(job: Job, engine: Engine) -> Estimate:
    """Read everything, judge a few traces that were drawn at random, and extrapolate."""
    traces = characters = bad = 0
    drawn: list[Trace] = []
    rng = random.Random(job.selection.seed)  # noqa: S311 -- a sample, not a secret
    for _, item, chosen in job.wanted():
        bad += len(item.logged.problems)
        for trace in chosen:
            traces += 1
            characters += _characters(trace)
            _draw(drawn, trace, traces, rng)
    measured = await _measure(engine, drawn)
    share = characters / max(1, measured.characters)
    return Estimate(
        traces=traces,
        characters=characters,
        bad=bad,
        tokens=round(measured.tokens * share),
        tokens_per_second=measured.tokens / measured.seconds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    characters: int
    tokens: int
    seconds: float


def _draw(drawn: list[Trace], trace: Trace, count: int, rng: random.Random) -> None:
    """Keep a uniform sample of all traces so far (reservoir sampling)."""
    if len(drawn) < MEASURED:
        drawn.append(trace)
    elif (place := rng.randrange(count)) < MEASURED:
        drawn[place] = trace


async def _measure(engine: Engine, drawn: Sequence[Trace]) -> _Measured:
    some: list[Trace] = []
    for trace in drawn:
        if not some or sum(map(_characters, (*some, trace))) <= MEASURED_CHARACTERS:
            some.append(trace)
    if some:
        await engine.judge(some[0])  # the first one warms up
    before, began = tokens_of(engine.classifier), time.perf_counter()
    await asyncio.gather(*(engine.judge(trace) for trace in some))
    return _Measured(
        characters=sum(map(_characters, some)),
        tokens=tokens_of(engine.classifier) - before,
        seconds=max(1e-9, time.perf_counter() - began),
    )


def _characters(trace: Trace) -> int:
    return sum(len(part.text) for part in trace.parts)
