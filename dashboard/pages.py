"""The pages for people: the live list of decisions, and one verdict with its text."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi import Query as Wanted
from pydantic import Field
from starlette.responses import HTMLResponse, Response

from dashboard.filters import Filters, newer, older
from dashboard.identity import Identity, identity
from dashboard.port import Console
from dashboard.render import page
from dashboard.review_view import Draft, review_view
from dashboard.trace_view import trace_view
from monitor.clock import utc_now
from monitor.store.rows import Query, VerdictRow

#: Turns of a conversation that the page of one of them links to; the list has them all.
MAX_TURNS = 20
_Offset = Annotated[int | None, Field(ge=0, le=2**31)]


class Windows(Filters):
    """Filters of the list that one came from, and which part of a long text to show."""

    #: Whether one came from the queue, with these filters.
    queue: bool | None = None
    thinking: _Offset = None
    answer: _Offset = None
    tool_call: _Offset = None

    @property
    def first(self) -> dict[str, int]:
        """Where each channel's window begins."""
        given = (
            ("thinking", self.thinking),
            ("answer", self.answer),
            ("tool_call", self.tool_call),
        )
        return {channel: offset or 0 for channel, offset in given}

    @property
    def listing(self) -> Filters:
        """The filters alone."""
        return Filters.model_construct(
            **{name: getattr(self, name) for name in Filters.model_fields}
        )


def routes(console: Console) -> APIRouter:
    """The pages' routes."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/")
    def decisions(request: Request, filters: Annotated[Filters, Wanted()]) -> Response:
        who, host = identity(request), request.headers["host"]
        shown = {"identity": who, "host": host, "views": console.store.views.of(who.name)}
        return page("list.html", {**_listing(console, filters), **shown})

    @router.get("/live")
    def live(request: Request, filters: Annotated[Filters, Wanted()]) -> Response:
        """The newest rows and the counts, or 304 when there is nothing new."""
        version = f'"{console.store.newest_seq()}"'
        if request.headers.get("if-none-match") == version:
            return Response(status_code=304, headers={"etag": version})
        answer = page("live.html", _listing(console, filters))
        answer.headers["etag"] = version
        return answer

    @router.get("/verdicts/{verdict_id}")
    def verdict(
        request: Request, verdict_id: str, windows: Annotated[Windows, Wanted()]
    ) -> Response:
        return show_verdict(console, identity(request), verdict_id, windows, Draft())

    return router


def _listing(console: Console, filters: Filters) -> dict[str, Any]:
    newest = console.store.newest_seq()
    found = console.store.verdicts(filters.query())
    return {
        "console": console,
        "filters": filters,
        "newest": newest,
        "page": found,
        "summary": console.store.summary(),
        "models": console.store.models(),
    }


def verdict_path(windows: Windows, verdict_id: str) -> str:
    """The address of a verdict's page, with what the page before it was about."""
    return windows.link(f"/verdicts/{quote(verdict_id, safe='')}")


def show_verdict(
    console: Console, who: Identity, verdict_id: str, windows: Windows, draft: Draft
) -> Response:
    """The page of a verdict, with what came of a form if one was sent."""
    stored = console.store.verdict(verdict_id)
    if stored is None:
        return not_found(console)
    filters, desk = windows.listing, console.store.reviews
    history, claim = desk.of(verdict_id), desk.claimed(verdict_id, utc_now())
    return page(
        "trace.html",
        {
            "console": console,
            "identity": who,
            "filters": filters,
            "windows": windows,
            "stored": stored,
            "row": stored.row,
            "document": stored.document,
            "review": review_view(history, claim, who, draft),
            "view": trace_view(stored, console.policy().top.thresholds, windows.first),
            "again": draft.again,
            "turns": _turns(console, stored.row),
            "talk": _talk(stored.row).link("/"),
            "older": older(console.store, filters, stored.row.seq),
            "newer": newer(console.store, filters, stored.row.seq),
        },
        status=409 if draft.message else 200,
    )


def _turns(console: Console, row: VerdictRow) -> list[VerdictRow]:
    """The newest verdicts of the same conversation, this one included, in the order of time."""
    if not row.conversation_id:
        return []
    query = Query(tenant=row.tenant, conversation_id=row.conversation_id, limit=MAX_TURNS)
    return list(reversed(console.store.verdicts(query).rows))


def _talk(row: VerdictRow) -> Filters:
    """Those of the list that show this conversation."""
    return Filters(tenant=row.tenant or None, conversation=row.conversation_id or None)


def not_found(console: Console) -> HTMLResponse:
    """Say that there is no such page."""
    return error_page(console, 404, "Nothing here", "No verdict or page has this address.")


def error_page(console: Console, status: int, title: str, message: str) -> HTMLResponse:
    """Say what went wrong, without a word of the request."""
    values = {"console": console, "title": title, "message": message}
    return page("error.html", values, status=status)
