"""A stored trace scored once more, by a model of the reader's choice. Nothing of it is kept."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, Response

from dashboard.forms import SignedForm
from dashboard.identity import identity
from dashboard.pages import Windows, show_verdict
from dashboard.port import Console
from dashboard.refusal import RefusedError
from dashboard.review_view import Draft
from dashboard.trace_view import Again


def routes(console: Console) -> APIRouter:
    """The route of the button."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.post("/verdicts/{verdict_id}/again")
    async def again(
        request: Request, form: SignedForm, verdict_id: str, windows: Annotated[Windows, Query()]
    ) -> Response:
        judge = console.others.get(form.get("model", ""))
        if judge is None:
            raise RefusedError(422, "Not understood", "This server has no model of that name.")
        stored = await asyncio.to_thread(console.store.verdict, verdict_id)
        draft = Draft()
        if stored is not None and stored.trace is not None:
            draft = Draft(again=Again.of(stored, await judge(stored.trace)))
        return await asyncio.to_thread(
            show_verdict, console, identity(request), verdict_id, windows, draft
        )

    return router
