"""A folder of checkpoints outside the database: the copies that somebody else can hold."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from monitor.checkpoint import MAX_NOTE
from monitor.coverage import Held

SUFFIX = ".checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """One file per checkpoint, named by its size: sorted by name is sorted by size."""

    folder: Path

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Make the folder if it is not there; OSError when it cannot be written to."""
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return cls(folder=folder)

    def put(self, size: int, note: str) -> None:
        """Write a checkpoint unless it is there: whole or not at all, on disk on return."""
        path = self.folder / f"{size:020}{SUFFIX}"
        if path.exists():
            return
        draft = path.with_suffix(f".{os.getpid()}.draft")
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync(self.folder)

    def newest(self) -> Held | None:
        """Return the checkpoint that covers most."""
        path = max(self.folder.glob(f"*{SUFFIX}"), default=None)
        return None if path is None else _read(path)

    def all(self) -> Iterator[Held]:
        """Return all checkpoints, by size."""
        return map(_read, sorted(self.folder.glob(f"*{SUFFIX}")))


def _read(path: Path) -> Held:
    """Return what stands in a file, whatever that is."""
    with path.open("rb") as file:
        note = file.read(MAX_NOTE + 1).decode("utf-8", "surrogateescape")
    return Held(source=str(path), note=note)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
