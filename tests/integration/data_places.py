"""A response of every dialect with a given text in one place that the table of dialects knows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from monitor.dialects.rows import Kind, Row
from monitor.dialects.table import (
    ANTHROPIC,
    ANTHROPIC_EVENTS,
    CHAT,
    COMPLETIONS,
    RESPONSES,
    RESPONSES_EVENTS,
)

#: Several steps of ordinary text: HOLD releases some of it before the place is reached.
CLEAN = "Some ordinary words that make up a sentence of usual length. " * 12

PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}
TABLES = {"chat": CHAT, "completions": COMPLETIONS, "responses": RESPONSES, "messages": ANTHROPIC}
EVENTS = {"responses": RESPONSES_EVENTS, "messages": ANTHROPIC_EVENTS}
#: Ordinary text in a streamed event of each dialect.
ORDINARY = {
    "chat": {"choices": [{"index": 0, "delta": {"content": CLEAN}}]},
    "completions": {"choices": [{"index": 0, "text": CLEAN}]},
    "responses": {
        "type": "response.output_text.delta",
        "output_index": 0,
        "content_index": 0,
        "delta": CLEAN,
    },
    "messages": {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": CLEAN},
    },
}
LAST = {
    "chat": "[DONE]",
    "completions": "[DONE]",
    "responses": {"type": "response.completed", "response": {"status": "completed"}},
    "messages": {"type": "message_stop"},
}


@dataclass(frozen=True)
class Place:
    """One place in one dialect."""

    dialect: str
    row: Row
    #: The streamed event that it stands in, if only there.
    event: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, (self.dialect, self.event, self.row.path)))

    def whole(self, text: str) -> bytes:
        """An unstreamed body with `text` in this place."""
        return json.dumps(standing_at(self.row.path, _leaf(self.row.kind, text))).encode()

    def events(self, text: str) -> list[bytes]:
        """A stream with ordinary text first, then `text` in this place, then the last word."""
        payloads = (ORDINARY[self.dialect], self._event(text), LAST[self.dialect])
        return [event(payload) for payload in payloads]

    def _event(self, text: str) -> dict:
        found = standing_at(self.row.path, _leaf(self.row.kind, text))
        if self.event:
            return {**found, "type": self.event, "output_index": 1, "index": 1}
        if self.dialect == "chat":
            return json.loads(json.dumps(found).replace('"message"', '"delta"'))
        if self.dialect == "responses":
            return {"type": "response.in_progress", "response": found}
        return {"type": "message_start", "message": found} if self.dialect == "messages" else found


def places() -> Iterator[Place]:
    """Every place in a whole response where text of a model can stand."""
    for dialect, table in TABLES.items():
        for row in table:
            if row.kind is not Kind.REQUEST:
                yield Place(dialect, row)


def event_places() -> Iterator[Place]:
    """Every place in an event that only streams have; mounts stand for what they mount."""
    for dialect, events in EVENTS.items():
        for name, rows in events.items():
            for row in rows:
                yield Place(dialect, _mounted(row) if row.kind is Kind.MOUNT else row, name)


def standing_at(path: str, value: object) -> dict:
    """The smallest JSON object in which `value` stands at `path`."""
    for token in reversed(path.replace("[", ".[").split(".")):
        if token == "[]":
            value = [value]
        elif token.startswith("["):
            value = [{**value, "type": token[1:-1]}]
        else:
            value = {token: value}
    return value


def event(payload: object) -> bytes:
    """One server-sent event."""
    data = payload if isinstance(payload, str) else json.dumps(payload)
    return f"data: {data}\n\n".encode()


_IN_MOUNTS = {
    "output": "text",
    "content": "text",
    "output[message].content": "text",
    "output[reasoning].summary": "text",
    "": "output[].text",
}


def _mounted(row: Row) -> Row:
    below = "content[].text" if row.path == "message" else _IN_MOUNTS[row.at]
    return replace(row, path=f"{row.path}.{below}", kind=Kind.TEXT)


def _leaf(kind: Kind, text: str) -> object:
    leaves = {
        Kind.ALL: {"type": "x", "anything": [text]},
        Kind.LABELS: {"x": text},
        Kind.TOKENS: {"content": [{"token": text}]},
    }
    return leaves.get(kind, text)
