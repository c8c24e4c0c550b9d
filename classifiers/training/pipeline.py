"""From a data folder to a verified artefact folder."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from classifiers import artefact
from classifiers.port import Check
from classifiers.training.base import base_tokeniser
from classifiers.training.calibrate import Calibration, Rates, calibrate, read_held_out
from classifiers.training.data import (
    AGREEING,
    PAIR_RECIPES,
    STEP_RECIPES,
    Record,
    held_out,
    load_sources,
)
from classifiers.training.export import export_encoder, head_arrays, write_head
from classifiers.training.golden import golden
from classifiers.training.judge import joints, words
from classifiers.training.manifest import Findings, save, write
from classifiers.training.pair_model import PairModel
from classifiers.training.pair_train import PairSettings, train_pairs
from classifiers.training.scores import Scorer
from classifiers.training.step_train import StepModel, StepSettings, train_steps

#: What `--tiny` trains: enough to prove that every part works, not to judge anything.
TINY_STEPS: Final = StepSettings(epochs=1, frozen=5, share=0.12)
TINY_PAIRS: Final = PairSettings(epochs=1, frozen=5, share=0.06)


def train(data: Path, out: Path, *, tiny: bool, name: str) -> Path:
    """Train both models (or go on from checkpoints), export, calibrate; return the artefact."""
    step_settings, pair_settings = (
        (TINY_STEPS, TINY_PAIRS) if tiny else (StepSettings(), PairSettings())
    )
    steps = train_steps(data / "train", out, step_settings)
    pairs = train_pairs(data / "train", out, pair_settings)
    return finish(data, out / "model", steps, pairs, name)


def finish(data: Path, folder: Path, steps: StepModel, pairs: PairModel, name: str) -> Path:
    """Export trained models and write everything that serving needs beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    export_encoder(steps.encoder, ("ids", "mask"), "vectors", folder / artefact.STEP_MODEL)
    export_encoder(pairs, ("ids", "mask", "segments"), "logits", folder / artefact.PAIR_MODEL)
    shutil.copyfile(base_tokeniser(), folder / artefact.TOKENISER)
    return judge_anew(data, folder, head_arrays(steps.head), name)


def judge(data: Path, folder: Path, name: str) -> Path:
    """Learn everything outside the encoders of an artefact anew, in place."""
    with np.load(folder / artefact.HEAD, allow_pickle=False) as stored:
        gru = {key: stored[key] for key in stored.files if key != "labels"}
    notes = artefact.load(folder).manifest["evaluation"].get("notes", [])
    return judge_anew(data, folder, gru, name, notes)


def judge_anew(
    data: Path, folder: Path, gru: Mapping[str, Any], name: str, notes: Sequence[str] = ()
) -> Path:
    """Learn everything outside the encoders in `folder` and write head, calibration and manifest.

    `gru` holds the trace head's arrays; it may hold more, which are replaced. `notes` say how the
    encoders were made.
    """
    arrays = {**gru, **words(data / "train")}
    held = read_held_out(Scorer.open(folder, head=arrays), data / "train")
    arrays |= joints(data / "train", held)
    write_head(arrays, folder / artefact.HEAD)
    found = calibrate(Scorer.open(folder), held)
    write(folder, name, _findings(data, folder, found, notes))
    artefact.load(folder)
    return folder


def recalibrate(data: Path, folder: Path, rates: Rates) -> dict[Check, Calibration]:
    """Set the thresholds of an artefact anew, in place; no weight changes, no score does."""
    loaded = artefact.load(folder)
    scorer = Scorer.open(folder)
    held = read_held_out(scorer, data / "train")
    found = calibrate(scorer, held, rates, loaded.calibration)
    manifest = dict(loaded.manifest)
    manifest["thresholds"] = {c.value: f.thresholds._asdict() for c, f in found.items()}
    manifest["evaluation"] = {
        **manifest["evaluation"],
        "calibration": {c.value: f.counts() for c, f in found.items()},
    }
    save(folder, manifest)
    return found


def _findings(
    data: Path, folder: Path, found: Mapping[Check, Calibration], notes: Sequence[str]
) -> Findings:
    calibration = {check: c.platt for check, c in found.items()}
    counts = {check.value: c.counts() for check, c in found.items()}
    return Findings(
        calibration=calibration,
        thresholds={check: c.thresholds for check, c in found.items()},
        sources=_sources(data / "train"),
        evaluation={"calibration": counts, "notes": list(notes)},
        golden=golden(folder, calibration),
    )


def _sources(folder: Path) -> dict[str, Any]:
    recipes = (
        (STEP_RECIPES, StepSettings()),
        (PAIR_RECIPES, PairSettings()),
        (AGREEING, PairSettings()),
    )
    found: dict[str, list[Record]] = {}
    for recipe, _ in recipes:
        found |= load_sources(folder, recipe)
    return {
        name: {
            "license": records[0].license,
            "records": min(
                sum(not held_out(r) for r in records),
                sum(2 * r[name].cap * s.epochs for r, s in recipes if name in r) or len(records),
            ),
        }
        for name, records in found.items()
    }
