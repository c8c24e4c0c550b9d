"""Scores steps in order: encode once, read with the head, compare the answer with the thinking."""

from collections.abc import Mapping, Sequence

from classifiers.comparison import Comparison
from classifiers.port import Check, Classifier, Pair, Role, Vector
from classifiers.segment import segment
from monitor.types import Step

#: Steps of the prompt, from its end, that the head reads as context.
PROMPT_STEPS = 8


class Scorer:
    """The scores of one trace's steps; remembers what the checks need of earlier steps."""

    def __init__(self, classifier: Classifier, prompt: str) -> None:
        self._classifier = classifier
        self._prompt = [piece.text for piece in segment(prompt)][-PROMPT_STEPS:]
        self._head = classifier.head()
        self._comparison = Comparison()

    async def score(self, steps: Sequence[Step]) -> list[Mapping[Check, float]]:
        """The scores of the next steps, in order; a check that does not read a step is left out."""
        await self._read_prompt()
        vectors = await self._classifier.encode([step.text for step in steps])
        pairs = [self._remember(s, v) for s, v in zip(steps, vectors, strict=True)]
        asked = [pair for pair in pairs if pair is not None]
        mismatches = iter(await self._classifier.compare(asked) if asked else ())
        return [
            self._read(step, vector, next(mismatches) if pair else None)
            for step, vector, pair in zip(steps, vectors, pairs, strict=True)
        ]

    async def _read_prompt(self) -> None:
        """Give the head what the model was asked, once."""
        texts, self._prompt = self._prompt, []
        for vector in await self._classifier.encode(texts) if texts else ():
            self._head.read(Role.PROMPT, vector)

    def _remember(self, step: Step, vector: Vector) -> Pair | None:
        if step.channel.role is Role.THINKING:
            self._comparison.think(step.text, vector)
            return None
        return self._comparison.answer(step.text, vector)

    def _read(self, step: Step, vector: Vector, mismatch: float | None) -> Mapping[Check, float]:
        head = self._head.read(step.channel.role, vector)
        scores = {
            Check.DECEPTION: head.deception,
            Check.DANGEROUS_REASONING: head.dangerous_reasoning,
        }
        return scores if mismatch is None else {**scores, Check.MISMATCH: mismatch}
