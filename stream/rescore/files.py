"""Files of records, read as a stream: JSON lines, JSON documents and Parquet, compressed or not."""

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from monitor.dialects.jsontext import Parsed, parse
from stream.rescore.remote import RemoteFile

__all__ = ["SUFFIXES", "Place", "Record", "read_file"]

Place: TypeAlias = Path | RemoteFile

#: What is taken from a folder.
SUFFIXES = (
    *(".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst"),
    *(".json", ".json.gz", ".json.zst", ".parquet"),
)
#: Bytes of one record beyond which it is not read but reported.
MAX_RECORD = 64 * 2**20
_CHUNK = 2**20
_PARQUET_ROWS = 64
#: Cuts the bytes of a file into numbered values.
_Splitter: TypeAlias = Callable[[BinaryIO], Iterator[tuple[int, Parsed]]]
_DECODER = json.JSONDecoder()
#: White space, and the bytes of a byte order mark.
_BLANK = b" \t\r\n\xef\xbb\xbf"
_BETWEEN = re.compile(r"[\s,]*")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of an input."""

    source: str
    #: Line of a file, row of a table or number in a list, counted from 1.
    line: int
    #: The parsed JSON; None when there is a problem.
    value: object = None
    #: Why it could not be parsed.
    problem: str | None = None
    #: Bytes of the file that were read so far.
    consumed: int = 0


def read_file(path: Place, source: str) -> Iterator[Record]:
    """Yield every record of a file. Damage is a record with a problem, not an exception.

    Raises OSError when the file cannot be opened or read at all.
    """
    try:
        if path.name.endswith(".parquet"):
            yield from _parquet(path, source)
        else:
            yield from _numbered(path, source, _splitter(path))
    except _BROKEN:
        yield Record(source=source, line=0, problem="the compressed file is damaged or breaks off")
    except pa.ArrowInvalid:
        yield Record(source=source, line=0, problem="not a Parquet file, or a damaged one")


@contextmanager
def _opened(path: Place) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The decompressed bytes, and the file below whose position shows the progress."""
    with path.open("rb") as raw:
        if path.name.endswith(".gz"):
            yield io.BufferedReader(gzip.GzipFile(fileobj=raw), _CHUNK), raw
        elif path.name.endswith(".zst"):
            reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
            yield io.BufferedReader(reader, _CHUNK), raw
        else:
            yield raw, raw


def _splitter(path: Place) -> _Splitter:
    """How this file is cut into records."""
    start = _first_byte(path)
    if start == b"[":
        return _elements
    if start == b"{" and not _has_line(path) and _is_document(path):
        return _document
    return _lines


def _numbered(path: Place, source: str, split: _Splitter) -> Iterator[Record]:
    with _opened(path) as (data, raw):
        for line, parsed in split(data):
            value, problem = parsed
            yield Record(
                source=source,
                line=line,
                value=None if problem else value,
                problem=problem,
                consumed=raw.tell(),
            )


def _lines(data: BinaryIO) -> Iterator[tuple[int, Parsed]]:
    for number, line in enumerate(_bounded_lines(data), 1):
        if len(line) > MAX_RECORD:
            yield number, Parsed(problem=f"a record of more than {MAX_RECORD} bytes")
        elif line.strip():
            yield number, _parsed(line)


def _bounded_lines(data: BinaryIO) -> Iterator[bytes]:
    """Lines; of one that is too long only the beginning, which is one byte too long itself."""
    while line := data.readline(MAX_RECORD + 1):
        rest = line
        while len(rest) > MAX_RECORD and not rest.endswith(b"\n"):
            rest = data.readline(MAX_RECORD + 1)
        yield line


def _parsed(line: bytes) -> Parsed:
    try:
        found = parse(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Parsed(problem="not UTF-8 text")
    if found.value is None and found.problem is None:
        return Parsed(problem="null is no record")
    return found


def _document(data: BinaryIO) -> Iterator[tuple[int, Parsed]]:
    yield 1, _parsed(data.read(MAX_RECORD + 1))


def _elements(data: BinaryIO) -> Iterator[tuple[int, Parsed]]:
    """The elements of a JSON list, one after the other, in bounded memory."""
    with io.TextIOWrapper(data, "utf-8-sig", errors="surrogateescape") as text:
        yield from enumerate(_values(text), 1)


def _values(text: TextIO) -> Iterator[Parsed]:
    buffer = text.read(_CHUNK).lstrip()
    at = 1
    while True:
        at = _between(buffer, at)
        end = _end(buffer, at)
        if end is not None:
            yield _element(buffer[at:end])
            at = end
        elif len(buffer) <= MAX_RECORD and (more := text.read(max(_CHUNK, len(buffer) - at))):
            buffer, at = buffer[at:] + more, 0
        elif buffer.startswith("]", at):
            return
        else:
            yield Parsed(problem="malformed JSON: the list ends in the middle")
            return


def _between(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _end(text: str, at: int) -> int | None:
    """Where the JSON value at `at` ends; None when it does not end in `text`."""
    try:
        return _DECODER.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        return None


def _element(text: str) -> Parsed:
    return Parsed(problem="not UTF-8 text") if _NOT_UTF8.search(text) else parse(text)


def _first_byte(path: Place) -> bytes:
    with _opened(path) as (data, _):
        while (byte := data.read(1)) in _BLANK and byte:
            pass
        return byte


def _has_line(path: Place) -> bool:
    """Whether the first line is an object by itself: then the file is one of JSON lines."""
    with _opened(path) as (data, _):
        first = next((line for line in _bounded_lines(data) if line.strip()), b"")
        if len(first) > MAX_RECORD:
            return False
        return isinstance(_parsed(first).value, dict)


def _is_document(path: Place) -> bool:
    with _opened(path) as (data, _):
        whole = data.read(MAX_RECORD + 1)
    return len(whole) <= MAX_RECORD and _parsed(whole).value is not None


def _parquet(path: Place, source: str) -> Iterator[Record]:
    with path.open("rb") as raw, pq.ParquetFile(raw) as table:
        size = raw.seek(0, io.SEEK_END)
        total, number = max(1, table.metadata.num_rows), 0
        for batch in table.iter_batches(batch_size=_PARQUET_ROWS):
            for row in batch.to_pylist():
                number += 1
                value = {k: _plain(v) for k, v in row.items()}
                consumed = size * number // total
                yield Record(source=source, line=number, value=value, consumed=consumed)


def _plain(value: object) -> object:
    """A cell as JSON has it."""
    match value:
        case dict():
            return {str(k): _plain(v) for k, v in value.items()}
        case list() | tuple():
            return [_plain(v) for v in value]
        case bytes():
            return value.decode("utf-8", errors="replace")
        case None | str() | int() | float():
            return value
    return str(value)
