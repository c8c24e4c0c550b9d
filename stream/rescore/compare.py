"""What changed between two runs, or between a run and what was decided live. Figures only."""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from monitor.types import Check, Decision
from stream.rescore.errors import RescoreError
from stream.rescore.ledger import Ledger
from stream.rescore.statistics import Change, Drift, change, drift

__all__ = ["Comparison", "Flip", "Group", "compare", "flips"]

#: Most changed traces that a report shows, and groups (models, sources) of each kind.
SHOWN, MAX_GROUPS = 50, 30
_DECISIONS: Final = {d.name.lower(): d.value for d in Decision}
_NAMES: Final = [d.name.lower() for d in Decision]
_BATCH = 5000

Codes = npt.NDArray[np.int8]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A model or a source, and what changed for its traces."""

    name: str
    traces: int
    flipped: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A trace whose decision or scores changed."""

    trace_id: str
    source: str
    line: int
    model: str
    before: str
    after: str
    #: Probability per check before and after; None where it was not scored.
    scores: dict[str, tuple[float | None, float | None]]
    #: Words of the step that counts most now, if the run quoted one.
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that a report says, but for the single traces."""

    before: str
    after: str
    #: Traces that are on both sides: all figures are about these.
    traces: int
    only_before: int
    only_after: int
    #: Traces by decision before (rows) and after (columns): allow, flag, block.
    matrix: tuple[tuple[int, ...], ...]
    changes: tuple[Change, ...]
    drifts: tuple[Drift, ...]
    models: tuple[Group, ...]
    sources: tuple[Group, ...]
    top: tuple[Flip, ...]

    @property
    def flipped(self) -> int:
        """Traces with another decision than before."""
        return self.traces - sum(self.matrix[d][d] for d in range(len(_NAMES)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One side, a value per trace."""

    keys: npt.NDArray[np.bytes_]
    decisions: Codes
    #: Shape (traces, checks); NaN where a check was not scored.
    scores: Scores


def compare(folder: Path, baseline: Path | None) -> Comparison:
    """Compare the run in `folder` with another, or with what its input had been decided live.

    Raises RescoreError when there is nothing to compare.
    """
    run = _finished(folder)
    if baseline is None:
        before, after = _side(folder, "before_"), _side(folder)
        pairs = np.flatnonzero(before.decisions >= 0)
        matched = (pairs, pairs)
        name = "decided live"
    else:
        name = _finished(baseline).run
        before, after = _side(baseline), _side(folder)
        matched = _match(before.keys, after.keys)
    if not matched[0].size:
        raise RescoreError("Nothing to compare: the two sides have no trace in common.")
    return _compared(folder, (name, run.run), (before, after), matched)


def _finished(folder: Path) -> Ledger:
    ledger = Ledger.read(folder)
    if ledger is None or ledger.finished_at is None:
        raise RescoreError(f"{folder} holds no finished run of `subtext rescore`.")
    return ledger


def _compared(
    folder: Path,
    names: tuple[str, str],
    sides: tuple[_Side, _Side],
    matched: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
) -> Comparison:
    before, after = sides
    old, new = before.decisions[matched[0]], after.decisions[matched[1]]
    was, now = before.scores[matched[0]], after.scores[matched[1]]
    matrix = np.zeros((len(_NAMES), len(_NAMES)), dtype=int)
    np.add.at(matrix, (old, new), 1)
    labels = _labels(folder, matched[1])
    return Comparison(
        before=names[0],
        after=names[1],
        traces=len(old),
        only_before=int((before.decisions >= 0).sum()) - len(old),
        only_after=len(after.decisions) - len(old),
        matrix=tuple(tuple(int(n) for n in row) for row in matrix),
        changes=changes(old, new),
        drifts=tuple(drift(c.value, was[:, i], now[:, i]) for i, c in enumerate(Check)),
        models=_groups(labels["model"], old, new),
        sources=_groups(labels["source"], old, new),
        top=tuple(_top(folder, sides, matched)),
    )


def changes(old: Codes, new: Codes) -> tuple[Change, ...]:
    """How often traces are flagged, blocked, and either of both."""
    return (
        change("flagged", old == Decision.FLAG, new == Decision.FLAG),
        change("blocked", old == Decision.BLOCK, new == Decision.BLOCK),
        change("flagged or blocked", old != Decision.ALLOW, new != Decision.ALLOW),
    )


def _groups(labels: npt.NDArray[np.object_], old: Codes, new: Codes) -> tuple[Group, ...]:
    names, kinds, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    found = []
    for kind in np.argsort(-sizes, kind="stable")[:MAX_GROUPS]:
        own = kinds == kind
        some = changes(old[own], new[own])
        flipped = int((old[own] != new[own]).sum())
        found.append(
            Group(name=str(names[kind]), traces=int(sizes[kind]), flipped=flipped, changes=some)
        )
    return tuple(found)


def _match(
    before: npt.NDArray[np.bytes_], after: npt.NDArray[np.bytes_]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices of the same traces on both sides; the n-th of equal keys goes with the n-th."""
    order, wanted = np.argsort(before, kind="stable"), np.argsort(after, kind="stable")
    sorted_before, sorted_after = before[order], after[wanted]
    turn = np.arange(len(after)) - np.searchsorted(sorted_after, sorted_after, side="left")
    place = np.searchsorted(sorted_before, sorted_after, side="left") + turn
    there = place < np.searchsorted(sorted_before, sorted_after, side="right")
    new = wanted[there]
    old = order[place[there]]
    reading = np.argsort(new, kind="stable")
    return old[reading], new[reading]


def _side(folder: Path, prefix: str = "") -> _Side:
    columns = ["trace_id", "choice", f"{prefix}decision", *(f"{prefix}{c.value}" for c in Check)]
    keys, decisions, scores = [], [], []
    for batch in _batches(folder, columns):
        ids = zip(batch["trace_id"].to_pylist(), batch["choice"].to_pylist(), strict=True)
        keys += [_key(trace_id, choice) for trace_id, choice in ids]
        decisions += [_DECISIONS.get(d, -1) for d in batch[f"{prefix}decision"].to_pylist()]
        some = [batch[f"{prefix}{c.value}"].to_numpy(zero_copy_only=False) for c in Check]
        scores.append(np.stack([s.astype(np.float64) for s in some], axis=1))
    return _Side(
        keys=np.array(keys, dtype="S16"),
        decisions=np.array(decisions, dtype=np.int8),
        scores=np.concatenate(scores) if scores else np.zeros((0, len(Check))),
    )


def _key(trace_id: str, choice: int) -> bytes:
    """Fixed in length, and never with a zero byte, which numpy would cut off."""
    digest = hashlib.blake2b(f"{choice} {trace_id}".encode("utf-8", "replace"), digest_size=8)
    return digest.hexdigest().encode()


def _labels(folder: Path, rows: npt.NDArray[np.intp]) -> dict[str, npt.NDArray[np.object_]]:
    found: dict[str, list[str]] = {"model": [], "source": []}
    for batch in _batches(folder, list(found)):
        for name in found:
            found[name] += map(sys.intern, batch[name].to_pylist())
    return {name: np.array(values, dtype=object)[rows] for name, values in found.items()}


def _batches(folder: Path, columns: list[str]) -> Iterator[Any]:
    """The rows of a run in order, some at a time."""
    for entry in _finished(folder).parts:
        if entry.file:
            with pq.ParquetFile(folder / entry.file) as file:
                yield from file.iter_batches(batch_size=_BATCH, columns=columns)


# Single traces.


def _top(
    folder: Path,
    sides: tuple[_Side, _Side],
    matched: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
) -> list[Flip]:
    """The most changed traces: by decision first, then by score."""
    before, after = sides
    jumps = np.abs(
        after.decisions[matched[1]].astype(int) - before.decisions[matched[0]].astype(int)
    )
    moves = np.nan_to_num(np.abs(after.scores[matched[1]] - before.scores[matched[0]])).max(axis=1)
    order = np.lexsort((-moves, -jumps))[:SHOWN]
    order = order[(jumps[order] > 0) | (moves[order] > 0)]
    chosen = (matched[0][order], matched[1][order])
    found = {f[0]: f[1] for f in _told(folder, sides, chosen)}
    return [found[int(row)] for row in chosen[1]]


def flips(folder: Path, baseline: Path | None) -> Iterator[Flip]:
    """Every trace of `folder` whose decision changed, in the order of its run."""
    before = _side(folder, "before_") if baseline is None else _side(baseline)
    after = _side(folder)
    pairs = np.flatnonzero(before.decisions >= 0)
    old, new = (pairs, pairs) if baseline is None else _match(before.keys, after.keys)
    changed = before.decisions[old] != after.decisions[new]
    for _, flip in _told(folder, (before, after), (old[changed], new[changed])):
        yield flip


def _told(
    folder: Path,
    sides: tuple[_Side, _Side],
    chosen: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
) -> Iterator[tuple[int, Flip]]:
    """What is known of the chosen traces, with their row numbers, in the order of the run."""
    partner = dict(zip(chosen[1].tolist(), chosen[0].tolist(), strict=True))
    start = 0
    columns = ["trace_id", "source", "line", "model", "evidence"]
    for batch in _batches(folder, columns):
        own = [n for n in range(batch.num_rows) if start + n in partner]
        for n, row in zip(own, batch.take(np.array(own, dtype=np.int64)).to_pylist(), strict=True):
            number = start + n
            yield number, _flip(row, sides, partner[number], number)
        start += batch.num_rows


def _flip(row: dict[str, Any], sides: tuple[_Side, _Side], old: int, new: int) -> Flip:
    before, after = sides
    evidence = sorted(row.pop("evidence"), key=lambda e: -e["probability"])
    return Flip(
        **row,
        before=_NAMES[before.decisions[old]],
        after=_NAMES[after.decisions[new]],
        scores={
            c.value: (_known(before.scores[old, i]), _known(after.scores[new, i]))
            for i, c in enumerate(Check)
        },
        quote=next((e["quote"] for e in evidence if e["quote"]), ""),
    )


def _known(score: float) -> float | None:
    return None if np.isnan(score) else float(score)
