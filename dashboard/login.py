"""Logging in and out."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dashboard.forms import PlainForm, signed_form
from dashboard.guard import host_name
from dashboard.identity import COOKIE, cookie, identity
from dashboard.port import Console
from dashboard.render import page
from monitor.accounts import is_name
from monitor.clock import stamp, utc_now
from monitor.credentials import MAX_PASSWORD, digest, matches, new_secret
from monitor.store import Accounts, Conflict

#: How long one stays logged in.
SESSION = timedelta(hours=12)
#: Wrong passwords in a row, by name and place, before all are refused for a while.
TRIES = 10
PAUSE_SECONDS = 15 * 60
_WRONG = "Name or password is wrong."
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Brake:
    """Slows down who tries passwords."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, room: int = 10_000) -> None:
        self._clock, self._room = clock, room
        self._lock = threading.Lock()
        #: Failures and when the last was, by who tries; the longest unheard first.
        self._failures: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def holds(self, who: tuple[str, str]) -> bool:
        """Whether they must wait."""
        with self._lock:
            return self._count(who) >= TRIES

    def failed(self, who: tuple[str, str]) -> bool:
        """Count a failure; tell whether it is the one after which they must wait."""
        with self._lock:
            count = self._count(who) + 1
            self._failures[who] = (count, self._clock())
            self._failures.move_to_end(who)
            while len(self._failures) > self._room:
                self._failures.popitem(last=False)
            return count == TRIES

    def passed(self, who: tuple[str, str]) -> None:
        """Forget the failures of somebody who knows the password."""
        with self._lock:
            self._failures.pop(who, None)

    def _count(self, who: tuple[str, str]) -> int:
        count, last = self._failures.get(who, (0, 0.0))
        return count if self._clock() - last < PAUSE_SECONDS else 0


def routes(console: Console) -> APIRouter:
    """The routes of the way in and out, and who has it."""
    accounts = console.store.accounts
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    brake = Brake()

    @router.get("/login")
    def form(next: str = "/") -> Response:  # noqa: A002 - the name in the address
        return ask(console, next)

    @router.post("/login")
    def enter(request: Request, form: PlainForm) -> Response:
        name, target = form.get("name", "").strip(), form.get("next", "/")
        if console.provider is not None and console.provider.only:
            return ask(console, target, "Passwords are not taken here.", 403)
        who = (name, request.client.host if request.client else "")
        if brake.holds(who):
            return ask(console, target, "Too many wrong passwords. Try again later.", 429)
        if not _knows(accounts, name, form.get("password", "")):
            if brake.failed(who) and is_name(name):
                accounts.tell_locked_out(name, at=utc_now())
            return ask(console, target, _WRONG, 403)
        brake.passed(who)
        return _enter(console, request, name, target)

    @router.get("/people")
    def people(request: Request) -> Response:
        shown = {"users": accounts.users(), "identity": identity(request)}
        return page("people.html", {**shown, "console": console})

    @router.post("/logout", dependencies=[Depends(signed_form)])
    def leave(request: Request) -> Response:
        secret = cookie(request.headers)
        if secret is not None:
            accounts.close_session(digest(secret), at=utc_now())
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(COOKIE)
        return answer

    return router


def _knows(accounts: Accounts, name: str, password: str) -> bool:
    """Tell whether that is the password; takes as long when there is no such user."""
    stored = accounts.password_hash(name) if is_name(name) else None
    return matches(stored, password[: MAX_PASSWORD + 1])


def _enter(console: Console, request: Request, name: str, target: str) -> Response:
    accounts, secret, now = console.store.accounts, new_secret(), datetime.now(UTC)
    try:
        accounts.open_session(name, digest(secret), at=stamp(now), until=stamp(now + SESSION))
    except Conflict:
        return ask(console, target, _WRONG, 403)
    return let_in(request, secret, target)


def let_in(request: Request, secret: str, target: str) -> Response:
    """Send somebody whose session has begun to where they wanted to go."""
    answer = RedirectResponse(own_path(target), status_code=303)
    answer.set_cookie(
        COOKIE,
        secret,
        max_age=int(SESSION.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=is_secure(request),
    )
    return answer


def is_secure(request: Request) -> bool:
    """Whether cookies travel over HTTPS or not at all: where it is spoken, and elsewhere."""
    return request.url.scheme == "https" or host_name(request.headers["host"]) not in LOOPBACK


def ask(console: Console, target: str, message: str = "", status: int = 200) -> Response:
    """The page on which people log in."""
    values = {
        "next": own_path(target),
        "message": message,
        "anyone": console.store.accounts.anyone(),
        "provider": console.provider,
    }
    return page("login.html", values, status=status)


def own_path(target: str) -> str:
    """Return a path on this server; `/` for anything that a browser could take for another."""
    own = target.startswith("/") and not target.startswith("//")
    plain = target.isascii() and target.isprintable() and "\\" not in target
    return target if own and plain else "/"
