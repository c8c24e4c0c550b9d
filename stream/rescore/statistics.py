"""Rates, drifts and how sure one can be of them. Pure."""

from math import sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.comparison import Change, Drift

__all__ = ["change", "drift"]

#: Of the normal distribution, for intervals that hold the truth in 95 of 100 cases.
_Z: Final = 1.959964
BINS: Final = 20


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
