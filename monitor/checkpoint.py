"""Checkpoints: what a log was at a size, in the C2SP formats tlog-checkpoint and signed-note.

    subtext-log/5f0c…                                  the log: `origin_of` its first record
    12000                                              its size
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=       RFC 6962 root over it, see `merkle`

    — subtext-key/9ab1… Az3grlgtzPICa5OS8np…           key name; base64 of key id and signature

There are no extension lines: monitors of logs could not check them. The time of a checkpoint is the
time of the last record that it covers, which the root covers too. Nothing in this file signs:
see `signing`.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from monitor.errors import MonitorError

#: Before raw key bytes: Ed25519 over the text of the note.
ED25519 = b"\x01"
#: No honest checkpoint is longer; the format wants room for 16 signatures.
MAX_NOTE = 1 << 16

_size = re.compile(r"0|[1-9][0-9]{0,18}")
_signature = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_verifier = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")
_control = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")


class CheckpointError(MonitorError):
    """This is no checkpoint, or no key in question signed it; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log was at some time."""

    #: Which log.
    origin: str
    #: Its number of records.
    size: int
    #: RFC 6962 root over their hashes.
    root: bytes

    @property
    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A line under a note."""

    name: str
    key_id: bytes
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A checkpoint and who says so; nothing here was verified yet."""

    checkpoint: Checkpoint
    #: What the signatures are about.
    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """The public half of a key: what an auditor holds."""

    name: str
    #: 32 bytes, as in RFC 8032.
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes that name the key in a signature line."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        encoded = base64.b64encode(ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name+hash+base64`."""
        found = _verifier.fullmatch(text.strip())
        raw = _decoded(found[3]) if found else b""
        if not found or len(raw) != 33 or raw[:1] != ED25519:
            raise CheckpointError("a verifier key reads name+hash+base64 and holds an Ed25519 key")
        key = cls(name=found[1], public=raw[1:])
        if key.key_id.hex() != found[2]:
            raise CheckpointError("the verifier key was copied wrongly: its hash does not match")
        return key

    def signed(self, note: Note) -> bool:
        """Whether this key signed; a signature in its name that is none is a CheckpointError."""
        mine = [s for s in note.signatures if (s.name, s.key_id) == (self.name, self.key_id)]
        for signature in mine:
            try:
                public = Ed25519PublicKey.from_public_bytes(self.public)
                public.verify(signature.value, note.text.encode())
            except InvalidSignature as error:
                raise CheckpointError(f"the signature of {self.name} is forged") from error
        return bool(mine)


def origin_of(first_record_hash: str) -> str:
    """Name a log by its first record, so that no key signs two histories of one log."""
    return f"subtext-log/{first_record_hash[:32]}"


def parse(note: str) -> Note:
    """Read a signed note with a checkpoint, by the letter of the format."""
    if len(note) > MAX_NOTE or _control.search(note):
        raise CheckpointError("not a checkpoint: too long, or holds control characters")
    body, gap, lines = note.rpartition("\n\n")
    if not (gap and lines.endswith("\n")):
        raise CheckpointError("not a checkpoint: no signatures, or its end was cut off")
    text = body + "\n"
    signatures = tuple(map(_parse_signature, lines[:-1].split("\n")))
    return Note(checkpoint=_parse_text(text), text=text, signatures=signatures)


def verify(note: Note, keys: Sequence[VerifierKey]) -> VerifierKey:
    """Return the key that signed; CheckpointError when none of these did."""
    signers = [key for key in keys if key.signed(note)]
    if not signers:
        names = ", ".join(f"{s.name}+{s.key_id.hex()}" for s in note.signatures)
        raise CheckpointError(f"signed by none of the given keys, but by {names}")
    return signers[0]


def _parse_text(text: str) -> Checkpoint:
    origin, size, root, *more = [*text.split("\n")[:-1], "", "", ""]
    raw = _decoded(root)
    well_formed = origin and _size.fullmatch(size) and len(raw) == 32
    if not well_formed or "" in more[:-3]:
        raise CheckpointError("not a checkpoint: its lines are not origin, size and root hash")
    return Checkpoint(origin=origin, size=int(size), root=raw)


def _parse_signature(line: str) -> Signature:
    found = _signature.fullmatch(line)
    raw = _decoded(found[2]) if found else b""
    if not found or len(raw) < 5:
        raise CheckpointError("not a checkpoint: a signature line is malformed")
    return Signature(name=found[1], key_id=raw[:4], value=raw[4:])


def _decoded(text: str) -> bytes:
    """Decode base64 that has only one way to be written; nothing when it is not that."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
    return raw if base64.b64encode(raw).decode() == text else b""
