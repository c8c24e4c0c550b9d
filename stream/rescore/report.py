"""A comparison for people and programs: JSON, and one HTML file that needs nothing else.

The body is that of the dashboard. Everything that came from a log is escaped and made visible: see
`dashboard.inert`.
"""

import json
from collections.abc import Iterable
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dashboard.comparison import FILTERS, Told, values
from dashboard.inert import inert, visible
from monitor.comparison import Comparison, Flip

__all__ = ["FLIPS", "HTML", "JSON", "as_html", "write"]

HTML: Final = "comparison.html"
JSON: Final = "comparison.json"
#: Every trace whose decision changed, one JSON object per line.
FLIPS: Final = "flips.jsonl"
_STYLE: Final = files("dashboard") / "static" / "comparison.css"


def write(folder: Path, comparison: Comparison, flips: Iterable[Flip]) -> None:
    """Write the report beside the parts of a run, in place of an older one."""
    with (folder / FLIPS).open("w", encoding="ascii") as file:
        file.writelines(json.dumps(_plain(flip)) + "\n" for flip in flips)
    (folder / JSON).write_text(json.dumps(comparison.to_json(), indent=1) + "\n", encoding="ascii")
    (folder / HTML).write_text(as_html(comparison), encoding="utf-8")


def _plain(flip: Flip) -> dict[str, object]:
    """As `asdict`, without its copies: there may be many."""
    return {each.name: getattr(flip, each.name) for each in fields(flip)}


def as_html(comparison: Comparison) -> str:
    """Return a page without scripts, fonts, images or addresses of any other place."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("stream.rescore"), PackageLoader("dashboard")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "inert": inert,
        "visible": visible,
        "count": lambda n: f"{n:,}",
        **FILTERS,
    }
    told = [Told(flip=flip, quote=flip.quote) for flip in comparison.top]
    style = Markup(_STYLE.read_text(encoding="utf-8"))  # noqa: S704 -- our own file
    page = environment.get_template("report.html")
    return page.render(style=style, **values(comparison, told))
