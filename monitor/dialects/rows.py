"""How a row of the table is written, and the tree that rows are compiled to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Self

from monitor.types import Channel

__all__ = ["Kind", "Node", "Row"]


class Kind(Enum):
    """How the value at a place is read."""

    #: A string of text.
    TEXT = auto()
    #: A string of text in which thinking may stand between tags.
    INLINE = auto()
    #: A string, or any JSON value, which is then read as its JSON.
    JSON = auto()
    #: Every string below, but for structural keys.
    ALL = auto()
    #: A place that may repeat text of the same frame: judged only where it says something else.
    ECHO = auto()
    #: Log probabilities: the tokens repeat the text of the same frame.
    TOKENS = auto()
    #: Encrypted or binary: not text when it looks like base64, else judged.
    OPAQUE = auto()
    #: Thinking that the server took out, encrypted: like OPAQUE, and worth an alarm.
    REDACTED = auto()
    #: Everything below is short labels and numbers: judged when it is not.
    LABELS = auto()
    #: The client's own request, sent back to it: not the model's words.
    REQUEST = auto()
    #: A part of the whole response inside a streamed event.
    MOUNT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One place where text can stand."""

    #: `name` is a key, `[]` any list element, `[type]` a list element of that `type`.
    path: str
    channel: Channel = Channel.ANSWER
    kind: Kind = Kind.TEXT
    #: In a streamed event: where in the whole response this text stands; `@key` is the event's
    #: number of that name.
    to: str | None = None
    #: For MOUNT: the place in the table that the value is read as.
    at: str = ""
    #: In a streamed event: the text was sent before, piece by piece.
    repeats: bool = False


@dataclass(slots=True)
class Node:
    """A place in the tree of places."""

    row: Row | None = None
    children: "dict[str, Node]" = field(default_factory=dict)
    #: Position of each child in the table: the order in which siblings are read.
    rank: dict[str, int] = field(default_factory=dict)
    #: Whether a list may stand here, and whether an object may.
    is_list: bool = False
    is_object: bool = False

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Self:
        """Compile rows to a tree."""
        root = cls()
        for row in rows:
            root.at(row.path, create=True).row = row
        return root

    def at(self, path: str, *, create: bool = False) -> "Node":
        """Return the place `path` below this one."""
        node = self
        for token in path.replace("[", ".[").split(".") if path else ():
            if create and token not in node.children:
                node._add(token)
            node = node.children[token]
        return node

    def _add(self, token: str) -> None:
        self.rank[token] = len(self.rank)
        self.children[token] = Node()
        if token.startswith("["):
            self.is_list = True
        else:
            self.is_object = True

    def element(self, value: object) -> "Node | None":
        """Return the place of a list element: by its `type`, or that of any element."""
        kind = value.get("type") if isinstance(value, dict) else None
        typed = self.children.get(f"[{kind}]") if isinstance(kind, str) else None
        return typed or self.children.get("[]")
