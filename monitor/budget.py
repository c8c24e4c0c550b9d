"""How many bytes requests and responses may occupy together: the cap on the sidecar's memory."""

from collections.abc import Iterator
from contextlib import contextmanager


class OverBudget(Exception):  # noqa: N818 -- an event more than an error
    """There is no room for this many bytes now."""


class Budget:
    """Bytes shared by all that the sidecar carries at one time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """A part of the budget, given back when the context ends."""
        share = Share(self)
        try:
            yield share
        finally:
            share.close()


class Share:
    """What one request or response occupies."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._taken = 0

    def take(self, size: int) -> None:
        """Occupy `size` bytes more; OverBudget when there is no room for them."""
        if self._budget.taken + size > self._budget.limit:
            raise OverBudget(f"more than {self._budget.limit} bytes are held already")
        self.note(size)

    def note(self, size: int) -> None:
        """Count `size` bytes that are there already, room or not."""
        self._budget.taken += size
        self._taken += size

    def give(self, size: int) -> None:
        """Give back up to `size` bytes."""
        size = min(size, self._taken)
        self._budget.taken -= size
        self._taken -= size

    def close(self) -> None:
        """Give back what is left."""
        self.give(self._taken)
