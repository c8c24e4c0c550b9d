"""What storing the encoders in 8 bits changes, or computing in 16: the same records read twice.

The fp32 graphs come from the checkpoints of the training run. Decisions may differ only for records
that score within a band of a threshold; how wide that band must be is what is measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from sklearn.metrics import roc_auc_score

from classifiers import artefact
from classifiers.port import Check, Thresholds
from classifiers.sessions import PairRunner, StepRunner, open_session
from classifiers.training.base import base_model
from classifiers.training.calibrate import held_out_records
from classifiers.training.data import Record, load
from classifiers.training.export import export_plain
from classifiers.training.manifest import save
from classifiers.training.pair_model import PairModel
from classifiers.training.scores import Scorer, probability
from classifiers.training.step_train import StepModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """An artefact against a more exact one, for one check."""

    records: int
    #: Its AUROC less that of the other.
    auroc_gained: float
    #: Largest change of a probability.
    largest_change: float
    #: Records that are decided otherwise, and how far from the threshold they are at most.
    decided_otherwise: int
    band: float


def compare(folder: Path, out: Path, data: Path) -> dict[Check, Parity]:
    """Measure the artefact in `folder` against the checkpoints in `out`; note it in its manifest.

    Reads the authored records of held-out groups and of the validation sets that ship with them.
    """
    exact = replace(
        Scorer.open(folder),
        steps=StepRunner(open_session(plain_steps(out), 1, None)),
        pairs=PairRunner(open_session(plain_pairs(out), 1, None)),
    )
    return _noted(folder, exact, data)


def compare_artefacts(folder: Path, exact: Path, data: Path) -> dict[Check, Parity]:
    """Likewise against the artefact in `exact`."""
    return _noted(folder, Scorer.open(exact), data)


def _noted(folder: Path, exact: Scorer, data: Path) -> dict[Check, Parity]:
    loaded, stored = artefact.load(folder), Scorer.open(folder)
    found = {}
    for check in Check:
        records = _records(data, check)
        here, there = (_probabilities(loaded, scorer, records, check) for scorer in (stored, exact))
        labels = {r.id: int(r.labels[check] or 0) for r in records}
        found[check] = _parity(here, there, labels, loaded.thresholds[check])
    manifest = dict(loaded.manifest)
    notes = {check.value: asdict(parity) for check, parity in found.items()}
    manifest["evaluation"] = {**manifest["evaluation"], "parity": notes}
    save(folder, manifest)
    return found


def plain_steps(out: Path) -> Path:
    """The step encoder of a training run as an fp32 graph."""
    model = StepModel(frozen=0)
    model.load_state_dict(torch.load(out / "steps.checkpoint.pt", weights_only=True)["model"])
    export_plain(model.encoder, ("ids", "mask"), "vectors", out / "fp32.onnx")
    return out / "fp32.onnx"


def plain_pairs(out: Path) -> Path:
    """The pair encoder of a training run as an fp32 graph."""
    model = PairModel(base_model(), frozen=0)
    model.load_state_dict(torch.load(out / "pairs.checkpoint.pt", weights_only=True)["model"])
    export_plain(model, ("ids", "mask", "segments"), "logits", out / "fp32.pairs.onnx")
    return out / "fp32.pairs.onnx"


def _records(data: Path, check: Check) -> list[Record]:
    held = [r for r in held_out_records(data / "train")[check] if r.authored]
    fresh = [r for f in sorted((data / "validation").glob("v*.parquet")) for r in load(f)]
    return [r for r in held + fresh if r.labels[check] is not None]


def _probabilities(
    loaded: artefact.Artefact, scorer: Scorer, records: Sequence[Record], check: Check
) -> dict[str, float]:
    logits = scorer.score(records, [check])
    return {
        r.id: probability(loaded, some, check)
        for r, some in zip(records, logits, strict=True)
        if check in some
    }


def _parity(
    here: Mapping[str, float],
    there: Mapping[str, float],
    labels: Mapping[str, int],
    limits: Thresholds,
) -> Parity:
    known = [labels[name] for name in here]
    gained = roc_auc_score(known, list(here.values())) - roc_auc_score(known, list(there.values()))
    crossed = [
        max(abs(here[name] - limit), abs(there[name] - limit))
        for name in here
        for limit in limits
        if (here[name] >= limit) != (there[name] >= limit)
    ]
    return Parity(
        records=len(here),
        auroc_gained=round(float(gained), 4),
        largest_change=round(max(abs(here[name] - there[name]) for name in here), 4),
        decided_otherwise=len(crossed),
        band=round(max(crossed, default=0.0), 4),
    )
