"""Log probabilities: what the tokens say, and what stands beside them.

Limit: `top_logprobs` are words that the model did not say. An alternative that is one word of at
most `LONGEST_TOKEN` characters is taken for an entry of a vocabulary and not judged.
"""

import re
from collections.abc import Iterator
from typing import Any

from monitor.dialects.jsontext import pairs

__all__ = ["said_beside", "spoken"]

LONGEST_TOKEN = 24
#: How servers write bytes that are no character by themselves, and ids instead of tokens.
_ESCAPED = re.compile(r"(bytes:)?(\\x[0-9a-fA-F]{2})+|token_id:\d+|<0x[0-9A-F]{2}>")
_LISTS = ("content", "refusal")


def spoken(value: object) -> str:
    """The text of the sampled tokens, in order."""
    return _whole("".join(_sampled(entry) for entry in _entries(value)))


def said_beside(value: object) -> Iterator[str]:
    """Every other string that could be text."""
    if not isinstance(value, dict | list):
        yield from _strings(value)
    for entry in _entries(value):
        yield from _beside(entry)
    for key, inner in pairs(value) if isinstance(value, dict) else ():
        if key == "top_logprobs":
            yield from (text for text in _keys(inner) if _is_text(text))
        elif key not in (*_LISTS, "tokens"):
            yield from _strings(inner)


def _entries(value: object) -> Iterator[object]:
    if isinstance(value, list):
        yield from value
    for key, inner in pairs(value) if isinstance(value, dict) else ():
        if key in (*_LISTS, "tokens"):
            yield from inner if isinstance(inner, list) else [inner]


def _sampled(entry: object) -> str:
    """A token's text, by its bytes where they are no more than a spelling of it."""
    if not isinstance(entry, dict):
        return entry if isinstance(entry, str) else ""
    token = entry.get("token")
    if isinstance(token, str) and not _ESCAPED.fullmatch(token):
        return token
    return _from_bytes(entry.get("bytes"))


def _beside(entry: object) -> Iterator[str]:
    """What an entry says that its token does not."""
    if not isinstance(entry, dict):
        return
    for key, inner in pairs(entry):
        if key == "top_logprobs":
            yield from _alternatives(inner)
        elif key == "bytes":
            yield from _other_bytes(entry, inner)
        elif key != "token" or inner != _sampled(entry):
            yield from (t for t in _strings(inner) if not _ESCAPED.fullmatch(t))


def _other_bytes(entry: dict[str, Any], inner: object) -> Iterator[str]:
    token, text = entry.get("token"), _from_bytes(inner)
    escaped = isinstance(token, str) and _ESCAPED.fullmatch(token)
    if text and not escaped and text != token:
        yield text


def _alternatives(value: object) -> Iterator[str]:
    for entry in value if isinstance(value, list) else [value]:
        if _is_text(_sampled(entry)):
            yield _sampled(entry)
        yield from _beside(entry)


def _from_bytes(value: object) -> str:
    numbers = value if isinstance(value, list) else []
    found = bytes(n for n in numbers if isinstance(n, int) and 0 <= n < 256)
    return found.decode(errors="surrogateescape")


def _whole(text: str) -> str:
    """Join characters that were cut between tokens."""
    cut = re.sub(r"[\ud800-\udc7f\udd00-\udfff]", "\ufffd", text)
    return cut.encode(errors="surrogateescape").decode(errors="replace")


def _is_text(alternative: str) -> bool:
    return len(alternative) > LONGEST_TOKEN or len(alternative.split()) > 1


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (key for key, _ in pairs(value))
    for inner in value if isinstance(value, list) else ():
        yield from _keys(inner)


def _strings(value: object) -> Iterator[str]:
    """Every string below `value`."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str(text):
                yield text
            case dict() as found:
                waiting += [inner for _, inner in reversed(list(pairs(found)))]
            case list() as found:
                waiting += reversed(found)
