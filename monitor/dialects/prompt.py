"""What the model was asked: read from a request body, never failing.

The prompt is what a reviewer sees beside the response and what the classifiers read as its context:
the system's words, the user's last words, and what tools have returned since, in this order. All
of it is bounded, and no part can push the user's words out.
"""

import json
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Any

from monitor.dialects.jsontext import parse
from monitor.dialects.port import Request
from monitor.dialects.voice import clean

__all__ = ["LONGEST_PROMPT", "read_request", "request_of"]

#: Characters of a prompt that are kept.
LONGEST_PROMPT = 8000
#: Of the system's words the first, which say what the model is to be.
LONGEST_SYSTEM = 2400
#: Of what tools returned the last. The classifiers read the end of a prompt, about twice as much.
LONGEST_RESULTS = 1200


class _Voice(Enum):
    """Who speaks in a turn."""

    SYSTEM = auto()
    USER = auto()
    TOOL = auto()
    MODEL = auto()


_VOICES = {
    "system": _Voice.SYSTEM,
    "developer": _Voice.SYSTEM,
    "user": _Voice.USER,
    "assistant": _Voice.MODEL,
    "model": _Voice.MODEL,
}
_CONVERSATION = ("conversation_id", "session_id", "thread_id", "conversation")
#: Limits of tokens per choice, by dialect.
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_MOST = 10**9
#: Keys of a message or a part of one under which text stands.
_TEXT = ("text", "content", "output", "input_text")


def read_request(body: bytes) -> Request:
    """Read a request of any dialect; blank fields where it cannot be read."""
    return request_of(parse(_decoded(body)).value)


def request_of(value: object) -> Request:
    """Read a request that is parsed already."""
    if not isinstance(value, dict):
        return Request()
    return Request(
        model=_string(value.get("model")),
        prompt=_prompt(value),
        stream=value.get("stream") is True,
        conversation_id=_conversation(value),
        previous_response_id=_string(value.get("previous_response_id")),
        max_tokens=_max_tokens(value),
    )


def _decoded(body: bytes) -> str:
    """The text of a body in whichever encoding of JSON: servers read UTF-16 and UTF-32 too."""
    return body.decode(json.detect_encoding(body), errors="replace")


def _max_tokens(body: dict[str, Any]) -> int | None:
    """The most that the request allows; of several limits the highest, which is none too low."""
    found = [n for key in _LIMITS if (n := _count(body.get(key)))]
    return max(found) * (_count(body.get("n")) or 1) if found else None


def _count(value: object) -> int:
    """A number of tokens or choices; 0 where there is none that can be meant."""
    return value if type(value) is int and 0 < value <= _MOST else 0


def _prompt(body: dict[str, Any]) -> str:
    turns = [*_turns(body.get("messages")), *_turns(body.get("input"))]
    system = _joined(body.get("system"), body.get("instructions"), *_said(turns, _Voice.SYSTEM))
    since = turns[_last_question(turns) :]
    asked = _joined(body.get("prompt"), *_said(since, _Voice.USER))
    results = _joined(*_said(since, _Voice.TOOL))[-LONGEST_RESULTS:]
    around = [system[:LONGEST_SYSTEM], results]
    room = LONGEST_PROMPT - sum(len(text) + 1 for text in around if text)
    return "\n".join(filter(None, (around[0], asked[-room:], around[1])))


def _joined(*values: object) -> str:
    return clean("\n".join(text for value in values for text in _texts(value) if text))


def _turns(value: object) -> list[tuple[_Voice, object]]:
    """The turns of a conversation: whose, and what."""
    if isinstance(value, str):
        return [(_Voice.USER, value)]
    items = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    return [(_voice(item), item) for item in items]


def _voice(item: dict[str, Any]) -> _Voice:
    if isinstance(item.get("role"), str):
        found = _VOICES.get(item["role"], _Voice.TOOL)
        return _Voice.TOOL if found is _Voice.USER and _returns(item.get("content")) else found
    return _Voice.TOOL if str(item.get("type", "")).endswith("_output") else _Voice.MODEL


def _returns(content: object) -> bool:
    """Whether a user turn returns from tools, as in the Messages API, whatever it adds to that."""
    parts = content if isinstance(content, list) else []
    return any(isinstance(part, dict) and part.get("type") == "tool_result" for part in parts)


def _said(turns: Iterable[tuple[_Voice, object]], voice: _Voice) -> Iterator[object]:
    return (item for whose, item in turns if whose is voice)


def _last_question(turns: list[tuple[_Voice, object]]) -> int:
    """Where the last run of user turns begins; 0 when no user spoke."""
    users = [number for number, (voice, _) in enumerate(turns) if voice is _Voice.USER]
    return _first_of_run(users) if users else 0


def _first_of_run(numbers: list[int]) -> int:
    start = numbers[-1]
    for number in reversed(numbers[:-1]):
        if number != start - 1:
            break
        start = number
    return start


def _texts(value: object, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and depth < 8:
        for inner in value:
            yield from _texts(inner, depth + 1)
    elif isinstance(value, dict) and depth < 8:
        for key in _TEXT:
            yield from _texts(value.get(key), depth + 1)
        yield from _document(value.get("source"))


def _document(source: object) -> Iterator[str]:
    """The text of a document of the Messages API."""
    if isinstance(source, dict) and source.get("type") == "text":
        yield from _texts(source.get("data"))


def _conversation(body: dict[str, Any]) -> str:
    metadata = body.get("metadata")
    places: Iterable[object] = (metadata, body) if isinstance(metadata, dict) else (body,)
    found = (_identifier(p.get(k)) for p in places for k in _CONVERSATION if isinstance(p, dict))
    return next(filter(None, found), "")


def _identifier(value: object) -> str:
    return _string(value.get("id")) if isinstance(value, dict) else _string(value)


def _string(value: object) -> str:
    return value[:256] if isinstance(value, str) else ""
