"""The wall around every route: who may ask, how much they may send, what a browser may do."""

import traceback
from collections.abc import Sequence

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.answers import Json, problem

#: Nothing inline, nothing from elsewhere, no framing, and no way for a script to parse HTML.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Without any, browsers send our own forms with `Origin: null`.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: What browsers send for a page's own requests, and for what a person typed.
_SAME_SITE = frozenset({"same-origin", "none"})
_log = structlog.get_logger(__name__)


class Guard:
    """Refuses foreign hosts and cross-origin writes; adds headers to every response, errors too.

    What a route did not catch ends here, so that no traceback (it may quote a trace) reaches a
    log or a client.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: Sequence[str]) -> None:
        self.app = app
        self.allowed = frozenset(h.lower() for h in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request behind the wall."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        reply = _Reply(send)
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, reply)
            return
        await self._serve(scope, receive, reply)

    async def _serve(self, scope: Scope, receive: Receive, reply: "_Reply") -> None:
        try:
            await self.app(scope, receive, reply)
        except Exception as error:  # noqa: BLE001 - the last catch before the server's own log
            _log.error("request_failed", error=type(error).__name__, at=_place(error))
            if reply.started:
                raise ConnectionAbortedError("The response broke off.") from None
            await problem(500, "internal", "The server failed.")(scope, receive, reply)

    def _refusal(self, scope: Scope) -> Json | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or host_name(hosts[0]) not in self.allowed:
            return problem(421, "host", "This server does not answer for that host name.")
        if scope["method"] not in _SAFE_METHODS and _is_foreign(headers, hosts[0]):
            return problem(403, "cross_origin", "Another site's pages may not write here.")
        return None


class _Reply:
    """`send` with the headers; remembers whether a response has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            headers.setdefault("cache-control", "no-store")
            headers.update(HEADERS)
        await self._send(message)


def host_name(header: str) -> str:
    """The host without its port, lower case; IPv6 in brackets."""
    name, _, port = header.lower().rpartition(":")
    if not name or not port.isdecimal():
        return header.lower()
    return name


def _is_foreign(headers: Headers, host: str) -> bool:
    """Whether a browser says that another origin's page sent this; tools send neither header."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site not in _SAME_SITE:
        return True
    return origin is not None and origin.lower().partition("://")[2] != host.lower()


def _place(error: BaseException) -> str:
    """File name and line where it was raised: enough to find it, nothing of what was said."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
