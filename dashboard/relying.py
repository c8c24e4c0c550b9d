"""Asks a provider of identities: what it offers, its keys, and who a code is about."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

import aiohttp

from monitor.accounts import Outsider
from monitor.single_sign_on import (
    Attempt,
    Endpoints,
    Provider,
    SignInError,
    UnknownKeyError,
    outsider,
)

#: How long what a provider says of itself and of its keys is believed.
FRESH_SECONDS = 3600
#: How soon it is asked again for a key that it had not shown.
AGAIN_SECONDS = 30
MAX_ANSWER = 1 << 20
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_WELL_KNOWN = "/.well-known/openid-configuration"


class RelyingParty:
    """Us, towards a provider. For one event loop."""

    def __init__(self, provider: Provider, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.provider = provider
        self._clock = clock
        self._turn = asyncio.Lock()
        self._endpoints: tuple[float, Endpoints] | None = None
        self._keys: tuple[float, Mapping[str, Any]] | None = None

    async def begin(self, attempt: Attempt) -> str:
        """Return the address to which a browser is sent; SignInError when nobody is there."""
        endpoints = await self._found()
        return endpoints.begin(self.provider, attempt)

    async def finish(self, code: str, attempt: Attempt) -> Outsider:
        """Return who a code is about; SignInError when that cannot be believed."""
        endpoints = await self._found()
        token = await self._exchanged(endpoints, code, attempt)
        try:
            return self._read(
                token, await self._shown(endpoints, FRESH_SECONDS), attempt, endpoints
            )
        except UnknownKeyError:
            # Providers change their keys.
            keys = await self._shown(endpoints, AGAIN_SECONDS)
            return self._read(token, keys, attempt, endpoints)

    def _read(
        self, token: str, keys: Mapping[str, Any], attempt: Attempt, endpoints: Endpoints
    ) -> Outsider:
        return outsider(
            token,
            keys,
            algorithms=endpoints.algorithms,
            provider=self.provider,
            nonce=attempt.nonce,
        )

    async def _found(self) -> Endpoints:
        async with self._turn:
            now = self._clock()
            if self._endpoints is None or now - self._endpoints[0] > FRESH_SECONDS:
                address = self.provider.issuer.rstrip("/") + _WELL_KNOWN
                document = await _ask("GET", address)
                self._endpoints = (now, Endpoints.read(document, self.provider.issuer))
            return self._endpoints[1]

    async def _shown(self, endpoints: Endpoints, fresh: float) -> Mapping[str, Any]:
        async with self._turn:
            now = self._clock()
            if self._keys is None or now - self._keys[0] > fresh:
                self._keys = (now, await _ask("GET", endpoints.keys))
            return self._keys[1]

    async def _exchanged(self, endpoints: Endpoints, code: str, attempt: Attempt) -> str:
        provider = self.provider
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": provider.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = {}
        if provider.client_secret is not None and not endpoints.secret_in_body:
            headers["authorization"] = _basic(provider.client_id, provider.client_secret)
        else:
            form["client_id"] = provider.client_id
            form |= {"client_secret": provider.client_secret} if provider.client_secret else {}
        answer = await _ask("POST", endpoints.token, data=form, headers=headers)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise SignInError("the provider gave no ID token")
        return token


def _basic(name: str, secret: str) -> str:
    """Name and secret as a header; both are encoded like a form (RFC 6749, section 2.3.1)."""
    pair = f"{quote_plus(name)}:{quote_plus(secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


async def _ask(method: str, address: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """Send a request and read a JSON object; SignInError for anything else, redirects too."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.request(method, address, allow_redirects=False, **options) as answer,
        ):
            body = await answer.content.read(MAX_ANSWER + 1)
            while not answer.content.at_eof() and len(body) <= MAX_ANSWER:
                body += await answer.content.read(MAX_ANSWER + 1 - len(body))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SignInError(f"the provider cannot be reached: {type(error).__name__}") from error
    if answer.status != 200 or len(body) > MAX_ANSWER:
        raise SignInError(f"the provider answered with status {answer.status}")
    try:
        found = json.loads(body)
    except ValueError as error:
        raise SignInError("the provider did not answer in JSON") from error
    if not isinstance(found, dict):
        raise SignInError("the provider did not answer with an object")
    return found
