"""What the dashboard needs from the rest of the monitor."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

from classifiers.port import Check, Thresholds
from dashboard.trends import Trends
from monitor.health import Health
from monitor.opinions import NO_SECONDS, Seconds
from monitor.rulebook import Rulebook
from monitor.single_sign_on import Provider
from monitor.store import Accounts, Log, Reviews, Runs, StoredCheckpoint, Tallies, Views
from monitor.store.rows import Page, Query, StoredVerdict, Summary
from monitor.types import Trace, Verdict

#: Judges a trace and records the verdict before it returns.
Judge: TypeAlias = Callable[[Trace], Awaitable[Verdict]]
#: Judges by name of their model, which record nothing.
Others: TypeAlias = Mapping[str, Judge]
NO_OTHERS: Others = MappingProxyType({})


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
    def runs(self) -> Runs:
        """Runs of re-scoring, and what they changed."""
        ...

    @property
    def log(self) -> Log:
        """What happened besides verdicts."""
        ...

    @property
    def views(self) -> Views:
        """Filters that people saved."""
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

    def newest_checkpoint(self) -> StoredCheckpoint | None:
        """The checkpoint that covers most records."""
        ...

    def summary(self) -> Summary:
        """How many verdicts there are."""
        ...

    def models(self) -> Sequence[str]:
        """The models that verdicts are about."""
        ...


#: Some rows of a list, by column.
Rows: TypeAlias = Sequence[Mapping[str, Any]]
#: Writes rows as Parquet, piece by piece: the rows, and the type of each column.
Parquet: TypeAlias = Callable[[Iterable[Rows], Mapping[str, type]], Iterator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A policy file that is ready to be written."""

    #: What the file said when this was drafted.
    before: str
    after: str
    #: The policy that it will be.
    book: Rulebook


class PolicyFile(Protocol):
    """The policy file that the server follows. Synchronous and safe to call from any thread."""

    @property
    def name(self) -> str:
        """Where it is."""
        ...

    def version(self) -> str:
        """The version of the file as it stands; PolicyError when it cannot be obeyed."""
        ...

    def draft(self, check: Check, limits: Thresholds) -> Draft:
        """The file with other thresholds at its top; PolicyError when that is not possible."""
        ...

    def write(self, draft: Draft) -> None:
        """Replace the file as a whole; PolicyError when it is not what was drafted from."""
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
    #: Where the policy can be changed; None while the server runs without a policy file.
    policy_file: PolicyFile | None
    #: Counts over time, kept.
    trends: Trends
    #: What this server runs with: groups of names and values.
    settings: Mapping[str, Mapping[str, str]]
    #: Writes Parquet; None where that is not installed.
    parquet: Parquet | None
    #: All metrics in the text format of Prometheus.
    metrics: Callable[[], bytes] = bytes
    #: Who vouches for people, besides our own passwords.
    provider: Provider | None = None
    #: Which verdicts a second person is asked about.
    seconds: Seconds = NO_SECONDS
    #: Models that a stored trace can be scored with once more.
    others: Others = field(default_factory=dict)
