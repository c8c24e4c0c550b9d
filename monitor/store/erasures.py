"""What records of retention say is gone, held against what is gone. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from monitor.audit import AuditRecord, Kind

#: What a record of an erasure says of itself.
ERASED = "erased"


class Ranges:
    """A set of numbers that come mostly in runs."""

    def __init__(self) -> None:
        self._runs: list[list[int]] = []

    def add(self, first: int, last: int) -> None:
        """Take `first` to `last` in."""
        if self._runs and self._runs[-1][0] <= first <= self._runs[-1][1] + 1:
            self._runs[-1][1] = max(last, self._runs[-1][1])
        else:
            self._runs.append([first, last])

    def runs(self) -> list[list[int]]:
        """Return first and last number of each run, in order."""
        merged = Ranges()
        for first, last in sorted(self._runs):
            merged.add(first, last)
        self._runs = merged._runs
        return self._runs

    def without(self, other: "Ranges") -> Iterator[int]:
        """Return the numbers that are not in the other, in order."""
        runs = other.runs()
        starts = [first for first, _ in runs]
        for first, last in self.runs():
            number = first
            while number <= last:
                at = bisect_right(starts, number) - 1
                if at >= 0 and runs[at][1] >= number:
                    number = runs[at][1] + 1
                else:
                    yield number
                    number += 1


def runs_of(numbers: Iterable[int]) -> list[list[int]]:
    """Write a set of numbers as runs, for a record."""
    found = Ranges()
    for number in sorted(numbers):
        found.add(number, number)
    return found.runs()


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasures:
    """What is said to be gone, and what is: texts by their verdicts, notes by their reviews."""

    told_texts: Ranges = field(default_factory=Ranges)
    told_notes: Ranges = field(default_factory=Ranges)
    texts: Ranges = field(default_factory=Ranges)
    notes: Ranges = field(default_factory=Ranges)

    def hear(self, record: AuditRecord) -> None:
        """Take in what a record tells; one that is misshapen tells nothing."""
        if record.kind != Kind.RETENTION or record.body.get("act") != ERASED:
            return
        for told, name in ((self.told_texts, "texts"), (self.told_notes, "notes")):
            for first, last in _runs(record.body.get(name)):
                told.add(first, last)

    def unexplained(self) -> Iterator[tuple[int, str]]:
        """Return what is gone though no record says so."""
        for seq in self.texts.without(self.told_texts):
            yield seq, "its text is gone, and no record says who erased it"
        for seq in self.notes.without(self.told_notes):
            yield seq, "its note is gone, and no record says who erased it"


def _runs(value: Any) -> Iterator[tuple[int, int]]:  # noqa: ANN401 (of a record)
    for pair in value if isinstance(value, list) else ():
        match pair:
            case [int(first), int(last)] if first <= last:
                yield first, last
