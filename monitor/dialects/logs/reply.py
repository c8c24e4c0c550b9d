"""What a model said, in whatever a log kept of it: a reply, a message, a text, or a list."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from monitor.dialects.formats import DIALECTS, WireFormat
from monitor.dialects.jsontext import dumps, parse
from monitor.dialects.saved import dialect_of, plain_trace
from monitor.dialects.traces import parts_of, split_text
from monitor.dialects.voice import clean
from monitor.types import Channel, Part, coalesce

__all__ = ["Said", "is_reply", "said"]

#: Who a message is from when the model wrote it.
MODEL_ROLES = ("assistant", "model", "gpt", "ai", "chatbot")
#: Content blocks that only the Messages API has.
_BLOCKS = {"thinking", "redacted_thinking", "tool_use", "server_tool_use"}
#: Items that only the Responses API has.
_ITEMS = {"reasoning", "message", "function_call", "custom_tool_call", "mcp_call"}
#: Keys of a chat message that name the channel of their text.
_MESSAGE_KEYS = ("role", "tool_calls", "reasoning_content", "reasoning", "thinking", "refusal")
_DEPTH = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One choice of a reply."""

    parts: tuple[Part, ...]
    choice: int = 0
    model: str = ""
    #: Why part of it could not be read, if so.
    problem: str | None = None


def is_reply(value: Mapping[str, Any]) -> bool:
    """Whether `value` is a whole reply of a known protocol."""
    if isinstance(value.get("output"), list) and value.get("object") != "response":
        return _kinds(value["output"]) <= _ITEMS and bool(value["output"])
    if value.get("type") == "message":
        return True
    return "role" not in value and dialect_of(value) is not None


def said(reply: object, depth: int = 0) -> list[Said]:
    """Return what the model said, a `Said` per choice; empty where nothing is understood."""
    if depth > _DEPTH:
        return []
    match reply:
        case str(text) if text.strip():
            return _text(text, depth)
        case list():
            return [replace(s, choice=n) for n, s in enumerate(_list(reply, depth))]
        case dict():
            return _object(reply, depth)
    return []


def _text(text: str, depth: int) -> list[Said]:
    """Plain text with tags, unless it is the JSON of a reply or of messages."""
    if text.lstrip()[:1] in ("{", "["):
        value = parse(text).value
        if _speaks(value) and (found := said(value, depth + 1)):
            return found
    return [Said(parts=plain_trace(clean(text)).parts)]


def _speaks(value: object) -> bool:
    """Whether JSON is a message or a reply rather than a text that happens to be JSON."""
    if isinstance(value, list):
        return bool(value) and all(_speaks(v) for v in value)
    return isinstance(value, dict) and ("role" in value or is_reply(value))


def _object(value: Mapping[str, Any], depth: int) -> list[Said]:
    if isinstance(value.get("parts"), list):
        return [Said(parts=coalesce([p for part in value["parts"] for p in _part(part)]))]
    if is_reply(value):
        dialect = dialect_of(value)
        return _read(dialect, value) if dialect else []
    if isinstance(value.get("value"), str) and "from" in value:
        return said(value["value"], depth + 1)
    if any(key in value for key in _MESSAGE_KEYS):
        return _message(value)
    inner = next((value[k] for k in ("body", "message", "content") if value.get(k)), None)
    return said(inner, depth + 1)


def _message(message: Mapping[str, Any]) -> list[Said]:
    """Read one message of a chat, or of the Messages API."""
    content = message.get("content")
    if isinstance(content, list) and _kinds(content) & _BLOCKS:
        return _read(DIALECTS["messages"], {**message, "type": "message"})
    return _read(DIALECTS["chat"], {"choices": [{"index": 0, "message": message}]})


def _list(values: Sequence[object], depth: int) -> Iterator[Said]:
    """Read messages of the model, items of the Responses API, or blocks of the Messages API."""
    kinds = _kinds(values)
    if not any(isinstance(v, dict) and "role" in v for v in values):
        if kinds & _BLOCKS:
            yield from _read(DIALECTS["messages"], {"type": "message", "content": values})
            return
        if kinds & _ITEMS:
            yield from _read(DIALECTS["responses"], {"object": "response", "output": values})
            return
    elif kinds & _ITEMS and "reasoning" in kinds:
        yield from _read(DIALECTS["responses"], {"object": "response", "output": values})
        return
    for value in values:
        if not isinstance(value, dict) or value.get("role", "assistant") in MODEL_ROLES:
            yield from said(value, depth + 1)


def _read(dialect: WireFormat, value: Mapping[str, Any]) -> list[Said]:
    reader = dialect.whole()
    frame = reader.frame(b"", problem=reader.take(value))
    found = parts_of(frame.deltas)
    return [
        Said(parts=parts, choice=choice, model=reader.model, problem=frame.problem)
        for choice, parts in found.items()
    ]


def _part(part: object) -> list[Part]:
    """A part of a message as the GenAI conventions of OpenTelemetry have it."""
    match part:
        case {"type": "reasoning" | "thinking", "content": str(text)}:
            return [Part(channel=Channel.THINKING, text=clean(text))]
        case {"type": "text", "content": str(text)} | {"text": str(text)} | str(text):
            return split_text(text)
        case {"type": "tool_call", "name": str(name), "arguments": called}:
            words = called if isinstance(called, str) else dumps(called)
            return [Part(channel=Channel.TOOL_CALL, text=clean(f"{name}\n{words}"))]
    return [Part(channel=Channel.ANSWER, text=clean(dumps(part)))]


def _kinds(values: Sequence[object]) -> set[str]:
    return {str(v.get("type")) for v in values if isinstance(v, dict)}
