"""Which part of the thinking an answer is compared with: the one place for training and serving."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

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


def pair(
    thinking: Sequence[str], vectors: Sequence[Vector], answer: Sequence[str], query: Vector
) -> Pair:
    """The pair to compare for the last step of `answer`.

    `thinking` and `vectors` hold at most the last `SEARCHED_STEPS` steps, at least one; `answer`
    the answer's steps so far; `query` is the vector of the last of them. Shared words decide (a
    vector cannot tell 42 from 43); vectors decide between steps that share equally many.
    """
    steps, claim = list(thinking), list(answer)[-CLAIM_STEPS:]
    earlier = steps[:-CONCLUSION_STEPS]
    shared = _shared(earlier, claim[-1])
    alike = [_cosine(v, query) for v in list(vectors)[: len(earlier)]]
    ranked = sorted(range(len(earlier)), key=lambda i: (-shared[i], -alike[i], i))
    chosen = [*sorted(ranked[:SIMILAR_STEPS]), *range(len(earlier), len(steps))]
    return Pair(premise="".join(steps[i] for i in chosen), claim="".join(claim))


def _shared(steps: Sequence[str], claim: str) -> list[float]:
    """How much each step shares with the claim: words that few steps have weigh most."""
    words = [_words(step) for step in steps]
    spread = Counter(word for some in words for word in some)
    wanted = _words(claim)
    return [
        round(sum(math.log1p(len(steps) / spread[w]) for w in sorted(some & wanted)), 6)
        for some in words
    ]


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}


def _cosine(a: Vector, b: Vector) -> float:
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9))
