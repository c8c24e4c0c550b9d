"""Probabilities and thresholds from groups of the training sources that no weight has seen."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.linear_model import LogisticRegression

from classifiers.artefact import Platt
from classifiers.port import Check, Thresholds
from classifiers.training.data import (
    PAIR_RECIPES,
    STEP_RECIPES,
    Record,
    held_out,
    load_sources,
    sample,
)
from classifiers.training.scores import Evidence, Logits, Scorer

#: Target false-positive rates of the recommended thresholds.
FLAG_RATE, BLOCK_RATE = 0.01, 0.002
#: Mismatch scores shift between kinds of text, so a rate that holds on one does not on another
#: (docs/experiments.md): it is flagged as rarely as others are blocked, and blocks nothing.
FLAG_RATES: Final = {Check.MISMATCH: BLOCK_RATE}
FLAG_ONLY: Final = frozenset({Check.MISMATCH})
#: No probability reaches it.
NEVER: Final = 1.0
#: At most so many held-out records of each class of a public source.
CAP: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The map to probability, the thresholds, and how much they rest on."""

    platt: Platt
    thresholds: Thresholds
    positives: int
    negatives: int


def held_out_records(data: Path, seed: int = 5) -> dict[Check, list[Record]]:
    """Labelled held-out records per check, public sources capped."""
    rng = random.Random(seed)  # noqa: S311 - a draw, not a secret
    found: dict[Check, list[Record]] = {}
    for check in Check:
        recipes = PAIR_RECIPES if check is Check.MISMATCH else STEP_RECIPES
        for name, records in load_sources(data, recipes).items():
            some = [r for r in records if held_out(r) and r.labels[check] is not None]
            cap = _cap(check, name, len(some))
            found.setdefault(check, []).extend(sample(some, check, cap, rng))
    return found


def _cap(check: Check, name: str, available: int) -> int:
    """Authored records all count; a long pair source no more than its weight in training."""
    if check is Check.MISMATCH and name in PAIR_RECIPES:
        return min(CAP, PAIR_RECIPES[name].cap // 2)
    return CAP if check is not Check.MISMATCH and name in STEP_RECIPES else available


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The held-out records of a group of checks and what was read of them, once."""

    checks: tuple[Check, ...]
    records: list[Record]
    evidence: list[Evidence]


def read_held_out(scorer: Scorer, data: Path) -> list[HeldOut]:
    """Run both encoders over the held-out records: the slow part."""
    records = held_out_records(data)
    found = []
    for checks in ((Check.DECEPTION, Check.DANGEROUS_REASONING), (Check.MISMATCH,)):
        once = list({r.id: r for check in checks for r in records[check]}.values())
        evidence = scorer.gather(once, checks)
        found.append(HeldOut(checks=checks, records=once, evidence=evidence))
    return found


def calibrate(scorer: Scorer, held_out: Sequence[HeldOut], data: Path) -> dict[Check, Calibration]:
    """Fit every check on the records that are held out for it."""
    logits = {
        (check, record.id): scorer.joined(item, (check,))
        for some in held_out
        for check in some.checks
        for record, item in zip(some.records, some.evidence, strict=True)
    }
    return {
        check: fit(check, some, [logits[check, r.id] for r in some])
        for check, some in held_out_records(data).items()
    }


def fit(check: Check, records: Sequence[Record], logits: Sequence[Logits]) -> Calibration:
    """Platt's map (classes weighted equally within it) and thresholds from the negatives."""
    scored = [
        (r.labels[check], s[check]) for r, s in zip(records, logits, strict=True) if check in s
    ]
    labels = np.asarray([label for label, _ in scored])
    values = np.asarray([value for _, value in scored], dtype=np.float64)
    platt = _platt(values, labels)
    negatives = _probability(platt, values[labels == 0])
    return Calibration(
        platt=platt,
        thresholds=_thresholds(check, negatives),
        positives=int((labels == 1).sum()),
        negatives=len(negatives),
    )


def _platt(values: "np.ndarray", labels: "np.ndarray") -> Platt:  # type: ignore[type-arg]
    if len(set(labels.tolist())) < 2:
        raise ValueError(
            "Calibration needs held-out records of both classes; add sources to train/."
        )
    model = LogisticRegression(C=10.0).fit(values[:, None], labels)
    a, b = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Platt(a=max(a, 0.05), b=b)


def _probability(platt: Platt, values: "np.ndarray") -> "np.ndarray":  # type: ignore[type-arg]
    return 1.0 / (1.0 + np.exp(-(platt.a * values + platt.b)))


def _thresholds(check: Check, negatives: "np.ndarray") -> Thresholds:  # type: ignore[type-arg]
    rate = FLAG_RATES.get(check, FLAG_RATE)
    flag = min(float(np.quantile(negatives, 1 - rate, method="higher")), 0.999)
    block = float(np.quantile(negatives, 1 - BLOCK_RATE, method="higher"))
    block = NEVER if check in FLAG_ONLY else min(max(block, flag), 0.9999)
    return Thresholds(flag=round(flag, 4), block=round(block, 4))
