"""Everything that is learned outside the encoders: words, comparisons, and how all of it joins.

Takes minutes on a CPU, most of them for reading the held-out records with the encoders.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.port import Check
from classifiers.tokenise import Tokeniser
from classifiers.training import join, lexicon
from classifiers.training.base import base_tokeniser
from classifiers.training.calibrate import HeldOut
from classifiers.training.data import Record, held_out
from classifiers.training.pairs import pairs

Arrays = dict[str, Any]


def words(data: Path) -> Arrays:
    """`lexicon`, from the training part of every source."""
    reads = lexicon.corpus(data, Tokeniser(base_tokeniser()))
    table = lexicon.learn([item for item in reads if not held_out(item.record)])
    return {"lexicon": table}


def joints(data: Path, held: Sequence[HeldOut]) -> Arrays:
    """`mix` and `mismatch_*`: which way the comparisons point, and the weight of everything."""
    rng = random.Random(5)  # noqa: S311 - a draw, not a secret
    records = [r for r in join.relation_records(data, rng) if not held_out(r)]
    told = join.direction(records, [relations(record) for record in records])
    steps = next(h for h in held if Check.DECEPTION in h.checks)
    compared = next(h for h in held if Check.MISMATCH in h.checks)
    return {
        **join.mix(steps.records, [steps.evidence[r.id] for r in steps.records]),
        **join.mismatch(
            compared.records, [compared.evidence[r.id] for r in compared.records], told
        ),
    }


def relations(record: Record) -> "np.ndarray[Any, Any]":
    """The exact comparisons at each step of the answer."""
    return np.stack([p.context.relation for p in pairs(record) if p.context is not None])
