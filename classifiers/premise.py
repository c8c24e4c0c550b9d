"""Which part of the thinking an answer is compared with: the one place for training and serving."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from classifiers.port import Pair, Vector

#: Conclusions stand at the end: this many last steps of the thinking are always in the premise,
CONCLUSION_STEPS: Final = 1
#: and this many earlier ones that are most similar to the answer.
SIMILAR_STEPS: Final = 2
#: Only the last steps of the thinking are searched, so time and memory stay linear.
SEARCHED_STEPS: Final = 512


def pair(
    thinking: Sequence[str], vectors: Sequence[Vector], answer: Sequence[str], query: Vector
) -> Pair:
    """The pair to compare for the last step of `answer`.

    `thinking` and `vectors` hold at most the last `SEARCHED_STEPS` steps, at least one; `answer`
    the answer's steps so far; `query` is the vector of the last of them.
    """
    earlier = np.asarray(vectors[:-CONCLUSION_STEPS], dtype=np.float32).reshape(-1, len(query))
    norms = np.linalg.norm(earlier, axis=1) * np.linalg.norm(query) + 1e-9
    similar = np.argsort(-(earlier @ query) / norms, kind="stable")[:SIMILAR_STEPS]
    chosen = [*sorted(int(i) for i in similar), *range(len(earlier), len(thinking))]
    return Pair(premise="".join(thinking[i] for i in chosen), claim="".join(answer[-2:]))
