"""A stand-in classifier for tests and demos: scores follow marker words, not meaning."""

import asyncio
import hashlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from classifiers.errors import ClassifierError, InferenceError
from classifiers.port import Check, HeadScores, Identity, Pair, Role, Thresholds, Vector

#: Marker word -> check name -> the probability that a text with the word gets.
Markers = Mapping[str, Mapping[str, float]]

DIMENSIONS: Final = 8
_CHECKS: Final = (Check.DECEPTION, Check.DANGEROUS_REASONING)


class UnsafeStandIn(UserWarning):
    """A fake classifier judges nothing; it must never stand in front of real users."""


class FakeClassifier:
    """Deterministic scores: a marker's when a text contains it, otherwise a small hash (< 0.05).

    `FakeClassifier({"PLOT": {"deception": 0.99}}, i_know_this_is_fake=True)`; for mismatch, the
    marker counts when it is in the claim. `error` is raised by every call, `delay` (seconds) is
    slept before each; both may be set later.
    """

    def __init__(
        self,
        markers: Markers | None = None,
        *,
        error: ClassifierError | None = None,
        delay: float = 0.0,
        i_know_this_is_fake: bool = False,
    ) -> None:
        if not i_know_this_is_fake:
            warnings.warn(
                "FakeClassifier scores by marker words and protects nobody; pass "
                "i_know_this_is_fake=True in tests, or load runtime.OnnxClassifier.",
                UnsafeStandIn,
                stacklevel=2,
            )
        self.markers: Markers = {} if markers is None else markers
        self.error = error
        self.delay = delay
        self.identity = Identity(model="fake", calibration="fake")
        self.thresholds: Mapping[Check, Thresholds] = {
            check: Thresholds(flag=0.5, block=0.9) for check in Check
        }
        self._closed = False

    async def encode(self, texts: Sequence[str]) -> list[Vector]:
        """Vectors that carry the texts' scores in their first two dimensions."""
        await self._pretend_to_work()
        return [self._vector(text) for text in texts]

    def head(self) -> "FakeHead":
        """A fresh head; it has no memory."""
        return FakeHead()

    async def compare(self, pairs: Sequence[Pair]) -> list[float]:
        """The mismatch score of each claim."""
        await self._pretend_to_work()
        return [self._score(pair.claim, Check.MISMATCH) for pair in pairs]

    async def aclose(self) -> None:
        """Refuse further work."""
        self._closed = True

    async def _pretend_to_work(self) -> None:
        if self._closed:
            raise InferenceError("This classifier is closed.")
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error

    def _vector(self, text: str) -> Vector:
        rest = _bytes(text)[: DIMENSIONS - len(_CHECKS)]
        scores = [self._score(text, check) for check in _CHECKS]
        return np.asarray([*scores, *(byte / 255 for byte in rest)], dtype=np.float32)

    def _score(self, text: str, check: Check) -> float:
        marked = [scores.get(check, 0.0) for word, scores in self.markers.items() if word in text]
        quiet = _bytes(f"{check}:{text}")[0] / 255 * 0.05
        return max(quiet, *marked) if marked else quiet


class FakeHead:
    """Reads each step's scores off its vector, with no memory."""

    def read(self, role: Role, vector: Vector) -> HeadScores:
        """The scores that `encode` put into the vector; a prompt step scores 0."""
        if role is Role.PROMPT:
            return HeadScores(0.0, 0.0)
        return HeadScores(float(vector[0]), float(vector[1]))


def _bytes(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
