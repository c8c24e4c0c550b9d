"""Real traces to measure on: the authored sets that ship with the classifiers."""

from importlib.resources import files

import pyarrow.parquet as pq

from monitor.types import Channel, Part, Trace, coalesce


def authored(count: int) -> list[Trace]:
    """`count` traces, taken evenly from all authored training sets."""
    folder = files("classifiers") / "data" / "train"
    paths = sorted(str(p) for p in folder.iterdir() if p.name.endswith(".parquet"))
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    return [_trace(row) for row in rows[:: max(1, len(rows) // count)][:count]]


def _trace(row: dict) -> Trace:
    parts = (
        Part(channel=Channel.THINKING, text=row["thinking"] or ""),
        Part(channel=Channel.ANSWER, text=row["answer"] or ""),
    )
    return Trace(trace_id=row["id"], parts=coalesce(parts), prompt=row["prompt"] or "")
