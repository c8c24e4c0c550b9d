"""Bars and histograms as numbers for an inline SVG. Pure.

Shapes are drawn in a box of `WIDTH` by `HEIGHT` that is stretched to its place; words stand beside
it as HTML, so that nothing that is read is stretched.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000, 100
#: Of the place of a bar, what stays free.
GAP = 0.14
#: The least height of a bar that stands for anything at all.
LEAST = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One series of a chart."""

    #: Class of its bars.
    kind: str
    name: str
    counts: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A rectangle."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    #: What it stands for, in words.
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Layers of bars on top of each other."""

    bars: list[Bar]
    #: What the full height stands for.
    top: float
    layers: Sequence[Layer]


def stacked(layers: Sequence[Layer], places: Sequence[str]) -> Bars:
    """Draw layers on top of each other, the first below; `places` names what each bar is of."""
    top = max((sum(column) for column in _columns(layers)), default=0)
    drawn = (
        bar
        for number, place in enumerate(places)
        for bar in _stack(layers, number, place, len(places), top)
    )
    return Bars(bars=list(drawn), top=top, layers=layers)


def _columns(layers: Sequence[Layer]) -> list[tuple[float, ...]]:
    return list(zip(*(layer.counts for layer in layers), strict=True))


def _stack(layers: Sequence[Layer], number: int, place: str, places: int, top: float) -> list[Bar]:
    width, floor, bars = WIDTH / places, float(HEIGHT), []
    for layer in layers:
        count = layer.counts[number]
        if not count:
            continue
        height = max(LEAST, count / top * HEIGHT)
        floor -= height
        bars.append(
            Bar(
                kind=layer.kind,
                x=round((number + GAP / 2) * width, 2),
                y=round(max(floor, 0), 2),
                width=round(width * (1 - GAP), 2),
                height=round(height, 2),
                label=f"{place}: {count:,.0f} {layer.name.lower()}",
            )
        )
    return bars


def outline(
    values: Sequence[float], top: float, scale: Callable[[float], float] = lambda value: value
) -> str:
    """Draw the upper edge of a histogram as SVG path data."""
    if not top:
        return ""
    width = WIDTH / len(values)
    heights = (round(HEIGHT * (1 - scale(value) / scale(top)), 2) for value in values)
    return f"M0 {HEIGHT}" + "".join(
        f"V{y}H{round((number + 1) * width, 2)}" for number, y in enumerate(heights)
    )
