"""Durable records of verdicts; the only place with SQL in it."""

from monitor.store.checkpoints import Link, StoredCheckpoint
from monitor.store.errors import CorruptContent, StoreError, StoreUnavailable
from monitor.store.rows import Page, Query, StoredVerdict, Summary, VerdictRow
from monitor.store.store import Store

__all__ = [
    "CorruptContent",
    "Link",
    "Page",
    "Query",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "StoredCheckpoint",
    "StoredVerdict",
    "Summary",
    "VerdictRow",
]
