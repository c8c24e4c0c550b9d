"""A comparison for people and programs: JSON, and one HTML file that needs nothing else.

Everything that came from a log is escaped and made visible: see `dashboard.inert`.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from math import log1p
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from dashboard.inert import inert, visible
from stream.rescore.compare import Comparison, Flip
from stream.rescore.statistics import Drift

__all__ = ["FLIPS", "HTML", "JSON", "as_html", "as_json", "write"]

HTML: Final = "comparison.html"
JSON: Final = "comparison.json"
#: Every trace whose decision changed, one JSON object per line.
FLIPS: Final = "flips.jsonl"
#: Size of a plot, in the units of its SVG.
WIDTH, HEIGHT = 400, 110


def write(folder: Path, comparison: Comparison, flips: Iterable[Flip]) -> None:
    """Write the report beside the parts of a run, in place of an older one."""
    with (folder / FLIPS).open("w", encoding="ascii") as file:
        file.writelines(json.dumps(asdict(flip)) + "\n" for flip in flips)
    (folder / JSON).write_text(json.dumps(as_json(comparison), indent=1) + "\n", encoding="ascii")
    (folder / HTML).write_text(as_html(comparison), encoding="utf-8")


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as plain JSON values."""
    return {**asdict(comparison), "flipped": comparison.flipped}


def as_html(comparison: Comparison) -> str:
    """Return a page without scripts, fonts, images or addresses of any other place."""
    environment = Environment(
        loader=PackageLoader("stream.rescore"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "inert": inert,
        "visible": visible,
        "count": lambda n: f"{n:,}",
        "percent": lambda share: f"{share:.2%}",
        "points": lambda share: f"{share * 100:+.2f}",
        "score": lambda p: "none" if p is None else f"{p:.3f}",
    }
    page = environment.get_template("report.html")
    plots = {d.check: bars(d) for d in comparison.drifts}
    return page.render(c=comparison, plots=plots, width=WIDTH, height=HEIGHT)


def bars(drift: Drift) -> list[dict[str, float | str | int]]:
    """The histogram as rectangles, two beside each other per bin, on a logarithmic scale.

    Most traces score near 0: on a linear scale the few that matter could not be seen.
    """
    both = (drift.histogram_before, drift.histogram_after)
    top = log1p(max(1, *both[0], *both[1]))
    step = WIDTH / len(both[0])
    return [
        {
            "side": ("before", "after")[which],
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
