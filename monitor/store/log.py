"""The chain as a list to read: its newest records by kind, and changes that people made."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, select, text

from monitor.audit import AuditRecord, Kind
from monitor.store import chain
from monitor.store.reviews import Turns
from monitor.store.schema import records

#: As the index on them has it.
_acts = text("kind <> 'verdict'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Somebody changed what the policy file says."""

    by: str
    why: str
    check: str
    flag: float
    block: float
    #: Versions of the policy before, and with this change.
    before: str
    after: str


class Log:
    """What happened besides verdicts. All methods block and may be called from any thread."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def record_change(self, change: Change, *, at: str) -> AuditRecord:
        """Record a change of the policy file, before it is made."""
        with self._turns.writing() as connection:
            return chain.append(connection, kind=Kind.CHANGE, created_at=at, body=asdict(change))

    def newest(
        self, limit: int, *, kind: Kind | None = None, before: int | None = None
    ) -> tuple[AuditRecord, ...]:
        """Return the newest records, newest first; only of a kind, only from before a record."""
        wanted = select(records).order_by(records.c.seq.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(records.c.seq < before)
        if kind is not None:
            wanted = wanted.where(_of_kind(kind))
        return self._read(wanted)

    def _read(self, wanted: Select[Any]) -> tuple[AuditRecord, ...]:
        with self._turns.reading() as connection:
            rows: list[Row[Any]] = list(connection.execute(wanted))
        return tuple(chain.record_of(row) for row in rows)


def _of_kind(kind: Kind) -> ColumnElement[bool]:
    same = records.c.kind == kind.value
    return same if kind is Kind.VERDICT else and_(_acts, same)
