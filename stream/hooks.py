"""Sends events to where somebody wants to know of them, until they are taken.

Each hook reads the chain by itself, from where it left off: what was not taken is sent again, after
a restart too. A hook that is down holds up nobody else, and after `Patience.total` an event is left
out, loudly. Of servers that share a database one at a time serves a hook; when it is silent for
`Patience.silence`, the next one goes on from where it was.
"""

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

import aiohttp
import structlog

from monitor.audit import AuditRecord
from monitor.hooks import Event, Message, event_of, signed
from monitor.logs import complain
from monitor.store import Store

#: Records read at a time.
BATCH = 200
#: The same gap is told again after so long: a server that hides its thinking does so every time.
QUIET = timedelta(hours=1)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Where events go."""

    url: str
    #: Signs them; None for one that takes messages as Slack does, whose address is the secret.
    secret: bytes | None

    @property
    def name(self) -> str:
        """Names it in the database and in logs, without giving its address away."""
        return f"hook-{hashlib.sha256(self.url.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited for what; in seconds."""

    #: Between two looks at a chain that had nothing new.
    look: float = 1.0
    #: For an answer.
    answer: float = 20.0
    #: Before something is sent again: doubled each time, up to the longest.
    first: float = 1.0
    longest: float = 300.0
    #: Until an event that nobody takes is left out.
    total: float = 24 * 3600.0
    #: Between two signs of life to other servers.
    beat: float = 10.0
    #: Until another server that gives none is thought to be gone.
    silence: float = 30.0


_PATIENCE = Patience()


class LostError(Exception):
    """Another server serves this hook by now."""


@dataclass(kw_only=True)
class Sender:
    """Reads the chain for one hook."""

    hook: Hook
    store: Store
    http: aiohttp.ClientSession
    #: Of the console, for links.
    address: str
    patience: Patience = _PATIENCE
    #: By which other servers know this one.
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)
    _told: dict[str, datetime] = field(default_factory=dict)

    async def run(self) -> None:
        """Send whatever comes, for ever, whenever it is this server's turn."""
        try:
            while True:
                await self._tried()
                await asyncio.sleep(self.patience.look)
        finally:
            with suppress(Exception):  # others wait for a while then
                await asyncio.to_thread(self.store.cursors.release, self.hook.name, self.holder)

    async def _tried(self) -> None:
        try:
            await self._serve(await self._turn())
        except LostError:
            _log.warning("hook_taken_over", hook=self.hook.name)
        except Exception as error:  # noqa: BLE001 -- the next event must be told all the same
            complain("hook_stumbled", hook=self.hook.name, error=type(error).__name__)

    async def _turn(self) -> int:
        """Wait until nobody else serves the hook; return the last record that was read for it."""
        cursors, name = self.store.cursors, self.hook.name
        seen, since = None, 0.0
        while True:
            place = await asyncio.to_thread(cursors.look, name)
            if place != seen:
                seen, since = place, time.monotonic()
            held = place.holder not in {None, self.holder}
            free = not held or time.monotonic() - since >= self.patience.silence
            if free and await asyncio.to_thread(cursors.take, name, self.holder, place):
                return place.seq
            await asyncio.sleep(self.patience.look)

    async def _serve(self, seq: int) -> None:
        """Send whatever comes behind a record; LostError once another server has taken over."""
        both = [asyncio.create_task(work) for work in (self._beat(), self._follow(seq))]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.patience.beat)
            if not await asyncio.to_thread(self.store.cursors.beat, self.hook.name, self.holder):
                raise LostError

    async def _follow(self, seq: int) -> None:
        while True:
            seq = await self._catch_up(seq)
            await asyncio.sleep(self.patience.look)

    async def _catch_up(self, seq: int) -> int:
        """Send all that follows a record; return the last one that was read."""
        while batch := await asyncio.to_thread(self._read, seq + 1):
            for record in batch:
                message = event_of(record, self.address)
                if message is not None and self._worth(message):
                    await self._deliver(message)
                    await self._advance(record.seq)
            seq = batch[-1].seq
            await self._advance(seq)
        return seq

    async def _advance(self, seq: int) -> None:
        cursors = self.store.cursors
        if not await asyncio.to_thread(cursors.advance, self.hook.name, seq, self.holder):
            raise LostError

    def _read(self, start: int) -> list[AuditRecord]:
        return list(islice(self.store.records(start), BATCH))

    def _worth(self, message: Message) -> bool:
        """Whether to tell it: a gap that was told of a short time ago is not news."""
        if message.event is not Event.NOT_SEEN:
            return True
        at, gaps = datetime.fromisoformat(message.at), message.data["coverage_gaps"]
        news = [gap for gap in gaps if gap not in self._told or at - self._told[gap] >= QUIET]
        self._told |= dict.fromkeys(news, at)
        return bool(news)

    async def _deliver(self, message: Message) -> None:
        """Send until it is taken, or for as long as patience lasts."""
        began, pause = time.monotonic(), self.patience.first
        while (why := await self._send(message)) is not None:
            if time.monotonic() - began >= self.patience.total:
                complain("hook_gave_up", hook=self.hook.name, message=message.message_id, why=why)
                return
            _log.warning("hook_refused", hook=self.hook.name, why=why, again_in=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, self.patience.longest)

    async def _send(self, message: Message) -> str | None:
        """Send once; None when it was taken, else why not."""
        headers = {"content-type": "application/json"}
        if self.hook.secret is None:
            body = message.slack()
        else:
            body = message.body()
            headers |= signed(message.message_id, body, self.hook.secret, int(time.time()))
        try:
            async with self.http.post(
                self.hook.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return None if 200 <= answer.status < 300 else f"status {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__


@asynccontextmanager
async def telling(
    hooks: Sequence[Hook], store: Store, address: str, patience: Patience = _PATIENCE
) -> AsyncIterator[None]:
    """Send events in the background; without hooks, do nothing."""
    if not hooks:
        yield
        return
    timeout = aiohttp.ClientTimeout(total=patience.answer)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        tasks = [
            asyncio.create_task(
                Sender(hook=h, store=store, http=http, address=address, patience=patience).run()
            )
            for h in hooks
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
