"""Reads what people have on disk: traces, saved replies, saved streams, plain text."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from monitor.dialects.formats import DIALECTS, WireFormat
from monitor.dialects.jsontext import Parsed, parse
from monitor.dialects.port import Reader
from monitor.dialects.sse import parse_event
from monitor.dialects.traces import (
    BadTraceError,
    content_id,
    parts_of,
    split_text,
    trace_from_json,
)
from monitor.types import Frame, Trace, coalesce

__all__ = ["BadRecord", "dialect_of", "plain_trace", "read_saved"]

_JSON_LIKE = re.compile(r'\s*(\{\s*["}]|\[\s*[\[{"\]])')
_SSE_LIKE = re.compile(r"\s*(data:|event:|id:|retry:|:)")
_CLOSES_FIRST = re.compile(r"</think(ing)?>")
_EXPECTED = (
    "expected a trace (`thinking`, `answer`), a saved reply (`choices`, `output`, `content`),"
    " a saved stream or plain text"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRecord:
    """Something that is no trace; the rest is read all the same."""

    source: str
    #: Counted from 1.
    line: int
    reason: str


def read_saved(data: bytes, *, source: str) -> Iterator[Trace | BadRecord]:
    """Yield a trace per choice of every record in `data`; `source` names it in bad records."""
    for line, found in _read(data):
        if isinstance(found, Trace):
            yield found
        else:
            yield BadRecord(source=source, line=line, reason=found)


def _read(data: bytes) -> Iterator[tuple[int, Trace | str]]:
    """Yield the line, and a trace or why there is none."""
    text = data.decode("utf-8-sig", errors="surrogateescape")
    if not text.strip():
        yield 1, "empty"
    elif _JSON_LIKE.match(text):
        yield from _json(text)
    elif _SSE_LIKE.match(text) and "data:" in text:
        yield from ((1, found) for found in _stream(data))
    elif _is_utf8(text):
        yield 1, plain_trace(text)
    else:
        yield 1, "not UTF-8 text"


def _json(text: str) -> Iterator[tuple[int, Trace | str]]:
    whole = parse(text) if _is_utf8(text) else Parsed(problem="not UTF-8 text")
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if whole.value is not None:
        yield from ((1, found) for found in _records(whole))
    elif len(lines) > 1 and any(_is_record(line) for _, line in lines):
        for number, line in lines:
            yield from ((number, found) for found in _line(line))
    else:
        yield 1, whole.problem or _EXPECTED


def _is_record(line: str) -> bool:
    return line.lstrip()[:1] in ("{", "[") and isinstance(parse(line).value, dict | list)


def _line(line: str) -> Iterator[Trace | str]:
    if _is_utf8(line):
        yield from _records(parse(line))
    else:
        yield "not UTF-8 text"


def _records(parsed: Parsed) -> Iterator[Trace | str]:
    if parsed.value in (None, []) or parsed.problem:
        yield parsed.problem or _EXPECTED
        return
    for value in parsed.value if isinstance(parsed.value, list) else [parsed.value]:
        yield from _record(value)


def _record(value: object) -> Iterator[Trace | str]:
    dialect = dialect_of(value) if isinstance(value, dict) else None
    try:
        if dialect and isinstance(value, dict):
            yield from _reply(dialect, value)
        elif isinstance(value, str):
            yield plain_trace(value)
        else:
            yield trace_from_json(value)
    except BadTraceError as error:
        yield f"{error}; {_EXPECTED}"
    except RecursionError:
        yield "JSON nested too deeply"


def dialect_of(value: Mapping[str, Any]) -> WireFormat | None:
    """Return the dialect of a reply, or of the first event of a stream."""
    choices, kind = value.get("choices"), value.get("type")
    if isinstance(choices, list):
        plain = any(isinstance(c, dict) and "text" in c for c in choices)
        return DIALECTS["completions" if plain else "chat"]
    if isinstance(value.get("output"), list) or str(kind).startswith("response."):
        return DIALECTS["responses"]
    if isinstance(value.get("content"), list) or kind in ("message_start", "message", "ping"):
        return DIALECTS["messages"]
    return None


def _reply(dialect: WireFormat, value: Mapping[str, Any]) -> Iterator[Trace | str]:
    reader = dialect.whole()
    problem = reader.take(value)
    yield from _traces([reader.frame(b"", problem=problem)], reader, value)


def _stream(data: bytes) -> Iterator[Trace | str]:
    dialect = _sniff(data)
    reader = dialect.reader(streaming=True)
    yield from _traces([*reader.feed(data), *reader.close()], reader, {})


def _sniff(data: bytes) -> WireFormat:
    for line in data[:65536].splitlines():
        if line.startswith(b"data:"):
            value = parse(parse_event(line).data).value
            found = dialect_of(value) if isinstance(value, dict) else None
            if found:
                return found
    return DIALECTS["chat"]


def _traces(frames: list[Frame], reader: Reader, given: Mapping[str, Any]) -> Iterator[Trace | str]:
    problem = next((f.problem for f in frames if f.problem), None)
    spoken = parts_of(d for f in frames for d in f.deltas)
    if not spoken:
        yield problem or "a reply without text"
    for choice, parts in spoken.items():
        names = {k: _given(given, k) for k in ("prompt", "tenant", "conversation_id", "trace_id")}
        identity = names.pop("trace_id")
        identity = f"{identity}.{choice}" if identity and choice else identity
        yield Trace(
            trace_id=identity or content_id(parts, names["prompt"], choice),
            parts=parts,
            model=reader.model,
            choice=choice,
            problem=problem,
            disclosure=reader.disclosure,
            **names,
        )


def _given(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def plain_trace(text: str) -> Trace:
    """Read plain text; a closing tag that nothing opens ends thinking that a template began."""
    closing = _CLOSES_FIRST.search(text)
    starts = closing is not None and "<think" not in text[: closing.start()]
    parts = coalesce(split_text(text, starts_in_thinking=starts))
    return Trace(trace_id=content_id(parts, ""), parts=parts)


def _is_utf8(text: str) -> bool:
    return not re.search("[\udc80-\udcff]", text)
