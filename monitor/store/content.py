"""How a verdict and its trace become stored values, and back. Pure."""

import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from monitor.audit import canonical
from monitor.dialects import disclosure_from_json, disclosure_to_json
from monitor.store.errors import CorruptContent
from monitor.store.texts import words_of
from monitor.types import Channel, Check, Decision, Part, Review, Standing, Trace, Verdict
from monitor.wire import verdict_json

#: Parts of a verdict's JSON that are stored, and erased, with the text that they point into.
NO_POINTERS: Mapping[str, list[Any]] = {"evidence": [], "steps": []}
#: Longest text in a searchable column; PostgreSQL cannot index much more.
MAX_LABEL = 256
EXCERPT = 120
_EXCERPT_FROM = (Channel.ANSWER.value, Channel.THINKING.value, Channel.TOOL_CALL.value)

_unstorable = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Content(NamedTuple):
    """What one verdict stores."""

    #: For the chain: hashes in place of text.
    body: dict[str, Any]
    excerpt: str
    data: bytes
    #: For the search index.
    words: str


def pack(verdict: Verdict, trace: Trace, run: str | None = None) -> Content:
    """Return what is stored of a verdict about `trace`, made by a `run` of re-scoring or live."""
    document = verdict_json(verdict)
    pointers = {name: document.pop(name) for name in NO_POINTERS}
    plain = canonical({"trace": _text_of(trace), **pointers})
    body = {
        "verdict": document,
        "model": trace.model,
        "requested_model": trace.requested_model,
        "route": trace.route,
        "tenant": trace.tenant,
        "conversation_id": trace.conversation_id,
        "choice": trace.choice,
        "disclosure": disclosure_to_json(trace.disclosure),
        "content_sha256": hashlib.sha256(plain).hexdigest(),
        "content_bytes": len(plain),
    }
    if run is not None:
        body["run"] = run
    first = excerpt((part.channel.value, part.text) for part in trace.parts)
    return Content(body=body, excerpt=first, data=zlib.compress(plain), words=words_of(trace))


def unpack(body: Mapping[str, Any], data: bytes) -> tuple[Trace, dict[str, Any]]:
    """Return the trace and the pointers of a verdict; CorruptContent when they were altered."""
    content = json.loads(_checked(body, data))
    text = content.pop("trace")
    trace = Trace(
        trace_id=body["verdict"]["trace_id"],
        parts=tuple(Part(channel=Channel(c), text=t) for c, t in text["parts"]),
        prompt=text["prompt"],
        problem=text["problem"],
        model=body["model"],
        requested_model=body.get("requested_model", ""),
        route=body.get("route", ""),
        tenant=body["tenant"],
        conversation_id=body["conversation_id"],
        choice=body["choice"],
        disclosure=disclosure_from_json(body.get("disclosure")),
    )
    return trace, content


def excerpt_in(body: Mapping[str, Any], data: bytes) -> str:
    """Return the excerpt of what is stored; CorruptContent when that was altered."""
    return excerpt(json.loads(_checked(body, data))["trace"]["parts"])


def columns(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the searchable columns of a verdict's record."""
    document = body["verdict"]
    checks = document["checks"]
    texts = {name: document[name] for name in ("verdict_id", "trace_id", "created_at", "mode")}
    texts |= {name: body[name] for name in ("model", "tenant", "conversation_id")}
    unscored, run = document["unscored"], body.get("run")
    return {
        **{name: label(value) for name, value in texts.items()},
        **{check.value: checks[check.value]["probability"] for check in Check},
        "decision": Decision[document["decision"].upper()].value,
        "unscored": None if unscored is None else label(unscored),
        "failed_open": document["failed_open"],
        "disguised": document["disguised_characters"],
        # Records of older versions say nothing about it.
        "coverage_gaps": label(" ".join(document.get("coverage_gaps", ()))),
        "run": None if run is None else label(run),
    }


def crossed(body: Mapping[str, Any]) -> frozenset[Check]:
    """Return the checks that reached the flag threshold of their time.

    Records of older versions do not tell their thresholds: of them, nothing is known.
    """
    checks = body.get("verdict", {}).get("checks", {})
    told = {check: checks.get(check.value, {}) for check in Check}
    limits = {
        check: (about.get("probability"), about.get("flags_from")) for check, about in told.items()
    }
    return frozenset(c for c, (p, flag) in limits.items() if None not in (p, flag) and p >= flag)


def review_body(review: Review, verdict_seq: int, standing: Standing) -> dict[str, Any]:
    """Return what the chain holds of a review: the hash of its note, which may quote a trace."""
    return {
        "review_id": review.review_id,
        "verdict_id": review.verdict_id,
        "verdict_seq": verdict_seq,
        "reviewer": review.reviewer,
        "outcome": review.outcome.value,
        "standing": standing.value,
        "labels": {check.value: review.labels[check] for check in Check if check in review.labels},
        "note_sha256": note_hash(review.note),
    }


def note_hash(note: str) -> str:
    """Return the hash by which the chain knows a note."""
    return hashlib.sha256(canonical(note)).hexdigest()


def review_columns(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the searchable columns of a review's record."""
    labels = body["labels"]
    return {
        "review_id": label(body["review_id"]),
        "verdict_seq": body["verdict_seq"],
        "reviewer": label(body["reviewer"]),
        "outcome": body["outcome"],
        # Records of older versions know no second opinions.
        "standing": body.get("standing", body["outcome"]),
        **{check.value: labels.get(check.value) for check in Check},
    }


def label(text: str) -> str:
    """Return `text` as a column can hold it.

    Control characters and lone surrogates become U+FFFD. Text that had some, or is long, ends in a
    digest, so that no two texts share a label.
    """
    if len(text) <= MAX_LABEL and text.isascii() and text.isprintable():
        return text
    kept = _unstorable.sub("\ufffd", text[: MAX_LABEL + 1])
    if kept == text and len(text) <= MAX_LABEL:
        return text
    return f"{kept[:200]}…{hashlib.sha256(canonical(text)).hexdigest()[:32]}"


def excerpt(parts: Iterable[tuple[str, str]]) -> str:
    """Return the first words of the answer, else of the thinking, else of a tool call.

    `parts` are channels and their texts.
    """
    texts = dict.fromkeys(_EXCERPT_FROM, "")
    for channel, text in parts:
        texts[channel] += text[: 4 * EXCERPT - len(texts[channel])]
    first = next((t for t in texts.values() if t), "")
    words = " ".join(first.split())
    return _unstorable.sub("\ufffd", words)[:EXCERPT]


def _text_of(trace: Trace) -> dict[str, Any]:
    parts = [[part.channel.value, part.text] for part in trace.parts]
    return {"parts": parts, "prompt": trace.prompt, "problem": trace.problem}


def _checked(body: Mapping[str, Any], data: bytes) -> bytes:
    size = body["content_bytes"]
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(data, size + 1)
    except (TypeError, zlib.error) as error:
        raise CorruptContent("stored content cannot be decompressed") from error
    if not unpacker.eof or unpacker.unused_data:
        raise CorruptContent("stored content has another size than what was written")
    if hashlib.sha256(plain).hexdigest() != body["content_sha256"]:
        raise CorruptContent("stored content differs from the hash in its record")
    return plain
