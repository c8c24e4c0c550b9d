"""Score whole records with exported files, as serving does: same windows, head and maximum."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from tqdm import tqdm

from classifiers.artefact import HEAD, PAIR_MODEL, STEP_MODEL, TOKENISER, Artefact, Platt
from classifiers.batcher import CPU_BATCH_TOKENS
from classifiers.head import TraceHead, Weights, read_arrays, sigmoid
from classifiers.lexical import CHECKS, Reading, scores, sum_up
from classifiers.port import Check, Role, Vector
from classifiers.runtime import worst
from classifiers.sessions import PairRunner, StepRunner, available_cpus, open_session
from classifiers.tokenise import Tokeniser, Window
from classifiers.training import pairs, steps
from classifiers.training.data import Record
from classifiers.training.steps import StepTrace

Result = TypeVar("Result")
#: The logit of each check; a check is missing when it reads nothing of the record.
Logits = dict[Check, float]
_RAW: Final = Platt(a=1.0, b=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a record before it is joined to a score; rows follow the steps."""

    #: Roles of the steps of thinking and answer.
    roles: tuple[Role, ...]
    #: The GRU's logits, shape (steps, checks of the head); empty unless asked for.
    gru: "np.ndarray[Any, Any]"
    #: The words' scores of every check, shape (steps, CHECKS).
    words: "np.ndarray[Any, Any]"
    #: A row a step of the answer: pair logit, words' scores, exact comparisons; None without any.
    pairs: "np.ndarray[Any, Any] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """An exported folder, without its calibration."""

    tokeniser: Tokeniser
    steps: StepRunner
    pairs: PairRunner
    head: Weights

    @classmethod
    def open(cls, folder: Path, head: Mapping[str, Any] | None = None) -> "Scorer":
        """Read the files; the manifest is not needed (it is written from these scores).

        `head` replaces the arrays of the head file.
        """
        return cls(
            tokeniser=Tokeniser(folder / TOKENISER),
            steps=StepRunner(open_session(folder / STEP_MODEL, 1, None)),
            pairs=PairRunner(open_session(folder / PAIR_MODEL, 1, None)),
            head=Weights(arrays=head or read_arrays(folder / HEAD), calibration=(_RAW, _RAW)),
        )

    def score(self, records: Sequence[Record], checks: Sequence[Check]) -> list[Logits]:
        """The highest logit of each record's steps, for each of `checks`."""
        return [self.joined(item, checks) for item in self.gather(records, checks)]

    def joined(self, item: Evidence, checks: Sequence[Check]) -> Logits:
        """The highest logit of each of `checks`."""
        found: Logits = {}
        if item.roles and len(item.gru):
            joined = self.running(item)
            found |= {c: float(x) for c, x in zip(steps.CHECKS, joined.max(axis=0), strict=True)}
        if item.pairs is not None:
            w = self.head.arrays
            rows = (item.pairs - w["mismatch_mean"]) @ w["mismatch_w"] + w["mismatch_b"]
            found[Check.MISMATCH] = float(rows.max())
        return {check: value for check, value in found.items() if check in checks}

    def running(self, item: Evidence) -> "np.ndarray[Any, Any]":
        """The head's logits of a record read so far, shape (steps, checks of the head)."""
        told = item.words[:, [CHECKS.index(check) for check in steps.CHECKS]]
        return np.stack(
            [
                self.head.join(role, gru, words)
                for role, gru, words in zip(item.roles, item.gru, told, strict=True)
            ]
        )

    def gather(self, records: Sequence[Record], checks: Sequence[Check]) -> list[Evidence]:
        """Read every record once with what `checks` need."""
        traces = [steps.cut(record, self.tokeniser) for record in records]
        vectors: Iterator[Vector] | None = None
        if set(checks) & set(steps.CHECKS):
            vectors = iter(run(self.steps, [w for t in traces for s in t.windows for w in s]))
        asked = self._asked(traces) if Check.MISMATCH in checks else [[] for _ in traces]
        logits = iter(
            run(self.pairs, [w for some in asked for windows, _ in some for w in windows])
        )
        return [
            Evidence(
                roles=tuple(r for r in trace.roles if r is not Role.PROMPT),
                gru=self._walk(trace, vectors) if vectors else np.zeros((0, len(steps.CHECKS))),
                words=self._words(trace),
                pairs=_rows(some, logits) if some else None,
            )
            for trace, some in zip(traces, asked, strict=True)
        ]

    def _asked(self, traces: Sequence[StepTrace]) -> list[list[tuple[list[Window], Any]]]:
        table = self.head.arrays["lexicon"]
        return [
            [
                (self.tokeniser.pair(pair), pair.context)
                for pair in pairs.pairs(
                    trace.record, lambda t: sum_up(table, self.tokeniser.ids(t))
                )
            ]
            for trace in traces
        ]

    def _words(self, trace: StepTrace) -> "np.ndarray[Any, Any]":
        reading, table = Reading(), self.head.arrays["lexicon"]
        found = [
            reading.read(role, sum_up(table, [i for w in windows for i in w.ids[1:-1]]))
            for role, windows in zip(trace.roles, trace.windows, strict=True)
            if role is not Role.PROMPT
        ]
        return np.asarray(found).reshape(-1, len(CHECKS))

    def _walk(self, trace: StepTrace, vectors: Iterator[Vector]) -> "np.ndarray[Any, Any]":
        head, found = TraceHead(self.head), []
        for role, windows in zip(trace.roles, trace.windows, strict=True):
            parts, weights = [next(vectors) for _ in windows], [len(w.ids) for w in windows]
            vector = np.average(np.stack(parts), axis=0, weights=weights).astype(np.float32)
            logits = head.gru(role, vector)
            if role is not Role.PROMPT:
                found.append(logits)
        return np.asarray(found).reshape(-1, len(steps.CHECKS))


def probability(loaded: Artefact, logits: Logits, check: Check) -> float:
    """The calibrated probability of a check, from its logit."""
    platt = loaded.calibration[check]
    return sigmoid(platt.a * logits[check] + platt.b)


def _rows(
    asked: Sequence[tuple[list[Window], Any]], logits: Iterator[float]
) -> "np.ndarray[Any, Any]":
    return np.asarray(
        [
            [
                worst(windows, [next(logits) for _ in windows]),
                *scores(context.words),
                *context.relation,
            ]
            for windows, context in asked
        ]
    )


def run(
    runner: Callable[[Sequence[Window]], Sequence[Result]], windows: Sequence[Window]
) -> list[Result]:
    """Run windows in batches of similar length, one a CPU; results in the given order."""
    order = sorted(range(len(windows)), key=lambda i: len(windows[i].ids))
    batches = list(_batches(order, windows))
    results: dict[int, Result] = {}
    with (
        tqdm(total=len(order), desc="score", mininterval=5) as bar,
        ThreadPoolExecutor(available_cpus()) as pool,
    ):
        found = pool.map(lambda batch: runner([windows[i] for i in batch]), batches)
        for batch, some in zip(batches, found, strict=True):
            results.update(zip(batch, some, strict=True))
            bar.update(len(batch))
    return [results[i] for i in range(len(windows))]


def _batches(order: Sequence[int], windows: Sequence[Window]) -> Iterator[Sequence[int]]:
    """Cut what is ordered by length into batches of at most `CPU_BATCH_TOKENS` with padding."""
    start = 0
    for end, i in enumerate(order):
        if end > start and (end - start + 1) * len(windows[i].ids) > CPU_BATCH_TOKENS:
            yield order[start:end]
            start = end
    if order:
        yield order[start:]
