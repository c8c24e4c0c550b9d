"""Decides anew from the scores of an earlier run: for when only the policy changed.

No model runs; `stream.rescore.deciding` says how a table is decided.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from classifiers.sessions import available_cpus
from monitor.clock import utc_now
from monitor.rulebook import Rulebook, to_toml
from monitor.types import Decision
from stream.rescore.deciding import Decided, Decider
from stream.rescore.errors import RescoreError
from stream.rescore.ledger import Ledger, PartEntry, Plan, holding, new_run
from stream.rescore.table import SCHEMA, write_table

__all__ = ["earlier_run", "redecide"]


def earlier_run(folder: Path) -> Ledger:
    """Return the finished run in `folder`; raises RescoreError when there is none."""
    found = Ledger.read(folder)
    if found is None:
        raise RescoreError(f"{folder} holds no run of `subtext rescore`.")
    if found.finished_at is None:
        raise RescoreError(
            f"The run in {folder} is not finished: repeat the command that began it."
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
    """Write every part of the run in `folder` again, in `out`, as `book` decides.

    `tell` is called with the rows that are done and all of them. Parts of an interrupted call
    stay. Raises RescoreError, PolicyError or OSError.
    """
    earlier, decide = earlier_run(folder), Decider(book)
    total = sum(part.rows for part in earlier.parts)
    with holding(out):
        ledger = Ledger.open(out, _plan(earlier, book), run=run or new_run(), now=utc_now())
        if ledger.finished_at is not None:
            return ledger
        ledger.resume()
        for entry in _redecided(earlier, decide, ledger):
            ledger.commit(entry)
            tell(sum(part.rows for part in ledger.parts), total)
        ledger.finish(utc_now())
    return ledger


def _redecided(earlier: Ledger, decide: Decider, ledger: Ledger) -> Iterator[PartEntry]:
    """Write the parts that are missing, some at once, and name them in order."""
    missing = list(enumerate(earlier.parts))[len(ledger.parts) :]
    pool = ThreadPoolExecutor(available_cpus())
    try:
        yield from pool.map(lambda part: _part(earlier, decide, ledger, *part), missing)
    finally:
        pool.shutdown(cancel_futures=True)


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
    earlier: Ledger, decide: Decider, ledger: Ledger, number: int, entry: PartEntry
) -> PartEntry:
    counts = dict.fromkeys((d.name.lower() for d in Decision), 0)
    digest = ""
    if entry.file:
        table = _read(earlier.folder / entry.file)
        table = _changed(table, decide(table), ledger, number)
        digest = write_table(ledger.folder / entry.file, table)
        counts |= Counter(table["decision"].to_pylist())
    return PartEntry(
        file=entry.file,
        sha256=digest,
        records=entry.records,
        rows=entry.rows,
        decisions=counts,
        unscored=entry.unscored,
        characters=entry.characters,
        bad=0,
        bad_bytes=0,
        skipped=entry.skipped,
    )


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, schema=SCHEMA)
    except (OSError, pa.ArrowInvalid) as error:
        raise RescoreError(f"{path} cannot be read: {type(error).__name__}.") from error


def _changed(table: pa.Table, decided: Decided, ledger: Ledger, number: int) -> pa.Table:
    """The table of a part with what was decided anew."""
    size = table.num_rows
    names = (f"{ledger.run}/{number}/{place}".encode() for place in range(size))
    changed: Mapping[str, object] = {
        "run": [ledger.run] * size,
        "verdict_id": [f"v-{hashlib.sha256(name).hexdigest()[:20]}" for name in names],
        **{name: getattr(decided, name) for name in Decided.__slots__},
    }
    for name, values in changed.items():
        place = SCHEMA.get_field_index(name)
        column = pa.array(values, type=SCHEMA.field(name).type)
        table = table.set_column(place, SCHEMA.field(name), column)
    return table
