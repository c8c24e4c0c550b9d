"""Jinja as the pages use it: everything is escaped, and undefined names are errors."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from classifiers.port import Check
from dashboard.comparison import FILTERS
from dashboard.inert import inert, visible
from dashboard.spans import NAMES
from monitor.audit import Kind
from monitor.gaps import MEANING
from monitor.types import Decision, Gap, Standing

#: What a person calls each decision.
DECISIONS = {Decision.ALLOW: "Allowed", Decision.FLAG: "Flagged", Decision.BLOCK: "Blocked"}
#: What a person calls the state that an answer leaves behind.
OUTCOMES = {
    Standing.CONFIRM: "Confirmed",
    Standing.DISMISS: "Dismissed",
    Standing.ESCALATE: "Escalated",
    Standing.SECOND: "Second opinion",
    Standing.DISPUTE: "Disputed",
}
#: What a person calls each kind of record.
KIND_NAMES = {
    Kind.VERDICT: "Verdicts",
    Kind.POLICY: "Policies",
    Kind.CHANGE: "Changes",
    Kind.REVIEW: "Reviews",
    Kind.ACCOUNT: "Accounts",
    Kind.RETENTION: "Texts",
}
#: Pages, what they are called, and the right without which they are not offered.
PLACES = (
    ("/overview", "Overview", None),
    ("/", "Decisions", None),
    ("/queue", "Queue", None),
    ("/runs", "Runs", None),
    ("/thresholds", "Thresholds", None),
    ("/policies", "Policies", None),
    ("/reviewers", "Reviewers", "settle"),
    ("/audit", "Audit log", "settle"),
    ("/people", "People", "manage"),
    ("/tokens", "Tokens", "manage"),
    ("/settings", "Settings", "manage"),
)
#: Why a check could not be made, when the store can only say that it was not.
CHANNEL_NAMES = {"thinking": "Thinking", "answer": "Answer", "tool_call": "Tool calls"}
#: What a person calls each gap, and what it means.
GAPS = {
    Gap.HIDDEN_THINKING: ("Thinking hidden", MEANING[Gap.HIDDEN_THINKING]),
    Gap.SEALED_THINKING: ("Thinking sealed", MEANING[Gap.SEALED_THINKING]),
    Gap.MISPLACED_THINKING: ("Thinking misplaced", MEANING[Gap.MISPLACED_THINKING]),
    Gap.UNKNOWN_SHAPE: ("Unknown shape", MEANING[Gap.UNKNOWN_SHAPE]),
}


def page(template: str, values: Mapping[str, Any], *, status: int = 200) -> HTMLResponse:
    """Answer with a page."""
    return HTMLResponse(_environment.get_template(template).render(values), status_code=status)


def _environment_of() -> Environment:
    environment = Environment(
        loader=PackageLoader("dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "inert": inert,
        "visible": visible,
        "clock": lambda when: when[11:19],
        "day": _day,
        "percent": lambda p: f"{p * 100:.1f}",
        "slug": lambda text: quote(text, safe=""),
        "two": lambda p: f"{p:.2f}",
        "limit": limit,
        "beside": beside,
        "signed": lambda value: f"{value:.2f}".replace("-", "\u2212"),
        "count": lambda n: f"{n:,}",
        **FILTERS,
        "share": _share,
        "age": _age,
    }
    environment.filters |= filters
    environment.globals |= {
        "CHECKS": [(check, NAMES[check]) for check in Check],
        "DECISIONS": [(d.name.lower(), DECISIONS[d]) for d in Decision],
        "OUTCOMES": OUTCOMES,
        "CHANNELS": CHANNEL_NAMES,
        "PLACES": PLACES,
        "KIND_NAMES": KIND_NAMES,
        "GAPS": {gap.value: told for gap, told in GAPS.items()},
    }
    return environment


def limit(p: float) -> str:
    """A threshold: two decimals, or four where it has more."""
    return f"{p:.2f}" if round(p, 2) == round(p, 4) else f"{p:.4f}"


def beside(p: float, limits: Sequence[float] | None) -> str:
    """A probability with as many decimals as show on which side of each threshold it lies."""
    for digits in (2, 3, 4):
        shown = round(p, digits)
        if all((shown >= one) == (p >= one) for one in limits or ()):
            return f"{shown:.{digits}f}"
    return f"{p:.6f}"


def _share(part: float | None) -> str:
    """A part of all in percent, small ones with more digits."""
    if part is None:
        return "\u2013"
    percent = part * 100
    return f"{percent:.2f} %" if 0 < percent < 1 else f"{percent:.1f} %"


def _age(age: timedelta) -> str:
    """How long ago, in one unit."""
    minutes = int(age.total_seconds() // 60)
    if minutes < 120:
        return f"{max(minutes, 0)} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"


def _day(when: str) -> str:
    return datetime.fromisoformat(when).strftime("%-d %b %Y")


_environment = _environment_of()
