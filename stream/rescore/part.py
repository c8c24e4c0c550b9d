"""The part of a run that is being filled, and how it becomes durable."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from monitor.types import Decision, Trace, Verdict
from stream.rescore.inputs import Item
from stream.rescore.ledger import BAD, Ledger, PartEntry, append_durably
from stream.rescore.table import row_of, write_part

__all__ = ["Archive", "Done", "Part"]

#: Code points of judged traces after which a part is full, however few rows it has.
MAX_CHARACTERS = 16 * 2**20
#: Bad records after which a part is full.
MAX_BAD = 100_000


class Archive(Protocol):
    """Where verdicts are kept besides the table; knows a verdict id that it has seen."""

    def record_verdicts(
        self, pairs: Sequence[tuple[Verdict, Trace]], *, run: str
    ) -> Sequence[object]:
        """Record all of these or none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A record of an input, and the verdicts on its wanted traces."""

    item: Item
    #: Number of the record among all inputs, counted from 1.
    position: int
    judged: tuple[tuple[Trace, Verdict], ...]


@dataclass(slots=True, kw_only=True)
class Part:
    """Rows and bad records of consecutive records of the inputs."""

    run: str
    full_at: int
    records: int = 0
    skipped: int = 0
    characters: int = 0
    unscored: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[tuple[Verdict, Trace]] = field(default_factory=list)
    bad: list[dict[str, Any]] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether it is time to write; follows from the input alone, so parts are always equal."""
        return (
            len(self.rows) >= self.full_at
            or self.characters >= MAX_CHARACTERS
            or len(self.bad) >= MAX_BAD
        )

    def add(self, done: Done) -> None:
        """Take the next record."""
        item = done.item
        self.records = done.position
        problems = item.logged.problems
        wanted = len(item.logged.traces) - len(done.judged)
        self.skipped += wanted + (not item.logged.traces and not problems)
        for reason in problems:
            self.bad.append({"source": item.source, "line": item.line, "reason": reason})
        for trace, verdict in done.judged:
            self.rows.append(row_of(self.run, item, trace, verdict))
            self.pairs.append((verdict, trace))
            self.characters += sum(len(part.text) for part in trace.parts)
            self.unscored += verdict.unscored is not None

    def write(self, ledger: Ledger, archive: Archive | None) -> None:
        """Make everything durable, its entry in the list of parts last."""
        bad_bytes = ledger.bad_bytes
        if self.bad:
            lines = "".join(json.dumps(bad) + "\n" for bad in self.bad)
            bad_bytes = append_durably(ledger.folder / BAD, lines.encode())
        name, digest = "", ""
        if self.rows:
            name = f"part-{len(ledger.parts):05}.parquet"
            digest = write_part(ledger.folder / name, self.rows)
        if archive is not None and self.pairs:
            archive.record_verdicts(self.pairs, run=self.run)
        ledger.commit(self._entry(name, digest, bad_bytes))

    def _entry(self, name: str, digest: str, bad_bytes: int) -> PartEntry:
        counted = Counter(row["decision"] for row in self.rows)
        return PartEntry(
            file=name,
            sha256=digest,
            records=self.records,
            rows=len(self.rows),
            decisions={d.name.lower(): counted[d.name.lower()] for d in Decision},
            unscored=self.unscored,
            characters=self.characters,
            bad=len(self.bad),
            bad_bytes=bad_bytes,
            skipped=self.skipped,
        )
