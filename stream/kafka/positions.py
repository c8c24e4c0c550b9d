"""From where another worker would have to go on. Pure.

Law: a position never stands after a message that is still needed, and never goes back.
"""


class Positions:
    """What was read of one partition, and what of it is still needed."""

    def __init__(self) -> None:
        #: The offset after the newest message that was read.
        self._next = 0
        #: Offsets of messages that are needed until their work is done.
        self._needed: set[int] = set()
        self._committed = 0

    def read(self, offset: int) -> None:
        """Note that the message at `offset` was read; offsets rise."""
        self._next = offset + 1

    def need(self, offset: int) -> None:
        """Keep the position at or before `offset` until it is `done`."""
        self._needed.add(offset)

    def done(self, offset: int) -> None:
        """Need the message no longer."""
        self._needed.discard(offset)

    @property
    def safe(self) -> int:
        """The first message that another worker would have to read."""
        return min(self._needed, default=self._next)

    def due(self) -> int | None:
        """The position to commit, if it is further than the last one."""
        return self.safe if self.safe > self._committed else None

    def committed(self, position: int) -> None:
        """Note that `position` is stored."""
        self._committed = max(self._committed, position)
