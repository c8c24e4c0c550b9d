"""What is sent over the topics, version 1. `schemas/` holds the same as JSON Schema.

Values are JSON in UTF-8, keys are trace ids. Headers: `subtext-schema` (the version; 1 when it is
missing), `subtext-tenant`, and `traceparent` of W3C Trace Context, which verdicts repeat.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from monitor.dialects.voice import clean
from monitor.errors import MonitorError
from monitor.judging import NOTHING_DISCLOSED
from monitor.types import (
    Channel,
    Decision,
    Disclosure,
    EarlyStop,
    Part,
    Trace,
    Usage,
    Verdict,
    coalesce,
)
from monitor.wire import verdict_from_json, verdict_json
from stream.kafka.port import Headers, Message

VERSION: Final = "1"
SCHEMA_HEADER: Final = "subtext-schema"
TENANT_HEADER: Final = "subtext-tenant"
CONTEXT_HEADER: Final = "traceparent"
#: A larger message is no message of ours.
MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
#: Of a dead letter's value, so much is kept.
KEPT_BYTES: Final = 64 * 1024

_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
_Label = Annotated[str, Field(max_length=1024)]
_Count = Annotated[int, Field(ge=0)]


class PartMessage(BaseModel):
    """Contiguous text of one channel."""

    model_config = _STRICT

    channel: Literal["thinking", "answer", "tool_call"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a response ended; see `monitor.judging.Judging.finish`."""

    problem: str | None = None
    cut: bool = False
    opened: bool = False
    disclosure: Disclosure = NOTHING_DISCLOSED
    early_stop: EarlyStop | None = None


class EndMessage(BaseModel):
    """What is known of a response when it has ended; all choices together."""

    model_config = _STRICT

    output_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    shows_thinking: bool = False
    sealed: bool = False
    redacted: bool = False
    misshapen: bool = False
    complete: bool = True
    cut: Annotated[
        bool, Field(description="It was refused: what is not judged yet need not be.")
    ] = False
    opened: Annotated[bool, Field(description="Text of it went out unjudged.")] = False
    tokens_generated_at_least: Annotated[
        _Count | None, Field(description="Its generation was stopped after so many tokens.")
    ] = None
    tokens_saved_at_most: _Count | None = None

    @classmethod
    def of(cls, ending: Ending) -> "EndMessage":
        """What is sent of an ending."""
        told, stop = ending.disclosure, ending.early_stop
        return cls(
            output_tokens=told.usage.output_tokens,
            reasoning_tokens=told.usage.reasoning_tokens,
            shows_thinking=told.shows_thinking,
            sealed=told.sealed,
            redacted=told.redacted,
            misshapen=told.misshapen,
            complete=told.complete,
            cut=ending.cut,
            opened=ending.opened,
            tokens_generated_at_least=stop.tokens_generated_at_least if stop else None,
            tokens_saved_at_most=stop.tokens_saved_at_most if stop else None,
        )

    def disclosure(self) -> Disclosure:
        """What it tells about the making of the response."""
        usage = Usage(output_tokens=self.output_tokens, reasoning_tokens=self.reasoning_tokens)
        return Disclosure(
            usage=usage,
            shows_thinking=self.shows_thinking,
            sealed=self.sealed,
            redacted=self.redacted,
            misshapen=self.misshapen,
            complete=self.complete,
        )

    def early_stop(self) -> EarlyStop | None:
        """Where the generation was stopped, if it was."""
        if self.tokens_generated_at_least is None:
            return None
        return EarlyStop(
            tokens_generated_at_least=self.tokens_generated_at_least,
            tokens_saved_at_most=self.tokens_saved_at_most,
        )


class TraceMessage(BaseModel):
    """A piece of a model's response; a whole response is one piece, number 0 and last.

    A trace is one choice of one response: its id, which must be new for every response, and the
    index of the choice. Text of piece n + 1 follows text of piece n. The fields from `prompt` to
    `verdict_id` belong to the whole trace and are read from piece 0, `problem` and `end` from the
    last one.
    """

    model_config = _STRICT

    trace_id: Annotated[str, Field(min_length=1, max_length=1024)]
    choice: Annotated[int, Field(ge=0, le=10_000)] = 0
    number: Annotated[int, Field(ge=0, description="Counts the pieces of a trace from 0.")]
    last: Annotated[bool, Field(description="No piece follows: the verdict is due.")]
    parts: Annotated[list[PartMessage], Field(description="In the order they were written.")]
    prompt: str = ""
    model: _Label = ""
    requested_model: _Label = ""
    route: _Label = ""
    tenant: _Label = ""
    conversation_id: _Label = ""
    request_id: Annotated[
        _Label, Field(description="What the record calls the trace, if that is not its id.")
    ] = ""
    created_at: Annotated[
        str, Field(max_length=40, description="When the response began: ISO 8601 with offset.")
    ] = ""
    verdict_id: Annotated[
        str,
        Field(
            max_length=64,
            pattern=r"^[\w.-]*$",
            description="Somebody waits: the verdict gets this id, which must be new, and progress "
            "is told until then.",
        ),
    ] = ""
    problem: Annotated[
        _Label | None, Field(description="Why part of the response could not be read, if so.")
    ] = None
    end: EndMessage | None = None

    def origin(self) -> Trace:
        """Whose trace it is and what was asked, without text."""
        return Trace(
            trace_id=self.request_id or self.trace_id,
            parts=(),
            prompt=self.prompt,
            model=self.model,
            requested_model=self.requested_model,
            route=self.route,
            tenant=self.tenant,
            conversation_id=self.conversation_id,
            choice=self.choice,
        )

    def text(self) -> tuple[Part, ...]:
        """The text of this piece."""
        return coalesce([Part(channel=Channel(p.channel), text=p.text) for p in self.parts])

    def ending(self) -> Ending:
        """How the trace ended, if this is its last piece."""
        end = self.end or EndMessage()
        return Ending(
            problem=self.problem,
            cut=end.cut,
            opened=end.opened,
            disclosure=end.disclosure(),
            early_stop=end.early_stop(),
        )


class VerdictMessage(BaseModel):
    """What was concluded about a trace; sent after it was recorded, perhaps more than once."""

    model_config = _STRICT

    trace_id: str
    choice: int
    model: str
    tenant: str
    conversation_id: str
    verdict: Annotated[
        dict[str, JsonValue],
        Field(
            description="As `POST /v1/score` gives it. Repeated for an earlier decision, it has no "
            "`evidence` and no `steps`; `verdict_id` is always the same for the same decision."
        ),
    ]

    def read(self) -> Verdict:
        """The verdict, as far as its JSON tells; raises Unreadable."""
        try:
            return verdict_from_json(self.verdict)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            name = type(error).__name__
            raise Unreadable(Reason.WRONG_SCHEMA, f"verdict: {name}") from None


class ProgressMessage(BaseModel):
    """How far a trace is judged whose sender waits for the verdict."""

    model_config = _STRICT

    trace_id: str
    choice: int
    judged: Annotated[_Count, Field(description="Code points, in the order they were sent.")]
    decision: Annotated[
        str,
        Field(
            pattern="^(allow|flag|block)$",
            description="The highest decision that this text calls for.",
        ),
    ]
    failure: Annotated[str | None, Field(description="Why judging failed, if it did.")] = None
    steps: Annotated[
        list[dict[str, JsonValue]],
        Field(
            description="The steps that were judged since the message before, as in the verdict, "
            "which may be the first to tell the last of them; a worker that takes a trace over "
            "begins with its first step again."
        ),
    ] = []

    @property
    def reached(self) -> Decision:
        """The decision."""
        return Decision[self.decision.upper()]


class Reason(StrEnum):
    """Why a message is a dead letter."""

    TOO_LARGE = "too_large"
    UNKNOWN_VERSION = "unknown_version"
    NOT_JSON = "not_json"
    WRONG_SCHEMA = "wrong_schema"
    NOT_RECORDED = "not_recorded"


class DeadLetter(BaseModel):
    """A message that could not be read, and why."""

    model_config = _STRICT

    reason: Reason
    detail: str
    topic: str
    partition: int
    offset: int
    size: Annotated[int, Field(description="Bytes of the value.")]
    sha256: Annotated[str, Field(description="Of the whole value, hexadecimal.")]
    value: Annotated[str, Field(description=f"The value's first {KEPT_BYTES} bytes, in base64.")]


SCHEMAS: Final[dict[str, type[BaseModel]]] = {
    "trace-1": TraceMessage,
    "progress-1": ProgressMessage,
    "verdict-1": VerdictMessage,
    "deadletter-1": DeadLetter,
}


class Unreadable(MonitorError):  # noqa: N818 -- reads as a sentence where it is raised
    """A message is none of ours; the message says why, without its text."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def read_trace(message: Message) -> TraceMessage:
    """Read a message of the traces' topic; raises Unreadable."""
    if len(message.value) > MAX_MESSAGE_BYTES:
        raise Unreadable(
            Reason.TOO_LARGE, f"{len(message.value)} bytes, more than {MAX_MESSAGE_BYTES}"
        )
    version = header(message.headers, SCHEMA_HEADER) or VERSION
    if version != VERSION:
        raise Unreadable(Reason.UNKNOWN_VERSION, f"this worker reads version {VERSION}")
    try:
        return TraceMessage.model_validate_json(message.value)
    except ValidationError as error:
        raise _complaint(error) from None


def read_verdict(message: Message) -> VerdictMessage:
    """Read a message of the verdicts' topic; raises Unreadable."""
    try:
        return VerdictMessage.model_validate_json(message.value)
    except ValidationError as error:
        raise _complaint(error) from None


def read_progress(message: Message) -> ProgressMessage:
    """Read a message of the progress topic; raises Unreadable."""
    try:
        return ProgressMessage.model_validate_json(message.value)
    except ValidationError as error:
        raise _complaint(error) from None


def whole(trace: Trace, created_at: str = "") -> TraceMessage:
    """A complete trace as one message."""
    return TraceMessage(
        trace_id=trace.trace_id,
        choice=trace.choice,
        number=0,
        last=True,
        parts=[PartMessage(channel=p.channel.value, text=clean(p.text)) for p in trace.parts],
        prompt=clean(trace.prompt),
        model=clean(trace.model),
        requested_model=clean(trace.requested_model),
        route=clean(trace.route),
        tenant=clean(trace.tenant),
        conversation_id=clean(trace.conversation_id),
        created_at=created_at,
        problem=trace.problem,
        end=_end(trace.disclosure),
    )


def _end(disclosure: Disclosure) -> EndMessage | None:
    if disclosure == NOTHING_DISCLOSED:
        return None
    return EndMessage.of(Ending(disclosure=disclosure))


def verdict_message(
    piece: TraceMessage, verdict: Verdict, recorded: Mapping[str, Any]
) -> VerdictMessage:
    """What to tell about a trace: the verdict as it is `recorded`, which may be an earlier one."""
    document = verdict_json(verdict)
    if recorded["created_at"] != document["created_at"]:
        document = {**recorded, "evidence": [], "steps": []}
    return VerdictMessage(
        trace_id=piece.trace_id,
        choice=piece.choice,
        model=piece.model,
        tenant=piece.tenant,
        conversation_id=piece.conversation_id,
        verdict=document,
    )


def dead_letter(message: Message, reason: Reason, detail: str) -> DeadLetter:
    """What is kept of a message that could not be read."""
    return DeadLetter(
        reason=reason,
        detail=detail,
        topic=message.partition.topic,
        partition=message.partition.number,
        offset=message.offset,
        size=len(message.value),
        sha256=hashlib.sha256(message.value).hexdigest(),
        value=base64.b64encode(message.value[:KEPT_BYTES]).decode("ascii"),
    )


def encode(message: BaseModel) -> bytes:
    """The message as it is sent."""
    return message.model_dump_json().encode()


def headers(*, tenant: str, context: str = "") -> Headers:
    """The headers of a message of ours."""
    found = [(SCHEMA_HEADER, VERSION.encode()), (TENANT_HEADER, tenant.encode())]
    return (*found, *([(CONTEXT_HEADER, context.encode())] if context else []))


def answering(given: Headers) -> Headers:
    """The headers of an answer to a message that has the headers `given`."""
    return headers(tenant=header(given, TENANT_HEADER), context=header(given, CONTEXT_HEADER))


def header(given: Headers, name: str) -> str:
    """The value of a header, "" when there is none; of several, the last counts."""
    found = next((value for key, value in reversed(given) if key == name), b"")
    return found.decode("utf-8", errors="replace")


def schema(name: str) -> str:
    """The JSON Schema of a message, as `schemas/NAME.json` holds it."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **SCHEMAS[name].model_json_schema(),
    }
    return json.dumps(document, indent=2) + "\n"


def seconds_since_1970(created_at: str) -> float | None:
    """When a trace began, if it says so in a way that can be read."""
    try:
        moment = datetime.fromisoformat(created_at)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def _complaint(error: ValidationError) -> Unreadable:
    """What does not fit and where, without a word of the message."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Unreadable(Reason.NOT_JSON, "the value is not JSON in UTF-8")
    known = {name for model in SCHEMAS.values() for name in model.model_fields} | {
        "text",
        "channel",
    }
    where = ".".join(str(p) if isinstance(p, int) or p in known else "?" for p in first["loc"])
    return Unreadable(Reason.WRONG_SCHEMA, f"{where or 'the value'}: {first['msg']}")


def pieces(
    trace: Trace, texts: Sequence[Sequence[Part]], created_at: str = ""
) -> list[TraceMessage]:
    """A trace as several messages, the text of each given; the last of them ends it."""
    start = whole(trace, created_at)
    return [
        (start if number == 0 else _later(start)).model_copy(
            update={
                "number": number,
                "last": number == len(texts) - 1,
                "problem": start.problem if number == len(texts) - 1 else None,
                "end": start.end if number == len(texts) - 1 else None,
                "parts": [PartMessage(channel=p.channel.value, text=clean(p.text)) for p in parts],
            }
        )
        for number, parts in enumerate(texts)
    ]


def _later(start: TraceMessage) -> TraceMessage:
    return TraceMessage(
        trace_id=start.trace_id, choice=start.choice, number=1, last=False, parts=[]
    )
