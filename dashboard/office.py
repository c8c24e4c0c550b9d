"""Tokens of programs, and what this server runs with."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dashboard.forms import SignedForm
from dashboard.identity import identity
from dashboard.port import Console
from dashboard.refusal import RefusedError
from dashboard.render import page
from monitor.accounts import Scope, Token, is_name
from monitor.clock import utc_now
from monitor.credentials import digest, new_token
from monitor.store import Accounts

_token_id = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A token at the one time at which its secret is known."""

    name: str
    secret: str


def routes(console: Console) -> APIRouter:
    """The routes of tokens and settings."""
    accounts = console.store.accounts
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/tokens")
    def tokens(request: Request) -> Response:
        return page("tokens.html", _tokens(console, request))

    @router.post("/tokens")
    def issue(request: Request, form: SignedForm) -> Response:
        """Answer with the page itself: the secret is in no address and in no store."""
        name, by = form.get("name", "").strip(), identity(request).name
        scopes = frozenset(scope for scope in Scope if form.get(f"scope-{scope.value}"))
        if not is_name(name) or not scopes:
            message = "A token needs a name (lower case letters, digits, . _ - @) and a scope."
            return page("tokens.html", _tokens(console, request, message=message), status=422)
        secret = _issue(accounts, form.get("token_id", ""), name, scopes, by)
        issued = Issued(name=name, secret=secret)
        return page("tokens.html", _tokens(console, request, issued=issued))

    @router.post("/tokens/revoke")
    def revoke(request: Request, form: SignedForm) -> Response:
        by = identity(request).name
        accounts.revoke_token(form.get("token_id", ""), at=utc_now(), by=by)
        return RedirectResponse("/tokens", status_code=303)

    @router.get("/settings")
    def settings(request: Request) -> Response:
        return page("settings.html", {"console": console, "identity": identity(request)})

    return router


def _issue(accounts: Accounts, token_id: str, name: str, scopes: frozenset[Scope], by: str) -> str:
    """Make a token; the form carries its id, so that a form sent twice makes one."""
    if not _token_id.fullmatch(token_id):
        raise RefusedError(422, "Not understood", "The form is not one of ours.")
    secret = new_token(token_id)
    token = Token(token_id=token_id, name=name, scopes=scopes, created_at=utc_now(), revoked=False)
    accounts.add_token(token, digest(secret), by=by)
    return secret


def _tokens(
    console: Console, request: Request, *, message: str = "", issued: Issued | None = None
) -> Mapping[str, Any]:
    return {
        "console": console,
        "identity": identity(request),
        "tokens": console.store.accounts.tokens(),
        "anyone": console.store.accounts.anyone(),
        "SCOPES": [
            (Scope.SCORE, "POST /v1/score"),
            (Scope.VERDICTS, "GET /v1/verdicts, with text"),
        ],
        "token_id": secrets.token_hex(4),
        "message": message,
        "issued": issued,
    }
