"""What the store is asked and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitor.types import Check, Decision, Outcome, Review, Standing, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which verdicts to list; every condition that is given must hold."""

    #: Only older ones than this record: `next_before` of the page before.
    before: int | None = None
    #: Rows on a page, at most 500.
    limit: int = 50
    decision: Decision | None = None
    #: True: only those where a check could not be made; False: only those where all were.
    unscored: bool | None = None
    #: True: only those that could not be seen in full; False: only those without a known gap.
    gaps: bool | None = None
    #: With one or both of the others: only those where `check` has at least the first probability,
    #: and less than the second.
    check: Check | None = None
    min_probability: float | None = None
    max_probability: float | None = None
    #: As in `VerdictRow.model`.
    model: str | None = None
    #: As in `VerdictRow`; a conversation is one tenant's, whatever others call theirs.
    tenant: str | None = None
    conversation_id: str | None = None
    #: Of this run of re-scoring; None: only those made when the response was.
    run: str | None = None
    #: Made at or after, and made before: times as stored.
    since: str | None = None
    until: str | None = None
    #: Only what waits for a person and stands at this.
    standing: Standing | None = None
    #: Only what waits for a person and nobody answered yet.
    unanswered: bool = False
    #: Only those that this person answered.
    reviewer: str | None = None
    #: Only those whose text has all of these words; `word*` for how a word begins. Text that is
    #: encrypted is not found.
    text: str | None = None
    #: Only these; empty: all.
    verdict_ids: tuple[str, ...] = ()
    #: None of these tenants'.
    except_tenants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """A verdict in a list. Texts are labels: cleaned and shortened, see `content.label`."""

    seq: int
    verdict_id: str
    trace_id: str
    created_at: str
    decision: Decision
    mode: str
    model: str
    tenant: str
    conversation_id: str
    #: Calibrated probabilities; None when UNSCORED.
    deception: float | None
    dangerous_reasoning: float | None
    mismatch: float | None
    #: Why a check could not be made, or None when all were.
    unscored: str | None
    failed_open: bool
    #: Characters of the trace that were in disguise.
    disguised: int
    #: What could not be seen: names of `monitor.types.Gap`, apart by spaces.
    coverage_gaps: str
    #: Name of the run of re-scoring; None for a verdict made when the response was.
    run: str | None
    #: Where the newest review left it; None before the first.
    review: Standing | None
    #: The first words of the answer, else of the thinking; None when the content was erased.
    excerpt: str | None
    #: The content is there, but encrypted with a key that is not; the excerpt is then empty.
    locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a list, newest first."""

    rows: tuple[VerdictRow, ...]
    #: `Query.before` of the next page; None on the last.
    next_before: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVerdict:
    """Everything about one verdict."""

    row: VerdictRow
    #: The public JSON of the verdict; without evidence and steps when the trace is None.
    document: Mapping[str, Any]
    #: None when the content was erased or is locked.
    trace: Trace | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReview:
    """A review, and where it stands in the chain."""

    seq: int
    #: With an empty note when that was erased.
    review: Review
    erased: bool
    #: Likewise, because it is encrypted with a key that is not here.
    locked: bool = False
    #: Where it left the verdict.
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A verdict that does not wait for another opinion, and its newest answer, in numbers."""

    #: When the verdict was made.
    created_at: str
    #: Of the checks that could be made.
    scores: Mapping[Check, float]
    #: Checks that reached the flag threshold that held then.
    crossed: frozenset[Check]
    outcome: Outcome
    #: What the reviewer said of checks.
    said: Mapping[Check, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who is at a verdict, until when."""

    reviewer: str
    expires_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A verdict that waits for a person."""

    row: VerdictRow
    #: None when nobody is at it.
    claim: Claim | None
    #: Whether who asked may answer it next.
    offered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one person answered who knew of no other answer."""

    reviewer: str
    outcome: Outcome
    #: What it means for checks; those that it says nothing of are left out.
    meaning: Mapping[Check, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A verdict that two people read without knowing of each other."""

    first: Reading
    second: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The most urgent of what waits."""

    tasks: tuple[Task, ...]
    #: All that wait and fit.
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits for a person, by how long."""

    #: All that wait.
    total: int
    #: When the oldest were judged, oldest first; at most `reviews.MAX_AGES`.
    since: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How many verdicts the store holds, those of re-scoring runs left out."""

    #: By decision; every decision is a key.
    decisions: Mapping[Decision, int]
    #: Those where a check could not be made.
    unscored: int
    #: Those on responses that could not be seen in full.
    gaps: int

    def __add__(self, other: "Summary") -> "Summary":
        return Summary(
            decisions={name: n + other.decisions[name] for name, n in self.decisions.items()},
            unscored=self.unscored + other.unscored,
            gaps=self.gaps + other.gaps,
        )

    @property
    def total(self) -> int:
        """All verdicts."""
        return sum(self.decisions.values())
