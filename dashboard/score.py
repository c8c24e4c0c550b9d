"""The shape of a trace at the door, and what is said about one that does not fit."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator
from pydantic_core import from_json

from monitor.dialects import BadTraceError, trace_from_json
from monitor.types import Trace

MAX_TRACES = 256
MAX_BODY = 16 * 2**20
#: Strings, lists, objects and commas of a body: reading one with many more would stop the process
#: for seconds.
MAX_TOKENS = 100_000
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{,]', re.DOTALL)
_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


_Count = Annotated[int | None, Field(ge=0, le=10**9)]


class PartIn(BaseModel):
    """A piece of a response."""

    model_config = _STRICT

    channel: Literal["thinking", "answer", "tool_call"]
    text: str


class DisclosureIn(BaseModel):
    """What a response told besides its text; all of it optional."""

    model_config = _STRICT

    output_tokens: _Count = None
    reasoning_tokens: _Count = None
    shows_thinking: bool = False
    sealed: bool = False
    redacted: bool = False
    misshapen: bool = False
    complete: bool = True


_PARTS = {"type": "array", "items": PartIn.model_json_schema()}
_DISCLOSURE = DisclosureIn.model_json_schema()
_Label = Annotated[str, Field(max_length=1024)]


class TraceIn(BaseModel):
    """One model response: `thinking` and `answer`, or `parts` in the order they were written."""

    model_config = _STRICT

    trace_id: _Label | None = None
    prompt: str | None = None
    thinking: str | None = None
    answer: str | None = None
    #: Strings, or calls as the wire formats have them.
    tool_calls: list[Any] | None = None
    parts: Annotated[list[PartIn] | None, WithJsonSchema(_PARTS)] = None
    model: _Label | None = None
    #: These two and the tenant choose the rule of the policy.
    requested_model: _Label | None = None
    route: Annotated[str | None, Field(max_length=8192)] = None
    tenant: _Label | None = None
    conversation_id: _Label | None = None
    choice: Annotated[int | None, Field(ge=0, le=10_000)] = None
    #: Why part of the response could not be read: the verdict then says "not judged".
    problem: _Label | None = None

    #: What the response told besides its text, such as tokens of thinking that it does not show.
    disclosure: Annotated[DisclosureIn | None, WithJsonSchema(_DISCLOSURE)] = None

    @model_validator(mode="after")
    def _has_text(self) -> "TraceIn":
        written = (self.thinking, self.answer, self.tool_calls)
        if self.parts is not None and any(written):
            raise ValueError("give either parts or thinking and answer, not both")
        if self.parts is None and self.thinking is None and self.answer is None:
            raise ValueError("give thinking, answer or parts")
        return self


_TRACE = TraceIn.model_json_schema()
#: For OpenAPI: the body is read by hand, so that its size is bounded while it arrives.
REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [
                    _TRACE,
                    {
                        "type": "object",
                        "required": ["traces"],
                        "additionalProperties": False,
                        "properties": {
                            "traces": {"type": "array", "maxItems": MAX_TRACES, "items": _TRACE}
                        },
                    },
                ]
            }
        }
    },
}


class Unfit(ValueError):  # noqa: N818 -- it is what is said about a trace
    """The request, or one trace of it, does not fit; never quotes it."""

    def __init__(self, code: str, message: str, details: Iterable[object] = ()) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, list(details)


#: A trace, or what is wrong with it.
Item: TypeAlias = Trace | Unfit


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request asks to judge."""

    items: Sequence[Item]
    #: One trace by itself, not a list of one.
    alone: bool


def understood(body: bytes) -> Asked:
    """Read a request; Unfit when nothing in it can be judged. Takes long: call it in a thread."""
    for number, _ in enumerate(_TOKEN.finditer(body)):
        if number >= MAX_TOKENS:
            raise Unfit("too_large", f"A request holds at most {MAX_TOKENS} JSON values.")
    try:
        given = from_json(body)
    except ValueError as error:
        raise Unfit("invalid_json", str(error)) from error
    if not isinstance(given, dict):
        raise Unfit("invalid_trace", "Send a JSON object.")
    if "traces" not in given:
        return Asked(items=[_item(given)], alone=True)
    traces = given["traces"]
    if len(given) > 1 or not isinstance(traces, list):
        raise Unfit("invalid_traces", "Send the list of traces as `traces`, alone.")
    if not 1 <= len(traces) <= MAX_TRACES:
        raise Unfit("invalid_traces", f"Send 1 to {MAX_TRACES} traces at a time.")
    return Asked(items=[_item(trace) for trace in traces], alone=False)


def _item(value: object) -> Item:
    try:
        return trace_from_json(plain(TraceIn.model_validate(value)))
    except ValidationError as error:
        return Unfit("invalid_trace", "The trace does not fit.", complaints(error))
    except BadTraceError as error:
        return Unfit("invalid_trace", str(error))


def complaints(error: ValidationError) -> list[dict[str, str]]:
    """What does not fit and where, without a word of the request."""
    return [
        {"where": _where(e["loc"]), "problem": _complaint(e["type"], e["msg"])}
        for e in error.errors(include_url=False, include_context=False, include_input=False)[:20]
    ]


def _where(location: tuple[int | str, ...]) -> str:
    known = {*TraceIn.model_fields, *PartIn.model_fields, *DisclosureIn.model_fields}
    return ".".join(str(p) if isinstance(p, int) or p in known else "?" for p in location)


def _complaint(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return f"unknown field; a trace has {', '.join(TraceIn.model_fields)}"
    return message


def plain(trace: TraceIn) -> dict[str, Any]:
    """The fields that were given, as `monitor.dialects.trace_from_json` reads them."""
    return trace.model_dump(exclude_none=True)
