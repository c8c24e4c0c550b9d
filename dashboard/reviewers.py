"""Whether reviewers agree: of what two of them answered without knowing of each other."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from classifiers.port import Check
from dashboard.agreement import ENOUGH, OUTCOME, by_people, overall
from dashboard.identity import identity
from dashboard.port import Console
from dashboard.render import page
from dashboard.spans import NAMES
from monitor.types import Standing

#: Verdicts that are looked at, the newest ones.
MOST = 20_000
#: Pairs of people in the table.
SHOWN = 50
QUESTIONS: Mapping[str, str] = {
    OUTCOME: "Answer",
    **{check.value: NAMES[check] for check in Check},
}


def routes(console: Console) -> APIRouter:
    """The route of the page."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/reviewers")
    def reviewers(request: Request) -> Response:
        desk = console.store.reviews
        pairs, waiting = desk.pairs(MOST), desk.standing()
        shown = {
            "console": console,
            "identity": identity(request),
            "total": len(pairs),
            "MOST": MOST,
            "ENOUGH": ENOUGH,
            "QUESTIONS": QUESTIONS,
            "overall": overall(pairs),
            "people": by_people(pairs)[:SHOWN],
            "second": waiting.get(Standing.SECOND, 0),
            "dispute": waiting.get(Standing.DISPUTE, 0),
        }
        return page("reviewers.html", shown)

    return router
