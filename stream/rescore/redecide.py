"""Decides anew from the scores of an earlier run: for when only the policy changed.

No model runs; `stream.rescore.deciding` says how a table is decided.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from classifiers.sessions import available_cpus
from monitor.clock import utc_now
from monitor.rulebook import Rulebook, to_toml
from monitor.types import Decision
from stream.rescore.deciding import Decider
from stream.rescore.errors import RescoreError
from stream.rescore.ledger import Ledger, PartEntry, Plan, holding, new_run
from stream.rescore.table import DECIDED, SCHEMA, write_table

__all__ = ["decide_all", "deciding", "earlier_run", "redecide"]

#: Rows, and bytes on disk, of earlier parts that become one part.
GROUP_ROWS: Final = 50_000
GROUP_BYTES: Final = 64 * 2**20


def earlier_run(folder: Path) -> Ledger:
    """Return the finished run in `folder`; raises RescoreError when there is none."""
    found = Ledger.read(folder)
    if found is None:
        raise RescoreError(f"{folder} holds no run of `subtext rescore`.")
    if found.finished_at is None:
        raise RescoreError(
            f"The run in {folder} is not finished: repeat the command that began it."
        )
    if "redecide" in found.plan.options:
        raise RescoreError(
            f"{folder} holds decisions only: say the folder of the run that scored the traces,"
            f" {found.plan.inputs[0]['run'] if found.plan.inputs else 'which had none'}."
        )
    return found


def redecide(
    folder: Path,
    book: Rulebook,
    out: Path,
    *,
    run: str = "",
    tell: Callable[[int, int], None] = lambda _done, _all: None,
) -> Ledger:
    """Write in `out` what `book` decides on the run in `folder`, whose steps are not copied.

    `tell` is called with the rows that are done and all of them. Parts of an interrupted call
    stay. Raises RescoreError, PolicyError or OSError.
    """
    with deciding(folder, book, out, run=run) as (earlier, ledger):
        decide_all(earlier, book, ledger, tell=tell)
    return ledger


@contextmanager
def deciding(
    folder: Path, book: Rulebook, out: Path, *, run: str = ""
) -> Iterator[tuple[Ledger, Ledger]]:
    """Begin to decide the run in `folder` anew, or go on with it: the earlier run and this one."""
    earlier = earlier_run(folder)
    with holding(out):
        plan = _plan(earlier, book)
        yield earlier, Ledger.open(out, plan, run=run or new_run(), now=utc_now())


def decide_all(
    earlier: Ledger,
    book: Rulebook,
    ledger: Ledger,
    *,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
) -> None:
    """Finish the run of `ledger`; see `redecide`."""
    if ledger.finished_at is not None:
        return
    ledger.resume()
    total = sum(part.rows for part in earlier.parts)
    for entry in _redecided(earlier, Decider(book), ledger):
        ledger.commit(entry)
        tell(sum(part.rows for part in ledger.parts), total)
    ledger.finish(utc_now())


def _redecided(earlier: Ledger, decide: Decider, ledger: Ledger) -> Iterator[PartEntry]:
    """Write the parts that are missing, some at once, and name them in order."""
    numbered = list(enumerate(_groups(earlier, ledger.position), len(ledger.parts)))
    pool = ThreadPoolExecutor(available_cpus())
    try:
        yield from pool.map(lambda group: _part(earlier, decide, ledger, *group), numbered)
    finally:
        pool.shutdown(cancel_futures=True)


def _groups(earlier: Ledger, done: int) -> Iterator[list[PartEntry]]:
    """The parts behind so many records, some together: small files cost more than their rows."""
    group: list[PartEntry] = []
    rows = size = 0
    for entry in earlier.parts:
        if entry.records <= done:
            continue
        group.append(entry)
        rows += entry.rows
        size += (earlier.folder / entry.file).stat().st_size if entry.file else 0
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield group
            group, rows, size = [], 0, 0
    if group:
        yield group


def _plan(earlier: Ledger, book: Rulebook) -> Plan:
    """What deciding anew does, for its manifest."""
    parts = [{"run": earlier.run, "file": p.file, "sha256": p.sha256} for p in earlier.parts]
    return Plan(
        versions=earlier.plan.versions,
        policy=to_toml(book),
        inputs=parts,
        options={"redecide": True},
    )


def _part(
    earlier: Ledger, decide: Decider, ledger: Ledger, number: int, group: list[PartEntry]
) -> PartEntry:
    counts = dict.fromkeys((d.name.lower() for d in Decision), 0)
    name, digest = "", ""
    if files := [earlier.folder / entry.file for entry in group if entry.file]:
        name = f"part-{number:05}.parquet"
        table = _changed(_read(files), decide, ledger.run, number)
        digest = write_table(ledger.folder / name, table)
        counts |= {
            found["values"]: found["counts"]
            for found in table["decision"].cast(pa.string()).value_counts().to_pylist()
        }
    return PartEntry(
        file=name,
        sha256=digest,
        records=group[-1].records,
        rows=sum(entry.rows for entry in group),
        decisions=counts,
        unscored=sum(entry.unscored for entry in group),
        characters=sum(entry.characters for entry in group),
        bad=0,
        bad_bytes=0,
        skipped=sum(entry.skipped for entry in group),
    )


def _read(files: Iterable[Path]) -> pa.Table:
    """The rows of several parts; columns that an older version did not write are null."""
    tables = []
    for path in files:
        try:
            with pq.ParquetFile(pa.BufferReader(path.read_bytes())) as file:
                same = file.schema_arrow.equals(SCHEMA)
                table = file.read(use_threads=False) if same else pq.read_table(path, schema=SCHEMA)
        except (OSError, pa.ArrowInvalid) as error:
            raise RescoreError(f"{path} cannot be read: {type(error).__name__}.") from error
        tables.append(table)
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _changed(table: pa.Table, decide: Decider, run: str, number: int) -> pa.Table:
    """What was decided anew, beside the scores that it follows from."""
    size = table.num_rows
    decided = decide(table)
    changed: dict[str, pa.Array | pa.ChunkedArray] = {
        "run": pa.DictionaryArray.from_arrays(np.zeros(size, dtype=np.int32), pa.array([run])),
        "verdict_id": _verdict_ids(run, number, size),
        "scores_of": table["verdict_id"],
        **{name: decided[name] for name in decided.column_names},
    }
    columns = [changed[name] if name in changed else table[name] for name in DECIDED.names]
    return pa.table(columns, schema=DECIDED)


def _verdict_ids(run: str, number: int, size: int) -> pa.StringArray:
    """Ids that follow from the run, the part and the row: written again, they are the same."""
    start = f"v-{hashlib.sha256(f'{run}/{number}'.encode()).hexdigest()[:14]}".encode()
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    shifts = np.arange(20, -4, -4)
    ids = np.empty((size, len(start) + len(shifts)), dtype=np.uint8)
    ids[:, : len(start)] = np.frombuffer(start, dtype=np.uint8)
    ids[:, len(start) :] = digits[(np.arange(size)[:, None] >> shifts) & 15]
    offsets = np.arange(size + 1, dtype=np.int32) * ids.shape[1]
    return pa.StringArray.from_buffers(size, pa.py_buffer(offsets), pa.py_buffer(ids))
