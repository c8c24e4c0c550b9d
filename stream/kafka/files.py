"""Traces from files, one after the other, however large the file is."""

from collections.abc import Iterator
from pathlib import Path

from monitor.dialects import BadRecord, BadTraceError, read_saved, trace_from_json
from monitor.types import Trace


def read(path: Path) -> Iterator[Trace | BadRecord]:
    """Yield the traces of a file and what in it is none.

    Parquet by its suffix, JSONL by its suffix line by line, anything else as `subtext check` does.
    """
    if path.suffix == ".parquet":
        return _parquet(path)
    if path.suffix in {".jsonl", ".ndjson"}:
        return _lines(path)
    return read_saved(path.read_bytes(), source=str(path))


def _lines(path: Path) -> Iterator[Trace | BadRecord]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            for found in read_saved(line, source=str(path)) if line.strip() else ():
                if isinstance(found, Trace):
                    yield found
                else:
                    yield BadRecord(source=str(path), line=number, reason=found.reason)


def _parquet(path: Path) -> Iterator[Trace | BadRecord]:
    import pyarrow.parquet  # noqa: PLC0415 -- only who has Parquet needs it

    row = 0
    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1000):
        for record in batch.to_pylist():
            row += 1
            try:
                yield trace_from_json({"trace_id": record.get("id"), **record})
            except BadTraceError as error:
                yield BadRecord(source=str(path), line=row, reason=str(error))
