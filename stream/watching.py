"""Looks at files while the monitor runs: what they say is taken up without a restart."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeAlias

from monitor.logs import complain

#: Seconds between two looks; a change is taken up when it is one look old.
INTERVAL = 1.0

#: Which file it is, and what tells that it was written anew; None when there is none.
State: TypeAlias = tuple[int, ...] | None


class Looker(Protocol):
    """Takes something up when it has changed."""

    async def look(self, *, asked: bool = False) -> None:
        """Look; `asked` takes it up as it is, changed or not."""
        ...


class Settling:
    """Tells when files have changed and are the same as one look ago, so not half written."""

    def __init__(self, state: Callable[[], object], taken: object = None) -> None:
        """`taken` is the state that is in use already."""
        self._state, self._taken = state, taken
        self._seen: object = None

    async def changed(self, *, asked: bool) -> bool:
        """Whether what is there now should be taken up."""
        state = await asyncio.to_thread(self._state)
        settled, self._seen = state == self._seen, state
        return asked or (settled and state != self._taken)

    def take(self) -> None:
        """What was just seen is in use, or will not do and is worth no other try."""
        self._taken = self._seen


def state_of(path: Path) -> State:
    """Another value whenever the file was written or replaced."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


@asynccontextmanager
async def watching(lookers: Sequence[Looker]) -> AsyncIterator[None]:
    """Let all look in the background, and at once on SIGHUP; where there are none, do neither."""
    if not lookers:
        yield
        return
    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    task = asyncio.create_task(_watch(lookers, asked))
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(lookers: Sequence[Looker], asked: asyncio.Event) -> None:
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), INTERVAL)
        now = asked.is_set()
        asked.clear()
        for looker in lookers:
            try:
                await looker.look(asked=now)
            except Exception as error:  # noqa: BLE001 -- the next change must be taken up all the same
                complain("file_not_followed", by=type(looker).__name__, error=type(error).__name__)
