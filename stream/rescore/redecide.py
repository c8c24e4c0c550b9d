"""Decides anew from the scores of an earlier run: for when only the policy changed.

No model runs. Rows whose scores lie between the same thresholds get the same decision, so the
policy is asked once for each such class of rows, and again for the evidence of those that flag.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from monitor.clock import utc_now
from monitor.policy import Policy, decide, reach
from monitor.rulebook import Rulebook, to_toml
from monitor.tally import Tally
from monitor.types import Assessment, Channel, Check, Decision, Status, Step, Trace
from stream.rescore.errors import RescoreError
from stream.rescore.ledger import Ledger, PartEntry, Plan, holding, new_run
from stream.rescore.table import SCHEMA, write_table

__all__ = ["earlier_run", "redecide"]

#: Columns that the policy reads, but for the steps.
_READ = [
    name
    for c in Check
    for name in (c.value, f"{c.value}_reason", f"{c.value}_absent", f"{c.value}_peak")
]


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
    """Write every part of the run in `folder` again, in `out`, as the top of `book` decides.

    `tell` is called with the rows that are done and all of them. Parts of an interrupted call
    stay. Raises RescoreError, also for a policy with rules, PolicyError or OSError.
    """
    if book.rules:
        raise RescoreError(
            "This policy has rules by route, model or tenant, and scores alone do not say which of "
            "them holds: judge the logs anew with it."
        )
    earlier, policy = earlier_run(folder), book.resolve(Trace(trace_id="", parts=()))
    total = sum(part.rows for part in earlier.parts)
    with holding(out):
        ledger = Ledger.open(out, _plan(earlier, book), run=run or new_run(), now=utc_now())
        if ledger.finished_at is not None:
            return ledger
        ledger.resume()
        for number, entry in list(enumerate(earlier.parts))[len(ledger.parts) :]:
            ledger.commit(_redecided(earlier, entry, policy, ledger, number))
            tell(sum(part.rows for part in ledger.parts), total)
        ledger.finish(utc_now())
    return ledger


def _plan(earlier: Ledger, book: Rulebook) -> Plan:
    """What deciding anew does, for its manifest."""
    parts = [{"run": earlier.run, "file": p.file, "sha256": p.sha256} for p in earlier.parts]
    return Plan(
        versions=earlier.plan.versions,
        policy=to_toml(book),
        inputs=parts,
        options={"redecide": True},
    )


def _redecided(
    earlier: Ledger, entry: PartEntry, policy: Policy, ledger: Ledger, number: int
) -> PartEntry:
    counts = dict.fromkeys((d.name.lower() for d in Decision), 0)
    digest = ""
    if entry.file:
        table = _read(earlier.folder / entry.file)
        table = _decided(table, policy, ledger.run, number)
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


def _decided(table: pa.Table, policy: Policy, run: str, number: int) -> pa.Table:
    rulings, kinds = _rulings(table, policy)
    size = table.num_rows
    ids = [hashlib.sha256(f"{run}/{number}/{n}".encode()).hexdigest()[:20] for n in range(size)]
    changed: Mapping[str, Sequence[object]] = {
        "run": [run] * size,
        "verdict_id": [f"v-{i}" for i in ids],
        "decision": [rulings[k].decision.name.lower() for k in kinds],
        "mode": [policy.mode.value] * size,
        "failed_open": [rulings[k].failed_open for k in kinds],
        "evidence": _evidence(table, policy),
        "policy_version": [policy.version] * size,
    }
    for name, values in changed.items():
        place = SCHEMA.get_field_index(name)
        column = pa.array(values, type=SCHEMA.field(name).type)
        table = table.set_column(place, SCHEMA.field(name), column)
    return table


@dataclass(frozen=True, slots=True)
class _Ruling:
    decision: Decision
    failed_open: bool


def _rulings(table: pa.Table, policy: Policy) -> tuple[list[_Ruling], npt.NDArray[np.int64]]:
    """The ruling on each class of rows, and the class of each row."""
    if not table.num_rows:
        return [], np.zeros(0, dtype=np.int64)
    bins = [b for check in Check for b in _bins(table, policy, check)]
    _, firsts, kinds = np.unique(
        np.stack(bins, axis=1), axis=0, return_index=True, return_inverse=True
    )
    rows = table.select(_READ).take(pa.array(firsts)).to_pylist()
    return [_ruling(policy, row) for row in rows], kinds.reshape(-1)


def _bins(table: pa.Table, policy: Policy, check: Check) -> Iterator[npt.NDArray[np.int64]]:
    """What the policy can tell apart: where scores lie between thresholds, and what is missing."""
    limits = policy.thresholds[check]
    for name in (check.value, f"{check.value}_peak"):
        values = table[name].to_numpy(zero_copy_only=False)
        place = np.searchsorted(np.array(limits), values, side="right")
        yield np.where(np.isnan(values), 3, place)
    yield table[f"{check.value}_absent"].to_numpy(zero_copy_only=False).astype(np.int64)


def _ruling(policy: Policy, row: Mapping[str, Any]) -> _Ruling:
    """What the engine concludes from the same scores."""
    found = decide(policy, [_assessment(row, check) for check in Check])
    peaks = ((c, row[f"{c.value}_peak"]) for c in Check)
    reached = max((reach(policy, c, p) for c, p in peaks if p is not None), default=Decision.ALLOW)
    failed_open = found.failed_open and reached is not Decision.BLOCK
    return _Ruling(max(found.decision, reached), failed_open)


def _assessment(row: Mapping[str, Any], check: Check) -> Assessment:
    probability = row[check.value]
    return Assessment(
        check=check,
        status=Status.UNSCORED if probability is None else Status.SCORED,
        probability=probability,
        reason=row[f"{check.value}_reason"],
        absent=row[f"{check.value}_absent"],
    )


def _evidence(table: pa.Table, policy: Policy) -> list[list[dict[str, Any]]]:
    """The steps that cross the new thresholds, with those words that the earlier run quoted."""
    flags = np.zeros(table.num_rows, dtype=bool)
    for check in Check:
        peaks = table[f"{check.value}_peak"].to_numpy(zero_copy_only=False)
        flags |= peaks >= policy.thresholds[check].flag
    places = np.flatnonzero(flags)
    rows = table.select(["steps", "evidence", *_READ]).take(pa.array(places)).to_pylist()
    found: list[list[dict[str, Any]]] = [[] for _ in range(table.num_rows)]
    for place, row in zip(places, rows, strict=True):
        found[place] = list(_evidence_of(row, policy))
    return found


def _evidence_of(row: Mapping[str, Any], policy: Policy) -> Iterator[dict[str, Any]]:
    tally = Tally(policy)
    for index, step in enumerate(row["steps"]):
        scores = {c: step[c.value] for c in Check if step[c.value] is not None}
        place = {"start": step["start"], "end": step["end"]}
        tally.add(Step(index=index, channel=Channel(step["channel"]), text="", **place), scores)
    for check in Check:
        if row[check.value] is None and not row[f"{check.value}_absent"]:
            tally.fail(row[f"{check.value}_reason"], check)
    known = {(e["channel"], e["start"], e["end"]): e["quote"] for e in row["evidence"]}
    for assessment in tally.assessments():
        for e in assessment.evidence:
            place = {"channel": e.channel.value, "start": e.start, "end": e.end}
            quote = known.get((e.channel.value, e.start, e.end))
            yield {
                "check": assessment.check.value,
                **place,
                "probability": e.probability,
                "quote": quote,
            }
