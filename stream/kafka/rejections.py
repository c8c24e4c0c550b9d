"""When what cannot be read goes to the dead letters, and when the worker stops instead. Pure.

Law: as long as nothing but rejected messages is seen, they wait. A message that can be read, or the
end of what there is, shows that the rejected ones are exceptions. Too many in a row show that the
worker is wrong, for example about the topic: it stops, and every message is still in its place.
"""

from typing import Generic, TypeVar

Rejected = TypeVar("Rejected")


class Rejections(Generic[Rejected]):
    """The messages that were rejected one after the other."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._row: list[Rejected] = []

    @property
    def hopeless(self) -> bool:
        """Whether the worker must stop."""
        return len(self._row) >= self._limit

    def reject(self, message: Rejected) -> None:
        """Keep a message that cannot be read."""
        self._row.append(message)

    def keep(self, wanted: list[Rejected]) -> None:
        """Forget all but `wanted`: the others are somebody else's by now."""
        self._row = [m for m in self._row if m in wanted]

    def release(self) -> list[Rejected]:
        """The rejected messages, because a readable one came or none is left; now dead letters."""
        if self.hopeless:
            return []
        released, self._row = self._row, []
        return released

    @property
    def waiting(self) -> list[Rejected]:
        """Those that wait."""
        return list(self._row)
