"""Which requests are taken at all, and their bodies.

Whatever two servers in a row could read differently is refused, so that what is judged here is what
the server behind answers to. The parser (llhttp, strict) has refused broken framing by then.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import HttpVersion10, HttpVersion11, web

from monitor.budget import Budget

#: Encodings of a body that are undone here, so that it is judged and forwarded in the clear.
_UNPACKED = frozenset({"gzip", "deflate"})
#: After decoding once: what a server may decode again, cut off at, or take for a slash.
_AMBIGUOUS = re.compile(r"[\x00-\x1f\x7f\\?#%]|(?:^|/)\.{1,2}(?:/|$)")


class RefusedRequest(Exception):  # noqa: N818 -- an answer more than an error
    """The request is not taken; says with which status and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may ask of the sidecar."""

    #: Bytes of a body, unpacked.
    body: int
    #: Seconds in which a body must have come.
    seconds: float


def examine(request: web.BaseRequest, limits: Limits) -> None:
    """Raise RefusedRequest when `request` has no single meaning or announces too large a body."""
    if request.version not in (HttpVersion10, HttpVersion11):
        raise RefusedRequest(505, "Speak HTTP/1.1.")
    if not request.raw_path.startswith("/"):
        raise RefusedRequest(400, "The request target must be a path; this is no forward proxy.")
    if _AMBIGUOUS.search(request.path):
        raise RefusedRequest(400, "Servers read this path in different ways; write it plainly.")
    if request.headers.get("transfer-encoding", "chunked").strip().lower() != "chunked":
        raise RefusedRequest(501, "The only transfer encoding is chunked.")
    codings = ",".join(request.headers.getall("content-encoding", ["identity"])).strip().lower()
    if codings != "identity" and codings not in _UNPACKED:
        raise RefusedRequest(415, "Send the body as it is, or packed once with gzip or deflate.")
    if (request.content_length or 0) > limits.body:
        raise _too_large(limits)


@asynccontextmanager
async def body_of(request: web.BaseRequest, limits: Limits, budget: Budget) -> AsyncIterator[bytes]:
    """The body of a request, unpacked; it counts against `budget` until the context ends.

    RefusedRequest when it is too large, too slow or broken, OverBudget when there is no room.
    """
    with budget.share() as share:
        try:
            async with asyncio.timeout(limits.seconds):
                body = await _read(request, limits, share.take)
        except TimeoutError as error:
            message = f"The body did not come within {limits.seconds:g} seconds."
            raise RefusedRequest(408, message) from error
        except web.RequestPayloadError as error:
            raise RefusedRequest(400, "The body cannot be unpacked, or broke off.") from error
        yield body


async def _read(request: web.BaseRequest, limits: Limits, take: Callable[[int], None]) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        if len(body) + len(chunk) > limits.body:
            raise _too_large(limits)
        take(len(chunk))
        body += chunk
    return bytes(body)


def _too_large(limits: Limits) -> RefusedRequest:
    return RefusedRequest(413, f"A body may have at most {limits.body} bytes.")
