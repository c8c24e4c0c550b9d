"""How far checkpoints vouch for a log: the offline verifier, apart from all that signs."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from monitor.audit import AuditRecord
from monitor.checkpoint import (
    Checkpoint,
    CheckpointError,
    VerifierKey,
    origin_of,
    parse,
    verify,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A checkpoint as somebody kept it."""

    #: Where, for people.
    source: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """The newest state of the log that a given key signed."""

    #: Records that it covers.
    size: int
    #: When the last of them was recorded.
    until: str
    key: VerifierKey
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    source: str
    checkpoint: Checkpoint
    #: None when no key was given: then nobody vouches for the claim.
    key: VerifierKey | None


class Coverage:
    """Reads a log record by record and holds it against checkpoints."""

    def __init__(self, held: Iterable[Held], keys: Sequence[VerifierKey]) -> None:
        self._keys = tuple(keys)
        self._claims: dict[int, list[_Claim]] = defaultdict(list)
        self._tree = _Tree()
        self._origin = ""
        #: What cannot be used, and what the log differs from with the size it last agreed at.
        self._unusable: list[str] = []
        self._differing: list[tuple[_Claim, int]] = []
        self._agreed = 0
        #: What is proved so far.
        self.covered: Covered | None = None
        #: Checkpoints that the log agrees with.
        self.agreeing = 0
        for note, source in {one.note: one.source for one in reversed(list(held))}.items():
            self._claim(source, note)

    def watch(self, records: Iterable[AuditRecord]) -> Iterator[AuditRecord]:
        """Hand the records on, and see them."""
        for record in records:
            self.see(record)
            yield record

    def see(self, record: AuditRecord) -> None:
        """Take the next record of the log."""
        if self._tree.size == 0:
            self._origin = origin_of(str(record.hash))
        self._tree.add(record.hash)
        for claim in self._claims.pop(self._tree.size, ()):
            self._compare(claim, record)

    def problems(self) -> Iterator[str]:
        """Tell what does not fit, once the log was read to its end."""
        yield from self._unusable
        if self._differing:
            yield self._difference()
        if self._claims:
            size = max(self._claims)
            source = self._claims[size][0].source
            yield f"the log was cut off: it has {self._tree.size} records, {source} covers {size}"
        if self._keys and self.covered is None:
            yield "nothing is proved: no checkpoint that a given key signed fits this log"

    def _claim(self, source: str, text: str) -> None:
        try:
            note = parse(text)
            key = verify(note, self._keys) if self._keys else None
        except CheckpointError as error:
            self._unusable.append(f"{source}: {error}")
            return
        claim = _Claim(source=source, checkpoint=note.checkpoint, key=key)
        self._claims[note.checkpoint.size].append(claim)

    def _compare(self, claim: _Claim, record: AuditRecord) -> None:
        told = claim.checkpoint
        if (told.origin, told.root) != (self._origin, self._tree.root()):
            self._differing.append((claim, self._agreed))
            return
        self.agreeing += 1
        self._agreed = told.size
        if claim.key is not None:
            self.covered = Covered(
                size=told.size, until=record.created_at, key=claim.key, source=claim.source
            )

    def _difference(self) -> str:
        """Name the first checkpoint that the log does not fit, and where it was changed."""
        claim, agreed = self._differing[0]
        told, more = claim.checkpoint, len(self._differing) - 1
        what = f"records {agreed} to {told.size - 1} are not the ones that {claim.source} covers"
        if told.origin != self._origin:
            what = f"{claim.source} is about another log, {told.origin}"
        return what + (f"; {more} more checkpoints do not fit" if more else "")


class _Tree:
    """The RFC 6962 root of all leaves so far; by height, as a binary counter carries."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: dict[int, bytes] = {}

    def add(self, record_hash: str) -> None:
        """Add the leaf of a record; of a hash that is none, something that fits no root."""
        try:
            data = b"\x00" + bytes.fromhex(record_hash)
        except (TypeError, ValueError):
            data = b"unreadable"
        carried, height = hashlib.sha256(data).digest(), 0
        while height in self._roots:
            left = self._roots.pop(height)
            carried, height = hashlib.sha256(b"\x01" + left + carried).digest(), height + 1
        self._roots[height] = carried
        self.size += 1

    def root(self) -> bytes:
        """The root of a tree that has leaves."""
        lowest, *higher = sorted(self._roots)
        root = self._roots[lowest]
        for height in higher:
            root = hashlib.sha256(b"\x01" + self._roots[height] + root).digest()
        return root
