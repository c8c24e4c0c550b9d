"""What a run has finished, and the order of writing that makes a crash harmless.

A part is finished when the list of parts names it. Before that, all that belongs to it is written
in ways that writing again does not change: bad records are cut back to the length that the list
names, the table replaces itself as a whole, and the audit store knows its verdicts by id.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

from stream.rescore.errors import RescoreError

__all__ = ["BAD", "MANIFEST", "PARTS", "Ledger", "PartEntry", "Plan", "holding", "new_run"]

MANIFEST: Final = "manifest.json"
#: The finished parts: one JSON object per line.
PARTS: Final = "parts.jsonl"
#: Records that could not be read: one JSON object per line.
BAD: Final = "bad.jsonl"
_LOCK: Final = ".lock"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run does; to go on with a run, it must be the same to the letter."""

    versions: Mapping[str, str]
    #: The policy as TOML.
    policy: str
    #: Fingerprints, in the order of reading.
    inputs: list[dict[str, Any]]
    #: Filter, sample, map and size of parts.
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartEntry:
    """A finished part."""

    #: "" when none of its records was judged.
    file: str
    sha256: str
    #: Records of the inputs read up to its end, those of earlier parts included.
    records: int
    rows: int
    #: Judged traces by decision.
    decisions: Mapping[str, int]
    #: Judged traces where a check failed.
    unscored: int
    #: Code points of the judged traces.
    characters: int
    bad: int
    #: Length of the file of bad records up to its end.
    bad_bytes: int
    #: Records without a call of a model, and traces that were filtered or sampled out.
    skipped: int


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The manifest of one folder and its list of parts. One process at a time holds them."""

    folder: Path
    run: str
    started_at: str
    plan: Plan
    finished_at: str | None = None
    parts: list[PartEntry] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return what the folder's manifest says; None when there is none."""
        path = folder / MANIFEST
        if not path.exists():
            return None
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data.pop("format") != _FORMAT:
                raise RescoreError(f"{path} was written by another version of Subtext.")
            parts = [PartEntry(**json.loads(line)) for line in _whole_lines(folder / PARTS)]
            return cls(folder=folder, plan=Plan(**data.pop("plan")), parts=parts, **data)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RescoreError(f"{path} is damaged: {type(error).__name__}.") from error

    @classmethod
    def open(cls, folder: Path, plan: Plan, *, run: str, now: str) -> Self:
        """Go on with the run of a folder, or begin one.

        Raises RescoreError when the folder holds a run that does something else.
        """
        known = cls.read(folder)
        if known is None:
            return cls(folder=folder, run=run, started_at=now, plan=plan)
        if different := [
            name for name, value in asdict(plan).items() if value != asdict(known.plan)[name]
        ]:
            raise RescoreError(
                f"{folder} holds a run with other {' and '.join(different)}: choose another --out,"
                " or repeat the command that began it."
            )
        return known

    @property
    def position(self) -> int:
        """Records that are done."""
        return self.parts[-1].records if self.parts else 0

    @property
    def bad_bytes(self) -> int:
        """Length of the file of bad records that belongs to finished parts."""
        return self.parts[-1].bad_bytes if self.parts else 0

    def resume(self) -> None:
        """Remove what was begun and not finished."""
        _cut(self.folder / BAD, self.bad_bytes)
        _cut(self.folder / PARTS, sum(map(len, _whole_lines(self.folder / PARTS))))
        for draft in self.folder.glob(".*.draft"):
            draft.unlink()
        self._save()

    def commit(self, entry: PartEntry) -> None:
        """Name a part as finished; everything of it must be durable already."""
        append_durably(self.folder / PARTS, json.dumps(asdict(entry)).encode() + b"\n")
        self.parts.append(entry)

    def finish(self, now: str) -> None:
        """Mark the run as complete."""
        self.finished_at = now
        self._save()

    def _save(self) -> None:
        """Write the manifest so that the old or the new one is there, whatever happens."""
        data = {
            "format": _FORMAT,
            "run": self.run,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "plan": asdict(self.plan),
        }
        draft = self.folder / f".{MANIFEST}.draft"
        with draft.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.folder / MANIFEST)
        sync_folder(self.folder)


def _whole_lines(path: Path) -> list[bytes]:
    """The lines of a file, but for a last one that a crash cut off."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith(b"\n")]


def _cut(path: Path, size: int) -> None:
    with path.open("ab") as file:
        file.truncate(size)


def new_run() -> str:
    """A fresh name for a run."""
    return f"r-{uuid4().hex[:12]}"


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; raises RescoreError when one is in it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        raise RescoreError(f"{folder} cannot be written: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RescoreError(f"Another process is writing {folder}.") from error
        yield


def append_durably(path: Path, data: bytes) -> int:
    """Append to a file and return its length once that is on disk."""
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
