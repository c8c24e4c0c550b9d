"""Durable records of verdicts; the only place with SQL in it."""

from monitor.store.accounts import Accounts, Act
from monitor.store.checkpoints import Link, StoredCheckpoint
from monitor.store.errors import Conflict, CorruptContent, Locked, StoreError, StoreUnavailable
from monitor.store.log import Change, Log
from monitor.store.retention import Erased, Retention
from monitor.store.reviews import Asker, Reviews
from monitor.store.rows import (
    Answered,
    Backlog,
    Claim,
    Page,
    Pair,
    Query,
    Queue,
    Reading,
    StoredReview,
    StoredVerdict,
    Summary,
    Task,
    VerdictRow,
)
from monitor.store.runs import Run, Runs
from monitor.store.store import Store
from monitor.store.tallies import Tallies
from monitor.store.views import View, Views

__all__ = [
    "Accounts",
    "Act",
    "Answered",
    "Asker",
    "Backlog",
    "Change",
    "Claim",
    "Conflict",
    "CorruptContent",
    "Erased",
    "Link",
    "Locked",
    "Log",
    "Page",
    "Pair",
    "Query",
    "Queue",
    "Reading",
    "Retention",
    "Reviews",
    "Run",
    "Runs",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "StoredCheckpoint",
    "StoredReview",
    "StoredVerdict",
    "Summary",
    "Tallies",
    "Task",
    "VerdictRow",
    "View",
    "Views",
]
