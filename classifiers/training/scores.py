"""Score whole records with exported files, as serving does: same windows, head and maximum."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from tqdm import tqdm

from classifiers.artefact import HEAD, PAIR_MODEL, STEP_MODEL, TOKENISER, Platt
from classifiers.head import TraceHead, Weights, read_arrays
from classifiers.port import Check, Role, Vector
from classifiers.sessions import PairRunner, StepRunner, open_session
from classifiers.tokenise import Tokeniser, Window
from classifiers.training import pairs, steps
from classifiers.training.data import Record
from classifiers.training.steps import StepTrace

Result = TypeVar("Result")
#: The logit of each check; a check is missing when it reads nothing of the record.
Logits = dict[Check, float]
_BATCH_TOKENS: Final = 4096
_RAW: Final = Platt(a=1.0, b=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """An exported folder, without its calibration."""

    tokeniser: Tokeniser
    steps: StepRunner
    pairs: PairRunner
    head: Weights

    @classmethod
    def open(cls, folder: Path, threads: int = 2) -> "Scorer":
        """Read the files; the manifest is not needed (it is written from these scores)."""
        return cls(
            tokeniser=Tokeniser(folder / TOKENISER),
            steps=StepRunner(open_session(folder / STEP_MODEL, threads, None)),
            pairs=PairRunner(open_session(folder / PAIR_MODEL, threads, None)),
            head=Weights(arrays=read_arrays(folder / HEAD), calibration=(_RAW, _RAW)),
        )

    def score(self, records: Sequence[Record], checks: Sequence[Check]) -> list[Logits]:
        """The highest logit of each record's steps, for each of `checks`."""
        found: list[Logits] = [{} for _ in records]
        if set(checks) & set(steps.CHECKS):
            self._read_steps(records, found)
        if Check.MISMATCH in checks:
            self._read_pairs(records, found)
        return found

    def _read_steps(self, records: Sequence[Record], found: list[Logits]) -> None:
        traces = [steps.cut(record, self.tokeniser) for record in records]
        vectors = iter(run(self.steps, [w for t in traces for s in t.windows for w in s]))
        for trace, logits in zip(traces, found, strict=True):
            logits.update(self._walk(trace, [[next(vectors) for _ in s] for s in trace.windows]))

    def _walk(self, trace: StepTrace, parts: Sequence[Sequence[Vector]]) -> Logits:
        head, highest = TraceHead(self.head), dict[Check, float]()
        for role, windows, vectors in zip(trace.roles, trace.windows, parts, strict=True):
            weights = [len(w.ids) for w in windows]
            vector = np.average(np.stack(vectors), axis=0, weights=weights).astype(np.float32)
            logits = head.logits(role, vector)
            if role is not Role.PROMPT:
                for check, logit in zip(steps.CHECKS, logits, strict=True):
                    highest[check] = max(highest.get(check, -np.inf), float(logit))
        return highest

    def _read_pairs(self, records: Sequence[Record], found: list[Logits]) -> None:
        asked = [[self.tokeniser.pair(p) for p in pairs.pairs(record)] for record in records]
        logits = iter(run(self.pairs, [w for some in asked for p in some for w in p]))
        for some, target in zip(asked, found, strict=True):
            highest = [worst(windows, [next(logits) for _ in windows]) for windows in some]
            if highest:
                target[Check.MISMATCH] = max(highest)


def worst(windows: Sequence[Window], logits: Sequence[float]) -> float:
    """A pair's logit: mean over premise windows, then the worst part of the claim."""
    parts: dict[int, list[float]] = {}
    for window, logit in zip(windows, logits, strict=True):
        parts.setdefault(window.part, []).append(logit)
    return max(sum(some) / len(some) for some in parts.values())


def run(
    runner: Callable[[Sequence[Window]], Sequence[Result]], windows: Sequence[Window]
) -> list[Result]:
    """Run windows in batches of similar length; results in the given order."""
    order = sorted(range(len(windows)), key=lambda i: len(windows[i].ids))
    results: dict[int, Result] = {}
    with tqdm(total=len(order), desc="score", mininterval=5) as bar:
        while len(results) < len(order):
            left = order[len(results) :]
            batch = _prefix(left, [len(windows[i].ids) for i in left])
            results.update(zip(batch, runner([windows[i] for i in batch]), strict=True))
            bar.update(len(batch))
    return [results[i] for i in range(len(windows))]


def _prefix(order: Sequence[int], lengths: Sequence[int]) -> Sequence[int]:
    count = 1
    while count < len(order) and (count + 1) * lengths[count] <= _BATCH_TOKENS:
        count += 1
    return order[:count]
