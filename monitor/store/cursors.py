"""Up to which record of the chain somebody has read it, and who of several reads it just now."""

from dataclasses import dataclass

from sqlalchemy import Connection, Update, insert, select, update

from monitor.store import chain
from monitor.store.reviews import Turns
from monitor.store.schema import cursors


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far the chain was read, and by whom."""

    #: The last record that was read.
    seq: int
    #: Who alone may read on; None: nobody yet.
    holder: str | None
    #: Changes whenever the holder shows that it lives.
    beats: int


class Cursors:
    """Places in the chain, by name. All methods block and may be called from any thread.

    A place can be held, so that of several servers one reads on. No clock says until when, for
    servers' clocks differ: who wants it watches whether its holder still lives, and takes it from
    one that was silent for long enough.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def begin(self, name: str, first: int | None = None) -> int:
        """Return the last record that was read; a new one begins behind `first`, or the newest."""
        return self.look(name, first).seq

    def look(self, name: str, first: int | None = None) -> Place:
        """Return a place; a new one is behind `first`, or the newest record."""
        with self._turns.reading() as connection:
            place = _place(connection, name)
        if place is not None:
            return place
        with self._turns.writing() as connection:
            if (place := _place(connection, name)) is None:
                seq = chain.last(connection)[0] if first is None else first
                connection.execute(insert(cursors).values(name=name, seq=seq, beats=0))
                place = Place(seq=seq, holder=None, beats=0)
        return place

    def take(self, name: str, holder: str, seen: Place) -> bool:
        """Hold a place that is still as it was seen; False when another was first."""
        same = cursors.c.holder.is_not_distinct_from(seen.holder) & (cursors.c.beats == seen.beats)
        return self._move(_named(name).where(same).values(holder=holder, beats=seen.beats + 1))

    def beat(self, name: str, holder: str) -> bool:
        """Show that the holder lives; False when another has taken the place."""
        return self._move(_held(name, holder).values(beats=cursors.c.beats + 1))

    def release(self, name: str, holder: str) -> None:
        """Let others have the place at once."""
        self._move(_held(name, holder).values(holder=None))

    def advance(self, name: str, seq: int, holder: str | None = None) -> bool:
        """Remember that everything up to this record was read; False when another holds it."""
        changed = _held(name, holder).where(cursors.c.seq <= seq)
        return self._move(changed.values(seq=seq))

    def _move(self, change: Update) -> bool:
        with self._turns.writing() as connection:
            return connection.execute(change).rowcount == 1


def _place(connection: Connection, name: str) -> Place | None:
    row = connection.execute(select(cursors).where(cursors.c.name == name)).first()
    return None if row is None else Place(seq=row.seq, holder=row.holder, beats=row.beats)


def _named(name: str) -> Update:
    return update(cursors).where(cursors.c.name == name)


def _held(name: str, holder: str | None) -> Update:
    return _named(name).where(cursors.c.holder.is_not_distinct_from(holder))
