"""OpenID Connect: what is sent to a provider, and who an ID token says somebody is. No network.

The authorization code flow with PKCE (RFC 7636), `state` and `nonce`. Nothing about a sign-in under
way is kept here: all three come from one secret that the browser holds in a cookie. An ID token is
checked as OpenID Connect Core 1.0, section 3.1.3.7, has it.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import jwt

from monitor.accounts import Outsider, Role, is_name
from monitor.errors import MonitorError

#: Signatures that a provider alone can make: neither `none` nor those by a shared secret.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
                     "ES256", "ES384", "ES512", "EdDSA")  # fmt: skip
#: Kinds of keys that such signatures have.
_KEY_TYPES = ("RSA", "EC", "OKP")
#: How far the clocks of a provider and ours may differ.
LEEWAY_SECONDS = 60
_REQUIRED = ("iss", "sub", "aud", "exp", "iat", "nonce")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_subject = re.compile(r"[\x21-\x7e]{1,255}")


class SignInError(MonitorError):
    """A sign-in that cannot be believed; the message is for a log and quotes nothing."""


class UnknownKeyError(SignInError):
    """Signed with a key that the provider had not shown when it was last asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who vouches for people, and what they may do here."""

    #: As the provider spells itself, to the letter.
    issuer: str
    client_id: str
    #: None for a public client.
    client_secret: str | None = field(default=None, repr=False)
    #: Where the provider sends people back to.
    redirect_uri: str
    scope: str = "openid profile email"
    #: The claim that lists groups; dots lead into objects.
    claim: str = "groups"
    #: What each group may do. Empty: groups say nothing.
    roles: Mapping[str, Role] = field(default_factory=dict)
    #: Of who is in none of the groups; None: they are refused.
    default: Role | None = None
    #: Whether nobody logs in with a password.
    only: bool = False

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """The highest role of somebody's groups, else the default."""
        order = list(Role)
        found = [self.roles[group] for group in _groups(claims, self.claim) if group in self.roles]
        return max(found, key=order.index, default=self.default)


def _groups(claims: Mapping[str, Any], path: str) -> Sequence[str]:
    """What stands in a claim: a list of texts, or one."""
    value: Any = claims.get(path)
    if value is None:
        value = claims
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, str):
        return [value]
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A sign-in under way: everything follows from the secret in the browser's cookie."""

    secret: str

    @property
    def state(self) -> str:
        """Binds what the provider sends back to this browser."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """Binds the ID token to this sign-in."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """Shows that who exchanges the code is who asked for it."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """What is told of the verifier beforehand."""
        return _base64(hashlib.sha256(self.verifier.encode()).digest())

    def _derived(self, purpose: str) -> str:
        return _base64(hashlib.sha256(f"{purpose}:{self.secret}".encode()).digest())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """What a provider says of itself."""

    authorization: str
    token: str
    keys: str
    algorithms: tuple[str, ...]
    #: Whether it wants the client's secret in the body of a request.
    secret_in_body: bool

    @classmethod
    def read(cls, document: Mapping[str, Any], issuer: str) -> "Endpoints":
        """Read a discovery document; SignInError when it is not this provider's."""
        if document.get("issuer") != issuer:
            raise SignInError("the discovery document is another issuer's")
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        addresses = [document.get(name) for name in names]
        if not all(isinstance(a, str) and is_safe(a) for a in addresses):
            raise SignInError("the discovery document lacks an endpoint, or one is not https")
        offered = document.get("id_token_signing_alg_values_supported", ["RS256"])
        ways = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        authorization, token, keys = map(str, addresses)
        return cls(
            authorization=authorization,
            token=token,
            keys=keys,
            algorithms=tuple(a for a in ALGORITHMS if a in offered),
            secret_in_body="client_secret_basic" not in ways,
        )

    def begin(self, provider: Provider, attempt: Attempt) -> str:
        """The address to which a browser is sent."""
        query = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": provider.redirect_uri,
            "scope": provider.scope,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(self.authorization).query else "?"
        return f"{self.authorization}{joint}{urlencode(query)}"


def is_safe(address: str) -> bool:
    """Whether nobody on the way can read along: https, or this machine."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    return bool(parts.hostname) and (parts.scheme == "https" or local)


def outsider(
    token: str,
    document: Mapping[str, Any],
    *,
    algorithms: Sequence[str],
    provider: Provider,
    nonce: str,
) -> Outsider:
    """Return who an ID token is about; SignInError when it cannot be believed.

    `document` is the provider's JSON Web Key Set.
    """
    claims = _claims(token, document, algorithms, provider)
    if claims["nonce"] != nonce:
        raise SignInError("the ID token belongs to another sign-in")
    audience = claims["aud"]
    if isinstance(audience, list) and len(audience) > 1 and "azp" not in claims:
        raise SignInError("the ID token is for several clients and does not say for which")
    if claims.get("azp", provider.client_id) != provider.client_id:
        raise SignInError("the ID token was made for another client")
    if not _subject.fullmatch(claims["sub"]):
        raise SignInError("the subject of the ID token is none")
    return Outsider(
        subject=f"{provider.issuer} {claims['sub']}",
        name=_name(claims),
        role=provider.role(claims),
        follows=bool(provider.roles),
    )


def _claims(
    token: str, document: Mapping[str, Any], algorithms: Sequence[str], provider: Provider
) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
        key = _key(header, document)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[a for a in algorithms if a in ALGORITHMS],
            audience=provider.client_id,
            issuer=provider.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": list(_REQUIRED)},
        )
    except jwt.PyJWTError as error:
        raise SignInError(f"the ID token was refused: {type(error).__name__}") from error
    return claims


def _key(header: Mapping[str, Any], document: Mapping[str, Any]) -> jwt.PyJWK:
    """The key that a token names; where it names none, the only one there is."""
    listed = document.get("keys")
    usable = [
        key
        for key in (listed if isinstance(listed, list) else [])
        if isinstance(key, dict) and key.get("kty") in _KEY_TYPES and key.get("use", "sig") == "sig"
    ]
    named = header.get("kid")
    fitting = [key for key in usable if named is None or key.get("kid") == named]
    if len(fitting) != 1:
        raise UnknownKeyError("the ID token is signed with a key that the provider does not show")
    return jwt.PyJWK(fitting[0], algorithm=fitting[0].get("alg") or header.get("alg"))


def _name(claims: Mapping[str, Any]) -> str:
    """What somebody is called here: the first claim that can be a name, else part of a hash."""
    told = (claims.get(name) for name in ("preferred_username", "email"))
    names = (text.lower() for text in told if isinstance(text, str))
    subject = hashlib.sha256(claims["sub"].encode()).hexdigest()
    return next((name for name in names if is_name(name)), f"user-{subject[:12]}")
