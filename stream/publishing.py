"""Sends every signed checkpoint to where others hold it, until it is there.

Each place is served by itself, from where it was left, after a restart too: one that is away
holds up neither the others nor the signing.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice

from monitor.logs import complain
from monitor.store import Store
from stream.places import Place, PlaceError, cursor_of

#: Checkpoints sent at a time.
BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long is waited for what; in seconds."""

    #: Between two looks for a new checkpoint.
    look: float = 1.0
    #: After a failure: doubled each time, up to the longest.
    first: float = 2.0
    longest: float = 300.0
    #: For the last checkpoint, when the server stops.
    farewell: float = 20.0


_PACE = Pace()


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Serves one place."""

    store: Store
    address: str
    place: Place
    #: An attempt that the server's end cut short goes on in its thread, and the last one waits.
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def catch_up(self) -> None:
        """Send what is new; PlaceError or StoreError when that did not work in full.

        A place that was never served is sent the newest checkpoint, which covers all before it.
        """
        with self._turn:
            self._catch_up()

    def _catch_up(self) -> None:
        name = cursor_of(self.address)
        newest = self.store.newest_checkpoint()
        if newest is None:
            return
        seq = self.store.cursors.begin(name, newest.size - 2)
        while batch := list(islice(self.store.checkpoints(after=seq + 1), BATCH)):
            self.place.put(batch)
            seq = batch[-1].size - 1
            self.store.cursors.advance(name, seq)

    async def run(self, pace: Pace) -> None:
        """Send whatever comes, for ever."""
        pause = pace.first
        while True:
            if await self._tried():
                pause = pace.first
                await asyncio.sleep(pace.look)
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, pace.longest)

    async def _tried(self) -> bool:
        try:
            await asyncio.to_thread(self.catch_up)
        except PlaceError as error:
            complain("checkpoint_not_published", reason=str(error))
        except Exception as error:  # noqa: BLE001 -- that nobody holds any more must be heard
            complain("checkpoint_not_published", reason=type(error).__name__)
        else:
            return True
        return False

    async def farewell(self, pace: Pace) -> None:
        """Try once more, now that the last checkpoint was made."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._tried(), pace.farewell)


@asynccontextmanager
async def publishing(
    places: Mapping[str, Place], store: Store, pace: Pace = _PACE
) -> AsyncIterator[None]:
    """Send checkpoints to places, by address, in the background, and the last one at the end."""
    publishers = [Publisher(store=store, address=a, place=p) for a, p in places.items()]
    tasks = [asyncio.create_task(publisher.run(pace)) for publisher in publishers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.gather(*(publisher.farewell(pace) for publisher in publishers))


def publish_all(store: Store, place: Place) -> int:
    """Send all checkpoints to a place, those that it has left out; return how many there are."""
    count, size = 0, 0
    while batch := list(islice(store.checkpoints(after=size), BATCH)):
        place.put(batch)
        count, size = count + len(batch), batch[-1].size
    return count
