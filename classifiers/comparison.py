"""Follows one trace and asks, at each step of the answer, whether it is what was concluded."""

from typing import Final

import numpy as np

from classifiers.lexical import READ, WIDTH, meaning, words
from classifiers.port import Context, Pair, Role, Vector
from classifiers.premise import Premises
from classifiers.relation import Relation

_THINKING: Final = READ.index(Role.THINKING)
_ANSWER: Final = READ.index(Role.ANSWER)


class Comparison:
    """`think` the steps of the thinking, then `answer` those of the answer; memory is bounded."""

    def __init__(self) -> None:
        self._premises = Premises()
        self._relation = Relation()
        self._words = np.zeros((len(READ), WIDTH), dtype=np.float64)

    def think(self, text: str, vector: Vector) -> None:
        """Remember a step of the thinking."""
        self._premises.think(text, meaning(vector))
        self._relation.think(text)
        self._words[_THINKING] += words(vector)

    def answer(self, text: str, vector: Vector) -> Pair | None:
        """The question to ask for this step of the answer; None if there was no thinking."""
        self._words[_ANSWER] += words(vector)
        pair = self._premises.pair(text, meaning(vector))
        if pair is None:
            return None
        context = Context(words=self._words.copy(), relation=self._relation.answer(text))
        return pair._replace(context=context)
