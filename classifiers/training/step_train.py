"""Train the step encoder and trace head: the highest step of a trace carries its label."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional

from classifiers.tokenise import Tokeniser
from classifiers.training.base import base_model, base_tokeniser
from classifiers.training.data import (
    STEP_RECIPES,
    held_out,
    load_sources,
    main_check,
    sample,
)
from classifiers.training.loop import Plan, fit, seed
from classifiers.training.step_model import StepEncoder, TraceHead, encode, pack
from classifiers.training.steps import CHECKS, StepTrace, cut, vary

#: Steps in a training batch, about.
BATCH_STEPS: Final = 64
#: Traces that are read at once when they are only looked at.
WATCHED_ROWS: Final = 8
#: Harmless traces are cropped to so many steps while training, to save time.
LONGEST: Final = 12
#: Rambling of open-weight models, all checks: never trained on, it tells when to stop.
WATCHED: Final = "a13-mixed-rambling"
_EVIDENCE_WEIGHT: Final = {0: 0.5, 1: 1.0, 2: 0.1}


class StepModel(nn.Module):
    """Encoder and head together."""

    def __init__(self, frozen: int) -> None:
        super().__init__()
        self.encoder = StepEncoder(base_model(), frozen)
        self.head = TraceHead()

    def logits(self, traces: Sequence[StepTrace]) -> tuple[Tensor, Tensor]:
        """Step logits (traces, steps, checks) and the mask of scored steps."""
        vectors = encode(self.encoder, [w for t in traces for w in t.windows])
        packed = pack(traces, vectors)
        return self.head(packed.vectors, packed.roles), packed.scored


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """What `--tiny` changes."""

    epochs: int = 3
    frozen: int = 3
    #: Factor on every cap, and share of the authored groups.
    share: float = 1.0
    seed: int = 7


def train_steps(data: Path, out: Path, settings: StepSettings) -> StepModel:
    """Train (or resume) and return the model in evaluation mode."""
    seed(settings.seed)
    model = StepModel(settings.frozen)
    corpus = _Corpus(data, settings)
    fit(
        Plan(
            name="steps",
            folder=out,
            epochs=settings.epochs,
            model=model,
            groups=[(model.encoder.parameters(), 1.5e-4), (model.head.parameters(), 1.5e-3)],
            batches=corpus.batches,
            loss=lambda batch: loss(model, batch),
            watch=lambda: ranked(model, corpus.watched),
        )
    )
    return model


class _Corpus:
    """The training part of every source, cut into steps once."""

    def __init__(self, data: Path, settings: StepSettings) -> None:
        self._settings = settings
        tokeniser = Tokeniser(base_tokeniser())
        rng = random.Random(settings.seed)  # noqa: S311 - a draw, not a secret
        cut_all = {
            name: [cut(r, tokeniser) for r in self._usable(name, records, rng)]
            for name, records in load_sources(data, STEP_RECIPES).items()
        }
        self.watched = cut_all.pop(WATCHED, [])
        self._sources = cut_all

    def _usable(self, name: str, records: list, rng: random.Random) -> list:  # type: ignore[type-arg]
        kept = [r for r in records if not held_out(r) and (r.thinking or r.answer)]
        if name not in STEP_RECIPES:
            groups = sorted({r.group for r in kept})
            chosen = set(groups[: max(1, int(len(groups) * self._settings.share))])
            return [r for r in kept if r.group in chosen]
        cap = int(STEP_RECIPES[name].cap * self._settings.share * self._settings.epochs)
        return sample(kept, main_check(kept, CHECKS), cap, rng)

    def batches(self, epoch: int) -> list[list[StepTrace]]:
        """Batches of about `BATCH_STEPS` steps; authored groups stay together."""
        rng = random.Random(self._settings.seed * 1000 + epoch)  # noqa: S311 - likewise
        units: list[list[StepTrace]] = []
        for name, traces in self._sources.items():
            if name in STEP_RECIPES:
                units += [[t] for t in traces[epoch :: self._settings.epochs]]
            else:
                ordered = sorted(traces, key=lambda t: t.record.group)
                units += [list(g) for _, g in groupby(ordered, key=lambda t: t.record.group)]
        rng.shuffle(units)
        return _fill([[vary(t, rng, LONGEST) for t in unit] for unit in units])


def _fill(units: list[list[StepTrace]]) -> list[list[StepTrace]]:
    batches: list[list[StepTrace]] = [[]]
    for unit in units:
        if sum(len(t.roles) for t in batches[-1]) >= BATCH_STEPS:
            batches.append([])
        batches[-1] += unit
    return batches


def loss(model: StepModel, traces: Sequence[StepTrace]) -> Tensor:
    """Trace label on the smooth maximum, evidence on its steps, order within authored groups."""
    logits, scored = model.logits(traces)
    pooled = smooth_max(logits, scored)
    labels = torch.tensor([[-1 if v is None else v for v in t.labels] for t in traces])
    trace = functional.binary_cross_entropy_with_logits(
        pooled, labels.clamp(min=0).float(), weight=_weights(labels), reduction="sum"
    )
    return (
        trace / max(1, int((labels >= 0).sum()))
        + 0.5 * _evidence(logits, traces)
        + 0.3 * _order(pooled, labels, traces)
    )


def ranked(model: StepModel, traces: Sequence[StepTrace]) -> float:
    """Mean AUROC of the checks over whole traces; not a number if no check has both labels."""
    if not traces:
        return float("nan")
    model.eval()
    with torch.no_grad():
        parts = [
            model.logits(traces[at : at + WATCHED_ROWS])
            for at in range(0, len(traces), WATCHED_ROWS)
        ]
    highest = torch.cat([smooth_max(logits, scored) for logits, scored in parts])
    found = []
    for column in range(len(CHECKS)):
        known = [i for i, t in enumerate(traces) if t.labels[column] is not None]
        labels = [traces[i].labels[column] for i in known]
        if len(set(labels)) == 2:
            found.append(roc_auc_score(labels, highest[known, column]))
    return float(np.mean(found)) if found else float("nan")


def smooth_max(logits: Tensor, scored: Tensor) -> Tensor:
    """Half the maximum over scored steps, half a mean that leans to high steps."""
    low = logits.masked_fill(~scored.unsqueeze(-1), -1e4)
    leaning = (torch.softmax(low, dim=1) * logits).sum(1)
    return 0.5 * low.amax(1) + 0.5 * leaning


def _weights(labels: Tensor) -> Tensor:
    """Unlabelled 0; a positive counts more because each check has fewer of them."""
    return (labels >= 0).float() * torch.where(labels == 1, 2.0, 1.0)


def _evidence(logits: Tensor, traces: Sequence[StepTrace]) -> Tensor:
    """Steps before the first evidence are low, the evidence is high."""
    target, weight = torch.zeros_like(logits), torch.zeros_like(logits)
    for i, trace in enumerate(traces):
        positive = torch.tensor([label == 1 for label in trace.labels])
        for j, mark in enumerate(trace.evidence):
            if mark is not None:
                target[i, j] = float(mark > 0)
                weight[i, j] = _EVIDENCE_WEIGHT[mark] * positive
    raw = functional.binary_cross_entropy_with_logits(
        logits, target, weight=weight, reduction="sum"
    )
    return raw / weight.sum().clamp(min=1.0)


def _order(pooled: Tensor, labels: Tensor, traces: Sequence[StepTrace]) -> Tensor:
    """Within an authored group every positive stands above every negative."""
    group = [t.record.group for t in traces]
    same = torch.tensor([[a == b for b in group] for a in group]).unsqueeze(-1)
    above = same & (labels == 1).unsqueeze(1) & (labels == 0).unsqueeze(0)
    gap = pooled.unsqueeze(1) - pooled.unsqueeze(0)
    return (functional.softplus(1.0 - gap) * above).sum() / above.sum().clamp(min=1)
