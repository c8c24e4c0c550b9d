"""Follows one trace and asks, at each step of the answer, whether it is what was concluded."""

from collections import deque
from typing import Final

import numpy as np

from classifiers import premise
from classifiers.lexical import READ, WIDTH, meaning, words
from classifiers.port import Context, Pair, Role, Vector
from classifiers.relation import Relation

#: Steps of the answer that a premise is chosen for.
_CLAIM: Final = premise.CLAIM_STEPS


class Comparison:
    """`think` the steps of the thinking, then `answer` those of the answer; memory is bounded."""

    def __init__(self) -> None:
        self._thinking: deque[str] = deque(maxlen=premise.SEARCHED_STEPS)
        self._vectors: deque[Vector] = deque(maxlen=premise.SEARCHED_STEPS)
        self._answer: deque[str] = deque(maxlen=_CLAIM)
        self._relation = Relation()
        self._words = np.zeros((len(READ), WIDTH), dtype=np.float64)

    def think(self, text: str, vector: Vector) -> None:
        """Remember a step of the thinking."""
        self._thinking.append(text)
        self._vectors.append(meaning(vector))
        self._words[READ.index(Role.THINKING)] += words(vector)
        self._relation.think(text)

    def answer(self, text: str, vector: Vector) -> Pair | None:
        """The question to ask for this step of the answer; None if there was no thinking."""
        self._answer.append(text)
        self._words[READ.index(Role.ANSWER)] += words(vector)
        if not self._thinking:
            return None
        pair = premise.pair(self._thinking, self._vectors, self._answer, meaning(vector))
        context = Context(words=self._words.copy(), relation=self._relation.answer(text))
        return pair._replace(context=context)
