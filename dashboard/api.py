"""The HTTP API: score traces, read verdicts, ask whether the monitor is well."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.responses import Response

from dashboard.answers import Json, fault, problem
from dashboard.filters import PAGE, Filters
from dashboard.port import Console
from dashboard.score import MAX_BODY, MAX_TRACES, REQUEST_BODY, TraceIn, complaints, plain
from monitor.dialects import BadTraceError, trace_from_json, trace_to_json
from monitor.health import liveness, readiness
from monitor.store.rows import StoredVerdict, VerdictRow
from monitor.types import Trace
from monitor.wire import verdict_json

#: The text format of Prometheus.
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_log = structlog.get_logger(__name__)


class Listing(Filters):
    """Filters and the size of a page."""

    limit: Annotated[int, Query(ge=1, le=500)] = PAGE


def routes(console: Console) -> APIRouter:
    """The API's routes."""
    router = APIRouter(default_response_class=Json)

    @router.post("/v1/score", openapi_extra={"requestBody": REQUEST_BODY})
    async def score(request: Request) -> Json:
        """Judge and record one trace, or `{"traces": [...]}`."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != (
            "application/json"
        ):
            return problem(415, "content_type", "Send the trace as application/json.")
        body = await _body(request)
        if body is None:
            return problem(413, "too_large", f"A request holds at most {MAX_BODY} bytes.")
        return await _score(console, body)

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


async def _body(request: Request) -> bytes | None:
    """The body, or None as soon as it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


async def _score(console: Console, body: bytes) -> Json:
    try:
        given = from_json(body)
    except ValueError as error:
        return problem(422, "invalid_json", str(error))
    if not isinstance(given, dict):
        return problem(422, "invalid_trace", "Send a JSON object.")
    if "traces" in given:
        return await _score_all(console, given)
    status, answer = await _score_one(console, given)
    return Json(answer, status_code=status)


async def _score_all(console: Console, given: dict[str, Any]) -> Json:
    traces = given["traces"]
    if len(given) > 1 or not isinstance(traces, list):
        return problem(422, "invalid_traces", "Send the list of traces as `traces`, alone.")
    if not 1 <= len(traces) <= MAX_TRACES:
        return problem(422, "invalid_traces", f"Send 1 to {MAX_TRACES} traces at a time.")
    scored = await asyncio.gather(*(_score_one(console, item) for item in traces))
    return Json({"verdicts": [entry for _, entry in scored]})


async def _score_one(console: Console, item: object) -> tuple[int, dict[str, Any]]:
    try:
        trace = _trace(item)
    except ValidationError as error:
        return 422, fault("invalid_trace", "The trace does not fit.", complaints(error))
    except BadTraceError as error:
        return 422, fault("invalid_trace", str(error))
    try:
        return 200, verdict_json(await console.judge(trace))
    except Exception as error:  # noqa: BLE001 - one failure must not spoil the other traces
        _log.error("score_failed", error=type(error).__name__)
        return 503, fault("not_judged", "No verdict could be recorded; do not release this.")


def _trace(item: object) -> Trace:
    return trace_from_json(plain(TraceIn.model_validate(item)))


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
