"""Train the pair encoder: the answer's worst pair carries the mismatch label."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from classifiers.port import Check, Pair
from classifiers.tokenise import Tokeniser
from classifiers.training import pairs
from classifiers.training.base import base_model, base_tokeniser
from classifiers.training.contrast import crossed
from classifiers.training.data import (
    AGREEING,
    PAIR_RECIPES,
    RELATION_SETS,
    Recipe,
    Record,
    held_out,
    load_sources,
    sample,
)
from classifiers.training.loop import Plan, fit, seed
from classifiers.training.pair_model import PairModel, tensors
from classifiers.training.pairs import PairTrace

#: Tokens in a training batch, about.
BATCH_TOKENS: Final = 2048
#: `RELATION_SETS` are read in full, and of the other authored sets this share of the groups in
#: each epoch.
OTHERS_SHARE: Final = 0.35
#: Two thinkings crossed with two answers: never trained on, it tells when to stop.
WATCHED: Final = "a16-mismatch-3"
#: Rows run at once; neighbours in length share a chunk.
CHUNK: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSettings:
    """What `--tiny` changes."""

    epochs: int = 2
    frozen: int = 2
    #: Factor on every cap, and share of the authored groups.
    share: float = 1.0
    seed: int = 11


def train_pairs(data: Path, out: Path, settings: PairSettings) -> PairModel:
    """Train (or resume) and return the model in evaluation mode."""
    seed(settings.seed)
    model = PairModel(base_model(), settings.frozen)
    corpus = _Corpus(data, settings)
    encoder, head = model.bert.parameters(), [*model.mix.parameters(), *model.out.parameters()]
    fit(
        Plan(
            name="pairs",
            folder=out,
            epochs=settings.epochs,
            model=model,
            groups=[(encoder, 1.2e-4), (head, 6e-4)],
            batches=corpus.batches,
            loss=lambda batch: loss(model, batch),
            watch=lambda: ranked(model, corpus.watched),
        )
    )
    return model


class _Corpus:
    """The training part of every source, paired up once."""

    def __init__(self, data: Path, settings: PairSettings) -> None:
        self._settings = settings
        self._tokeniser = Tokeniser(base_tokeniser())
        found = load_sources(data, {**AGREEING, **PAIR_RECIPES})
        watched = self._part(found.pop(WATCHED, []))
        self.watched = [self._cut(r) for r in watched]
        self._authored = {
            name: [self._cut(r) for r in self._part(records)]
            for name, records in found.items()
            if records[0].authored
        }
        rng = random.Random(settings.seed)  # noqa: S311 - a draw, not a secret
        self._public = [
            self._cut(r)
            for name in sorted(PAIR_RECIPES.keys() & found.keys())
            for r in self._draw(found[name], Check.MISMATCH, PAIR_RECIPES[name], rng)
        ]
        agreeing = [
            r
            for name, records in sorted(found.items())
            if records[0].authored
            for r in self._part(records)
            if r.labels[Check.MISMATCH] == 0
        ] + [
            r
            for name in sorted(AGREEING.keys() & found.keys())
            for r in self._draw(found[name], None, AGREEING[name], rng)
        ]
        self._agreeing = [(r.id, pairs.pairs(r)) for r in agreeing]

    def _cut(self, record: Record) -> PairTrace:
        return pairs.cut(record, self._tokeniser)

    def _part(self, records: list[Record]) -> list[Record]:
        """The share of the groups that is trained on."""
        kept = [r for r in records if not held_out(r) and r.labels[Check.MISMATCH] is not None]
        groups = sorted({r.group for r in kept})
        chosen = set(groups[: max(1, int(len(groups) * self._settings.share))])
        return [r for r in kept if r.group in chosen]

    def _draw(
        self, records: list[Record], check: Check | None, recipe: Recipe, rng: random.Random
    ) -> list[Record]:
        kept = [r for r in records if not held_out(r)]
        cap = int(recipe.cap * self._settings.share * self._settings.epochs)
        return sample(kept, check, cap, rng)

    def batches(self, epoch: int) -> list[list[PairTrace]]:
        """Batches of about `BATCH_TOKENS` tokens; groups stay together."""
        rng = random.Random(self._settings.seed * 1000 + epoch)  # noqa: S311 - likewise
        every = self._settings.epochs
        units = [[trace] for trace in self._public[epoch::every]]
        for name, traces in self._authored.items():
            ordered = sorted(traces, key=lambda t: t.group)
            units += [
                list(group)
                for _, group in groupby(ordered, key=lambda t: t.group)
                if name in RELATION_SETS or rng.random() < OTHERS_SHARE
            ]
        units += [self._contrast(name, some, rng) for name, some in self._agreeing[epoch::every]]
        units = [[pairs.thin(t, rng) for t in unit if t.windows] for unit in units]
        rng.shuffle(units)
        return _fill(units)

    def _contrast(self, name: str, some: Sequence[Pair], rng: random.Random) -> list[PairTrace]:
        """The first of a record's pairs, in a random order, that has something to exchange."""
        for pair in rng.sample(some, len(some)):
            if asked := crossed(pair, rng):
                return [
                    PairTrace(
                        label=q.mismatch, group=name, windows=self._tokeniser.pair(q.pair)[:1]
                    )
                    for q in asked
                ]
        return []


def _fill(units: list[list[PairTrace]]) -> list[list[PairTrace]]:
    batches: list[list[PairTrace]] = [[]]
    for unit in units:
        if sum(t.tokens for t in batches[-1]) >= BATCH_TOKENS:
            batches.append([])
        batches[-1] += unit
    return [batch for batch in batches if batch]


def logits(model: PairModel, traces: Sequence[PairTrace]) -> list[Tensor]:
    """The logits of each trace's pairs."""
    windows = [w for t in traces for w in t.windows]
    order = sorted(range(len(windows)), key=lambda i: len(windows[i].ids))
    parts = [
        model(*tensors([windows[i] for i in order[at : at + CHUNK]]))
        for at in range(0, len(order), CHUNK)
    ]
    back = torch.argsort(torch.tensor(order))
    return list(torch.cat(parts)[back].split([len(t.windows) for t in traces]))


def loss(model: PairModel, traces: Sequence[PairTrace]) -> Tensor:
    """Label on the smooth maximum, and order within groups."""
    pooled = torch.stack([_smooth_max(some) for some in logits(model, traces)])
    labels = torch.tensor([float(t.label) for t in traces])
    weight = torch.where(labels == 1, 1.3, 1.0)
    return functional.binary_cross_entropy_with_logits(
        pooled, labels, weight=weight
    ) + 0.5 * _order(pooled, labels, [t.group for t in traces])


def ranked(model: PairModel, traces: Sequence[PairTrace]) -> float:
    """AUROC of the traces' highest pairs; not a number without both labels."""
    labels = [trace.label for trace in traces]
    if len(set(labels)) < 2:
        return float("nan")
    model.eval()
    with torch.no_grad():
        highest = [float(some.max()) for some in logits(model, traces)]
    return float(roc_auc_score(labels, highest))


def _smooth_max(some: Tensor) -> Tensor:
    return 0.5 * some.max() + 0.5 * (torch.softmax(some, 0) * some).sum()


def _order(pooled: Tensor, labels: Tensor, groups: Sequence[str]) -> Tensor:
    same = torch.tensor([[a == b for b in groups] for a in groups])
    above = same & (labels == 1).unsqueeze(1) & (labels == 0).unsqueeze(0)
    gap = pooled.unsqueeze(1) - pooled.unsqueeze(0)
    return (functional.softplus(1.0 - gap) * above).sum() / above.sum().clamp(min=1)
