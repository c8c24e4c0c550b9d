"""Train the pair encoder: the answer's worst pair carries the mismatch label."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from classifiers.port import Check
from classifiers.tokenise import Tokeniser
from classifiers.training import pairs
from classifiers.training.base import base_model, base_tokeniser
from classifiers.training.data import PAIR_RECIPES, Record, held_out, load_sources, sample
from classifiers.training.loop import Plan, fit, seed
from classifiers.training.pair_model import PairModel, tensors
from classifiers.training.pairs import PairTrace

#: Pairs in a training batch, about.
BATCH_PAIRS: Final = 16
#: Authored sets in which the relation alone gives the label: read in full,
RELATION_SETS: Final = ("a5-mismatch", "a8-mismatch-agents", "a16-mismatch-3")
#: and this share of the groups of the other authored sets.
OTHERS_SHARE: Final = 0.25
#: Share of the public records in the warm-up, and in every other epoch.
WARM_UP_SHARE, PUBLIC_SHARE = 1.0, 0.06
#: Rows run at once; neighbours in length share a chunk.
CHUNK: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSettings:
    """What `--tiny` changes."""

    #: The first epoch reads public sources only (warm-up); the others everything authored.
    epochs: int = 2
    frozen: int = 2
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
        )
    )
    return model


class _Corpus:
    """The training part of every source, paired up once."""

    def __init__(self, data: Path, settings: PairSettings) -> None:
        self._settings = settings
        tokeniser = Tokeniser(base_tokeniser())
        rng = random.Random(settings.seed)  # noqa: S311 - a draw, not a secret
        cut = {
            name: [pairs.cut(r, tokeniser) for r in self._usable(name, records, rng)]
            for name, records in load_sources(data, PAIR_RECIPES).items()
        }
        self._public = {k: v for k, v in cut.items() if k in PAIR_RECIPES}
        self._authored = [
            t for k, v in cut.items() if k not in PAIR_RECIPES for t in v if t.windows
        ]

    def _usable(self, name: str, records: list[Record], rng: random.Random) -> list[Record]:
        kept = [r for r in records if not held_out(r) and r.labels[Check.MISMATCH] is not None]
        if name in PAIR_RECIPES:
            cap = int(PAIR_RECIPES[name].cap * self._settings.share)
            return sample(kept, Check.MISMATCH, cap, rng)
        groups = sorted({r.group for r in kept})
        chosen = set(groups[: max(1, int(len(groups) * self._settings.share))])
        return [r for r in kept if r.group in chosen]

    def batches(self, epoch: int) -> list[list[PairTrace]]:
        """Batches of about `BATCH_PAIRS` pairs; authored groups stay together."""
        rng = random.Random(self._settings.seed * 1000 + epoch)  # noqa: S311 - likewise
        warm_up = epoch == 0 and bool(self._public)
        keep = WARM_UP_SHARE if warm_up else PUBLIC_SHARE
        units = [[t] for some in self._public.values() for t in some if rng.random() < keep]
        if not warm_up:
            ordered = sorted(self._authored, key=lambda t: t.record.group)
            groups = [list(g) for _, g in groupby(ordered, key=lambda t: t.record.group)]
            units += [
                g
                for g in groups
                if g[0].record.source in RELATION_SETS or rng.random() < OTHERS_SHARE
            ]
        rng.shuffle(units)
        return _fill([[pairs.thin(t, rng) for t in unit if t.windows] for unit in units])


def _fill(units: list[list[PairTrace]]) -> list[list[PairTrace]]:
    batches: list[list[PairTrace]] = [[]]
    for unit in units:
        if sum(len(t.windows) for t in batches[-1]) >= BATCH_PAIRS:
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
    """Label on the smooth maximum, and order within authored groups."""
    pooled = torch.stack([_smooth_max(some) for some in logits(model, traces)])
    labels = torch.tensor([float(t.label or 0) for t in traces])
    weight = torch.where(labels == 1, 1.3, 1.0)
    return functional.binary_cross_entropy_with_logits(
        pooled, labels, weight=weight
    ) + 0.5 * _order(
        pooled, labels, [t.record.group if t.record.authored else t.record.id for t in traces]
    )


def _smooth_max(some: Tensor) -> Tensor:
    return 0.5 * some.max() + 0.5 * (torch.softmax(some, 0) * some).sum()


def _order(pooled: Tensor, labels: Tensor, groups: Sequence[str]) -> Tensor:
    same = torch.tensor([[a == b for b in groups] for a in groups])
    above = same & (labels == 1).unsqueeze(1) & (labels == 0).unsqueeze(0)
    gap = pooled.unsqueeze(1) - pooled.unsqueeze(0)
    return (functional.softplus(1.0 - gap) * above).sum() / above.sum().clamp(min=1)
