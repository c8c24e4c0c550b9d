"""What a re-scoring run changed, in numbers: read by programs and kept with a run. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

__all__ = ["Change", "Comparison", "Drift", "Flip", "Group"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A rate before and after, on the same traces."""

    name: str
    before: float
    after: float
    #: 95 % interval of the difference `after - before`.
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How the probabilities of a check moved, where both sides scored it."""

    check: str
    traces: int
    mean_before: float
    mean_after: float
    #: Of the absolute change.
    mean: float
    p95: float
    largest: float
    #: Traces that only one side could score.
    lost: int
    gained: int
    #: Traces per twentieth of the range from 0 to 1.
    histogram_before: tuple[int, ...]
    histogram_after: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A model or a source, and what changed for its traces."""

    name: str
    traces: int
    flipped: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A trace whose decision or scores changed."""

    trace_id: str
    #: Of the verdict afterwards.
    verdict_id: str
    source: str
    line: int
    model: str
    before: str
    after: str
    #: Probability per check before and after; None where it was not scored.
    scores: Mapping[str, tuple[float | None, float | None]]
    #: Words of the step that counts most now, if the run quoted one.
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that a report says, but for the single traces."""

    before: str
    after: str
    #: Traces that are on both sides: all figures are about these.
    traces: int
    only_before: int
    only_after: int
    #: Traces by decision before (rows) and after (columns): allow, flag, block.
    matrix: tuple[tuple[int, ...], ...]
    changes: tuple[Change, ...]
    drifts: tuple[Drift, ...]
    models: tuple[Group, ...]
    sources: tuple[Group, ...]
    top: tuple[Flip, ...]

    @property
    def flipped(self) -> int:
        """Traces with another decision than before."""
        return self.traces - sum(row[place] for place, row in enumerate(self.matrix))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "flipped": self.flipped}

    @staticmethod
    def from_json(value: object) -> "Comparison":
        """Read what `to_json` gave; raises ValueError when it is something else."""
        return _READER.validate_python(value)


_READER = TypeAdapter(Comparison)
