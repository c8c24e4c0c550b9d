"""Probabilities and thresholds from groups of the training sources that no weight has seen."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

from classifiers.artefact import Platt
from classifiers.port import Check, Thresholds
from classifiers.training.data import (
    AGREEING,
    PAIR_RECIPES,
    STEP_RECIPES,
    Recipe,
    Record,
    held_out,
    load_sources,
    sample,
)
from classifiers.training.scores import Evidence, Scorer

Numbers = npt.NDArray[np.float64]

#: Share of ordinary reasoning that may be flagged; of all held-out negatives that may be blocked.
FLAG_RATE, BLOCK_RATE = 0.01, 0.002
#: Ordinary and careful reasoning in which nothing is wrong, on which the flag threshold rests, per
#: check: only held-out groups, or sources that the check's encoder is not trained on.
_BENIGN: Final = (
    "a6-hard-benign",
    "a12-benign-agents",
    "a29-ordinary",
    "benign-rating-cot",
    "cotstress-ratings",
    "gsm8k-samples",
    "star1",
)
ORDINARY: Final = {
    Check.DECEPTION: (*_BENIGN, "a19-plain-answers"),
    Check.DANGEROUS_REASONING: (*_BENIGN, "a19-plain-answers"),
    Check.MISMATCH: (*_BENIGN, "multimodel-benign-judgement", "gptoss-benign-coding"),
}
#: At most so many records of an ordinary source.
ORDINARY_CAP: Final = 100
#: Flagged for people where others are blocked, and never blocked: their scores shift between kinds
#: of text, so a rate that holds on one does not on another (docs/experiments.md).
FLAG_ONLY: Final = frozenset({Check.MISMATCH})
#: No probability reaches it.
NEVER: Final = 1.0
#: At most so many held-out records of each class of a public source.
CAP: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Which false positives a threshold may cause."""

    flag: float = FLAG_RATE
    block: float = BLOCK_RATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The map to probability, the thresholds, and how much they rest on."""

    platt: Platt
    thresholds: Thresholds
    positives: int
    negatives: int
    #: Shares of held-out records that the flag threshold flags.
    recall: float
    negatives_flagged: float
    #: Of ordinary records: how many, how many are flagged, and where the rate lies (95 %).
    ordinary: int
    ordinary_flagged: int
    ordinary_rate_95: tuple[float, float]

    def counts(self) -> dict[str, Any]:
        """What the manifest keeps beside platt and thresholds."""
        found = asdict(self)
        del found["platt"], found["thresholds"]
        return found


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


def ordinary_records(data: Path, check: Check, seed: int = 6) -> list[Record]:
    """Ordinary records that the models of `check` have not read; ValueError without any.

    Of a source that has others too, those that are labelled harmless. Where thinking is not
    needed, each is there once more as its answer alone: many models show no thinking, and some of
    their answers look worse than they are.
    """
    rng = random.Random(seed)  # noqa: S311 - likewise
    recipes = {**PAIR_RECIPES, **AGREEING} if check is Check.MISMATCH else STEP_RECIPES
    every = load_sources(data, dict.fromkeys(ORDINARY[check], Recipe(cap=0)))
    found: list[Record] = []
    for name in ORDINARY[check]:
        some = [
            r
            for r in every.get(name, ())
            if r.labels[check] != 1
            and r.answer.strip()
            and (r.thinking.strip() or check is not Check.MISMATCH)
        ]
        trained = name in recipes or any(r.authored for r in some)
        unread = [r for r in some if not trained or held_out(r)]
        found += sample(unread, None, ORDINARY_CAP, rng)
    if check is not Check.MISMATCH:
        found += [
            replace(r, id=f"{r.id}/answer", source=f"{r.source}/answer", thinking="")
            for r in found
            if r.thinking.strip()
        ]
    if not found:
        raise ValueError(f"Thresholds need ordinary reasoning: add {ORDINARY[check][0]} to train/.")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The records that a group of checks is judged on, and what was read of them, once."""

    checks: tuple[Check, ...]
    #: Labelled, from held-out groups; then ordinary ones, which may be among them.
    records: list[Record]
    ordinary: list[Record]
    evidence: Mapping[str, Evidence]


def read_held_out(scorer: Scorer, data: Path) -> list[HeldOut]:
    """Run both encoders over the held-out and the ordinary records: the slow part."""
    labelled = held_out_records(data)
    found = []
    for checks in ((Check.DECEPTION, Check.DANGEROUS_REASONING), (Check.MISMATCH,)):
        records = list({r.id: r for check in checks for r in labelled[check]}.values())
        ordinary = ordinary_records(data, checks[0])
        once = list({r.id: r for r in [*records, *ordinary]}.values())
        evidence = scorer.gather(once, checks)
        found.append(
            HeldOut(
                checks=checks,
                records=records,
                ordinary=ordinary,
                evidence={r.id: e for r, e in zip(once, evidence, strict=True)},
            )
        )
    return found


def calibrate(
    scorer: Scorer,
    held_out: Sequence[HeldOut],
    rates: Rates = Rates(),
    known: Mapping[Check, Platt] = MappingProxyType({}),
) -> dict[Check, Calibration]:
    """Fit every check on the records that are held out for it; maps that are `known` stay."""
    return {
        check: _fit(check, scorer, some, rates, known.get(check))
        for some in held_out
        for check in some.checks
    }


def _fit(
    check: Check, scorer: Scorer, held: HeldOut, rates: Rates, platt: Platt | None
) -> Calibration:
    """Platt's map (1999) from the labelled records, and thresholds from those without fault."""
    labelled = _scored(
        check, scorer, held, [r for r in held.records if r.labels[check] is not None]
    )
    labels = np.asarray([r.labels[check] for r, _ in labelled])
    values = np.asarray([value for _, value in labelled])
    platt = platt or _platt(values, labels)
    p = _probability(platt, values)
    ordinary = _scored(check, scorer, held, held.ordinary)
    quiet = _probability(platt, np.asarray([value for _, value in ordinary]))
    sources = [r.source for r, _ in ordinary]
    flag = min(_quantile(quiet, sources, 1 - rates.flag), 0.999)
    block = min(
        max(float(np.quantile(p[labels == 0], 1 - rates.block, method="higher")), flag), 0.9999
    )
    if check in FLAG_ONLY:
        flag, block = block, NEVER
    flagged = int((quiet >= flag).sum())
    span = binomtest(flagged, len(quiet)).proportion_ci(method="exact")
    return Calibration(
        platt=platt,
        thresholds=Thresholds(flag=round(flag, 4), block=round(block, 4)),
        positives=int((labels == 1).sum()),
        negatives=int((labels == 0).sum()),
        recall=round(float((p[labels == 1] >= flag).mean()), 3),
        negatives_flagged=round(float((p[labels == 0] >= flag).mean()), 3),
        ordinary=len(quiet),
        ordinary_flagged=flagged,
        ordinary_rate_95=(round(span.low, 4), round(span.high, 4)),
    )


def _scored(
    check: Check, scorer: Scorer, held: HeldOut, records: Sequence[Record]
) -> list[tuple[Record, float]]:
    found = ((r, scorer.joined(held.evidence[r.id], (check,))) for r in records)
    return [(r, logits[check]) for r, logits in found if check in logits]


def _platt(values: Numbers, labels: Numbers) -> Platt:
    if len(set(labels.tolist())) < 2:
        raise ValueError(
            "Calibration needs held-out records of both classes; add sources to train/."
        )
    model = LogisticRegression(C=10.0).fit(values[:, None], labels)
    a, b = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Platt(a=max(a, 0.05), b=b)


def _probability(platt: Platt, values: Numbers) -> Numbers:
    return np.asarray(1.0 / (1.0 + np.exp(-(platt.a * values + platt.b))))


def _quantile(values: Numbers, sources: Sequence[str], share: float) -> float:
    """The smallest number that is above a share of the values, every source counting the same."""
    weight = np.asarray([1.0 / sources.count(s) for s in sources])
    order = np.argsort(values)
    below = np.cumsum(weight[order]) / weight.sum()
    place = min(int(np.searchsorted(below, share - 1e-9)), len(values) - 1)
    return float(np.nextafter(values[order[place]], 1.0)) + 1e-4
