"""What the API carries at one time: more is refused; nothing large is read on the event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from fastapi import Request

from dashboard.score import MAX_BODY, Asked, understood
from monitor.budget import Budget, OverBudget

#: Bytes of all requests that are being read and judged.
MAX_CARRIED = 4 * MAX_BODY
#: Bytes that even the smallest request counts as.
LEAST = 64 * 1024
#: Seconds in which a body must have come.
PATIENCE = 60.0


class Turned(Exception):  # noqa: N818 -- an answer more than an error
    """The request was turned away unread."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer."""
        return {"retry-after": "1"} if self.status == 503 else {}


class Intake:
    """Takes the bodies of requests, within bounds."""

    def __init__(self) -> None:
        self._budget = Budget(MAX_CARRIED)
        self._reading = asyncio.Lock()

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body; it counts as carried until the context ends. Turned when it cannot be taken."""
        with self._budget.share() as share:
            try:
                share.take(LEAST)
                async with asyncio.timeout(PATIENCE):
                    body = await _read(request, share.take)
            except OverBudget as error:
                raise Turned(503, "busy", "Too much is being judged; come again.") from error
            except TimeoutError as error:
                raise Turned(408, "slow", "The body did not come in time.") from error
            yield body

    async def understood(self, body: bytes) -> Asked:
        """Read a body, one at a time, beside the event loop."""
        async with self._reading:
            return await asyncio.to_thread(understood, body)


async def _read(request: Request, take: Callable[[int], None]) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > MAX_BODY:
            raise Turned(413, "too_large", f"A request holds at most {MAX_BODY} bytes.")
        take(len(chunk))
        body += chunk
    return bytes(body)
