"""What can go wrong between a verdict and its record.

StoreError
├── StoreUnavailable   the database cannot be opened, read or written: nothing counts as recorded
├── CorruptContent     stored content is not what the chain says it was
└── Conflict           what was asked does not fit what is stored by now: look again
"""


class StoreError(Exception):
    """The store did not do what was asked; callers must not act as if it had."""


class StoreUnavailable(StoreError):  # noqa: N818 (reads as a sentence where it is raised)
    """The database cannot be opened, read or written; the message says what to do."""


class CorruptContent(StoreError):  # noqa: N818
    """Stored content differs from the hash in the chain; run an audit of the store."""


class Conflict(StoreError):  # noqa: N818
    """What was asked does not fit what is stored by now; the message says why."""
