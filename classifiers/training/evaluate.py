"""Measure an artefact on sources that it never saw, and write what came out into its manifest."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sklearn.pipeline import Pipeline

from classifiers import artefact
from classifiers.head import sigmoid
from classifiers.port import Check
from classifiers.training import card
from classifiers.training.data import (
    PAIR_RECIPES,
    STEP_RECIPES,
    Record,
    held_out,
    load,
    load_sources,
    sample,
)
from classifiers.training.metrics import Report, bag_of_words, numbers_missing, report, text
from classifiers.training.scores import Logits, Scorer

#: Records of each class that are measured on a source.
LIMIT: Final = 100
#: Elicited wording that gives the label of one source away.
_ELICITED: Final = re.compile(r"\b(?:un|mis)?-?aligned (?:AI|model|assistant)\b", re.IGNORECASE)


def evaluate(
    folder: Path, data: Path, limit: int = LIMIT, checks: Sequence[Check] = tuple(Check)
) -> dict[str, dict[str, Report]]:
    """Measure `folder` on `data/validation`, baselines from `data/train`; update its card.

    The card is written after every source, so what was measured outlives an interruption; what it
    says of checks that are not in `checks` stays.
    """
    loaded = artefact.load(folder)
    scorer = Scorer.open(folder)
    baselines = {check: _baseline(data / "train", check) for check in checks}
    known = loaded.manifest["evaluation"].get("validation", {})
    found: dict[str, dict[str, Report]] = known if set(checks) < set(Check) else {}
    for file in sorted((data / "validation").glob("*.parquet")):
        records = [_masked(r) for r in load(file)]
        found.setdefault(file.stem, {}).update(
            {
                check.value: _measure(loaded, scorer, some, check, baselines[check])
                for check in checks
                if (some := _chosen(records, check, limit))
            }
        )
        print(file.stem, json.dumps(found[file.stem]), flush=True)
        _record(folder, loaded.manifest, found, limit)
    return found


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


def _measure(
    loaded: artefact.Artefact, scorer: Scorer, records: list[Record], check: Check, rival: Pipeline
) -> Report:
    logits = scorer.score(records, [check])
    kept = [(r, s) for r, s in zip(records, logits, strict=True) if check in s]
    found = report(
        [int(r.labels[check] or 0) for r, _ in kept],
        [_probability(loaded, s, check) for _, s in kept],
        loaded.thresholds[check],
        [float(x) for x in rival.predict_proba([text(r) for r, _ in kept])[:, 1]],
    )
    if check is Check.MISMATCH and "auroc" in found:
        found["numbers_auroc"] = report(
            [int(r.labels[check] or 0) for r, _ in kept],
            [numbers_missing(r) for r, _ in kept],
            loaded.thresholds[check],
            [0.0] * len(kept),
        )["auroc"]
    return found


def _probability(loaded: artefact.Artefact, logits: Logits, check: Check) -> float:
    platt = loaded.calibration[check]
    return sigmoid(platt.a * logits[check] + platt.b)


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
    path = folder / artefact.MANIFEST
    path.write_text(json.dumps(changed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "CARD.md").write_text(card.render(changed), encoding="utf-8")
