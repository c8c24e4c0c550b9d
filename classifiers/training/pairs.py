"""Records as the pair model reads them: one pair per answer step."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from classifiers.comparison import Comparison
from classifiers.lexical import WIDTH
from classifiers.port import Check, Pair, Vector
from classifiers.segment import segment
from classifiers.tokenise import Tokeniser, Window
from classifiers.training.data import Record

#: Vectors only break ties; training does without them.
_NO_VECTOR: Final = np.zeros(1, dtype=np.float32)
_NO_WORDS: Final = np.zeros(WIDTH, dtype=np.float32)
#: Long faithful answers are thinned to so many pairs while training.
MOST_PAIRS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTrace:
    """Pairs with one label, which is on their maximum: a record's, or one made by rule."""

    label: int
    #: Within a group every mismatch should stand above everything that agrees.
    group: str
    windows: list[Window]

    @property
    def tokens(self) -> int:
        """What it costs to read."""
        return sum(len(window.ids) for window in self.windows)


def pairs(record: Record, words: Callable[[str], Vector] = lambda _: _NO_WORDS) -> list[Pair]:
    """The questions that serving asks about this record, in order; `words` sums up a text."""
    comparison = Comparison()
    for piece in segment(record.thinking):
        comparison.think(piece.text, np.concatenate([_NO_VECTOR, words(piece.text)]))
    asked = [
        comparison.answer(p.text, np.concatenate([_NO_VECTOR, words(p.text)]))
        for p in segment(record.answer)
    ]
    return [pair for pair in asked if pair is not None]


def cut(record: Record, tokeniser: Tokeniser) -> PairTrace:
    """Pair up and tokenise a record that has a label."""
    return PairTrace(
        label=record.labels[Check.MISMATCH] or 0,
        group=record.group if record.authored else record.id,
        windows=[w for p in pairs(record) for w in tokeniser.pair(p)],
    )


def thin(trace: PairTrace, rng: random.Random) -> PairTrace:
    """A training view; a mismatch may be anywhere, so positives lose nothing but the far excess."""
    most = MOST_PAIRS * 2 if trace.label == 1 else MOST_PAIRS
    if len(trace.windows) <= most:
        return trace
    return replace(trace, windows=rng.sample(trace.windows, most))
