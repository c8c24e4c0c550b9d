"""Signing checkpoints, and the file with the key; nothing in here verifies."""

import base64
import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from monitor.checkpoint import Checkpoint, VerifierKey
from monitor.errors import MonitorError


class KeyFileError(MonitorError):
    """The key file cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """The private half of a key: who holds it speaks for the log."""

    private: Ed25519PrivateKey

    @property
    def verifier(self) -> VerifierKey:
        """The public half, named by its own hash."""
        public = self.private.public_key().public_bytes_raw()
        name = f"subtext-key/{hashlib.sha256(public).hexdigest()[:16]}"
        return VerifierKey(name=name, public=public)

    def sign(self, checkpoint: Checkpoint) -> str:
        """Return the signed note of a checkpoint."""
        key, text = self.verifier, checkpoint.text
        signature = key.key_id + self.private.sign(text.encode())
        return f"{text}\n— {key.name} {base64.b64encode(signature).decode()}\n"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the key; a file that other users could read is refused."""
        try:
            with path.open("rb") as file:
                refuse_shared(path, os.fstat(file.fileno()).st_mode)
                private = load_pem_private_key(file.read(), password=None)
        except OSError as error:
            raise KeyFileError(f"{path}: {error.strerror}") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyFileError(f"{path} holds no unencrypted private key in PEM") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise KeyFileError(f"{path} holds a key of another kind than Ed25519")
        return cls(private=private)

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Read the key, or make one at first use: whole or not at all, for this user only."""
        if not path.exists():
            with suppress(FileExistsError):  # another process was first
                _write_private(path, _new_pem())
        return cls.load(path)


def _new_pem() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write_private(path: Path, data: bytes) -> None:
    """Link a finished file to its name, so that no one reads half a key."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        raise
    except OSError as error:
        raise KeyFileError(f"the key cannot be created: {path}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def refuse_shared(path: Path, mode: int) -> None:
    """Refuse a file with secrets that other users of the machine could read."""
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(f"{path} can be read by other users: chmod 600 it, or make a new key")
