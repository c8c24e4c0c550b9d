"""Which part of the thinking an answer is compared with: the one place for training and serving."""

import re
from collections import deque
from typing import Final

import numpy as np

from classifiers.overlap import Overlap
from classifiers.port import Pair, Vector

#: Conclusions stand at the end: this many last steps of the thinking are always in the premise,
CONCLUSION_STEPS: Final = 1
#: and this many earlier ones that share the most telling words with the answer.
SIMILAR_STEPS: Final = 2
#: The claim is the answer's last step and what leads up to it.
CLAIM_STEPS: Final = 2
#: Only the last steps of the thinking are searched, so time and memory stay linear.
SEARCHED_STEPS: Final = 512
_WORD: Final = re.compile(r"\d[\d.,:/]*\d|\w+")


class Premises:
    """Follows one trace: `think` its thinking, then ask for the pair of each step of the answer.

    Shared words decide (a vector cannot tell 42 from 43); vectors decide between steps that share
    equally many.
    """

    def __init__(self) -> None:
        self._texts: deque[str] = deque(maxlen=SEARCHED_STEPS)
        self._words: deque[set[str]] = deque(maxlen=SEARCHED_STEPS)
        self._directions: deque[Vector] = deque(maxlen=SEARCHED_STEPS)
        self._claim: deque[str] = deque(maxlen=CLAIM_STEPS)
        self._earlier: _Earlier | None = None

    def think(self, text: str, vector: Vector) -> None:
        """Remember a step of the thinking."""
        self._texts.append(text)
        self._words.append(_words(text))
        self._directions.append(_direction(vector))
        self._earlier = None

    def pair(self, text: str, vector: Vector) -> Pair | None:
        """The pair to compare for the next step of the answer; None if there was no thinking."""
        self._claim.append(text)
        if not self._texts:
            return None
        if self._earlier is None:
            count = max(0, len(self._texts) - CONCLUSION_STEPS)
            self._earlier = _Earlier(list(self._words)[:count], list(self._directions)[:count])
        chosen = self._earlier.most_similar(_words(text), _direction(vector))
        conclusion = list(self._texts)[-CONCLUSION_STEPS:]
        premise = [*(self._texts[i] for i in chosen), *conclusion]
        return Pair(premise="".join(premise), claim="".join(self._claim))


class _Earlier:
    """The steps before the conclusion, ready to be searched."""

    def __init__(self, words: list[set[str]], directions: list[Vector]) -> None:
        self._overlap = Overlap(words)
        self._directions = np.stack(directions) if directions else np.zeros((0, 1))

    def most_similar(self, words: set[str], direction: Vector) -> list[int]:
        """Which steps share most with an answer's step, in the order of the thinking."""
        if not len(self._directions):
            return []
        alike = (self._directions @ direction).round(6)
        ranked = np.lexsort((-alike, -self._overlap.shared(words)))
        return sorted(ranked[:SIMILAR_STEPS].tolist())


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}


def _direction(vector: Vector) -> Vector:
    return np.asarray(vector / (np.linalg.norm(vector) + 1e-9))
