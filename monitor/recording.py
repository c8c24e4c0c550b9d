"""Makes verdicts durable without holding up the event loop."""

import asyncio

from monitor.engine import Recorder
from monitor.errors import RecordingError
from monitor.store import Store, StoreError
from monitor.types import Trace, Verdict


def recorder(store: Store) -> Recorder:
    """Return a `record` for the engine: what it wrote is durable when it returns."""

    async def record(verdict: Verdict, trace: Trace) -> None:
        try:
            await asyncio.to_thread(store.record_verdict, verdict, trace)
        except StoreError as error:
            raise RecordingError(str(error)) from error

    return record
