"""A comparison of two runs at a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dashboard.inert import visible
from stream.rescore.compare import Comparison, Flip, Group

#: Traces and groups that fit a terminal; the HTML report has more.
SHOWN = 10


def show(console: Console, comparison: Comparison) -> None:
    """Print rates, drifts, groups and the most changed traces."""
    c = comparison
    console.print(
        Text(f"\n{visible(c.after)} against {visible(c.before)}: ", style="bold"),
        Text(f"{c.traces:,} traces on both sides, {c.flipped:,} with another decision"),
        soft_wrap=True,
    )
    console.print(_rates(c))
    console.print(_drifts(c))
    for title, groups in (("model", c.models), ("source", c.sources)):
        if len(groups) > 1:
            console.print(_groups(title, groups))
    changed = [flip for flip in c.top if flip.before != flip.after][:SHOWN]
    if changed:
        console.print(_flips(changed))


def _table(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left")
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left")
    return table


def _rates(comparison: Comparison) -> Table:
    table = _table("", "before", "after", "change in points, 95 %")
    for change in comparison.changes:
        interval = f"{change.low * 100:+.2f} to {change.high * 100:+.2f}"
        style = "bold" if change.low > 0 or change.high < 0 else ""
        row = (f"{change.before:.2%}", f"{change.after:.2%}", Text(interval, style=style))
        table.add_row(change.name, *row)
    return table


def _drifts(comparison: Comparison) -> Table:
    table = _table("check", "mean before", "mean after", "mean change", "95 % below", "largest")
    for drift in comparison.drifts:
        means = (drift.mean_before, drift.mean_after, drift.mean, drift.p95, drift.largest)
        table.add_row(drift.check, *(f"{value:.3f}" for value in means))
    return table


def _groups(title: str, groups: tuple[Group, ...]) -> Table:
    table = _table(title, "traces", "flipped", "blocked before", "blocked after")
    for group in groups[:SHOWN]:
        blocked = next(c for c in group.changes if c.name == "blocked")
        rates = (f"{blocked.before:.2%}", f"{blocked.after:.2%}")
        name = Text(visible(group.name) or "not named", overflow="ellipsis", no_wrap=True)
        table.add_row(name, f"{group.traces:,}", f"{group.flipped:,}", *rates)
    return table


def _flips(flips: list[Flip]) -> Table:
    table = _table("most changed", "where", "decision")
    for flip in flips:
        where = Text(f"{visible(flip.source)}:{flip.line}", overflow="ellipsis", no_wrap=True)
        table.add_row(Text(visible(flip.trace_id)), where, f"{flip.before} -> {flip.after}")
    return table
