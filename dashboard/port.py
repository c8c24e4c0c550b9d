"""What the dashboard needs from the rest of the monitor."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from dashboard.trends import Trends
from monitor.health import Health
from monitor.rulebook import Rulebook
from monitor.store import Accounts, Reviews, Tallies
from monitor.store.rows import Page, Query, StoredVerdict, Summary
from monitor.types import Trace, Verdict

#: Judges a trace and records the verdict before it returns.
Judge: TypeAlias = Callable[[Trace], Awaitable[Verdict]]


class Records(Protocol):
    """What the dashboard needs of the store. Synchronous and safe to call from any thread."""

    @property
    def accounts(self) -> Accounts:
        """Who may come in."""
        ...

    @property
    def reviews(self) -> Reviews:
        """What people answered, and what waits for them."""
        ...

    @property
    def tallies(self) -> Tallies:
        """Counts over time."""
        ...

    def verdicts(self, query: Query, /) -> Page:
        """The newest verdicts that fit."""
        ...

    def verdict(self, verdict_id: str, /) -> StoredVerdict | None:
        """Everything about one verdict."""
        ...

    def newest_seq(self) -> int:
        """Number of the newest record; changes when anything does."""
        ...

    def summary(self) -> Summary:
        """How many verdicts there are."""
        ...

    def models(self) -> Sequence[str]:
        """The models that verdicts are about."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """What every route shares."""

    store: Records
    judge: Judge
    #: The policy in force now; it may change while the dashboard runs.
    policy: Callable[[], Rulebook]
    #: Whether what a verdict needs works.
    health: Health
    #: A command that sends a first trace, shown while there is nothing else to show.
    try_line: str
    #: Counts over time, kept.
    trends: Trends
    #: All metrics in the text format of Prometheus.
    metrics: Callable[[], bytes] = bytes
