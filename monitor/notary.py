"""Signs what the log is, and never what contradicts an earlier signature.

    newest checkpoint in the database ─┐
    newest one in the vault ───────────┴─► the chain must pass through them ─► sign, store, copy

The first time, the notary reads the hashes of the whole chain; then it keeps the frontier of the
tree and reads on from there.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from monitor.audit import GENESIS
from monitor.checkpoint import Checkpoint, CheckpointError, origin_of, parse
from monitor.clock import utc_now
from monitor.errors import MonitorError
from monitor.merkle import Frontier, leaf_of
from monitor.signing import SigningKey
from monitor.store import Link, Store, StoredCheckpoint
from monitor.vault import Vault


class RefusedToSign(MonitorError):  # noqa: N818 (reads as a sentence where it is raised)
    """The log is not what was signed before; `subtext audit verify` tells where it differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """How far the chain was read."""

    frontier: Frontier = field(default_factory=Frontier)
    #: Hash of the last record.
    head: str = GENESIS
    #: Names the log; empty before its first record.
    origin: str = ""

    @property
    def size(self) -> int:
        return self.frontier.size

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(origin=self.origin, size=self.size, root=self.frontier.root)


class Notary:
    """Makes checkpoints of a store. All methods block and may be called from any thread."""

    def __init__(
        self,
        store: Store,
        key: SigningKey,
        vault: Vault | None = None,
        now: Callable[[], str] = utc_now,
    ) -> None:
        self._store, self._key, self._vault, self._now = store, key, vault, now
        self._turn = threading.Lock()
        #: What this process last found signed, or signed.
        self._state = _State()

    @property
    def name(self) -> str:
        """Who signs: the name of the public key."""
        return self._key.verifier.name

    @property
    def copies(self) -> str | None:
        """The folder that copies go to."""
        return None if self._vault is None else str(self._vault.folder)

    def pending(self) -> int:
        """Return how many records there are beyond the newest checkpoint that we know of."""
        return self._store.newest_seq() + 1 - self._state.size

    def attest(self) -> Checkpoint | None:
        """Sign, store and copy a checkpoint of all records; None when nothing is new.

        RefusedToSign when the log is not what was signed before. To die in between does no harm:
        what was stored and not yet copied is copied next time.
        """
        with self._turn:
            stored = self._store.newest_checkpoint()
            state = _through(self._store, self._state, list(self._signed(stored)))
            size = None if stored is None else stored.size
            if stored is not None:
                self._copy(stored)
            if state.size > (size or 0) and not self._sign(state, following=size):
                return None  # another process was first
            fresh, self._state = state.size > (size or 0), state
            return state.checkpoint if fresh else None

    def _sign(self, state: _State, *, following: int | None) -> bool:
        note = self._key.sign(state.checkpoint)
        made = StoredCheckpoint(size=state.size, created_at=self._now(), note=note)
        if not self._store.record_checkpoint(made, following=following):
            return False
        self._copy(made)
        return True

    def _copy(self, checkpoint: StoredCheckpoint) -> None:
        if self._vault is not None:
            self._vault.put(checkpoint.size, checkpoint.note)

    def _signed(self, stored: StoredCheckpoint | None) -> Iterator[Checkpoint]:
        """Return what the chain must pass through."""
        if self._state.size > (0 if stored is None else stored.size):
            raise RefusedToSign(f"the checkpoint of {self._state.size} records is gone")
        if stored is not None:
            checkpoint = self._believed("the database", stored.note)
            if checkpoint.size != stored.size:
                raise RefusedToSign("the newest checkpoint in the database is another one")
            yield checkpoint
        if self._vault is not None and self._state.size == 0:
            copy = self._vault.newest()
            if copy is not None:
                yield self._believed(copy.source, copy.note)

    def _believed(self, source: str, text: str) -> Checkpoint:
        """Read a checkpoint; one in the name of this key must be signed by it."""
        try:
            note = parse(text)
            self._key.verifier.signed(note)
        except CheckpointError as error:
            raise RefusedToSign(f"the newest checkpoint in {source}: {error}") from error
        return note.checkpoint


def _through(store: Store, state: _State, signed: Sequence[Checkpoint]) -> _State:
    """Read from `state` to the end of the chain, which must pass through what was signed."""
    _demand_stands(store, state)
    for told in sorted(signed, key=lambda checkpoint: checkpoint.size):
        state = _grown(state, islice(store.links(state.size), max(0, told.size - state.size)))
        if state.size < told.size:
            raise RefusedToSign(f"{told.size} records were signed, but {state.size} are left")
        if state.size == told.size and state.checkpoint != told:
            raise RefusedToSign(f"these are not the {told.size} records that were signed")
    return _grown(state, store.links(state.size))


def _demand_stands(store: Store, state: _State) -> None:
    """Demand that the last record that was read is still there."""
    if state.size:
        link = next(store.links(state.size - 1), None)
        if link is None or (link.seq, link.hash) != (state.size - 1, state.head):
            raise RefusedToSign(f"record {state.size - 1} was signed, and is gone or another one")


def _grown(state: _State, links: Iterable[Link]) -> _State:
    """Take more of the chain in; each link must continue the one before."""
    head, origin = state.head, state.origin

    def leaves() -> Iterator[bytes]:
        nonlocal head, origin
        for seq, link in enumerate(links, state.size):
            if (link.seq, link.previous) != (seq, head):
                raise RefusedToSign(f"record {link.seq} does not continue the record before it")
            head, origin = link.hash, origin or origin_of(link.hash)
            yield _leaf(link)

    frontier = state.frontier.grown(leaves())
    return _State(frontier=frontier, head=head, origin=origin)


def _leaf(link: Link) -> bytes:
    try:
        return leaf_of(link.hash)
    except (TypeError, ValueError) as error:
        raise RefusedToSign(f"record {link.seq}: {error}") from error
