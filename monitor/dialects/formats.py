"""The wire formats by name and by request path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from monitor.dialects.completions import ChatEnding, TextEnding
from monitor.dialects.ending import Ending
from monitor.dialects.messages import MessageEnding
from monitor.dialects.port import Dialect, Reader, Request
from monitor.dialects.prompt import read_request
from monitor.dialects.reading import StreamReader, WholeReader
from monitor.dialects.responses import ResponseEnding
from monitor.dialects.rows import Node
from monitor.dialects.table import (
    ANTHROPIC,
    ANTHROPIC_EVENTS,
    CHAT,
    COMPLETIONS,
    RESPONSES,
    RESPONSES_EVENTS,
)

__all__ = ["DIALECTS", "WireFormat", "dialect_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireFormat:
    """A dialect made of a table and an ending."""

    name: str
    root: Node
    ending: Callable[[], Ending]
    events: Mapping[str, Node] = field(default_factory=dict)
    #: The types, or the data, of the events that end a response.
    last: frozenset[str]

    def request(self, body: bytes) -> Request:
        """Read a request body; blank fields where it cannot be read."""
        return read_request(body)

    def reader(self, *, streaming: bool, starts_in_thinking: bool = False) -> Reader:
        """Return a reader for one response; `streaming` when it is `text/event-stream`."""
        if not streaming:
            return self.whole(starts_in_thinking=starts_in_thinking)
        return StreamReader(
            self.root,
            self.ending(),
            events=self.events,
            last=self.last,
            starts_in_thinking=starts_in_thinking,
        )

    def whole(self, *, starts_in_thinking: bool = False) -> WholeReader:
        """Return a reader for one unstreamed response."""
        return WholeReader(self.root, self.ending(), starts_in_thinking=starts_in_thinking)


_CHAT = WireFormat(name="chat", root=Node.of(CHAT), ending=ChatEnding, last=frozenset({"[DONE]"}))
_COMPLETIONS = WireFormat(
    name="completions", root=Node.of(COMPLETIONS), ending=TextEnding, last=frozenset({"[DONE]"})
)
_RESPONSES = WireFormat(
    name="responses",
    root=Node.of(RESPONSES),
    ending=ResponseEnding,
    events={kind: Node.of(rows) for kind, rows in RESPONSES_EVENTS.items()},
    last=frozenset({"response.completed", "response.incomplete", "response.failed", "[DONE]"}),
)
_ANTHROPIC = WireFormat(
    name="messages",
    root=Node.of(ANTHROPIC),
    ending=MessageEnding,
    events={kind: Node.of(rows) for kind, rows in ANTHROPIC_EVENTS.items()},
    last=frozenset({"message_stop", "[DONE]"}),
)

#: By the end of a request's path; the longest end comes first.
_BY_PATH: Mapping[str, WireFormat] = {
    "/chat/completions": _CHAT,
    "/completions": _COMPLETIONS,
    "/responses": _RESPONSES,
    "/messages": _ANTHROPIC,
}

DIALECTS: Mapping[str, WireFormat] = {d.name: d for d in _BY_PATH.values()}


def dialect_for(path: str) -> Dialect | None:
    """Return the dialect of a request path; None where responses hold no text of a model."""
    plain = path.partition("?")[0].rstrip("/")
    return next((d for end, d in _BY_PATH.items() if plain.endswith(end)), None)
