"""What is measured on one source and one check, and the simple rivals beside it."""

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline

from classifiers.port import Check, Thresholds
from classifiers.training.data import Record

Report = dict[str, Any]
#: Resamples behind a confidence interval.
RESAMPLES: Final = 300
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")


def report(
    labels: Sequence[int], values: Sequence[float], limits: Thresholds, rival: Sequence[float]
) -> Report:
    """Everything that can be said about one source and check.

    `values` are calibrated probabilities, `rival` the scores of the simple baseline.
    """
    y, p = np.asarray(labels), np.asarray(values)
    found: Report = {"positives": int(y.sum()), "negatives": int((1 - y).sum())}
    for label, group in (("negatives", p[y == 0]), ("positives", p[y == 1])):
        if len(group):
            found[f"{label}_flagged"] = _share(group, limits.flag)
            found[f"{label}_blocked"] = _share(group, limits.block)
    if 0 < y.sum() < len(y):
        found |= _ranking(y, p)
        found["baseline_auroc"] = _round(roc_auc_score(y, np.asarray(rival)))
    return found


def _ranking(y: "np.ndarray[Any, Any]", p: "np.ndarray[Any, Any]") -> Report:
    return {
        "auroc": _round(roc_auc_score(y, p)),
        "auroc_95": _interval(y, p),
        "average_precision": _round(average_precision_score(y, p)),
        "recall_at_1": _recall(y, p, 0.01),
        "recall_at_5": _recall(y, p, 0.05),
    }


def _interval(y: "np.ndarray[Any, Any]", p: "np.ndarray[Any, Any]") -> list[float]:
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(RESAMPLES):
        index = rng.integers(0, len(y), len(y))
        if 0 < y[index].sum() < len(y):
            draws.append(roc_auc_score(y[index], p[index]))
    return [_round(x) for x in np.quantile(draws, [0.025, 0.975])]


def _recall(y: "np.ndarray[Any, Any]", p: "np.ndarray[Any, Any]", rate: float) -> float:
    limit = np.quantile(p[y == 0], 1 - rate, method="higher")
    return _round((p[y == 1] > limit).mean())


def _share(p: "np.ndarray[Any, Any]", limit: float) -> float:
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
