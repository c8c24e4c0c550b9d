"""Traces to and from JSON: what `subtext check`, the API, Kafka and files exchange."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from monitor.dialects.inline import Splitter
from monitor.dialects.jsontext import dumps
from monitor.dialects.voice import clean
from monitor.types import Channel, Delta, Disclosure, Part, Trace, Usage, coalesce

__all__ = [
    "BadTraceError",
    "content_id",
    "disclosure_from_json",
    "disclosure_to_json",
    "parts_of",
    "trace_from_json",
    "trace_to_json",
]

_NAMES = ("prompt", "model", "requested_model", "route", "tenant", "conversation_id")
_COUNTS = tuple(f.name for f in fields(Usage))
_MARKS = tuple(f.name for f in fields(Disclosure) if f.name != "usage")


class BadTraceError(ValueError):
    """The JSON is no trace; the message says what to change."""


def trace_to_json(trace: Trace) -> dict[str, Any]:
    """Return plain JSON values from which `trace_from_json` makes the same trace."""
    return {
        "trace_id": trace.trace_id,
        "prompt": trace.prompt,
        "parts": [{"channel": p.channel.value, "text": p.text} for p in trace.parts],
        "model": trace.model,
        "requested_model": trace.requested_model,
        "route": trace.route,
        "tenant": trace.tenant,
        "conversation_id": trace.conversation_id,
        "choice": trace.choice,
        "problem": trace.problem,
        "disclosure": disclosure_to_json(trace.disclosure),
    }


def trace_from_json(value: object) -> Trace:
    """Read a trace; raises `BadTraceError` when it is none."""
    if not isinstance(value, dict):
        raise BadTraceError("a trace is a JSON object")
    parts = _given_parts(value) if value.get("parts") is not None else _written_parts(value)
    names = {name: _text(value, name) for name in _NAMES}
    choice, problem = value.get("choice", 0), value.get("problem")
    if not isinstance(choice, int) or not isinstance(problem, str | None):
        raise BadTraceError("`choice` is a number and `problem` a string or null")
    identity = _text(value, "trace_id") or content_id(parts, names["prompt"], choice)
    return Trace(
        trace_id=identity,
        parts=parts,
        choice=choice,
        problem=problem,
        disclosure=disclosure_from_json(value.get("disclosure")),
        **names,
    )


def disclosure_to_json(told: Disclosure) -> dict[str, Any]:
    """Return plain JSON values, tokens and marks side by side."""
    counts = {name: getattr(told.usage, name) for name in _COUNTS}
    return {**counts, **{name: getattr(told, name) for name in _MARKS}}


def disclosure_from_json(value: object) -> Disclosure:
    """Read what a response told besides its text; what is not given is not known."""
    if value is None:
        return Disclosure()
    if not isinstance(value, dict) or not all(map(_is_told, value.items())):
        raise BadTraceError(f"`disclosure` has {', '.join(_COUNTS)} and {', '.join(_MARKS)}")
    counts = {name: value.get(name) for name in _COUNTS}
    marks = {name: value[name] for name in _MARKS if name in value}
    return Disclosure(usage=Usage(**counts), **marks)


def _is_told(item: tuple[str, object]) -> bool:
    name, value = item
    if name in _MARKS:
        return isinstance(value, bool)
    return name in _COUNTS and (value is None or (type(value) is int and value >= 0))


def parts_of(deltas: Iterable[Delta]) -> dict[int, tuple[Part, ...]]:
    """Return the parts of each choice."""
    found: dict[int, list[Part]] = {}
    for delta in deltas:
        found.setdefault(delta.choice, []).append(Part(channel=delta.channel, text=delta.text))
    return {choice: coalesce(parts) for choice, parts in sorted(found.items())}


def content_id(parts: Sequence[Part], prompt: str, choice: int = 0) -> str:
    """Return the id of a trace that was given none: the same content has the same id."""
    content = [prompt, [[p.channel.value, p.text] for p in parts], choice]
    return hashlib.sha256(dumps(content).encode()).hexdigest()[:16]


def split_text(text: str, *, starts_in_thinking: bool = False) -> list[Part]:
    """Return the parts of plain text with tags in it."""
    splitter = Splitter(starts_in_thinking=starts_in_thinking)
    pieces = [*splitter.feed(clean(text)), *splitter.flush()]
    return [Part(channel=p.channel, text=p.text) for p in pieces]


def _given_parts(value: Mapping[str, Any]) -> tuple[Part, ...]:
    if not isinstance(value["parts"], list):
        raise BadTraceError("`parts` is a list of {channel, text}")
    return coalesce([_given_part(part) for part in value["parts"]])


def _given_part(part: object) -> Part:
    names = ", ".join(Channel)
    if not isinstance(part, dict) or part.get("channel") not in list(Channel):
        raise BadTraceError(f"each of `parts` has a `channel` (one of {names}) and a `text`")
    return Part(channel=Channel(part["channel"]), text=_text(part, "text"))


def _written_parts(value: Mapping[str, Any]) -> tuple[Part, ...]:
    if "thinking" not in value and "answer" not in value:
        raise BadTraceError("a trace has `thinking`, `answer` or `parts`")
    calls = value.get("tool_calls") or []
    if not isinstance(calls, list):
        raise BadTraceError("`tool_calls` is a list")
    thinking = Part(channel=Channel.THINKING, text=_text(value, "thinking"))
    called = Part(channel=Channel.TOOL_CALL, text="\n".join(map(_call, calls)))
    return coalesce([thinking, *split_text(_text(value, "answer")), called])


def _call(call: object) -> str:
    """Return what a tool call says: its text, its name and arguments, or its JSON."""
    inner = call.get("function", call) if isinstance(call, dict) else call
    match inner:
        case str(text):
            return clean(text)
        case {"name": str(name), "arguments": str(arguments)}:
            return clean(f"{name}\n{arguments}")
    return clean(dumps(inner))


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str | None):
        raise BadTraceError(f"`{name}` is a string or null")
    return clean(text or "")
