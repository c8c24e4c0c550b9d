"""Measure an artefact on sources that it never saw, and write what came out into its manifest."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from classifiers import artefact
from classifiers.port import Check, Thresholds
from classifiers.training import findings
from classifiers.training.data import (
    PAIR_RECIPES,
    STEP_RECIPES,
    Record,
    held_out,
    load,
    load_sources,
    sample,
)
from classifiers.training.disguise import recalls
from classifiers.training.findings import Scored
from classifiers.training.manifest import save
from classifiers.training.metrics import Report, bag_of_words, numbers_missing, text
from classifiers.training.scores import Scorer, probability
from classifiers.training.timeliness import timeliness

#: Records of each class that are measured on a source.
LIMIT: Final = 100
#: Elicited wording that gives the label of one source away.
_ELICITED: Final = re.compile(r"\b(?:un|mis)?-?aligned (?:AI|model|assistant)\b", re.IGNORECASE)


def evaluate(
    folder: Path,
    data: Path,
    out: Path,
    limit: int = LIMIT,
    checks: Sequence[Check] = tuple(Check),
) -> None:
    """Measure `folder` on `data/validation`, baselines from `data/train`; update its card.

    The card is written after every source, so what was measured outlives an interruption; what it
    says of checks that are not in `checks` stays. Page, JSON and plots are written to `out`.
    """
    loaded = artefact.load(folder)
    scorer = Scorer.open(folder)
    baselines = {check: _baseline(data / "train", check) for check in checks}
    known = loaded.manifest["evaluation"].get("validation", {})
    found: dict[str, dict[str, Report]] = known if set(checks) < set(Check) else {}
    rows: dict[Check, list[Scored]] = {check: [] for check in checks}
    marked: list[Record] = []
    for file in sorted((data / "validation").glob("*.parquet")):
        records = [_masked(r) for r in load(file)]
        marked += [r for r in records if r.evidence]
        for check in checks:
            if some := _chosen(records, check, limit):
                scored = _score(loaded, scorer, some, check, baselines[check])
                rows[check] += scored
                report = _measure(scored, check, loaded.thresholds[check])
                found.setdefault(file.stem, {})[check.value] = report
        print(file.stem, json.dumps(found.get(file.stem)), flush=True)
        _record(folder, loaded.manifest, found, limit)
    extras = {
        "How soon a streamed trace is caught": timeliness(loaded, scorer, marked),
        "Share of positives flagged in disguise": recalls(loaded, scorer, marked, checks),
    }
    findings.write(out, rows, loaded.thresholds, extras)


def _masked(record: Record) -> Record:
    return replace(
        record,
        thinking=_ELICITED.sub("assistant", record.thinking),
        answer=_ELICITED.sub("assistant", record.answer),
    )


def _chosen(records: Sequence[Record], check: Check, limit: int) -> list[Record]:
    """Up to `limit` labelled records of each class; a mismatch needs thinking and answer."""
    usable = [
        r
        for r in records
        if r.labels[check] is not None
        and (check is not Check.MISMATCH or (r.thinking.strip() and r.answer.strip()))
    ]
    return sample(usable, check, limit, random.Random(0))  # noqa: S311 - a draw, not a secret


def _score(
    loaded: artefact.Artefact, scorer: Scorer, records: list[Record], check: Check, rival: Pipeline
) -> list[Scored]:
    logits = scorer.score(records, [check])
    kept = [(r, s) for r, s in zip(records, logits, strict=True) if check in s]
    rivals = rival.predict_proba([text(r) for r, _ in kept])[:, 1] if kept else []
    return [
        Scored(
            record=record,
            label=int(record.labels[check] or 0),
            probability=probability(loaded, some, check),
            rival=float(simple),
        )
        for (record, some), simple in zip(kept, rivals, strict=True)
    ]


def _measure(rows: Sequence[Scored], check: Check, limits: Thresholds) -> Report:
    found = findings.measure(rows, limits)
    if check is Check.MISMATCH and "auroc" in found:
        missing = [numbers_missing(row.record) for row in rows]
        found["numbers_auroc"] = round(float(roc_auc_score([r.label for r in rows], missing)), 3)
    return found


def _baseline(folder: Path, check: Check) -> Pipeline:
    recipes = PAIR_RECIPES if check is Check.MISMATCH else STEP_RECIPES
    records = [
        r
        for name, some in load_sources(folder, recipes).items()
        for r in _training_part(name, some, check, recipes)
    ]
    return bag_of_words(records, check)


def _training_part(
    name: str, records: list[Record], check: Check, recipes: Mapping[str, Any]
) -> list[Record]:
    kept = [r for r in records if not held_out(r) and r.labels[check] is not None]
    cap = 2 * recipes[name].cap if name in recipes else len(kept)
    return sample(kept, check, cap, random.Random(1))  # noqa: S311 - likewise


def _record(
    folder: Path, manifest: Mapping[str, Any], found: Mapping[str, Any], limit: int
) -> None:
    evaluation = {**manifest["evaluation"], "limit_per_class": limit, "validation": found}
    changed = {**manifest, "evaluation": evaluation}
    save(folder, changed)
