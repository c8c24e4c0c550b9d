"""The classifier that serves: ONNX encoders behind shared batchers, a numpy head per trace."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np

from classifiers.artefact import PAIR_MODEL, STEP_MODEL, TOKENISER, Artefact, load
from classifiers.batcher import (
    CPU_BATCH_TOKENS,
    DEFAULT_QUEUE_TOKENS,
    GPU_BATCH_TOKENS,
    Batcher,
    Counters,
)
from classifiers.head import TraceHead, load_weights, sigmoid
from classifiers.lexical import sum_up
from classifiers.port import Check, Pair, Thresholds, Vector
from classifiers.sessions import PairRunner, StepRunner, open_session
from classifiers.tokenise import Tokeniser, Window


class OnnxClassifier:
    """The shipped implementation of `port.Classifier`; one per process, for one event loop."""

    def __init__(
        self,
        artefact: Artefact,
        steps: StepRunner,
        pairs: PairRunner,
        queue_tokens: int = DEFAULT_QUEUE_TOKENS,
    ) -> None:
        self.artefact = artefact
        self.identity = artefact.identity
        self.thresholds: Mapping[Check, Thresholds] = artefact.thresholds
        self._tokeniser = Tokeniser(artefact.file(TOKENISER))
        self._weights = load_weights(artefact)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="classifier")
        size = GPU_BATCH_TOKENS if steps.on_gpu else CPU_BATCH_TOKENS
        self._steps: Batcher[Vector] = Batcher(
            runner=steps, thread=self._thread, batch_tokens=size, queue_tokens=queue_tokens
        )
        self._pairs: Batcher[float] = Batcher(
            runner=pairs, thread=self._thread, batch_tokens=size, queue_tokens=queue_tokens
        )

    @classmethod
    def load(
        cls,
        path: Path | None = None,
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        queue_tokens: int = DEFAULT_QUEUE_TOKENS,
    ) -> Self:
        """Verify and load a model folder, the shipped one by default.

        What would make more than `queue_tokens` tokens wait is refused: see `batcher`.
        """
        artefact = load(path)
        return cls(
            artefact,
            StepRunner(open_session(artefact.file(STEP_MODEL), threads, providers)),
            PairRunner(open_session(artefact.file(PAIR_MODEL), threads, providers)),
            queue_tokens,
        )

    @property
    def counters(self) -> Mapping[str, Counters]:
        """What each model's batcher has done, for metrics."""
        return {"step": self._steps.counters, "pair": self._pairs.counters}

    @property
    def queued_tokens(self) -> int:
        """Tokens that wait to be scored, a sign of overload."""
        return self._steps.queued_tokens + self._pairs.queued_tokens

    async def encode(self, texts: Sequence[str]) -> list[Vector]:
        """One vector per normalised step text, in order."""
        windows = [self._tokeniser.step(text) for text in texts]
        parts = iter(await self._steps.run([w for some in windows for w in some]))
        return [self._vector(some, [next(parts) for _ in some]) for some in windows]

    def _vector(self, windows: Sequence[Window], parts: Sequence[Vector]) -> Vector:
        """What the encoder makes of a step, then what its words say."""
        words = sum_up(self._weights.arrays["lexicon"], [i for w in windows for i in w.ids[1:-1]])
        return np.concatenate([_average(windows, parts), words])

    def head(self) -> TraceHead:
        """A fresh head for a new trace."""
        return TraceHead(self._weights)

    async def compare(self, pairs: Sequence[Pair]) -> list[float]:
        """Calibrated probability of mismatch per pair, in order."""
        windows = [self._tokeniser.pair(pair) for pair in pairs]
        logits = iter(await self._pairs.run([w for some in windows for w in some]))
        platt = self.artefact.calibration[Check.MISMATCH]
        found = [worst(some, [next(logits) for _ in some]) for some in windows]
        combined = [self._weights.mismatch(p, x) for p, x in zip(pairs, found, strict=True)]
        return [sigmoid(platt.a * logit + platt.b) for logit in combined]

    async def aclose(self) -> None:
        """Finish what is running, drop what is queued, free the thread."""
        await self._steps.aclose()
        await self._pairs.aclose()
        self._thread.shutdown(wait=False)


def _average(windows: Sequence[Window], vectors: Sequence[Vector]) -> Vector:
    if len(vectors) == 1:
        return vectors[0]
    weights = [len(window.ids) for window in windows]
    return np.average(np.stack(vectors), axis=0, weights=weights).astype(np.float32)


def worst(windows: Sequence[Window], logits: Sequence[float]) -> float:
    """A pair's logit: mean over the windows of a long premise, then the worst part of the claim."""
    parts: dict[int, list[float]] = {}
    for window, logit in zip(windows, logits, strict=True):
        parts.setdefault(window.part, []).append(logit)
    return max(sum(some) / len(some) for some in parts.values())
