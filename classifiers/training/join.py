"""Join what encoders, words and exact comparisons say: few numbers, fitted on held-out groups."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from classifiers.lexical import CHECKS
from classifiers.port import Check, Role
from classifiers.relation import NAMES
from classifiers.training.data import RELATION_SETS, Recipe, Record, load_sources, sample
from classifiers.training.scores import Evidence

#: Public sources like `RELATION_SETS`, and what all records of one weigh beside an authored set.
RELATION_PUBLIC: Final = {
    "cotstress-ratings.swapped": 0.3,
    "gsm8k-samples": 0.15,
    "gsm8k-samples.swapped": 0.15,
    "summedits": 0.3,
}
PUBLIC_CAP: Final = 250
#: What a public record weighs beside an authored one.
PUBLIC_WEIGHT: Final = 0.65
#: Weight of the positives' class beside the negatives'.
POSITIVES: Final = 0.7
_START: Final = (0.6, -1.5, 0.6, 0.8, -0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """Which way the exact comparisons point: a linear score of the standardised comparisons."""

    mean: "np.ndarray[Any, Any]"
    weights: "np.ndarray[Any, Any]"


def relation_records(folder: Path, rng: Any) -> list[Record]:  # noqa: ANN401 - a random.Random
    """Records whose label only the relation of thinking and answer gives."""
    found = load_sources(folder, {name: Recipe(cap=PUBLIC_CAP) for name in RELATION_PUBLIC})
    chosen: list[Record] = []
    for name, records in found.items():
        usable = [r for r in records if r.thinking.strip() and r.answer.strip()]
        if name in RELATION_SETS:
            chosen += usable
        elif name in RELATION_PUBLIC:
            chosen += sample(usable, Check.MISMATCH, PUBLIC_CAP, rng)
    return chosen


def direction(records: Sequence[Record], relations: Sequence["np.ndarray[Any, Any]"]) -> Direction:
    """Learn it from whole answers; every source counts by its weight, however large it is."""
    x = np.stack([some[-1] for some in relations])
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    sources = [r.source for r in records]
    shares = {**dict.fromkeys(RELATION_SETS, 1.0), **RELATION_PUBLIC}
    weight = [shares[s] * 120 / sources.count(s) for s in sources]
    model = LogisticRegression(C=0.01, max_iter=500)
    model.fit((x - mean) / spread, [r.labels[Check.MISMATCH] for r in records], weight)
    return Direction(mean=mean, weights=model.coef_[0] / spread)


def mismatch(
    records: Sequence[Record], evidence: Sequence[Evidence], told: Direction
) -> dict[str, "np.ndarray[Any, Any]"]:
    """`mismatch_mean`, `mismatch_w`, `mismatch_b` of `head.WEIGHTS`."""
    pairs = [(r, e) for r, e in zip(records, evidence, strict=True) if e.pairs is not None]
    size = 1 + len(CHECKS)
    views = [_highest(e.pairs, size, told) for _, e in pairs if e.pairs is not None]
    labels = [r.labels[Check.MISMATCH] for r, _ in pairs]
    use = [0, 1 + CHECKS.index(Check.DECEPTION), 1 + CHECKS.index(Check.MISMATCH), size]
    x = np.stack(views)[:, use]
    model = LogisticRegression(C=1.0)
    model.fit(x, labels, [1.0 if r.authored else PUBLIC_WEIGHT for r, _ in pairs])
    weights = np.zeros(size + len(NAMES))
    weights[use[:-1]] = model.coef_[0][:-1]
    weights[size:] = model.coef_[0][-1] * told.weights
    mean = np.concatenate([[0.0], x_mean(views, size), told.mean])
    bias = float(model.intercept_[0] + weights[1:size] @ mean[1:size])
    return _float32(mismatch_mean=mean, mismatch_w=weights, mismatch_b=np.asarray(bias))


def x_mean(views: Sequence["np.ndarray[Any, Any]"], size: int) -> "np.ndarray[Any, Any]":
    """The mean scores of the words."""
    return np.asarray(np.stack(views)[:, 1:size].mean(axis=0))


def _highest(rows: "np.ndarray[Any, Any]", size: int, told: Direction) -> "np.ndarray[Any, Any]":
    """Each number's highest value over the steps of an answer; the comparisons as one number."""
    relation = (rows[:, size:] - told.mean) @ told.weights
    return np.asarray([*rows[:, :size].max(axis=0), relation.max()])


def mix(
    records: Sequence[Record], evidence: Sequence[Evidence]
) -> dict[str, "np.ndarray[Any, Any]"]:
    """`mix` of `head.WEIGHTS`: a row a check of the head."""
    rows = []
    for column, check in enumerate((Check.DECEPTION, Check.DANGEROUS_REASONING)):
        known = [
            (r, e)
            for r, e in zip(records, evidence, strict=True)
            if r.labels[check] is not None and e.roles
        ]
        parts = [_parts(e, column, CHECKS.index(check)) for _, e in known]
        labels = np.asarray([r.labels[check] for r, _ in known])
        weight = np.asarray([1.0 if r.authored else PUBLIC_WEIGHT for r, _ in known])
        weight = weight * np.where(labels == 1, POSITIVES * (labels == 0).mean() / labels.mean(), 1)
        rows.append(_fit(_loss(parts, labels, weight)))
    return _float32(mix=np.stack(rows))


def _parts(evidence: Evidence, column: int, word_column: int) -> tuple[Any, Any, Any]:
    """The GRU's logits in thinking and answer, and the words' scores in the answer."""
    thinking = np.asarray([role is Role.THINKING for role in evidence.roles])
    gru, told = evidence.gru[:, column], evidence.words[:, word_column]
    return gru[thinking], gru[~thinking], told[~thinking]


def _loss(
    parts: Sequence[tuple[Any, Any, Any]],
    labels: "np.ndarray[Any, Any]",
    weight: "np.ndarray[Any, Any]",
) -> Callable[["np.ndarray[Any, Any]"], float]:
    """Log loss of the highest joined score of each trace, with a small pull to zero."""

    def loss(row: "np.ndarray[Any, Any]") -> float:
        a, b, c, d, e = row
        scores = np.asarray(
            [
                max((a * t + b).max(initial=-30), (c * g + d * w + e).max(initial=-30))
                for t, g, w in parts
            ]
        )
        wrong = np.logaddexp(0, -(2 * labels - 1) * scores)
        return float((weight * wrong).mean() + 1e-3 * (row**2).sum())

    return loss


def _fit(loss: Callable[["np.ndarray[Any, Any]"], float]) -> "np.ndarray[Any, Any]":
    found = minimize(loss, np.asarray(_START), method="Nelder-Mead", options={"maxiter": 400}).x
    return np.asarray(found)


def _float32(**arrays: "np.ndarray[Any, Any]") -> dict[str, "np.ndarray[Any, Any]"]:
    return {name: value.astype(np.float32) for name, value in arrays.items()}
