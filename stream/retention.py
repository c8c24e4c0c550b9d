"""Erases texts that are older than the rules allow, while the server runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog

from monitor.clock import stamp
from monitor.retention import Rules
from monitor.store import Erased, Store, StoreError
from stream.background import repeating

_log = structlog.get_logger()

#: Seconds between two rounds; a text may be so much older than its rule says.
INTERVAL = 3600.0
#: Who erased, in the records.
ACTOR = "retention rule"


@asynccontextmanager
async def retaining(
    store: Store,
    rules: Rules,
    *,
    interval: float = INTERVAL,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AsyncIterator[None]:
    """Record the rules, StoreError when that does not work, and obey them in the background."""
    await asyncio.to_thread(store.retention.record_rules, rules.words, at=stamp(now()))
    if not rules.keeps:
        yield
        return

    async def erase() -> float:
        await asyncio.to_thread(attempt, store, rules, now())
        return interval

    async with repeating(erase):
        yield


def attempt(store: Store, rules: Rules, now: datetime) -> Erased:
    """Erase what is due; a failure is logged, and the next round tries again."""
    total = Erased()
    for keep, query in rules.due(now):
        reason = f"kept for {keep.words}: made before {query.until}"
        try:
            total += store.retention.erase(query, by=ACTOR, reason=reason, at=stamp(now))
        except StoreError as error:
            _log.error("retention_failed", reason=str(error))
        except Exception as error:  # noqa: BLE001 (that texts stay for ever must be heard)
            _log.error("retention_failed", reason=type(error).__name__)
    if total != Erased():
        _log.info("texts_erased", texts=total.texts, notes=total.notes)
    return total
