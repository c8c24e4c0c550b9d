"""Who asks: a person with a session, a program with a token, or whoever while nobody logs in."""

import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from monitor.accounts import LOCAL, Right, Scope
from monitor.clock import utc_now
from monitor.credentials import csrf_of, digest
from monitor.store import Accounts

COOKIE = "subtext_session"
#: Stands in the forms while nobody logs in: another site's page cannot read it.
_open_csrf = secrets.token_hex(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody, and what they may do."""

    #: Signs their reviews.
    name: str
    rights: frozenset[Right]
    #: For programs.
    scopes: frozenset[Scope] = frozenset()
    #: What the forms made for them carry.
    csrf: str = ""
    #: Whether they came in by a password, and can leave.
    logged_in: bool = False

    def may(self, right: str) -> bool:
        """Whether they have a right; in words, for the templates."""
        return right in self.rights


ANYBODY = Identity(name=LOCAL, rights=frozenset(Right), scopes=frozenset(Scope), csrf=_open_csrf)


def identify(accounts: Accounts, headers: Headers) -> Identity | None:
    """Tell who sends a request; None for who must log in first."""
    if not accounts.anyone():
        return ANYBODY
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme:
        return _program(accounts, token.strip()) if scheme.lower() == "bearer" else None
    return _person(accounts, cookie(headers))


def identity(request: HTTPConnection) -> Identity:
    """Return who sends this request, as `dashboard.entry` found out."""
    found: Identity = request.state.identity
    return found


def cookie(headers: Headers) -> str | None:
    """Return the secret of a session."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def _program(accounts: Accounts, secret: str) -> Identity | None:
    token = accounts.token(digest(secret))
    if token is None:
        return None
    return Identity(name=token.name, rights=frozenset(), scopes=token.scopes)


def _person(accounts: Accounts, secret: str | None) -> Identity | None:
    user = accounts.session(digest(secret), now=utc_now()) if secret else None
    if secret is None or user is None:
        return None
    rights = user.role.rights
    return Identity(name=user.name, rights=rights, csrf=csrf_of(secret), logged_in=True)
