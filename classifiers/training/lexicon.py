"""Learn the lexical table: a linear model a check over hashed word pieces, in a minute on a CPU."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from scipy.sparse import csr_matrix, diags, hstack
from sklearn.linear_model import LogisticRegression

from classifiers.lexical import BUCKETS, CHECKS, PRIOR_MASS, READ, WIDTH, Reading, buckets
from classifiers.port import Check, Role
from classifiers.segment import segment
from classifiers.tokenise import Tokeniser
from classifiers.training.data import (
    PAIR_RECIPES,
    STEP_RECIPES,
    Record,
    load_sources,
    main_check,
    sample,
)

Sparse = Any
Table: TypeAlias = "np.ndarray[Any, Any]"
#: Inverse regularisation of the linear models.
STRENGTH: Final = 4.0
#: At most so many records of each class of a public source, and what one of them weighs.
PUBLIC_CAP, PUBLIC_WEIGHT = 120, 0.5
#: Public sources of mismatch where words alone say nothing: they hold the score down there.
_NEUTRAL: Final = ("cotstress-ratings.swapped", "gsm8k-samples", "gsm8k-samples.swapped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A record as the lexicon reads it: the buckets of each step, by role."""

    record: Record
    roles: tuple[Role, ...]
    steps: tuple["np.ndarray[Any, np.dtype[np.int64]]", ...]


def read(record: Record, tokeniser: Tokeniser) -> Read:
    """Segment, tokenise and hash a record's thinking and answer."""
    texts = {Role.THINKING: record.thinking, Role.ANSWER: record.answer}
    pieces = [(role, piece.text) for role in READ for piece in segment(texts[role])]
    return Read(
        record=record,
        roles=tuple(role for role, _ in pieces),
        steps=tuple(buckets(tokeniser.ids(text)) for _, text in pieces),
    )


def corpus(folder: Path, tokeniser: Tokeniser, seed: int = 3) -> list[Read]:
    """The authored sources in full and a capped share of the public ones."""
    rng = random.Random(seed)  # noqa: S311 - a draw, not a secret
    found = {**_public(folder, STEP_RECIPES, rng), **_public(folder, PAIR_RECIPES, rng)}
    authored = [r for some in load_sources(folder, {}).values() for r in some]
    return [read(r, tokeniser) for r in [*authored, *found.values()] if r.thinking or r.answer]


def _public(folder: Path, recipes: Mapping[str, Any], rng: random.Random) -> dict[str, Record]:
    chosen: dict[str, Record] = {}
    for name, records in load_sources(folder, dict(recipes)).items():
        if recipes is PAIR_RECIPES and name not in _NEUTRAL:
            continue
        if name in recipes:
            for record in sample(records, main_check(records, tuple(Check)), PUBLIC_CAP, rng):
                chosen[f"{name}:{record.id}"] = record
    return chosen


def learn(reads: Sequence[Read]) -> Table:
    """The table, shape (BUCKETS, WIDTH), from whole records.

    Training on each record's highest moment instead was worse (docs/experiments.md).
    """
    counts = {role: _counts(reads, role) for role in READ}
    idf = _rarity(counts, len(reads))
    design = _design(counts, idf)
    # Half the bytes are enough to store a weight; sums are taken in float32.
    table = np.zeros((BUCKETS, WIDTH), dtype=np.float16)
    table[:, 0] = idf**2
    for column, check in enumerate(CHECKS):
        weights = _linear(design, [r.record for r in reads], check)
        for row, part in enumerate(weights.reshape(len(READ), BUCKETS)):
            table[:, 1 + row * len(CHECKS) + column] = part * idf
    return table


def _counts(reads: Sequence[Read], role: Role) -> Sparse:
    """In how many steps of `role` each bucket occurs, shape (records, BUCKETS)."""
    rows, columns = [], []
    for i, item in enumerate(reads):
        some = [s for r, s in zip(item.roles, item.steps, strict=True) if r is role]
        columns += some
        rows += [np.full(len(step), i) for step in some]
    where = (np.concatenate(rows), np.concatenate(columns))
    return csr_matrix((np.ones(len(where[0])), where), shape=(len(reads), BUCKETS))


def _rarity(counts: Mapping[Role, Sparse], records: int) -> "np.ndarray[Any, Any]":
    """The usual inverse document frequency; what occurs once only weighs nothing."""
    spread = sum(np.asarray((some > 0).sum(axis=0)).ravel() for some in counts.values())
    return np.log((1 + len(READ) * records) / (1 + spread)) * (spread > 1)


def _design(counts: Mapping[Role, Sparse], idf: "np.ndarray[Any, Any]") -> Sparse:
    parts = []
    for some in counts.values():
        mass = np.asarray(some @ idf**2).ravel() + PRIOR_MASS
        parts.append(diags(1 / np.sqrt(mass)) @ some @ diags(idf))
    return hstack(parts).tocsr()


def _linear(design: Sparse, records: Sequence[Record], check: Check) -> "np.ndarray[Any, Any]":
    known = [i for i, record in enumerate(records) if record.labels[check] is not None]
    weight = [1.0 if records[i].authored else PUBLIC_WEIGHT for i in known]
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", solver="liblinear")
    model.fit(design[known], [records[i].labels[check] for i in known], sample_weight=weight)
    return np.asarray(model.coef_[0])


def running(table: Table, item: Read) -> "np.ndarray[Any, Any]":
    """The scores after each step, shape (steps, checks), as serving computes them."""
    reading = Reading()
    return np.asarray(
        [
            reading.read(role, table[step].sum(axis=0, dtype=np.float32))
            for role, step in zip(item.roles, item.steps, strict=True)
        ]
    ).reshape(-1, len(CHECKS))
