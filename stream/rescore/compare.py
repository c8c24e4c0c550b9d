"""What changed between two runs, or between a run and what was decided live. Figures only."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from classifiers.sessions import available_cpus
from monitor.comparison import Change, Comparison, Flip, Group
from monitor.types import Check, Decision
from stream.rescore.errors import RescoreError
from stream.rescore.ledger import Ledger
from stream.rescore.statistics import change, drift

__all__ = ["Pairs", "pair"]

#: Most changed traces that a report shows, and groups (models, sources) of each kind.
SHOWN, MAX_GROUPS = 50, 30
_NAMES: Final = [d.name.lower() for d in Decision]
#: Bytes of an id beyond which a digest stands for it.
_LONGEST_ID: Final = 64

Places = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One side, a value per trace."""

    trace_ids: pa.ChunkedArray
    choices: npt.NDArray[np.int64]
    #: -1 where there was none.
    decisions: Codes
    #: Shape (traces, checks); NaN where a check was not scored.
    scores: Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """The traces of two sides, matched."""

    folder: Path
    #: What each side is called.
    names: tuple[str, str]
    before: _Side
    after: _Side
    #: Rows of each side, in the order of the run in `folder`.
    old: Places
    new: Places

    def compare(self) -> Comparison:
        """Everything but the single flips."""
        old, new = self.before.decisions[self.old], self.after.decisions[self.new]
        was, now = self.before.scores[self.old], self.after.scores[self.new]
        matrix = np.zeros((len(_NAMES), len(_NAMES)), dtype=int)
        np.add.at(matrix, (old, new), 1)
        return Comparison(
            before=self.names[0],
            after=self.names[1],
            traces=len(old),
            only_before=int((self.before.decisions >= 0).sum()) - len(old),
            only_after=len(self.after.decisions) - len(old),
            matrix=tuple(tuple(int(n) for n in row) for row in matrix),
            changes=changes(old, new),
            drifts=tuple(drift(c.value, was[:, i], now[:, i]) for i, c in enumerate(Check)),
            models=_groups(self._labels("model"), old, new),
            sources=_groups(self._labels("source"), old, new),
            top=tuple(self._top()),
        )

    def flips(self) -> Iterator[Flip]:
        """Every trace whose decision changed, in the order of the run."""
        changed = self.before.decisions[self.old] != self.after.decisions[self.new]
        for _, flip in self._told(np.flatnonzero(changed)):
            yield flip

    def _labels(self, name: str) -> pa.DictionaryArray:
        """A column of labels of the run, for the matched traces."""
        column = pa.chunked_array([t[name].combine_chunks() for t in _tables(self.folder, [name])])
        return column.dictionary_encode().combine_chunks().take(pa.array(self.new))

    def _top(self) -> list[Flip]:
        """The most changed traces: by decision first, then by score."""
        jumps = np.abs(self.after.decisions[self.new] - self.before.decisions[self.old])
        moves = np.abs(self.after.scores[self.new] - self.before.scores[self.old])
        moves = np.nan_to_num(moves).max(axis=1)
        order = np.lexsort((-moves, -jumps))[:SHOWN]
        order = order[(jumps[order] > 0) | (moves[order] > 0)]
        found = dict(self._told(np.sort(order)))
        return [found[int(place)] for place in order]

    def _told(self, chosen: Places) -> Iterator[tuple[int, Flip]]:
        """What is known of some pairs, with their places, in the order of the run."""
        start = 0
        rows = self.new[chosen]
        for entry in _finished(self.folder).parts:
            here = slice(*np.searchsorted(rows, (start, start + entry.rows)))
            if here.start < here.stop:
                path = self.folder / entry.file
                for place, row in zip(chosen[here], _rows(path, rows[here] - start), strict=True):
                    yield int(place), self._flip(row, int(place))
            start += entry.rows

    def _flip(self, row: dict[str, Any], place: int) -> Flip:
        old, new = self.old[place], self.new[place]
        evidence = sorted(row.pop("evidence"), key=lambda e: -e["probability"])
        return Flip(
            **row,
            before=_NAMES[self.before.decisions[old]],
            after=_NAMES[self.after.decisions[new]],
            scores={
                c.value: (_known(self.before.scores[old, i]), _known(self.after.scores[new, i]))
                for i, c in enumerate(Check)
            },
            quote=next((e["quote"] for e in evidence if e["quote"]), ""),
        )


def pair(folder: Path, baseline: Path | None) -> Pairs:
    """Match the run in `folder` with another, or with what its input had been decided live.

    Raises RescoreError when there is nothing to compare.
    """
    run, after = _finished(folder), _side(folder)
    if baseline is None:
        name, before = "decided live", _side(folder, "before_")
        old = new = np.flatnonzero(before.decisions >= 0)
    else:
        name, before = _finished(baseline).run, _side(baseline)
        old, new = _match(*_keys(before, after))
    if not old.size:
        raise RescoreError("Nothing to compare: the two sides have no trace in common.")
    names = (name, run.run)
    return Pairs(folder=folder, names=names, before=before, after=after, old=old, new=new)


def _finished(folder: Path) -> Ledger:
    ledger = Ledger.read(folder)
    if ledger is None or ledger.finished_at is None:
        raise RescoreError(f"{folder} holds no finished run of `subtext rescore`.")
    return ledger


def changes(old: Codes, new: Codes) -> tuple[Change, ...]:
    """How often traces are flagged, blocked, and either of both."""
    return (
        change("flagged", old == Decision.FLAG, new == Decision.FLAG),
        change("blocked", old == Decision.BLOCK, new == Decision.BLOCK),
        change("flagged or blocked", old != Decision.ALLOW, new != Decision.ALLOW),
    )


def _groups(labels: pa.DictionaryArray, old: Codes, new: Codes) -> tuple[Group, ...]:
    names, kinds = labels.dictionary.to_pylist(), labels.indices.to_numpy()
    sizes = np.bincount(kinds, minlength=len(names))
    largest = sorted(np.flatnonzero(sizes), key=lambda kind: (-sizes[kind], names[kind]))
    found = []
    for kind in largest[:MAX_GROUPS]:
        own = kinds == kind
        some = changes(old[own], new[own])
        flipped = int((old[own] != new[own]).sum())
        found.append(
            Group(name=names[kind], traces=int(sizes[kind]), flipped=flipped, changes=some)
        )
    return tuple(found)


def _keys(before: _Side, after: _Side) -> tuple[Places, Places]:
    """A number for each trace of both sides; equal ones are the same trace."""
    ids = pa.chunked_array([*before.trace_ids.chunks, *after.trace_ids.chunks], pa.string())
    names = ids.dictionary_encode().combine_chunks().indices.to_numpy().astype(np.int64)
    choices = np.concatenate([before.choices, after.choices])
    numbers, kinds = np.unique(choices, return_inverse=True)
    keys = names * len(numbers) + kinds
    return keys[: len(before.choices)], keys[len(before.choices) :]


def _match(before: Places, after: Places) -> tuple[Places, Places]:
    """Rows of the same traces on both sides; the n-th of equal keys goes with the n-th."""
    if np.array_equal(before, after):
        return np.arange(len(before)), np.arange(len(after))
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
    scored = [f"{prefix}{check.value}" for check in Check]
    columns = ["trace_id", "choice", f"{prefix}decision", *scored]
    ids, choices, decisions = [], [], []
    scores = [np.zeros((0, len(scored)))]
    for table in _tables(folder, columns):
        ids += [_short(chunk) for chunk in table["trace_id"].chunks]
        choices.append(table["choice"].to_numpy())
        named = pc.index_in(table[f"{prefix}decision"].cast(pa.string()), pa.array(_NAMES))
        decisions.append(pc.fill_null(named, -1).to_numpy().astype(np.int8))
        scores.append(np.stack([table[name].to_numpy() for name in scored], axis=1))
    return _Side(
        trace_ids=pa.chunked_array(ids, pa.string()),
        choices=np.concatenate([np.zeros(0, dtype=np.int64), *choices]),
        decisions=np.concatenate([np.zeros(0, dtype=np.int8), *decisions]),
        scores=np.concatenate(scores),
    )


def _short(ids: pa.StringArray) -> pa.StringArray:
    """The ids; of long ones, which are rare and may be endless, digests."""
    long = pc.greater(pc.binary_length(ids), _LONGEST_ID)
    if not pc.any(long).as_py():
        return ids
    digests = (hashlib.blake2b(i.encode(), digest_size=16) for i in ids.filter(long).to_pylist())
    return pc.replace_with_mask(ids, long, pa.array([d.hexdigest() for d in digests]))


def _tables(folder: Path, columns: list[str]) -> Iterator[pa.Table]:
    """Columns of the parts of a run, in order, read by several threads."""
    files = [folder / entry.file for entry in _finished(folder).parts if entry.file]
    with ThreadPoolExecutor(available_cpus()) as pool:
        yield from pool.map(lambda path: _columns(path, columns), files)


def _columns(path: Path, columns: list[str]) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read(columns=columns, use_threads=False)


def _rows(path: Path, rows: Places) -> list[dict[str, Any]]:
    """What a flip tells of some rows of a part.

    Of a run that only decided anew, the verdict that is named is the one that has the text.
    """
    with pq.ParquetFile(path) as file:
        verdict = "scores_of" if "scores_of" in file.schema_arrow.names else "verdict_id"
    columns = ["trace_id", verdict, "source", "line", "model", "evidence"]
    table = _columns(path, columns).take(pa.array(rows))
    found: list[dict[str, Any]] = table.to_pylist()
    return [{"verdict_id": row.pop(verdict), **row} for row in found]


def _known(score: float) -> float | None:
    return None if np.isnan(score) else float(score)
