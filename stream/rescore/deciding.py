"""What a policy file makes of the scores in a table: no model runs, no text is at hand.

Rows whose scores lie between the same thresholds get the same decision, so each policy is asked
once for each such class of its rows, and again for the evidence of those that flag.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.policy import Policy, decide, reach
from monitor.rulebook import Rulebook
from monitor.tally import Tally
from monitor.types import Assessment, Channel, Check, Decision, Status, Step, Trace
from stream.rescore.errors import RescoreError

__all__ = ["Decided", "Decider"]

#: Columns that the policy reads, but for the steps.
_READ: Final = [
    name
    for c in Check
    for name in (c.value, f"{c.value}_reason", f"{c.value}_absent", f"{c.value}_peak")
]
#: Columns that say which rule holds; null in tables of versions that did not keep them.
_ORIGIN: Final = ("route", "requested_model", "model", "tenant")
#: Of so many different origins the rule is looked up once only.
_ORIGINS_KEPT: Final = 100_000
Places = npt.NDArray[np.int64]
Classes = npt.NDArray[np.int64]
#: Values by row, of any type.
Column = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Decided:
    """What the policy says of the rows of a table, a value per row in each column."""

    decision: Column
    failed_open: Column
    mode: Column
    policy_rule: Column
    policy_version: Column
    evidence: Column

    @classmethod
    def empty(cls, size: int) -> "Decided":
        """Columns that are not filled yet."""
        return cls(*(np.empty(size, dtype=object) for _ in cls.__slots__))


class Decider:
    """Decides rows by a policy file."""

    def __init__(self, book: Rulebook) -> None:
        self._book = book
        self._resolve = lru_cache(_ORIGINS_KEPT)(self._find)

    def __call__(self, table: pa.Table) -> Decided:
        """Decide every row; raises RescoreError where the table does not say which rule holds."""
        decided = Decided.empty(table.num_rows)
        for policy, places in self._held(table):
            own = table if len(places) == table.num_rows else table.take(pa.array(places))
            _fill(decided, places, own, policy)
        return decided

    def _held(self, table: pa.Table) -> Iterator[tuple[Policy, Places]]:
        """Every policy that holds for some rows, and where those stand."""
        if not self._book.rules:
            yield self._resolve("", "", "", ""), np.arange(table.num_rows)
            return
        origins, kinds = _origins(table)
        policies = [self._resolve(*origin) for origin in origins]
        rules = np.array([policy.rule for policy in policies], dtype=object)[kinds]
        for rule, policy in {policy.rule: policy for policy in policies}.items():
            yield policy, np.flatnonzero(rules == rule)

    def _find(self, route: str, requested_model: str, model: str, tenant: str) -> Policy:
        origin = Trace(
            trace_id="",
            parts=(),
            route=route,
            requested_model=requested_model,
            model=model,
            tenant=tenant,
        )
        return self._book.resolve(origin)


def _origins(table: pa.Table) -> tuple[list[tuple[str, ...]], Classes]:
    """The different origins of rows, and which of them each row has."""
    columns = [table[name].combine_chunks().dictionary_encode() for name in _ORIGIN]
    if any(column.null_count for column in columns):
        raise RescoreError(
            "This policy has rules, and the run is of a version that did not keep the route and the"
            " model of requests: judge the logs anew."
        )
    codes = [column.indices.to_numpy(zero_copy_only=False) for column in columns]
    found, kinds = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)
    names = [column.dictionary.to_pylist() for column in columns]
    origins = [tuple(n[int(c)] for n, c in zip(names, row, strict=True)) for row in found]
    return origins, kinds.reshape(-1)


def _fill(decided: Decided, places: Places, table: pa.Table, policy: Policy) -> None:
    """Decide `table`, whose rows are those at `places`, under one policy."""
    rulings, kinds = _rulings(table, policy)
    decisions = np.array([r.decision.name.lower() for r in rulings], dtype=object)
    decided.decision[places] = decisions[kinds]
    decided.failed_open[places] = np.array([r.failed_open for r in rulings], dtype=object)[kinds]
    decided.mode[places] = policy.mode.value
    decided.policy_rule[places] = policy.rule
    decided.policy_version[places] = policy.version
    for place, evidence in zip(places, _evidence(table, policy), strict=True):
        decided.evidence[place] = evidence


@dataclass(frozen=True, slots=True)
class _Ruling:
    decision: Decision
    failed_open: bool


def _rulings(table: pa.Table, policy: Policy) -> tuple[list[_Ruling], Classes]:
    """The ruling on each class of rows, and the class of each row."""
    if not table.num_rows:
        return [], np.zeros(0, dtype=np.int64)
    bins = [b for check in Check for b in _bins(table, policy, check)]
    _, firsts, kinds = np.unique(
        np.stack(bins, axis=1), axis=0, return_index=True, return_inverse=True
    )
    rows = table.select(_READ).take(pa.array(firsts)).to_pylist()
    return [_ruling(policy, row) for row in rows], kinds.reshape(-1)


def _bins(table: pa.Table, policy: Policy, check: Check) -> Iterator[Classes]:
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


def _evidence(table: pa.Table, policy: Policy) -> Sequence[list[dict[str, Any]]]:
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
