"""Passwords, session cookies and tokens: made, and known again without being kept."""

import hashlib
import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_PASSWORD, MAX_PASSWORD = 10, 1024

_hasher = PasswordHasher()
#: Each takes 64 MiB while it is worked out: whoever tries many passwords waits.
_at_once = threading.Semaphore(2)
#: For names that nobody has: refusing them takes as long.
_nobody = _hasher.hash(secrets.token_urlsafe(16))


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def new_token(token_id: str) -> str:
    """Return a token that scanners for leaked secrets can know by its beginning."""
    return f"subtext_{token_id}_{new_secret()}"


def digest(secret: str) -> str:
    """Return what is stored of a random secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def csrf_of(secret: str) -> str:
    """Return what the forms of a session carry; it does not reveal the session's cookie."""
    return hashlib.sha256(b"csrf:" + secret.encode()).hexdigest()


def hash_password(password: str) -> str:
    """Return what is stored of a password."""
    with _at_once:
        return _hasher.hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Tell whether this is the password; None is that of nobody."""
    with _at_once:
        try:
            _hasher.verify(stored or _nobody, password)
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None
