"""What can be re-scored: files, folders, audit stores and topics, understood as traces."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Protocol

from monitor.dialects.logs import FieldMap, Logged, read_logged
from monitor.sealing import Keyring
from monitor.store import Store
from monitor.types import Check
from stream.rescore.errors import RescoreError
from stream.rescore.files import SUFFIXES, Place, Record, read_file
from stream.rescore.items import Before, Item
from stream.rescore.remote import RemoteFile, find, is_address, shown
from stream.rescore.topic import SCHEME, TopicInput

__all__ = ["Before", "FileInput", "Input", "Item", "StoreInput", "find_inputs", "without_password"]


class Input(Protocol):
    """One source of records."""

    @property
    def size(self) -> int:
        """What `Item.consumed` reaches at the end."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return what must not change between a crash and the resumption."""
        ...

    def items(self, fields: FieldMap | None) -> Iterator[Item]:
        """Read all records, in the same order every time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInput:
    """A file of records."""

    path: Place
    #: Bytes as they are kept, compressed or not.
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Place) -> "FileInput":
        """Look at a file without reading it."""
        if isinstance(path, RemoteFile):
            return cls(path=path, size=path.size, modified_ns=path.modified_ns)
        stat = path.stat()
        return cls(path=path, size=stat.st_size, modified_ns=stat.st_mtime_ns)

    def fingerprint(self) -> dict[str, Any]:
        """Return name, size and time of change."""
        return {"path": _label(self.path), "size": self.size, "modified_ns": self.modified_ns}

    def items(self, fields: FieldMap | None) -> Iterator[Item]:
        """Read the file; raises RescoreError when it cannot be read."""
        try:
            for record in read_file(self.path, _label(self.path)):
                yield _understood(record, fields)
        except OSError as error:
            raise RescoreError(f"{self.path} cannot be read: {error.strerror or error}.") from error


def _label(path: Place) -> str:
    """The path as text that every file format can hold."""
    return os.fsencode(str(path)).decode("utf-8", errors="replace")


def _understood(record: Record, fields: FieldMap | None) -> Item:
    if record.problem:
        logged = Logged(shape="", problems=(record.problem,))
    else:
        logged = read_logged(record.value, fields)
    return Item(source=record.source, line=record.line, logged=logged, consumed=record.consumed)


def _open(url: str) -> Store:
    return Store.open(url, must_exist=True, keys=Keyring.read(None, os.environ))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInput:
    """The live verdicts of an audit store whose text was not erased."""

    url: str
    #: The last record that is read: later ones may come while a run goes on.
    until: int

    @classmethod
    def of(cls, url: str, known: Iterable[Mapping[str, Any]]) -> "StoreInput":
        """Look at a store; a run that was begun reads no further than it did then."""
        name = without_password(url)
        begun = (k["until"] for k in known if k.get("store") == name)
        store = _open(url)
        try:
            return cls(url=url, until=next(begun, store.newest_seq()))
        finally:
            store.close()

    @property
    def size(self) -> int:
        """Records of the log."""
        return self.until + 1

    def fingerprint(self) -> dict[str, Any]:
        """Return which store, and how far."""
        return {"store": without_password(self.url), "until": self.until}

    def items(self, _fields: FieldMap | None) -> Iterator[Item]:
        """Read the store; its own shape needs no map. Raises StoreError."""
        store, source = _open(self.url), without_password(self.url)
        try:
            for stored in store.live(until=self.until):
                traces = () if stored.trace is None else (stored.trace,)
                yield Item(
                    source=source,
                    line=stored.row.seq,
                    logged=Logged(shape="store", traces=traces),
                    consumed=stored.row.seq + 1,
                    before=Before(
                        decision=stored.row.decision,
                        scores={c: getattr(stored.row, c.value) for c in Check},
                    ),
                )
        finally:
            store.close()


def without_password(url: str) -> str:
    """The address of a store, as it may be shown and kept."""
    return re.sub(r"(://[^:@/]*):[^@/]*@", r"\1@", url)


def find_inputs(names: Iterable[str], known: Sequence[Mapping[str, Any]] = ()) -> list[Input]:
    """Return every file, store and topic that is meant, in a fixed order.

    Folders are searched to the bottom. `known` are the fingerprints of a run that was begun.
    Raises RescoreError when a name is nothing, or a folder holds nothing that can be read.
    """
    return [found for name in names for found in _meant(name, known)]


def _meant(name: str, known: Iterable[Mapping[str, Any]]) -> list[Input]:
    if re.match(r"(sqlite|postgresql)(\+\w+)?://", name):
        return [StoreInput.of(name, known)]
    if name.startswith(SCHEME):
        return [TopicInput.of(name, known)]
    found = _remote_files(name) if is_address(name) else _files(Path(name))
    return [FileInput.of(path) for path in found]


def _remote_files(address: str) -> Sequence[Place]:
    found = [f for f in find(address) if not f.below or _is_meant(PurePosixPath(f.below))]
    if not found:
        raise RescoreError(f"{shown(address)} holds no file of records: {', '.join(SUFFIXES)}.")
    return found


def _files(path: Path) -> Sequence[Place]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise RescoreError(f"{path} is neither a file nor a folder.")
    found = sorted(p for p in path.rglob("*") if _is_meant(p.relative_to(path)) and p.is_file())
    if not found:
        raise RescoreError(f"{path} holds no file of records: {', '.join(SUFFIXES)}.")
    return found


def _is_meant(path: PurePath) -> bool:
    return path.name.endswith(SUFFIXES) and not any(p.startswith((".", "_")) for p in path.parts)
