"""Thresholds: seen on last week's traffic, tried, and changed in the policy file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import HTMLResponse, RedirectResponse, Response

from classifiers.port import Check, Thresholds
from dashboard.choice import (
    Effect,
    Known,
    Label,
    by_capacity,
    by_rate,
    effect,
    known,
    labels_of,
)
from dashboard.forms import Fields, SignedForm
from dashboard.identity import Identity, identity
from dashboard.plot import Bars, Layer, outline, stacked
from dashboard.port import Console, PolicyFile
from dashboard.refusal import RefusedError
from dashboard.render import page
from dashboard.spans import NAMES
from dashboard.trends import Scores, Stretch
from monitor.clock import stamp, utc_now
from monitor.errors import PolicyError
from monitor.store import Answered, Change

WEEK = 7 * 24
#: Newest answers that are looked at.
MAX_ANSWERS = 10_000
#: Bars of a histogram.
BINS = 40
MAX_REASON = 500

_Unset = BeforeValidator(lambda value: None if value == "" else value)


class Choice(BaseModel):
    """A check, and one way to choose where it flags."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    check: Check = Check.DECEPTION
    #: At most this percentage of what nobody confirmed is flagged.
    rate: Annotated[float | None, _Unset] = Field(default=None, ge=0, le=100)
    #: At most so many a day.
    capacity: Annotated[float | None, _Unset] = Field(default=None, ge=0, le=1e9)
    flag: Annotated[float | None, _Unset] = Field(default=None, gt=0, le=1)
    block: Annotated[float | None, _Unset] = Field(default=None, gt=0, le=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Thresholds, and what they would have done."""

    limits: Thresholds
    effect: Effect
    #: Verdicts that would have been blocked by this check.
    blocked: int
    known: Known
    #: Verdicts that any check would have flagged, a day.
    waiting: float

    @property
    def per_day(self) -> float:
        """Verdicts that this check would have flagged, a day."""
        return self.effect.flagged * 24 / WEEK


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdsView:
    """Everything on the page."""

    check: Check
    name: str
    now: Trial
    #: None until another threshold is tried.
    tried: Trial | None
    traffic: str
    labelled: Bars
    labels: Sequence[Label]
    #: Rules of the policy file that have thresholds of their own for this check.
    rules: Sequence[str]
    reason: str
    message: str


class _Week:
    """Last week's traffic, and what people said of it."""

    def __init__(self, console: Console, check: Check) -> None:
        self.check, self._console = check, console
        self.limits = console.policy().top.thresholds
        flags = {c: limit.flag for c, limit in self.limits.items()}
        self._stretch: Stretch = console.trends.last(WEEK, flags)
        self.scores: Scores = self._stretch.scores(check)
        answered: tuple[Answered, ...] = console.store.tallies.answered(MAX_ANSWERS)
        self.labels = labels_of(check, answered)
        since = stamp(self._stretch.since)
        self.recent = [label for label in self.labels if label.created_at >= since]

    def chosen(self, choice: Choice) -> Thresholds | None:
        """The thresholds that somebody wants to try."""
        flag = choice.flag
        if choice.rate is not None:
            flag = by_rate(self.scores, self.recent, choice.rate / 100)
        elif choice.capacity is not None:
            flag = by_capacity(self.scores, self._stretch.days, choice.capacity)
        if flag is None:
            return None
        block = choice.block or self.limits[self.check].block
        return Thresholds(flag=flag, block=max(block, flag))

    def trial(self, limits: Thresholds) -> Trial:
        """Try thresholds on the week."""
        every = {check: limit.flag for check, limit in self.limits.items()}
        return Trial(
            limits=limits,
            effect=effect(
                self.scores, self.recent, limits.flag, self._count({self.check: limits.flag})
            ),
            blocked=self._count({self.check: limits.block}),
            known=known(self.labels, limits.flag),
            waiting=self._count({**every, self.check: limits.flag}) / self._stretch.days,
        )

    def _count(self, limits: Mapping[Check, float]) -> int:
        ends = (stamp(self._stretch.since), stamp(self._stretch.until))
        return self._console.store.tallies.reaching(*ends, limits)


def routes(console: Console) -> APIRouter:
    """The routes of the thresholds."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/thresholds")
    def see(request: Request, choice: Annotated[Choice, Query()]) -> Response:
        return _show(console, identity(request), choice)

    @router.post("/thresholds")
    def change(request: Request, form: SignedForm) -> Response:
        who, choice, reason = identity(request), _choice(form), form.get("reason", "").strip()
        if console.policy_file is None:
            raise RefusedError(409, "Not possible", "This server follows no policy file.")
        try:
            _change(console, console.policy_file, who, choice, reason, form.get("version", ""))
        except PolicyError as error:
            return _show(console, who, choice, reason=reason, message=str(error))
        return RedirectResponse("/policies", status_code=303)

    return router


def _choice(form: Fields) -> Choice:
    wanted = {name: form.get(name, "") for name in ("check", "flag", "block")}
    try:
        choice = Choice.model_validate(wanted)
    except ValueError as error:
        raise RefusedError(422, "Not understood", "The form is not one of ours.") from error
    if choice.flag is None or choice.block is None:
        raise RefusedError(422, "Not understood", "The form is not one of ours.")
    return choice


def _change(  # noqa: PLR0913, PLR0917 - what a change is made of
    console: Console, file: PolicyFile, who: Identity, choice: Choice, reason: str, seen: str
) -> None:
    """Record a change, then make it; PolicyError when that is not possible."""
    if not 1 <= len(reason) <= MAX_REASON or not reason.isprintable():
        raise PolicyError(f"Say why, in one line of at most {MAX_REASON} characters.")
    if file.version() != seen:
        raise PolicyError("The policy was changed meanwhile: look at what holds now first.")
    limits = Thresholds(flag=choice.flag or 1.0, block=choice.block or 1.0)
    draft = file.draft(choice.check, limits)
    change = Change(
        by=who.name,
        why=reason,
        check=choice.check.value,
        flag=limits.flag,
        block=limits.block,
        before=seen,
        after=draft.book.version,
    )
    console.store.log.record_change(change, at=utc_now())
    file.write(draft)


def _show(
    console: Console, who: Identity, choice: Choice, *, reason: str = "", message: str = ""
) -> Response:
    week = _Week(console, choice.check)
    limits = week.chosen(choice)
    view = ThresholdsView(
        check=choice.check,
        name=NAMES[choice.check],
        now=week.trial(week.limits[choice.check]),
        tried=None if limits is None else week.trial(limits),
        traffic=_traffic(week.scores),
        labelled=_labelled(week.labels),
        labels=week.labels,
        rules=_rules(console, choice.check),
        reason=reason,
        message=message,
    )
    shown = {"console": console, "identity": who, "view": view, "choice": choice}
    status = 409 if message else 200
    return page("thresholds.html", {**shown, "followed": _followed(console)}, status=status)


def _followed(console: Console) -> tuple[str, str] | None:
    """Name and version of the policy file; None when there is none that can be changed."""
    file = console.policy_file
    try:
        return None if file is None else (file.name, file.version())
    except PolicyError:
        return None


def _rules(console: Console, check: Check) -> list[str]:
    rules = console.policy().rules
    return [rule.name for rule in rules if check.value in rule.says.get("thresholds", {})]


def _traffic(scores: Scores) -> str:
    folded = [float(part) for part in scores[:-1].reshape(BINS, -1).sum(axis=1)]
    folded[-1] += float(scores[-1])
    return outline(folded, max(folded), math.sqrt)


def _labelled(labels: Sequence[Label]) -> Bars:
    counts = {True: [0] * BINS, False: [0] * BINS}
    for label in labels:
        counts[label.positive][min(int(label.score * BINS), BINS - 1)] += 1
    places = [f"{n / BINS:.3f} to {(n + 1) / BINS:.3f}" for n in range(BINS)]
    there = Layer(kind="there", name="Is there", counts=counts[True])
    absent = Layer(kind="absent", name="Is not", counts=counts[False])
    return stacked([there, absent], places)
