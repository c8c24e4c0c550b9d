"""Saved views: names for the filters of a list."""

from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from dashboard.filters import Filters
from dashboard.forms import Fields, SignedForm
from dashboard.identity import identity
from dashboard.port import Console
from dashboard.refusal import RefusedError
from monitor.store import View

#: Lists that can be saved.
PLACES = ("/", "/queue")
MAX_NAME = 40


def routes(console: Console) -> APIRouter:
    """The routes of saved views."""
    router, views = APIRouter(include_in_schema=False), console.store.views

    @router.post("/views")
    def save(request: Request, form: SignedForm) -> Response:
        view = _view(form)
        views.save(identity(request).name, view)
        return RedirectResponse(view.address, status_code=303)

    @router.post("/views/remove")
    def remove(request: Request, form: SignedForm) -> Response:
        views.remove(identity(request).name, form.get("name", ""))
        place = form.get("place", "")
        return RedirectResponse(place if place in PLACES else "/", status_code=303)

    return router


def _view(form: Fields) -> View:
    """Only filters that we know are kept, so that a view leads nowhere else."""
    name, place = form.get("name", "").strip(), form.get("place", "")
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        message = f"A view has a name of at most {MAX_NAME} characters."
        raise RefusedError(422, "Not saved", message)
    try:
        filters = Filters.model_validate(dict(parse_qsl(form.get("query", ""), max_num_fields=50)))
    except (ValidationError, ValueError) as error:
        raise RefusedError(422, "Not saved", "These filters are none of ours.") from error
    if place not in PLACES:
        raise RefusedError(422, "Not saved", "This list cannot be saved.")
    return View(name=name, address=filters.link(place, before=None))
