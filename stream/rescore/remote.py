"""Files in object stores: `s3://`, and whatever else pyarrow or fsspec has a file system for."""

import io
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO, cast

import pyarrow as pa
from pyarrow import fs

from stream.rescore.errors import RescoreError

__all__ = ["RemoteFile", "find", "is_address", "put_new", "shown", "system_of"]

#: Bytes that are fetched at a time.
_FETCHED = 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file that has an address; may be sent to another machine and opened there."""

    #: What led to it, with its settings and secrets.
    origin: str
    #: In the file system that `origin` is of.
    path: str
    #: The path below what was asked for; "" when it was asked for itself.
    below: str
    size: int
    #: 0 where the store does not say.
    modified_ns: int

    @property
    def name(self) -> str:
        """Its last part, which says what it holds."""
        return self.path.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        """Return its address without settings and secrets."""
        return f"{self.origin.split('://')[0]}://{self.path.lstrip('/')}"

    def open(self, mode: str) -> BinaryIO:
        """Open it to read bytes; raises OSError."""
        if mode != "rb":
            raise ValueError(mode)
        system, _ = system_of(self.origin)
        raw = cast("io.RawIOBase", system.open_input_file(self.path))
        return io.BufferedReader(raw, _FETCHED)


def is_address(name: str) -> bool:
    """Whether this is no path."""
    return re.match(r"[a-z][a-z0-9+.-]+://", name) is not None


def find(address: str) -> list[RemoteFile]:
    """Return the file at an address, or all files below it, in order of their paths.

    Raises RescoreError when there is no way to look.
    """
    system, path = system_of(address)
    try:
        found = system.get_file_info(path)
        if found.type is fs.FileType.File:
            return [_file(address, found, "")]
        below = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    except OSError as error:
        raise RescoreError(f"{shown(address)} cannot be read: {error}") from error
    files = sorted((f for f in below if f.type is fs.FileType.File), key=lambda f: f.path)
    start = len(path.rstrip("/")) + 1
    return [_file(address, found, found.path[start:]) for found in files]


def _file(address: str, found: fs.FileInfo, below: str) -> RemoteFile:
    return RemoteFile(
        origin=address,
        path=found.path,
        below=below,
        size=found.size or 0,
        modified_ns=found.mtime_ns or 0,
    )


def put_new(address: str, name: str, data: bytes) -> None:
    """Write a file below an address unless it is there; raises OSError."""
    system, folder = system_of(address)
    path = f"{folder.rstrip('/')}/{name}"
    if system.get_file_info(path).type is not fs.FileType.NotFound:
        return
    with system.open_output_stream(path) as out:
        out.write(data)


@lru_cache(16)
def system_of(address: str) -> tuple[fs.FileSystem, str]:
    """The file system of an address, and the path in it."""
    try:
        return cast("tuple[fs.FileSystem, str]", fs.FileSystem.from_uri(address))
    except pa.ArrowInvalid as error:
        if "Unrecognized filesystem" not in str(error):
            raise RescoreError(f"{shown(address)}: {error}") from error
    try:
        import fsspec  # noqa: PLC0415 -- for rare kinds of addresses

        system, path = fsspec.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise RescoreError(f"{shown(address)}: {error}") from error
    return fs.PyFileSystem(fs.FSSpecHandler(system)), path


def shown(address: str) -> str:
    """Return an address without settings and secrets."""
    return re.sub(r"(://)[^/@]*@", r"\1", address.partition("?")[0])
