"""Which of many texts share the most telling words with another: indexed once, asked often."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Weights: TypeAlias = npt.NDArray[np.float64]


class Overlap:
    """Bags of words; a word tells the more, the fewer bags have it."""

    def __init__(self, bags: Sequence[Collection[str]]) -> None:
        holders: dict[str, list[int]] = {}
        for i, bag in enumerate(bags):
            for word in bag:
                holders.setdefault(word, []).append(i)
        self.size = max(1, len(bags))
        self.telling = {word: math.log1p(self.size / len(some)) for word, some in holders.items()}
        #: Where the last bag with a word stands, from above 0 to 1.
        self.place = {word: (some[-1] + 1) / self.size for word, some in holders.items()}
        self._holders = {word: np.asarray(some) for word, some in holders.items()}
        self._unknown = math.log1p(self.size)
        self._bags = len(bags)

    def weigh(self, words: Iterable[str]) -> float:
        """How telling words are together, whatever their order; the unknown are most telling."""
        return math.fsum(self.telling.get(word, self._unknown) for word in words)

    def shared(self, words: Collection[str]) -> Weights:
        """How telling the words are that each bag shares with these, shape (bags,)."""
        found = np.zeros(self._bags)
        for word in sorted(self.telling.keys() & words):
            found[self._holders[word]] += self.telling[word]
        return found.round(6)
