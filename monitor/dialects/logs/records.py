"""The shapes in which tools log calls of a model, and how each is read. Pure.

Shapes are tried in the order of `_SHAPES`; the first that claims a record reads it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

from monitor.dialects.jsontext import parse
from monitor.dialects.logs import telemetry
from monitor.dialects.logs.mapped import FieldMap, text_of
from monitor.dialects.logs.reply import MODEL_ROLES, Said, is_reply, said
from monitor.dialects.port import Request
from monitor.dialects.prompt import request_of
from monitor.dialects.traces import BadTraceError, content_id, trace_from_json
from monitor.dialects.voice import clean
from monitor.types import Channel, Part, Trace, coalesce

__all__ = ["Logged", "read_logged"]

_THINKING = ("thinking", "reasoning", "reasoning_content", "thoughts", "chain_of_thought", "cot")
_REPLY = (
    *("response", "response_body", "reply", "output", "completion", "completion_message"),
    *("answer", "generated_text", "generation", "output_text", "text", "message", "content"),
)
_REQUEST = ("request", "request_body", "proxy_server_request", "input")
_ASKED = ("question", "instruction", "query", "problem", "prompt_messages")
#: What logs put beside the reply in the same object: not the model's words.
_BESIDE = frozenset({*_REQUEST, *_ASKED, "messages", "prompt", "tenant", "trace_id"})
_IDS = ("request_id", "id", "custom_id", "call_id", "trace_id", "traceId", "uuid")
_CONVERSATION = ("conversation_id", "session_id", "sessionId", "thread_id")
_TENANT = ("tenant", "tenant_id", "team_id", "organization_id")
_MODEL = ("model", "model_name", "providedModelName", "model_id")
_NO_TEXT = "a record without text of a model"
_UNKNOWN = (
    "no shape of log fits this record; say where its text stands with --map answer=PATH"
    " and --map thinking=PATH"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """What a record was understood as."""

    #: Name of the shape; "" when none fits.
    shape: str
    #: Empty without problems: the record holds no call of a model, such as a span of a database.
    traces: tuple[Trace, ...] = ()
    #: Why something in it could not be read.
    problems: tuple[str, ...] = ()


def read_logged(value: object, fields: FieldMap | None = None) -> Logged:
    """Read a record; with `fields`, from the places that they name. Never raises on its content."""
    try:
        return _read(value, fields)
    except BadTraceError as error:
        return Logged(shape="", problems=(str(error),))
    except RecursionError:
        return Logged(shape="", problems=("JSON nested too deeply",))


def _read(value: object, fields: FieldMap | None) -> Logged:
    if fields is not None and fields.paths:
        return _logged("mapped", _mapped(fields.pick(value)))
    if isinstance(value, str):
        return _logged("text", _traces({}, said(value)))
    if not isinstance(value, dict):
        return Logged(shape="", problems=(_UNKNOWN,))
    for shape in _SHAPES:
        if shape.claims(value):
            return _logged(shape.name, shape.read(value))
    return Logged(shape="", problems=(_UNKNOWN,))


def _logged(shape: str, found: Iterator[Trace | str]) -> Logged:
    every = list(found)
    return Logged(
        shape=shape,
        traces=tuple(t for t in every if isinstance(t, Trace)),
        problems=tuple(p for p in every if isinstance(p, str)),
    )


# Our own schema.


def _is_ours(value: Mapping[str, Any]) -> bool:
    if isinstance(value.get("parts"), list):
        return "role" not in value
    other = any(name in value for name in (*_THINKING[1:], "messages", "response"))
    return "thinking" in value or ("answer" in value and not other)


def _ours(value: Mapping[str, Any]) -> Iterator[Trace | str]:
    named = {**value, "prompt": value.get("prompt") or _prompt(value)}
    if not value.get("trace_id"):
        named["trace_id"] = _first(value, _IDS)
    yield trace_from_json(named)


# Replies, requests with replies, conversations.


def _reply(value: Mapping[str, Any]) -> Iterator[Trace | str]:
    given = {**value, "request_id": value.get("trace_id")}
    own = {k: v for k, v in value.items() if k not in _BESIDE}
    return _traces(given, said(own), _prompt(value))


def _is_exchange(value: Mapping[str, Any]) -> bool:
    return any(key in value for key in (*_REPLY, *_THINKING))


def _exchange(value: Mapping[str, Any]) -> Iterator[Trace | str]:
    reply = next((value[key] for key in _REPLY if value.get(key) is not None), None)
    found = said(reply)
    thought = next((value[k] for k in _THINKING if isinstance(value.get(k), str)), "")
    if thought:
        first = Part(channel=Channel.THINKING, text=clean(thought))
        found = [replace(s, parts=coalesce([first, *s.parts])) for s in found or [Said(parts=())]]
    return _traces(value, found, _prompt(value))


def _is_conversation(value: Mapping[str, Any]) -> bool:
    return bool(_turns(value))


def _conversation(value: Mapping[str, Any]) -> Iterator[Trace | str]:
    """Every turn of the model is a response of its own; what stands before it was the prompt."""
    turns, before = _turns(value), 0
    identity = _first(value, _IDS)
    for number, (model, run) in enumerate(groupby(turns, key=_is_model)):
        own = list(run)
        if model:
            parts = coalesce([p for turn in own for s in said(turn) for p in s.parts])
            asked = request_of({**value, "messages": _as_messages(turns[:before])})
            names = {**value, "id": f"{identity}.{number}" if identity else ""}
            yield from _traces(names, [Said(parts=parts)], asked)
        before += len(own)


def _turns(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = value.get("messages") or value.get("conversations") or value.get("conversation")
    return [t for t in listed if isinstance(t, dict)] if isinstance(listed, list) else []


def _is_model(turn: Mapping[str, Any]) -> bool:
    return turn.get("role", turn.get("from")) in MODEL_ROLES


# Exports of tools.


def _is_langfuse(value: Mapping[str, Any]) -> bool:
    return "observations" in value or (
        "input" in value and "output" in value and ("traceId" in value or "projectId" in value)
    )


def _langfuse(value: Mapping[str, Any]) -> Iterator[Trace | str]:
    """A generation, or a trace with its observations; spans and events hold no call of a model."""
    inner = value.get("trace")
    outer = {**inner, **value} if isinstance(inner, dict) else value
    nested = [o for o in value.get("observations") or [] if isinstance(o, dict)]
    for generation in nested:
        shared = {name: outer[name] for name in ("sessionId",) if outer.get(name)}
        yield from _langfuse({"traceId": outer.get("id"), **shared, **generation})
    kind = str(value.get("type", "")).upper()
    if kind == "GENERATION" or (not kind and not nested):
        yield from _exchange(value)


def _telemetry(value: Mapping[str, Any]) -> Iterator[Trace | str]:
    for exchange in telemetry.exchanges(value):
        if exchange["reply"]:
            request = exchange["request"]
            messages = _as_messages(request["messages"])
            asked = request_of({**request, "messages": messages})
            yield from _traces(exchange, said(exchange["reply"]), asked)
        else:
            yield "a span of a model call without its messages: content capture was off"


def _is_page(value: Mapping[str, Any]) -> bool:
    data = value.get("data")
    return isinstance(data, list) and bool(data) and all(isinstance(v, dict) for v in data)


def _page(value: Mapping[str, Any]) -> Iterator[Trace | str]:
    for item in value["data"]:
        inner = _read(item, None)
        yield from inner.traces
        yield from inner.problems


class _Shape(NamedTuple):
    name: str
    claims: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any]], Iterator[Trace | str]]


_SHAPES = (
    _Shape("opentelemetry", telemetry.is_telemetry, _telemetry),
    _Shape("langfuse", _is_langfuse, _langfuse),
    _Shape("trace", _is_ours, _ours),
    _Shape("reply", is_reply, _reply),
    _Shape("page", _is_page, _page),
    _Shape("request and reply", _is_exchange, _exchange),
    _Shape("conversation", _is_conversation, _conversation),
)


def _mapped(given: Mapping[str, Any]) -> Iterator[Trace | str]:
    request = request_of(given.get("request"))
    found = said(given.get("reply"))
    written = {k: given[k] for k in ("thinking", "answer", "tool_calls") if k in given}
    if written:
        texts = {k: v if k == "tool_calls" else text_of(v) for k, v in written.items()}
        own = trace_from_json({"answer": None, **texts}).parts
        found = [replace(s, parts=coalesce([*s.parts, *own])) for s in found or [Said(parts=())]]
    prompt = text_of(given.get("prompt"))
    asked = replace(request, prompt=clean(prompt)) if prompt else request
    return _traces({**given, "id": text_of(given.get("trace_id"))}, found, asked)


# What all shapes share.


def _traces(
    record: Mapping[str, Any], found: list[Said], asked: str | Request = ""
) -> Iterator[Trace | str]:
    """Make a trace of each choice, with the names that the record gives it."""
    request = asked if isinstance(asked, Request) else Request(prompt=asked)
    spoken = [s for s in found if s.parts]
    if not spoken:
        yield next((s.problem for s in found if s.problem), _NO_TEXT)
    identity = _first(record, _IDS)
    for one in spoken:
        suffix = f".{one.choice}" if one.choice else ""
        yield Trace(
            trace_id=f"{identity}{suffix}"
            if identity
            else content_id(one.parts, request.prompt, one.choice),
            parts=one.parts,
            prompt=request.prompt,
            model=one.model or _first(record, _MODEL) or request.model,
            tenant=_first(record, _TENANT),
            conversation_id=_first(record, _CONVERSATION) or request.conversation_id,
            choice=one.choice,
            problem=one.problem,
        )


def _prompt(record: Mapping[str, Any]) -> str:
    """What was asked, wherever the record keeps it."""
    for key in _REQUEST:
        if asked := request_of(_body(record.get(key))).prompt:
            return asked
    question = next((record[k] for k in _ASKED if record.get(k)), None)
    messages = _as_messages(record.get("messages"))
    return request_of({"input": question, **record, "messages": messages}).prompt


def _body(request: object) -> object:
    """A logged request: as it is, inside an envelope, or as JSON in a string."""
    if isinstance(request, str) and request.lstrip()[:1] in ("{", "["):
        request = parse(request).value
    if isinstance(request, list):
        return {"messages": _as_messages(request)}
    return request.get("body", request) if isinstance(request, dict) else None


def _as_messages(value: object) -> object:
    """Messages as requests have them, whatever the tool calls their fields."""
    if not isinstance(value, list):
        return value
    return [_as_message(m) if isinstance(m, dict) else m for m in value]


def _as_message(message: Mapping[str, Any]) -> dict[str, Any]:
    role = message.get("role") or {"human": "user"}.get(str(message.get("from")))
    content = message.get("content", message.get("parts", message.get("value")))
    return {**message, "role": role or message.get("from") or "user", "content": content}


def _first(record: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first name of these that the record gives, as text."""
    values = (record.get(name) for name in names)
    given = (str(v) for v in values if isinstance(v, str | int) and not isinstance(v, bool))
    return clean(next((v for v in given if v), ""))[:256]
