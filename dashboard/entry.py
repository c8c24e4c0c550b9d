"""Who may pass: every address and what it takes to be let in. What is not listed takes most."""

from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard.answers import problem
from dashboard.identity import Identity, identify
from dashboard.refusal import RefusedError
from monitor import accounts as who
from monitor.accounts import Right
from monitor.store import Accounts, StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one must have to pass: the right or the scope."""

    right: Right | None = None
    scope: who.Scope | None = None


#: No text of a trace, no secrets: for everybody.
PUBLIC = None
_Rule: TypeAlias = tuple[str, str, Demand | None]
#: Method, beginning of the path, and the demand; the first that fits holds.
RULES: tuple[_Rule, ...] = (
    ("GET", "/healthz", PUBLIC),
    ("GET", "/readyz", PUBLIC),
    ("GET", "/metrics", PUBLIC),
    ("GET", "/static/", PUBLIC),
    ("GET", "/login", PUBLIC),
    ("POST", "/login", PUBLIC),
    ("GET", "/login/provider", PUBLIC),
    ("GET", "/login/callback", PUBLIC),
    ("POST", "/logout", Demand(right=Right.READ)),
    ("POST", "/v1/score", Demand(scope=who.Scope.SCORE)),
    ("GET", "/v1/verdicts", Demand(right=Right.READ, scope=who.Scope.VERDICTS)),
    ("GET", "/people", Demand(right=Right.MANAGE)),
    ("GET", "/audit", Demand(right=Right.SETTLE)),
    ("GET", "/reviewers", Demand(right=Right.SETTLE)),
    ("GET", "/tokens", Demand(right=Right.MANAGE)),
    ("POST", "/tokens", Demand(right=Right.MANAGE)),
    ("GET", "/settings", Demand(right=Right.MANAGE)),
    ("POST", "/thresholds", Demand(right=Right.SETTLE)),
    ("POST", "/views", Demand(right=Right.READ)),
    ("POST", "/queue", Demand(right=Right.REVIEW)),
    ("POST", "/verdicts/", Demand(right=Right.REVIEW)),
    ("GET", "/", Demand(right=Right.READ)),
)
_OTHERWISE = Demand(right=Right.MANAGE)


def demand(method: str, path: str) -> Demand | None:
    """Return what it takes to send a request; None when anybody may."""
    method = "GET" if method == "HEAD" else method
    fitting = (d for m, begin, d in RULES if m == method and path.startswith(begin))
    return next(fitting, _OTHERWISE)


class Entry:
    """Finds out who asks, and turns away who may not; nothing after it needs to ask again."""

    def __init__(self, app: ASGIApp, *, accounts: Accounts) -> None:
        self.app = app
        self.accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wanted = demand(scope["method"], scope["path"])
        found = None
        if wanted is not PUBLIC:
            try:
                found = await run_in_threadpool(identify, self.accounts, Headers(scope=scope))
            except StoreError:
                await _unreadable(scope)(scope, receive, send)
                return
            if found is None or not _fits(found, wanted):
                await _turn_away(scope, found)(scope, receive, send)
                return
        scope.setdefault("state", {})["identity"] = found
        await self.app(scope, receive, send)


def _fits(found: Identity, wanted: Demand) -> bool:
    return wanted.right in found.rights or wanted.scope in found.scopes


def _turn_away(scope: Scope, found: Identity | None) -> Response:
    if scope["path"].startswith("/v1/"):
        return _refuse_program(found)
    if found is not None:
        return RefusedError(403, "Not yours to do", "Your role does not include this.").page()
    if Headers(scope=scope).get("sec-fetch-dest") == "empty":
        return problem(401, "login", "Log in first.")
    return RedirectResponse(_login_address(scope), status_code=303)


def _refuse_program(found: Identity | None) -> Response:
    if found is not None:
        return problem(403, "scope", "This token or role does not include that.")
    answer = problem(
        401, "token", "Send `authorization: Bearer` and a token (`subtext token add`)."
    )
    answer.headers["www-authenticate"] = "Bearer"
    return answer


def _login_address(scope: Scope) -> str:
    if scope["method"] != "GET":
        return "/login"
    query = scope["query_string"].decode("latin-1")
    here = scope["path"] + (f"?{query}" if query else "")
    return "/login" if here == "/" else f"/login?next={quote(here, safe='')}"


def _unreadable(scope: Scope) -> Response:
    message = "The audit store cannot be read, so nobody can be let in."
    if scope["path"].startswith("/v1/"):
        return problem(503, "store", message)
    return RefusedError(503, "Store not readable", message).page()
