"""What the list shows, as a file: read page by page, sent as it is read."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any
from unicodedata import normalize

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from dashboard.filters import Filters
from dashboard.identity import identity
from dashboard.inert import visible
from dashboard.port import Console, Records, Rows
from dashboard.refusal import RefusedError
from monitor.clock import utc_now
from monitor.store.rows import VerdictRow

#: Verdicts read, and sent, at a time.
BATCH = 500
#: Columns in this order; `excerpt` is the only one with text of a trace.
COLUMNS: Mapping[str, type] = {
    "seq": int,
    "verdict_id": str,
    "trace_id": str,
    "created_at": str,
    "decision": str,
    "mode": str,
    "model": str,
    "tenant": str,
    "conversation_id": str,
    "deception": float,
    "dangerous_reasoning": float,
    "mismatch": float,
    "unscored": str,
    "failed_open": bool,
    "disguised": int,
    "coverage_gaps": str,
    "review": str,
    "excerpt": str,
}
#: What a spreadsheet could take for a formula, once full width and the like are plain.
_FORMULA = re.compile(r"\s*[=+\-@|%]")


def routes(console: Console) -> APIRouter:
    """The routes of the files."""
    router = APIRouter(include_in_schema=False)

    @router.get("/export.csv")
    def as_csv(request: Request, filters: Annotated[Filters, Query()]) -> Response:
        _tell(console, request, filters, "csv")
        return _file(csv_lines(batches(console.store, filters)), "csv", "text/csv; charset=utf-8")

    @router.get("/export.jsonl")
    def as_jsonl(request: Request, filters: Annotated[Filters, Query()]) -> Response:
        _tell(console, request, filters, "jsonl")
        lines = json_lines(batches(console.store, filters))
        return _file(lines, "jsonl", "application/jsonl")

    @router.get("/export.parquet")
    def as_parquet(request: Request, filters: Annotated[Filters, Query()]) -> Response:
        if console.parquet is None:
            message = "Parquet needs pyarrow on the server: pip install 'subtext[rescore]'."
            raise RefusedError(501, "Not installed", message)
        _tell(console, request, filters, "parquet")
        found = console.parquet(batches(console.store, filters), COLUMNS)
        return _file(found, "parquet", "application/vnd.apache.parquet")

    return router


def _tell(console: Console, request: Request, filters: Filters, kind: str) -> None:
    """Record who takes the list away; of the filters their names, for values may quote a trace."""
    chosen = " ".join(name for name, value in filters if value is not None)
    by = identity(request).name
    console.store.accounts.tell_export(f"list as {kind}", by=by, chosen=chosen, at=utc_now())


def batches(store: Records, filters: Filters) -> Iterator[Rows]:
    """Read all that fits, newest first; what is recorded meanwhile is not in it."""
    before: int | None = store.newest_seq() + 1
    while before is not None:
        page = store.verdicts(filters.query(before=before, limit=BATCH))
        yield [_values(row) for row in page.rows]
        before = page.next_before


def _values(row: VerdictRow) -> Mapping[str, Any]:
    values = {name: getattr(row, name) for name in COLUMNS}
    values["decision"] = row.decision.name.lower()
    values["review"] = None if row.review is None else row.review.value
    return values


def csv_lines(found: Iterable[Rows]) -> Iterator[bytes]:
    """As CSV whose cells no spreadsheet runs; every text is quoted."""
    # Spreadsheets take a file without this mark for one in their own encoding.
    yield b"\xef\xbb\xbf" + _csv([list(COLUMNS)])
    for rows in found:
        yield _csv([[_cell(row[name]) for name in COLUMNS] for row in rows])


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    """Numbers stay numbers; hidden characters are named; what looks like a formula is quoted."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if not isinstance(value, str):
        return value
    text = " ".join(visible(value).split())
    return f"'{text}" if _FORMULA.match(normalize("NFKC", text[:8])) else text


def json_lines(found: Iterable[Rows]) -> Iterator[bytes]:
    """As JSON in ASCII, a line for each: every character is as it was."""
    for rows in found:
        yield b"".join(json.dumps(row, allow_nan=False).encode() + b"\n" for row in rows)


def _file(content: Iterable[bytes], kind: str, media_type: str) -> Response:
    name = f'attachment; filename="subtext-verdicts.{kind}"'
    headers = {"content-disposition": name}
    return StreamingResponse(content, media_type=media_type, headers=headers)
