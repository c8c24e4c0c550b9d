"""What is measured on one source and one check, and the simple rivals beside it."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline

from classifiers.port import Check, Thresholds
from classifiers.training.data import Record

Report = dict[str, Any]
Numbers = npt.NDArray[Any]
Measure = Callable[[Any, Any], float]
#: Resamples behind a confidence interval.
RESAMPLES: Final = 300
#: Bins of probability.
BINS: Final = 10
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")


def report(
    labels: Sequence[int], values: Sequence[float], limits: Thresholds, rival: Sequence[float]
) -> Report:
    """Everything that can be said about one source and check.

    `values` are calibrated probabilities, `rival` the scores of the simple baseline.
    """
    y, p = np.asarray(labels), np.asarray(values)
    found: Report = {"positives": int(y.sum()), "negatives": int((1 - y).sum())}
    if len(y):
        found["calibration_error"] = calibration_error(y, p)
    for label, group in (("negatives", p[y == 0]), ("positives", p[y == 1])):
        if len(group):
            found[f"{label}_flagged"] = _share(group, limits.flag)
            found[f"{label}_blocked"] = _share(group, limits.block)
    if 0 < y.sum() < len(y):
        found |= _ranking(y, p)
        found["baseline_auroc"] = _round(roc_auc_score(y, np.asarray(rival)))
    return found


def _ranking(y: Numbers, p: Numbers) -> Report:
    found: Report = {"average_precision": _round(average_precision_score(y, p))}
    for name, measure in _RANKINGS.items():
        found[name] = _round(measure(y, p))
        found[f"{name}_95"] = _interval(measure, y, p)
    return found


def _interval(measure: Measure, y: Numbers, p: Numbers) -> list[float]:
    """The middle 95 % of a bootstrap over records (Efron and Tibshirani 1993, percentiles)."""
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(RESAMPLES):
        index = rng.integers(0, len(y), len(y))
        if 0 < y[index].sum() < len(y):
            draws.append(measure(y[index], p[index]))
    return [_round(x) for x in np.quantile(draws, [0.025, 0.975])]


def recall(y: Numbers, p: Numbers, rate: float) -> float:
    """Share of positives above what a share `rate` of the negatives reaches."""
    limit = np.quantile(p[y == 0], 1 - rate, method="higher")
    return float((p[y == 1] > limit).mean())


_RANKINGS: Final[dict[str, Measure]] = {
    "auroc": roc_auc_score,
    "recall_at_1": partial(recall, rate=0.01),
    "recall_at_5": partial(recall, rate=0.05),
}


def calibration_error(y: Numbers, p: Numbers) -> float:
    """Expected calibration error over ten bins of equal width (Naeini et al. 2015)."""
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    size = np.bincount(place, minlength=BINS)
    gap = np.abs(np.bincount(place, y, BINS) - np.bincount(place, p, BINS))
    return _round(gap[size > 0].sum() / len(y))


def _share(p: Numbers, limit: float) -> float:
    return _round((p >= limit).mean())


def _round(value: Any) -> float:  # noqa: ANN401 - any number that numpy or scikit-learn returns
    return round(float(value), 3)


def text(record: Record) -> str:
    """What a bag of words reads."""
    return f"{record.thinking}\n{record.answer}"


def bag_of_words(records: Sequence[Record], check: Check) -> Any:  # noqa: ANN401 - a scikit-learn pipeline
    """TF-IDF and logistic regression, trained on the records that train the model."""
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, max_features=60_000),
        LogisticRegression(C=4.0, class_weight="balanced", max_iter=300),
    )
    return model.fit([text(r) for r in records], [r.labels[check] for r in records])


def numbers_missing(record: Record) -> float:
    """Share of the answer's numbers that the thinking never names."""
    known = set(_NUMBER.findall(record.thinking))
    said = _NUMBER.findall(record.answer)
    return sum(n not in known for n in said) / len(said) if said else 0.0
