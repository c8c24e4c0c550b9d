"""Rates, drifts and how sure one can be of them. Pure."""

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Change", "Drift", "change", "drift"]

#: Of the normal distribution, for intervals that hold the truth in 95 of 100 cases.
_Z: Final = 1.959964
BINS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A rate before and after, on the same traces."""

    name: str
    before: float
    after: float
    #: 95 % interval of the difference `after - before`.
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How the probabilities of a check moved, where both sides scored it."""

    check: str
    traces: int
    mean_before: float
    mean_after: float
    #: Of the absolute change.
    mean: float
    p95: float
    largest: float
    #: Traces that only one side could score.
    lost: int
    gained: int
    #: Traces per twentieth of the range from 0 to 1.
    histogram_before: tuple[int, ...]
    histogram_after: tuple[int, ...]


def change(name: str, before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_]) -> Change:
    """Compare paired outcomes; the interval is that of Bonett and Price (2012).

    It adds one trace to each kind of flip, so it is honest for few traces and rare flips too.
    """
    size = len(before)
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    more, less = (gained + 1) / (size + 2), (lost + 1) / (size + 2)
    centre, width = more - less, _Z * sqrt((more + less - (more - less) ** 2) / (size + 2))
    return Change(
        name=name,
        before=float(before.mean()),
        after=float(after.mean()),
        low=max(-1.0, centre - width),
        high=min(1.0, centre + width),
    )


def drift(check: str, before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> Drift:
    """Compare paired probabilities; NaN where a side has none."""
    both = ~np.isnan(before) & ~np.isnan(after)
    old, new = before[both], after[both]
    moved = np.abs(new - old) if both.any() else np.zeros(1)
    return Drift(
        check=check,
        traces=int(both.sum()),
        mean_before=float(old.mean()) if both.any() else 0.0,
        mean_after=float(new.mean()) if both.any() else 0.0,
        mean=float(moved.mean()),
        p95=float(np.quantile(moved, 0.95)),
        largest=float(moved.max()),
        lost=int((~np.isnan(before) & np.isnan(after)).sum()),
        gained=int((np.isnan(before) & ~np.isnan(after)).sum()),
        histogram_before=_histogram(old),
        histogram_after=_histogram(new),
    )


def _histogram(values: npt.NDArray[np.float64]) -> tuple[int, ...]:
    counts, _ = np.histogram(values, bins=BINS, range=(0.0, 1.0))
    return tuple(int(n) for n in counts)
