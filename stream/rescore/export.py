"""Verdicts as Parquet, written as they are read: a row group for each batch."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_TYPES = {int: pa.int64(), str: pa.string(), float: pa.float64(), bool: pa.bool_()}


class _Pieces(io.RawIOBase):
    """A file that is taken away piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        """Say that this can be written."""
        return True

    def tell(self) -> int:
        """Say how much was written so far, taken or not."""
        return self._size

    def write(self, data: Any) -> int:  # noqa: ANN401 (any buffer)
        """Keep a piece until it is taken."""
        piece = bytes(data)
        self._pieces.append(piece)
        self._size += len(piece)
        return len(piece)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def parquet(
    batches: Iterable[Sequence[Mapping[str, Any]]], columns: Mapping[str, type]
) -> Iterator[bytes]:
    """Write rows as Parquet. Lone surrogates, which it cannot hold, become U+FFFD."""
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
    sink = _Pieces()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for rows in batches:
            writer.write_table(pa.Table.from_pylist([_plain(row) for row in rows], schema))
            yield sink.taken()
    yield sink.taken()


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _text(value) if isinstance(value, str) else value for name, value in row.items()}


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode()
