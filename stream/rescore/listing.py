"""The list of runs in an audit store, beside the verdicts of those that judged texts."""

from collections.abc import Iterator
from contextlib import contextmanager

from monitor.clock import utc_now
from monitor.store import Store
from monitor.types import Decision
from stream.rescore.ledger import Ledger
from stream.rescore.summary import Summary

__all__ = ["listed"]


@contextmanager
def listed(
    store: Store, ledger: Ledger, policy: str, scores_of: str | None = None
) -> Iterator[None]:
    """List a run from its beginning, and what it came to once it is finished.

    `scores_of` names the run that it decides anew, if so. Raises Conflict where the store has
    another run of this name.
    """
    store.runs.begin(
        ledger.run,
        started_at=ledger.started_at,
        policy=policy,
        model=ledger.plan.versions["model"],
        scores_of=scores_of,
    )
    yield
    found = Summary.of(ledger)
    store.runs.finish(
        ledger.run,
        finished_at=ledger.finished_at or utc_now(),
        decisions={Decision[name.upper()]: count for name, count in found.decisions.items()},
        unscored=found.unscored,
        bad=found.bad,
    )
