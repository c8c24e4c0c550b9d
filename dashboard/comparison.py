"""How a comparison of runs is drawn: the same on the dashboard and in a file that stands alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log1p
from typing import Any, Final

from monitor.comparison import Comparison, Drift, Flip

__all__ = ["FILTERS", "Told", "values"]

#: Size of a plot, in the units of its SVG.
WIDTH, HEIGHT = 400, 110
FILTERS: Final[dict[str, Callable[..., str]]] = {
    "share": lambda share: f"{share:.2%}",
    "points": lambda share: f"{share * 100:+.2f}",
    "probability": lambda p: "none" if p is None else f"{p:.3f}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A trace that changed, and what can be said of it here."""

    flip: Flip
    quote: str
    #: Address of its page; "" where there is none.
    link: str = ""


def values(comparison: Comparison, told: Sequence[Told]) -> dict[str, Any]:
    """Return what the template `comparison.html` needs."""
    return {
        "c": comparison,
        "told": told,
        "plots": {drift.check: bars(drift) for drift in comparison.drifts},
        "width": WIDTH,
        "height": HEIGHT,
    }


def bars(drift: Drift) -> list[dict[str, float | str | int]]:
    """The histogram as rectangles, two beside each other per bin, on a logarithmic scale.

    Most traces score near 0: on a linear scale the few that matter could not be seen.
    """
    both = (drift.histogram_before, drift.histogram_after)
    top = log1p(max(1, *both[0], *both[1]))
    step = WIDTH / len(both[0])
    return [
        {
            "side": ("was", "now")[which],
            "x": round(number * step + which * step / 2 + 0.5, 2),
            "width": round(step / 2 - 1, 2),
            "y": round(HEIGHT * (1 - log1p(count) / top), 2),
            "height": round(HEIGHT * log1p(count) / top, 2),
            "count": count,
            "start": round(number / len(both[0]), 2),
        }
        for which, side in enumerate(both)
        for number, count in enumerate(side)
        if count
    ]
