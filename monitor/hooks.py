"""What is told to other programs when a person should know: events, and how they are signed. Pure.

An event is made from a record of the chain, which is its durable outbox: whoever sends events
remembers up to which record it has sent. No event holds text of a trace, or a note.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from monitor.audit import AuditRecord, Kind
from monitor.types import Outcome

#: How secrets of Standard Webhooks begin.
PREFIX = "whsec_"
#: Fewest and most bytes of a secret, as that specification has it.
SECRET_BYTES = range(24, 65)
_CHECKS = ("deception", "dangerous_reasoning", "mismatch")


class Event(StrEnum):
    """What happened."""

    BLOCKED = "verdict.blocked"
    ESCALATED = "review.escalated"
    #: A response could not be seen in full.
    NOT_SEEN = "coverage.gap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An event, ready to be told."""

    #: The same whenever it is sent again.
    message_id: str
    event: Event
    #: When it happened.
    at: str
    data: Mapping[str, Any]

    def body(self) -> bytes:
        """The JSON of Standard Webhooks."""
        whole = {"type": self.event.value, "timestamp": self.at, "data": self.data}
        return json.dumps(whole, separators=(",", ":")).encode("ascii")

    def slack(self) -> bytes:
        """A message as Slack and those that imitate it take them; no word in it is markup."""
        return json.dumps({"text": " · ".join(self._words())}).encode("ascii")

    def _words(self) -> list[str]:
        title = {
            Event.BLOCKED: "Subtext blocked a response",
            Event.ESCALATED: f"{_plain(self.data.get('reviewer'))} escalated a verdict",
            Event.NOT_SEEN: "Subtext could not see all of a response",
        }[self.event]
        scores = [f"{c} {s:.2f}" for c, s in self.data.get("scores", {}).items() if s is not None]
        gaps = [_plain(gap) for gap in self.data.get("coverage_gaps", ())]
        return [title, *scores, *gaps, f"<{self.data['link']}|open>"]


def event_of(record: AuditRecord, address: str) -> Message | None:
    """What a record has to tell; `address` is the console's, for links.

    A record such as nobody writes tells nothing: finding those is the verifier's work.
    """
    try:
        return _event(record, address)
    except (AttributeError, KeyError, TypeError):
        return None


def _event(record: AuditRecord, address: str) -> Message | None:
    if record.kind == Kind.REVIEW and record.body.get("outcome") == Outcome.ESCALATE.value:
        names = ("verdict_id", "reviewer")
        data = {name: record.body[name] for name in names}
        return _message(record, Event.ESCALATED, data, address)
    if record.kind != Kind.VERDICT or record.body.get("run") is not None:
        return None
    told = record.body["verdict"]
    if told["decision"] == "block":
        return _message(record, Event.BLOCKED, _of_verdict(told), address)
    if told.get("coverage_gaps"):
        return _message(record, Event.NOT_SEEN, _of_verdict(told), address)
    return None


def _of_verdict(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "verdict_id": told["verdict_id"],
        "decision": told["decision"],
        "judged": told["unscored"] is None,
        "scores": {check: told["checks"][check]["probability"] for check in _CHECKS},
        "coverage_gaps": list(told.get("coverage_gaps", ())),
        "policy_version": told["versions"]["policy"],
    }


def _message(record: AuditRecord, event: Event, data: dict[str, Any], address: str) -> Message:
    link = f"{address}/verdicts/{quote(data['verdict_id'], safe='')}"
    return Message(
        message_id=f"msg_{record.hash[:32]}",
        event=event,
        at=record.created_at,
        data={**data, "record": record.seq, "link": link},
    )


def _plain(text: object) -> str:
    """Slack reads these three as markup, and only these need escaping."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def secret_of(text: str) -> bytes:
    """Read a secret, `whsec_` and base64; ValueError when it is none."""
    try:
        secret = base64.b64decode(text.strip().removeprefix(PREFIX), validate=True)
    except ValueError as error:
        raise ValueError("a secret is whsec_ and base64") from error
    if len(secret) not in SECRET_BYTES:
        raise ValueError("a secret has 24 to 64 bytes")
    return secret


def signed(message_id: str, body: bytes, secret: bytes, seconds: int) -> dict[str, str]:
    """The headers of Standard Webhooks; `seconds` since 1970 is when it is sent."""
    content = b"%b.%d.%b" % (message_id.encode(), seconds, body)
    digest = base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{digest}",
    }
