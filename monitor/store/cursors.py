"""Up to which record of the chain somebody has read it."""

from sqlalchemy import insert, select, update

from monitor.store import chain
from monitor.store.reviews import Turns
from monitor.store.schema import cursors


class Cursors:
    """Places in the chain, by name. All methods block and may be called from any thread."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def begin(self, name: str, first: int | None = None) -> int:
        """Return the last record that was read; a new one begins behind `first`, or the newest."""
        with self._turns.writing() as connection:
            known = select(cursors.c.seq).where(cursors.c.name == name)
            seq = connection.execute(known).scalar_one_or_none()
            if seq is None:
                seq = chain.last(connection)[0] if first is None else first
                connection.execute(insert(cursors).values(name=name, seq=seq))
            return seq

    def advance(self, name: str, seq: int) -> None:
        """Remember that everything up to this record was read."""
        with self._turns.writing() as connection:
            moved = update(cursors).where(cursors.c.name == name, cursors.c.seq < seq)
            connection.execute(moved.values(seq=seq))
