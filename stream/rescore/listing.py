"""The list of runs in the audit store that keeps their verdicts."""

from collections.abc import Iterator
from contextlib import contextmanager

from monitor.clock import utc_now
from monitor.store import Store
from monitor.types import Decision
from stream.rescore.ledger import Ledger
from stream.rescore.summary import Summary

__all__ = ["listed"]


@contextmanager
def listed(store: Store, ledger: Ledger, policy: str) -> Iterator[None]:
    """List a run from its beginning, and what it came to once it is finished."""
    model = ledger.plan.versions["model"]
    store.runs.begin(ledger.run, started_at=ledger.started_at, policy=policy, model=model)
    yield
    found = Summary.of(ledger)
    store.runs.finish(
        ledger.run,
        finished_at=ledger.finished_at or utc_now(),
        decisions={Decision[name.upper()]: count for name, count in found.decisions.items()},
        unscored=found.unscored,
        bad=found.bad,
    )
