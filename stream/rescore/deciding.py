"""What a policy file makes of the scores in a table: no model runs, no text is at hand.

Rows whose scores lie between the same thresholds get the same decision, so each policy is asked
once for each such class of its rows. Evidence is found in `stream.rescore.proving`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.policy import Policy, decide, reach
from monitor.rulebook import Rulebook
from monitor.types import Assessment, Check, Decision, Status, Trace
from stream.rescore.errors import RescoreError
from stream.rescore.proving import evidence

__all__ = ["Decider"]

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
#: Places that two thresholds can tell apart, and one for a score that is missing.
_BINS: Final = 4
Places = npt.NDArray[np.int64]
Classes = npt.NDArray[np.int64]


class Decider:
    """Decides rows by a policy file."""

    def __init__(self, book: Rulebook) -> None:
        self._book = book
        self._resolve = lru_cache(_ORIGINS_KEPT)(self._find)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the columns that follow from the policy, in the order of the rows.

        Raises RescoreError where the table does not say which rule holds.
        """
        held = list(self._held(table))
        if len(held) == 1:
            return _decided(table, held[0][0])
        columns = pa.concat_tables(
            _decided(table.take(pa.array(places)), policy) for policy, places in held
        )
        order = np.argsort(np.concatenate([places for _, places in held]), kind="stable")
        return columns.unify_dictionaries().combine_chunks().take(pa.array(order))

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
    kinds = np.zeros(table.num_rows, dtype=np.int64)
    for code, column in zip(codes, columns, strict=True):
        mixed = kinds * len(column.dictionary) + code
        _, firsts, kinds = np.unique(mixed, return_index=True, return_inverse=True)
    names = [column.dictionary.to_pylist() for column in columns]
    origins = [tuple(n[c[row]] for n, c in zip(names, codes, strict=True)) for row in firsts]
    return origins, kinds


def _decided(table: pa.Table, policy: Policy) -> pa.Table:
    """What one policy says of all rows."""
    rulings, kinds = _rulings(table, policy)
    decisions = [r.decision.name.lower() for r in rulings]
    failed_open = np.array([r.failed_open for r in rulings], dtype=bool)
    return pa.table(
        {
            "decision": _labels(kinds, decisions),
            "failed_open": pa.array(failed_open[kinds]),
            "mode": _constant(policy.mode.value, table.num_rows),
            "policy_rule": _constant(policy.rule, table.num_rows),
            "policy_version": _constant(policy.version, table.num_rows),
            "evidence": evidence(table, policy),
        }
    )


def _labels(codes: Classes, names: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), pa.array(names, pa.string()))


def _constant(value: str, size: int) -> pa.DictionaryArray:
    return _labels(np.zeros(size, dtype=np.int64), [value])


@dataclass(frozen=True, slots=True)
class _Ruling:
    decision: Decision
    failed_open: bool


def _rulings(table: pa.Table, policy: Policy) -> tuple[list[_Ruling], Classes]:
    """The ruling on each class of rows, and the class of each row."""
    mixed = np.zeros(table.num_rows, dtype=np.int64)
    for check in Check:
        for place in _places(table, policy, check):
            mixed = mixed * _BINS + place
    _, firsts, kinds = np.unique(mixed, return_index=True, return_inverse=True)
    rows = table.select(_READ).take(pa.array(firsts)).to_pylist()
    return [_ruling(policy, row) for row in rows], kinds


def _places(table: pa.Table, policy: Policy, check: Check) -> Iterator[Classes]:
    """What the policy can tell apart: where scores lie between thresholds, and what is missing."""
    limits = np.array(policy.thresholds[check])
    for name in (check.value, f"{check.value}_peak"):
        values = table[name].to_numpy()
        place = np.searchsorted(limits, values, side="right")
        yield np.where(np.isnan(values), _BINS - 1, place)
    yield table[f"{check.value}_absent"].to_numpy().astype(np.int64)


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
