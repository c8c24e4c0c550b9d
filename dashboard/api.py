"""The HTTP API: score traces, read verdicts, ask whether the monitor is well."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dashboard.answers import FAULTS, Json, fault, problem
from dashboard.filters import PAGE, Filters
from dashboard.intake import Intake, Turned
from dashboard.port import Console
from dashboard.score import REQUEST_BODY, Asked, Item, Unfit
from monitor.dialects import trace_to_json
from monitor.health import liveness, readiness
from monitor.store.rows import StoredVerdict, VerdictRow
from monitor.wire import verdict_json

#: The text format of Prometheus.
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_log = structlog.get_logger(__name__)


class Listing(Filters):
    """Filters and the size of a page."""

    limit: Annotated[int, Query(ge=1, le=500)] = PAGE


def routes(console: Console) -> APIRouter:
    """The API's routes."""
    router, intake = APIRouter(default_response_class=Json, responses=FAULTS), Intake()

    @router.post("/v1/score", openapi_extra={"requestBody": REQUEST_BODY})
    async def score(request: Request) -> Json:
        """Judge and record one trace, or `{"traces": [...]}`."""
        return await _scored(console, intake, request)

    @router.get("/v1/verdicts")
    def verdicts(filters: Annotated[Listing, Query()]) -> Json:
        """Verdicts, newest first."""
        page = console.store.verdicts(filters.query(limit=filters.limit))
        rows = [_row_json(row) for row in page.rows]
        return Json({"verdicts": rows, "next_before": page.next_before})

    @router.get("/v1/verdicts/{verdict_id}")
    def verdict(verdict_id: str) -> Json:
        """One verdict with the text that it is about."""
        stored = console.store.verdict(verdict_id)
        if stored is None:
            return problem(404, "not_found", "No verdict has this id.")
        return Json(_stored_json(stored))

    @router.get("/healthz")
    async def healthz() -> Json:
        """The process answers; what else it needs is told as it was last seen."""
        status, answer = liveness(await console.health.look(wait=False))
        return Json(answer, status_code=status)

    @router.get("/readyz")
    async def readyz() -> Json:
        """All that a verdict needs works; 503 says what does not."""
        status, answer = readiness(await console.health.look())
        return Json(answer, status_code=status)

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Counters for Prometheus; docs/metrics.md explains them."""
        return Response(console.metrics(), media_type=METRICS_TYPE)

    return router


async def _scored(console: Console, intake: Intake, request: Request) -> Json:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return problem(415, "content_type", "Send the trace as application/json.")
    try:
        async with intake.body(request) as body:
            return await _score(console, await intake.understood(body))
    except Turned as turned:
        return problem(turned.status, turned.code, turned.message, headers=turned.headers)
    except Unfit as unfit:
        return problem(422, unfit.code, unfit.message, unfit.details)


async def _score(console: Console, asked: Asked) -> Json:
    scored = await asyncio.gather(*(_score_one(console, item) for item in asked.items))
    if asked.alone:
        ((status, answer),) = scored
        return Json(answer, status_code=status)
    return Json({"verdicts": [entry for _, entry in scored]})


async def _score_one(console: Console, item: Item) -> tuple[int, dict[str, Any]]:
    if isinstance(item, Unfit):
        return 422, fault(item.code, item.message, item.details)
    try:
        return 200, verdict_json(await console.judge(item))
    except Exception as error:  # noqa: BLE001 - one failure must not spoil the other traces
        _log.error("score_failed", error=type(error).__name__)
        return 503, fault("not_judged", "No verdict could be recorded; do not release this.")


def _row_json(row: VerdictRow) -> dict[str, Any]:
    """The row under the public names of `monitor.wire`."""
    values = asdict(row)
    mismatch = values.pop("mismatch")
    scores = {f"{name}_score": values.pop(name) for name in ("deception", "dangerous_reasoning")}
    return {
        **values,
        **scores,
        "decision": row.decision.name.lower(),
        "coverage_gaps": row.coverage_gaps.split(),
        "consistency_score": None if mismatch is None else round(1 - mismatch, 4),
    }


def _stored_json(stored: StoredVerdict) -> dict[str, Any]:
    return {
        "seq": stored.row.seq,
        "verdict": dict(stored.document),
        "trace": None if stored.trace is None else trace_to_json(stored.trace),
    }
