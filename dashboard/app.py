"""The dashboard as an ASGI application."""

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from dashboard import (
    again,
    api,
    desk,
    export,
    login,
    office,
    overview,
    pages,
    records,
    reviewers,
    runs,
    sign_on,
    thresholds,
    views,
)
from dashboard.answers import problem
from dashboard.entry import Entry
from dashboard.guard import Guard
from dashboard.port import NO_OTHERS, Console, Judge, Others, Parquet, PolicyFile, Records
from dashboard.refusal import RefusedError
from dashboard.relying import RelyingParty
from dashboard.trends import Trends
from monitor.health import Health
from monitor.opinions import NO_SECONDS, Seconds
from monitor.rulebook import Rulebook
from monitor.single_sign_on import Provider
from monitor.store import Conflict, StoreError

_ADVICE = "Run `subtext audit verify`."
_NO_SETTINGS: Mapping[str, Mapping[str, str]] = MappingProxyType({})
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")


def create_app(  # noqa: PLR0913 - keyword-only: what a server is made of
    *,
    store: Records,
    judge: Judge,
    policy: Callable[[], Rulebook],
    health: Health,
    allowed_hosts: Sequence[str] = LOCAL_HOSTS,
    try_line: str = "",
    metrics: Callable[[], bytes] = bytes,
    policy_file: PolicyFile | None = None,
    settings: Mapping[str, Mapping[str, str]] = _NO_SETTINGS,
    parquet: Parquet | None = None,
    seconds: Seconds = NO_SECONDS,
    provider: Provider | None = None,
    others: Others = NO_OTHERS,
) -> FastAPI:
    """Build the reviewers' console and the API.

    While the store has no user and there is no `provider` of identities, nobody logs in: serve it
    on a loopback address then.
    `policy` is the one in force now. `allowed_hosts` are the names it answers for. `try_line` is a
    command that sends a first trace. `metrics` gives Prometheus text. `policy_file` is where
    leads may change thresholds. `settings` is shown to admins. `parquet` writes
    Parquet. `seconds` says which verdicts a second person is asked about. `others` score a stored
    trace once more.
    """
    console = Console(
        store=store,
        judge=judge,
        policy=policy,
        health=health,
        try_line=try_line,
        policy_file=policy_file,
        settings=settings,
        parquet=parquet,
        trends=Trends(store.tallies),
        metrics=metrics,
        seconds=seconds,
        provider=provider,
        others=others,
    )
    # The interactive documentation would load scripts from another origin.
    app = FastAPI(title="Subtext", docs_url=None, redoc_url=None, debug=False)
    app.include_router(api.routes(console))
    app.include_router(pages.routes(console))
    app.include_router(runs.routes(console))
    app.include_router(desk.routes(console))
    app.include_router(again.routes(console))
    app.include_router(login.routes(console))
    app.include_router(overview.routes(console))
    app.include_router(thresholds.routes(console))
    app.include_router(records.routes(console))
    app.include_router(reviewers.routes(console))
    app.include_router(office.routes(console))
    app.include_router(export.routes(console))
    app.include_router(views.routes(console))
    if provider is not None:
        store.accounts.shut()
        app.include_router(sign_on.routes(console, RelyingParty(provider)))
    app.mount("/static", StaticFiles(directory=str(files("dashboard") / "static")))
    _explain_errors(app, console)
    _explain_refusals(app)
    app.add_middleware(Entry, accounts=store.accounts)
    app.add_middleware(Guard, allowed_hosts=allowed_hosts)
    return app


def _explain_errors(app: FastAPI, console: Console) -> None:
    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        if _is_api(request):
            return problem(error.status_code, "http", "No such address or method.")
        if error.status_code == 404:
            return pages.not_found(console)
        return pages.error_page(console, error.status_code, "Not possible", "Wrong method.")

    @app.exception_handler(StoreError)
    async def unreadable(request: Request, error: StoreError) -> Response:
        message = "The audit store cannot be read, or what it holds was altered."
        if _is_api(request):
            return problem(503, type(error).__name__, message)
        return pages.error_page(console, 503, "Store not readable", f"{message} {_ADVICE}")

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        details = [{"where": str(e["loc"][-1]), "problem": e["msg"]} for e in error.errors()]
        if _is_api(request):
            return problem(422, "invalid_query", "The address does not fit.", details)
        names = ", ".join(d["where"] for d in details)
        return pages.error_page(console, 422, "Filter not understood", f"Check: {names}.")


def _explain_refusals(app: FastAPI) -> None:
    @app.exception_handler(Conflict)
    async def too_late(request: Request, error: Conflict) -> Response:
        return await refused(request, RefusedError(409, "Not possible now", f"Because {error}."))

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        if _is_api(request):
            return problem(error.status, "refused", error.message)
        return error.page()


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/v1/")
