"""Scores for notebooks and scripts: the road without a server."""

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from classifiers.port import Classifier
from classifiers.runtime import OnnxClassifier
from monitor.dialects.logs import read_logged
from monitor.engine import Engine
from monitor.policy_file import parse
from monitor.rows import flat
from monitor.rulebook import Rulebook
from monitor.types import Trace, Verdict

__all__ = ["score"]


def score(
    records: Iterable[Trace | Mapping[str, Any] | str],
    *,
    policy: str | Path | None = None,
    model: Path | None = None,
    classifier: Classifier | None = None,
) -> list[dict[str, Any]]:
    """Judge records and return a row per trace, in order: `pandas.DataFrame(score(records))`.

    A record is a `Trace`, plain text with `<think>…</think>`, or whatever `subtext rescore` reads:
    `{"prompt": …, "thinking": …, "answer": …}`, a saved reply, a log entry. The columns are those
    of `subtext rescore`: see docs/rescore.md. `policy` is a policy file; `model` is a model folder,
    or `classifier` one that is loaded already; by default what ships judges. Nothing is recorded.

    Works where an event loop runs already, as in a notebook. Raises ValueError for a record that
    cannot be read, PolicyError, ArtefactError, OSError.
    """
    traces = [trace for number, record in enumerate(records) for trace in _traces(number, record)]
    with ThreadPoolExecutor(1) as thread:
        judging = _judge(traces, None if policy is None else Path(policy), model, classifier)
        verdicts = thread.submit(asyncio.run, judging).result()
    return [flat(verdict, trace) for trace, verdict in zip(traces, verdicts, strict=True)]


def _traces(number: int, record: Trace | Mapping[str, Any] | str) -> Iterable[Trace]:
    if isinstance(record, Trace):
        return [record]
    logged = read_logged(dict(record) if isinstance(record, Mapping) else record)
    if logged.problems:
        raise ValueError(f"Record {number}: {logged.problems[0]}.")
    return logged.traces


async def _judge(
    traces: list[Trace], policy: Path | None, model: Path | None, given: Classifier | None
) -> list[Verdict]:
    classifier = given or OnnxClassifier.load(model)
    try:
        rules = _policy(policy, classifier)
        engine = Engine(classifier=classifier, policy=rules, record=_forget)
        return await asyncio.gather(*(engine.judge(trace) for trace in traces))
    finally:
        if given is None:
            await classifier.aclose()


def _policy(file: Path | None, classifier: Classifier) -> Rulebook:
    text = "" if file is None else file.read_text(encoding="utf-8")
    return parse(text, classifier.thresholds)


async def _forget(_verdict: Verdict, _trace: Trace) -> None:
    """Record nothing: the caller has the rows."""
