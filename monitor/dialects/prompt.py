"""What the model was asked: read from a request body, never failing."""

from collections.abc import Iterable, Iterator
from typing import Any

from monitor.dialects.jsontext import parse
from monitor.dialects.port import Request
from monitor.dialects.voice import clean

__all__ = ["LONGEST_PROMPT", "read_request", "request_of"]

#: Characters of a prompt that are kept: the last ones.
LONGEST_PROMPT = 8000

_SYSTEM = ("system", "developer")
_CONVERSATION = ("conversation_id", "session_id", "thread_id", "conversation")
#: Keys of a message or a part of one under which text stands.
_TEXT = ("text", "content", "output", "input_text")


def read_request(body: bytes) -> Request:
    """Read a request of any dialect; blank fields where it cannot be read."""
    return request_of(parse(body.decode("utf-8-sig", errors="replace")).value)


def request_of(value: object) -> Request:
    """Read a request that is parsed already."""
    if not isinstance(value, dict):
        return Request()
    return Request(
        model=_string(value.get("model")),
        prompt=_prompt(value),
        stream=value.get("stream") is True,
        conversation_id=_conversation(value),
    )


def _prompt(body: dict[str, Any]) -> str:
    asked = [body.get("system"), body.get("instructions"), body.get("prompt")]
    texts = (text for value in asked for text in _texts(value))
    turns = [*_turns(body.get("messages")), *_turns(body.get("input"))]
    joined = "\n".join(filter(None, (*texts, *_last_turns(turns))))
    return clean(joined)[-LONGEST_PROMPT:]


def _turns(value: object) -> list[tuple[str, object]]:
    """The turns of a conversation: whose, and what."""
    if isinstance(value, str):
        return [("user", value)]
    items = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    return [(_role(item), item) for item in items]


def _role(item: dict[str, Any]) -> str:
    if isinstance(item.get("role"), str):
        return "tool" if _is_tool_result(item.get("content")) else str(item["role"])
    return "tool" if str(item.get("type", "")).endswith("_output") else "assistant"


def _is_tool_result(content: object) -> bool:
    """Whether a user turn is what the Messages API makes of a tool's result."""
    parts = content if isinstance(content, list) else []
    kinds = {str(part.get("type")) for part in parts if isinstance(part, dict)}
    return kinds == {"tool_result"}


def _last_turns(turns: list[tuple[str, object]]) -> Iterator[str]:
    """System turns, then everything since the user's last words that the model did not say."""
    users = [n for n, (role, _) in enumerate(turns) if role == "user"]
    start = _first_of_run(users) if users else 0
    for number, (role, item) in enumerate(turns):
        if role in _SYSTEM or (number >= start and role not in ("assistant", "model")):
            yield from _texts(item)


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


def _conversation(body: dict[str, Any]) -> str:
    metadata = body.get("metadata")
    places: Iterable[object] = (metadata, body) if isinstance(metadata, dict) else (body,)
    found = (_identifier(p.get(k)) for p in places for k in _CONVERSATION if isinstance(p, dict))
    return next(filter(None, found), "")


def _identifier(value: object) -> str:
    return _string(value.get("id")) if isinstance(value, dict) else _string(value)


def _string(value: object) -> str:
    return value[:256] if isinstance(value, str) else ""
