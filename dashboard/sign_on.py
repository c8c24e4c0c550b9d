"""Signing in by a provider of identities: off to it, and back with a code."""

import base64
import hmac
from datetime import UTC, datetime

import structlog
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dashboard.login import SESSION, ask, is_secure, let_in, own_path
from dashboard.port import Console
from dashboard.relying import RelyingParty
from monitor.clock import stamp
from monitor.credentials import digest, new_secret
from monitor.single_sign_on import Attempt, SignInError

#: Holds the secret of a sign-in under way, and where one wanted to go.
COOKIE = "subtext_sign_in"
#: How long a person may take at the provider.
PATIENCE_SECONDS = 600
#: Longest path that is gone back to.
MAX_TARGET = 1500
_FAILED = "Signing in did not work. Try again; the server's log says why."
_REASONS = {
    "disabled": "You may not log in here any more.",
    "no role": "You are known, but nothing gives you a role here. Ask who runs this server.",
    "name taken": "Somebody else here has your name already. Ask who runs this server.",
}
_log = structlog.get_logger(__name__)


def routes(console: Console, relying: RelyingParty) -> APIRouter:
    """The routes of signing in by a provider."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/login/provider")
    async def begin(request: Request, next: str = "/") -> Response:  # noqa: A002 - in the address
        attempt = Attempt(secret=new_secret())
        try:
            address = await relying.begin(attempt)
        except SignInError as error:
            return await _failed(console, error)
        answer = RedirectResponse(address, status_code=303)
        target = own_path(next)[:MAX_TARGET]
        answer.set_cookie(
            COOKIE,
            f"{attempt.secret}.{base64.urlsafe_b64encode(target.encode()).decode()}",
            max_age=PATIENCE_SECONDS,
            path="/login",
            httponly=True,
            samesite="lax",
            secure=is_secure(request),
        )
        return answer

    @router.get("/login/callback")
    async def back(request: Request) -> Response:
        secret, _, target = request.cookies.get(COOKIE, "").partition(".")
        try:
            answer = await _enter(console, relying, request, Attempt(secret=secret), target)
        except SignInError as error:
            answer = await _failed(console, error)
        # A code and its cookie are good for one try.
        answer.delete_cookie(COOKIE, path="/login")
        return answer

    return router


async def _enter(
    console: Console, relying: RelyingParty, request: Request, attempt: Attempt, target: str
) -> Response:
    given = request.query_params
    if not (attempt.secret and hmac.compare_digest(given.get("state", ""), attempt.state)):
        raise SignInError("the answer belongs to no sign-in of this browser")
    # Where a provider names itself (RFC 9207), it must be the one that was asked.
    if given.get("iss", relying.provider.issuer) != relying.provider.issuer:
        raise SignInError("another provider answered")
    if "code" not in given:
        raise SignInError("the provider did not sign this person in")
    who = await relying.finish(given["code"], attempt)
    secret, now = new_secret(), datetime.now(UTC)
    accounts = console.store.accounts
    reason = await run_in_threadpool(
        accounts.sign_in, who, digest(secret), at=stamp(now), until=stamp(now + SESSION)
    )
    if reason is not None:
        return await run_in_threadpool(ask, console, "/", _REASONS[reason], 403)
    return let_in(request, secret, _path(target))


def _path(target: str) -> str:
    try:
        return base64.urlsafe_b64decode(target).decode()
    except ValueError:
        return "/"


async def _failed(console: Console, error: SignInError) -> Response:
    _log.warning("sign_in_failed", reason=str(error))
    return await run_in_threadpool(ask, console, "/", _FAILED, 403)
