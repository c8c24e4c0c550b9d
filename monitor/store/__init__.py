"""Durable records of verdicts; the only place with SQL in it."""

from monitor.store.accounts import Accounts, Act
from monitor.store.checkpoints import Link, StoredCheckpoint
from monitor.store.errors import Conflict, CorruptContent, StoreError, StoreUnavailable
from monitor.store.reviews import Asker, Reviews
from monitor.store.rows import (
    Claim,
    Page,
    Query,
    Queue,
    StoredReview,
    StoredVerdict,
    Summary,
    Task,
    VerdictRow,
)
from monitor.store.store import Store

__all__ = [
    "Accounts",
    "Act",
    "Asker",
    "Claim",
    "Conflict",
    "CorruptContent",
    "Link",
    "Page",
    "Query",
    "Queue",
    "Reviews",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "StoredCheckpoint",
    "StoredReview",
    "StoredVerdict",
    "Summary",
    "Task",
    "VerdictRow",
]
