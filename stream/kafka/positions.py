"""From where another worker would have to go on. Pure.

Law: a position never stands after a message that is still needed, and never goes back.
"""


class Positions:
    """What was read of one partition, and what of it is still needed."""

    def __init__(self) -> None:
        #: The offset after the newest message that was read; None before the first.
        self._next: int | None = None
        #: Offsets of messages that are needed until their work is done.
        self._needed: set[int] = set()
        self._committed = 0

    def read(self, offset: int) -> None:
        """Note that the message at `offset` was read; offsets rise."""
        if self._next is None:
            self._committed = offset  # reading begins where the group committed
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
        return min(self._needed, default=self._next or 0)

    @property
    def uncommitted(self) -> int:
        """Messages that were read and would be read again after a crash."""
        return (self._next or 0) - self._committed

    def due(self) -> int | None:
        """The position to commit, if it is further than the last one."""
        return self.safe if self.safe > self._committed else None

    def committed(self, position: int) -> None:
        """Note that `position` is stored."""
        self._committed = max(self._committed, position)
