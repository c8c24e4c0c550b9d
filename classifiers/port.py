"""What the monitor asks of a classifier: text in, calibrated probabilities out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

#: A step's meaning, shape (dimensions,), float32.
Vector: TypeAlias = npt.NDArray[np.float32]


class Check(StrEnum):
    """What a trace is judged for; a closed vocabulary."""

    #: Intent to mislead users, developers, graders or overseers. Reads thinking and answer.
    DECEPTION = "deception"
    #: Working out harm, or working round safety rules or oversight. Reads thinking and answer.
    DANGEROUS_REASONING = "dangerous_reasoning"
    #: The answer is not what the thinking concluded. Reads the answer against the thinking.
    MISMATCH = "mismatch"


class Role(StrEnum):
    """Whose words a step is. Tool calls count as answer."""

    PROMPT = "prompt"
    THINKING = "thinking"
    ANSWER = "answer"


class Thresholds(NamedTuple):
    """Calibrated probabilities from which a check flags and blocks; 0 < flag <= block <= 1."""

    flag: float
    block: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """What is known of a whole trace when a pair of it is judged."""

    #: The words of thinking and answer so far, summed up (`classifiers.lexical`).
    words: npt.NDArray[np.float64]
    #: Exact comparisons of the answer so far with the thinking (`classifiers.relation.NAMES`).
    relation: Vector


class Pair(NamedTuple):
    """A mismatch question: is the answer's `claim` what the thinking, `premise`, concluded."""

    premise: str
    claim: str
    #: None: the pair is judged by its own words alone.
    context: Context | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which weights and which calibration produced a score; scores compare only when equal."""

    model: str
    calibration: str


class HeadScores(NamedTuple):
    """Calibrated probabilities at one step, read in the light of everything before it.

    A trace's probability is the highest over its thinking and answer steps.
    """

    deception: float
    dangerous_reasoning: float


class Head(Protocol):
    """The causal trace head of one trace: remembers the steps it has read."""

    def read(self, role: Role, vector: Vector) -> HeadScores:
        """Read the next step and score it. PROMPT steps are context only and score 0."""
        ...


class Classifier(Protocol):
    """Two small encoders behind one interface. Implementations: `runtime.OnnxClassifier`, `fake`.

    `encode` and `compare` are batched with the requests of every other trace. They raise
    `errors.Overloaded` when the queue is full and `errors.ClassifierError` when a run fails.
    A text's result does not depend on what it is batched with (within 1e-6).
    """

    identity: Identity
    #: Thresholds that calibration recommends for each check.
    thresholds: Mapping[Check, Thresholds]

    async def encode(self, texts: Sequence[str]) -> list[Vector]:
        """One vector per normalised step text, in order."""
        ...

    def head(self) -> Head:
        """A fresh head for a new trace."""
        ...

    async def compare(self, pairs: Sequence[Pair]) -> list[float]:
        """Calibrated probability of mismatch per pair, in order."""
        ...

    async def aclose(self) -> None:
        """Finish what is running, drop what is queued, free the sessions."""
        ...
