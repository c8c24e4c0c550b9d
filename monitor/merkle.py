"""The Merkle tree of RFC 6962 over a log, kept as a frontier of O(log n) hashes.

A leaf is the 32 bytes of a record's hash, which itself covers the whole record:

    leaf = SHA-256(0x00 || record hash)      node = SHA-256(0x01 || left || right)

The frontier holds the roots of the perfect subtrees that the log falls into, largest first: one for
each bit that is set in the size.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

#: The root of a tree without leaves.
EMPTY = hashlib.sha256(b"").digest()


def leaf_of(record_hash: str) -> bytes:
    """Return the leaf of a record by its hash in hexadecimal; ValueError when it is none."""
    raw = bytes.fromhex(record_hash)
    if raw.hex() != record_hash or len(raw) != 32:
        raise ValueError("a record's hash is 64 hexadecimal digits")
    return hashlib.sha256(b"\x00" + raw).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """A tree that leaves can be added to."""

    #: Leaves so far.
    size: int = 0
    #: Roots of its perfect subtrees, largest first.
    peaks: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        """The root of the whole tree."""
        if not self.peaks:
            return EMPTY
        return reduce(lambda right, left: node(left, right), reversed(self.peaks))

    def grown(self, leaves: Iterable[bytes]) -> "Frontier":
        """Return the tree with more leaves."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaves:
            peaks.append(leaf)
            for _ in range(_trailing_ones(size)):
                right = peaks.pop()
                peaks[-1] = node(peaks[-1], right)
            size += 1
        return Frontier(size=size, peaks=tuple(peaks))


def _trailing_ones(number: int) -> int:
    return (~number & (number + 1)).bit_length() - 1
