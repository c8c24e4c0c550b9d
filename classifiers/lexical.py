"""What a step's words say, beside what its vector says: a learned linear bag of word pieces.

A small encoder reads topics; which words are used tells intent about as well
(docs/experiments.md). Each word piece and each pair of neighbours is hashed into a table of learned
weights, one column for each role and check. A step gives the sums of its rows; a trace's score is
the sum over its steps, divided by the size of what was read. The sums travel at the end of the
step's vector.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from classifiers.port import Check, Role, Vector

BUCKETS: Final = 1 << 16
#: Roles that are read; the words of a prompt are the user's.
READ: Final = (Role.THINKING, Role.ANSWER)
CHECKS: Final = tuple(Check)
#: Numbers that a step is summed up in: its mass, then one for each role and check.
WIDTH: Final = 1 + len(READ) * len(CHECKS)
#: A short text says little: its score is held near zero as if so much mass had been read before.
PRIOR_MASS: Final = 600.0
_LOW: Final = np.uint64(0xFFFFFFFF)
Scores = npt.NDArray[np.float64]


def buckets(ids: Sequence[int]) -> npt.NDArray[np.int64]:
    """The distinct buckets of a step's word pieces and of its pairs of neighbours."""
    if not ids:
        return np.zeros(0, dtype=np.int64)
    pieces = np.asarray(ids, dtype=np.uint64)
    one = pieces * np.uint64(2654435761)
    two = one[:-1] + pieces[1:] * np.uint64(2656625057) + np.uint64(12345)
    mixed = np.concatenate([one, two]) & _LOW
    mixed = ((mixed ^ (mixed >> np.uint64(15))) * np.uint64(2246822519)) & _LOW
    mixed ^= mixed >> np.uint64(13)
    return np.unique(mixed % np.uint64(BUCKETS)).astype(np.int64)


def sum_up(table: npt.NDArray[np.float32], ids: Sequence[int]) -> Vector:
    """A step's mass and weights, shape (WIDTH,); `table` has shape (BUCKETS, WIDTH)."""
    return np.asarray(table[buckets(ids)].sum(axis=0, dtype=np.float32))


def meaning(vector: Vector) -> Vector:
    """The encoder's part of a step's vector."""
    return vector[:-WIDTH]


def words(vector: Vector) -> Vector:
    """The part of a step's vector that `sum_up` made."""
    return vector[-WIDTH:]


class Reading:
    """The words of one trace so far."""

    def __init__(self) -> None:
        self._sums = np.zeros((len(READ), WIDTH), dtype=np.float64)

    def read(self, role: Role, summed: Vector) -> Scores:
        """Add a step; return the score of every check so far, shape (len(CHECKS),)."""
        if role in READ:
            self._sums[READ.index(role)] += summed
        return scores(self._sums)


def scores(sums: Scores) -> Scores:
    """Every check's score of the summed-up thinking and answer, shape (len(READ), WIDTH)."""
    columns = sums[:, 1:].reshape(len(READ), len(READ), len(CHECKS))
    size = np.sqrt(sums[:, 0] + PRIOR_MASS)
    return np.asarray(sum(columns[i, i] / size[i] for i in range(len(READ))))
