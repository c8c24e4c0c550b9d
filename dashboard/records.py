"""Two lists to read from the chain: the policies that held, and everything."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import HTMLResponse, Response

from dashboard.identity import identity
from dashboard.port import Console
from dashboard.render import page
from monitor.audit import GENESIS, AuditRecord, Kind
from monitor.store import StoredCheckpoint

#: Records on a page.
SHOWN = 50
POLICIES = 20
#: Characters of a record's body on the list; the rest is in an export.
MAX_BODY = 4000

_Unset = BeforeValidator(lambda value: None if value == "" else value)


class Part(BaseModel):
    """Which part of the chain to list."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Annotated[Kind | None, _Unset] = None
    before: Annotated[int | None, _Unset] = Field(default=None, ge=0, le=2**63 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """A policy that held from some time on."""

    record: AuditRecord
    version: str
    text: str
    #: What the policy before said otherwise: lines, each with `+`, `-` or a space before it.
    changes: Sequence[str]
    #: The change in the console that led to it: who and why; None for an edit of the file.
    change: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A record in a list."""

    record: AuditRecord
    #: What it tells, shortly.
    words: str
    #: The verdict that it is about.
    verdict_id: str | None
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainView:
    """Where the chain stands."""

    size: int
    head: str
    checkpoint: StoredCheckpoint | None

    @property
    def unsigned(self) -> int:
        """Records that no checkpoint covers yet."""
        return self.size - (0 if self.checkpoint is None else self.checkpoint.size)


def routes(console: Console) -> APIRouter:
    """The routes of the two lists."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/policies")
    def policies(request: Request, part: Annotated[Part, Query()]) -> Response:
        before = part.before
        found = console.store.log.newest(POLICIES + 1, kind=Kind.POLICY, before=before)
        changes = console.store.log.newest(500, kind=Kind.CHANGE, before=before)
        shown = {
            "versions": versions(found, changes)[:POLICIES],
            "pending": _pending(console, found, changes) if before is None else None,
            "next": found[POLICIES - 1].seq if len(found) > POLICIES else None,
            "before": before,
        }
        return page("policies.html", {**shown, "console": console, "identity": identity(request)})

    @router.get("/audit")
    def audit(request: Request, part: Annotated[Part, Query()]) -> Response:
        log = console.store.log
        found = log.newest(SHOWN + 1, kind=part.kind, before=part.before)
        shown = {
            "chain": _chain(console),
            "lines": _lines(console, found[:SHOWN]),
            "next": found[SHOWN - 1].seq if len(found) > SHOWN else None,
            "part": part,
            "KINDS": list(Kind),
        }
        return page("audit.html", {**shown, "console": console, "identity": identity(request)})

    return router


def versions(found: Sequence[AuditRecord], changes: Sequence[AuditRecord]) -> list[PolicyVersion]:
    """Policies, newest first, each beside the one before it and the change that led to it."""
    older = [*found, None][1:]
    return [_version(now, then, changes) for now, then in zip(found, older, strict=True)]


def _version(
    now: AuditRecord, then: AuditRecord | None, changes: Sequence[AuditRecord]
) -> PolicyVersion:
    version, text = _told(now)
    since = -1 if then is None else then.seq
    led = (c for c in changes if since < c.seq < now.seq and c.body.get("after") == version)
    led_here = next(led, None)
    return PolicyVersion(
        record=now,
        version=version,
        text=text,
        changes=[] if then is None else _difference(_told(then)[1], text),
        change=None if led_here is None else led_here.body,
    )


def _told(record: AuditRecord) -> tuple[str, str]:
    return str(record.body.get("version", "")), str(record.body.get("policy", ""))


def _difference(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    return [line for line in list(lines)[2:] if not line.startswith("@@")]


def _pending(
    console: Console, found: Sequence[AuditRecord], changes: Sequence[AuditRecord]
) -> AuditRecord | None:
    """The newest change, as long as what it wrote does not hold."""
    newest = found[0].seq if found else -1
    change = next(iter(changes), None)
    if change is None or change.seq < newest:
        return None
    return None if change.body.get("after") == console.policy().version else change


def _chain(console: Console) -> ChainView:
    newest = next(iter(console.store.log.newest(1)), None)
    return ChainView(
        size=0 if newest is None else newest.seq + 1,
        head=GENESIS if newest is None else newest.hash,
        checkpoint=console.store.newest_checkpoint(),
    )


def _lines(console: Console, found: Sequence[AuditRecord]) -> list[Line]:
    """What the records tell, but for answers that the second person must not know."""
    reviews = [record.seq for record in found if record.kind == Kind.REVIEW]
    kept = console.store.reviews.undisclosed(reviews)
    return [_kept(record) if record.seq in kept else _line(record) for record in found]


def _kept(record: AuditRecord) -> Line:
    verdict_id = record.body.get("verdict_id")
    words = "shown once a second person has answered"
    return Line(record=record, words=words, verdict_id=verdict_id, body="{}")


def _line(record: AuditRecord) -> Line:
    body = json.dumps(record.body, indent=1, ensure_ascii=False)
    if len(body) > MAX_BODY:
        body = f"{body[:MAX_BODY]}\n…"
    words, verdict_id = _summary(record)
    return Line(record=record, words=words, verdict_id=verdict_id, body=body)


def _summary(record: AuditRecord) -> tuple[str, str | None]:
    """What a record tells, whatever it holds."""
    body = record.body
    told = body.get("verdict", {}) if record.kind == Kind.VERDICT else body
    names = {
        Kind.VERDICT: ("decision", "mode"),
        Kind.POLICY: ("version",),
        Kind.CHANGE: ("by", "check", "flag", "block", "why"),
        Kind.REVIEW: ("reviewer", "outcome"),
        Kind.ACCOUNT: ("act", "user", "name", "by"),
        Kind.RETENTION: ("act", "by", "reason"),
    }
    kind = record.kind if record.kind in names else None
    chosen = names[Kind(kind)] if kind is not None and isinstance(told, dict) else ()
    words = " · ".join(str(told[name]) for name in chosen if name in told)
    verdict_id = told.get("verdict_id") if isinstance(told, dict) else None
    return words, verdict_id if isinstance(verdict_id, str) else None
