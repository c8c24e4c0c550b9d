"""The runs of re-scoring: a list, and what each changed."""

from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from dashboard.comparison import Told, values
from dashboard.identity import identity
from dashboard.pages import not_found
from dashboard.port import Console
from dashboard.render import page
from monitor.comparison import Flip
from monitor.rows import MAX_QUOTE
from monitor.store import StoredVerdict
from monitor.types import Channel


def routes(console: Console) -> APIRouter:
    """The runs' routes."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/runs")
    def runs(request: Request) -> Response:
        shown = {"runs": console.store.runs.newest(), "identity": identity(request)}
        return page("runs.html", {"console": console, **shown})

    @router.get("/runs/{name:path}")
    def run(request: Request, name: str) -> Response:
        found = console.store.runs.get(name)
        if found is None:
            return not_found(console)
        run, comparison = found
        told = [_told(console, flip) for flip in comparison.top] if comparison else []
        drawn = values(comparison, told) if comparison else {}
        shown = {"console": console, "identity": identity(request), "run": run}
        return page("run.html", {**shown, "compared": comparison is not None, **drawn})

    return router


def _told(console: Console, flip: Flip) -> Told:
    """A changed trace with its words, as long as its text is there."""
    stored = console.store.verdict(flip.verdict_id)
    if stored is None:
        return Told(flip=flip, quote="")
    link = f"/verdicts/{quote(flip.verdict_id, safe='')}"
    return Told(flip=flip, quote=_words(stored), link=link)


def _words(stored: StoredVerdict) -> str:
    """The step that counts most, or nothing once the text was erased."""
    evidence = stored.document.get("evidence") or ()
    if stored.trace is None or not evidence:
        return ""
    step = max(evidence, key=lambda e: e["probability"])
    text = stored.trace.text(Channel(step["channel"]))
    return text[step["start"] : min(step["end"], step["start"] + MAX_QUOTE)]
