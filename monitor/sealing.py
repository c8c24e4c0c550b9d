"""Encryption of stored texts: which keys there are, and what each of them does.

AES-256-GCM. Each text has a key of its own, which HKDF-SHA256 derives from the content key and what
the text belongs to; the same is authenticated with it. So no text can be put in another's place,
and the number of texts under one content key is not limited by the length of a nonce.
"""

import base64
import hashlib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from monitor.audit import canonical
from monitor.errors import MonitorError
from monitor.signing import KeyFileError, refuse_shared

#: Names of the environment variables with a file of keys, and with one key itself.
FILE_VARIABLE = "SUBTEXT_CONTENT_KEYS"
KEY_VARIABLE = "SUBTEXT_CONTENT_KEY"
_KEY_BYTES, _NONCE_BYTES = 32, 12
_MAX_ID = 64


class ContentKeyError(MonitorError):
    """The keys for stored texts cannot be used; the message says what to do, and never a key."""


class NoKeyError(MonitorError):
    """A text is encrypted with a key that is not here."""


class BrokenSealError(MonitorError):
    """A text is not what was encrypted, or not where it was put, or its key is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentKey:
    """A key under the name by which encrypted texts refer to it."""

    key_id: str
    #: Whose texts it encrypts; None: those of all tenants without a key of their own.
    tenant: str | None = None
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """An encrypted text."""

    key_id: str
    data: bytes


class Keyring:
    """The keys of a store. An empty one stores texts in the clear."""

    def __init__(self, keys: Iterable[ContentKey] = ()) -> None:
        known = tuple(keys)
        self._by_id = {key.key_id: key for key in known}
        #: The last one for a tenant encrypts; those before it are there to read.
        self._newest = {key.tenant: key for key in known}
        if len(self._by_id) < len(known):
            raise ContentKeyError("two keys have the same id")

    @classmethod
    def read(cls, file: Path | None, environment: Mapping[str, str]) -> Self:
        """Read the file, else the one that the environment names, and the key in the latter."""
        named = environment.get(FILE_VARIABLE)
        path = file or (Path(named) if named else None)
        keys = [] if path is None else _from_file(path)
        if secret := environment.get(KEY_VARIABLE):
            keys.append(_key({"key": secret}, KEY_VARIABLE))
        return cls(keys)

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def __contains__(self, key_id: object) -> bool:
        return key_id in self._by_id

    def current(self, tenant: str) -> str | None:
        """Return the id of the key that encrypts what this tenant says from now on."""
        key = self._newest.get(tenant) or self._newest.get(None)
        return None if key is None else key.key_id

    def seal(self, plain: bytes, *, tenant: str, place: str) -> Sealed | None:
        """Encrypt a text for where it belongs; None when this tenant's texts stay in the clear."""
        key_id = self.current(tenant)
        if key_id is None:
            return None
        bound, nonce = canonical([key_id, tenant, place]), os.urandom(_NONCE_BYTES)
        return Sealed(
            key_id=key_id, data=nonce + self._cipher(key_id, bound).encrypt(nonce, plain, bound)
        )

    def open(self, key_id: str, data: bytes, *, tenant: str, place: str) -> bytes:
        """Decrypt a text; NoKeyError, or BrokenSealError when it is not the one of this place."""
        bound = canonical([key_id, tenant, place])
        cipher = self._cipher(key_id, bound)
        try:
            return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], bound)
        except (InvalidTag, TypeError, ValueError) as error:
            raise BrokenSealError("was altered, or the key of this name is another one") from error

    def _cipher(self, key_id: str, bound: bytes) -> AESGCM:
        key = self._by_id.get(key_id)
        if key is None:
            raise NoKeyError(f"it is encrypted with key {key_id}, which was not given")
        derived = HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"subtext content\0" + bound)
        return AESGCM(derived.derive(key.secret))


def _from_file(path: Path) -> list[ContentKey]:
    try:
        with path.open("rb") as file:
            refuse_shared(path, os.fstat(file.fileno()).st_mode)
            told = tomllib.loads(file.read().decode("utf-8"))
    except OSError as error:
        raise ContentKeyError(f"{path}: {error.strerror}") from error
    except KeyFileError as error:
        raise ContentKeyError(str(error)) from error
    except ValueError as error:
        raise ContentKeyError(f"{path} is no TOML") from error
    found = told.get("keys")
    if set(told) != {"keys"} or not isinstance(found, list) or not found:
        raise ContentKeyError(f"{path} must hold one or more [[keys]], and nothing else")
    return [_key(entry, f"{path}, key {number}") for number, entry in enumerate(found, 1)]


def _key(entry: Any, where: str) -> ContentKey:  # noqa: ANN401 (of a file)
    if not isinstance(entry, dict) or not {"key"} <= set(entry) <= {"key", "id", "tenant"}:
        raise ContentKeyError(f"{where}: it has a `key`, and may have an `id` and a `tenant`")
    if not all(isinstance(value, str) and value for value in entry.values()):
        raise ContentKeyError(f"{where}: every value is a text that is not empty")
    try:
        secret = base64.b64decode(entry["key"], validate=True)
    except ValueError:
        secret = b""
    key_id = entry.get("id") or hashlib.sha256(b"subtext content key\0" + secret).hexdigest()[:8]
    if len(secret) != _KEY_BYTES:
        raise ContentKeyError(f"{where}: a key is 32 bytes in base64: openssl rand -base64 32")
    if len(key_id) > _MAX_ID or not key_id.isprintable():
        raise ContentKeyError(f"{where}: an id has at most {_MAX_ID} characters that can be seen")
    return ContentKey(key_id=key_id, tenant=entry.get("tenant"), secret=secret)
