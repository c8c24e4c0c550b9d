"""Checkpoints while the server runs: every minute or thousand records, and at its end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from monitor.notary import Notary, RefusedToSign
from monitor.store import StoreError
from stream.background import repeating

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When a checkpoint is due, if there are new records."""

    #: Seconds after the last attempt, whatever came of it.
    seconds: float = 60.0
    #: New records after the last checkpoint.
    records: int = 1000
    #: Seconds between two looks at the number of records.
    look: float = 0.25


_DEFAULT = Rhythm()


@asynccontextmanager
async def attesting(
    notary: Notary | None,
    rhythm: Rhythm = _DEFAULT,
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncIterator[None]:
    """Make checkpoints in the background, and a last one at the end; without a notary, none."""
    if notary is None:
        yield
        return
    failed, tried = False, float("-inf")

    async def look() -> float:
        nonlocal failed, tried
        late = monotonic() - tried >= rhythm.seconds
        many = not failed and await asyncio.to_thread(_pending, notary) >= rhythm.records
        if late or many:
            tried, failed = monotonic(), not await asyncio.to_thread(attempt, notary)
        return rhythm.look

    try:
        async with repeating(look):
            yield
    finally:
        await asyncio.to_thread(attempt, notary)


def attempt(notary: Notary) -> bool:
    """Make a checkpoint if there is something new; a failure is logged, and serving goes on."""
    try:
        notary.attest()
    except RefusedToSign as error:
        _log.error("checkpoint_refused", reason=str(error), hint="run `subtext audit verify`")
    except (StoreError, OSError) as error:
        _log.error("checkpoint_failed", reason=str(error))
    except Exception as error:  # noqa: BLE001 (that nobody signs any more must be heard)
        _log.error("checkpoint_failed", reason=type(error).__name__)
    else:
        return True
    return False


def _pending(notary: Notary) -> int:
    with suppress(Exception):  # `attempt` says what is wrong, once a minute
        return notary.pending()
    return 0
