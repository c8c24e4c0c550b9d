"""Messages on disk while the broker does not take them: bounded, checksummed, in order.

A folder of segments. A record is the length of its payload, the payload's CRC-32, and the payload:
a line of JSON with topic, key and headers, then the value. What a crash or a disk has damaged is
never sent: reading a segment ends there.
"""

import base64
import fcntl
import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from monitor.errors import MonitorError
from monitor.logs import complain
from stream.kafka.port import Headers

_HEAD = struct.Struct(">II")
#: Bytes after which a segment is closed: what is delivered is freed in pieces of this size.
SEGMENT_BYTES = 8 * 1024 * 1024


class SpoolError(MonitorError):
    """The folder cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One message to send."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()

    def pack(self) -> bytes:
        """The payload of its record."""
        headers = [[name, _text(value)] for name, value in self.headers]
        return json.dumps([self.topic, _text(self.key), headers]).encode() + b"\n" + self.value

    @classmethod
    def unpack(cls, payload: bytes) -> "Parcel":
        """The message of a payload."""
        line, _, value = payload.partition(b"\n")
        topic, key, headers = json.loads(line)
        return cls(
            topic=topic,
            key=base64.b64decode(key),
            value=value,
            headers=tuple((name, base64.b64decode(text)) for name, text in headers),
        )


class Spool:
    """The folder of one process. Every method blocks on the disk; one thread at a time."""

    def __init__(self, folder: Path, *, limit: int) -> None:
        """Open the folder, whatever an earlier process left in it. Raises SpoolError."""
        self._folder = folder
        self._limit = limit
        self._file: BinaryIO | None = None
        self._written = 0
        #: Segments that were not read to their end because they are damaged.
        self.damaged = 0
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock: int | None = _locked(folder / "lock")
        except OSError as error:
            why = "another process uses it" if isinstance(error, BlockingIOError) else error
            raise SpoolError(f"{folder}: {why}") from error
        self._segments = sorted(folder.glob("*.spool"))
        self._next = int(self._segments[-1].stem) + 1 if self._segments else 0
        #: Bytes on disk.
        self.size = sum(path.stat().st_size for path in self._segments)

    @property
    def empty(self) -> bool:
        """Whether everything was delivered."""
        return not self._segments

    def append(self, parcels: Iterable[Parcel]) -> int:
        """Keep messages, durably; returns how many could not be kept."""
        records = [_record(parcel.pack()) for parcel in parcels]
        kept = 0
        try:
            for record in records:
                if self.size + len(record) > self._limit:
                    break
                self._current().write(record)
                self.size += len(record)
                self._written += len(record)
                kept += 1
            self._sync()
        except OSError as error:
            complain("spool_failed", error=type(error).__name__)
            self._give_segment_up()
            kept = 0  # some of them may be on disk all the same
        return len(records) - kept

    def oldest(self) -> Path | None:
        """The segment to deliver next; nothing is added to it any more."""
        if len(self._segments) == 1:
            self._end_segment()
        return self._segments[0] if self._segments else None

    def read(self, segment: Path) -> Iterator[Parcel]:
        """The messages of a segment, up to its end or the first damage."""
        with segment.open("rb") as file:
            while head := file.read(_HEAD.size):
                length, checksum = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 1)
                payload = file.read(min(length, self._limit))
                if len(payload) != length or zlib.crc32(payload) != checksum:
                    self.damaged += 1
                    return
                yield Parcel.unpack(payload)

    def remove(self, segment: Path) -> None:
        """Forget a segment, because it was delivered."""
        self._segments.remove(segment)
        self.size -= segment.stat().st_size
        segment.unlink()

    def close(self) -> None:
        """Leave the folder to another process. Harmless when that was done."""
        self._end_segment()
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    def _current(self) -> BinaryIO:
        if self._written >= SEGMENT_BYTES:
            self._end_segment()
        if self._file is None:
            path = self._folder / f"{self._next:010}.spool"
            self._next += 1
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(descriptor, "wb")
            self._segments.append(path)
        return self._file

    def _end_segment(self) -> None:
        if self._file is not None:
            self._sync()
            self._file.close()
        self._file, self._written = None, 0

    def _give_segment_up(self) -> None:
        """Add nothing to the segment: its end may be half a record."""
        file, self._file, self._written = self._file, None, 0
        if file is not None:
            with suppress(OSError):
                file.close()
        self.size = sum(path.stat().st_size for path in self._segments)

    def _sync(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())


def _locked(path: Path) -> int:
    """Open a file that only one process has open like this."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _record(payload: bytes) -> bytes:
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
