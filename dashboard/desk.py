"""The desk: what waits for a person, and the answers."""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from classifiers.port import Check
from dashboard.filters import Filters
from dashboard.forms import Fields, SignedForm, signed_form
from dashboard.identity import Identity, identity
from dashboard.pages import Windows, show_verdict, verdict_path
from dashboard.port import Console
from dashboard.refusal import RefusedError
from dashboard.render import page
from dashboard.review_view import Draft
from monitor.accounts import Right
from monitor.clock import stamp, utc_now
from monitor.store import Asker, Conflict
from monitor.types import Decision, Outcome, Review

#: Tasks on a page; more appear as these are answered.
SHOWN = 100
#: How long one may think about a verdict before others may take it.
CLAIM = timedelta(minutes=15)
_ANSWERS = {"yes": True, "no": False}


def routes(console: Console) -> APIRouter:
    """The routes of the desk."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    _queue_routes(router, console)
    _claim_routes(router, console)
    _review_routes(router, console)
    return router


def _queue_routes(router: APIRouter, console: Console) -> None:
    @router.get("/queue")
    def queue(request: Request, filters: Annotated[Filters, Query()]) -> Response:
        store, who = console.store, identity(request)
        shown = {"models": store.models(), "views": store.views.of(who.name)}
        return page("queue.html", {**_queue(console, request, filters), **shown})

    @router.get("/queue/live")
    def live(request: Request, filters: Annotated[Filters, Query()]) -> Response:
        """The queue as it is now, or 304 when it is as it was."""
        answer = page("queue_live.html", _queue(console, request, filters))
        version = f'"{hashlib.sha256(answer.body).hexdigest()}"'
        if request.headers.get("if-none-match") == version:
            return Response(status_code=304, headers={"etag": version})
        answer.headers["etag"] = version
        return answer

    @router.post("/queue/next", dependencies=[Depends(signed_form)])
    def begin(request: Request, filters: Annotated[Filters, Query()]) -> Response:
        return _next(console, identity(request), filters)


def _claim_routes(router: APIRouter, console: Console) -> None:
    reviews = console.store.reviews

    @router.post("/verdicts/{verdict_id}/claim")
    def claim(
        request: Request, form: SignedForm, verdict_id: str, windows: Annotated[Windows, Query()]
    ) -> Response:
        who = identity(request)
        try:
            if "take-over" in form and who.may(Right.SETTLE):
                reviews.release(verdict_id, None)
            reviews.claim(verdict_id, asker(who), until=_until())
        except Conflict as error:
            draft = Draft(message=str(error))
            return show_verdict(console, who, verdict_id, windows, draft)
        return _see(verdict_path(windows, verdict_id))

    @router.post("/verdicts/{verdict_id}/release", dependencies=[Depends(signed_form)])
    def release(
        request: Request, verdict_id: str, windows: Annotated[Windows, Query()]
    ) -> Response:
        reviews.release(verdict_id, identity(request).name)
        return _see(windows.listing.link("/queue" if windows.queue else "/"))


def _review_routes(router: APIRouter, console: Console) -> None:
    @router.post("/verdicts/{verdict_id}/reviews")
    def answer(
        request: Request, form: SignedForm, verdict_id: str, windows: Annotated[Windows, Query()]
    ) -> Response:
        who, given = identity(request), _answer(form)
        review = given.review(verdict_id, who)
        settles = who.may(Right.SETTLE)
        try:
            console.store.reviews.record(
                review, after=given.after, settles=settles, second=_second(console, who)
            )
        except Conflict as error:
            draft = Draft(message=str(error), note=review.note, labels=review.labels)
            return show_verdict(console, who, verdict_id, windows, draft)
        if windows.queue:
            return _next(console, who, windows.listing)
        return _see(verdict_path(windows, verdict_id) + "#review")


def _second(console: Console, who: Identity) -> Callable[[Decision], bool]:
    """Draw whether a verdict is for two people; while nobody logs in, there are no two."""
    draw = secrets.randbelow(1_000_000) / 1_000_000
    return lambda decision: who.logged_in and console.seconds.ask(decision, draw)


def asker(who: Identity) -> Asker:
    """Say who asks for work, as the store wants it."""
    return Asker(name=who.name, settles=who.may(Right.SETTLE), now=utc_now())


def _queue(console: Console, request: Request, filters: Filters) -> dict[str, Any]:
    who = identity(request)
    found = console.store.reviews.queue(asker(who), filters.query(limit=SHOWN))
    return {"console": console, "identity": who, "filters": filters, "queue": found}


def _next(console: Console, who: Identity, filters: Filters) -> Response:
    found = console.store.reviews.claim_next(asker(who), filters.query(), until=_until())
    if found is None:
        return _see(filters.link("/queue"))
    given = Windows.model_construct(**dict(filters), queue=True)
    return _see(verdict_path(given, found))


def _see(address: str) -> Response:
    return RedirectResponse(address, status_code=303)


def _until() -> str:
    return stamp(datetime.now(UTC) + CLAIM)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What a form says."""

    outcome: Outcome
    review_id: str
    #: Reviews that the page showed.
    after: int
    note: str
    labels: Mapping[Check, bool] = field(default_factory=dict)

    def review(self, verdict_id: str, who: Identity) -> Review:
        return Review(
            review_id=self.review_id,
            verdict_id=verdict_id,
            reviewer=who.name,
            outcome=self.outcome,
            labels=self.labels,
            note=self.note,
            created_at=utc_now(),
        )


def _answer(form: Fields) -> _Answer:
    labels = {check: form.get(f"label-{check.value}", "") for check in Check}
    try:
        return _Answer(
            outcome=Outcome(form.get("outcome", "")),
            review_id=form.get("review_id") or secrets.token_hex(16),
            after=int(form.get("after", "")),
            note=form.get("note", "").replace("\r\n", "\n").strip(),
            labels={check: _ANSWERS[text] for check, text in labels.items() if text},
        )
    except (KeyError, ValueError) as error:
        raise RefusedError(422, "Not understood", "The form is not one of ours.") from error
